"""Dependent votes: the errors' correlation and what it leaves of a vote, by hand and by force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom

from lib.statistics.dependence import effective_votes, error_correlation, expected_vote
from lib.voting import rules


def labels(*counts: int) -> np.ndarray:
    return np.repeat([0, 1], counts).astype(np.uint8)


def beta_binomial(images: int, patches: int, accuracy: float, correlation: float, seed: int):
    """bool (N, P): every image has an accuracy of its own, drawn from a beta distribution."""
    generator, spread = np.random.default_rng(seed), (1 - correlation) / correlation
    own = generator.beta(accuracy * spread, (1 - accuracy) * spread, images)
    return generator.random((images, patches)) < own[:, None]


def test_the_correlation_by_hand():
    """Shares 1, 0, ½ and 1: mean squares of 11/24 between images and 1/8 within them."""
    right = np.array([[1, 1], [0, 0], [1, 0], [1, 1]], bool)
    between, within = 11 / 24, 1 / 8
    expected = (between - within) / (between + within)
    assert expected == pytest.approx(4 / 7)
    assert error_correlation(right, labels(4, 0)) == pytest.approx(expected)
    assert error_correlation(right, labels(0, 4)) == pytest.approx(expected)


def test_images_are_compared_with_their_own_class_by_hand():
    """One more degree of freedom goes, and a class that is always right adds nothing between."""
    right = np.array([[1, 1], [0, 0], [1, 0], [1, 1], [1, 1]], bool)
    between, within = (1.5 - 3 * 0.25 - 0.25) * 2 / 3, 0.25 * 2 / 5
    expected = (between - within) / (between + within)
    assert error_correlation(right, labels(3, 2)) == pytest.approx(expected)
    assert error_correlation(right[::-1], labels(3, 2)[::-1]) == pytest.approx(expected)


def test_classes_of_different_accuracy_are_no_correlation():
    generator = np.random.default_rng(3)
    right = generator.random((4000, 8)) < np.where(labels(2000, 2000), 0.9, 0.5)[:, None]
    assert abs(error_correlation(right, labels(2000, 2000))) < 0.02
    assert error_correlation(right, labels(4000, 0)) > 0.1


@pytest.mark.parametrize("accuracy", [0.5, 0.8])
@pytest.mark.parametrize("correlation", [0.05, 0.3, 0.7])
def test_a_known_correlation_is_found(correlation, accuracy):
    right = beta_binomial(3000, 16, accuracy, correlation, seed=1)
    found = error_correlation(right, labels(1500, 1500))
    assert found == pytest.approx(correlation, abs=0.01 + 0.1 * correlation * (1 - correlation))


@pytest.mark.parametrize("patches", [2, 16])
def test_independent_errors_have_none(patches):
    right = np.random.default_rng(0).random((5000, patches)) < 0.7
    assert error_correlation(right, labels(2500, 2500)) == pytest.approx(0, abs=0.04)


@pytest.mark.parametrize("patches", [2, 5, 64])
def test_patches_that_all_agree_have_one(patches):
    right = np.repeat(np.array([[1], [0], [1], [1], [0]], bool), patches, axis=1)
    assert error_correlation(right, labels(3, 2)) == pytest.approx(1)


def test_patches_that_never_agree_have_the_least():
    """Every image right on half of its P patches: −1 / (P − 1)."""
    for patches in (2, 4, 10):
        right = np.tile(np.arange(patches) % 2 == 0, (6, 1))
        assert error_correlation(right, labels(3, 3)) == pytest.approx(-1 / (patches - 1))


@pytest.mark.parametrize("value", [True, False])
def test_nothing_varies_nothing_is_known(value):
    assert np.isnan(error_correlation(np.full((4, 3), value), labels(2, 2)))


RIGHT = st.tuples(st.integers(3, 8), st.integers(2, 6)).flatmap(lambda s: arrays(np.bool_, s))


@given(RIGHT, st.integers(0, 8))
def test_a_correlation_is_at_most_one_and_at_least_its_bound(right, reals):
    images, patches = right.shape
    found = error_correlation(right, labels(min(reals, images), images - min(reals, images)))
    assume(not np.isnan(found))
    assert -1 / (patches - 1) - 1e-12 <= found <= 1 + 1e-12


@given(RIGHT, st.randoms(use_true_random=False))
def test_a_correlation_knows_no_order(right, random):
    images, patches = right.shape
    rows, columns = list(range(images)), list(range(patches))
    random.shuffle(rows)
    random.shuffle(columns)
    half = labels(images // 2, images - images // 2)
    before = error_correlation(right, half)
    after = error_correlation(right[rows][:, columns], half[rows])
    assert after == pytest.approx(before, nan_ok=True)
    assert error_correlation(~right, half) == pytest.approx(before, nan_ok=True)


# How many votes they are worth


def test_effective_votes_by_hand():
    assert effective_votes(16, 0.2) == pytest.approx(4)
    assert effective_votes(65, 0.5) == pytest.approx(65 / 33)


@pytest.mark.parametrize("patches", [1, 4, 256])
def test_the_limits_of_effective_votes(patches):
    assert effective_votes(patches, 0) == patches
    assert effective_votes(patches, 1) == 1
    assert effective_votes(patches, -0.3) == patches
    assert effective_votes(patches, 1.0000001) == 1


def test_endless_patches_are_worth_one_over_the_correlation():
    assert effective_votes(10**9, 0.25) == pytest.approx(4, abs=1e-6)


@given(st.integers(1, 10_000), st.floats(-1, 1), st.floats(-1, 1))
def test_effective_votes_lie_between_one_and_all_and_fall(patches, first, second):
    low, high = sorted((first, second))
    fewer, more = effective_votes(patches, high), effective_votes(patches, low)
    assert 1 - 1e-12 <= fewer <= more <= patches
    assert effective_votes(patches + 1, low) >= more - 1e-9


# What a vote would give


def test_a_vote_of_two_by_hand():
    """At accuracy ½, two reals tie half the time, and that is wrong; two fakes too, and right."""
    right = np.array([[1, 0], [0, 1]], bool)
    assert expected_vote(right, labels(2, 0)) == pytest.approx(1 / 4)
    assert expected_vote(right, labels(0, 2)) == pytest.approx(3 / 4)
    assert expected_vote(right, labels(1, 1)) == pytest.approx(1 / 2)


def test_a_vote_of_three_by_hand():
    """At accuracy ⅔: p³ + 3p²(1 − p), for either class."""
    right = np.array([[1, 1, 0], [0, 1, 1]], bool)
    for of in (labels(2, 0), labels(0, 2), labels(1, 1)):
        assert expected_vote(right, of) == pytest.approx(20 / 27)


def test_each_class_has_its_own_accuracy():
    right = np.array([[1, 1, 1]] * 3 + [[0, 0, 1]], bool)
    fake = 3 * (1 / 3) ** 2 * (2 / 3) + (1 / 3) ** 3
    assert expected_vote(right, labels(3, 1)) == pytest.approx((3 + fake) / 4)


def chance(verdicts: tuple[bool, ...], accuracy: float, correlation: float) -> float:
    """The probability that exactly these patches are right, in this order: a Pólya urn's."""
    if correlation == 0 or accuracy in (0, 1):
        return float(np.prod([accuracy if right else 1 - accuracy for right in verdicts]))
    spread = (1 - correlation) / correlation
    found, drawn = 1.0, {True: accuracy * spread, False: (1 - accuracy) * spread}
    for right in verdicts:
        found *= drawn[right] / (drawn[True] + drawn[False])
        drawn[right] += 1
    return found


