"""Voting: ties are fake, order does not matter, and θ keeps what each of its readings says."""

import math
from fractions import Fraction
from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays

from lib.voting import rules

PLAIN = [rule.name for on in ("grid", "crops") for rule in rules.voting_on(on)]
THETAS = st.floats(0.001, 1)
MARGINS = arrays(
    np.float32,
    array_shapes(min_dims=3, max_dims=3, max_side=6),
    elements=st.integers(-12, 12).map(lambda n: n / 4),  # few values, so that many tie
)


def row(*values) -> np.ndarray:
    return np.array([values], np.float32)


def fake(name: str, *values) -> bool:
    rule = rules.RULES[name]
    return bool(rule.fake(rule.score(row(*values)))[0])


class Vote(NamedTuple):
    """The vote of the confident patches, and which they were."""

    scores: np.ndarray
    kept: np.ndarray
    last_kept: np.ndarray
    fallback: np.ndarray


def confident(z: np.ndarray, theta: float, reading: str = "share") -> Vote:
    rule = rules.confident(theta, reading)
    keep = rule.keep(z)
    return Vote(rule.score(z), keep.sum(axis=-1), keep[..., -1], ~keep.any(axis=-1))


def cut_of(confidence: np.ndarray, theta: float) -> float:
    return rules.READINGS["share"](confidence, theta)


def test_shares_by_hand():
    z = np.array([[[-1, -1, -1, 1], [0, 0, 0, 0]], [[1, 1, -1, 0], [2, 2, 2, 2]]], np.float32)
    assert rules.share_fake(z).tolist() == [[0.25, 0], [0.5, 1]]


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
    assert rules.mean_margin(row(3, -1)).tolist() == [1]


def test_mean_probability_by_hand():
    assert fake("mean_probability", 0, 0)  # a mean of exactly one half
    assert not fake("mean_probability", 1, 1, -9)  # a mean of 0.487, though most are fake
    assert fake("mean_probability", 9, -1, -1)  # a mean of 0.513, though most are real
    expected = (1 / (1 + math.exp(-1)) + 1 / (1 + math.exp(2))) / 2
    assert rules.mean_probability(row(1, -2))[0] == pytest.approx(expected, abs=1e-7)


@given(MARGINS)
def test_mean_probability_is_the_mean_of_sigmoids(z):
    expected = (1 / (1 + np.exp(-z.astype(float)))).mean(axis=-1)
    np.testing.assert_allclose(rules.mean_probability(z), expected, atol=1e-7)


@pytest.mark.parametrize(("z", "expected"), [((20, -20.5), False), ((20.5, -20), True)])
def test_mean_probability_of_sure_patches_is_not_rounded_to_a_tie(z, expected):
    """P(fake) of z = 20 is 1 − 2·10⁻⁹, which float32 has as 1: sure patches would all be fake."""
    assert fake("mean_probability", *z) == expected


def test_the_whole_image_is_fake_iff_its_margin_is_positive():
    tiny = np.nextafter(np.float32(0), np.float32(1))
    z = np.array([[0], [tiny], [-tiny], [3]], np.float32)
    scores = rules.whole_margin(z)
    assert rules.RULES["whole"].fake(scores).tolist() == [False, True, False, True]
    with pytest.raises(ValueError, match=r"one patch, got margins of shape \(1, 2\)"):
        rules.whole_margin(row(1, 2))


def test_every_rule_is_known_by_its_name_and_has_a_title_of_its_own():
    assert list(rules.RULES) == [rule.name for rule in rules.RULES.values()]
    titles = [rules.title(name) for name in ("none", *rules.RULES)]
    assert len(set(titles)) == len(titles)
    assert rules.title("my_own") == "my own"
    assert PLAIN == ["grid", "mean_margin", "mean_probability", "crops", "crops_as_grid"]


def test_one_crop_fewer_may_tie():
    z = np.float32([[[1, 1, -1, -1, -1], [1, -1, -1, -1, 1]]])
    rule = rules.RULES["crops_as_grid"]
    assert rule.score(z).tolist() == [[0.5, 0.25]]
    assert rule.fake(rule.score(z)).tolist() == [[True, False]]
    assert rule.score(z[..., :1]).tolist() == [[1, 1]]


