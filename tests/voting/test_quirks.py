"""Quirks: off, each leaves the plain rule alone; on, votes are counted as the scripts do."""

from typing import NamedTuple

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from pydantic import ValidationError

from lib.study.quirks import Quirks
from lib.voting import quirks, rules

REAL, FAKE = 0, 1
OFF = Quirks()
PIXELS = ("dense_xception", "scrambled_layout", "bgr_raw_values", "strips")
VOTES = ("fallback_counts_fake", "last_patch_only", "even_crops_ties_wrong")
THETAS = st.floats(0.001, 1)
READINGS = st.sampled_from(sorted(rules.READINGS))
ON_OR_OFF = st.builds(Quirks, **{name: st.booleans() for name in VOTES}, theta_reading=READINGS)


@st.composite
def scored(draw, least_patches: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Margins (E, N, P) of few values, so that many tie, and labels (N,)."""
    shape = draw(array_shapes(min_dims=3, max_dims=3, max_side=6))
    shape = (*shape[:2], max(shape[2], least_patches))
    values = st.integers(-12, 12).map(lambda n: n / 4)
    labels = draw(arrays(np.uint8, shape[1], elements=st.integers(0, 1)))
    return draw(arrays(np.float32, shape, elements=values)), labels


def plain(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The plain rule: fake iff at least half of the votes are, right iff that is the label."""
    return (scores >= 0.5) == (labels == FAKE)


def one_epoch(*images) -> np.ndarray:
    return np.array([images], np.float32)


class Counted(NamedTuple):
    """How a script counts the images: right or not, and whether at all."""

    right: np.ndarray
    counted: np.ndarray | None


def counted(rule: rules.Rule, z: np.ndarray, labels, on: Quirks) -> Counted:
    labels = np.array(labels, np.uint8)
    said = quirks.verdicts(rule, z, labels, on)
    return Counted(said.right(labels), said.counted)


def confident(
    z: np.ndarray, labels: list[int], theta: float, reading: str = "share", **on: bool
) -> Counted:
    return counted(rules.confident(theta, reading), z, labels, Quirks(**on))


def of_crops(z: np.ndarray, labels: np.ndarray, on: Quirks) -> tuple[np.ndarray, np.ndarray]:
    """Scores, and what counts as right."""
    said = quirks.verdicts(rules.RULES["crops"], z, labels, on)
    assert said.counted is None
    return said.score, said.right(labels)


def crops(z: np.ndarray, labels: list[int], **on: bool) -> tuple[list[float], list[bool]]:
    scores, right = of_crops(z, np.array(labels, np.uint8), Quirks(**on))
    return scores[0].tolist(), right[0].tolist()


def test_all_are_off_by_default():
    assert OFF.on == []
    assert OFF.of_networks == {}
    assert OFF.theta_reading == "share"
    assert set(dict(OFF)) == {*PIXELS, *VOTES, "theta_reading", "first_patches"}


@pytest.mark.parametrize("name", [*PIXELS, *VOTES])
def test_a_switch_is_on_by_itself(name):
    one = Quirks(**{name: True})
    assert one.on == [name]
    assert one.of_networks == ({name: True} if name in PIXELS else {})


def test_the_first_patches_are_kept_by_number():
    one = Quirks(first_patches=7)
    assert (one.on, one.of_networks) == (["first_patches"], {"first_patches": 7})


def test_a_reading_other_than_the_papers_is_a_quirk():
    assert Quirks(theta_reading="share").on == []
    for reading in ("range", "probability"):
        assert Quirks(theta_reading=reading).on == ["theta_reading"]
        assert Quirks(theta_reading=reading).of_networks == {}
    with pytest.raises(ValidationError, match="'share', 'range' or 'probability'"):
        Quirks(theta_reading="rank")


@given(scored())
def test_a_verdict_is_right_where_it_is_the_label(case):
    z, labels = case
    for rule in rules.voting_on("grid"):
        said = quirks.verdicts(rule, z, labels, OFF)
        np.testing.assert_array_equal(said.score, rule.score(z))
        assert said.counted is None
        for (epoch, image), right in np.ndenumerate(said.right(labels)):
            verdict = FAKE if rule.fake(said.score)[epoch, image] else REAL
            assert right == (verdict == labels[image])


# Q7: the last crop is dropped, and ties are wrong.


@given(scored(), ON_OR_OFF)
def test_off_the_crops_vote_plainly(case, others):
    z, labels = case
    off = others.model_copy(update={"even_crops_ties_wrong": False})
    scores, right = of_crops(z, labels, off)
    np.testing.assert_array_equal(scores, rules.share_fake(z))
    np.testing.assert_array_equal(right, plain(scores, labels))


@given(scored(least_patches=2), ON_OR_OFF)
def test_even_crops_are_right_only_by_a_majority(case, others):
    z, labels = case
    on = others.model_copy(update={"even_crops_ties_wrong": True})
    scores, every = of_crops(z, labels, on)
    for (epoch, image), right in np.ndenumerate(every):
        votes = [bool(m > 0) == (labels[image] == FAKE) for m in z[epoch, image, :-1]]
        assert right == (votes.count(True) > votes.count(False))
        assert scores[epoch, image] == np.mean(z[epoch, image, :-1] > 0)


def test_the_last_crop_is_left_out_by_hand():
    z = one_epoch([1, 1, -1, -1, 1], [1, 1, -1, -1, -1], [1, -1, -1, -1, 1], [1, 1, 1, -1, -1])
    assert crops(z, [FAKE] * 4) == ([0.6, 0.4, 0.4, 0.6], [True, False, False, True])
    even = crops(z, [FAKE] * 4, even_crops_ties_wrong=True)
    assert even == ([0.5, 0.5, 0.25, 0.75], [False, False, False, True])


def test_crops_as_many_as_the_grid_has_stay_so_many():
    z, on = one_epoch([1, 1, -1, -1, 1]), Quirks(even_crops_ties_wrong=True)
    said = quirks.verdicts(rules.RULES["crops_as_grid"], z, np.array([REAL]), on)
    assert said.score.tolist() == [[0.5]] and said.fake.all()  # a tie, as of the grid


def test_a_tie_of_even_crops_is_wrong_for_both_classes():
    z = one_epoch([1, -1, 9], [1, -1, -9], [1, -1, 9], [1, -1, -9])
    labels = [REAL, REAL, FAKE, FAKE]
    assert crops(z, labels) == (pytest.approx([2 / 3, 1 / 3] * 2), [False, True, True, False])
    assert crops(z, labels, even_crops_ties_wrong=True) == ([0.5] * 4, [False] * 4)
    # A margin of zero is a real crop's, so this is no tie.
    zero = one_epoch([0, -1, 9], [0, -1, 9])
    assert crops(zero, [REAL, FAKE], even_crops_ties_wrong=True) == ([0, 0], [True, False])


# Q4, Q5 and Q6: the confident vote.


@given(scored(), THETAS, READINGS, st.booleans())
def test_off_the_confident_vote_is_counted_plainly(case, theta, reading, crops_quirk):
    z, labels = case
    rule = rules.confident(theta, reading)
    off = Quirks(even_crops_ties_wrong=crops_quirk, theta_reading=reading)
    judged = counted(rule, z, labels, off)
    np.testing.assert_array_equal(judged.right, plain(rule.score(z), labels))
    assert judged.counted is None


@given(scored(), THETAS, READINGS)
def test_a_fallback_that_counts_fakes_as_the_script_counts(case, theta, reading):
    """ver2: of confident patches, right ≥ wrong for a fake, right > wrong for a real."""
    z, labels = case
    rule = rules.confident(theta, reading)
    judged = counted(rule, z, labels, Quirks(fallback_counts_fake=True))
    assert judged.counted is None
    for (epoch, image), right in np.ndenumerate(judged.right):
        confidence, own = np.abs(z[epoch]), z[epoch, image]
        cut = rules.READINGS[reading](confidence, theta)
        fakes = own[np.abs(own) >= cut] > 0
        if labels[image] == FAKE:
            correct, incorrect = np.sum(fakes), np.sum(~fakes)
            assert right == (correct >= incorrect)
            continue
        correct, incorrect = np.sum(~fakes), np.sum(fakes)
        if correct == incorrect == 0:
            correct, incorrect = np.sum(own <= 0), np.sum(own > 0)
        assert right == (correct > incorrect)


def test_a_fake_without_a_confident_patch_is_right_and_a_real_falls_back_by_hand():
    # θ = 0.2 keeps the three nines of the first two images; the others have none.
    z = one_epoch([9, 9, -1], [-9, 1, 1], [-1, -1, 1], [-1, -1, 1], [1, 1, -1])
    labels = [FAKE, FAKE, FAKE, REAL, REAL]
    assert rules.confident(0.2).keep(z).sum(axis=-1).tolist() == [[2, 1, 0, 0, 0]]
    assert confident(z, labels, 0.2).right.tolist() == [[True, False, False, True, False]]
    judged = confident(z, labels, 0.2, fallback_counts_fake=True)
    assert judged.right.tolist() == [[True, False, True, True, False]]
    assert judged.counted is None


def test_where_no_patch_at_all_is_confident_every_fake_is_right():
    z = one_epoch([-1, -2], [-2, -1], [-1, 1], [-1, -1])
    labels = [FAKE, REAL, REAL, FAKE]
    assert not rules.confident(0.01).keep(z).any()  # k = floor(0.58) = 0
    assert confident(z, labels, 0.01).right.tolist() == [[False, True, False, False]]
    judged = confident(z, labels, 0.01, fallback_counts_fake=True)
    assert judged.right.tolist() == [[True, True, False, True]]


def test_a_tie_of_confident_patches_is_fake_with_either_fallback():
    z = one_epoch([9, -9, -1], [9, -9, -1])
    for on in ({}, {"fallback_counts_fake": True}):
        judged = confident(z, [REAL, FAKE], 0.5, **on)
        assert judged.right.tolist() == [[False, True]]


@given(scored(), THETAS, READINGS, st.booleans())
def test_the_last_patch_alone_is_counted_as_the_script_counts(case, theta, reading, both):
    """ver1: its counters hold the last patch only; with both switches on, it is the one that is."""
    z, labels = case
    on = Quirks(last_patch_only=True, fallback_counts_fake=both)
    judged = counted(rules.confident(theta, reading), z, labels, on)
    for (epoch, image), right in np.ndenumerate(judged.right):
        last, cut = z[epoch, image, -1], rules.READINGS[reading](np.abs(z[epoch]), theta)
        confident_last = abs(last) >= cut
        correct = int(confident_last and (last > 0) == (labels[image] == FAKE))
        incorrect = int(confident_last) - correct
        if labels[image] == FAKE:
            assert judged.counted[epoch, image]
            assert right == (correct >= incorrect)
        else:
            assert judged.counted[epoch, image] == confident_last
            if confident_last:
                assert right == (correct > incorrect)


@pytest.mark.parametrize("both", [False, True])
def test_the_last_patch_alone_by_hand(both):
    # k = floor(0.5 · 12 + 0.5) = 6: the seven nines.
    z = one_epoch([-9, -9, 9], [9, 1, -9], [-9, -9, 1], [1, 1, -1])
    on = {"last_patch_only": True, "fallback_counts_fake": both}
    fakes = confident(z, [FAKE] * 4, 0.5, **on)
    assert fakes.right.tolist() == [[True, False, True, True]]
    assert fakes.counted.tolist() == [[True] * 4]
    reals = confident(z, [REAL] * 4, 0.5, **on)
    assert reals.counted.tolist() == [[True, True, False, False]]
    assert reals.right[reals.counted].tolist() == [False, True]


def test_where_no_last_patch_is_confident_all_fakes_are_right_and_no_real_counts():
    z = one_epoch([9, -1], [9, -1], [-9, 1], [-9, 1])
    judged = confident(z, [REAL, FAKE, REAL, FAKE], 0.5, last_patch_only=True)
    assert judged.counted.tolist() == [[False, True, False, True]]
    assert judged.right[judged.counted].tolist() == [True, True]


def test_a_last_patch_of_margin_zero_is_not_confident_in_the_released_reading():
    """At θ = 1 the range keeps |z| > 0: strictly, so the real is left out, the fake is right."""
    z = one_epoch([-3, 0], [-3, 0])
    released = confident(z, [REAL, FAKE], 1.0, "range", last_patch_only=True)
    assert released.counted.tolist() == [[False, True]]
    assert released.right[released.counted].tolist() == [True]
    share = confident(z, [REAL, FAKE], 1.0, "share", last_patch_only=True)
    assert share.counted.tolist() == [[True, True]]
    assert share.right.tolist() == [[True, False]]