def enumerated(right: np.ndarray, of: np.ndarray, correlation: float) -> float:
    """The expected vote over all 2^P ways in which an image's patches may be right."""
    total = 0.0
    for label in (0, 1):
        members = right[of == label]
        for verdicts in product((True, False), repeat=right.shape[1]) if len(members) else ():
            says_fake = np.array(verdicts) == bool(label)
            score = rules.share_fake(np.where(says_fake, 1.0, -1.0))
            if rules.RULES["grid"].fake(score) == bool(label):
                total += len(members) * chance(verdicts, members.mean(), correlation)
    return total / len(right)


@given(
    st.tuples(st.integers(1, 5), st.integers(1, 6)).flatmap(lambda s: arrays(np.bool_, s)),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.01, 0.3, 0.9]),
)
def test_the_expected_vote_is_that_over_all_outcomes(right, reals, correlation):
    reals = min(reals, len(right))
    of = labels(reals, len(right) - reals)
    found = expected_vote(right, of, correlation)
    assert found == pytest.approx(enumerated(right, of, correlation))
    assert 0 <= found <= 1


@pytest.mark.parametrize("patches", [4, 5, 16])
@pytest.mark.parametrize("correlation", [0.1, 0.5])
def test_the_expected_vote_is_that_of_simulated_images(patches, correlation):
    right = beta_binomial(40_000, patches, 0.7, correlation, seed=2)
    of = labels(20_000, 20_000)
    says_fake = right == of.astype(bool)[:, None]
    scores = rules.share_fake(np.where(says_fake, 1.0, -1.0))
    measured = (rules.RULES["grid"].fake(scores) == of.astype(bool)).mean()
    assert expected_vote(right, of, correlation) == pytest.approx(measured, abs=0.012)
    assert abs(expected_vote(right, of) - measured) > 0.02  # not as if they were independent


def test_wholly_correlated_votes_are_one_vote():
    right = np.array([[1, 1, 1, 0], [1, 0, 1, 1], [1, 0, 0, 0]], bool)
    assert expected_vote(right, labels(2, 1), 1.0) == pytest.approx(right.mean())
    assert expected_vote(right, labels(2, 1), 1.5) == pytest.approx(right.mean())


def test_a_correlation_below_zero_is_none():
    right = np.array([[1, 1, 1, 0], [1, 0, 1, 1], [1, 0, 0, 0]], bool)
    assert expected_vote(right, labels(2, 1), -0.2) == expected_vote(right, labels(2, 1))


@pytest.mark.parametrize("correlation", [0.0, 0.4, 1.0, float("nan")])
def test_what_never_errs_always_wins(correlation):
    of = labels(2, 2)
    assert expected_vote(np.ones((4, 6), bool), of, correlation) == 1
    assert expected_vote(np.zeros((4, 6), bool), of, correlation) == 0


def test_many_independent_votes_are_nearly_always_right():
    right = np.tile(np.arange(100) < 60, (2, 1))
    assert expected_vote(right, labels(2, 0)) == pytest.approx(binom.sf(50, 100, 0.6))
    assert expected_vote(right, labels(0, 2)) == pytest.approx(binom.sf(49, 100, 0.6))
