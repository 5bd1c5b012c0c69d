"""A campaign against the project: kills, full disks, bad input and mutated pictures.

    python -m tests.campaign [--short] [--minutes 10] [--seed 0]

A tiny study is packed, trained, voted on, reported and judged with. Each is killed at random times,
and before every rename, removal and new folder, and run again: it must end as if unbroken, and do
nothing again that was finished. Each also meets disks that fill up. Then there are the table of
`tests/bad_input.py`, pictures with bytes changed, and, but for the short form, a batch that is
killed. Ends with figures; the exit status is 1 if one of them is not 0. CI runs the short form.
"""

import argparse
import contextlib
import ctypes
import hashlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

os.environ |= {"OMP_NUM_THREADS": "1", "MPLBACKEND": "Agg", "TQDM_DISABLE": "1"}
sys.path.insert(0, str(Path(__file__).parent))

# ruff: noqa: E402
import numpy as np
import pandas as pd
import psutil
from bad_input import CHECK, JUDGE, KINDS, PACK, REPORT, TRAIN, VOTE, Bad, Place, act, copied, lay
from clone_helpers import clone, lone
from huggingface_hub import constants
from matplotlib.figure import Figure
from PIL import Image
from safetensors.numpy import load_file

from lib.data import images
from lib.data.sources.files import FileSource
from lib.judge import judging
from lib.networks import training  # noqa: F401 - so that children need not import it
from lib.study import paths
from lib.study.files import RECORD
from lib.study.schema import Preparation

OF_A, OF_B = ("--code", "a"), ("--code", "b")
STAGES = {"pack": (*PACK, *OF_A), "train": (*TRAIN, *OF_A), "table": VOTE, "report": REPORT}
STAGES |= {"judge": JUDGE, "repack": (*PACK, *OF_B), "retrain": (*TRAIN, *OF_B)}
"""In the order of the work; each begins with what those before it made. The last two make anew what
other code finished."""
FAULTS = ("lost", "wrong", "blocked", "tracebacks", "hangs")
CALLS = ("rename", "replace", "unlink", "rmdir", "mkdir")
LIMIT = 10.0  # seconds
LETTERS = 3000  # that a message has at most
SIZES = {"pack": (8, 40, 90, 120), "train": (40, 400, 1600, 4000), "table": (4, 20)}
SIZES |= {"report": (8, 40, 100), "judge": (8, 60, 200)}
"""The kilobytes that are left on a full disk, by the stage that meets it."""


class Ended(NamedTuple):
    """How a call ended: its exit status, None if it was stopped after its time; what it said."""

    status: int | None
    said: str
    seconds: float


def call(
    place: Place,
    arguments: tuple[str, ...],
    environment: Mapping[str, str] | None = None,
    arm: Callable[[], object] | None = None,
    seconds: float | None = None,
    killed_after: float | None = None,
) -> Ended:
    """Does what the arguments say in a process of its own, in which `arm` is called first.

    It is stopped after so many seconds, by default `LIMIT` where nothing else is done.
    """
    output, begun = place.root / "said", time.monotonic()
    output.write_bytes(b"")
    allowed = seconds or LIMIT * max(1, os.getloadavg()[0] / (os.cpu_count() or 1))
    if not (child := os.fork()):
        _in_child(place, arguments, {**place.environment, **(environment or {})}, arm, output)
    status, until = None, begun + (killed_after or allowed)
    while status is None and time.monotonic() < until:
        time.sleep(0.002)
        done, how = os.waitpid(child, os.WNOHANG)
        status = os.waitstatus_to_exitcode(how) if done else None
    if status is None:
        try:
            os.killpg(child, signal.SIGKILL)
        except ProcessLookupError:  # it leads no group yet
            os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        status = -signal.SIGKILL if killed_after else None
    return Ended(status, output.read_text("utf-8", "replace"), time.monotonic() - begun)


