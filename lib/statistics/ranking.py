"""What lies behind one accuracy: the ROC curve of a score, and how far it is calibrated.

All intervals are over images; see `lib.statistics.bootstrap`.
"""

from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array
from sklearn.metrics import roc_curve

from lib.statistics.bootstrap import Estimate, estimated

MAX_BINS = 1024
LOW_FPR = 0.01


def roc(scores: np.ndarray, labels: np.ndarray, resampled: np.ndarray) -> list[Estimate]:
    """AUC, equal error rate, and the TPR at a false positive rate of 1 %.

    The curve is linear between thresholds. Its intervals are exact for up to `MAX_BINS` distinct
    scores; more are grouped into that many quantiles, which changes an AUC by less than
    2 / `MAX_BINS`. Scores are (N,) of images or (N, P) of patches, higher is more fake; labels
    uint8 (N,), real = 0, fake = 1; `resampled` float32 (B, N), as `bootstrap.resample` gives it.

    `auc` is P(score of a fake > score of a real), ties counting half; `eer` the error where as many
    reals are judged fake as fakes real. There is nothing if a class is absent.
    """
    if not 0 < np.count_nonzero(labels) < len(labels):
        return []
    curves = list(_curves(scores, labels, resampled))
    statistics = {
        "auc": lambda fpr, tpr: np.trapezoid(tpr, fpr),
        "eer": lambda fpr, tpr: np.interp(0.0, fpr + tpr - 1, fpr),  # fpr = fnr = 1 − tpr
        "tpr_at_1fpr": lambda fpr, tpr: np.interp(LOW_FPR, fpr, tpr),
    }
    return [
        estimated(name, np.array([statistic(*curve) for curve in curves]))
        for name, statistic in statistics.items()
    ]


def auc(scores: np.ndarray, labels: np.ndarray, resampled: np.ndarray) -> np.ndarray:
    """The AUC as observed, then in every resample: float64 (1 + B,), NaN of one class."""
    if not 0 < np.count_nonzero(labels) < len(labels):
        return np.full(1 + len(resampled), np.nan)
    return np.array([np.trapezoid(tpr, fpr) for fpr, tpr in _curves(scores, labels, resampled)])


def _curves(
    scores: np.ndarray, labels: np.ndarray, resampled: np.ndarray
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The false and true positive rates as observed, then of every resample, rising."""
    scores = scores.reshape(len(labels), -1)
    yield roc_curve(np.repeat(labels, scores.shape[1]), scores.ravel())[:2]
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
    yield from zip(*rates, strict=True)