def test_a_rule_of_ones_own_is_one_entry(monkeypatch):
    own = rules.Rule("least", "least of all", lambda z: z.min(axis=-1), threshold=0.0)
    monkeypatch.setitem(rules.RULES, "least", own)
    assert own in rules.voting_on("grid") and rules.title("least") == "least of all"
    assert own.fake(own.score(row(1, 2))).tolist() == [True]
    assert own.fake(own.score(row(-1, 2))).tolist() == [False]


@given(MARGINS, st.randoms(use_true_random=False))
def test_the_order_of_patches_and_of_images_does_not_matter(z, random):
    images, patches = (random.sample(range(n), n) for n in z.shape[1:])
    shuffled = z[:, images][:, :, patches]
    for name in set(PLAIN) - {"crops_as_grid"}:  # which leaves the last out
        scores, again = rules.RULES[name].score(z), rules.RULES[name].score(shuffled)
        np.testing.assert_allclose(again, scores[:, images], atol=1e-12)
    for reading in rules.READINGS:
        for theta in (1.0, 0.6, 0.2):
            vote, again = confident(z, theta, reading), confident(shuffled, theta, reading)
            np.testing.assert_array_equal(again.scores, vote.scores[:, images])
            np.testing.assert_array_equal(again.kept, vote.kept[:, images])


@pytest.mark.parametrize("reading", ["share", "probability"])
@given(MARGINS)
def test_theta_one_is_the_plain_vote(reading, z):
    vote = confident(z, 1.0, reading)
    np.testing.assert_array_equal(vote.scores, rules.share_fake(z))
    assert (vote.kept == z.shape[-1]).all()
    assert vote.last_kept.all()
    assert not vote.fallback.any()


@given(MARGINS)
def test_theta_one_of_the_range_leaves_out_margins_of_zero_alone(z):
    vote = confident(z, 1.0, "range")
    np.testing.assert_array_equal(vote.kept, (z != 0).sum(axis=-1))
    np.testing.assert_array_equal(vote.last_kept, z[..., -1] != 0)


def test_theta_one_of_the_range_can_turn_a_verdict():
    z = np.array([[[0, 0, 1], [0, 0, 0]]], np.float32)
    vote = confident(z, 1.0, "range")
    assert vote.scores.tolist() == [[1, 0]]  # of all patches a third is fake
    assert vote.fallback.tolist() == [[False, True]]


@pytest.mark.parametrize(
    ("theta", "cut"),
    [(1.0, 1), (0.9, 1), (0.89, 2), (0.5, 3), (0.3, 4), (0.1, 5), (0.0999, np.inf)],
)
def test_the_cut_by_hand(theta, cut):
    """k = floor(θ · 5 + 0.5): 5, 5, 4, 3, 2, 1, 0."""
    assert cut_of(np.array([3.0, 1, 5, 2, 4]), theta) == cut


@given(arrays(np.float32, st.integers(1, 60), elements=st.integers(0, 8)), THETAS)
def test_the_cut_is_the_kth_largest_confidence_ties_included(confidence, theta):
    cut = cut_of(confidence, theta)
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
    assert cut_of(confidence, 0.5) == 2  # k = 3
    assert cut_of(confidence, 0.1) == 4  # k = 1


def test_ties_at_the_cut_are_all_kept():
    z = np.array([[[2, -2, 1], [2, 1, -1]]], np.float32)
    vote = confident(z, 1 / 6)  # k = 1, and three patches have |z| = 2
    assert vote.kept.tolist() == [[2, 1]]
    assert vote.scores.tolist() == [[0.5, 1]]


def test_an_image_without_a_confident_patch_lets_all_vote():
    z = np.array([[[9, -8, -7, -6], [1, 1, 1, -1], [-1, -1, -1, 1]]], np.float32)
    vote = confident(z, 0.25)  # k = 3: |z| of 9, 8 and 7
    assert vote.kept.tolist() == [[3, 0, 0]]
    assert vote.fallback.tolist() == [[False, True, True]]
    np.testing.assert_allclose(vote.scores, [[1 / 3, 0.75, 0.25]])


