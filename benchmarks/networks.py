"""Scoring and training beside the plain way: a DataLoader over arrays, fp32, channels first.

The plain way cuts, scales and stacks the patches of an image one by one, as the released code and
comparable projects do, and gives them to timm's own backbone. A rate counts images of 256 px.
"""

import functools
from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.limits import Ceiling
from benchmarks.measuring import Row, highest_memory, in_turn
from lib.data.workers import cores
from lib.fast import Scorer
from lib.models import PatchNet
from lib.patches import grid_origins
from lib.scoring import score
from lib.settings import Model
from lib.stepping import Stepper

SIZE = 256
BATCH = 128  # patches at most, the paper's


class Patches(Dataset):
    """The plain way's data: every grid patch of some images, float32 (3, p, p) in −1 to 1."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, patch_size: int) -> None:
        self.images, self.labels, self.patch_size = images, labels, patch_size
        self.origins = grid_origins(SIZE, patch_size)

    def __len__(self) -> int:
        return len(self.images) * len(self.origins)

    def __getitem__(self, at: int) -> tuple[torch.Tensor, int]:
        image, patch = divmod(at, len(self.origins))
        (row, column), p = self.origins[patch], self.patch_size
        pixels = self.images[image, row : row + p, column : column + p]
        scaled = pixels.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
        return torch.from_numpy(scaled), int(self.labels[image])


def _loader(
    pictures: "Pictures", patch_size: int, device: torch.device, *, shuffle: bool = False
) -> DataLoader:
    """Loads on the CPU itself; beside a GPU, in a process for each core but one."""
    workers = {}
    if device.type == "cuda":
        workers = {"num_workers": max(1, cores() - 1), "pin_memory": True}
    of = Patches(pictures.images, pictures.labels, patch_size)
    return DataLoader(of, BATCH, shuffle=shuffle, **workers)


class Pictures:
    """Random images to work on; what they show changes no time."""

    def __init__(self, count: int) -> None:
        generator = np.random.default_rng(0)
        self.images = generator.integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
        self.labels = np.arange(count, dtype=np.int64) % 2


def network() -> PatchNet:
    """An Xception; its weights change no time."""
    return PatchNet(Model(), seed=0)


@functools.cache
def operations(patch_size: int) -> int:
    """What an Xception's forward does for an image cut into such patches, additions counted too."""
    one = torch.zeros(1, patch_size, patch_size, 3, dtype=torch.uint8)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network().eval().margins(one)
    return counter.get_total_flops() * (SIZE // patch_size) ** 2


@functools.cache
def traffic(patch_size: int) -> int:
    """The values that its convolutions read and write meanwhile: each input and output once.

    The least that a forward takes through the memory of a GPU if all else is fused into them.
    """
    moved, net = [], network().eval()
    for module in net.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda _, x, y: moved.extend((x[0].numel(), y.numel())))
    with torch.no_grad():
        net.margins(torch.zeros(1, patch_size, patch_size, 3, dtype=torch.uint8))
    return sum(moved) * (SIZE // patch_size) ** 2


def plain_margins(
    backbone: nn.Module, pictures: Pictures, patch_size: int, device: torch.device
) -> np.ndarray:
    """The plain way to the margins of all grid patches, float32 (N, P)."""
    backbone.eval()
    found = []
    with torch.no_grad():
        for x, _ in _loader(pictures, patch_size, device):
            logits = backbone(x.to(device))
            found.append((logits[:, 1] - logits[:, 0]).cpu().numpy())
    return np.concatenate(found).reshape(len(pictures.images), -1)


def scoring(
    patch_size: int, images: int, repeats: int, device: torch.device, precision: torch.dtype
) -> Row:
    """A row: scoring, from uint8 images to margins."""
    pictures, net = Pictures(images), network()
    plain = network().backbone.to(device)
    scorer = Scorer(net.to(device, memory_format=torch.channels_last), precision)
    pixels = torch.from_numpy(pictures.images).to(device)
    origins = grid_origins(SIZE, patch_size)

    def ours() -> None:
        score(scorer, pixels, origins, patch_size)

    work = images * operations(patch_size)
    return _compared(
        Row("scoring", patch_size, 0, "images/s"),
        *(ours, lambda: plain_margins(plain, pictures, patch_size, device)),
        *(images, work, repeats, Ceiling(device, precision)),
    )


def training(
    patch_size: int, images: int, repeats: int, device: torch.device, precision: torch.dtype
) -> Row:
    """A row: training, one pass over the images' grid patches in random order."""
    torch.compiler.reset()  # as in a process of its own
    pictures = Pictures(images)
    pixels, labels = torch.from_numpy(pictures.images), torch.from_numpy(pictures.labels)
    net = network().to(device, memory_format=torch.channels_last).train()
    stepper = Stepper(net, pixels.to(device), labels, patch_size, precision)
    drawn = np.random.default_rng(0).permutation(stepper.patches)
    batches = np.split(drawn, range(BATCH, len(drawn), BATCH))

    def ours() -> None:
        for batch in batches:
            stepper.step(batch, 1e-4)

    def trained(memory_format: torch.memory_format, precision: torch.dtype) -> Callable[[], None]:
        plain = network().backbone.to(device, memory_format=memory_format).train()
        optimizer = torch.optim.Adam(plain.parameters(), lr=1e-4, fused=True)

        def train() -> None:
            for x, y in _loader(pictures, patch_size, device, shuffle=True):
                mixed = precision != torch.float32
                with torch.autocast(device.type, precision, enabled=mixed):
                    logits = plain(x.to(device, memory_format=memory_format))
                loss = cross_entropy(logits.float(), y.to(device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                loss.item()

        return train

    plain = trained(torch.contiguous_format, torch.float32)
    eager = trained(torch.channels_last, precision)
    work = 3 * images * operations(patch_size)
    return _compared(
        Row("training", patch_size, 0, "images/s"),
        *(ours, plain, images, work, repeats, Ceiling(device, precision), eager),
    )


def _compared(
    row: Row,
    ours: Callable[[], None],
    plain: Callable[[], object],
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
    plain()
    if eager:
        eager()
    rates: list[float] = []

    def limit() -> None:
        rates.append(ceiling.rate())

    ways = (limit, ours, plain, *([eager] if eager else []))
    spent = pd.DataFrame(in_turn(repeats, ceiling.device, *ways, warm=True))
    rates = rates[1::2]  # those of the timed ones
    mine, other = spent[1], spent[2]
    row.value, row.baseline = (images / mine).median(), (images / other).median()
    row.ratio = (other / mine).median()
    row.ceiling_share = (work / mine / rates).median()
    if eager:
        row.over_eager = (spent[3] / mine).median()
    return row
