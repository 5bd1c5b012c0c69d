"""The batch on a real Slurm: make test-slurm. One node, started here, with GPUs that are none.

Needs root, a Debian's slurm-wlm and munge, and some ten minutes; `make test` leaves it out.
"""

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import psutil
import pytest
import slurm_helpers as slurm
from clone_helpers import READY, clone, lone
from PIL import Image

pytestmark = [
    pytest.mark.skipif("PATCHWISE_SLURM" not in os.environ, reason="make test-slurm runs it"),
    pytest.mark.timeout(1800),
]
# A job is looked at every few seconds, since none lasts a minute.
OFTEN = "slurm-init-seconds-before-status-checks: 3\n"
BEGUN: list[subprocess.Popen] = []
SNAKEMAKE = ("snakemake", "--profile", "profiles/slurm", "--config")


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """The Slurm, for as long as the tests run."""
    if lacking := slurm.lacks():
        pytest.exit(lacking, returncode=1)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)  # to stop the Slurm then, too
    try:
        slurm.start()
        yield
    finally:
        for process in BEGUN:
            if process.poll() is None:  # of a test that failed
                os.killpg(process.pid, signal.SIGKILL)
        slurm.stop()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A clone of the project that asks Slurm often; its work folder is itself."""
    checkout = clone(tmp_path_factory.mktemp("slurm") / "patchwise")
    (checkout / "profiles" / "default").mkdir()
    (checkout / "profiles" / "default" / "config.yaml").write_text(OFTEN, "utf-8")
    return checkout


def begin(checkout: Path, *command: str, **given: str) -> subprocess.Popen:
    """Starts a command in the clone, with variables; all it prints goes into a file beside it."""
    with (checkout.parent / "said.txt").open("w") as said:
        process = subprocess.Popen(
            command, cwd=checkout, env=lone(checkout, checkout.parent) | given,
            start_new_session=True, stdout=said, stderr=subprocess.STDOUT,
        )  # fmt: skip
    BEGUN.append(process)
    return process


def end(checkout: Path, process: subprocess.Popen) -> tuple[int, str]:
    """Waits for it; its exit status, and what it printed."""
    status = process.wait(timeout=1500)
    return status, (checkout.parent / "said.txt").read_text("utf-8")


def of_rule(rule: str, state: str = "") -> dict[str, dict[str, str]]:
    """Slurm's jobs of a rule, in a state."""
    return {
        number: job
        for number, job in slurm.jobs().items()
        if job.get("Comment", "").startswith(f"rule_{rule}") and state in job["JobState"]
    }


def seen_gpus() -> list[str]:
    """What the trainings that run on the node see of its GPUs."""
    seen = []
    for process in slurm.on_node():
        with suppress(psutil.NoSuchProcess):
            if process.cmdline()[1:4] == ["-m", "lib", "train"]:
                seen.append(process.environ()["CUDA_VISIBLE_DEVICES"])
    return seen


def training_in_its_second_epoch(checkout: Path) -> str:
    """The number of a running job whose network has one epoch behind it, or nothing."""
    for epoch in checkout.glob("results/smoke/runs/*/*/p*/seed0.partial/epochs/000"):
        variant, size = epoch.parts[-5], epoch.parts[-4][1:]
        for number, job in of_rule("train", "RUNNING").items():
            if job["Comment"].endswith(f"_{variant}_{size}_0"):
                return number
    return ""


def test_trainings_end_though_one_is_cancelled_and_the_node_dies(checkout):
    """Under another one. Packing and training alone: the part that .ci/run runs."""
    process = begin(checkout, *SNAKEMAKE, "study=smoke", "--until", "train")
    ready = "no network has an epoch behind it"
    cancelled = slurm.wait(lambda: training_in_its_second_epoch(checkout), ready, 900)
    seen = seen_gpus()
    subprocess.run(["scancel", cancelled], check=True)
    lost = slurm.wait(lambda: training_in_its_second_epoch(checkout), ready)
    slurm.kill_node()
    slurm.wait(lambda: slurm.node().startswith("down"), "the node's death is not noticed")
    slurm.start_node()
    status, said = end(checkout, process)
    assert status == 0, said[-4000:]

    assert sorted(seen) in (["0"], ["1"], ["0", "1"])
    trained = of_rule("train")
    assert trained[cancelled]["JobState"] == "CANCELLED" and cancelled != lost
    assert trained[lost]["JobState"] == "COMPLETED" and trained[lost]["Restarts"] == "1"
    assert len(trained) == 4  # three networks, one of them begun twice
    for job in trained.values():
        assert job["NumCPUs"] == "4" and job["TresPerJob"] == "gres:gpu:1"


