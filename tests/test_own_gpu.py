"""Several GPUs on one machine, that are none: a name each, which a command sees or does not."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from notebook_helpers import ROOT

from rules.own_gpu import gpus

# Two jobs that end only if each has a GPU of its own while the other runs.
SNAKEFILE = """
rule all:
    input: "0.txt", "1.txt"

rule train:
    output: "{number}.txt"
    resources:
        gpu=1,
        gpus_here="",
    shell:
        "python rules/own_gpu.py '{resources.gpus_here}' {resources.gpu} bash -c '"
        "mkdir busy_$CUDA_VISIBLE_DEVICES; for i in $(seq 300); do sleep 0.1; "
        "[ -d busy_7 ] && [ -d busy_8 ] && echo > {output} && exit 0; done; exit 1'"
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [("2,3", ["2", "3"]), ("", []), ("-1", []), ("0,-1,2", ["0"]), ("GPU-8f1d", ["GPU-8f1d"])],
)
def test_a_list_that_is_given_counts(monkeypatch, given, expected):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert gpus() == expected


def test_without_one_the_driver_is_asked(monkeypatch, tmp_path):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    driver = tmp_path / "nvidia-smi"
    driver.write_text("#!/bin/sh\necho 'GPU 0: A'\necho '  MIG 1g: B'\necho 'GPU 1: A'\n", "utf-8")
    driver.chmod(0o755)
    assert gpus() == ["0", "1"]
    driver.write_text("#!/bin/sh\necho 'No devices were found'\nexit 6\n", "utf-8")
    assert gpus() == []
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert gpus() == []


def begin(names: str, tmp_path: Path, number: int, count: int = 1) -> subprocess.Popen:
    """A command on so many of some GPUs that says which, and goes on until `end` is there."""
    says = f"echo $CUDA_VISIBLE_DEVICES > {number}; until [ -e end ]; do sleep 0.1; done"
    command = [sys.executable, ROOT / "rules" / "own_gpu.py", names, str(count)]
    command += ["sh", "-c", says]
    return subprocess.Popen(command, cwd=tmp_path, env={**os.environ, "TMPDIR": str(tmp_path)})


def seen(tmp_path: Path, number: int) -> str:
    """What a command says that it sees."""
    deadline = time.monotonic() + 60
    while not ((file := tmp_path / str(number)).exists() and (text := file.read_text("utf-8"))):
        assert time.monotonic() < deadline, "it does not begin"
        time.sleep(0.05)
    return text.strip()


def test_each_command_has_a_gpu_of_its_own_and_a_kill_frees_it(tmp_path):
    commands = [begin("7,8", tmp_path, number) for number in range(2)]
    try:
        first, second = (seen(tmp_path, number) for number in range(2))
        assert {first, second} == {"7", "8"}
        commands.append(begin("7,8", tmp_path, 2))
        commands[0].kill()
        assert seen(tmp_path, 2) == first
        assert seen(tmp_path, 1) == second and commands[1].poll() is None
    finally:
        (tmp_path / "end").touch()
        assert [command.wait(timeout=60) for command in commands[1:]] == [0, 0]


def test_a_command_has_several_or_waits_for_them(tmp_path):
    alone = begin("7,8,9", tmp_path, 0)
    mine = seen(tmp_path, 0)
    both = begin("7,8,9", tmp_path, 1, count=2)
    assert {mine, *seen(tmp_path, 1).split(",")} == {"7", "8", "9"}
    more = begin("7,8,9", tmp_path, 2, count=2)
    time.sleep(1.5)
    assert not (tmp_path / "2").exists()
    (tmp_path / "end").touch()
    assert [command.wait(timeout=60) for command in (alone, both, more)] == [0, 0, 0]
    assert len(seen(tmp_path, 2).split(",")) == 2


def test_of_no_list_nothing_is_chosen(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "as it was")
    (tmp_path / "end").touch()
    assert begin("", tmp_path, 0).wait(timeout=60) == 0 and seen(tmp_path, 0) == "as it was"


def test_the_local_profile_trains_on_all_gpus_at_once(tmp_path):
    for name in ("rules", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "Snakefile").write_text(SNAKEFILE, "utf-8")
    given = {**os.environ, "CUDA_VISIBLE_DEVICES": "7,8", "TMPDIR": str(tmp_path)}
    given["PATH"] = f"{Path(sys.executable).parent}:{given['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--profile", "profiles/local", "--cores", "2"],
        cwd=tmp_path, env=given, timeout=120, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout


def test_the_local_profile_takes_no_more_cores_than_it_may_use(tmp_path):
    for name in ("rules", "profiles"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / "Snakefile").write_text('print(workflow.cores, "cores")\nrule all:\n', "utf-8")
    given = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "LOKY_MAX_CPU_COUNT": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", "--profile", "profiles/local"],
        cwd=tmp_path, env=given, timeout=120, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith("1 cores")
