"""All of Tables 1 to 4 for one network: scored once and voted, beside each table by itself.

The released scripts run the network anew for each table, and for Table 4 for each θ.
"""

import functools
from statistics import median

import numpy as np
import torch

from benchmarks import plain
from benchmarks.measuring import Row, highest_memory, in_turn
from benchmarks.plain import SIZE, Elsewhere, Pictures, backbone, network, random_pictures
from lib.networks.cpu_speed import Scorer
from lib.networks.scoring import score
from lib.patches import crop_origins, cut, grid_origins
from lib.study.schema import Voting
from lib.voting import rules

THETAS = Voting().thetas


def tables(
    patch_size: int,
    images: int,
    repeats: int,
    device: torch.device,
    precision: torch.dtype,
    elsewhere: Elsewhere,
) -> Row:
    """A row: the seconds until the accuracies of Tables 1 to 4 are there."""
    pictures, crops = random_pictures(images), _crops(patch_size, images)
    pixels = torch.from_numpy(pictures.images).to(device)
    scorer = Scorer(network().to(device, memory_format=torch.channels_last), precision)

    def ours() -> list[float]:
        grid = score(scorer, pixels, grid_origins(SIZE, patch_size), patch_size)
        random = score(scorer, pixels, crops, patch_size)
        return _accuracies(grid, random, THETAS, pictures.labels)

    with highest_memory(device) as highest:
        ours()
        memory = highest()
    spent = in_turn(repeats, device, ours, elsewhere(each_by_itself, patch_size, images, device))
    return Row(
        *("tables", patch_size, median(mine for mine, _ in spent), f"s for {images} images"),
        baseline=median(other for _, other in spent),
        ratio=median(other / mine for mine, other in spent),
        memory=memory,
    )


def each_by_itself(patch_size: int, images: int, device: torch.device) -> list[float]:
    """The plain way to the accuracies of Tables 1 to 4."""
    pictures, crops = random_pictures(images), _crops(patch_size, images)
    cropped = _as_images(pictures.images, crops, patch_size)
    of_crops = Pictures(cropped, np.zeros(len(cropped), np.int64))

    def grid() -> np.ndarray:
        return plain.margins(backbone(device), pictures, patch_size, device)

    grid()  # Table 1
    random = plain.margins(backbone(device), of_crops, patch_size, device).reshape(-1)  # Table 3
    random = random[: crops.shape[0] * crops.shape[1]].reshape(crops.shape[:2])
    accuracies = _accuracies(grid(), random, THETAS[:1], pictures.labels)  # Table 2
    for theta in THETAS[1:]:  # Table 4
        accuracies += _accuracies(grid(), random, [theta], pictures.labels)[-1:]
    return accuracies


@functools.cache
def _crops(patch_size: int, images: int) -> np.ndarray:
    """Random crops, one more than the grid has patches: int32 (N, P, 2)."""
    ids, count = [str(number) for number in range(images)], (SIZE // patch_size) ** 2 + 1
    return crop_origins(ids, SIZE, patch_size, count, seed=0)


def _accuracies(
    grid: np.ndarray, crops: np.ndarray, thetas: list[float], labels: np.ndarray
) -> list[float]:
    fake = labels.astype(bool)
    votes = [(rules.RULES["grid"], grid), (rules.RULES["crops"], crops)]
    votes += [(rules.confident(theta), grid) for theta in thetas]
    verdicts = [rule.fake(rule.score(z)) for rule, z in votes]
    return [float(((grid > 0) == fake[:, None]).mean()), *((v == fake).mean() for v in verdicts)]


def _as_images(images: np.ndarray, origins: np.ndarray, patch_size: int) -> np.ndarray:
    """Crops laid into images whose grid patches they are, the last one filled up with zeros."""
    index = np.repeat(np.arange(len(images)), origins.shape[1])
    patches = cut(images, index, origins.reshape(-1, 2), patch_size)
    side = SIZE // patch_size
    whole = -(-len(patches) // side**2)
    filled = np.zeros((whole * side**2, *patches.shape[1:]), np.uint8)
    filled[: len(patches)] = patches
    laid = filled.reshape(whole, side, side, patch_size, patch_size, 3)
    return laid.swapaxes(2, 3).reshape(whole, SIZE, SIZE, 3)
