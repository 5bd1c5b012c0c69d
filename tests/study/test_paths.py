"""Paths: exactly the contract's, below the chosen folder, and files whole or not there."""

import os
import stat
import time
from pathlib import Path

import pytest

from lib.study import paths


def test_every_path_is_the_contracts(work):
    top = work / "work"
    run = paths.run("paper", "ffhq-stylegan2", "plain", 32, 4)
    assert paths.packed("paper", "ffhq-stylegan2") == top / "data/packed/paper/ffhq-stylegan2"
    assert run == top / "results/paper/runs/ffhq-stylegan2/plain/p032/seed4"
    assert (
        paths.margins(run, "celeba-progan", "test", "crops")
        == run / "margins/celeba-progan/test-crops.safetensors"
    )
    assert (
        paths.table("paper", 5, "ffhq-stylegan2", "celeba-progan", "short", 256, 0)
        == top / "results/paper/tables/exp5/ffhq-stylegan2__celeba-progan__short__p256__seed0.csv"
    )
    verdicts = paths.verdicts("paper", 5, "ffhq-stylegan2", "celeba-progan", "short", 256, 0)
    assert verdicts.parent == top / "results/paper/verdicts/exp5"
    assert verdicts.name == "ffhq-stylegan2__celeba-progan__short__p256__seed0.parquet"
    assert paths.audit("paper", "ffhq-progan") == top / "results/paper/audit/ffhq-progan"
    assert paths.report("paper") == top / "reports/paper/index.html"


def test_a_run_knows_the_same_paths(make_run, work):
    run = make_run(seed=2, test_gan="gan_b", variant="short")
    assert run.folder == paths.run("tiny", "leaves-gan_a", "short", 8, 2)
    assert run.table(5) == paths.table("tiny", 5, "leaves-gan_a", "leaves-gan_b", "short", 8, 2)
    assert run.verdicts(5).stem == run.table(5).stem


def test_folders_follow_the_environment_when_they_are_asked_for(monkeypatch, tmp_path):
    for name in ("PATCHWISE_WORK", "PATCHWISE_DATA"):
        monkeypatch.delenv(name, raising=False)
    assert paths.work() == paths.ROOT
    assert paths.data_root() == paths.ROOT / "data"
    monkeypatch.setenv("PATCHWISE_WORK", "")
    assert paths.work() == paths.ROOT
    monkeypatch.setenv("PATCHWISE_WORK", str(tmp_path))
    monkeypatch.setenv("PATCHWISE_DATA", str(tmp_path / "pictures"))
    assert paths.results("smoke") == tmp_path / "results/smoke"
    assert paths.data_root() == tmp_path / "pictures"


@pytest.mark.parametrize("name", ["PATCHWISE_WORK", "PATCHWISE_DATA"])
def test_folders_may_be_relative_or_below_home(monkeypatch, tmp_path, name):
    folder = {"PATCHWISE_WORK": paths.work, "PATCHWISE_DATA": paths.data_root}[name]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(name, "here")
    assert folder() == tmp_path / "here"
    monkeypatch.setenv(name, "~/there")
    assert folder() == tmp_path / "home" / "there"


def test_the_projects_own_folders_do_not_depend_on_the_callers(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert (paths.ROOT / "pyproject.toml").is_file()
    assert (paths.PARAMS / "smoke.yaml").is_file()
    assert (paths.NOTEBOOKS / "00_data.ipynb").is_file()
    assert (paths.PUBLISHED / "tables.csv").is_file()


def test_what_is_written_whole_is_there_under_its_name_alone(tmp_path):
    path = tmp_path / "new" / "folder" / "table.csv"
    seen: list[Path] = []

    def write(temporary: Path) -> None:
        seen.append(temporary)
        assert temporary.parent == path.parent  # a rename stays on one disk
        assert temporary.name.startswith(".table.csv.") and temporary.suffix == ".partial"
        assert not path.exists()
        temporary.write_text("a,b\n")

    assert paths.write_whole(path, write) == path
    assert path.read_text() == "a,b\n"
    assert os.listdir(path.parent) == ["table.csv"]
    assert seen != [path]
    assert stat.S_IMODE(path.stat().st_mode) & 0o044 == 0o044  # for others to read


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
@pytest.mark.parametrize("former", [None, "what was there"])
def test_a_write_that_fails_leaves_the_former_file_and_nothing_else(tmp_path, error, former):
    path = tmp_path / "table.csv"
    if former:
        path.write_text(former)

    def write(temporary: Path) -> None:
        temporary.write_text("half of")
        raise error

    with pytest.raises(type(error)):
        paths.write_whole(path, write)
    assert os.listdir(tmp_path) == (["table.csv"] if former else [])
    if former:
        assert path.read_text() == former


def test_a_second_write_replaces_the_first(tmp_path):
    for text in ("first", "second"):
        paths.write_whole(tmp_path / "a.txt", lambda p, t=text: p.write_text(t))
    assert (tmp_path / "a.txt").read_text() == "second"


def test_what_a_kill_left_is_read_by_no_one_and_goes_an_hour_later(tmp_path):
    path, left = tmp_path / "ta[b]le.csv", tmp_path / ".ta[b]le.csv.abcd.partial"
    left.write_text("half of")
    assert not list(tmp_path.glob("*.csv"))
    paths.write_whole(path, lambda p: p.write_text("a"))
    assert left.exists()  # it may be another process's
    long_ago = time.time() - paths.LEFT_AFTER - 1
    os.utime(left, (long_ago, long_ago))
    paths.write_whole(path, lambda p: p.write_text("b"))
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize(
    ("error", "advised"),
    [
        (PermissionError(13, "Permission denied"), True),
        (FileNotFoundError(2, "No such file"), False),
    ],
)
def test_another_folder_is_advised_where_writing_is_denied(work, error, advised):
    paths.work().mkdir()
    error.filename = str(paths.work() / "a")
    said = paths.refused(error)
    assert said.startswith(f"{error.filename}: {error.strerror}")
    assert said.endswith("Set PATCHWISE_WORK to a folder that can be written to") == advised


def test_what_is_in_the_making_lies_beside(tmp_path):
    assert paths.beside(tmp_path / "seed0") == tmp_path / "seed0.partial"
