"""The statistics of the study, pure functions of arrays: accuracies, rates, and their intervals.

Intervals are 95 % percentile bootstraps over images: the images of each class are drawn again with
replacement, and all patches of an image stay together, since they are not independent. A
resample is a row of counts, how often each image was drawn, so a statistic of all resamples is
one matrix product. Epochs whose accuracy is compared are compared on the same resamples.
"""

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from sklearn.metrics import roc_auc_score

LEVEL = 0.95
MAX_BINS = 1024
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


def interval(values: np.ndarray) -> tuple[float, float]:
    """The 95 % percentile interval of a statistic's resampled values (B,)."""
    low, high = np.nanpercentile(values, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return float(low), float(high)


def top(accuracies: np.ndarray, count: int) -> np.ndarray:
    """The mean of the min(count, E) best epochs, of accuracies (…, E)."""
    return np.sort(accuracies, axis=-1)[..., -count:].mean(axis=-1)


def over_epochs(
    correct: np.ndarray, epochs: np.ndarray, validated: int, resampled: np.ndarray
) -> list[Estimate]:
    """The accuracies of a rule over the epochs: the paper's statistics, and the honest one.

    top1 (the best epoch, picked again in each resample), top5 (the mean of the five best), average
    (of all) and last are taken on the test set, as the paper does; `validated` is the accuracy of
    the epoch that was chosen on the validation split.

    Args:
        correct: (E, N), 1 where an image is judged rightly, or the share of its patches that are.
        epochs: int32 (E,), the epochs' numbers.
        validated: the row of the validated epoch.
        resampled: float32 (B, N), from `resample`.

    Returns:
        An estimate for each of `EPOCH_STATISTICS`, in [0, 1].
    """
    correct = np.asarray(correct, np.float64)
    observed = correct.mean(axis=-1)  # (E,)
    drawn = resampled @ correct.T / correct.shape[1]  # (B, E)
    best, last = int(np.argmax(observed)), len(epochs) - 1

    def estimate(statistic: str, of: object, row: int | None = None) -> Estimate:
        number = None if row is None else int(epochs[row])
        return Estimate(statistic, float(of(observed)), *interval(of(drawn)), number)

    return [
        estimate("top1", lambda accuracies: accuracies.max(axis=-1), best),
        estimate("top5", lambda accuracies: top(accuracies, 5)),
        estimate("average", lambda accuracies: accuracies.mean(axis=-1)),
        estimate("last", lambda accuracies: accuracies[..., last], last),
        estimate("validated", lambda accuracies: accuracies[..., validated], validated),
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
    scores: np.ndarray, fake: np.ndarray, labels: np.ndarray, resampled: np.ndarray
) -> list[Estimate]:
    """AUC, and the two rates that one accuracy hides, at one epoch.

    Args:
        scores: (N,) for images or (N, P) for patches: higher is more fake.
        fake: bool, of the same shape: the verdicts.
        labels: uint8 (N,), real = 0, fake = 1.
        resampled: float32 (B, N), from `resample`.

    Returns:
        `auc`; `tpr`, the share of fakes judged fake; `tnr`, the share of reals judged real. A rate
        of a class that is absent, and then the AUC, is left out.
    """
    shares = fake.reshape(len(labels), -1).mean(axis=-1)
    found = []
    if 0 < np.count_nonzero(labels) < len(labels):
        found.append(_auc(scores.reshape(len(labels), -1), labels, resampled))
    for statistic, label in (("tpr", 1), ("tnr", 0)):
        members = labels == label
        if members.any():
            right = shares[members] if label else 1 - shares[members]
            drawn = resampled[:, members] @ right / members.sum()
            found.append(Estimate(statistic, float(right.mean()), *interval(drawn)))
    return found


def _auc(scores: np.ndarray, labels: np.ndarray, resampled: np.ndarray) -> Estimate:
    """The area under the ROC curve, P(score of a fake > score of a real), ties counting half.

    The interval uses the scores' ranks: exact for up to `MAX_BINS` distinct scores, else they are
    grouped into that many quantiles, which changes an AUC by less than 2 / `MAX_BINS`.
    """
    every = np.repeat(labels, scores.shape[1])
    value = float(roc_auc_score(every, scores.ravel()))
    distinct = np.unique(scores)
    if len(distinct) > MAX_BINS:
        distinct = np.unique(np.quantile(scores, np.linspace(0, 1, MAX_BINS), method="lower"))
    bins = np.searchsorted(distinct, scores.ravel(), side="right") - 1
    images = np.repeat(np.arange(len(labels)), scores.shape[1])
    table = csr_array(
        (np.ones(len(bins), np.float32), (images, bins)), (len(labels), len(distinct))
    )
    real = (resampled * (labels == 0)) @ table  # (B, bins): patches drawn with such a score
    fake = (resampled * (labels == 1)) @ table
    below = np.cumsum(real, axis=1, dtype=np.float64) - 0.5 * real
    drawn = (fake * below).sum(axis=1) / (real.sum(axis=1) * fake.sum(axis=1))
    return Estimate("auc", value, *interval(drawn))
