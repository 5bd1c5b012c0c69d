"""The batch: `make study`'s graph on the smoke study; it resumes, and re-runs what is touched."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest

from lib import paths

RUN = "results/smoke/runs/sim_faces-sim_stylegan2/plain"
MATCHED = "sim_faces-sim_stylegan2__sim_faces-sim_stylegan2__plain"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A copy of the project, in which files may be touched."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("lib", "notebooks", "params", "profiles", "reports/published"):
        shutil.copytree(paths.ROOT / name, copy / name)
    shutil.copy(paths.ROOT / "Snakefile", copy)
    kept = copy / "reports" / "smoke" / "index.html"  # as a report kept in the repository is there
    kept.parent.mkdir()
    kept.write_text("an old report")
    return copy


def command(*flags: str) -> list[str]:
    profile = ["--profile", "profiles/local", "--config", "study=smoke"]
    return [sys.executable, "-m", "snakemake", *profile, *flags]


def environment(checkout: Path) -> dict[str, str]:
    scripts = str(Path(sys.executable).parent)
    return {
        **{k: v for k, v in os.environ.items() if not k.startswith("PATCHWISE")},
        "PYTHONPATH": str(checkout),
        "PATH": scripts + os.pathsep + os.environ["PATH"],
    }


def snakemake(checkout: Path, *flags: str) -> str:
    done = subprocess.run(
        command(*flags), cwd=checkout, env=environment(checkout), text=True, timeout=400,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def would_run(checkout: Path) -> set[str]:
    """The rules that a dry run counts, none if it says that nothing is to be done."""
    printed = snakemake(checkout, "--dry-run")
    if "Nothing to be done" in printed:
        return set()
    counted = printed.partition("Job stats:")[2].partition("total")[0].splitlines()[3:]
    return {line.split()[0] for line in counted if line.strip()}


def kill_group(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_killed_then_finished(checkout):
    process = subprocess.Popen(
        command(), cwd=checkout, env=environment(checkout), start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 200
    while not list(checkout.glob(f"{RUN}/p*/seed0.partial/epochs/000")):
        assert process.poll() is None and time.monotonic() < deadline, "nothing to kill"
        time.sleep(0.1)
    kill_group(process)
    packed = sorted(checkout.glob("data/packed/smoke/*/images.npy"))
    before = [file.stat().st_mtime_ns for file in packed]
    assert len(packed) == 3

    snakemake(checkout)
    assert [file.stat().st_mtime_ns for file in packed] == before  # nothing was packed again
    assert "Smoke test" in (checkout / "reports/smoke/index.html").read_text("utf-8")
    tables = {f"{p.parent.name}/{p.stem}" for p in checkout.glob("results/smoke/tables/*/*.csv")}
    assert {f"exp{n}/{MATCHED}__p032__seed0" for n in (1, 2, 3, 4)} <= tables
    assert f"exp1/{MATCHED}__p064__seed0" in tables and f"exp2/{MATCHED}__p064__seed0" not in tables
    assert sum(name.startswith("exp5/") for name in tables) == 4  # two other cells, two sizes
    assert list(checkout.glob("results/smoke/notebooks/04_confident_vote__*.ipynb"))
    assert len(list(checkout.glob("results/smoke/audit/*/cues.csv"))) == 3


def test_packing_and_training_leave_what_they_said(checkout):
    logs = checkout / "results" / "smoke" / "notebooks"
    assert {log.stem.partition("__")[0] for log in logs.glob("*.log")} == {"pack", "train"}
    trained = list(logs.glob("train__*.log"))
    assert len(trained) == 3
    for log in trained:
        assert log.read_text("utf-8").startswith("SIMULATED IMAGES · Smoke test")


def test_what_fails_says_why_and_fails(checkout):
    """The log is written by tee, whose exit status must not hide the command's."""
    target = str(checkout / "data" / "packed" / "faces140k" / "ffhq_half-stylegan")
    flags = ["--cores", "1", "--config", "study=faces140k", "--", target]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *flags], cwd=checkout, env=environment(checkout),
        text=True, timeout=100, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode != 0 and not Path(target).exists()
    said = checkout / "results/faces140k/notebooks/pack__ffhq-stylegan.log"
    assert "faces140k/real" in said.read_text("utf-8") and said.read_text("utf-8") in done.stdout
    assert "Traceback" not in said.read_text("utf-8")


