"""What each step is given: by seed and epoch alone, from where and how often it is asked for."""

import numpy as np
import pytest

from lib.networks.batches import Batches
from lib.study.schema import Training

LABELS = np.array([0, 1, 0, 1, 0])


def batches(seed=3, images=range(10), size=(16, 8), **how) -> Batches:
    """Of ten images of four patches each, unless told otherwise."""
    made = Batches(Training(**how), seed, *size)
    made.keep(np.array(images), np.zeros(len(images), int))
    return made


def drawn(epoch=5, **how) -> list[int]:
    return batches(**how).drawn(epoch).tolist()


def test_an_epochs_patches_depend_on_seed_and_epoch_alone():
    first = drawn(patches_per_epoch=12)
    assert first == drawn(patches_per_epoch=12)
    assert len(set(first)) == 12 and set(first) <= set(range(40))
    assert first != drawn(patches_per_epoch=12, epoch=6)
    assert first != drawn(patches_per_epoch=12, seed=4)
    assert sorted(drawn()) == list(range(40))


def test_only_the_patches_of_the_images_that_are_kept_are_drawn():
    assert sorted(drawn(images=[1, 7])) == [4, 5, 6, 7, 28, 29, 30, 31]


def test_an_epoch_that_is_to_be_longer_goes_through_the_patches_again():
    again = drawn(min_patches_per_epoch=100)
    assert len(again) == 100
    assert sorted(again[:40]) == sorted(again[40:80]) == list(range(40))
    assert again[:40] == drawn() and again[40:80] != drawn()
    assert len(set(again[80:])) == 20
    assert drawn(min_patches_per_epoch=30) == drawn()
    assert len(drawn(patches_per_epoch=30, min_patches_per_epoch=30)) == 30


def test_an_epoch_cannot_be_shorter_and_longer():
    with pytest.raises(ValueError, match="min_patches_per_epoch: got 31, more than .* 30"):
        Training(patches_per_epoch=30, min_patches_per_epoch=31)


def test_the_first_patches_of_each_class_are_those_of_the_images_that_come_first():
    made, rows = Batches(Training(), 0, 16, 8), np.array([4, 3, 0, 1, 2])
    made.keep(rows, LABELS[rows], 6)
    assert made.patches.tolist() == [16, 17, 18, 19, 0, 1, 12, 13, 14, 15, 4, 5]
    made.keep(rows, LABELS[rows], 100)
    assert sorted(made.patches) == list(range(20))


def test_patches_lie_on_the_grid_and_are_as_they_are():
    for batch, _ in batches(batch_size=7).of(0):
        assert not batch.mirrored.any()
        assert set(map(tuple, batch.origins.tolist())) <= {(0, 0), (0, 8), (8, 0), (8, 8)}
    (batch, _) = next(batches().of(0))
    every = zip(batch.images.tolist(), map(tuple, batch.origins.tolist()), strict=True)
    assert len(set(every)) == 40


@pytest.mark.parametrize(("origins", "step"), [("aligned", 8), ("anywhere", 1)])
def test_patches_may_lie_elsewhere(origins, step):
    made = batches(size=(64, 16), images=range(80), origins=origins)
    found = np.concatenate([batch.origins for batch, _ in made.of(0)])
    assert found.shape == (1280, 2)
    assert sorted(set(found.ravel().tolist())) == list(range(0, 49, step))
    again = np.concatenate([batch.origins for batch, _ in made.of(0)])
    np.testing.assert_array_equal(found, again)
    assert (found != np.concatenate([batch.origins for batch, _ in made.of(1)])).any()


def test_where_they_lie_changes_no_images():
    plain, moved = (batches(origins=where, batch_size=8) for where in ("grid", "anywhere"))
    for (one, rate), (other, same) in zip(plain.of(2), moved.of(2), strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        assert rate == same


def test_half_of_the_patches_are_mirrored():
    made = batches(size=(64, 16), images=range(80), flips=True)
    mirrored = np.concatenate([batch.mirrored for batch, _ in made.of(0)])
    assert 0.45 < mirrored.mean() < 0.55


def test_the_learning_rate_stays_or_falls_as_half_a_cosine():
    constant = batches(epochs=2, learning_rate=0.01, batch_size=15)
    assert [rate for _, rate in constant.of(1)] == [0.01] * 3
    cosine = batches(epochs=2, learning_rate=0.01, schedule="cosine", batch_size=20)
    rates = [rate for epoch in (0, 1) for _, rate in cosine.of(epoch)]
    half = 0.5**0.5
    assert np.array(rates) / 0.01 == pytest.approx([1, (1 + half) / 2, 1 / 2, (1 - half) / 2])


@pytest.mark.parametrize(("patches", "sizes"), [(9, [4, 4]), (10, [4, 4, 2])])
def test_a_last_batch_of_one_is_left_out(patches, sizes):
    made = batches(patches_per_epoch=patches, batch_size=4)
    assert [len(batch.images) for batch, _ in made.of(0)] == sizes
