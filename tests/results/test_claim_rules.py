"""Findings by hand: what counts as supported, contradicted, undecided, not tested."""

import numpy as np
import pytest

from lib.results.accuracies import Comparison
from lib.results.claim_rules import (
    CONTRADICTED,
    NOT_TESTED,
    SUPPORTED,
    UNDECIDED,
    all_above,
    overall,
    some_differ,
)


def around(value: float, half: float = 1.0, seeds: tuple[float, ...] = ()) -> Comparison:
    """A quantity whose resamples lie evenly within `half`: its interval is value ± 0.95 half."""
    draws = np.append(value, value + half * np.linspace(-1, 1, 2001))
    return Comparison("x", draws, seeds or (value,))


def test_the_hand_made_intervals_are_what_they_are_said_to_be():
    assert around(3, 2).interval() == pytest.approx((3 - 1.9, 3 + 1.9))
    assert around(3, 2).interval(0.975) == pytest.approx((3 - 1.95, 3 + 1.95))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.96, SUPPORTED),
        (0.94, UNDECIDED),
        (0, UNDECIDED),
        (-0.94, UNDECIDED),
        (-0.96, CONTRADICTED),
    ],
)
def test_one_quantity_is_judged_by_its_interval(value, expected):
    assert all_above([around(value)]) == expected


def test_all_quantities_must_lie_above_zero():
    assert all_above([around(5), around(0.96), around(2)]) == SUPPORTED
    assert all_above([around(5), around(0.94), around(2)]) == UNDECIDED


def test_one_quantity_below_zero_contradicts():
    assert all_above([around(5), around(-5), around(0)]) == CONTRADICTED


def test_nothing_to_look_at_is_not_tested():
    assert all_above([]) == some_differ([]) == NOT_TESTED


def test_one_disagreeing_seed_leaves_a_claim_undecided():
    assert all_above([around(5, seeds=(8, 2))]) == SUPPORTED
    assert all_above([around(5, seeds=(11, -1))]) == UNDECIDED
    assert all_above([around(5, seeds=(10, 0))]) == UNDECIDED
    assert all_above([around(-5, seeds=(-8, -2))]) == CONTRADICTED
    assert all_above([around(-5, seeds=(-11, 1))]) == UNDECIDED
    assert all_above([around(-5, seeds=(-10, 0))]) == UNDECIDED


def test_a_disagreeing_seed_of_one_quantity_is_enough():
    assert all_above([around(5), around(5, seeds=(11, -1))]) == UNDECIDED


def test_seeds_that_agree_cannot_stand_in_for_an_interval():
    assert all_above([around(0.5, seeds=(0.5, 0.5))]) == UNDECIDED
    assert all_above([around(-0.5, seeds=(-0.5, -0.5))]) == UNDECIDED


def test_a_contradiction_among_several_needs_a_wider_interval():
    """By itself it reaches up to −0.01, at 97.5 % to +0.015."""
    found = around(-0.96)
    assert all_above([found]) == CONTRADICTED
    assert all_above([found, around(5)]) == UNDECIDED
    assert all_above([around(-0.98), around(5)]) == CONTRADICTED
    assert all_above([around(-0.98), *[around(5)] * 4]) == UNDECIDED  # at 99 %, up to +0.01
    assert all_above([around(-0.995), *[around(5)] * 4]) == CONTRADICTED


def test_support_needs_no_wider_interval_since_all_must_hold():
    assert all_above([around(0.96)] * 20) == SUPPORTED


@pytest.mark.parametrize("sign", [1, -1])
def test_a_difference_to_either_side_is_a_difference(sign):
    assert some_differ([around(0.96 * sign)]) == SUPPORTED
    assert some_differ([around(0.94 * sign)]) == UNDECIDED
    assert some_differ([around(0), around(0.98 * sign), around(0)]) == UNDECIDED  # 98.3 %
    assert some_differ([around(0), around(0.99 * sign), around(0)]) == SUPPORTED


@pytest.mark.parametrize("sign", [1, -1])
def test_seeds_must_agree_on_a_difference(sign):
    assert some_differ([around(5 * sign, seeds=(4 * sign, 6 * sign))]) == SUPPORTED
    assert some_differ([around(5 * sign, seeds=(-1 * sign, 11 * sign))]) == UNDECIDED
    other = [around(5 * sign, seeds=(-1 * sign, 11 * sign)), around(-5 * sign)]
    assert some_differ(other) == SUPPORTED


def test_all_within_one_point_contradicts_a_difference():
    """The intervals reach to ±0.0095, and to ±0.0105."""
    near, far = around(0, 0.010), around(0, 0.011)
    assert some_differ([near, near]) == CONTRADICTED
    assert some_differ([near, far]) == UNDECIDED
    assert some_differ([around(0.004, 0.010)]) == UNDECIDED  # up to 0.0135
    assert some_differ([around(-0.004, 0.010)]) == UNDECIDED


def test_a_difference_that_is_sure_and_small_is_a_difference():
    assert some_differ([around(0.005, 0.001)]) == SUPPORTED


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([SUPPORTED, SUPPORTED], SUPPORTED),
        ([SUPPORTED, CONTRADICTED, NOT_TESTED], CONTRADICTED),
        ([UNDECIDED, CONTRADICTED], CONTRADICTED),
        ([SUPPORTED, UNDECIDED], UNDECIDED),
        ([SUPPORTED, NOT_TESTED], UNDECIDED),
        ([NOT_TESTED, SUPPORTED], UNDECIDED),
        ([UNDECIDED, UNDECIDED], UNDECIDED),
        ([NOT_TESTED, NOT_TESTED], NOT_TESTED),
        ([CONTRADICTED], CONTRADICTED),
    ],
)
def test_a_claim_is_judged_by_its_parts(verdicts, expected):
    assert overall(verdicts) == expected
