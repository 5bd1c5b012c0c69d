"""Measures Experiments 2 to 4 with all rules and θ on margins of the paper's size.

    python benchmarks/revote.py [--epochs 50 --images 4000 --patches 256]

Prints the seconds and the memory beyond the margins themselves.
"""

import argparse
import resource
import time

import numpy as np

from lib import voting

THETAS = [1.0, 0.9, 0.8, 0.7, 0.6]


def peak_mib() -> float:
    """The process's highest memory so far, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Makes margins, votes, prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--patches", type=int, default=256)
    asked = parser.parse_args()

    shape = (asked.epochs, asked.images, asked.patches)
    generator = np.random.default_rng(0)
    crops_shape = (*shape[:2], shape[2] + 1)
    grid = generator.standard_normal(shape, dtype=np.float32)
    crops = generator.standard_normal(crops_shape, dtype=np.float32)
    before = peak_mib()
    print(f"synthetic margins {shape}: {grid.nbytes / 2**20:.0f} MiB, and as many for the crops")

    total = 0.0
    for rule in ("grid", "mean_margin", "mean_probability", "crops", "confident"):
        begun = time.perf_counter()
        if rule == "confident":
            for vote in voting.confident(grid, THETAS).values():
                voting.verdicts(vote.scores, rule)
        else:
            voting.verdicts(voting.SCORES[rule](crops if rule == "crops" else grid), rule)
        seconds = time.perf_counter() - begun
        total += seconds
        print(f"{rule:18s}{seconds:8.2f} s")
    print(f"{'all':18s}{total:8.2f} s, {peak_mib() - before:.0f} MiB beyond the margins")


if __name__ == "__main__":
    main()
