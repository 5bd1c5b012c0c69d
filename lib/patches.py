"""Where patches lie and how they are cut: pure functions of arrays, numpy's or torch's alike.

*Grid* patches do not overlap and cover the image (Experiments 1 and 2); *crops* are random
squares (Experiment 3).
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lib.study import check_patch_size


def grid_origins(image_size: int, patch_size: int) -> np.ndarray:
    """The grid's patches, row by row.

    Returns:
        int32 (P, 2), P = (image_size / patch_size)²: each patch's top-left row and column in px.

    Raises:
        ValueError: if `patch_size` does not divide `image_size`.
    """
    if patch_size < 1:
        raise ValueError(f"patch_size: got {patch_size}, must be at least 1")
    check_patch_size(patch_size, image_size)
    starts = np.arange(0, image_size, patch_size, dtype=np.int32)
    return np.stack(np.meshgrid(starts, starts, indexing="ij"), axis=-1).reshape(-1, 2)


def crop_origins(
    image_ids: Sequence[str], image_size: int, patch_size: int, count: int, *, seed: int
) -> np.ndarray:
    """Random squares that lie within the image, uniform over all positions.

    They depend on (seed, image_id, patch_size) alone: the same in all epochs and training seeds,
    whatever the other images are.

    Args:
        image_ids: N names.
        image_size: px.
        patch_size: px, at most `image_size`.
        count: P, crops per image: odd, so that no vote ties.
        seed: the study's data seed.

    Returns:
        int32 (N, P, 2): top-left row and column in px.

    Raises:
        ValueError: if `count` is even, or the patch is larger than the image.
    """
    if count % 2 == 0:
        raise ValueError(f"crops per image: got {count}, must be odd, so that no vote ties")
    if not 0 < patch_size <= image_size:
        raise ValueError(f"patch_size: got {patch_size}, must lie in 1 to {image_size}")
    origins = np.empty((len(image_ids), count, 2), np.int32)
    for row, image_id in enumerate(image_ids):
        digest = hashlib.sha256(f"{seed}/{image_id}/{patch_size}".encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:16], "big"))
        origins[row] = generator.integers(0, image_size - patch_size + 1, (count, 2))
    return origins


def cut(images: Any, index: Any, origins: Any, patch_size: int) -> Any:
    """Gathers patches, on whatever device the images lie.

    Args:
        images: (N, S, S, 3), an array, a memory map or a tensor.
        index: integers (B,), each patch's image.
        origins: integers (B, 2), each patch's top-left row and column in px. `index` and
            `origins` are of the same library, and on the same device, as `images`.
        patch_size: p, px.

    Returns:
        (B, p, p, 3), of the images' dtype.
    """
    if isinstance(images, np.ndarray):
        windows = sliding_window_view(images, (patch_size, patch_size), axis=(1, 2))
    else:
        windows = images.unfold(1, patch_size, 1).unfold(2, patch_size, 1)
    windows = windows.swapaxes(3, 4).swapaxes(4, 5)  # (N, S−p+1, S−p+1, p, p, 3), a view
    return windows[index, origins[:, 0], origins[:, 1]]  # copies rows of pixels, not single ones


def strips(images: np.ndarray, patch_size: int) -> np.ndarray:
    """Rearranges images so that their grid patches are strips of full-width rows.

    The released code reads a whole image of S × S pixels as (S/p)² patches of p × p, byte by
    byte: each patch is p²/S rows of the image, folded into a square (the quirk `strips`).

    Args:
        images: (N, S, S, 3).
        patch_size: p, px; divides S.

    Returns:
        (N, S, S, 3), whose grid patches, row by row, are the strips from top to bottom.
    """
    count, size = images.shape[:2]
    side = size // patch_size
    folded = images.reshape(count, side, side, patch_size, patch_size, 3)
    return folded.swapaxes(2, 3).reshape(images.shape)


def assemble(values: np.ndarray, image_size: int, patch_size: int) -> np.ndarray:
    """Lays grid patches, or one number per grid patch, back into the image's plane.

    Args:
        values: (P, p, p, C) patches or (P,) numbers, in the order of `grid_origins`.
        image_size: S, px.
        patch_size: p, px.

    Returns:
        (S, S, C), the image that the patches were cut from; or (S/p, S/p), a map of the numbers.
    """
    side = image_size // patch_size
    if values.ndim == 1:
        return values.reshape(side, side)
    tiled = values.reshape(side, side, patch_size, patch_size, -1)
    return tiled.swapaxes(1, 2).reshape(image_size, image_size, -1)