def test_where_no_patch_is_kept_all_vote():
    z = np.array([[[3, -1], [-3, -1]]], np.float32)
    vote = confident(z, 0.1)  # k = floor(0.9) = 0
    assert vote.fallback.all()
    np.testing.assert_array_equal(vote.scores, rules.share_fake(z))


def test_each_epoch_has_its_own_cut():
    z = np.array([[[1, -2], [3, -4]]], np.float32)
    both = confident(np.concatenate([z, 100 * z]), 0.5)
    np.testing.assert_array_equal(both.kept, [[0, 2], [0, 2]])
    np.testing.assert_array_equal(both.scores[0], both.scores[1])


def kept(reading: str, theta: float, *values) -> list[bool]:
    """Which of some patches are confident; each is an image of its own."""
    z = np.array(values, np.float32)[None, :, None]
    return confident(z, theta, reading).last_kept[0].tolist()


def test_the_three_readings_of_theta_by_hand():
    """θ = 0.6 of |z| = 0, 1, 2, 3, 5: the top three; above 5 · 0.4 = 2; at least ln(7/3) = 0.85."""
    assert kept("share", 0.6, 0, 1, -2, 3, -5) == [False, False, True, True, True]
    assert kept("range", 0.6, 0, 1, -2, 3, -5) == [False, False, False, True, True]
    assert kept("probability", 0.6, 0, 1, -2, 3, -5) == [False, True, True, True, True]


def test_the_range_is_from_the_least_confidence_to_the_greatest():
    # (5 − 1) · 0.5 = 2, to be exceeded; were it 5 · 0.5, or the range of z, 2.25 would not.
    assert kept("range", 0.5, 1, -5, 2, -2, 2.25) == [False, True, False, False, True]
    # Of equals the range is zero: all are kept.
    assert kept("range", 0.1, 3, -3) == [True, True]


def test_the_range_is_compared_in_float64():
    """1 − 0.9 is 0.09999999999999998 in float64, below float32's 0.1, but above it in float32."""
    assert kept("range", 0.9, 1, 0, 0.1) == [True, False, True]
    assert np.float32(1) - np.float32(0.9) > np.float32(0.1)


@pytest.mark.parametrize("theta", [0.5, 0.75])
def test_the_range_is_strict(theta):
    bound = np.float32(4 * (1 - theta))  # exact
    after = np.nextafter(bound, np.float32(9))
    assert kept("range", theta, 0, 4, bound, after) == [False, True, False, True]


def test_where_all_margins_are_zero_the_range_keeps_none():
    z = np.zeros((1, 2, 3), np.float32)
    for theta in (1.0, 0.5):
        vote = confident(z, theta, "range")
        assert vote.fallback.all()
        assert vote.scores.tolist() == [[0, 0]]


def test_the_probability_reading_keeps_the_bound_itself():
    # |P(real) − P(fake)| = tanh(|z|/2) ≥ ½ iff |z| ≥ ln 3; these are the float32 beside it.
    above = np.float32(math.log(3))
    assert float(above) > math.log(3)
    below = np.nextafter(above, np.float32(0))
    assert kept("probability", 0.5, above, -above, below, -below) == [True, True, False, False]
    assert kept("probability", 1.0, 0) == [True]  # 0 ≥ 0


def test_the_probability_reading_may_keep_none():
    z = np.array([[[1, -1, -1], [0.5, 0.5, -0.5]]], np.float32)
    vote = confident(z, 0.5, "probability")
    assert vote.kept.tolist() == [[0, 0]]
    np.testing.assert_allclose(vote.scores, [[1 / 3, 2 / 3]])


@pytest.mark.parametrize("reading", ["range", "probability"])
@given(arrays(np.float32, st.integers(1, 40), elements=st.floats(0, 99, width=32)), THETAS)
def test_a_cut_keeps_what_the_reading_says_in_float64(reading, confidence, theta):
    wide = confidence.astype(np.float64)
    if reading == "range":
        expected = wide > (wide.max() - wide.min()) * (1 - theta)
    else:
        expected = wide >= 2 * np.arctanh(1 - theta)
    cut = rules.READINGS[reading](confidence, theta)
    np.testing.assert_array_equal(confidence >= cut, expected)
    assert cut.dtype == np.float32


