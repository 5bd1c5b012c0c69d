"""Calibration: Brier score, calibration error and reliability, by hand and beside scikit-learn."""

from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from sklearn.metrics import brier_score_loss

from lib.statistics import bootstrap, calibration

SEEDS = st.integers(0, 2**32 - 1)


def named(estimates: list[bootstrap.Estimate]) -> dict[str, bootstrap.Estimate]:
    assert len({estimate.statistic for estimate in estimates}) == len(estimates)
    return {estimate.statistic: estimate for estimate in estimates}


def some_labels(generator: np.random.Generator, most: int = 12) -> np.ndarray:
    """Labels of both classes in random order."""
    counts = generator.integers(1, most, 2)
    return generator.permutation(np.repeat([0, 1], counts)).astype(np.uint8)


def calibrated(p: list[float], labels: list[int]) -> tuple[float, float]:
    found = calibration.calibration(np.array(p), np.array(labels, np.uint8), np.ones((1, len(p))))
    assert [estimate.statistic for estimate in found] == ["brier", "ece"]
    return found[0].value, found[1].value


def test_calibration_by_hand():
    assert calibrated([0, 1, 1], [0, 1, 1]) == (0, 0)
    assert calibrated([1, 0], [0, 1]) == (1, 1)
    assert calibrated([0.5, 0.5], [0, 1]) == (0.25, 0)  # within a bin, errors cancel
    # 0.125 and 0.875 lie in bins of their own: each is off by 0.125.
    assert calibrated([0.125, 0.875], [0, 1]) == (0.015625, 0.125)
    # 14/15 to 1 is the last bin, 1 included: 1.9375 stated, one fake.
    assert calibrated([0.9375, 1], [1, 0]) == pytest.approx(((0.0625**2 + 1) / 2, 0.9375 / 2))
    # ¼ and ⅜ lie in bins 3 and 5, though both in the third tenth: nothing cancels.
    assert calibrated([0.25, 0.375], [0, 1])[1] == (0.25 + 0.625) / 2


def slow_ece(p: np.ndarray, labels: np.ndarray) -> float:
    total = Fraction(0)
    for number in range(15):
        inside = [
            (Fraction(one), int(label))
            for one, label in zip(p.tolist(), labels.tolist(), strict=True)
            if min(Fraction(one) * 15 // 1, 14) == number
        ]
        if inside:
            confidence = sum(one for one, _ in inside) / len(inside)
            share = Fraction(sum(label for _, label in inside), len(inside))
            total += Fraction(len(inside), len(p)) * abs(confidence - share)
    return float(total)


@settings(max_examples=25)
@given(SEEDS, st.integers(1, 5))
def test_calibration_is_that_of_the_set_and_of_every_set_drawn_again(seed, patches):
    generator = np.random.default_rng(seed)
    labels = some_labels(generator)
    p = generator.integers(0, 65, (len(labels), patches)) / 64  # on no bin's edge but 0 and 1
    every = np.repeat(labels, patches)
    for often in bootstrap.resample(labels, 4, seed):
        found = named(calibration.calibration(p, labels, often[None]))
        rows = np.repeat(np.arange(len(labels)), often.astype(int))
        again, judged = p[rows].ravel(), np.repeat(labels[rows], patches)
        for name, reference in (("brier", brier_score_loss), ("ece", None)):
            if reference is None:
                expected, drawn = slow_ece(p.ravel(), every), slow_ece(again, judged)
            else:
                expected, drawn = reference(every, p.ravel()), reference(judged, again)
            assert found[name].value == pytest.approx(expected, abs=1e-12)
            assert (found[name].low, found[name].high) == pytest.approx((drawn,) * 2, abs=1e-12)


def test_a_reliability_diagram_by_hand():
    p = np.array([[0.5, 1], [0.5, 0.9375], [0, 0.5]])
    found = calibration.reliability(p, np.array([0, 1, 1], np.uint8))
    assert list(found.columns) == ["stated", "observed", "count"]
    # Bins without a probability have no point.
    assert found["stated"].tolist() == [0, 0.5, 0.96875]
    assert found["observed"].tolist() == pytest.approx([1, 2 / 3, 0.5])
    assert found["count"].tolist() == [1, 3, 2]


@given(SEEDS)
def test_the_points_of_a_reliability_diagram_give_the_calibration_error(seed):
    generator = np.random.default_rng(seed)
    labels, patches = some_labels(generator), int(generator.integers(1, 4))
    p = generator.integers(0, 65, (len(labels), patches)) / 64
    points = calibration.reliability(p, labels)
    assert points["count"].sum() == p.size
    error = ((points["stated"] - points["observed"]).abs() * points["count"]).sum() / p.size
    found = named(calibration.calibration(p, labels, np.ones((1, len(labels)))))
    assert found["ece"].value == pytest.approx(error, abs=1e-12)
