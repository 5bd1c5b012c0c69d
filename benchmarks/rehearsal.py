"""Rehearses a study of the paper's size: time, memory and disk of each station, and kills.

    python -m benchmarks.rehearsal [--images 28000]

Makes cheap JPEGs of 256 px, so many of each class and a seventh as many of a second cell to test
on, and a study of them, and goes through it as `make study` would: packing; the audits; one small
network at 128 px that sees each training patch once, in two epochs that both score 4,000 + 4,000
images of each cell; the votes and tables; the report. It does so with an eighth of the images, with
an eighth again, each station killed halfway and run anew, whose tables must be those of the
unbroken pass, and with all of them. Memory is of all processes together, without the pages of
files that the system keeps. Writes benchmarks/rehearsal.csv. Of disk it takes 16 GB.
"""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import psutil
import yaml
from joblib import Parallel, delayed

from benchmarks import packing
from lib.study import paths

NAME, PART = "rehearsal", 1000
TABLE = paths.ROOT / "benchmarks" / "rehearsal.csv"
VOTES = ("01_patch_accuracy", "02_grid_vote", "03_random_vote", "04_confident_vote", "generalize")
STATIONS = {
    "packing": ["--", "all_packed"],
    "audit": ["--until", "audit"],
    "training and scoring": ["--until", "train"],
    "votes and tables": ["--until", *VOTES],
    "report": [],
}
NEEDED = 16e9 / 28_000
"""Bytes of disk for each picture of a class."""


def study(images: int) -> dict[str, object]:
    """A study's file, with so many images of each class to train, validate and test on."""
    test = images // 7
    train = images - test - test // 2
    sources = {
        cell: {side: {"kind": "files", "path": f"{cell}/{side}"} for side in ("real", "fake")}
        for cell in ("noise-gan", "other-gan")
    }
    return {
        "title": "A rehearsal on cheap pictures",
        "data": {
            "image_size": 256,
            "per_class": {"train": train, "validation": test // 2, "test": test},
        },
        "cells": sources,
        "train_on": ["noise-gan"],
        "patch_sizes": [128],
        "model": {"name": "test_resnet"},
        "training": {"epochs": 2, "patches_per_epoch": train * 2 * 4 // 2},
        "deviations": ["The pictures are noise, of which both classes are made alike."],
    }


def write(images: int) -> Path:
    """Writes the study's file where `make study` looks for it; FileExistsError if one is there."""
    file = paths.PARAMS / f"{NAME}.yaml"
    with file.open("x", encoding="utf-8") as new:
        yaml.safe_dump(study(images), new)
    return file


def pictures(folder: Path, images: int) -> None:
    """The pictures of both cells, below a folder of data."""
    works = [
        delayed(packing.make)(folder / cell / str(part), 2 * PART, 256, ".jpg", seed)
        for seed, (cell, part) in enumerate(
            (cell, part)
            for cell, count in (("noise-gan", images), ("other-gan", images // 7))
            for part in range(-(-count // PART))
        )
    ]
    Parallel(n_jobs=-1)(works)
    for side in ("real", "fake"):
        for cell in ("noise-gan", "other-gan"):
            for part in [path for path in (folder / cell).iterdir() if path.name.isdigit()]:
                (folder / cell / side).mkdir(exist_ok=True)
                (part / side).rename(folder / cell / side / part.name)


def station(targets: list[str], work: Path, killed_after: float | None = None) -> dict[str, float]:
    """Seconds, the highest memory and the disk that is taken, GiB, of one of `make study`'s parts.

    One that is killed is run once more, and both count.
    """
    command = [sys.executable, "-m", "snakemake", "--logger", "patchwise"]
    command += ["--profile", "profiles/local", "--config", f"study={NAME}", *targets]
    environment = {**os.environ, "PYTHONPATH": "rules", "PATCHWISE_WORK": str(work / "work")}
    environment |= {"PATCHWISE_DATA": str(work / "pictures")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    how = {"cwd": paths.ROOT, "env": environment, "stdout": subprocess.DEVNULL}
    before, begun = taken(work / "work"), time.perf_counter()
    if killed_after:
        process = subprocess.Popen(command, **how, stderr=subprocess.DEVNULL)
        try:
            process.wait(killed_after)
        except subprocess.TimeoutExpired:
            members = psutil.Process(process.pid).children(recursive=True)
            for member in (process, *members):
                member.send_signal(signal.SIGKILL)
            process.wait()
    _, peak = packing.watched(command, **how)
    spent = time.perf_counter() - begun
    return {"s": spent, "memory": peak / 1024, "disk": (taken(work / "work") - before) / 2**30}


def taken(folder: Path) -> int:
    """Bytes on the disk."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return sum(file.stat().st_blocks for file in files) * 512


def gone_through(
    work: Path, images: int, kills: dict[str, float] | None = None
) -> dict[str, dict[str, float]]:
    """What each station takes; `kills` says after how many seconds each is killed."""
    shutil.rmtree(work / "work", ignore_errors=True)
    file = write(images)
    try:
        found = {}
        for name, targets in STATIONS.items():
            found[name] = station(targets, work, (kills or {}).get(name))
            shown = ", ".join(f"{key} {value:.2f}" for key, value in found[name].items())
            print(f"{images} + {images} images, {name}: {shown}", flush=True)
        return found
    finally:
        file.unlink()


def tables(work: Path) -> dict[str, bytes]:
    """By name: the tables of the experiments and of the audit."""
    folder = work / "work" / "results" / NAME
    files = [*(folder / "tables").rglob("*.csv"), *(folder / "audit").rglob("*.csv")]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def main() -> int:
    """Prints and writes the table; the exit status is 1 if a kill changed a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=28_000, help="of each class")
    most = parser.parse_args().images
    if (free := shutil.disk_usage(paths.work()).free) < most * NEEDED:
        needed = f"{most * NEEDED / 1e9:.0f} GB, and {free / 1e9:.0f} are free"
        sys.exit(f"{paths.work()} needs {needed}. Set PATCHWISE_WORK to a folder on a larger disk")
    with tempfile.TemporaryDirectory(dir=paths.work()) as scratch:
        work, few = Path(scratch), most // 8
        pictures(work / "pictures", most)
        less = gone_through(work, few)
        unbroken = tables(work)
        broken = gone_through(work, few, {name: each["s"] / 2 for name, each in less.items()})
        after = tables(work)
        names = sorted({*unbroken, *after})
        changed = [name for name in names if unbroken.get(name) != after.get(name)]
        more = gone_through(work, most)
    lines = []
    for name in STATIONS:
        line = {"station": name}
        for count, found in ((few, less), (most, more)):
            line |= {f"{count:,} images, s": found[name]["s"]}
            line |= {f"{count:,} images, memory, GiB": found[name]["memory"]}
            line |= {f"{count:,} images, disk, GiB": found[name]["disk"]}
        line["times as long"] = more[name]["s"] / less[name]["s"]
        line[f"{few:,} images, killed halfway, s"] = broken[name]["s"]
        lines.append(line)
    table = pd.DataFrame(lines).round(2)
    print(table.T.to_string(header=False))
    paths.write_whole(TABLE, lambda p: table.to_csv(p, index=False))
    print("Tables that the kills changed:", ", ".join(changed) or "none")
    return int(bool(changed))


if __name__ == "__main__":
    sys.exit(main())
