"""One picture file to one square RGB array, the same way for both classes."""

import io
import warnings
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")
FILTERS = {
    "lanczos": Image.Resampling.LANCZOS,
    "bicubic": Image.Resampling.BICUBIC,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
}
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What undoes each EXIF orientation. Pillow's own exif_transpose also rewrites the EXIF block, and
fails where that is odd."""
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I")


class Unusable(ValueError):
    """A picture cannot be used; the message says why. It is skipped, counted and listed."""


class Picture(NamedTuple):
    """A prepared picture and what its file was."""

    pixels: np.ndarray
    """uint8 (S, S, 3), RGB."""
    width: int
    """px, as stored in the file."""
    height: int
    """px, as stored in the file."""
    format: str
    """The file's format by content: PNG, JPEG, WEBP; or `simulated`."""


def prepare(content: bytes, size: int, resample: str) -> Picture:
    """Decodes a file, applies its EXIF orientation, crops the centre square and resizes it.

    Greyscale, palette and CMYK pictures become RGB, an alpha channel is dropped, 16 bits become 8.

    Args:
        content: the file's bytes.
        size: S, px.
        resample: a key of `FILTERS`.

    Raises:
        Unusable: if the bytes are no whole picture.
    """
    if not content:
        raise Unusable("zero bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as file:
                kind, (width, height) = file.format or "unknown", file.size
                turn = UPRIGHT.get(_orientation(file))
                pixels = _rgb(file)
                upright = pixels.transpose(turn) if turn is not None else pixels
    except UnidentifiedImageError:
        raise Unusable("not a picture that Pillow reads") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise Unusable(f"suspiciously large: {error}") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise Unusable(f"broken: {error}") from None
    square = ImageOps.fit(upright, (size, size), method=FILTERS[resample], centering=(0.5, 0.5))
    return Picture(np.asarray(square, np.uint8), width, height, kind)


def _orientation(file: Image.Image) -> int:
    """The EXIF orientation, 1 (upright) if there is none."""
    try:
        return int(file.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # a picture may be whole whose EXIF is broken in any way
        return 1


def _rgb(file: Image.Image) -> Image.Image:
    """The picture as 8-bit RGB."""
    if file.mode in SIXTEEN_BIT:  # Pillow's own conversion would clip instead of scaling
        high_byte = np.asarray(file).astype(np.int64) >> 8
        file = Image.fromarray(high_byte.clip(0, 255).astype(np.uint8))
    if file.mode == "P" and "transparency" in file.info:
        file = file.convert("RGBA")
    return file.convert("RGB")
