"""A drawn face that dlib's detector finds, for tests that crop one."""

import pytest
from PIL import Image, ImageDraw, ImageFilter


def drawn_face(size: tuple[int, int], middle: tuple[int, int], radius: int) -> Image.Image:
    """A face that the detector finds, about `middle`."""
    picture = Image.new("RGB", size, (150, 160, 170))
    pen, (x, y), r = ImageDraw.Draw(picture), middle, radius
    pen.ellipse([x - r, y - 1.35 * r, x + r, y + 1.25 * r], fill=(60, 40, 30))
    pen.ellipse([x - 0.8 * r, y - r, x + 0.8 * r, y + 1.15 * r], fill=(215, 175, 150))
    for side in (-1, 1):
        eye, brow = x + side * 0.36 * r, (x + side * 0.14 * r, x + side * 0.6 * r)
        pen.ellipse([eye - 0.2 * r, y - 0.22 * r, eye + 0.2 * r, y - 0.02 * r], fill="white")
        pen.ellipse([eye - 0.09 * r, y - 0.22 * r, eye + 0.09 * r, y - 0.02 * r], fill="black")
        pen.line([brow[0], y - 0.36 * r, brow[1], y - 0.4 * r], fill=(60, 40, 30), width=r // 11)
    nose = [(x - 0.06 * r, y), (x + 0.06 * r, y)]
    nose += [(x + 0.17 * r, y + 0.33 * r), (x - 0.17 * r, y + 0.33 * r)]
    pen.polygon(nose, fill=(190, 145, 120))
    pen.ellipse([x - 0.34 * r, y + 0.55 * r, x + 0.34 * r, y + 0.75 * r], fill=(170, 80, 80))
    pen.line([x - 0.34 * r, y + 0.65 * r, x + 0.34 * r, y + 0.65 * r], fill="black", width=3)
    return picture.filter(ImageFilter.GaussianBlur(r / 45))


def has_dlib() -> bool:
    try:
        import dlib  # noqa: F401
    except ImportError:
        return False
    return True


with_dlib = pytest.mark.skipif(not has_dlib(), reason="the extra `face` is not installed")
