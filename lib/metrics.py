"""The statistics of the study, pure functions of arrays: accuracies, rates, and their intervals.

Intervals are 95 % percentile bootstraps over images: the images of each class are drawn again with
replacement, and all patches of an image stay together, since they are not independent. A
resample is a row of counts, how often each image was drawn, so a statistic of all resamples is
one matrix product. Epochs whose accuracy is compared are compared on the same resamples.
"""

from typing import NamedTuple

import numpy as np

LEVEL = 0.95
EPOCH_STATISTICS = ("top1", "top5", "average", "last", "validated")


class Estimate(NamedTuple):
    """One number with its interval."""

    statistic: str
    value: float
    low: float | None = None
    high: float | None = None
    epoch: int | None = None


def resample(labels: np.ndarray, resamples: int, seed: int) -> np.ndarray:
    """Draws the images of each class again, with replacement.

    Args:
        labels: uint8 (N,), real = 0, fake = 1.
        resamples: B.
        seed: of the generator.

    Returns:
        float32 (B, N): how often each image was drawn; each class keeps its size.
    """
    generator = np.random.default_rng(seed)
    counts = np.zeros((resamples, len(labels)), np.float32)
    for label in (0, 1):
        members = np.flatnonzero(labels == label)
        if len(members):
            share = np.full(len(members), 1 / len(members))
            counts[:, members] = generator.multinomial(len(members), share, resamples)
    return counts


def interval(values: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The percentile interval of a statistic's resampled values (B,), NaN if all of them are."""
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanpercentile(values, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def draws(right: np.ndarray, counted: np.ndarray | None, resampled: np.ndarray) -> np.ndarray:
    """An accuracy, as observed and in every resample of the images.

    Args:
        right: (N,) or (E, N), 1 where an image is judged rightly, or the share of its patches that
            are.
        counted: bool of the same shape, the images that enter the accuracy; all if None.
        resampled: float32 (B, N), from `resample`.

    Returns:
        float64 (1 + B,) or (1 + B, E): the observed accuracy first; NaN where no image is counted.
    """
    right = np.asarray(right, np.float64)
    weights = np.vstack([np.ones(resampled.shape[1]), resampled])  # (1 + B, N)
    if counted is None:
        return weights @ right.T / right.shape[-1]
    with np.errstate(invalid="ignore"):
        return weights @ (right * counted).T / (weights @ counted.T.astype(np.float64))


def top(accuracies: np.ndarray, count: int) -> np.ndarray:
    """The mean of the min(count, E) best epochs, of accuracies (…, E)."""
    return np.sort(accuracies, axis=-1)[..., -count:].mean(axis=-1)


def over_epochs(
    right: np.ndarray,
    epochs: np.ndarray,
    validated: int,
    resampled: np.ndarray,
    counted: np.ndarray | None = None,
) -> list[Estimate]:
    """The accuracies of a rule over the epochs: the paper's statistics, and the honest one.

    top1 (the best epoch, picked again in each resample), top5 (the mean of the five best), average
    (of all) and last are taken on the test set, as the paper does; `validated` is the accuracy of
    the epoch that was chosen on the validation split.

    Args:
        right: (E, N), 1 where an image is judged rightly, or the share of its patches that are.
        epochs: int32 (E,), the epochs' numbers.
        validated: the row of the validated epoch.
        resampled: float32 (B, N), from `resample`.
        counted: bool (E, N), the images that enter the accuracy; all if None.

    Returns:
        An estimate for each of `EPOCH_STATISTICS`, in [0, 1].
    """
    drawn = draws(right, counted, resampled)  # (1 + B, E)
    best, last = int(np.argmax(drawn[0])), len(epochs) - 1

    def estimate(statistic: str, values: np.ndarray, row: int | None = None) -> Estimate:
        number = None if row is None else int(epochs[row])
        return Estimate(statistic, float(values[0]), *interval(values[1:]), number)

    return [
        estimate("top1", drawn.max(axis=-1), best),
        estimate("top5", top(drawn, 5)),
        estimate("average", drawn.mean(axis=-1)),
        estimate("last", drawn[:, last], last),
        estimate("validated", drawn[:, validated], validated),
    ]


def difference(first: np.ndarray, second: np.ndarray, resampled: np.ndarray) -> Estimate:
    """The paired difference of two rules' accuracies on the same images, first minus second.

    Args:
        first: (N,), 1 where an image is judged rightly, or the share of its patches that are.
        second: (N,), likewise.
        resampled: float32 (B, N), from `resample`.
    """
    gain = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return Estimate("difference", float(gain.mean()), *interval(resampled @ gain / len(gain)))


def rates(
    right: np.ndarray, labels: np.ndarray, resampled: np.ndarray, counted: np.ndarray | None = None
) -> list[Estimate]:
    """The two rates that one accuracy hides, at one epoch.

    Args:
        right: (N,), 1 where an image is judged rightly, or the share of its patches that are.
        labels: uint8 (N,), real = 0, fake = 1.
        resampled: float32 (B, N), from `resample`.
        counted: bool (N,), the images that enter; all if None.

    Returns:
        `tpr`, the share of fakes judged fake; `tnr`, the share of reals judged real. The rate of
        a class that is absent, or of which no image is counted, is left out.
    """
    counted = np.ones(len(labels), bool) if counted is None else counted
    found = []
    for statistic, label in (("tpr", 1), ("tnr", 0)):
        members = counted & (labels == label)
        if members.any():
            values = draws(right, members, resampled)
            found.append(Estimate(statistic, float(values[0]), *interval(values[1:])))
    return found
