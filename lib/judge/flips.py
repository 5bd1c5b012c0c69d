"""Does a verdict survive what happens to pictures on their way? Each is tried on every picture."""

from collections.abc import Callable

import numpy as np

from lib.data.perturbations import alter
from lib.patches import displaced_origins, grid_origins
from lib.study.schema import Altered, Preparation

Alter = Callable[[np.ndarray, str], np.ndarray]


def _each(**change: float) -> Alter:
    how = Altered(test_images_of="these", **change)
    return lambda images, resample: np.array(
        [alter(image, how, resample) for image in images], np.uint8
    )


ALTERATIONS: dict[str, Alter] = {
    "saved again as JPEG 75": _each(jpeg_quality=75),
    "shrunk by half and enlarged": _each(scale=0.5),
    "mirrored": lambda images, _: np.ascontiguousarray(images[:, :, ::-1]),
}
"""Each a function of images, uint8 (N, S, S, 3), and the filter's name to as many altered ones."""
SHIFTED = "shifted by half a patch"


def altered(
    images: np.ndarray, preparation: Preparation, patch_size: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Images uint8 (N, S, S, 3) after each alteration, and the origins of the patches to look at.

    A shift is one of the grid's, down and across; a whole image cannot be shifted.
    """
    grid = grid_origins(preparation.image_size, patch_size)
    tried = {
        name: (change(images, preparation.resample), grid) for name, change in ALTERATIONS.items()
    }
    if patch_size < preparation.image_size:
        shifted = displaced_origins(
            preparation.image_size, patch_size, patch_size // 2, (True, True)
        )
        tried[SHIFTED] = images, shifted
    return tried
