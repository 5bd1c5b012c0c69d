"""Workers: the same outcomes in one process or several, in order, with few in flight."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from lib.data.packing import workers
from lib.data.packing.journal import PackingError
from lib.data.packing.workers import Workers, cores
from lib.study import paths
from lib.study.schema import Data, Source

DATA = Data(image_size=16, per_class={"train": 1, "validation": 1, "test": 1})
LEAVES = Source(kind="files", path="leaves")


@pytest.fixture
def at_once(monkeypatch):
    """Processes are begun at the first picture."""
    monkeypatch.setattr(workers, "TRIED", 0)
    monkeypatch.setattr(workers, "WORTHWHILE", -1)
    monkeypatch.setattr(Workers, "_worthwhile", lambda self: self.count > 1)


def listed(found) -> list:
    return [
        (name, None if o.pixels is None else o.pixels.tobytes(), o.facts, o.kind, o.reason)
        for name, o in found
    ]


def test_several_processes_give_what_one_gives(draw, at_once):
    files = draw("leaves", 60)
    files[7].write_bytes(b"")
    names = [file.name for file in files]
    with Workers([LEAVES, LEAVES], DATA, 60, 1) as alone:
        expected = listed(alone.outcomes(0, names))
    with Workers([LEAVES, LEAVES], DATA, 60, 2) as several:
        assert listed(several.outcomes(0, names)) == expected
        assert listed(several.outcomes(1, names[:5])) == expected[:5]  # the same processes
    assert expected[7][1:] == (None, {}, "unusable", "zero bytes")


def test_what_an_unfinished_reading_left_behind_does_not_reach_the_next(draw, at_once):
    names = [file.name for file in draw("leaves", 120)]
    with Workers([LEAVES, LEAVES], DATA, 120, 1) as alone:
        expected = listed(alone.outcomes(0, names[60:]))
    with Workers([LEAVES, LEAVES], DATA, 120, 2) as several:
        unfinished = several.outcomes(0, names)
        next(unfinished)
        unfinished.close()
        assert listed(several.outcomes(0, names[60:])) == expected


def test_only_few_are_ahead_of_the_caller(draw, at_once):
    files = draw("leaves", 200)
    asked = []

    def names():
        for file in files:
            asked.append(file.name)
            yield file.name

    with Workers([LEAVES, LEAVES], DATA, 200, 2) as several:
        outcomes = several.outcomes(0, names())
        next(outcomes)
        time.sleep(0.5)
        assert len(asked) <= 3 * 2 * workers.CHUNK
        outcomes.close()


def test_no_process_outlives_the_workers(draw, at_once):
    files = draw("leaves", 40)
    with Workers([LEAVES, LEAVES], DATA, 40, 2) as several:
        next(several.outcomes(0, [file.name for file in files]))
        children = psutil.Process().children(recursive=True)
        began = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
        assert len(began) == 2
    assert psutil.wait_procs(began, timeout=10)[1] == []


def test_a_process_that_dies_is_an_error_that_says_what_to_do(draw, at_once):
    files = draw("leaves", 200)
    with Workers([LEAVES, LEAVES], DATA, 200, 2) as several:
        outcomes = several.outcomes(0, [file.name for file in files])
        next(outcomes)
        for child in psutil.Process().children(recursive=True):
            if "spawn_main" in " ".join(child.cmdline()):
                child.kill()
        with pytest.raises(PackingError, match="OMP_NUM_THREADS=1"):
            list(outcomes)


def ignores_ctrl_c(process: psutil.Process) -> bool:
    """Whether a process has set SIGINT aside, as a worker does when it begins."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (mask,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigIgn")]
    return bool(int(mask, 16) >> (signal.SIGINT - 1) & 1)


@pytest.fixture
def begun(draw, work):
    """A process of its own group that reads in two others, and they; ended if a test fails."""
    draw("leaves", 400, size=64)
    code = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell's & ignores it
        "from lib.data.packing import workers\n"
        "from test_workers import LEAVES, DATA\n"
        "if __name__ == '__main__':\n"
        "    workers.Workers._worthwhile = lambda self: True\n"
        "    with workers.Workers([LEAVES, LEAVES], DATA, 400, 2) as several:\n"
        "        next(several.outcomes(0, ['%04d.png' % n for n in range(400)]))\n"
        "        print('begun', flush=True)\n"
        "        time.sleep(60)\n"
    )
    (work / "begin.py").write_text(code)
    folders = (paths.ROOT, paths.ROOT / "tests", Path(__file__).parent)
    environment = {**os.environ, "PYTHONPATH": ":".join(map(str, folders))}
    process = subprocess.Popen(
        [sys.executable, str(work / "begin.py")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
        start_new_session=True,
    )
    assert process.stdout.readline() == b"begun\n"
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) >= 2
    deadline = time.monotonic() + 20
    while not all(ignores_ctrl_c(child) for child in children):  # until all have begun
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield process, children
    for child in children:
        if child.is_running():
            child.kill()
    process.kill()
    process.communicate()


def test_processes_end_with_the_one_that_began_them_even_if_it_is_killed(begun):
    process, children = begun
    process.kill()
    process.wait()
    assert psutil.wait_procs(children, timeout=20)[1] == []


def test_ctrl_c_ends_them_all_and_only_one_speaks_of_it(begun):
    process, children = begun
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    assert process.wait(timeout=20) != 0
    assert psutil.wait_procs(children, timeout=20)[1] == []
    assert process.stderr.read().count(b"KeyboardInterrupt") == 1


def test_few_pictures_are_read_without_starting_processes(draw):
    files = draw("leaves", 30)
    with Workers([LEAVES, LEAVES], DATA, 30, 2) as several:
        assert len(list(several.outcomes(0, [file.name for file in files]))) == 30
        assert several._pool is None


def test_many_or_slow_pictures_are_worth_processes(draw, monkeypatch):
    files = draw("leaves", 30)
    read = workers.read

    def slow(*arguments):
        time.sleep(0.01)
        return read(*arguments)

    monkeypatch.setattr(workers, "read", slow)
    with Workers([LEAVES, LEAVES], DATA, 10_000, 2) as several:
        found = list(several.outcomes(0, [file.name for file in files]))
        assert [name for name, _ in found] == [file.name for file in files]
        assert several._pool is not None
        assert several._read == workers.TRIED


def test_as_many_processes_as_the_batch_gives(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert cores() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert cores() >= 1
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")  # as a container's share is
    assert cores() == 1


def test_pixels_and_facts_of_a_picture(draw):
    (file,) = draw("leaves", 1)
    with Workers([LEAVES, LEAVES], DATA, 1, 1) as alone:
        ((name, outcome),) = alone.outcomes(0, [file.name])
    assert name == "0000.png"
    assert outcome.pixels.shape == (16, 16, 3)
    assert outcome.facts["bytes"] == file.stat().st_size
    assert len(outcome.facts["sha256"]) == len(outcome.facts["phash"]) == 64