def _in_child(place: Place, arguments, environment, arm, output: Path) -> None:
    """The child's whole life."""
    status = 70
    try:
        os.setsid()
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        for stream in (1, 2):
            os.dup2(file, stream)
        os.environ |= environment
        os.chdir(place.root)
        paths.PARAMS = place.study.parent
        constants.ENDPOINT = "https://localhost:9"  # no network
        drawn = Image.new("RGB", (1, 1))
        judging.BATCH = 4  # so that a folder is judged in several parts
        Figure.savefig = lambda _, to, **how: drawn.save(to, "PNG")  # drawing takes longest
        if arm:
            arm()
        status = act(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


# What was made, and what of it was finished


def made(place: Place, stage: str) -> dict[str, str]:
    """A digest of each file that a stage makes, but for what tells the time."""
    folders = {
        "pack": "work/data", "train": "work/results/tiny/runs", "report": "work/reports/tiny",
        "judge": "work/judged",
    }  # fmt: skip
    stage = stage.removeprefix("re") if stage != "report" else stage
    where = [folders[stage]] if stage in folders else ["work/results/tiny/tables"]
    where += ["work/results/tiny/verdicts"] if stage == "table" else []
    found = {}
    for folder in where:
        for path in sorted((place.root / folder).rglob("*")):
            name = path.relative_to(place.root).as_posix()
            hidden = any(part.startswith(".") for part in path.relative_to(place.root).parts)
            if path.is_file() and not hidden and "/judged/parts/" not in f"/{name}":
                found[name] = _digest(path)
    return found


def _digest(path: Path) -> str:
    if path.name == "files.json":  # its digests are compared, by `check`
        known = json.loads(path.read_text("utf-8"))
        return f"{known['code']}, {sorted(known['sha256'])}"
    if path.name == "config.json":  # the checkout may be edited meanwhile
        content = json.loads(path.read_text("utf-8"))
        content = {k: v for k, v in content.items() if k not in ("git_commit", "earlier")}
    elif path.suffix == ".safetensors":
        content = {k: (v.shape, v.tobytes()) for k, v in sorted(load_file(path).items())}
    elif path.name == "history.csv":
        content = pd.read_csv(path).filter(regex="^(?!.*seconds)").to_csv()
    else:
        content = path.read_bytes()
    return hashlib.sha256(repr(content).encode()).hexdigest()


def finished(place: Place, stage: str) -> dict[str, object]:
    """What a stage had finished when it was killed, each with what must not change any more."""
    if stage in ("train", "retrain"):
        rows = [json.loads(row.read_text()) for row in _epochs(place).glob("[0-9]*/row.json")]
        if stage == "train" and (place.run / "history.csv").is_file():
            rows = pd.read_csv(place.run / "history.csv").to_dict("records")
        return {f"epoch {row['epoch']}": row["training_seconds"] for row in rows}
    if stage == "pack":
        draft = paths.beside(place.packed) / "journal.jsonl"
        if (place.packed / "packed.json").is_file():
            return {"pictures": 26}
        lines = draft.read_text("utf-8").count("\n") if draft.is_file() else 0
        return {"pictures": lines}
    kept = {"judge": "work/judged/parts/[0-9]*"}.get(stage)
    return {p.name: p.stat().st_mtime_ns for p in place.root.glob(kept)} if kept else {}


def _digests(place: Place) -> dict[str, str]:
    """Of all that was packed, trained and voted; not of the records, which may become others."""
    folders = (place.work / "data", place.work / "results")
    made = [path for folder in folders for path in folder.rglob("[!.]*") if path.is_file()]
    return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in made if p.name != RECORD}


def _epochs(place: Place) -> Path:
    return paths.beside(place.run) / "epochs"


def _count_reads(file: Path) -> None:
    """Has this process leave a byte for each picture that it reads."""
    read = FileSource.read

    def counted(self, name):
        with open(file, "ab") as reads:
            reads.write(b".")
        return read(self, name)

    FileSource.read = counted


# What is tried