@given(st.floats(0, 12, width=32).map(np.float32), st.floats(0.0001, 1))
def test_the_probability_reading_is_that_of_the_two_probabilities(confidence, theta):
    apart = math.tanh(float(confidence) / 2)
    if not math.isclose(apart, 1 - theta, rel_tol=1e-9):
        assert (confidence >= rules.READINGS["probability"](confidence[None], theta)) == (
            apart >= 1 - theta
        )


def test_whether_the_last_patch_is_confident():
    z = np.array([[[9, 1], [1, -9], [1, 1], [-8, 8]]], np.float32)
    vote = confident(z, 0.5)
    assert vote.kept.tolist() == [[1, 1, 0, 2]]
    assert vote.last_kept.tolist() == [[False, True, False, True]]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("whole", [0.25, 0.5, 0.75]),
        ("mean_margin", [0.25, 0.5, 0.75]),
    ],
)
def test_margins_become_probabilities_by_the_sigmoid(rule, expected):
    margins = np.array([-math.log(3), 0, math.log(3)])
    assert rules.RULES[rule].probability(margins).tolist() == pytest.approx(expected)


@pytest.mark.parametrize("rule", ["grid", "crops", "confident", "mean_probability"])
def test_shares_and_mean_probabilities_stand_for_themselves(rule):
    assert rules.RULES[rule].probability(np.array([0, 0.5, 1])).tolist() == [0, 0.5, 1]


def is_kept(reading: str, theta: float, margins: np.ndarray) -> np.ndarray:
    """Which patches (N, P) are confident, one by one in float64."""
    confidence = np.abs(margins.astype(np.float64))
    if reading == "share":
        k = math.floor(theta * margins.size + 0.5)
        cut = sorted(confidence.ravel(), reverse=True)[k - 1] if k else np.inf
        return confidence >= cut
    if reading == "range":
        return confidence > (confidence.max() - confidence.min()) * (1 - theta)
    return np.tanh(confidence / 2) >= 1 - theta


@pytest.mark.parametrize("reading", rules.READINGS)
@given(MARGINS, st.lists(THETAS, min_size=1, max_size=3, unique=True))
def test_confident_votes_as_counted_one_by_one(reading, z, thetas):
    for theta in thetas:
        vote = confident(z, theta, reading)
        for epoch, margins in enumerate(z):
            keep = is_kept(reading, theta, margins)
            for image, own in enumerate(margins):
                those = [m for m, k in zip(own, keep[image], strict=True) if k]
                share = Fraction(sum(m > 0 for m in those or own), len(those or own))
                assert vote.kept[epoch, image] == len(those)
                assert vote.last_kept[epoch, image] == keep[image, -1]
                assert vote.fallback[epoch, image] == (not those)
                assert vote.scores[epoch, image] == float(share)
                verdict = rules.confident(theta, reading).fake(vote.scores)[epoch, image]
                assert verdict == (2 * share >= 1)


@given(MARGINS)
def test_the_share_is_the_reading_that_is_taken_for_granted(z):
    for theta in (0.7, 0.3):
        for mine, named in zip(confident(z, theta), confident(z, theta, "share"), strict=True):
            np.testing.assert_array_equal(mine, named)


@pytest.mark.parametrize("reading", rules.READINGS)
@pytest.mark.parametrize("theta", [0, -0.5, 1.0001, math.nan, math.inf])
def test_a_theta_out_of_range_is_refused(reading, theta):
    with pytest.raises(ValueError, match=rf"theta: got {theta}, must lie in \(0, 1\]"):
        rules.confident(theta, reading)


def test_an_unknown_reading_is_refused():
    with pytest.raises(
        ValueError, match="reading: got 'rank', must be one of share, range, probability"
    ):
        rules.confident(0.5, "rank")


def test_constant_patches_do_not_vote_unless_there_is_no_other():
    z = np.array([[[1, 1, -1, -1], [1, -1, -1, -1]]], np.float32)
    constant = np.array([[True, True, False, False], [True] * 4])
    rule = rules.without(constant)
    assert rule.score(z).tolist() == [[0, 0.25]]
    assert rule.keep(z).tolist() == [[[False, False, True, True], [False] * 4]]
    assert rules.without(~constant).score(z).tolist() == [[1, 0.25]]
