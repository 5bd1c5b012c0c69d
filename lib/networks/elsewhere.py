"""A finished network's margins of patches that lie elsewhere than those it was trained on."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from lib import margins
from lib.data import packed
from lib.networks.batches import LATTICE
from lib.networks.scoring import margins_of, resident, score, scorer_of
from lib.patches import crop_origins, displaced_origins
from lib.study.run import Run

AXES = {"down": (True, False), "across": (False, True), "both": (True, True)}
"""Along which axes a grid is displaced."""
Judged = tuple[Run, dict[str, Any], np.ndarray, np.ndarray]
"""A network's run; where the patches lie; their margins, float32 (N, P); labels, uint8 (N,)."""


def displaced(run: Run, distances: list[int]) -> Iterator[Judged]:
    """The test images' grid, displaced along `AXES` by distances, px: `axes` and `distance`."""
    stored = margins.load(run, run.test, epoch=margins.validated(run))
    sizes, scorer = (run.study.data.image_size, run.patch_size), scorer_of(run)
    images = packed.load(run.study, run.test).images[stored.image_index]
    images = resident(images, scorer.device)
    for name, axes in AXES.items():
        for distance in distances:
            origins = displaced_origins(*sizes, distance, axes)
            z = score(scorer, images, origins, run.patch_size)
            yield run, {"axes": name, "distance": distance}, z, stored.labels


def on_crops(run: Run) -> Iterator[Judged]:
    """The test images' grid, and their crops that are `aligned` and that lie `anywhere`: `tested`.

    The two others than the aligned are the stored ones, at the validated epoch.
    """
    grid, crops = (
        margins.load(run, run.test, kind=kind, epoch=margins.validated(run))
        for kind in ("grid", "crops")
    )
    data, sizes = packed.load(run.study, run.test), (run.study.data.image_size, run.patch_size)
    names, count = list(data.manifest["image_id"].iloc[grid.image_index]), crops.margins.shape[-1]
    origins = crop_origins(names, *sizes, count, seed=run.study.data.seed, step=LATTICE)
    aligned = margins_of(run, data.images[grid.image_index], origins)
    placed = {"grid": grid.margins[0], "aligned": aligned, "anywhere": crops.margins[0]}
    for name, z in placed.items():
        yield run, {"tested": name}, z, grid.labels
