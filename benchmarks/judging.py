"""Measures judging beside the slower of its two halves, and its memory as pictures grow.

    python -m benchmarks.judging [--pictures 10000] [--folder <a folder of pictures>]

One half is reading: pictures are decoded, prepared, looked over and shrunk for the page, in as many
processes as there are cores. The other is the network: margins of the grid, verdicts, and the
margins of the altered pictures that a verdict has to survive. Each is timed alone on the same
pictures, with all cores; together they share these cores. Then the command judges a tenth of the
pictures, and all of them, its page included: the memory is that of all its processes, without the
files' pages that the system keeps. Without a folder JPEGs of 256 px are made, of which the network
leaves most open. Writes benchmarks/judging.csv, a line for each kind of picture.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks import packing
from lib.data.packing.workers import cores
from lib.judge import judging, runs
from lib.judge.pictures import listed
from lib.study import paths

ALONE = 1024  # pictures on which the halves and the whole are timed, start-up not counted
TABLE = paths.ROOT / "benchmarks" / "judging.csv"


def rates(folder: Path, count: int) -> dict[str, float]:
    """Pictures a second: each half alone, and both together."""
    network = runs.load(runs.DEFAULT)
    pictures = listed([folder])[0][0]
    pictures = pictures._replace(names=pictures.names[:count], shown=pictures.shown[:count])
    count = len(pictures.names)
    size = network.card.preparation.image_size
    network.margins(
        np.zeros((1, size, size, 3), np.uint8)
    )  # what is compiled at first is not counted
    with judging.readers(network, [pictures], count) as workers:
        begun = time.perf_counter()
        outcomes = list(workers.outcomes(0, pictures.names))
        reading = time.perf_counter() - begun
    begun = time.perf_counter()
    for first in range(0, count, judging.BATCH):
        judging.judged(network, outcomes[first : first + judging.BATCH])
    judged = time.perf_counter() - begun
    with tempfile.TemporaryDirectory() as out:
        begun = time.perf_counter()
        for _ in judging.judge(network, [pictures], Path(out) / "out"):
            pass
        whole = time.perf_counter() - begun
    return {"reading": count / reading, "network": count / judged, "judging": count / whole}


def memory(folder: Path, count: int) -> tuple[float, float]:
    """Seconds of the command on so many pictures, and the highest memory of its processes, MiB."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        few = Path(scratch) / "pictures"
        few.mkdir()
        for path in sorted(path for path in folder.rglob("*.*"))[:count]:
            (few / f"{path.parent.name}_{path.name}").hardlink_to(path)
        command = [sys.executable, "-m", "lib", "judge", str(few), "--out", f"{scratch}/out"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return packing.watched(command, cwd=paths.ROOT, **quiet)


def measured(name: str, folder: Path, count: int) -> dict[str, object]:
    """One line of the table."""
    rate = rates(folder, min(ALONE, count))
    line = {"pictures": name, "processes": cores()}
    line |= {f"{half}, pictures/s": value for half, value in rate.items()}
    line["ratio"] = rate["judging"] / min(rate["reading"], rate["network"])
    for some in (count // 10, count):
        seconds, peak = memory(folder, some)
        line |= {f"memory at {some}, MiB": peak}
    return line | {f"command on {count}, s": seconds}


def main() -> None:
    """Prints the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=10_000)
    parser.add_argument("--folder", type=Path, help="of pictures; not kept in the table")
    given = parser.parse_args()
    if given.folder:
        count = sum(len(each.names) for each in listed([given.folder])[0])
        lines = [measured(given.folder.name, given.folder, count)]
    else:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch) / "in"
            packing.make(folder, given.pictures, 256, ".jpg")
            lines = [measured("JPEG, 256 px", folder, given.pictures)]
    table = pd.DataFrame(lines).round(2)
    print(table.T.to_string(header=False))
    if not given.folder:
        paths.write_whole(TABLE, lambda p: table.to_csv(p, index=False))


if __name__ == "__main__":
    main()
