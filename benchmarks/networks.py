"""Scoring and training beside the plain way. A rate counts images of 256 px."""

import functools
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import plain
from benchmarks.limits import Ceiling
from benchmarks.measuring import Row, highest_memory, in_turn
from benchmarks.plain import BATCH, SIZE, Elsewhere, network, random_pictures
from lib.networks.batches import Batches
from lib.networks.cpu_speed import Scorer
from lib.networks.scoring import score
from lib.networks.stepper import Stepper
from lib.patches import grid_origins
from lib.study.schema import Training


@functools.cache
def operations(patch_size: int) -> int:
    """What an Xception's forward does for an image cut into such patches, additions counted too."""
    one = torch.zeros(1, patch_size, patch_size, 3, dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network().eval().margins(one)
    return counter.get_total_flops() * (SIZE // patch_size) ** 2


@functools.cache
def layers(patch_size: int) -> list[tuple[int, float]]:
    """Of each convolution and linear layer: operations, and values read and written, for an image.

    Inputs and outputs move once, weights once for a batch: the least, if all else is fused in.
    """
    found, net = [], network().eval()

    def note(module: nn.Module, x: tuple[Tensor], y: Tensor) -> None:
        weights = module.weight.numel()
        of_each = y.numel() // y.shape[1] if y.dim() == 4 else 1  # uses of each weight
        found.append((2 * weights * of_each, x[0].numel() + y.numel() + weights / BATCH))

    for module in net.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(note)
    with torch.no_grad():
        net.margins(torch.zeros(1, patch_size, patch_size, 3, dtype=torch.uint8))
    patches = (SIZE // patch_size) ** 2
    return [(operations * patches, values * patches) for operations, values in found]


def roofline(patch_size: int, ceiling: float, bandwidth: float, itemsize: int) -> float:
    """Images a second that a forward cannot exceed, at operations and bytes a second.

    Each layer takes the longer of its arithmetic and its traffic (S. Williams, A. Waterman and D.
    Patterson, "Roofline", Communications of the ACM 52(4), 2009).
    """
    return 1 / sum(
        max(operations / ceiling, values * itemsize / bandwidth)
        for operations, values in layers(patch_size)
    )


def scoring(
    patch_size: int,
    images: int,
    repeats: int,
    device: torch.device,
    precision: torch.dtype,
    elsewhere: Elsewhere,
) -> Row:
    """A row: scoring, from uint8 images to margins."""
    pictures = random_pictures(images)
    scorer = Scorer(network().to(device, memory_format=torch.channels_last), precision)
    pixels = torch.from_numpy(pictures.images).to(device)
    origins = grid_origins(SIZE, patch_size)

    def ours() -> None:
        score(scorer, pixels, origins, patch_size)

    work, row = images * operations(patch_size), Row("scoring", patch_size, 0, "images/s")
    other = elsewhere(plain.score, patch_size, images, device)
    return _compared(row, ours, other, images, work, repeats, Ceiling(device, precision))


def training(
    patch_size: int,
    images: int,
    repeats: int,
    device: torch.device,
    precision: torch.dtype,
    elsewhere: Elsewhere,
) -> Row:
    """A row: training, one pass over the images' grid patches in random order."""
    pictures = random_pictures(images)
    pixels, labels = torch.from_numpy(pictures.images), torch.from_numpy(pictures.labels)
    net = network().to(device, memory_format=torch.channels_last).train()
    stepper = Stepper(net, pixels.to(device), labels, patch_size, precision)
    batches = Batches(Training(batch_size=BATCH, learning_rate=1e-4), 0, SIZE, patch_size)
    batches.keep(np.arange(images), pictures.labels)

    def ours() -> None:
        for batch in batches.of(0):
            stepper.step(*batch)

    work, row = 3 * images * operations(patch_size), Row("training", patch_size, 0, "images/s")
    given = (plain.train, patch_size, images, device)
    other = elsewhere(*given, torch.float32, torch.contiguous_format)
    eager = elsewhere(*given, precision, torch.channels_last)
    return _compared(row, ours, other, images, work, repeats, Ceiling(device, precision), eager)


def _compared(
    row: Row,
    ours: Callable[[], None],
    other: Callable[[], object],
    images: int,
    work: int,
    repeats: int,
    ceiling: Ceiling,
    eager: Callable[[], None] | None = None,
) -> Row:
    """Fills a row from the ways, taken in turn with the ceiling."""
    with highest_memory(ceiling.device) as highest:
        ours()
        row.memory = highest()
    other()
    if eager:
        eager()
    rates: list[float] = []

    def limit() -> None:
        rates.append(ceiling.rate())

    ways = (limit, ours, other, *([eager] if eager else []))
    spent = pd.DataFrame(in_turn(repeats, ceiling.device, *ways, warm=True))
    rates = rates[1::2]  # those of the timed ones
    mine, others = spent[1], spent[2]
    row.value, row.baseline = (images / mine).median(), (images / others).median()
    row.ratio = (others / mine).median()
    row.ceiling_share = (work / mine / rates).median()
    if eager:
        row.over_eager = (spent[3] / mine).median()
    return row
