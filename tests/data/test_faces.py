"""The face crop: the detector's box, its margin, and what happens without a face or dlib."""

import sys

import numpy as np
import pytest
from face_helpers import drawn_face, with_dlib
from PIL import Image

from lib.data import faces


class Box:
    """A rectangle as dlib gives it: right and bottom are inside."""

    def __init__(self, left: int, top: int, side: int) -> None:
        self.found = left, top, side

    def left(self) -> int:
        return self.found[0]

    def top(self) -> int:
        return self.found[1]

    def width(self) -> int:
        return self.found[2]

    height = width

    def area(self) -> int:
        return self.found[2] ** 2


@pytest.fixture
def finds(monkeypatch):
    """Makes the detector find given boxes, in px of a picture of `DETECTION_SIDE`."""

    def give(*boxes: Box) -> list[tuple[int, ...]]:
        seen = []
        monkeypatch.setattr(
            faces, "detector", lambda: lambda pixels: seen.append(pixels.shape) or list(boxes)
        )
        return seen

    return give


@with_dlib
@pytest.mark.parametrize(("size", "middle", "radius"), [
    ((400, 400), (200, 200), 90),
    ((178, 218), (89, 115), 42),
    ((1024, 1024), (560, 480), 260),
])  # fmt: skip
def test_a_face_is_found_where_it_is(size, middle, radius):
    left, top, right, bottom = faces.square(drawn_face(size, middle, radius), 0)
    assert right - left == bottom - top
    assert 1.2 * radius < right - left < 2.6 * radius
    assert abs((left + right) / 2 - middle[0]) < 0.4 * radius
    assert abs((top + bottom) / 2 - middle[1]) < 0.4 * radius


@with_dlib
def test_a_picture_without_a_face_says_so():
    noise = np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8)
    with pytest.raises(faces.NoFace, match="no face"):
        faces.square(Image.fromarray(noise), 0)


def test_pictures_of_all_sizes_are_looked_at_alike(finds):
    seen = finds(Box(100, 100, 100))
    for size in ((178, 218), (1024, 1024), (4000, 3000)):
        faces.square(Image.new("RGB", size), 0)
    assert [min(shape[:2]) for shape in seen] == [faces.DETECTION_SIDE] * 3


@pytest.mark.parametrize(
    ("margin", "expected"),
    [(0, (200, 240, 400, 440)), (0.25, (150, 190, 450, 490)), (2, (0, 0, 800, 800))],
)
def test_the_margin_is_a_share_of_the_box_on_each_side(finds, margin, expected):
    finds(Box(100, 120, 100))
    assert faces.square(Image.new("RGB", (800, 800)), margin) == expected


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(-30, -10, 100), (0, 0, 100, 100)),
        (Box(350, 350, 100), (300, 350, 400, 450)),
        (Box(-50, 150, 600), (0, 100, 400, 500)),
    ],
)
def test_the_square_never_leaves_the_picture(finds, box, expected):
    finds(box)
    assert faces.square(Image.new("RGB", (400, 500)), 0) == expected


def test_the_largest_face_is_taken(finds):
    finds(Box(10, 10, 80), Box(200, 200, 120), Box(300, 20, 90))
    assert faces.square(Image.new("RGB", (400, 400)), 0) == (200, 200, 320, 320)


def test_without_the_extra_the_error_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)
    faces.detector.cache_clear()
    with pytest.raises(faces.MissingExtra, match="the optional extra `face`: pip install dlib-bin"):
        faces.square(Image.new("RGB", (64, 64)), 0)