class Campaign:
    """What was tried and what came of it, part by part."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.random = folder, random.Random(seed)
        self.tried: Counter[str] = Counter()
        self.faults: dict[str, Counter[str]] = {}
        self.stages: dict[str, Place] = {}  # with what each begins, what it makes, and how long
        self.whole: dict[str, dict[str, str]] = {}
        self.seconds: dict[str, float] = {}

    def fault(self, part: str, kind: str, case: str, said: str = "") -> None:
        """Notes, and prints, that something is not as it must be."""
        self.faults.setdefault(part, Counter())[kind] += 1
        print(f"{kind}: {part}: {case}: {said[-600:].strip()}", flush=True)

    def place(self, stage: str) -> Place:
        """A copy of the place in which a stage begins; the former one goes."""
        shutil.rmtree(self.folder / "here", ignore_errors=True)
        return copied(self.stages[stage], self.folder / "here")

    def prepare(self) -> None:
        """Does all once, unbroken; keeps what each stage begins with, and what it makes."""
        place = lay(self.folder / "whole")
        for stage, arguments in STAGES.items():
            self.stages[stage] = copied(place, self.folder / stage)
            ended = call(place, arguments, seconds=300)
            if ended.status != 0:
                sys.exit(f"{stage}, unbroken: {ended.said}")
            self.whole[stage], self.seconds[stage] = made(place, stage), ended.seconds

    def again(self, part: str, stage: str, place: Place, case: str) -> None:
        """Runs a killed stage again, and holds what it makes to what an unbroken one did."""
        self.tried[part] += 1
        before, reads = finished(place, stage), place.root / "reads"
        reads.write_bytes(b"")
        ended = call(place, STAGES[stage], arm=partial(_count_reads, reads), seconds=60)
        if ended.status is None:
            return self.fault(part, "hangs", case, ended.said)
        if "Traceback" in ended.said:
            self.fault(part, "tracebacks", case, ended.said)
        if ended.status != 0:
            return self.fault(part, "blocked", case, ended.said)
        other = sorted({name for name, _ in made(place, stage).items() ^ self.whole[stage].items()})
        if other:
            self.fault(part, "wrong", case, ", ".join(other))
        if stage not in ("table", "report", "judge") and call(place, CHECK, seconds=60).status != 0:
            self.fault(part, "wrong", case, "check")
        now = finished(place, "train" if stage == "retrain" else stage)
        if stage == "pack":
            now = {"pictures": min(before["pictures"], 26 - reads.stat().st_size)}
        if any(now.get(name) != value for name, value in before.items()):
            self.fault(part, "lost", case, f"{before}, now {now}")

    def random_kill(self, stage: str) -> None:
        """Kills a stage at any moment."""
        place, after = self.place(stage), self.random.uniform(0, 1.1 * self.seconds[stage])
        call(place, STAGES[stage], killed_after=after)
        self.again("random kills", stage, place, f"{stage}, after {after:.3f} s")

    def aimed_kills(self, stage: str) -> list[Callable[[], None]]:
        """The kills of a stage before each of its calls that change a folder."""
        place = self.place(stage)
        arm = partial(_die_before, None, place.root / "calls")
        ended = call(place, STAGES[stage], arm=arm, seconds=60)
        if ended.status != 0:
            sys.exit(f"{stage}, unbroken: {ended.said}")
        count = (place.root / "calls").stat().st_size
        return [partial(self.aimed_kill, stage, number) for number in range(count)]

    def aimed_kill(self, stage: str, number: int) -> None:
        """Kills a stage before one of them."""
        place = self.place(stage)
        arm, case = partial(_die_before, number, place.root / "calls"), f"before call {number}"
        ended = call(place, STAGES[stage], arm=arm, seconds=60)
        if ended.status != -signal.SIGKILL:
            self.fault("aimed kills", "wrong", f"{stage}, {case}: not killed", ended.said)
        self.again("aimed kills", stage, place, f"{stage}, {case}")

    def full_disk(self, stage: str, kilobytes: int) -> None:
        """Has a stage meet a disk with so much left, and then one with more."""
        part, place, case = "full disks", self.place(stage), f"{stage}, {kilobytes} kB free"
        small = self.folder / "small"
        small.mkdir(exist_ok=True)
        with mounted(small, 200 * 1024):
            shutil.copytree(place.work, small / "work", symlinks=True)
            used = shutil.disk_usage(small).used // 1024
            _mount("-o", f"remount,size={kilobytes + used}k", small)
            shutil.rmtree(place.work)
            place.work.symlink_to(small / "work", target_is_directory=True)
            status, said, _ = call(place, STAGES[stage], seconds=60)
            if status is None:
                return self.fault(part, "hangs", case, said)
            if status and ("on a larger disk" not in said or len(said) > LETTERS):
                self.fault(part, "tracebacks", case, said)
            if status == 0 and kilobytes == min(SIZES[stage]):
                self.fault(part, "wrong", f"{case}: the disk was not full")
            _mount("-o", "remount,size=200m", small)
            self.again(part, stage, place, case)

    def bad_input(self, bad: Bad) -> None:
        """Gives one kind of bad input, and holds what is said to what must be."""
        part, place, case = "bad input", self.place("judge"), f"{bad.kind}, {bad.arguments[0]}"
        before = _digests(place)
        bad.make(place)
        left = {name: known for name, known in _digests(place).items() if before.get(name) == known}
        self.tried[part] += 1
        status, said, _ = call(place, bad.arguments, bad.environment)
        after = _digests(place)
        if gone := [name for name, known in left.items() if after.get(name) != known]:
            self.fault(part, "lost", case, ", ".join(gone))
        if status is None:
            self.fault(part, "hangs", case)
        elif "Traceback" in said or len(said) > LETTERS:
            self.fault(part, "tracebacks", case, said)
        elif status != bad.status or bad.said not in said:
            self.fault(part, "wrong", case, said)

    def mutated(self, count: int) -> None:
        """Decodes so many pictures with bytes changed: each is usable, or is said not to be."""
        seed, place = self.random.randrange(2**32), self.place("pack")
        note, part = place.root / "note", "mutated pictures"
        arm = partial(_decode, seed, count, note)
        ended = call(place, ("none",), arm=arm, seconds=60 + count / 20)
        done = json.loads(note.read_text("utf-8"))
        self.tried[part] += done["tried"]
        if ended.status != 0 or done["tried"] < count:
            kind = "hangs" if ended.status is None else "tracebacks"
            self.fault(part, kind, f"seed {seed}, {done}", ended.said)

    def batch(self) -> Iterator[None]:
        """Kills a batch, all its processes or Snakemake's alone, whose others must end too."""
        part, checkout = "killed batches", clone(self.folder / "clone")
        shutil.copy(self.stages["pack"].study, checkout / "params")
        given = lone(checkout, self.folder) | {"PATCHWISE_DATA": str(self.stages["pack"].data)}
        command = [sys.executable, "-m", "snakemake", "--profile", "profiles/local"]
        command += ["--config", "study=tiny"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        how = {"cwd": checkout, "env": given, "start_new_session": True}
        begin = partial(subprocess.Popen, command, **how, **quiet)
        results, whole, seconds = checkout / "results" / "tiny", {}, 0.0
        while True:
            process, begun, alone = begin(), time.monotonic(), self.random.random() < 0.5
            if whole:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(self.random.uniform(2, seconds))
                (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
                process.wait()
                case, until = "alone" if alone else "with its group", time.monotonic() + LIMIT
                while (left := _running(checkout)) and time.monotonic() < until:
                    time.sleep(0.1)
                if left:
                    self.fault(part, "hangs", case, str(left))
                self.tried[part] += 1
                process = begin()
            status, tables = process.wait(), {}
            files = [*results.glob("tables/*/*.csv"), *results.glob("verdicts/*/*.parquet")]
            for file in sorted([*files, *results.glob("runs/**/*.safetensors")]):
                tables[str(file.relative_to(results))] = _digest(file)
            if not whole and (status or not tables):
                sys.exit(f"a batch, unbroken: exit status {status}, {len(tables)} tables")
            if whole and status:
                self.fault(part, "blocked", case, (results / "notebooks").as_posix())
            elif whole and tables != whole:
                self.fault(part, "wrong", case, str(tables.keys() ^ whole.keys()))
            whole, seconds = whole or tables, seconds or time.monotonic() - begun
            for folder in (results, checkout / "reports" / "tiny", checkout / "data"):
                shutil.rmtree(folder, ignore_errors=True)
            yield

    def table(self) -> str:
        """What was tried and what came of it."""
        lines = [f"{'':18}{'tried':>9}" + "".join(f"{fault:>12}" for fault in FAULTS)]
        for part, tried in self.tried.items():
            found = self.faults.get(part, Counter())
            lines.append(f"{part:18}{tried:9,}" + "".join(f"{found[fault]:12}" for fault in FAULTS))
        return "\n".join(lines)


def _running(folder: Path) -> list[str]:
    """The commands of all processes that run in a folder."""
    commands = []
    for process in psutil.process_iter(["status"]):
        with contextlib.suppress(psutil.Error):
            if process.info["status"] != psutil.STATUS_ZOMBIE and process.cwd() == str(folder):
                commands.append(" ".join(process.cmdline())[:100])
    return commands


def _die_before(number: int | None, count: Path) -> None:
    """Has this process kill itself before such a call, or count all of them."""
    count.write_bytes(b"")

    def counted(function):
        def wrapped(*arguments, **named):
            if count.stat().st_size == number:
                os.kill(os.getpid(), signal.SIGKILL)
            with open(count, "ab") as file:
                file.write(b".")
            return function(*arguments, **named)

        return wrapped

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))


