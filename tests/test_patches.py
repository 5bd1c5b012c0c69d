"""Patches: the grid tiles the image, crops lie within it and depend on their own names alone."""

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given
from pydantic import ValidationError

from lib.patches import crop_origins, cut, displaced_origins, grid_origins, strips

SIZES = st.sampled_from([(8, 2), (8, 8), (12, 4), (16, 4), (16, 8), (18, 3), (32, 16)])
NAMES = st.lists(st.text("ab0/_.é", max_size=8), min_size=1, max_size=6, unique=True)


def test_grid_by_hand():
    origins = grid_origins(4, 2)
    assert origins.tolist() == [[0, 0], [0, 2], [2, 0], [2, 2]]
    assert origins.dtype == np.int32
    assert grid_origins(256, 256).tolist() == [[0, 0]]


@given(SIZES)
def test_grid_covers_the_image_without_overlap(sizes):
    image_size, patch_size = sizes
    covered = np.zeros((image_size, image_size), int)
    for row, column in grid_origins(image_size, patch_size):
        patch = covered[row : row + patch_size, column : column + patch_size]
        assert patch.shape == (patch_size, patch_size)
        patch += 1
    assert (covered == 1).all()


@given(SIZES, st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_grid_patches_reassemble_to_the_image(sizes, count, seed):
    image_size, patch_size = sizes
    shape = (count, image_size, image_size, 3)
    images = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    grid = grid_origins(image_size, patch_size)
    index, origins = np.repeat(np.arange(count), len(grid)), np.tile(grid, (count, 1))
    patches = cut(images, index, origins, patch_size)
    assert patches.dtype == np.uint8
    by_image = patches.reshape(count, len(grid), *patches.shape[1:])
    side = image_size // patch_size
    tiled = by_image.reshape(count, side, side, *patches.shape[1:])
    np.testing.assert_array_equal(tiled.swapaxes(2, 3).reshape(shape), images)
    tensors = [torch.from_numpy(array.astype(np.int64)) for array in (index, origins)]
    of_tensor = cut(torch.from_numpy(images), *tensors, patch_size)
    assert isinstance(of_tensor, torch.Tensor)
    assert of_tensor.dtype == torch.uint8
    np.testing.assert_array_equal(of_tensor.numpy(), patches)


def test_cut_takes_row_before_column_and_reads_memory_maps(tmp_path):
    np.save(tmp_path / "images.npy", np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    patches = cut(images, np.array([1, 0, 1]), np.array([[0, 2], [1, 0], [2, 1]]), 2)
    for patch, expected in zip(
        patches, (images[1, 0:2, 2:4], images[0, 1:3, 0:2], images[1, 2:4, 1:3]), strict=True
    ):
        np.testing.assert_array_equal(patch, expected)


def grid_patches(images: np.ndarray, patch_size: int) -> np.ndarray:
    """(N, P, p, p, 3)."""
    count, grid = len(images), grid_origins(images.shape[1], patch_size)
    index, origins = np.repeat(np.arange(count), len(grid)), np.tile(grid, (count, 1))
    patches = cut(images, index, origins, patch_size)
    return patches.reshape(count, len(grid), patch_size, patch_size, 3)


@given(SIZES, st.integers(1, 3), st.integers(0, 2**32 - 1))
def test_the_grid_patches_of_strips_are_the_images_bytes_in_their_order(sizes, count, seed):
    image_size, patch_size = sizes
    shape = (count, image_size, image_size, 3)
    images = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
    before = images.copy()
    rearranged = strips(images, patch_size)
    assert rearranged.shape == shape
    assert rearranged.dtype == np.uint8
    np.testing.assert_array_equal(images, before)
    per_image = (image_size // patch_size) ** 2
    read = np.frombuffer(images.tobytes(), np.uint8)
    expected = read.reshape(count, per_image, patch_size, patch_size, 3)
    np.testing.assert_array_equal(grid_patches(rearranged, patch_size), expected)


def test_strips_by_hand():
    """Of 4 × 4 pixels each 2 × 2 patch is a row: its first half above its second."""
    image = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1).repeat(3, axis=3)
    rearranged = strips(image, 2)
    assert rearranged[0, :, :, 0].tolist() == [
        [0, 1, 4, 5],
        [2, 3, 6, 7],
        [8, 9, 12, 13],
        [10, 11, 14, 15],
    ]
    rows = grid_patches(rearranged, 2)[0, :, :, :, 0]
    assert rows.reshape(4, 4).tolist() == image[0, :, :, 0].tolist()


def test_a_strip_of_the_whole_image_is_the_image():
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(1, 8, 8, 3)
    np.testing.assert_array_equal(strips(image, 8), image)
    assert (strips(image, 4) != image).any()


def test_strips_read_memory_maps(tmp_path):
    np.save(tmp_path / "images.npy", np.arange(4 * 4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 4, 3))
    images = np.load(tmp_path / "images.npy", mmap_mode="r")
    np.testing.assert_array_equal(strips(images[1:3], 2), strips(np.array(images)[1:3], 2))


@given(NAMES, SIZES, st.sampled_from([1, 5, 17]), st.integers(0, 9))
def test_crops_lie_within_the_image(names, sizes, count, seed):
    image_size, patch_size = sizes
    origins = crop_origins(names, image_size, patch_size, count, seed=seed)
    assert origins.shape == (len(names), count, 2)
    assert origins.dtype == np.int32
    assert origins.min() >= 0
    assert origins.max() + patch_size <= image_size


@given(NAMES, st.randoms(), st.integers(0, 9))
def test_crops_depend_on_their_own_image_alone(names, random, seed):
    together = dict(zip(names, crop_origins(names, 64, 16, 5, seed=seed), strict=True))
    shuffled = random.sample(names, random.randint(1, len(names)))
    for name, origins in zip(shuffled, crop_origins(shuffled, 64, 16, 5, seed=seed), strict=True):
        np.testing.assert_array_equal(origins, together[name])


def test_crops_change_with_seed_image_and_patch_size():
    origins = crop_origins(["a", "b"], 64, 16, 17, seed=0)
    assert (origins[0] != origins[1]).any()
    assert (origins[0] != crop_origins(["a"], 64, 16, 17, seed=1)[0]).any()
    # Scaled to the positions that are left, those of another patch size are other crops too.
    assert (origins[0] != crop_origins(["a"], 80, 32, 17, seed=0)[0]).any()


def test_crops_reach_every_position_about_equally_often():
    origins = crop_origins([str(i) for i in range(600)], 18, 16, 5, seed=0).reshape(-1, 2)
    for axis in (0, 1):
        counts = np.bincount(origins[:, axis], minlength=3)
        assert len(counts) == 3
        assert np.abs(counts / 3000 - 1 / 3).max() < 0.04  # five deviations of a fair draw
    assert np.bincount(3 * origins[:, 0] + origins[:, 1]).min() > 0


@pytest.mark.parametrize("count", [0, 2, 64])
def test_an_even_number_of_crops_is_refused(count):
    with pytest.raises(ValueError, match=rf"crops per image: got {count}, must be odd"):
        crop_origins(["a"], 64, 16, count, seed=0)


@pytest.mark.parametrize("patch_size", [65, 128])
def test_crops_larger_than_the_image_are_refused(patch_size):
    with pytest.raises(ValueError, match=rf"patch_size: got {patch_size}, must lie in 1 to 64"):
        crop_origins(["a"], 64, patch_size, 5, seed=0)


def test_crops_as_large_as_the_image_are_the_image():
    assert crop_origins(["a"], 64, 64, 5, seed=0).tolist() == [[[0, 0]] * 5]


@pytest.mark.parametrize(("patch_size", "count"), [(128, 5), (64, 17), (32, 65), (16, 257)])
def test_the_papers_crops_per_image(make_study, patch_size, count):
    data = {"image_size": 256, "per_class": {"train": 1, "validation": 1, "test": 1}}
    assert make_study(data=data, patch_sizes=[256]).crops(patch_size) == count
    other = make_study(data=data, patch_sizes=[256], voting={"crops_per_image": 9})
    assert other.crops(patch_size) == 9


@pytest.mark.parametrize(("image_size", "patch_size"), [(48, 16), (96, 32), (160, 32), (64, 16)])
def test_crops_are_odd_wherever_a_study_is_accepted(make_study, image_size, patch_size):
    data = {"image_size": image_size, "per_class": {"train": 1, "validation": 1, "test": 1}}
    try:
        study = make_study(data=data, patch_sizes=[patch_size])
    except ValidationError:
        return  # an error before anything is packed or trained does as well
    assert study.crops(patch_size) % 2 == 1


@pytest.mark.parametrize("patch_size", [7, 24, 128])
def test_a_patch_size_that_does_not_tile_the_image_is_refused(patch_size):
    with pytest.raises(ValueError, match=rf"{patch_size} does not divide .* 64; .*\[8, 16, 32, 64"):
        grid_origins(64, patch_size)


def test_displaced_patches_stay_inside_and_keep_their_number():
    both = (True, True)
    assert displaced_origins(64, 16, 0, both).tolist() == [
        [row, column] for row in (0, 16, 32) for column in (0, 16, 32)
    ]
    assert (displaced_origins(64, 16, 5, both) % 16 == 5).all()
    down, across = (displaced_origins(64, 16, 16, axes) for axes in ((1, 0), (0, 1)))
    assert down.tolist() == [[row, column] for row in (16, 32, 48) for column in (0, 16, 32, 48)]
    assert across.tolist() == [[row, column] for row in (0, 16, 32, 48) for column in (16, 32, 48)]
    assert displaced_origins(64, 32, 7, both).tolist() == [[7, 7]]
    assert down.dtype == np.int32


def test_crops_may_lie_on_a_lattice():
    ids, args = ["a", "b", "c"], (64, 16, 201)
    free, aligned = crop_origins(ids, *args, seed=0), crop_origins(ids, *args, seed=0, step=8)
    assert set(aligned.ravel().tolist()) == set(range(0, 49, 8))
    assert set(free.ravel().tolist()) == set(range(49))
