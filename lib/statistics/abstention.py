"""From scores to probabilities, and to verdicts that may be withheld: pure functions of arrays.

Scores are float (N,), the higher the more fake; labels are uint8 (N,), real = 0, fake = 1.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold

FOLDS = 5
REAL, FAKE, CANNOT_TELL = 0, 1, 2
VERDICTS = ("real", "fake", "cannot tell")
Probability = Callable[[np.ndarray], np.ndarray]


class Thresholds(NamedTuple):
    """A score above the first is too high for a photograph, one below the second for a fake."""

    real: float
    fake: float


def thresholds(scores: np.ndarray, labels: np.ndarray, alpha: float) -> Thresholds:
    """Those of which at most a share alpha of new images of each class lie on the wrong side.

    Split conformal prediction, each class apart (V. Vovk, Machine Learning 2013): of n held-out
    images of a class the k-th score from its own side, k = ⌈(n + 1)(1 − alpha)⌉. That holds on
    average over held-out images, for new ones that are drawn as they were, and for no others. It is
    infinite, so that nothing is said, where n is too small for alpha.
    """

    def bound(own: np.ndarray) -> float:
        k = int(np.ceil((len(own) + 1) * (1 - alpha)))
        return float(np.sort(own)[k - 1]) if k <= len(own) else np.inf

    return Thresholds(bound(scores[labels == REAL]), -bound(-scores[labels == FAKE]))


def verdicts(scores: np.ndarray, limits: Thresholds) -> np.ndarray:
    """`REAL`, `FAKE` or `CANNOT_TELL` of scores of any shape: int8 of that shape.

    A verdict is given where one class alone remains.
    """
    may_be_real, may_be_fake = scores <= limits.real, scores >= limits.fake
    one = np.where(may_be_fake, FAKE, REAL)
    return np.where(may_be_real == may_be_fake, CANNOT_TELL, one).astype(np.int8)


def calibrated(scores: np.ndarray, labels: np.ndarray) -> tuple[str, Probability]:
    """What turns scores into P(fake), learned from held-out images, and its name.

    `platt`, a logistic curve (J. Platt, 1999), or `isotonic`, a rising one of any form
    (B. Zadrozny, C. Elkan, KDD 2002): the one whose Brier score is lower by cross-validation, the
    first on ties. As many fakes as reals are assumed, and no probability is nearer to 0 or 1 than n
    images tell, 1 / (n + 2).
    """
    errors = {}
    folds = min(FOLDS, *np.bincount(labels, minlength=2))
    for name, fit in METHODS.items() if folds > 1 else ():
        splits = StratifiedKFold(folds, shuffle=True, random_state=0).split(scores, labels)
        errors[name] = np.mean([
            np.average(
                np.square(fit(scores[seen], labels[seen])(scores[held]) - labels[held]),
                weights=_weights(labels[held]),
            )
            for seen, held in splits
        ])  # fmt: skip
    name = min(errors, key=errors.get, default="platt")
    curve, least = METHODS[name](scores, labels), 1 / (len(labels) + 2)
    return name, lambda values: np.clip(curve(values), least, 1 - least)


def _weights(labels: np.ndarray) -> np.ndarray:
    """float64 (N,): each class weighs as much."""
    return 0.5 / np.bincount(labels, minlength=2)[labels] * len(labels)


def _platt(scores: np.ndarray, labels: np.ndarray) -> Probability:
    model = LogisticRegression(C=np.inf)
    model.fit(scores[:, None], labels, _weights(labels))
    return lambda values: model.predict_proba(np.asarray(values)[:, None])[:, 1]


def _isotonic(scores: np.ndarray, labels: np.ndarray) -> Probability:
    model = IsotonicRegression(out_of_bounds="clip")
    return model.fit(scores, labels, _weights(labels)).predict


METHODS = {"platt": _platt, "isotonic": _isotonic}