# Disks that fill up


def _mount(*arguments: object) -> None:
    subprocess.run(["mount", *map(str, arguments)], check=True, capture_output=True)


@contextlib.contextmanager
def mounted(folder: Path, kilobytes: int) -> Iterator[None]:
    """A disk of so many kilobytes at a folder."""
    _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def can_mount() -> bool:
    """Whether this process has a disk of its own to fill: as root, or in a space of its own."""
    spaces = 0x00020000 | (0x10000000 if os.getuid() else 0)  # CLONE_NEWNS, CLONE_NEWUSER
    user, group = os.getuid(), os.getgid()
    if ctypes.CDLL(None).unshare(spaces):
        return False
    with contextlib.suppress(OSError):
        if user:
            Path("/proc/self/setgroups").write_text("deny")
            Path("/proc/self/uid_map").write_text(f"0 {user} 1")
            Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.suppress(subprocess.CalledProcessError),
    ):
        _mount("--make-rprivate", "/")
        with mounted(Path(folder), 64):
            return True
    return False


# Mutated pictures


def _originals() -> list[bytes]:
    """Pictures in every format and mode that is read."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)
    smooth = np.kron(noise[:5, :6], np.ones((8, 8, 1), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    files = []
    for pixels in (noise, smooth):
        picture = Image.fromarray(pixels)
        for kind, how in (
            ("PNG", {}), ("JPEG", {"quality": 80}), ("JPEG", {"progressive": True, "exif": exif}),
            ("WEBP", {}), ("WEBP", {"lossless": True}),
        ):  # fmt: skip
            memory = io.BytesIO()
            picture.save(memory, kind, **how)
            files.append(memory.getvalue())
        for mode in ("P", "L", "RGBA", "1", "CMYK"):
            memory = io.BytesIO()
            picture.convert(mode).save(memory, "JPEG" if mode == "CMYK" else "PNG")
            files.append(memory.getvalue())
    return files


def _mutate(content: bytes, generator: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(generator.choice((1, 1, 2, 5, 20))):
        if not data:
            break
        at, length = generator.randrange(len(data)), generator.randrange(1, 9)
        how = generator.randrange(5)
        if how == 0:
            data[at] ^= 1 << generator.randrange(8)
        elif how == 1:
            data[at : at + length] = generator.randbytes(length)
        elif how == 2:
            data[at : at + length] = b""
        elif how == 3:
            data[at:at] = data[at : at + 30 * length]
        else:
            del data[at + 1 :]
    return bytes(data)


def _decode(seed: int, count: int, note: Path) -> None:
    """Decodes mutated pictures, and ends this process; what it did stands in `note`."""
    generator, originals, told = random.Random(seed), _originals(), Counter(tried=0)
    for number in range(count):
        if number % 50 == 0:
            note.write_text(json.dumps(told))
        content = _mutate(generator.choice(originals), generator)
        try:
            pixels = images.prepare(content, Preparation(image_size=32)).pixels
            told["usable"] += pixels.shape == (32, 32, 3)
        except images.Unusable as error:
            told["unusable"] += len(str(error)) < LETTERS
        told["tried"] += 1
    note.write_text(json.dumps(told))
    os._exit(0 if told["usable"] + told["unusable"] == count else 1)


def main() -> int:
    """Does all that time allows, prints the table, and gives the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.campaign")
    parser.add_argument("--short", action="store_true", help="some of each, in about a minute")
    parser.add_argument("--minutes", type=float, default=10, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="default: %(default)s")
    given, begun, disks = parser.parse_args(), time.monotonic(), can_mount()
    until = begun + 60 * given.minutes
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        tried = Campaign(Path(folder), given.seed)
        tried.prepare()
        print(*(f"{stage}, unbroken: {s:.1f} s" for stage, s in tried.seconds.items()), sep="\n")
        cases = {
            "bad input": [partial(tried.bad_input, kind) for kind in KINDS],
            "full": [partial(tried.full_disk, s, k) for s in SIZES for k in SIZES[s] if disks],
            "aimed": [kill for stage in STAGES for kill in tried.aimed_kills(stage)],
            "random": [partial(tried.random_kill, stage) for stage in STAGES for _ in range(8)],
            "mutated": [partial(tried.mutated, 1000)] * 50,
        }
        for part in cases.values():
            tried.random.shuffle(part)
        if given.short:
            cases = {name: part[: 2 if name == "mutated" else 8] for name, part in cases.items()}
        elif given.minutes >= 5:
            killed = tried.batch()
            cases["batch"] = [partial(next, killed)] * 4
        # In turn, the same share of each, so that what there is no time for is some of each.
        order = [(n / len(part), case) for part in cases.values() for n, case in enumerate(part)]
        left_out = 0
        for _, case in sorted(order, key=lambda pair: pair[0]):
            if time.monotonic() < until:
                case()
            else:
                left_out += 1
    print(tried.table(), "" if disks else "full disks: none can be mounted here", sep="\n")
    if left_out:
        print(f"{left_out} of {len(order)} cases left out: no time")
    counts, minutes = sum(tried.faults.values(), Counter()), (time.monotonic() - begun) / 60
    said = ", ".join(f"{counts[fault]} {fault}" for fault in FAULTS)
    print(f"{sum(tried.tried.values()):,} tried in {minutes:.1f} minutes: {said}")
    return 1 if counts else 0


if __name__ == "__main__":
    sys.exit(main())
