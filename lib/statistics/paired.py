"""Paired tests: do two ways of judging the same images differ by more than chance?"""

from typing import NamedTuple

import numpy as np
from statsmodels.stats.contingency_tables import mcnemar

EXACT_UP_TO = 1000
"""Images on which the two differ, up to which the p-value is the exact binomial one."""


class Disagreement(NamedTuple):
    """Where two ways of judging the same images differ."""

    only_first: int  # images on which only the first is right
    only_second: int  # images on which only the second is right
    p: float  # McNemar's two-sided p-value (Q. McNemar, Psychometrika 1947)


def disagreement(first: np.ndarray, second: np.ndarray) -> Disagreement:
    """Compares two ways of judging, image by image; each bool (N,), where it judges rightly."""
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    exact = only_first + only_second <= EXACT_UP_TO
    test = mcnemar([[both, only_first], [only_second, neither]], exact=exact, correction=True)
    return Disagreement(only_first, only_second, float(test.pvalue))
