"""What a study can do to test images to see how much a detector bears: one entry each.

Altered images keep their order and their `image_id`, on which random crops depend, so a network's
verdicts on them are compared with those on the unaltered images picture by picture, crop by crop.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageFilter

from lib.data.images import FILTERS, compress
from lib.study.errors import unknown
from lib.study.schema import Altered, ParameterError


@dataclass(frozen=True)
class Perturbation:
    """One way to alter an image; how far is a number, the *value*."""

    title: Callable[[float], str]  # of a value: how tables and figures name it
    allowed: str  # which values there are, for messages
    check: Callable[[float, int], bool]
    """Of a value and the images' side, px: whether it is one of those."""
    apply: Callable[[Image.Image, float, Image.Resampling], Image.Image]
    """Of an RGB image, a value and the study's filter: the altered image, of the same size."""


def _shrink(image: Image.Image, factor: float, resample: Image.Resampling) -> Image.Image:
    small = round(image.width * factor)
    return image.resize((small, small), resample).resize(image.size, resample)


PERTURBATIONS = {
    "jpeg_quality": Perturbation(
        title=lambda quality: f"JPEG {quality}",
        allowed="a libjpeg quality, a whole number from 1 to 100",
        check=lambda quality, _: isinstance(quality, int) and 1 <= quality <= 100,
        apply=lambda image, quality, _: compress(image, quality),
    ),
    "scale": Perturbation(
        title=lambda factor: f"× {factor:g} and back",
        allowed="a factor that shrinks them, and to 1 px or more",
        check=lambda factor, side: math.isfinite(factor) and 1 <= round(side * factor) < side,
        apply=_shrink,
    ),
    "blur": Perturbation(  # Pillow's: three box blurs in place of a Gaussian
        title=lambda deviation: f"blur {deviation:g} px",
        allowed="a standard deviation above 0, px, up to their side",
        check=lambda deviation, side: 0 < deviation <= side,
        apply=lambda image, deviation, _: image.filter(ImageFilter.GaussianBlur(deviation)),
    ),
}


def check(how: Altered, side: int, where: str) -> None:
    """Raises ParameterError unless images of `side` px can be altered so; begins with `where`."""
    ((key, value),) = how.change.items()
    if key not in PERTURBATIONS:
        raise ParameterError(f"{where}.{key}: {unknown('alteration', key, PERTURBATIONS)}")
    if not PERTURBATIONS[key].check(value, side):
        allowed = f"{PERTURBATIONS[key].allowed}, for images of {side} px"
        raise ParameterError(f"{where}.{key}: got {value!r}; allowed: {allowed}")


def title(how: Altered) -> str:
    """An alteration in words."""
    ((name, value),) = how.change.items()
    return PERTURBATIONS[name].title(value)


def alter(pixels: np.ndarray, how: Altered, resample: str) -> np.ndarray:
    """One altered image, uint8 (S, S, 3) RGB as is `pixels`; `resample` is a key of `FILTERS`."""
    ((name, value),) = how.change.items()
    image = Image.fromarray(pixels)
    return np.asarray(PERTURBATIONS[name].apply(image, value, FILTERS[resample]))