def test_smoke_goes_on_from_there_to_its_report(checkout):
    process = begin(checkout, *READY, "study", "STUDY=smoke", "PROFILE=slurm")
    status, said = end(checkout, process)
    assert status == 0, said[-4000:]
    assert said.splitlines()[-1] == f"The report: {checkout}/reports/smoke/index.html"
    trained = of_rule("train")
    assert len(trained) == 4
    others = [job for number, job in slurm.jobs().items() if number not in trained]
    assert len(others) == 17 and not any("TresPerJob" in job for job in others)


def test_the_tables_are_those_of_one_machine(checkout, tmp_path):
    """Byte for byte, with as many threads: another number of them changes last digits."""
    (config, *_) = checkout.glob("results/smoke/runs/*/plain/p032/seed0/config.json")
    threads = re.search(r"CPU, (\d+) threads", config.read_text("utf-8"))[1]
    assert int(threads) == min(4, len(os.sched_getaffinity(0)))
    local = ("snakemake", "--profile", "profiles/local", "--config", "study=smoke")
    given = {"PATCHWISE_WORK": str(tmp_path)}
    same = ("--set-threads", f"pack={threads}", f"train={threads}")
    process = begin(checkout, *local, *same, **given)
    status, said = end(checkout, process)
    assert status == 0, said[-4000:]
    for folder, count in (("results/smoke/tables", 10), ("reports/smoke", 1)):
        tables = [file.relative_to(tmp_path) for file in (tmp_path / folder).rglob("*.csv")]
        assert len(tables) >= count
        for table in tables:
            assert (checkout / table).read_bytes() == (tmp_path / table).read_bytes(), table


def test_too_little_memory_is_tried_again_with_more(checkout, tmp_path):
    given = {"PATCHWISE_WORK": str(tmp_path)}
    packed = str(tmp_path / "data/packed/smoke/sim_faces-sim_progan/packed.json")
    memory = ("--set-resources", "pack:mem_mb=200*20**(attempt-1)")
    before = of_rule("pack")
    process = begin(checkout, *SNAKEMAKE, "study=smoke", *memory, "--", packed, **given)
    status, said = end(checkout, process)
    assert status == 0 and Path(packed).is_file(), said[-4000:]
    tries = [job for number, job in of_rule("pack").items() if number not in before]
    assert [job["JobState"] for job in tries] == ["FAILED", "COMPLETED"]
    assert [job["MinMemoryNode"] for job in tries] == ["200M", "4000M"]


def test_what_ended_with_an_error_is_not_tried_again(checkout, tmp_path):
    """Snakemake asks for it again; it ends before it begins."""
    given = {"PATCHWISE_WORK": str(tmp_path)}
    packed = str(tmp_path / "data/packed/faces/ffhq-stylegan2/packed.json")
    before = of_rule("pack")
    status, said = end(checkout, begin(checkout, *SNAKEMAKE, "study=faces", "--", packed, **given))
    assert status == 1
    tries = [job for number, job in of_rule("pack").items() if number not in before]
    assert [job["JobState"] for job in tries] == ["FAILED"] * 3
    _, *others = (Path(job["StdOut"]).read_text("utf-8") for job in tries)
    why = (tmp_path / "results/faces/notebooks/pack__ffhq-stylegan2.log").read_text("utf-8")
    assert "ffhq_stylegan2/real" in why
    assert all("Not tried again" in other and why not in other for other in others)
    assert "(check log file(s) for error details)" in said


def test_pictures_are_judged_in_parts(checkout, tmp_path):
    for number, colour in enumerate(("red", "green", "blue")):
        Image.new("RGB", (256, 256), colour).save(tmp_path / f"{number}.png")
    process = begin(
        checkout, *READY, "judge", f"PICTURES={tmp_path}", "PROFILE=slurm", "PARTS=2"
    )  # fmt: skip
    status, said = end(checkout, process)
    assert status == 0, said[-4000:]
    (table,) = checkout.glob("reports/judged/*/judged.csv")
    assert len(pd.read_csv(table)) == 3
    parts = of_rule("judge_part")
    assert len(parts) == 2 and all(job["NumCPUs"] == "4" for job in parts.values())
