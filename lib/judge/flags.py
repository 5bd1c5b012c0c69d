"""In what a picture differs from the pictures that a network learned from."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from PIL import Image

from lib.audit.pixel_cues import high_frequencies, luminance
from lib.data import faces

LIMITS = (0.01, 0.99)
FAR = 2.0
"""A number beyond its range by more than this factor is far: no verdict is given."""
NO_JPEG, NO_FACE = (
    "no JPEG; all training pictures were",
    "no face found; training pictures show one",
)
A_JPEG, UNKNOWN = "a JPEG, as no training picture was", "a JPEG of unknown quality"
UNITS = {"resampling factor": "{:.2f}", "JPEG quality": "{:.0f}", "sharpness": "{:.5f}"}
"""What is measured, and how it is shown. The factor is the side of the square that was cut, in px,
by the side that it was brought to; sharpness the share of the spectral power above half the Nyquist
frequency, after that."""


class Flags(NamedTuple):
    """In words, in what a picture differs, and whether so far that no verdict is given."""

    texts: list[str]
    far: bool


def seen(image: np.ndarray, *, for_faces: bool) -> dict[str, float | bool]:
    """A prepared image's `sharpness`, and `face`: false where one is looked for and not found."""
    sharpness = float(high_frequencies(luminance(image[None]))[0])
    return {"sharpness": sharpness, "face": not for_faces or has_face(image)}


def numbers(files: pd.DataFrame, image_size: int) -> pd.DataFrame:
    """What `UNITS` names of images, from their files' facts and `sharpness`; NaN is unknown."""
    quality = files["quality"].to_numpy(np.float64, na_value=np.nan)
    factor = files["side"].to_numpy(np.float64) / image_size
    return pd.DataFrame(dict(zip(UNITS, (factor, quality, files["sharpness"]), strict=True)))


def ranges(known: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """The limits of each number among training images; what none of them has is left out."""
    known = known.dropna(axis="columns", how="all")
    return {name: tuple(values.quantile(LIMITS)) for name, values in known.items()}


def flags(
    row: Mapping[str, float],
    limits: Mapping[str, tuple[float, float]],
    *,
    all_jpeg: bool,
    is_jpeg: bool,
) -> Flags:
    """Those of one picture by its `numbers` and the training images' `ranges`."""
    texts, far = [A_JPEG] * (is_jpeg and "JPEG quality" not in limits), False
    for name, (low, high) in limits.items():
        if np.isnan(row[name]):
            texts += [UNKNOWN] if is_jpeg else [NO_JPEG] * all_jpeg
        elif not low <= row[name] <= high:
            shown = [UNITS[name].format(number) for number in (row[name], low, high)]
            texts.append("{} {}, of training pictures {} to {}".format(name, *shown))
            far |= bool(row[name] < low / FAR or row[name] > high * FAR)
    return Flags(texts, far)


def has_face(image: np.ndarray) -> bool:
    """Whether dlib finds a face in an image, uint8 (S, S, 3) RGB; MissingExtra without dlib."""
    try:
        faces.square(Image.fromarray(image), margin=0)
    except faces.NoFace:
        return False
    return True
