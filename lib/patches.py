"""Where patches lie and how they are cut: pure functions of arrays, numpy's or torch's alike.

*Grid* patches do not overlap and cover the image (Experiments 1 and 2); *crops* are random
squares (Experiment 3). Origins are int32 top-left rows and columns, all sizes are in px.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def check_patch_size(patch_size: int, image_size: int) -> None:
    """Raises ValueError unless patches of `patch_size` px tile an image of `image_size` px."""
    if image_size % patch_size:
        divisors = [d for d in range(8, image_size + 1) if image_size % d == 0]
        raise ValueError(
            f"patch_size: {patch_size} does not divide the image size {image_size}; "
            f"it can be one of {divisors}"
        )


def grid_origins(image_size: int, patch_size: int) -> np.ndarray:
    """The origins (P, 2) of the grid's P = (image_size / patch_size)² patches, row by row.

    Raises ValueError if `patch_size` does not divide `image_size`.
    """
    if patch_size < 1:
        raise ValueError(f"patch_size: got {patch_size}, must be at least 1")
    check_patch_size(patch_size, image_size)
    starts = np.arange(0, image_size, patch_size, dtype=np.int32)
    return np.stack(np.meshgrid(starts, starts, indexing="ij"), axis=-1).reshape(-1, 2)


def displaced_origins(
    image_size: int, patch_size: int, distance: int, axes: tuple[bool, bool]
) -> np.ndarray:
    """The origins (P, 2) of the grid's patches, displaced by 0 to `patch_size` px down or across.

    `axes` tells along which of the two. The last row, or column, or both, which such distances
    would carry out of the image, are left out at any distance, so that P does not depend on it.
    """
    along = np.array(axes)
    grid = grid_origins(image_size, patch_size)
    inside = (grid + along * patch_size <= image_size - patch_size).all(axis=1)
    return (grid[inside] + along * distance).astype(np.int32)


def crop_origins(
    image_ids: Sequence[str],
    image_size: int,
    patch_size: int,
    count: int,
    *,
    seed: int,
    step: int = 1,
) -> np.ndarray:
    """The origins (N, count, 2) of random squares within N images, uniform over all positions.

    Or over those at multiples of `step` px alone.

    They depend on the study's data seed, the image's name and the patch size alone: the same in all
    epochs and training seeds, whatever the other images are. Raises ValueError if `count`, per
    image, is even, so that votes could tie, or the patch is larger than the image.
    """
    if count % 2 == 0:
        raise ValueError(f"crops per image: got {count}, must be odd, so that no vote ties")
    if not 0 < patch_size <= image_size:
        raise ValueError(f"patch_size: got {patch_size}, must lie in 1 to {image_size}")
    origins = np.empty((len(image_ids), count, 2), np.int32)
    for row, image_id in enumerate(image_ids):
        digest = hashlib.sha256(f"{seed}/{image_id}/{patch_size}".encode()).digest()
        generator = np.random.default_rng(int.from_bytes(digest[:16], "big"))
        last = (image_size - patch_size) // step
        origins[row] = generator.integers(0, last + 1, (count, 2)) * step
    return origins


def cut(images: Any, index: Any, origins: Any, patch_size: int) -> Any:
    """Gathers patches (B, p, p, 3) of images (N, S, S, 3), an array, a memory map or a tensor.

    `index`, integers (B,), has each patch's image, `origins` are integers (B, 2); both are of the
    same library and on the same device as the images.
    """
    if isinstance(images, np.ndarray):
        windows = sliding_window_view(images, (patch_size, patch_size), axis=(1, 2))
    else:
        windows = images.unfold(1, patch_size, 1).unfold(2, patch_size, 1)
    windows = windows.swapaxes(3, 4).swapaxes(4, 5)  # (N, S−p+1, S−p+1, p, p, 3), a view
    return windows[index, origins[:, 0], origins[:, 1]]  # copies rows of pixels, not single ones


def strips(images: np.ndarray, patch_size: int) -> np.ndarray:
    """Rearranges images (N, S, S, 3) so that their grid patches are strips of full-width rows.

    The released code reads a whole image of S × S pixels as (S/p)² patches of p × p, byte by byte:
    each patch, from top to bottom, is p²/S rows of the image, folded into a square (the quirk
    `strips`).
    """
    count, size = images.shape[:2]
    side = size // patch_size
    folded = images.reshape(count, side, side, patch_size, patch_size, 3)
    return folded.swapaxes(2, 3).reshape(images.shape)
