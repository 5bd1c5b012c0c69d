"""The batch: `make study`'s graph on the smoke study; it resumes, and re-runs what is touched."""

import itertools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from clone_helpers import READY, changed, clone, lone
from PIL import Image

RUN = "results/smoke/runs/sim_faces-sim_stylegan2/plain"
MATCHED = "sim_faces-sim_stylegan2__sim_faces-sim_stylegan2__plain"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A clone of the project, in which files may be touched."""
    return clone(tmp_path_factory.mktemp("batch") / "patchwise")


def command(*flags: str, study: str = "smoke") -> list[str]:
    """Snakemake, as `make study` calls it; what a dry run says is Snakemake's own."""
    logger = [] if "--dry-run" in flags else ["--logger", "patchwise"]
    profile = ["--profile", "profiles/local", *logger, "--config", f"study={study}"]
    return [sys.executable, "-m", "snakemake", *profile, *flags]


def surroundings(checkout: Path) -> dict[str, str]:
    """The environment of a process in the clone, which also finds what shows the progress."""
    given = lone(checkout, checkout.parent)
    return given | {"PYTHONPATH": os.pathsep.join((given["PYTHONPATH"], str(checkout / "rules")))}


def run(checkout: Path, *arguments: str, **given: str) -> subprocess.CompletedProcess:
    """Runs a command in the clone, with variables; its output and errors are in `stdout`."""
    return subprocess.run(
        arguments, cwd=checkout, env=surroundings(checkout) | given, text=True,
        timeout=400, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip


def snakemake(checkout: Path, *flags: str, study: str = "smoke", **given: str) -> str:
    done = run(checkout, *command(*flags, study=study), **given)
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def would_run(checkout: Path, *flags: str, **given: str) -> set[str]:
    """The rules that a dry run counts, none if it says that nothing is to be done."""
    printed = snakemake(checkout, "--dry-run", *flags, **given)
    if "Nothing to be done" in printed:
        return set()
    counted = printed.partition("Job stats:")[2].partition("total")[0].splitlines()[3:]
    return {line.split()[0] for line in counted if line.strip()}


def kill_group(process: subprocess.Popen) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_killed_then_finished(checkout):
    process = subprocess.Popen(
        command(), cwd=checkout, env=surroundings(checkout), start_new_session=True,
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

    said = snakemake(checkout).splitlines()
    assert [file.stat().st_mtime_ns for file in packed] == before  # nothing was packed again
    assert "Smoke test" in (checkout / "reports/smoke/index.html").read_text("utf-8")
    lines = [re.sub(r"\d+ s", "0 s", line) for line in said if " · " in line]
    assert len(lines) == int(lines[-1].split()[2]), said  # a line a job, and nothing besides
    assert (
        lines[-1] == f"{len(lines)} of {len(lines)} · report · 0 s" and len(said) <= len(lines) + 2
    )
    assert any(
        re.search(r"train sim_faces-sim_stylegan2 32 px, seed 0 · 0 s · [\d.]+ % of val", line)
        for line in lines
    )
    answer = (checkout / "reports/smoke/answer.txt").read_text("utf-8").splitlines()
    assert len(answer) == 2 and "simulated test images" in answer[0] and "C1" in answer[1]
    tables = {f"{p.parent.name}/{p.stem}" for p in checkout.glob("results/smoke/tables/*/*.csv")}
    assert {f"exp{n}/{MATCHED}__p032__seed0" for n in (1, 2, 3, 4)} <= tables
    assert f"exp1/{MATCHED}__p064__seed0" in tables and f"exp2/{MATCHED}__p064__seed0" not in tables
    assert sum(name.startswith("exp5/") for name in tables) == 4  # two other cells, two sizes
    votes = checkout.glob("results/smoke/verdicts/*/*.parquet")
    votes = {f"{path.parent.name}/{path.stem}" for path in votes}  # A1's variants have some as well
    assert {name for name in tables if name.startswith("exp")} <= votes
    assert list(checkout.glob("results/smoke/notebooks/04_confident_vote__*.ipynb"))
    assert len(list(checkout.glob("results/smoke/audit/*/cues.csv"))) == 3


def test_packing_and_training_leave_what_they_said(checkout):
    logs = checkout / "results" / "smoke" / "notebooks"
    assert {log.stem.partition("__")[0] for log in logs.glob("*.log")} == {"pack", "train"}
    trained = list(logs.glob("train__*.log"))
    assert len(trained) == 3
    for log in trained:
        *epochs, last = log.read_text("utf-8").splitlines()
        assert 1 <= len(epochs) <= 2 and epochs[-1].startswith("epoch 2 of 2: loss ")
        assert last.startswith("SIMULATED IMAGES · Smoke test")


def test_git_sees_nothing_of_a_run(checkout):
    assert changed(checkout) == ""


def test_what_fails_says_why_and_fails(checkout):
    """The last words are the project's own, and nothing else is said of it."""
    packed = checkout / "data" / "packed" / "faces" / "ffhq_half-stylegan2" / "packed.json"
    done = run(checkout, *command("--", str(packed), study="faces"))
    assert done.returncode != 0 and not packed.exists()
    said = checkout / "results/faces/notebooks/pack__ffhq-stylegan2.log"
    assert "ffhq_stylegan2/real" in said.read_text("utf-8")
    assert done.stdout.endswith(f"failed · pack ffhq-stylegan2\n\n{said.read_text('utf-8')}")
    assert not re.search("Traceback|RuleException|CalledProcess|WorkflowError", done.stdout)


def test_what_ended_with_an_error_is_not_tried_again(checkout):
    packed = checkout / "data" / "packed" / "faces" / "ffhq_half-stylegan2" / "packed.json"
    done = run(checkout, *command("--retries", "1", "--", str(packed), study="faces"))
    log = checkout / "results/faces/notebooks/pack__ffhq-stylegan2.log"
    assert done.returncode != 0 and done.stdout.count(log.read_text("utf-8")) == 1
    assert done.stdout.count(f"Not tried again after its error: {log}") == 1


def test_what_was_killed_is_tried_again(checkout, tmp_path):
    python = tmp_path / "bin" / "python"  # that is killed when it is first called
    python.parent.mkdir()
    called = tmp_path / "called"
    python.write_text(
        f"#!/bin/sh\n[ -e {called} ] && exec {sys.executable} $@\ntouch {called}; kill -9 $$\n",
        "utf-8",
    )
    python.chmod(0o755)
    given = {"PATCHWISE_WORK": str(tmp_path), "PATH": f"{python.parent}:{os.environ['PATH']}"}
    packed = tmp_path / "data" / "packed" / "smoke" / "sim_faces-sim_progan" / "packed.json"
    said = snakemake(checkout, "--retries", "1", "--", str(packed), **given)
    assert packed.is_file() and "failed · pack sim_faces-sim_progan\n" in said
    assert said.splitlines()[-1].startswith("1 of 1 · pack sim_faces-sim_progan")  # no error


def test_pictures_are_judged_in_parts(checkout):
    pictures = checkout.parent / "three $(touch ran) pictures"
    pictures.mkdir()
    for number, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (256, 256), colour).save(pictures / f"{number}.png")
    (pictures / "broken.jpg").write_bytes(b"no picture")
    for _ in range(2):  # the second finds all done
        given = {"PICTURES": str(pictures)}
        done = run(checkout, *command("parts=2", "--", "judged"), **given)
        assert done.returncode == 0 and "judged.html" in done.stdout
    (table,) = checkout.glob("reports/judged/*/judged.csv")
    assert len(pd.read_csv(table)) == 4 and not list(checkout.rglob("ran"))
    assert sorted(path.name[:3] for path in table.parent.glob("parts/*")) == ["001", "002"]


def test_a_typo_in_the_studys_file_is_one_sentence(checkout):
    with edited(
        checkout / "params" / "smoke.yaml", substitute("kind: simulated", "kind: simulatd")
    ):
        done = run(checkout, *command("--dry-run"))
    said = done.stdout.splitlines()[-1]
    assert done.returncode == 1 and "Error" not in done.stdout
    assert said.startswith("params/smoke.yaml: ") and "did you mean simulated?" in said


def test_a_work_folder_that_cannot_be_written_to_is_one_sentence(checkout, tmp_path):
    (tmp_path / "file").touch()
    done = run(checkout, *command("--dry-run"), PATCHWISE_WORK=str(tmp_path / "file"))
    assert done.returncode == 1 and "Error" not in done.stdout
    assert "Set PATCHWISE_WORK to a folder that can be" in done.stdout.splitlines()[-1]


def test_only_quirks_of_pixels_train_networks_and_all_are_compared(checkout):
    logs = (checkout / "results" / "smoke" / "notebooks").glob("train__*.log")
    assert {log.stem.split("__")[2] for log in logs} == {"plain", "scrambled_layout"}
    effects = pd.read_csv(checkout / "results/smoke/tables/a1/sim_faces-sim_stylegan2.csv")
    assert set(effects["variant"]) == {
        *("range_and_fallback", "last_patch_only", "even_crops_ties_wrong", "scrambled_layout")
    }


def test_studies_that_train_elsewhere_than_on_the_grid_ask_where_crops_fail(checkout):
    assert "places" in would_run(checkout, study="crops")
    assert not list(checkout.glob("results/smoke/tables/a3/*"))


def test_nothing_is_run_again_when_nothing_has_changed(checkout):
    assert would_run(checkout) == set()


@contextmanager
def edited(file: Path, edit: Callable[[str], str]) -> Iterator[None]:
    """Edits a file and puts it back, contents and all but its time."""
    whole = file.read_bytes()
    text = whole.decode()
    assert edit(text) != text
    file.write_text(edit(text), "utf-8")
    try:
        yield
    finally:
        file.write_bytes(whole)


def substitute(pattern: str, new: str) -> Callable[[str], str]:
    return lambda text: re.sub(pattern, new, text, count=1)


def add_code(text: str) -> str:
    return text + "\n\nADDED = 1\n"


def in_notebook(**changes) -> Callable[[str], str]:
    """An edit of a notebook's last code cell."""

    def edit(text: str) -> str:
        content = json.loads(text)
        last = [cell for cell in content["cells"] if cell["cell_type"] == "code"][-1]
        last |= changes
        return json.dumps(content)

    return edit


two_devices = substitute("  batch_size: 16", "  batch_size: 16\n  devices: 2")
edit_error = substitute(r'(raise \w+\(\s*f?")', r"\1Edited: ")
edit_docstring = substitute('"""', '"""Edited. ')
output = {"output_type": "stream", "name": "stdout", "text": "42"}
code = in_notebook(source="print(42)")


def test_what_changes_no_result_runs_nothing_again(checkout):
    edits = {
        "lib/networks/training.py": edit_error,
        "lib/margins.py": edit_docstring,
        "lib/data/packing/selection.py": lambda text: f"# A comment.\n{text}\n# Another.",
        "lib/data/sources/celeba.py": add_code,  # no source of this study
        "lib/__main__.py": add_code,
        "notebooks/02_grid_vote.ipynb": in_notebook(outputs=[output], execution_count=99),
        "params/smoke.yaml": lambda text: two_devices(
            text.replace("data:", "data:\n  max_skipped: 0.5", 1)
        ),
    }
    with ExitStack() as stack:
        for file, edit in edits.items():
            stack.enter_context(edited(checkout / file, edit))
        assert would_run(checkout) == set()


def test_a_network_on_two_devices_asks_for_as_many_gpus(checkout):
    flags = "--dry-run", "--quiet", "host", "--forcerun", "train"
    given = {"CUDA_VISIBLE_DEVICES": "0,1"}
    assert "gpu=2" not in snakemake(checkout, *flags, **given).partition("rule train")[2]
    with edited(checkout / "params" / "smoke.yaml", two_devices):
        assert "gpu=2" in snakemake(checkout, *flags, **given).partition("rule train")[2]


SHOWS = {"01_patch_accuracy", "02_grid_vote", "03_random_vote", "04_confident_vote"}
SHOWS |= {"generalize", "quirks", "audit", "report"}
VOTES = SHOWS - {"audit"}


@pytest.mark.parametrize(
    ("file", "edit", "expected"),
    [
        ("lib/report/figures.py", add_code, SHOWS),
        ("lib/voting/rules.py", add_code, VOTES),
        ("lib/report/page.py", add_code, {"report"}),
        ("notebooks/04_confident_vote.ipynb", code, {"04_confident_vote", "report"}),
        ("params/smoke.yaml", substitute("resamples: 200", "resamples: 100"), SHOWS),
        (
            "params/smoke.yaml",
            substitute("reading: range", "reading: probability"),
            {"quirks", "report"},
        ),
        (
            "params/smoke.yaml",
            substitute("title: S", "show_pictures: false\ntitle: A s"),
            {"report"},
        ),
    ],
)
def test_what_is_touched_is_run_again_and_no_network_is_trained(checkout, file, edit, expected):
    with edited(checkout / file, edit):
        assert would_run(checkout) == expected


@pytest.mark.parametrize(
    ("file", "edit"),
    [
        ("params/smoke.yaml", substitute("batch_size: 16", "batch_size: 8")),
        ("lib/patches.py", add_code),
    ],
)
def test_what_training_depends_on_trains_again_and_packs_nothing(checkout, file, edit):
    with edited(checkout / file, edit):
        rerun = would_run(checkout)
    assert {"train", *VOTES} <= rerun and "pack" not in rerun


@pytest.mark.parametrize("file", ["lib/data/images.py", "lib/data/simulated/scenes.py"])
def test_what_packing_depends_on_packs_again(checkout, file):
    with edited(checkout / file, add_code):
        assert would_run(checkout) == {"pack", "train", *SHOWS}


@pytest.fixture
def five(checkout) -> Iterator[Path]:
    """A study of five pictures a class, in two folders; gives what holds these."""
    noise, folder = np.random.default_rng(0), checkout.parent / "five"
    for name, number in itertools.product(("here/real", "here/fake", "there/fake"), range(5)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        pixels = noise.integers(0, 256, (16, 16, 3), np.uint8)
        if not (file := folder / name / f"{number}.png").exists():
            Image.fromarray(pixels).save(file)
    study = {"title": "Five pictures", "train_on": ["a-b"], "patch_sizes": [8]}
    study["data"] = {"image_size": 16, "per_class": {"train": 2, "validation": 1, "test": 1}}
    study["cells"] = {"a-b": {k: {"kind": "files", "path": k} for k in ("real", "fake")}}
    study |= {"model": {"name": "test_resnet"}, "training": {"epochs": 1, "batch_size": 4}}
    file = checkout / "params" / "five.yaml"
    file.write_text(json.dumps(study), "utf-8")
    yield folder
    file.unlink()


def test_pictures_in_another_folder_are_packed_again(checkout, five):
    """As DATA names it; where DATA has none, what was packed once is good enough."""
    flags, named = ("--", "all_packed"), {"study": "five"}
    snakemake(checkout, *flags, **named, PATCHWISE_DATA=str(five / "here"))
    assert would_run(checkout, *flags, **named) == set()
    moved = would_run(checkout, *flags, **named, PATCHWISE_DATA=str(five / "there"))
    assert moved == {"pack", "all_packed"}


@pytest.mark.parametrize(
    "made",
    ["data/packed/five/a-b/packed.json", "results/five/runs/a-b/plain/p008/seed0/files.json"],
)
def test_a_kill_once_all_is_written_costs_nothing(checkout, five, made):
    """Snakemake does not know yet that it is finished, and deletes what may be broken."""
    given, made = {"PATCHWISE_DATA": str(five / "here")}, checkout / made
    shutil.rmtree(made.parent, ignore_errors=True)
    process = subprocess.Popen(
        command("--", str(made), study="five"), cwd=checkout, start_new_session=True,
        env=surroundings(checkout) | given,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not made.is_file() and process.poll() is None:
        time.sleep(0.005)
    kill_group(process)
    files = [file for file in made.parent.rglob("*.*") if "epochs" not in file.parts]
    before = {file: file.stat().st_mtime_ns for file in files if file.suffix != ".json"}
    assert len(before) > 2
    snakemake(checkout, "--", str(made), study="five", **given)
    assert {file: file.stat().st_mtime_ns for file in before} == before


def test_the_published_record_is_a_study_of_its_own(checkout):
    done = run(checkout, *READY, "study", "STUDY=published")
    report = checkout / "reports" / "published_record" / "index.html"
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines()[-1] == f"The report: {report}" and report.is_file()
    assert changed(checkout) == ""


def test_a_report_is_kept_with_all_tables(checkout):
    done = run(checkout, *READY, "keep", "STUDY=smoke")
    assert done.returncode == 0, done.stdout
    kept = checkout / "reports" / "kept" / "smoke"
    assert (kept / "index.html").read_bytes() == (
        checkout / "reports" / "smoke" / "index.html"
    ).read_bytes()
    tables = pd.read_csv(kept / "tables.csv")
    assert set(tables["experiment"]) == {1, 2, 3, 4, 5}
    files = checkout.glob("results/smoke/tables/exp*/*.csv")
    assert len(tables) == sum(len(pd.read_csv(file)) for file in files)
    assert "reports/kept/smoke/" in changed(checkout)

    # Made anew, which here means found, it is as kept; until a number is another.
    done = run(checkout, *READY, "verify", "STUDY=smoke")
    assert done.returncode == 0, done.stdout
    assert re.match(r"verified: (\d+) of \1 numbers.*, 0 findings", done.stdout.splitlines()[-1])
    apart = tables["statistic"].isin(["validated", "auc"])
    tables.assign(value=tables["value"].mask(apart, 2.0)).to_csv(kept / "tables.csv", index=False)
    done = run(checkout, *READY, "verify", "STUDY=smoke")
    assert done.returncode != 0 and "NOT verified" in done.stdout
    shutil.rmtree(kept)


def test_the_tables_have_the_contracts_columns(checkout):
    table = pd.read_csv(checkout / f"results/smoke/tables/exp4/{MATCHED}__p032__seed0.csv")
    assert list(table.columns) == [
        *("experiment", "train", "test", "variant", "patch_size", "seed", "unit", "rule", "theta"),
        *("reading", "statistic", "value", "low", "high", "epoch", "n_epochs", "n_images"),
        "n_patches",
    ]
    assert set(table["reading"]) == {"share", "range", "probability"}
    assert sorted(set(table["theta"])) == [0.6, 0.7, 0.8, 0.9, 1.0]


def test_another_detectors_scores_are_voted_on_and_train_nothing(checkout):
    """Last but one: the report has them from here on."""
    manifest = checkout / "data/packed/smoke/sim_faces-sim_stylegan2/manifest.parquet"
    images = pd.read_parquet(manifest).query("split == 'test'")["image_id"]
    places = [
        pd.DataFrame({"image": images, "row": r, "column": c}) for r in (0, 32) for c in (0, 32)
    ]
    table = pd.concat(places, ignore_index=True)
    table.assign(score=np.random.default_rng(0).normal(size=len(table))).to_csv(
        checkout.parent / "scores.csv", index=False
    )
    cell = ("--study", "smoke", "--dataset", "sim_faces", "--gan", "sim_stylegan2")
    given = (str(checkout.parent / "scores.csv"), *cell, "--name", "dice")
    done = run(checkout, sys.executable, "-m", "lib", "import", *given)
    assert done.returncode == 0, done.stdout
    votes = {"01_patch_accuracy", "02_grid_vote", "04_confident_vote", "report"}
    assert would_run(checkout) == votes
    snakemake(checkout)
    page = (checkout / "reports/smoke/index.html").read_text("utf-8")
    assert "Another detector’s scores of sim_faces-sim_stylegan2, dice, minus ours" in page
    assert would_run(checkout) == set()


def test_what_is_packed_again_as_it_was_trains_nothing(checkout):
    """`make study` packs first; then only what was packed otherwise is trained on anew."""
    (images,) = checkout.glob("data/packed/smoke/sim_faces-sim_progan/images.npy")
    before = images.stat().st_mtime_ns
    with edited(checkout / "lib/data/packing/selection.py", add_code):
        snakemake(checkout, "--", "all_packed")
        assert images.stat().st_mtime_ns > before
        assert would_run(checkout) == set()


def test_a_cell_that_raises_is_not_tried_again(checkout):
    table = f"results/smoke/tables/exp2/{MATCHED}__p032__seed0.csv"
    log = checkout / f"results/smoke/notebooks/02_grid_vote__{MATCHED}__p032__seed0.ipynb"
    failing = in_notebook(source="raise ValueError('no')")
    with edited(checkout / "notebooks/02_grid_vote.ipynb", failing):
        done = run(checkout, *command("--retries", "2", "--", str(checkout / table)))
    said = done.stdout.count(f"Not tried again after its error: {log}")
    assert done.returncode != 0 and said == 2
    assert "ValueError" in log.read_text("utf-8") and "papermill-error" in log.read_text("utf-8")
    snakemake(checkout, "--", str(checkout / table))
    assert not list(log.parent.glob("*.failed"))
