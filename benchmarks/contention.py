"""Measures how a busy neighbour slows training: threads wait for each other at every layer.

    python -m benchmarks.contention [--repeats 3]

The demo's network is trained on simulated images: one on all cores, as by hand; the same with
OpenMP told to wait without spinning; and as many side by side as a batch trains, each with the
batch's number of threads. Each is timed alone and beside one process that only computes, in turn.
The fair share of c cores beside one such process is a slowdown of (c + 1) / c. Writes
benchmarks/contention.csv.
"""

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from statistics import median

import pandas as pd

from lib.data.packing.workers import cores
from lib.study import paths

TABLE = paths.ROOT / "benchmarks" / "contention.csv"


def settings(count: int) -> dict[str, tuple[int, dict[str, str]]]:
    """By name: how many networks at a time, and the environment of each, on so many cores."""
    each = max(1, count // 4)  # rules/networks.smk
    every = {"OMP_NUM_THREADS": str(count)}
    return {
        "one on all cores": (1, every),
        "one on all cores, passive waiting": (1, every | {"OMP_WAIT_POLICY": "passive"}),
        "side by side, as in a batch": (count // each, {"OMP_NUM_THREADS": str(each)}),
    }


def spent(networks: int, environment: dict[str, str]) -> float:
    """Seconds until the last of so many networks is trained and has scored, without start-up."""
    command = [sys.executable, "-m", "benchmarks.growth", "epochs", "16"]
    with tempfile.TemporaryDirectory() as work:
        running = [
            subprocess.Popen(
                command,
                cwd=paths.ROOT,
                env={**os.environ, **environment, "PATCHWISE_WORK": f"{work}/{number}"},
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for number in range(networks)
        ]
        told = [process.communicate()[0] for process in running]
    return max(json.loads(out.splitlines()[-1])["seconds"] for out in told)


def busy() -> None:
    """Computes until it is ended."""
    while True:
        pass


def beside(networks: int, environment: dict[str, str]) -> float:
    """The same beside a busy loop."""
    neighbour = multiprocessing.get_context("spawn").Process(target=busy, daemon=True)
    neighbour.start()
    try:
        return spent(networks, environment)
    finally:
        neighbour.kill()


def main() -> None:
    """Prints the table and writes it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    repeats, lines = parser.parse_args().repeats, []
    for name, (networks, environment) in settings(cores()).items():
        pairs = [
            (spent(networks, environment), beside(networks, environment)) for _ in range(repeats)
        ]
        lines.append(
            {
                "trained": name,
                "networks": networks,
                "threads": int(environment["OMP_NUM_THREADS"]),
                "alone, s": median(alone for alone, _ in pairs),
                "beside a busy loop, s": median(other for _, other in pairs),
                "slowdown": median(other / alone for alone, other in pairs),
                "fair": (cores() + 1) / cores(),
            }
        )
        print(pd.DataFrame(lines[-1:]).round(2).T.to_string(header=False), flush=True)
    table = pd.DataFrame(lines).round(2)
    paths.write_whole(TABLE, lambda p: table.to_csv(p, index=False))


if __name__ == "__main__":
    main()
