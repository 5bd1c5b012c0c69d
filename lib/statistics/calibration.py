"""How far probabilities of fake can be taken at their word."""

import numpy as np
import pandas as pd

from lib.statistics.bootstrap import Estimate, estimated

RELIABILITY_BINS = 15


def calibration(
    probabilities: np.ndarray, labels: np.ndarray, resampled: np.ndarray
) -> list[Estimate]:
    """`brier`, the mean squared error, and `ece`, the expected calibration error; both 0 at best.

    Brier score: G. W. Brier, "Verification of forecasts expressed in terms of probability", 1950.
    Expected calibration error over `RELIABILITY_BINS` equal bins: C. Guo et al., "On calibration
    of modern neural networks", ICML 2017, here of P(fake). The interval of the
    latter lies too high, and may exclude it: resampling adds to each bin's error.

    Probabilities are (N,) of images or (N, P) of patches; ValueError where they are none. Labels
    are uint8 (N,), fake = 1; `resampled` float32 (B, N), from `lib.statistics.bootstrap.resample`.
    """
    low, high = float(probabilities.min()), float(probabilities.max())
    if not 0 <= low <= high <= 1:
        raise ValueError(
            f"probabilities: got {low:g} to {high:g}, must lie in 0 to 1; a voting rule whose "
            "scores are none has a `probability`, such as scipy.special.expit"
        )
    p = probabilities.reshape(len(labels), -1).astype(np.float64)  # (N, P)
    squared = np.square(p - labels[:, None]).mean(axis=1)  # (N,)
    weights = np.vstack([np.ones(len(labels)), resampled])  # (1 + B, N)
    brier = weights @ squared / len(labels)
    patches, sums = _binned(p)  # each (N, bins)
    fakes = patches * labels[:, None]
    ece = np.abs(weights @ (sums - fakes)).sum(axis=1) / p.size
    return [estimated("brier", brier), estimated("ece", ece)]


def _binned(p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many of each image's probabilities (N, P) lie in each bin, and their sums."""
    bins = np.minimum((p * RELIABILITY_BINS).astype(int), RELIABILITY_BINS - 1)
    index = (np.arange(len(p))[:, None] * RELIABILITY_BINS + bins).ravel()
    size, shape = len(p) * RELIABILITY_BINS, (len(p), RELIABILITY_BINS)
    counts = np.bincount(index, minlength=size).reshape(shape)
    return counts, np.bincount(index, p.ravel(), minlength=size).reshape(shape)


def reliability(probabilities: np.ndarray, labels: np.ndarray) -> pd.DataFrame:
    """The points of a reliability diagram: `stated`, `observed` share of fakes, and `count`.

    Probabilities are (N,) or (N, P), in [0, 1]; bins without any are left out.
    """
    counts, sums = _binned(probabilities.reshape(len(labels), -1).astype(np.float64))
    count, fakes = counts.sum(axis=0), (counts * labels[:, None]).sum(axis=0)
    totals = pd.DataFrame({"stated": sums.sum(axis=0), "observed": fakes, "count": count})
    totals = totals[count > 0].reset_index(drop=True)
    return totals.assign(**totals[["stated", "observed"]].div(totals["count"], axis=0))
