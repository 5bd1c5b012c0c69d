"""Ranking: AUC, EER and a low FPR's TPR, by hand and on sets that are drawn again."""

from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.metrics import roc_auc_score

from lib.statistics import bootstrap, calibration, ranking

SEEDS = st.integers(0, 2**32 - 1)
NAMES = ["auc", "eer", "tpr_at_1fpr"]


def named(estimates: list[bootstrap.Estimate]) -> dict[str, bootstrap.Estimate]:
    assert len({estimate.statistic for estimate in estimates}) == len(estimates)
    return {estimate.statistic: estimate for estimate in estimates}


def some_labels(generator: np.random.Generator, most: int = 12) -> np.ndarray:
    """Labels of both classes in random order."""
    counts = generator.integers(1, most, 2)
    return generator.permutation(np.repeat([0, 1], counts)).astype(np.uint8)


def observed(real: list[float], fake: list[float]) -> dict[str, float]:
    """The values of `roc` for one score per image."""
    labels = np.repeat([0, 1], [len(real), len(fake)]).astype(np.uint8)
    scores = np.array([*real, *fake], float)
    found = named(ranking.roc(scores, labels, bootstrap.resample(labels, 5, 0)))
    assert list(found) == NAMES
    return {name: estimate.value for name, estimate in found.items()}


def slow_points(scores: np.ndarray, labels: np.ndarray) -> list[tuple[Fraction, Fraction]]:
    """The ROC curve's corners from its definition, from the strictest threshold on."""
    real, fake = scores[labels == 0], scores[labels == 1]
    points = [(Fraction(0), Fraction(0))]
    for threshold in sorted(set(scores.tolist()), reverse=True):
        rates = [Fraction(sum((part >= threshold).tolist()), len(part)) for part in (real, fake)]
        points.append((rates[0], rates[1]))
    return points


def slow_eer(points: list[tuple[Fraction, Fraction]]) -> float:
    """Where the broken line through the corners meets fpr = 1 − tpr."""
    for (x, y), (next_x, next_y) in zip(points, points[1:], strict=False):
        before, after = x + y - 1, next_x + next_y - 1
        if before <= 0 <= after:
            return float(x + (next_x - x) * (-before) / (after - before))
    raise AssertionError("the curve ends at (1, 1)")


def slow_tpr_at(points: list[tuple[Fraction, Fraction]], fpr: Fraction) -> float:
    """The height of the broken line at `fpr`; the top of a part that is vertical there."""
    index = max(i for i, (x, _) in enumerate(points) if x <= fpr)
    (x, y), (next_x, next_y) = points[index], points[index + 1]
    return float(y + (next_y - y) * (fpr - x) / (next_x - x))


def slow(scores: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    points = slow_points(scores, labels)
    return {
        "auc": roc_auc_score(labels, scores),
        "eer": slow_eer(points),
        "tpr_at_1fpr": slow_tpr_at(points, Fraction(1, 100)),
    }


def test_a_score_that_separates_the_classes():
    assert observed([0, 1], [2, 3]) == {"auc": 1, "eer": 0, "tpr_at_1fpr": 1}
    assert observed([2, 3], [0, 1]) == {"auc": 0, "eer": 1, "tpr_at_1fpr": 0}


def test_a_score_that_says_nothing():
    """One score for all: the curve is the diagonal."""
    found = observed([5, 5, 5], [5, 5])
    assert found == pytest.approx({"auc": 0.5, "eer": 0.5, "tpr_at_1fpr": 0.01})


def test_the_equal_error_rate_by_hand():
    # The corner (¼, ¾) lies on fpr = 1 − tpr.
    assert observed([0, 1, 2, 6], [3, 4, 5, 0.5])["eer"] == 0.25
    # The line from (0, ½) to (½, ½) meets it at its end.
    assert observed([0, 2], [1, 3])["eer"] == 0.5
    # One of two reals ties with the fake: the line from (0, 0) to (½, 1) meets it at ⅓.
    assert observed([0, 1], [1])["eer"] == pytest.approx(1 / 3)


def test_the_tpr_at_one_per_cent_by_hand():
    # One of 100 reals lies above the second fake: at an FPR of exactly 1 % both fakes are found.
    assert observed([0] * 99 + [6], [5, 7])["tpr_at_1fpr"] == 1
    # Two of 100 do: the line from (0, ½) to (0.02, ½) is flat.
    assert observed([0] * 98 + [6, 6], [5, 7])["tpr_at_1fpr"] == 0.5
    # Two reals tie with a fake: half the way from (0, ½) to (0.02, 1).
    assert observed([0] * 98 + [6, 6], [6, 7])["tpr_at_1fpr"] == pytest.approx(0.75)


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 5), st.integers(1, 40))
def test_the_curve_is_that_of_the_set_and_of_every_set_drawn_again(seed, patches, distinct):
    """With one resample, both ends of the interval are the statistic of that resample."""
    generator = np.random.default_rng(seed)
    labels = some_labels(generator)
    scores = generator.integers(0, distinct, (len(labels), patches)) / 8
    counts = bootstrap.resample(labels, 4, seed)
    expected = slow(scores.ravel(), np.repeat(labels, patches))
    for often in counts:
        found = named(ranking.roc(scores, labels, often[None]))
        rows = np.repeat(np.arange(len(labels)), often.astype(int))
        again = slow(scores[rows].ravel(), np.repeat(labels[rows], patches))
        for name in NAMES:
            assert found[name].value == pytest.approx(expected[name], abs=1e-12)
            assert (found[name].low, found[name].high) == pytest.approx((again[name],) * 2)


