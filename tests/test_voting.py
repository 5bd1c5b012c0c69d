"""Voting: ties are fake, order does not matter, and θ keeps the share that the contract says."""

import math
from fractions import Fraction

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from lib import voting

RULES = ("grid", "crops", "mean_margin", "mean_probability")
THETAS = st.floats(0.001, 1)
MARGINS = arrays(
    np.float32,
    array_shapes(min_dims=3, max_dims=3, max_side=6),
    elements=st.integers(-12, 12).map(lambda n: n / 4),  # few values, so that many tie
)


def row(*values) -> np.ndarray:
    return np.array([values], np.float32)


def fake(rule: str, *values) -> bool:
    return bool(voting.verdicts(voting.SCORES[rule](row(*values)), rule)[0])


def test_shares_by_hand():
    z = np.array([[[-1, -1, -1, 1], [0, 0, 0, 0]], [[1, 1, -1, 0], [2, 2, 2, 2]]], np.float32)
    assert voting.share_fake(z).tolist() == [[0.25, 0], [0.5, 1]]


@pytest.mark.parametrize("rule", ["grid", "crops"])
def test_a_tie_is_fake_and_a_margin_of_zero_is_a_real_patch(rule):
    assert fake(rule, 1, 1, -1, -1)
    assert not fake(rule, 1, -1, -1, -1)
    assert not fake(rule, 1, 0, -1, -1)  # z > 0, strictly
    assert fake(rule, 1e-30, 1e-30, -9, -9)
    assert fake(rule, 1, 1, -1)
    assert not fake(rule, 1, -1, -1)


@given(st.integers(1, 257).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_fake_iff_twice_the_fake_patches_reach_those_that_vote(votes):
    count, voting_patches = votes
    z = np.where(np.arange(voting_patches) < count, 1, -1)
    assert fake("grid", *z) == (2 * count >= voting_patches)


def test_mean_margin_by_hand():
    assert fake("mean_margin", 1, -1)  # a mean of exactly zero
    assert fake("mean_margin", 5, -1, -1, -1)
    assert not fake("mean_margin", -5, 1, 1, 1)
    assert voting.mean_margin(row(3, -1)).tolist() == [1]


def test_mean_probability_by_hand():
    assert fake("mean_probability", 0, 0)  # a mean of exactly one half
    assert not fake("mean_probability", 1, 1, -9)  # a mean of 0.487, though most are fake
    assert fake("mean_probability", 9, -1, -1)  # a mean of 0.513, though most are real
    expected = (1 / (1 + math.exp(-1)) + 1 / (1 + math.exp(2))) / 2
    assert voting.mean_probability(row(1, -2))[0] == pytest.approx(expected, abs=1e-7)


@given(MARGINS)
def test_mean_probability_is_the_mean_of_sigmoids(z):
    expected = (1 / (1 + np.exp(-z.astype(float)))).mean(axis=-1)
    np.testing.assert_allclose(voting.mean_probability(z), expected, atol=1e-7)


@pytest.mark.parametrize(("z", "expected"), [((20, -20.5), False), ((20.5, -20), True)])
def test_mean_probability_of_sure_patches_is_not_rounded_to_a_tie(z, expected):
    """P(fake) of z = 20 is 1 − 2·10⁻⁹, which float32 has as 1: sure patches would all be fake."""
    assert fake("mean_probability", *z) == expected


def test_the_whole_image_is_fake_iff_its_margin_is_positive():
    tiny = np.nextafter(np.float32(0), np.float32(1))
    z = np.array([[0], [tiny], [-tiny], [3]], np.float32)
    scores = voting.whole_margin(z)
    assert voting.verdicts(scores, "whole").tolist() == [False, True, False, True]
    with pytest.raises(ValueError, match=r"one patch, got margins of shape \(1, 2\)"):
        voting.whole_margin(row(1, 2))


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="rule: got 'majority', must be one of whole, grid, crops"):
        voting.verdicts(np.zeros(2), "majority")


@given(MARGINS, st.randoms(use_true_random=False))
def test_the_order_of_patches_and_of_images_does_not_matter(z, random):
    images, patches = (random.sample(range(n), n) for n in z.shape[1:])
    shuffled = z[:, images][:, :, patches]
    for rule in RULES:
        scores, again = voting.SCORES[rule](z), voting.SCORES[rule](shuffled)
        np.testing.assert_allclose(again, scores[:, images], atol=1e-12)
    for theta, vote in voting.confident(z, [1.0, 0.6, 0.2]).items():
        again = voting.confident(shuffled, [theta])[theta]
        np.testing.assert_array_equal(again.scores, vote.scores[:, images])
        np.testing.assert_array_equal(again.kept, vote.kept[:, images])


