"""The statistics of the study, pure functions of arrays: accuracies, rates, and their intervals.

Intervals are 95 % percentile bootstraps over images: the images of each class are drawn again with
replacement, and all patches of an image stay together, since they are not independent. A
resample is a row of counts, how often each image was drawn, so a statistic of all resamples is
one matrix product. Epochs whose accuracy is compared are compared on the same resamples.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

LEVEL = 0.95


class Estimate(NamedTuple):
    """One number with its interval."""

    statistic: str
    value: float
    low: float | None = None
    high: float | None = None
    epoch: int | None = None


def resample(labels: np.ndarray, resamples: int, seed: int | Sequence[int]) -> np.ndarray:
    """How often each image is drawn, float32 (B, N), if those of each class are drawn again.

    Drawn is with replacement, by labels uint8 (N,); each class keeps its size.
    """
    generator = np.random.default_rng(seed)
    counts = np.zeros((resamples, len(labels)), np.float32)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        share = np.full(len(members), 1 / len(members))
        counts[:, members] = generator.multinomial(len(members), share, resamples)
    return counts


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The percentile interval of a statistic's resampled values (B,), NaN if all of them are."""
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def estimated(statistic: str, values: np.ndarray, epoch: int | None = None) -> Estimate:
    """A statistic as observed, with its interval, of `draws` (1 + B,)."""
    return Estimate(statistic, float(values[0]), *interval(values[1:]), epoch)


def draws(right: np.ndarray, counted: np.ndarray | None, resampled: np.ndarray) -> np.ndarray:
    """An accuracy as observed, then in every resample: float64 (1 + B,) or (1 + B, E).

    `right` is (N,) or (E, N), 1 where an image is judged rightly, or the share of its patches that
    are; `counted`, bool of the same shape, tells the images that enter, all if None; where none
    does, the accuracy is NaN.
    """
    right = np.asarray(right, np.float64)
    weights = np.vstack([np.ones(resampled.shape[1]), resampled])  # (1 + B, N)
    if counted is None:
        return weights @ right.T / right.shape[-1]
    with np.errstate(invalid="ignore"):
        return weights @ (right * counted).T / (weights @ counted.T.astype(np.float64))
