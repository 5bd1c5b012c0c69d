"""Measures what a whole study costs: runs `make study` and samples its processes' memory.

    python -m benchmarks.study_cost [--study demo]

Run it in a checkout that has no results of the study yet, after `make setup`. Writes
reports/<study>/cost.csv: seconds, peak memory in GiB (proportional set size of all processes,
sampled twice a second), cores.
"""

import argparse
import os
import subprocess
import sys
import time

import pandas as pd
import psutil

from lib.study import paths


def memory(process: psutil.Process) -> int:
    """The proportional set size of a process and all below it, bytes."""
    total = 0
    for member in (process, *process.children(recursive=True)):
        try:
            total += member.memory_full_info().pss
        except psutil.Error:  # it has ended meanwhile
            continue
    return total


def main() -> int:
    """Runs, samples, writes; returns the study's exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--study", default="demo")
    study = parser.parse_args().study
    begun, peak = time.perf_counter(), 0
    process = psutil.Popen(["make", "study", f"STUDY={study}"], cwd=paths.ROOT)
    while process.poll() is None:
        try:
            peak = max(peak, memory(process))
            process.wait(0.5)
        except (psutil.TimeoutExpired, subprocess.TimeoutExpired, psutil.NoSuchProcess):
            continue
    cost = {"seconds": round(time.perf_counter() - begun), "peak_gib": round(peak / 2**30, 2)}
    cost |= {"cores": len(os.sched_getaffinity(0))}
    print(cost)
    target = paths.report(study).with_name("cost.csv")
    paths.write_whole(target, lambda p: pd.DataFrame([cost]).to_csv(p, index=False))
    return process.returncode


if __name__ == "__main__":
    sys.exit(main())
