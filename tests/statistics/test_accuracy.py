"""The threshold that is best; accuracies and rates are tested beside their intervals."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from lib.statistics import accuracy

SEEDS = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(
    ("labels", "default", "expected"),
    [
        ([0, 0, 1, 1], 1.75, 1.75),  # as good as the one half-way
        ([0, 0, 1, 1], 2.0, 2.0),  # a score at the threshold is fake
        ([0, 0, 1, 1], 2.25, 1.5),
        ([0, 0, 1, 1], -9, 1.5),
        ([0, 1, 0, 1], 1.25, 0.5),  # ½ and 2½ are right of three images each
        ([0, 1, 0, 1], 1.75, 2.5),
        ([1, 1, 1, 1], 9, 0),  # all fake
        ([0, 0, 0, 0], 9, 9),  # all real
    ],
)
def test_the_best_threshold_by_hand(labels, default, expected):
    scores = np.array([0.0, 1, 2, 3])
    assert accuracy.best_threshold(scores, np.array(labels, np.uint8), default) == expected


@given(SEEDS, st.integers(1, 8), st.floats(-1, 9))
def test_no_threshold_is_better_than_the_best_where_the_classes_are_even(seed, each, default):
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.repeat([0, 1], each)).astype(np.uint8)
    scores = generator.integers(0, 8, 2 * each).astype(float)
    best = accuracy.best_threshold(scores, labels, default)
    accuracies = {t: ((scores >= t) == labels).mean() for t in [*scores, np.inf, default, best]}
    assert accuracies[best] == max(accuracies.values())
    if accuracies[default] == accuracies[best]:
        assert best == default
