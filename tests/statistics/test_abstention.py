"""Verdicts that may be withheld: what conformal thresholds promise; calibrated probabilities."""

import numpy as np
import pytest

from lib.statistics import abstention
from lib.statistics.abstention import CANNOT_TELL, FAKE, REAL, Thresholds, thresholds, verdicts


def drawn(count: int, seed: int = 0, apart: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    generator, labels = np.random.default_rng(seed), np.arange(count) % 2
    return generator.standard_normal(count) + apart * labels, labels.astype(np.uint8)


def test_thresholds_are_the_conformal_order_statistics():
    scores = np.concatenate([np.arange(19), np.arange(100, 119)]).astype(float)
    labels = np.repeat([0, 1], 19).astype(np.uint8)
    # k = ⌈20 · 0.9⌉ = 18 of 19, counted from the class's own side.
    assert thresholds(scores, labels, 0.1) == Thresholds(real=17, fake=101)


def test_with_too_few_images_nothing_is_said():
    scores, labels = drawn(20)
    limits = thresholds(scores, labels, 0.05)  # ten of a class do not tell 5 %
    assert limits == Thresholds(np.inf, -np.inf)
    assert (verdicts(scores, limits) == CANNOT_TELL).all()


def test_a_verdict_is_given_where_one_class_remains():
    overlapping, apart = Thresholds(real=1, fake=-1), Thresholds(real=-1, fake=1)
    assert verdicts(np.array([-2.0, -1, 0, 1, 2]), overlapping).tolist() == [
        *(REAL, CANNOT_TELL, CANNOT_TELL, CANNOT_TELL, FAKE)
    ]
    assert verdicts(np.array([-2.0, 0, 2]), apart).tolist() == [REAL, CANNOT_TELL, FAKE]


@pytest.mark.parametrize("apart", [0.5, 2.0, 6.0])
def test_no_more_than_alpha_are_called_the_other_class(apart):
    wrong = []
    for seed in range(200):
        scores, labels = drawn(400, seed, apart)
        said = verdicts(scores[200:], thresholds(scores[:200], labels[:200], 0.1))
        held = labels[200:]
        wrong.append([(said[held == 0] == FAKE).mean(), (said[held == 1] == REAL).mean()])
    error = 3 * np.std(wrong, axis=0) / np.sqrt(len(wrong))
    assert (np.mean(wrong, axis=0) <= 0.1 + error).all()


def test_probabilities_are_calibrated_and_rise():
    scores, labels = drawn(2000)
    name, probability = abstention.calibrated(scores, labels)
    true = 1 / (1 + np.exp(-(2 * np.linspace(-1, 3, 9) - 2)))  # of two normals, 2 apart
    assert name == "platt"
    np.testing.assert_allclose(probability(np.linspace(-1, 3, 9)), true, atol=0.05)


def test_a_step_is_isotonic_and_no_probability_is_certain():
    generator, labels = np.random.default_rng(0), np.tile([0, 1], 200).astype(np.uint8)
    scores = np.where(labels == 1, generator.choice([0, 9], 400, p=[0.2, 0.8]), 0.0)
    scores = np.where(generator.random(400) < 0.3, -30.0, scores)  # tells nothing, far away
    name, probability = abstention.calibrated(scores, labels)
    assert name == "isotonic"
    assert probability(np.array([-50, 50])).tolist() == pytest.approx(
        [0.22 / 0.72, 1 - 1 / 402], abs=0.05
    )


def test_classes_weigh_as_much_however_many_they_are():
    scores, labels = drawn(4000)
    kept = (labels == 1) | (np.arange(4000) % 8 == 0)
    _, probability = abstention.calibrated(scores[kept], labels[kept])
    assert probability(np.array([1.0]))[0] == pytest.approx(0.5, abs=0.05)
