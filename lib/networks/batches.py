"""What each step of training is given: patches, where they lie, whether mirrored, learning rates.

All of it depends on (seed, epoch, step) alone, so a run that goes on ends as an unbroken one would.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from lib.patches import grid_origins
from lib.study.schema import Training

LATTICE = 8
"""To multiples of so many px, a JPEG's blocks, origins are `aligned`."""


class Batch(NamedTuple):
    """Patches of some images, by the images' numbers."""

    images: np.ndarray  # int64 (B,)
    origins: np.ndarray  # int64 (B, 2): top-left row and column, px
    mirrored: np.ndarray  # bool (B,): whether left and right are to change places


class Batches:
    """The patches of some images, epoch by epoch."""

    def __init__(self, training: Training, seed: int, image_size: int, patch_size: int) -> None:
        """Prepares for patches of images of so many px."""
        self.training, self.seed = training, seed
        self.corners = grid_origins(image_size, patch_size).astype(np.int64)  # (P, 2)
        self.last = image_size - patch_size
        self.patches = np.empty(0, np.int64)
        """The grid patches that are trained on, of all of an epoch: patch k of image n is n·P + k.
        Where origins are not the grid's, each stands for another patch of its image."""

    def keep(self, rows: np.ndarray, labels: np.ndarray, first: int | None = None) -> None:
        """Trains on the patches of some images, int (M,), with labels (M,).

        With `first`, on that many of each class, of the images that come first.
        """
        each, kept = np.arange(len(self.corners)), []
        for label in np.unique(labels):
            patches = rows[labels == label].astype(np.int64)[:, None] * len(each) + each
            kept.append(patches.ravel()[:first])
        self.patches = np.concatenate(kept)

    @property
    def per_epoch(self) -> int:
        """How many patches an epoch has; where there are fewer, all are gone through again."""
        training = self.training
        count = min(len(self.patches), training.patches_per_epoch or len(self.patches))
        return max(count, training.min_patches_per_epoch or 0)

    def drawn(self, epoch: int) -> np.ndarray:
        """The patches of one epoch in the order of training, int64."""
        generator = np.random.default_rng((self.seed, epoch))
        times = -(-self.per_epoch // len(self.patches))
        rounds = [generator.permutation(self.patches) for _ in range(times)]
        return np.concatenate(rounds)[: self.per_epoch]

    def of(self, epoch: int) -> Iterator[tuple[Batch, float]]:
        """The batches of one epoch, each with its learning rate.

        A last one of one patch is left out, since batch norm needs two.
        """
        drawn, size = self.drawn(epoch), self.training.batch_size
        starts = range(0, len(drawn) - 1, size)
        generator = np.random.default_rng((self.seed, epoch, 1))
        for start, rate in zip(starts, self.rates(epoch, len(starts)), strict=True):
            yield self._placed(drawn[start : start + size], generator), rate

    def _placed(self, patches: np.ndarray, generator: np.random.Generator) -> Batch:
        images, which = np.divmod(patches, len(self.corners))
        origins, mirrored = self.corners[which], np.zeros(len(patches), bool)
        if self.training.origins != "grid":
            step = LATTICE if self.training.origins == "aligned" else 1
            origins = generator.integers(0, self.last // step + 1, origins.shape) * step
        if self.training.flips:
            mirrored = generator.random(len(patches)) < 0.5
        return Batch(images, origins, mirrored)

    def rates(self, epoch: int, steps: int) -> list[float]:
        """The learning rate of each of an epoch's steps."""
        training = self.training
        if training.schedule == "constant":
            return [training.learning_rate] * steps
        done = (epoch * steps + np.arange(steps)) / (training.epochs * steps)  # (steps,), in [0, 1)
        return (training.learning_rate * (1 + np.cos(np.pi * done)) / 2).tolist()