@settings(max_examples=10)
@given(SEEDS)
def test_intervals_are_the_percentiles_of_the_resampled_statistics(seed):
    generator = np.random.default_rng(seed)
    labels = some_labels(generator)
    scores = generator.integers(0, 9, (len(labels), 3)) / 8
    counts = bootstrap.resample(labels, 30, seed)
    for make in (ranking.roc, lambda p, *rest: calibration.calibration(p / 2, *rest)):
        alone = [named(make(scores, labels, often[None])) for often in counts]
        for name, estimate in named(make(scores, labels, counts)).items():
            expected = bootstrap.interval(np.array([one[name].low for one in alone]))
            assert (estimate.low, estimate.high) == pytest.approx(expected, abs=1e-9)


def slow_auc_interval(scores: np.ndarray, labels: np.ndarray, counts: np.ndarray) -> tuple:
    """The interval of the AUC, image by image and patch by patch."""
    per_image = scores.shape[1]
    every = np.repeat(labels, per_image)
    weights = [np.repeat(often, per_image) for often in counts]
    drawn = [roc_auc_score(every, scores.ravel(), sample_weight=row) for row in weights]
    return bootstrap.interval(np.array(drawn))


def test_the_interval_of_an_auc_of_many_distinct_scores():
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40).astype(np.uint8)
    scores = generator.standard_normal((80, 64)) + 0.4 * labels[:, None]
    assert np.unique(scores).size > ranking.MAX_BINS
    counts = bootstrap.resample(labels, 100, 0)
    auc = named(ranking.roc(scores, labels, counts))["auc"]
    assert auc.value == pytest.approx(roc_auc_score(np.repeat(labels, 64), scores.ravel()))
    expected = slow_auc_interval(scores, labels, counts)
    assert (auc.low, auc.high) == pytest.approx(expected, abs=1 / ranking.MAX_BINS)


@pytest.mark.parametrize("seed", [1, 3])
def test_the_interval_of_an_auc_of_many_scores_of_which_most_tie(seed):
    """Many scores are distinct, but most are one of two neighbours: those must stay apart."""
    labels = np.repeat([0, 1], 20).astype(np.uint8)
    scores = np.where(labels[:, None] == 1, 0.500001, 0.5) * np.ones(300)
    scores[:8] = np.random.default_rng(seed).random((8, 300))
    assert np.unique(scores).size > ranking.MAX_BINS
    counts = bootstrap.resample(labels, 50, 0)
    auc = named(ranking.roc(scores, labels, counts))["auc"]
    assert auc.low < auc.value < auc.high
    expected = slow_auc_interval(scores, labels, counts)
    assert (auc.low, auc.high) == pytest.approx(expected, abs=2 / ranking.MAX_BINS)


def test_copies_of_an_images_patches_do_not_narrow_its_interval():
    """Were patches taken as independent, eight copies would narrow it by sqrt(8)."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30).astype(np.uint8)
    p = 1 / (1 + np.exp(-generator.standard_normal((60, 4)) - 0.5 * labels[:, None]))
    counts = bootstrap.resample(labels, 300, 0)
    for make in (ranking.roc, calibration.calibration):
        for few, many in zip(
            make(p, labels, counts), make(np.tile(p, 8), labels, counts), strict=True
        ):
            assert few.low < few.high
            assert many[1:4] == pytest.approx(few[1:4], abs=1e-6)


@pytest.mark.parametrize("label", [0, 1])
def test_there_is_no_curve_of_one_class(label):
    labels = np.full(3, label, np.uint8)
    counts = bootstrap.resample(labels, 9, 0)
    assert ranking.roc(np.array([0.1, 0.9, 0.8]), labels, counts) == []
    found = named(calibration.calibration(np.full(3, 0.75), labels, counts))
    assert found["ece"].value == (0.25 if label else 0.75)