def test_only_quirks_of_pixels_train_networks_and_all_are_compared(checkout):
    trained = {p.name for p in (checkout / RUN).parent.iterdir()}
    assert trained == {"plain", "scrambled_layout"}
    effects = pd.read_csv(checkout / "results/smoke/tables/a1/sim_faces-sim_stylegan2.csv")
    assert set(effects["variant"]) == {
        *("range_and_fallback", "last_patch_only", "even_crops_ties_wrong", "scrambled_layout")
    }


def test_nothing_is_run_again_when_nothing_has_changed(checkout):
    assert would_run(checkout) == set()
    (checkout / "notebooks" / "02_grid_vote.ipynb").touch()
    (checkout / "lib" / "__main__.py").touch()
    assert would_run(checkout) == set()


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new, 1), "utf-8")


SHOWS = {"01_patch_accuracy", "02_grid_vote", "03_random_vote", "04_confident_vote"}
SHOWS |= {"generalize", "quirks", "audit"}
VOTES = SHOWS - {"01_patch_accuracy", "quirks", "audit"}


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("lib/plots.py", '"0.55"', '"0.56"', SHOWS),
        ("notebooks/00_data.ipynb", "print(packed.how)", "print(1, packed.how)", SHOWS),
        ("lib/assembly.py", "At a glance", "At one glance", {"report"}),
        ("params/smoke.yaml", "resamples: 200", "resamples: 100", SHOWS),
        ("params/smoke.yaml", "reading: range", "reading: probability", {"quirks"}),
        ("params/smoke.yaml", "title: Smoke", "title: Smokey", {"report"}),
        (
            "notebooks/04_confident_vote.ipynb",
            "Vote of the",
            "A vote of the",
            {"04_confident_vote"},
        ),
    ],
)
def test_what_is_touched_is_run_again_and_no_network_is_trained(checkout, file, old, new, expected):
    whole = (checkout / file).read_bytes()
    edit(checkout / file, old, new)
    try:
        found = would_run(checkout)
    finally:
        (checkout / file).write_bytes(whole)
    assert found - {"report"} == expected - {"report"} and "report" in found


def test_a_changed_protocol_trains_again(checkout):
    file = checkout / "params" / "smoke.yaml"
    whole = file.read_bytes()
    edit(file, "batch_size: 16", "batch_size: 8")
    try:
        found = would_run(checkout)
    finally:
        file.write_bytes(whole)
    assert found == VOTES | {"train", "01_patch_accuracy", "quirks", "report"}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("title:", "show_pictures: false\ntitle:", {"report"}),
        ("data:", "data:\n  max_skipped: 0.5", set()),
    ],
)
def test_what_changes_no_result_trains_and_packs_nothing_again(checkout, old, new, expected):
    file = checkout / "params" / "smoke.yaml"
    whole = file.read_bytes()
    edit(file, old, new)
    try:
        found = would_run(checkout)
    finally:
        file.write_bytes(whole)
    assert found == expected


def test_the_tables_have_the_contracts_columns(checkout):
    table = pd.read_csv(checkout / f"results/smoke/tables/exp4/{MATCHED}__p032__seed0.csv")
    assert list(table.columns) == [
        *("experiment", "train", "test", "variant", "patch_size", "seed", "unit", "rule", "theta"),
        *("reading", "statistic", "value", "low", "high", "epoch", "n_epochs", "n_images"),
        "n_patches",
    ]
    assert set(table["reading"]) == {"share", "range", "probability"}
    assert sorted(set(table["theta"])) == [0.6, 0.7, 0.8, 0.9, 1.0]
