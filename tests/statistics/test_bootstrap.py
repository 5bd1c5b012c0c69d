"""Statistics: by hand, beside scipy, and intervals that respect the images."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from scipy import stats

from lib import margins
from lib.statistics import accuracy, bootstrap

SEEDS = st.integers(0, 2**32 - 1)


def statistic(estimates: list[bootstrap.Estimate], name: str) -> bootstrap.Estimate:
    (found,) = [estimate for estimate in estimates if estimate.statistic == name]
    return found


def some_labels(generator: np.random.Generator, most: int = 12) -> np.ndarray:
    """Labels of both classes in random order."""
    counts = generator.integers(1, most, 2)
    return generator.permutation(np.repeat([0, 1], counts)).astype(np.uint8)


# Seven epochs of four images: their accuracies are 0, 1, 0.5, 0.75, 1, 0.25 and 0.5.
ROWS = ("0000", "1111", "1100", "1110", "1111", "1000", "0101")
CORRECT = np.array([[int(right) for right in row] for row in ROWS])


def by_hand(rows: int, validated: int) -> dict[str, tuple[float, int | None]]:
    counts = bootstrap.resample(np.array([0, 0, 1, 1]), 100, 0)
    epochs = np.arange(10, 10 + rows, dtype=np.int32)
    found = accuracy.over_epochs(CORRECT[:rows], epochs, validated, counts)
    assert tuple(estimate.statistic for estimate in found) == accuracy.EPOCH_STATISTICS
    return {estimate.statistic: (estimate.value, estimate.epoch) for estimate in found}


def test_accuracies_over_epochs_by_hand():
    assert by_hand(7, validated=3) == {
        "top1": (1.0, 11),  # the earlier of two
        "top5": (pytest.approx((1 + 1 + 0.75 + 0.5 + 0.5) / 5), None),
        "average": (pytest.approx(4 / 7), None),
        "last": (0.5, 16),
        "validated": (0.75, 13),
    }


def test_top5_of_fewer_than_five_epochs_is_the_mean_of_all():
    found = by_hand(3, validated=0)
    assert found["top5"] == found["average"] == (0.5, None)
    assert found["validated"] == (0.0, 10)
    one = by_hand(1, validated=0)
    assert {value for value, _ in one.values()} == {0.0}
    assert accuracy.top(np.array([[0.1, 0.9], [0.3, 0.5]]), 1).tolist() == [0.9, 0.5]


def test_the_validated_epoch_is_the_earliest_of_the_best():
    assert margins.validated_epoch(np.array([0.5, 0.9, 0.7, 0.9])) == 1
    assert margins.validated_epoch(np.array([0.5, 0.5])) == 0


def test_the_interval_is_from_the_2_5th_to_the_97_5th_percentile():
    assert bootstrap.interval(np.arange(1001.0)) == pytest.approx((25, 975), abs=1e-9)
    assert bootstrap.interval(np.arange(1001.0), 0.9) == pytest.approx((50, 950), abs=1e-9)


def test_resamples_without_a_value_do_not_enter_an_interval():
    values = np.append(np.arange(1001.0), [np.nan] * 500)
    assert bootstrap.interval(values) == pytest.approx((25, 975), abs=1e-9)
    assert all(np.isnan(bootstrap.interval(np.full(3, np.nan))))


@given(SEEDS, st.integers(1, 9))
def test_each_class_keeps_its_size_in_every_resample(seed, resamples):
    labels = some_labels(np.random.default_rng(seed))
    counts = bootstrap.resample(labels, resamples, seed)
    assert counts.shape == (resamples, len(labels))
    for label in (0, 1):
        members = labels == label
        assert (counts[:, members].sum(axis=1) == members.sum()).all()
    np.testing.assert_array_equal(counts, bootstrap.resample(labels, resamples, seed))


def test_resamples_depend_on_the_seed_and_draw_all_images_equally_often():
    labels = np.repeat([0, 1], [5, 3])
    counts = bootstrap.resample(labels, 4000, 0)
    assert (counts != bootstrap.resample(labels, 4000, 1)).any()
    # How often an image is drawn has a mean of 1 and a variance of (1 − 1/n) in a class of n.
    assert np.abs(counts.mean(axis=0) - 1).max() < 5 / np.sqrt(4000)
    np.testing.assert_allclose(counts[:, :5].var(axis=0), 1 - 1 / 5, rtol=0.1)
    np.testing.assert_allclose(counts[:, 5:].var(axis=0), 1 - 1 / 3, rtol=0.1)
    only_real = bootstrap.resample(np.zeros(3, np.uint8), 5, 0)
    assert (only_real.sum(axis=1) == 3).all()


def test_intervals_agree_with_scipys_bootstrap():
    """Percentile intervals, the classes resampled apart, within Monte-Carlo error."""
    generator, resamples = np.random.default_rng(1), 20_000
    labels = np.repeat([0, 1], [40, 20]).astype(np.uint8)
    right = generator.beta(2, 1, 60)  # as shares of patches
    right[labels == 1] *= 0.5  # where the classes differ, resampling them together is wider

    def of_all(real, fake, axis):
        return (40 * real.mean(axis=axis) + 20 * fake.mean(axis=axis)) / 60

    theirs = stats.bootstrap(
        (right[:40], right[40:]),
        of_all,
        vectorized=True,
        method="percentile",
        n_resamples=resamples,
        rng=np.random.default_rng(2),
    )
    counts = bootstrap.resample(labels, resamples, 3)
    ours = statistic(accuracy.over_epochs(right[None], [0], 0, counts), "validated")
    assert ours.value == pytest.approx(of_all(right[:40], right[40:], 0))
    # A quantile's own deviation is sqrt(q (1 − q) / B) / density, here 0.019 of the statistic's.
    error = 4 * np.sqrt(2) * 0.019 * theirs.standard_error
    low, high = theirs.confidence_interval
    assert error < 0.05 * (high - low)
    assert ours.low == pytest.approx(low, abs=error)
    assert ours.high == pytest.approx(high, abs=error)


@given(SEEDS, st.integers(1, 6))
def test_the_interval_of_top1_lies_at_or_above_every_epochs(seed, epochs):
    generator = np.random.default_rng(seed)
    labels = some_labels(generator)
    counts = bootstrap.resample(labels, 100, seed)
    correct = generator.integers(0, 2, (epochs, len(labels)))
    rows = [
        accuracy.over_epochs(correct, np.arange(epochs), epoch, counts) for epoch in range(epochs)
    ]
    top1 = statistic(rows[0], "top1")
    for row in rows:
        fixed = statistic(row, "validated")
        assert top1.value >= fixed.value
        assert top1.low >= fixed.low
        assert top1.high >= fixed.high


def test_top1_picks_its_epoch_again_in_each_resample():
    """Two epochs right on opposite halves: the better of the two is never below one half."""
    correct = np.array([[1, 0] * 20, [0, 1] * 20])
    counts = bootstrap.resample(np.zeros(40, np.uint8), 2000, 0)
    found = accuracy.over_epochs(correct, np.arange(2), 0, counts)
    top1, fixed = statistic(found, "top1"), statistic(found, "validated")
    assert top1.value == fixed.value == 0.5
    assert top1.low == 0.5
    assert fixed.low < 0.4
    drawn = counts @ correct.T / 40
    assert (top1.low, top1.high) == pytest.approx(bootstrap.interval(drawn.max(axis=1)))


def test_rules_that_are_always_right_have_no_spread():
    counts = bootstrap.resample(np.repeat([0, 1], 7), 50, 0)
    for estimate in accuracy.over_epochs(np.ones((3, 14), bool), np.arange(3), 1, counts):
        assert (estimate.value, estimate.low, estimate.high) == (1, 1, 1)


def test_both_rates_by_hand():
    labels = np.array([0, 0, 0, 0, 1, 1], np.uint8)
    right = np.array([0, 1, 1, 1, 1, 0], bool)
    found = accuracy.rates(right, labels, bootstrap.resample(labels, 400, 0))
    assert [estimate.statistic for estimate in found] == ["tpr", "tnr"]
    tpr, tnr = statistic(found, "tpr"), statistic(found, "tnr")
    assert (tpr.value, tnr.value) == (0.5, 0.75)
    # Two fakes drawn twice are right 0, 1 or 2 times with probabilities ¼, ½ and ¼.
    assert (tpr.low, tpr.high) == (0, 1)
    # Four reals drawn again are all wrong in 1 resample of 256, all right in 81.
    assert (tnr.low, tnr.high) == (0.25, 1)


def test_rates_of_patches_are_shares_of_patches():
    labels = np.array([0, 1], np.uint8)
    found = accuracy.rates(np.array([0.75, 0.5]), labels, bootstrap.resample(labels, 9, 0))
    assert statistic(found, "tpr").value == 0.5
    assert statistic(found, "tnr").value == 0.75


def test_rates_are_over_the_images_that_count():
    labels = np.array([0, 0, 0, 1, 1], np.uint8)
    right = np.array([1, 0, 0, 1, 0], bool)
    counted = np.array([1, 1, 0, 1, 1], bool)
    found = accuracy.rates(right, labels, bootstrap.resample(labels, 400, 0), counted)
    assert statistic(found, "tnr").value == 0.5
    assert statistic(found, "tpr").value == 0.5
    # Of the two reals that count, each alone is drawn in some resamples.
    assert (statistic(found, "tnr").low, statistic(found, "tnr").high) == (0, 1)


@pytest.mark.parametrize(("label", "rate"), [(0, "tnr"), (1, "tpr")])
def test_the_rate_of_an_absent_class_is_left_out(label, rate):
    labels = np.full(3, label, np.uint8)
    found = accuracy.rates(np.array([0, 1, 1]), labels, bootstrap.resample(labels, 9, 0))
    assert [estimate.statistic for estimate in found] == [rate]


@pytest.mark.parametrize(("label", "rate"), [(0, "tpr"), (1, "tnr")])
def test_the_rate_of_a_class_of_which_no_image_counts_is_left_out(label, rate):
    labels = np.array([0, 1, 1, 0], np.uint8)
    found = accuracy.rates(np.ones(4), labels, bootstrap.resample(labels, 9, 0), labels != label)
    assert [estimate.statistic for estimate in found] == [rate]


def test_an_accuracy_and_its_draws_by_hand():
    right = np.array([[1, 0, 1, 1], [0, 0.5, 0, 1]])
    resampled = np.array([[2, 0, 1, 1], [0, 2, 2, 0]], np.float32)
    expected = [[0.75, 0.375], [1, 0.25], [0.5, 0.25]]  # as observed, then resample by resample
    assert bootstrap.draws(right, None, resampled).tolist() == expected
    assert bootstrap.draws(right[1], None, resampled).tolist() == [row[1] for row in expected]


def test_an_accuracy_over_the_images_that_count_by_hand():
    right = np.array([[1, 0, 1, 1], [1, 1, 0, 0]])
    counted = np.array([[1, 1, 0, 1], [0, 0, 1, 1]], bool)
    resampled = np.array([[2, 0, 1, 1], [0, 2, 2, 0], [2, 2, 0, 0]], np.float32)
    # The third resample draws no image that the second epoch counts.
    expected = [[2 / 3, 0], [3 / 3, 0], [0 / 2, 0], [2 / 4, np.nan]]
    np.testing.assert_array_equal(bootstrap.draws(right, counted, resampled), expected)
    alone = bootstrap.draws(right[0], counted[0], resampled)
    np.testing.assert_array_equal(alone, [row[0] for row in expected])


def test_where_no_image_counts_there_is_no_accuracy():
    drawn = bootstrap.draws(np.ones(3), np.zeros(3, bool), np.ones((4, 3), np.float32))
    assert drawn.shape == (5,)
    assert np.isnan(drawn).all()
    assert all(np.isnan(bootstrap.interval(drawn[1:])))


@given(SEEDS, st.integers(1, 4))
def test_draws_are_those_of_the_images_drawn_again(seed, epochs):
    generator = np.random.default_rng(seed)
    labels = some_labels(generator)
    counts = bootstrap.resample(labels, 6, seed)
    right = generator.integers(0, 5, (epochs, len(labels))) / 4
    counted = generator.random((epochs, len(labels))) < 0.5
    drawn = bootstrap.draws(right, counted, counts)
    everyone = bootstrap.draws(right, None, counts)
    assert drawn.shape == everyone.shape == (7, epochs)
    for row, often in enumerate([np.ones(len(labels), int), *counts.astype(int)]):
        for epoch in range(epochs):
            again, own = (np.repeat(x[epoch], often) for x in (right, counted))
            assert everyone[row, epoch] == pytest.approx(again.mean(), abs=1e-12)
            expected = again[own].mean() if own.any() else np.nan
            assert drawn[row, epoch] == pytest.approx(expected, abs=1e-12, nan_ok=True)
    all_count = bootstrap.draws(right, np.ones_like(counted), counts)
    np.testing.assert_allclose(all_count, everyone, atol=1e-12)


@given(SEEDS, st.integers(1, 8))
def test_estimates_over_epochs_follow_from_accuracies_resample_by_resample(seed, epochs):
    generator = np.random.default_rng(seed)
    labels = some_labels(generator)
    counts = bootstrap.resample(labels, 40, seed)
    right = generator.integers(0, 2, (epochs, len(labels)))
    counted = labels.astype(bool) | (generator.random(right.shape) < 0.6)
    at = int(generator.integers(epochs))
    for own in (None, counted):
        weights = np.ones(right.shape) if own is None else own.astype(float)
        observed = (right * weights).sum(axis=1) / weights.sum(axis=1)  # (E,)
        drawn = counts @ (right * weights).T / (counts @ weights.T)  # (B, E)
        expected = {
            "top1": [a.max(axis=-1) for a in (observed, drawn)],
            "top5": [np.sort(a, axis=-1)[..., -5:].mean(axis=-1) for a in (observed, drawn)],
            "average": [a.mean(axis=-1) for a in (observed, drawn)],
            "last": [a[..., -1] for a in (observed, drawn)],
            "validated": [a[..., at] for a in (observed, drawn)],
        }
        for estimate in accuracy.over_epochs(right, np.arange(epochs), at, counts, own):
            value, resampled = expected[estimate.statistic]
            one_by_one = (float(value), *np.percentile(resampled, [2.5, 97.5]))
            assert estimate[1:4] == pytest.approx(one_by_one, abs=1e-6)


@given(SEEDS)
def test_a_rule_does_not_differ_from_itself(seed):
    generator = np.random.default_rng(seed)
    labels = some_labels(generator)
    counts = bootstrap.resample(labels, 50, seed)
    first, second = generator.random((2, len(labels)))
    same = accuracy.difference(first, first, counts)
    assert (same.statistic, same.value, same.low, same.high) == ("difference", 0, 0, 0)
    there, back = (
        accuracy.difference(first, second, counts),
        accuracy.difference(second, first, counts),
    )
    assert there.value == pytest.approx(first.mean() - second.mean())
    assert (back.value, back.low, back.high) == pytest.approx(
        (-there.value, -there.high, -there.low)
    )


def test_a_difference_is_paired():
    """Rules that are right on the same images differ by less than their intervals are wide."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 100)
    first = generator.integers(0, 2, 200)
    second = first.copy()
    second[np.flatnonzero(first)[:10]] = 0
    counts = bootstrap.resample(labels, 1000, 0)
    gain = accuracy.difference(first, second, counts)
    assert gain.value == pytest.approx(0.05)
    assert 0 < gain.low < 0.05 < gain.high
    alone = statistic(accuracy.over_epochs(first[None], [0], 0, counts), "last")
    assert gain.high - gain.low < 0.6 * (alone.high - alone.low)


def test_copies_of_an_images_patches_do_not_narrow_its_interval():
    """Were patches taken as independent, eight copies would narrow it by sqrt(8)."""
    generator = np.random.default_rng(0)
    labels = np.repeat([0, 1], 30).astype(np.uint8)
    z = generator.standard_normal((60, 4)) + 0.5 * labels[:, None]
    counts = bootstrap.resample(labels, 300, 0)
    right = (z > 0) == labels[:, None].astype(bool)
    few, many = (
        statistic(accuracy.over_epochs(r.mean(axis=1)[None], [0], 0, counts), "validated")
        for r in (right, np.tile(right, 8))
    )
    assert few.low < few.value < few.high
    assert many[1:4] == few[1:4]
