"""Findings by hand: what counts as supported, contradicted, undecided, not tested."""

import numpy as np
import pytest

from lib.results.claim_rules import (
    CONTRADICTED,
    NOT_JUDGED,
    NOT_TESTED,
    SUPPORTED,
    UNDECIDED,
    all_above,
    overall,
    some_differ,
)
from lib.results.comparison import Comparison


def around(value: float, half: float = 1.0, seeds: tuple[float, ...] = (), bound=0.0) -> Comparison:
    """A quantity whose resamples lie evenly within `half`: its 92 % interval is value ± 0.92 half.

    That is so where the seeds are equal; they share all that the images do.
    """
    seeds = np.array(seeds or (value,))[:, None]
    draws = seeds + half * np.append(0, np.linspace(-1, 1, 2001))
    return Comparison("x is {}", ("more", "less"), draws, bound)


def test_the_hand_made_intervals_are_what_they_are_said_to_be():
    assert around(3, 2).interval() == pytest.approx((3 - 1.9, 3 + 1.9))
    assert around(3, 2).interval(0.92) == pytest.approx((3 - 1.84, 3 + 1.84))
    assert around(3, 2, (3, 3, 3)).interval() == pytest.approx((3 - 1.9, 3 + 1.9))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0.93, SUPPORTED),
        (0.91, UNDECIDED),
        (0, UNDECIDED),
        (-0.91, UNDECIDED),
        (-0.93, CONTRADICTED),
    ],
)
def test_one_quantity_is_judged_by_its_interval(value, expected):
    assert all_above([around(value)]) == expected


def test_all_quantities_must_lie_above_zero():
    assert all_above([around(5), around(0.93), around(2)]) == SUPPORTED
    assert all_above([around(5), around(0.91), around(2)]) == UNDECIDED


def test_a_bound_is_what_a_quantity_is_to_be_above():
    assert all_above([around(0.43, bound=-0.5)]) == SUPPORTED
    assert all_above([around(0.41, bound=-0.5)]) == UNDECIDED
    assert all_above([around(-1.43, bound=-0.5)]) == CONTRADICTED


def test_one_quantity_below_zero_contradicts():
    assert all_above([around(5), around(-5), around(0)]) == CONTRADICTED


def test_nothing_to_look_at_is_not_tested():
    assert all_above([]) == some_differ([]) == NOT_TESTED


def test_seeds_that_scatter_leave_a_claim_undecided():
    """Of seeds 5 ± s the t interval at 92 % is ± 3.32 s / √3 = 1.92 s."""
    assert all_above([around(5, 0, seeds=(7.5, 5, 2.5))]) == SUPPORTED
    assert all_above([around(5, 0, seeds=(7.7, 5, 2.3))]) == UNDECIDED
    assert all_above([around(-5, 0, seeds=(-7.5, -5, -2.5))]) == CONTRADICTED
    assert all_above([around(5), around(5, seeds=(11, 5, -1))]) == UNDECIDED


def test_seeds_that_agree_cannot_stand_in_for_an_interval():
    assert all_above([around(0.5, seeds=(0.5, 0.5))]) == UNDECIDED
    assert all_above([around(-0.5, seeds=(-0.5, -0.5))]) == UNDECIDED


def test_a_contradiction_among_several_needs_a_wider_interval():
    """By itself it reaches up to −0.02, of two, at 96 %, to +0.02."""
    found = around(-0.94)
    assert all_above([found]) == CONTRADICTED
    assert all_above([found, around(5)]) == UNDECIDED
    assert all_above([around(-0.97), around(5)]) == CONTRADICTED
    assert all_above([around(-0.97), *[around(5)] * 4]) == UNDECIDED  # at 98.4 %, up to +0.014
    assert all_above([around(-0.99), *[around(5)] * 4]) == CONTRADICTED


def test_support_needs_no_wider_interval_since_all_must_hold():
    assert all_above([around(0.93)] * 20) == SUPPORTED


@pytest.mark.parametrize("sign", [1, -1])
def test_a_difference_to_either_side_is_a_difference(sign):
    assert some_differ([around(0.96 * sign)]) == SUPPORTED
    assert some_differ([around(0.94 * sign)]) == UNDECIDED
    assert some_differ([around(0), around(0.98 * sign), around(0)]) == UNDECIDED  # 98.3 %
    assert some_differ([around(0), around(0.99 * sign), around(0)]) == SUPPORTED


def test_all_within_two_points_contradicts_a_difference():
    """The intervals reach to ±0.0193, and to ±0.0202."""
    near, far = around(0, 0.021), around(0, 0.022)
    assert some_differ([near, near]) == CONTRADICTED
    assert some_differ([near, far]) == UNDECIDED
    assert some_differ([around(0.004, 0.020)]) == UNDECIDED  # up to 0.0224
    assert some_differ([around(-0.004, 0.020)]) == UNDECIDED


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
        ([NOT_JUDGED, NOT_TESTED], NOT_JUDGED),
    ],
)
def test_a_claim_is_judged_by_its_parts(verdicts, expected):
    assert overall(verdicts) == expected
