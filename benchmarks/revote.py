"""Measures Experiments 1 to 4 voted anew at the paper's size, with every switch and interval.

    python -m benchmarks.revote [--epochs 50 --images 4000 --patches 256 --resamples 1000]

A run of synthetic margins is stored; then all rules, all θ in all readings, and all quirks that
only count votes otherwise are voted from it, each with all its statistics and their intervals, as
notebooks 01 to 04 would. Prints the seconds, and the memory of the whole process. Writes
benchmarks/revote.csv.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.measuring import Row, highest_memory
from lib import margins
from lib.results import tables
from lib.study import paths, reading
from lib.study.quirks import Quirks
from lib.study.run import Run
from lib.voting import rules

SWITCHES = {
    "plain": {},
    "fallback_counts_fake": {"fallback_counts_fake": True},
    "last_patch_only": {"last_patch_only": True},
    "even_crops_ties_wrong": {"even_crops_ties_wrong": True},
}


def store(run: Run, epochs: int, images: int, patches: int) -> None:
    """Lays down a finished run of synthetic margins: fakes lie a little higher."""
    generator, labels = np.random.default_rng(0), np.arange(images, dtype=np.uint8) % 2
    run.folder.mkdir(parents=True)
    config = margins.config(run, {run.train: {"test": ""}}, precision="fp32", device="none")
    (run.folder / "config.json").write_text(json.dumps(config), "utf-8")
    history = pd.DataFrame({"epoch": range(epochs), "validation_accuracy": 0.5})
    history.to_csv(run.folder / "history.csv", index=False)
    for kind, count in (("grid", patches), ("crops", patches + 1)):
        z = generator.standard_normal((epochs, images, count), dtype=np.float32)
        z += 0.2 * labels[:, None]
        origins = np.zeros((count, 2), np.int32)
        index = [np.arange(n, dtype=np.int32) for n in (epochs, images)]
        content = margins.Margins(z, labels, origins, *index)
        path = paths.margins(run.folder, run.train, "test", kind)
        margins.save(path, content, packed_hash="", crops_seed=0)


def vote(run: Run) -> dict[str, tuple[float, int]]:
    """Votes everything; returns the seconds and the numbers in the tables of each part."""
    begun, spent = time.perf_counter(), {}

    def took(part: str, numbers: int) -> None:
        nonlocal begun
        spent[part] = (time.perf_counter() - begun, numbers)
        begun = time.perf_counter()

    grid = margins.load(run, run.train)
    crops = margins.load(run, run.train, kind="crops")
    took("reading the margins", 0)
    sheet = tables.Sheet(run, 1, grid)
    sheet.patches()
    for rule in rules.voting_on("grid"):
        sheet.vote(rule)
    took("patches, and votes of the grid", len(sheet.table()))
    thetas = run.study.voting.thetas
    confident = [rules.confident(theta, meaning) for meaning in rules.READINGS for theta in thetas]
    for name, switched in SWITCHES.items():
        study = run.study.model_copy(update={"quirks": Quirks(**switched)})
        sheet = tables.Sheet(run.model_copy(update={"study": study}), 4, grid)
        if name != "even_crops_ties_wrong":
            for rule in confident:
                sheet.vote(rule)
        if name in ("plain", "even_crops_ties_wrong"):
            sheet.also(crops).vote("crops")
        took(f"confident patches and crops: {name}", len(sheet.table()))
    return spent


def measured(
    epochs: int, images: int, patches: int = 256, resamples: int = 1000
) -> tuple[dict[str, tuple[float, int]], float]:
    """Stores margins and votes; returns what `vote` returns, and the highest memory, GiB."""
    before = os.environ.get("PATCHWISE_WORK")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["PATCHWISE_WORK"] = folder
        overrides = {"bootstrap": {"resamples": resamples}}
        run = reading.run(
            "paper", "ffhq", "stylegan2", 16, variant="synthetic", overrides=overrides
        )
        store(run, epochs, images, patches)
        with highest_memory(torch.device("cpu")) as highest:
            spent = vote(run)
            memory = highest()
    del os.environ["PATCHWISE_WORK"]
    if before is not None:
        os.environ["PATCHWISE_WORK"] = before
    return spent, memory


def row(epochs: int, images: int) -> Row:
    """The benchmark's row: the seconds of voting all anew."""
    spent, memory = measured(epochs, images)
    unit = f"s for {epochs} epochs of {images} images"
    return Row("revote", 16, sum(took for took, _ in spent.values()), unit, memory=memory)


def main() -> None:
    """Stores, votes, prints, writes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("epochs", 50), ("images", 4000), ("patches", 256), ("resamples", 1000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    spent, memory = measured(**vars(asked))
    table = pd.DataFrame(spent, index=["seconds", "numbers"]).T
    table.loc["all"] = table.sum()
    size = f"{asked.epochs} x {asked.images} x {asked.patches}"
    table = table.assign(size=size, resamples=asked.resamples, peak_gib=round(memory, 2))
    table = table.assign(cores=len(os.sched_getaffinity(0))).round({"seconds": 2})
    print(table.to_string())
    target = Path(__file__).with_suffix(".csv")
    paths.write_whole(target, lambda p: table.to_csv(p, index_label="part"))


if __name__ == "__main__":
    main()
