"""What lies behind one accuracy: the ROC curve of a score, and how far it is calibrated.

All intervals are over images; see `lib.metrics`.
"""

import numpy as np
import pandas as pd
from scipy.sparse import csr_array
from sklearn.metrics import auc, roc_curve

from lib.metrics import Estimate, interval

MAX_BINS = 1024
RELIABILITY_BINS = 15
LOW_FPR = 0.01


def roc(scores: np.ndarray, labels: np.ndarray, resampled: np.ndarray) -> list[Estimate]:
    """AUC, equal error rate, and the TPR at a false positive rate of 1 %.

    The curve is linear between thresholds. Its intervals are exact for up to `MAX_BINS` distinct
    scores; more are grouped into that many quantiles, which changes an AUC by less than
    2 / `MAX_BINS`.

    Args:
        scores: (N,) for images or (N, P) for patches: higher is more fake.
        labels: uint8 (N,), real = 0, fake = 1.
        resampled: float32 (B, N), from `lib.metrics.resample`.

    Returns:
        `auc`, P(score of a fake > score of a real), ties counting half; `eer`, the error where
        as many reals are judged fake as fakes real; `tpr_at_1fpr`. Nothing if a class is absent.
    """
    if not 0 < np.count_nonzero(labels) < len(labels):
        return []
    scores = scores.reshape(len(labels), -1)
    fpr, tpr, _ = roc_curve(np.repeat(labels, scores.shape[1]), scores.ravel())
    fprs, tprs = _resampled_curves(scores, labels, resampled)
    areas = np.trapezoid(tprs, fprs, axis=1)
    pairs = list(zip(fprs, tprs, strict=True))
    errors = np.array([_equal_error(*pair) for pair in pairs])
    found = np.array([np.interp(LOW_FPR, *pair) for pair in pairs])
    return [
        Estimate("auc", float(auc(fpr, tpr)), *interval(areas)),
        Estimate("eer", _equal_error(fpr, tpr), *interval(errors)),
        Estimate("tpr_at_1fpr", float(np.interp(LOW_FPR, fpr, tpr)), *interval(found)),
    ]


def _equal_error(fpr: np.ndarray, tpr: np.ndarray) -> float:
    """The error where the false positive rate equals the false negative rate, 1 − tpr."""
    return float(np.interp(0.0, fpr + tpr - 1, fpr))


def _resampled_curves(
    scores: np.ndarray, labels: np.ndarray, resampled: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The false and true positive rates of all resamples, each (B, thresholds + 1), rising."""
    distinct = np.unique(scores)
    if len(distinct) > MAX_BINS:
        distinct = np.unique(np.quantile(scores, np.linspace(0, 1, MAX_BINS), method="lower"))
    bins = np.searchsorted(distinct, scores.ravel(), side="right") - 1
    images = np.repeat(np.arange(len(labels)), scores.shape[1])
    shape = (len(labels), len(distinct))
    table = csr_array((np.ones(len(bins), np.float32), (images, bins)), shape)
    rates = []
    for label in (0, 1):
        drawn = (resampled * (labels == label)) @ table  # (B, bins): patches with such a score
        above = np.cumsum(drawn[:, ::-1], axis=1, dtype=np.float64)
        rates.append(np.pad(above, ((0, 0), (1, 0))) / above[:, -1:])
    return rates[0], rates[1]


def calibration(
    probabilities: np.ndarray, labels: np.ndarray, resampled: np.ndarray
) -> list[Estimate]:
    """How far probabilities of fake can be taken at their word.

    Brier score: G. W. Brier, "Verification of forecasts expressed in terms of probability", 1950.
    Expected calibration error over `RELIABILITY_BINS` equal bins: C. Guo et al., "On calibration
    of modern neural networks", ICML 2017, here of P(fake).

    Args:
        probabilities: (N,) for images or (N, P) for patches, in [0, 1].
        labels: uint8 (N,), real = 0, fake = 1.
        resampled: float32 (B, N), from `lib.metrics.resample`.

    Returns:
        `brier`, the mean squared error, and `ece`; both 0 at best.
    """
    p = probabilities.reshape(len(labels), -1).astype(np.float64)  # (N, P)
    squared = np.square(p - labels[:, None]).mean(axis=1)  # (N,)
    weights = np.vstack([np.ones(len(labels)), resampled])  # (1 + B, N)
    brier = weights @ squared / len(labels)
    patches, sums = _binned(p)  # each (N, bins)
    fakes = patches * labels[:, None]
    ece = np.abs(weights @ (sums - fakes)).sum(axis=1) / p.size
    return [
        Estimate("brier", float(brier[0]), *interval(brier[1:])),
        Estimate("ece", float(ece[0]), *interval(ece[1:])),
    ]


def _binned(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of each image's probabilities (N, P) lie in each bin, and their sums."""
    bins = np.minimum((p * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    index = (np.arange(len(p))[:, None] * RELIABILITY_BINS + bins).ravel()
    size, shape = len(p) * RELIABILITY_BINS, (len(p), RELIABILITY_BINS)
    counts = np.bincount(index, minlength=size).reshape(shape)
    return counts, np.bincount(index, p.ravel(), minlength=size).reshape(shape)


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """The points of a reliability diagram: `stated`, `observed` share of fakes, and `count`.

    Args:
        probabilities: (N,) or (N, P), in [0, 1].
        labels: uint8 (N,).
    """
    counts, sums = _binned(probabilities.reshape(len(labels), -1).astype(np.float64))
    count, fakes = counts.sum(axis=0), (counts * labels[:, None]).sum(axis=0)
    used = count > 0
    return pd.DataFrame(
        {
            "stated": sums.sum(axis=0)[used] / count[used],
            "observed": fakes[used] / count[used],
            "count": count[used],
        }
    )


def best_threshold(scores: np.ndarray, labels: np.ndarray, default: float) -> float:
    """The threshold with the highest accuracy, the one nearest to `default` on ties.

    Args:
        scores: (N,), fake iff at least the threshold.
        labels: uint8 (N,).
        default: the rule's own threshold, one of the candidates.
    """
    distinct = np.unique(scores)
    between = (distinct[1:] + distinct[:-1]) / 2
    above = np.nextafter(distinct[-1], np.inf)  # all real
    candidates = np.concatenate([distinct[:1], between, [above, default]])  # (T,)
    fake = scores >= candidates[:, None]  # (T, N)
    accuracies = (fake == labels.astype(bool)).mean(axis=1)
    best = candidates[accuracies == accuracies.max()]
    return float(best[np.argmin(np.abs(best - default))])
