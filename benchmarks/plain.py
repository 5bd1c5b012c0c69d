"""The plain way: a DataLoader over arrays, timm's own backbone, one forward per use.

It cuts, scales and stacks the patches of an image one by one, as the released code and comparable
projects do. It works in a process of its own, as theirs do: what ours sets in its process, such as
how it keeps memory, would speed it up.
"""

import functools
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, Dataset

from lib.data.packing.workers import cores
from lib.networks.classifier import PatchNet
from lib.patches import grid_origins
from lib.study.schema import Model

SIZE = 256
BATCH = 128  # patches at most, the paper's

Elsewhere = Callable[..., Callable[[], object]]
"""Makes of a function and its arguments work that is done elsewhere."""


@dataclass
class Pictures:
    """Images, uint8 (N, 256, 256, 3), and labels, int64 (N,)."""

    images: np.ndarray
    labels: np.ndarray


@functools.cache
def random_pictures(count: int) -> Pictures:
    """What to work on; what they show changes no time."""
    images = np.random.default_rng(0).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
    return Pictures(images, np.arange(count, dtype=np.int64) % 2)


class Patches(Dataset):
    """Every grid patch of some images, float32 (3, p, p) in −1 to 1."""

    def __init__(self, pictures: Pictures, patch_size: int) -> None:
        self.pictures, self.patch_size = pictures, patch_size
        self.origins = grid_origins(SIZE, patch_size)

    def __len__(self) -> int:
        return len(self.pictures.images) * len(self.origins)

    def __getitem__(self, at: int) -> tuple[torch.Tensor, int]:
        image, patch = divmod(at, len(self.origins))
        (row, column), p = self.origins[patch], self.patch_size
        pixels = self.pictures.images[image, row : row + p, column : column + p]
        scaled = pixels.transpose(2, 0, 1).astype(np.float32) / 127.5 - 1
        return torch.from_numpy(scaled), int(self.pictures.labels[image])


def network() -> PatchNet:
    """An Xception; its weights change no time."""
    return PatchNet(Model(), seed=0)


@functools.cache
def backbone(device: torch.device) -> nn.Module:
    """Its backbone, as timm has it."""
    return network().backbone.to(device)


def margins(
    net: nn.Module, pictures: Pictures, patch_size: int, device: torch.device
) -> np.ndarray:
    """The margins of all grid patches, float32 (N, P)."""
    net.eval()
    z = []
    with torch.no_grad():
        for x, _ in _loader(pictures, patch_size, device):
            logits = net(x.to(device))
            z.append((logits[:, 1] - logits[:, 0]).cpu().numpy())
    return np.concatenate(z).reshape(len(pictures.images), -1)


def score(patch_size: int, images: int, device: torch.device) -> None:
    """Scores random images, in fp32 with channels first."""
    margins(backbone(device), random_pictures(images), patch_size, device)


def train(
    patch_size: int,
    images: int,
    device: torch.device,
    precision: torch.dtype,
    memory_format: torch.memory_format,
) -> None:
    """One pass over random images' grid patches in random order."""
    net, optimizer = _learner(device, memory_format)
    mixed = precision != torch.float32
    for x, y in _loader(random_pictures(images), patch_size, device, shuffle=True):
        with torch.autocast(device.type, precision, enabled=mixed):
            logits = net(x.to(device, memory_format=memory_format))
        loss = cross_entropy(logits.float(), y.to(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss.item()


@functools.cache
def _learner(
    device: torch.device, memory_format: torch.memory_format
) -> tuple[nn.Module, torch.optim.Optimizer]:
    net = network().backbone.to(device, memory_format=memory_format).train()
    return net, torch.optim.Adam(net.parameters(), lr=1e-4, fused=True)


def _loader(
    pictures: Pictures, patch_size: int, device: torch.device, *, shuffle: bool = False
) -> DataLoader:
    """Loads on the CPU itself; beside a GPU, in a process for each core but one."""
    workers = {}
    if device.type == "cuda":
        workers = {"num_workers": max(1, cores() - 1), "pin_memory": True}
    return DataLoader(Patches(pictures, patch_size), BATCH, shuffle=shuffle, **workers)


@contextmanager
def apart() -> Iterator[Elsewhere]:
    """Yields what makes of a function and its arguments work that is done in another process.

    That process is started by the first such work and ends with the context.
    """
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        yield lambda function, *given: lambda: pool.submit(function, *given).result()
