"""One picture to one square RGB array, the same way for both classes, and what its file was."""

import contextlib
import functools
import hashlib
import io
import warnings
from typing import Any, NamedTuple

import numpy as np
from PIL import ExifTags, Image, JpegImagePlugin, UnidentifiedImageError
from PIL.Image import Resampling, Transpose

from lib.data import faces
from lib.study.schema import Preparation

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".jpe", ".webp")
FORMATS = ("PNG", "JPEG", "WEBP")
"""By content. No other decoder of Pillow's is let at a picture: that of EPS runs programs."""
LEAST = 16
"""A square of fewer px a side shows nothing."""
FILTERS = {name: Resampling[name.upper()] for name in ("lanczos", "bicubic", "bilinear")}
FILTERS["area"] = Resampling.BOX
UPRIGHT = {2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM}
UPRIGHT |= {5: Transpose.TRANSPOSE, 6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE}
UPRIGHT |= {8: Transpose.ROTATE_90}
"""What undoes each EXIF orientation. Pillow's own exif_transpose also rewrites the EXIF block, and
fails where that is odd."""
SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I")
PNG_DEPTH = 24
"""The byte of a PNG that has its bits a channel, which Pillow's mode tells of grey ones alone."""
SUBSAMPLINGS = {0: "4:4:4", 1: "4:2:2", 2: "4:2:0"}
_NO_JPEG = {"quality": None, "tables": "", "subsampling": "", "progressive": False}


class Unusable(ValueError):
    """A picture cannot be used; the message says why. It is skipped, counted and listed."""


class Picture(NamedTuple):
    """A prepared picture and what its file was."""

    pixels: np.ndarray  # uint8 (S, S, 3), RGB
    facts: dict[str, Any]
    """`width` and `height`, px, as stored; `format` by content: PNG, JPEG, WEBP, …; `bytes` (None
    where pictures are not files), `bits` a channel, Pillow's `mode`; of a JPEG `quality` (the
    libjpeg quality whose luma table it has, else None), `tables` (a hash of all), `subsampling` and
    `progressive`; `side` of the square that was cut out, px, before it was resized."""


def prepare(content: bytes | np.ndarray, data: Preparation, decoded: str | None = None) -> Picture:
    """Decodes a picture, turns it upright, cuts out a square, resizes and, if asked, compresses it.

    Greyscale, palette and CMYK pictures become RGB, an alpha channel is dropped, 16 bits become 8.
    `content` is a file's bytes or, of sources that hold pixels, uint8 (H, W, 3) RGB; `decoded` is
    the format of such sources. Raises Unusable if the bytes are no whole picture, or the square
    has fewer than `LEAST` px a side, faces.NoFace if `crop` is `dlib` and no face is found.
    """
    if isinstance(content, bytes):
        picture, facts = _decode(content)
    else:
        picture = Image.fromarray(content)
        facts = {"width": picture.width, "height": picture.height, "format": decoded}
        facts |= {"bytes": None, "bits": 8, "mode": "RGB", **_NO_JPEG}
    if data.crop == "dlib":
        box = faces.square(picture, data.face_margin)
    else:
        side = min(picture.size)
        left, top = (picture.width - side) / 2, (picture.height - side) / 2
        box = left, top, left + side, top + side
    if (cut := int(box[2] - box[0])) < LEAST:
        raise Unusable(f"too small: {cut} px a side, of at least {LEAST}")
    size = (data.image_size, data.image_size)
    if box != (0, 0, *size):
        picture = picture.resize(size, FILTERS[data.resample], box=box)
    if data.jpeg_quality is not None:
        picture = compress(picture, data.jpeg_quality)
    return Picture(np.asarray(picture), {**facts, "side": cut})


def compress(picture: Image.Image, quality: int) -> Image.Image:
    """An RGB picture after JPEG compression at a libjpeg quality (1 to 100), 4:2:0."""
    memory = io.BytesIO()
    picture.save(memory, "JPEG", quality=quality, subsampling="4:2:0")
    return Image.open(memory).convert("RGB")


def _decode(content: bytes) -> tuple[Image.Image, dict[str, Any]]:
    """The picture in RGB, upright, and the facts of its file."""
    if not content:
        raise Unusable("zero bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=FORMATS) as file:
                deep = file.mode in SIXTEEN_BIT or file.format == "PNG" and content[PNG_DEPTH] == 16
                bits = 16 if deep else 1 if file.mode == "1" else 8
                facts = {"width": file.width, "height": file.height, "bits": bits}
                facts |= {"format": file.format or "unknown", "bytes": len(content)}
                facts |= {"mode": file.mode, **_jpeg(file)}
                turn = None
                with contextlib.suppress(Exception):  # a whole picture's EXIF may be broken anyhow
                    turn = UPRIGHT.get(int(file.getexif().get(ExifTags.Base.Orientation, 1)))
                pixels = _rgb(file)
    except UnidentifiedImageError:
        raise Unusable("no PNG, JPEG or WebP picture") from None
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise Unusable(f"suspiciously large: {error}") from None
    except Exception as error:  # whatever a decoder stumbles over is this picture's fault alone
        raise Unusable(f"broken: {str(error) or type(error).__name__}") from None
    return (pixels.transpose(turn) if turn is not None else pixels), facts


def _jpeg(file: Image.Image) -> dict[str, Any]:
    tables = getattr(file, "quantization", None)
    if not tables:
        return _NO_JPEG
    flat = tuple(tuple(tables[key]) for key in sorted(tables))
    return {
        "quality": _qualities().get(flat[0]),
        "tables": hashlib.sha256(repr(flat).encode()).hexdigest()[:8],
        "subsampling": SUBSAMPLINGS.get(JpegImagePlugin.get_sampling(file), ""),
        "progressive": bool(file.info.get("progressive")),
    }


@functools.cache
def _qualities() -> dict[tuple[int, ...], int]:
    """The quality of each of libjpeg's luma tables; its versions round chroma tables unalike."""
    qualities = {}
    for quality in range(100, 0, -1):
        memory = io.BytesIO()
        Image.new("L", (8, 8)).save(memory, "JPEG", quality=quality)
        qualities[tuple(Image.open(memory).quantization[0])] = quality
    return qualities


def _rgb(file: Image.Image) -> Image.Image:
    if file.mode == "RGB":
        file.load()
        return file
    if file.mode in SIXTEEN_BIT:  # Pillow's own conversion would clip instead of scaling
        high_byte = np.asarray(file).astype(np.int64) >> 8
        file = Image.fromarray(high_byte.clip(0, 255).astype(np.uint8))
    if file.mode == "P" and "transparency" in file.info:
        file = file.convert("RGBA")
    return file.convert("RGB")
