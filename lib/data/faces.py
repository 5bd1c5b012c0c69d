"""The square about a face that dlib's frontal detector finds, as the paper crops its pictures.

The detector is dlib's histogram of oriented gradients with a linear classifier (Dalal and Triggs,
CVPR 2005; King, arXiv:1502.00046). It comes with the optional extra `face`.
"""

import functools
from typing import Any

import numpy as np
from PIL import Image

DETECTION_SIDE = 400
"""Pictures are looked at with their shorter side at so many px, whatever their size: the detector
finds faces of 80 px and more, and so finds them alike in small and in large pictures."""


class NoFace(ValueError):
    """No face was found: the picture is passed over, and counted apart from the broken ones."""


class MissingExtra(ImportError):
    """dlib is not installed; the message says how to install it."""


def square(picture: Image.Image, margin: float) -> tuple[int, int, int, int]:
    """Left, top, right, bottom, px, of the square about the largest face of an RGB picture.

    `margin` is added on each side of the detector's box, as a share of the box's side. Where the
    square would leave the picture it is moved inwards, and it is never larger than the picture's
    shorter side. Raises NoFace if there is none, MissingExtra without dlib.
    """
    scale = min(picture.size) / DETECTION_SIDE
    seen = picture.resize((round(picture.width / scale), round(picture.height / scale)))
    boxes = detector()(np.asarray(seen))
    if not boxes:
        raise NoFace("no face")
    box = max(boxes, key=lambda face: (face.area(), -face.left(), -face.top()))
    side = round(max(box.width(), box.height()) * scale * (1 + 2 * margin))
    side = max(1, min(side, *picture.size))
    middle = (box.left() + box.width() / 2, box.top() + box.height() / 2)
    left, top = (
        min(max(round(centre * scale - side / 2), 0), length - side)
        for centre, length in zip(middle, picture.size, strict=True)
    )
    return left, top, left + side, top + side


@functools.cache
def detector() -> Any:
    """dlib's frontal face detector: uint8 (H, W, 3) RGB to rectangles; raises MissingExtra."""
    try:
        import dlib
    except ImportError:
        raise MissingExtra(
            "data.crop: dlib needs dlib, the optional extra `face`: "
            "pip install dlib-bin (on macOS dlib), or use data.crop: centre"
        ) from None
    return dlib.get_frontal_face_detector()