@given(MARGINS)
def test_theta_one_is_the_plain_vote(z):
    vote = voting.confident(z, [1.0])[1.0]
    np.testing.assert_array_equal(vote.scores, voting.share_fake(z))
    assert (vote.kept == z.shape[-1]).all()
    assert not vote.fallback.any()


@pytest.mark.parametrize(
    ("theta", "cut"),
    [(1.0, 1), (0.9, 1), (0.89, 2), (0.5, 3), (0.3, 4), (0.1, 5), (0.0999, np.inf)],
)
def test_the_cut_by_hand(theta, cut):
    """k = floor(θ · 5 + 0.5): 5, 5, 4, 3, 2, 1, 0."""
    assert voting.share_cuts(np.array([3.0, 1, 5, 2, 4]), [theta]) == [cut]


@given(arrays(np.float32, st.integers(1, 60), elements=st.integers(0, 8)), THETAS)
def test_the_cut_is_the_kth_largest_confidence_ties_included(confidence, theta):
    cut = voting.share_cuts(confidence, [theta])[0]
    k = math.floor(theta * len(confidence) + 0.5)
    if k == 0:
        assert cut == np.inf
        return
    assert cut == sorted(confidence, reverse=True)[k - 1]
    assert np.count_nonzero(confidence >= cut) >= k
    assert np.count_nonzero(confidence > cut) < k


def test_shares_round_half_up():
    """k is floor(θ·n + 0.5), where Python's round would take 2.5 to 2."""
    confidence = np.arange(5.0)
    assert voting.share_cuts(confidence, [0.5]) == [2]  # k = 3
    assert voting.share_cuts(confidence, [0.1]) == [4]  # k = 1


def test_ties_at_the_cut_are_all_kept():
    z = np.array([[[2, -2, 1], [2, 1, -1]]], np.float32)
    vote = voting.confident(z, [1 / 6])[1 / 6]  # k = 1, and three patches have |z| = 2
    assert vote.kept.tolist() == [[2, 1]]
    assert vote.scores.tolist() == [[0.5, 1]]


def test_an_image_without_a_confident_patch_lets_all_vote():
    z = np.array([[[9, -8, -7, -6], [1, 1, 1, -1], [-1, -1, -1, 1]]], np.float32)
    vote = voting.confident(z, [0.25])[0.25]  # k = 3: |z| of 9, 8 and 7
    assert vote.kept.tolist() == [[3, 0, 0]]
    assert vote.fallback.tolist() == [[False, True, True]]
    np.testing.assert_allclose(vote.scores, [[1 / 3, 0.75, 0.25]])


def test_where_no_patch_is_kept_all_vote():
    z = np.array([[[3, -1], [-3, -1]]], np.float32)
    vote = voting.confident(z, [0.1])[0.1]  # k = floor(0.9) = 0
    assert vote.fallback.all()
    np.testing.assert_array_equal(vote.scores, voting.share_fake(z))


def test_each_epoch_has_its_own_cut():
    z = np.array([[[1, -2], [3, -4]]], np.float32)
    both = voting.confident(np.concatenate([z, 100 * z]), [0.5])[0.5]
    np.testing.assert_array_equal(both.kept, [[0, 2], [0, 2]])
    np.testing.assert_array_equal(both.scores[0], both.scores[1])


@given(MARGINS, st.lists(THETAS, min_size=1, max_size=3, unique=True))
def test_confident_votes_as_counted_one_by_one(z, thetas):
    votes = voting.confident(z, thetas)
    assert list(votes) == thetas
    for theta, vote in votes.items():
        for epoch, margins in enumerate(z):
            k = math.floor(theta * margins.size + 0.5)
            cut = sorted(np.abs(margins).ravel(), reverse=True)[k - 1] if k else np.inf
            for image, own in enumerate(margins):
                kept = [m for m in own if abs(m) >= cut]
                share = Fraction(sum(m > 0 for m in kept or own), len(kept or own))
                assert vote.kept[epoch, image] == len(kept)
                assert vote.scores[epoch, image] == float(share)
                verdict = voting.verdicts(vote.scores, "confident")[epoch, image]
                assert verdict == (2 * share >= 1)


@pytest.mark.parametrize("theta", [0, -0.5, 1.0001, math.nan, math.inf])
def test_a_theta_that_is_no_share_is_refused(theta):
    with pytest.raises(ValueError, match=rf"theta: got {theta}, must lie in \(0, 1\]"):
        voting.confident(np.zeros((1, 2, 2), np.float32), [0.5, theta])
