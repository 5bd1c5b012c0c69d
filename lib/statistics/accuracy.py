"""Accuracies over epochs, the two rates that one accuracy hides, and the threshold that is best."""

import numpy as np

from lib.statistics.bootstrap import Estimate, draws, estimated, interval

EPOCH_STATISTICS = ("top1", "top5", "average", "last", "validated")


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
    """A rule's accuracies over the epochs, in [0, 1]: the paper's statistics, and the honest one.

    top1 (the best epoch, picked again in each resample), top5 (the mean of the five best), average
    (of all) and last are taken on the test set, as the paper does; `validated` is the accuracy of
    the epoch that was chosen on the validation split, whose row it is.

    `right` is (E, N), 1 where an image is judged rightly, or the share of its patches that are;
    `epochs` int32 (E,), their numbers; `resampled` float32 (B, N), from `resample`; `counted` bool
    (E, N), the images that enter the accuracy, all if None.
    """
    drawn = draws(right, counted, resampled)  # (1 + B, E)
    best, last = int(np.argmax(drawn[0])), len(epochs) - 1
    return [
        estimated("top1", drawn.max(axis=-1), int(epochs[best])),
        estimated("top5", top(drawn, 5)),
        estimated("average", drawn.mean(axis=-1)),
        estimated("last", drawn[:, last], int(epochs[last])),
        estimated("validated", drawn[:, validated], int(epochs[validated])),
    ]


def difference(first: np.ndarray, second: np.ndarray, resampled: np.ndarray) -> Estimate:
    """The paired difference of two rules' accuracies (N,), image by image: first minus second."""
    gain = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return Estimate("difference", float(gain.mean()), *interval(resampled @ gain / len(gain)))


def rates(
    right: np.ndarray, labels: np.ndarray, resampled: np.ndarray, counted: np.ndarray | None = None
) -> list[Estimate]:
    """The two rates that one accuracy hides, at one epoch; arrays (N,) as in `over_epochs`.

    `tpr` is the share of fakes judged fake, `tnr` that of reals judged real. The rate of a class
    that is absent, or of which no image is counted, is left out.
    """
    counted = np.ones(len(labels), bool) if counted is None else counted
    of_class = {"tpr": counted & (labels == 1), "tnr": counted & (labels == 0)}
    return [
        estimated(statistic, draws(right, members, resampled))
        for statistic, members in of_class.items()
        if members.any()
    ]


def best_threshold(scores: np.ndarray, labels: np.ndarray, default: float) -> float:
    """The threshold with the highest accuracy of scores (N,), which are fake iff they reach it.

    On ties it is the one nearest to `default`, the rule's own, which is one of the candidates.
    """
    distinct = np.unique(scores)
    between = (distinct[1:] + distinct[:-1]) / 2
    above = np.nextafter(distinct[-1], np.inf)  # all real
    candidates = np.concatenate([distinct[:1], between, [above, default]])  # (T,)
    accuracies = ((scores >= candidates[:, None]) == labels.astype(bool)).mean(axis=1)
    best = candidates[accuracies == accuracies.max()]
    return float(best[np.argmin(np.abs(best - default))])
