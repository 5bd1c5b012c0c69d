"""Pictures: any common file becomes the same kind of square RGB array, or says why it cannot."""

import io
import struct
import warnings
import zlib

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import example, given, settings
from PIL import Image

from lib.data import images
from lib.data.images import FILTERS, Picture, Unusable
from lib.study.schema import Data

DATA = Data(image_size=16, per_class={"train": 1, "validation": 1, "test": 1})
NOISE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)


def encode(image: Image.Image | np.ndarray, kind: str = "PNG", **options) -> bytes:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    memory = io.BytesIO()
    image.save(memory, kind, **options)
    return memory.getvalue()


def prepare(content: bytes | np.ndarray, size: int, resample: str, **changes) -> Picture:
    """A picture as a study of such images would have it."""
    # A study's images have 16 px at least; what prepares them knows no such limit.
    changes |= {"image_size": size, "resample": resample}
    return images.prepare(content, DATA.model_copy(update=changes))


def pixels(content: bytes, size: int = 16, resample: str = "lanczos") -> np.ndarray:
    return prepare(content, size, resample).pixels


def smooth(width: int = 16, height: int = 16) -> np.ndarray:
    """Colours that lossy codecs keep."""
    rows, columns = np.mgrid[:height, :width]
    return np.stack(
        [255 * rows / height, 255 * columns / width, np.full((height, width), 90)], axis=-1
    ).astype(np.uint8)


@pytest.mark.parametrize(
    ("kind", "options", "error"),
    [
        ("PNG", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 98, "subsampling": 0}, 6),
        ("WEBP", {"quality": 98}, 20),
    ],
)
def test_a_picture_of_the_right_size_keeps_its_pixels(kind, options, error):
    found = prepare(encode(smooth(), kind, **options), 16, "lanczos")
    assert (found.facts["width"], found.facts["height"], found.facts["format"]) == (16, 16, kind)
    assert found.pixels.shape == (16, 16, 3)
    assert found.pixels.dtype == np.uint8
    assert np.abs(found.pixels.astype(int) - smooth()).max() <= error


def test_the_format_is_that_of_the_content():
    assert prepare(encode(NOISE, "WEBP"), 16, "area").facts["format"] == "WEBP"


def test_greyscale_becomes_rgb():
    grey = NOISE[..., 0]
    expected = np.repeat(grey[..., None], 3, axis=2)
    np.testing.assert_array_equal(pixels(encode(grey)), expected)
    bilevel = Image.fromarray(grey > 127)
    assert bilevel.mode == "1"
    np.testing.assert_array_equal(
        pixels(encode(bilevel)), np.where(expected > 127, 255, 0).astype(np.uint8)
    )


def test_transparency_is_dropped_and_colours_stay():
    alpha = np.tile(np.arange(0, 256, 16, dtype=np.uint8), (16, 1))
    rgba = np.dstack([NOISE, alpha])
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True})):
        np.testing.assert_array_equal(pixels(encode(rgba, kind, **options)), NOISE)
    grey = np.dstack([NOISE[..., 0], alpha])
    np.testing.assert_array_equal(
        pixels(encode(Image.fromarray(grey, "LA"))), np.repeat(NOISE[..., :1], 3, axis=2)
    )


@pytest.mark.parametrize("options", [{}, {"transparency": 3}, {"transparency": bytes(range(8))}])
def test_palettes_become_their_colours(options):
    colours = np.random.default_rng(1).integers(0, 256, (8, 3), np.uint8)
    indices = np.random.default_rng(2).integers(0, 8, (16, 16), np.uint8)
    palette = Image.fromarray(indices, "L")
    palette.putpalette(colours.tobytes())
    assert palette.mode == "P"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = pixels(encode(palette, **options))
    np.testing.assert_array_equal(found, colours[indices])


def test_cmyk_becomes_rgb():
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:8, :, 0] = 255  # cyan above
    inks[8:, :, 1] = 255  # magenta below
    found = pixels(encode(Image.fromarray(inks, "CMYK"), "JPEG", quality=98)).astype(int)
    assert np.abs(found[:6] - [0, 255, 255]).max() < 12
    assert np.abs(found[10:] - [255, 0, 255]).max() < 12


def test_sixteen_bits_are_scaled_and_not_clipped():
    grey = np.arange(256, dtype=np.uint16).reshape(16, 16)
    for low_byte in (0, 128, 255):
        content = encode(Image.fromarray(256 * grey + np.uint16(low_byte)))
        with Image.open(io.BytesIO(content)) as stored:
            assert stored.mode.startswith("I")
        np.testing.assert_array_equal(pixels(content)[..., 1], grey)
    colours = encode(Image.fromarray(np.full((16, 16), 65535, np.uint16)))
    assert (pixels(colours) == 255).all()


def as_stored(upright: np.ndarray, row_0: str, column_0: str) -> np.ndarray:
    """What a camera stores whose first row and column are the given sides of the upright scene."""
    if row_0 in ("left", "right"):
        upright = upright.swapaxes(0, 1)
        flip_rows, flip_columns = row_0 == "right", column_0 == "bottom"
    else:
        flip_rows, flip_columns = row_0 == "bottom", column_0 == "right"
    return upright[:: -1 if flip_rows else 1, :: -1 if flip_columns else 1]


@pytest.mark.parametrize(
    ("orientation", "row_0", "column_0"),
    [  # as the Exif standard, tag 0x0112, lists them
        (1, "top", "left"),
        (2, "top", "right"),
        (3, "bottom", "right"),
        (4, "bottom", "left"),
        (5, "left", "top"),
        (6, "right", "top"),
        (7, "right", "bottom"),
        (8, "left", "bottom"),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_the_exif_orientation_is_applied(kind, orientation, row_0, column_0):
    upright = smooth(40, 20)
    stored = np.ascontiguousarray(as_stored(upright, row_0, column_0))
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"PNG": {}, "JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}[
        kind
    ]
    found = prepare(encode(stored, kind, exif=exif, **options), 20, "lanczos")
    assert (found.facts["height"], found.facts["width"]) == stored.shape[:2]
    difference = np.abs(found.pixels.astype(int) - upright[:, 10:30])
    assert difference.max() <= (6 if kind == "JPEG" else 0)


@pytest.mark.parametrize("mode", ["L", "I;16", "P"])
def test_the_orientation_of_other_modes_is_applied(mode):
    grey = smooth(20, 20)[..., 0]
    stored = Image.fromarray(np.ascontiguousarray(as_stored(grey, "right", "top")))
    if mode == "I;16":
        stored = Image.fromarray(np.asarray(stored).astype(np.uint16) * 257)
    elif mode == "P":
        stored.putpalette(np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes())
    exif = Image.Exif()
    exif[0x0112] = 6
    np.testing.assert_array_equal(pixels(encode(stored, exif=exif), 20)[..., 0], grey)


def odd_exif(tag: int, kind: int) -> bytes:
    """An EXIF block that turns the picture (6), and holds one field of an unusual type."""
    fields = sorted([(0x0112, 3, struct.pack("<L", 6)), (tag, kind, b"a\0\0\0")])
    directory = b"".join(struct.pack("<HHL", t, k, 1) + value for t, k, value in fields)
    header = b"II*\0" + struct.pack("<LH", 8, len(fields))
    return b"Exif\0\0" + header + directory + b"\0\0\0\0"


@pytest.mark.parametrize(
    "exif",
    [
        odd_exif(0x0100, 2),  # a width that is a text
        odd_exif(0x0103, 1),  # a compression that is a byte
        odd_exif(0x011A, 7),  # a resolution of undefined type
        odd_exif(0x010F, 11),  # a maker that is a number
        b"Exif\0\0II*\0",
        b"Exif\0\0II*\0\x08\0",
        b"Exif\0\0nonsense",
        b"Exif\0\0",
    ],
    ids=["width", "compression", "resolution", "maker", "cut", "cut later", "nonsense", "empty"],
)
def test_an_odd_exif_never_ends_a_packing(exif):
    content = encode(smooth(20, 10), "JPEG", exif=exif)
    try:
        assert pixels(content).shape == (16, 16, 3)
    except Unusable as error:
        assert str(error)


def test_the_centre_square_of_a_wide_or_high_picture_is_kept():
    wide = np.random.default_rng(0).integers(0, 256, (20, 40, 3), np.uint8)
    np.testing.assert_array_equal(pixels(encode(wide), 20), wide[:, 10:30])
    high = np.ascontiguousarray(wide.swapaxes(0, 1))
    np.testing.assert_array_equal(pixels(encode(high), 20), high[10:30])


@pytest.mark.parametrize("resample", FILTERS)
@pytest.mark.parametrize(("width", "height"), [(64, 64), (100, 64), (16, 16), (23, 17)])
def test_every_size_and_filter_gives_the_asked_size(resample, width, height):
    flat = np.full((height, width, 3), (10, 200, 90), np.uint8)
    found = prepare(encode(flat), 16, resample)
    assert (found.facts["width"], found.facts["height"]) == (width, height)
    np.testing.assert_array_equal(found.pixels, np.full((16, 16, 3), (10, 200, 90)))


def test_the_area_filter_takes_means():
    blocks = NOISE.reshape(8, 2, 8, 2, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(pixels(encode(NOISE), 8, "area") - blocks).max() <= 1  # rounded twice


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "zero bytes"),
        (b"GIF or not", "no PNG, JPEG or WebP"),
        (b"\x00" * 500, "no PNG, JPEG or WebP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "no PNG, JPEG or WebP"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n{} loop\n", "no PNG, JPEG or WebP"),
        *((encode(NOISE, kind), "no PNG, JPEG or WebP") for kind in ("GIF", "BMP", "TIFF", "AVIF")),
        (encode(NOISE)[:40], "broken|no PNG"),
        (encode(NOISE)[:-200], "broken"),
        (encode(NOISE, "JPEG")[:-200], "broken"),
        (encode(NOISE, "WEBP")[:-200], "broken|no PNG"),
    ],
)
def test_what_is_no_whole_picture_says_why(content, reason):
    with pytest.raises(Unusable, match=reason):
        prepare(content, 16, "lanczos")


def test_any_failure_of_a_decoder_is_that_pictures(monkeypatch):
    def fail(*_):
        raise AssertionError

    monkeypatch.setattr(images, "_rgb", fail)
    with pytest.raises(Unusable, match="broken: AssertionError"):
        prepare(encode(NOISE), 16, "lanczos")


def test_a_suspiciously_large_picture_is_not_decoded(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for width in (11, 60):  # Pillow warns up to twice the limit, and refuses beyond
        with pytest.raises(Unusable, match="suspiciously large"):
            prepare(encode(np.zeros((10, width, 3), np.uint8)), 16, "lanczos")


CONTENTS = [encode(NOISE, kind, exif=odd_exif(0x0132, 2)) for kind in ("PNG", "JPEG", "WEBP")] + [
    encode(np.dstack([NOISE, NOISE[..., 0]])),
    encode(NOISE[..., 0], "JPEG"),
]


@settings(max_examples=200)
@given(
    st.sampled_from(CONTENTS),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=6),
    st.integers(0, 2000),
)
@example(CONTENTS[0], [], 2000)
def test_damaged_bytes_give_a_picture_or_a_reason(content, changes, end):
    damaged = bytearray(content)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's remarks on damaged EXIF
        try:
            assert pixels(bytes(damaged[:end])).shape == (16, 16, 3)
        except Unusable as error:
            assert str(error)


# What the files were


@pytest.mark.parametrize("quality", [1, 37, 75, 90, 100])
@pytest.mark.parametrize(("sampling", "name"), [(0, "4:4:4"), (1, "4:2:2"), (2, "4:2:0")])
def test_how_a_jpeg_was_compressed(quality, sampling, name):
    content = encode(NOISE, "JPEG", quality=quality, subsampling=sampling)
    facts = prepare(content, 16, "area").facts
    assert (facts["quality"], facts["subsampling"]) == (quality, name)
    assert facts["bytes"] == len(content)
    assert not facts["progressive"]
    assert prepare(encode(NOISE, "JPEG", progressive=True), 16, "area").facts["progressive"]


def test_jpegs_of_the_same_tables_have_the_same_hash_of_them():
    def tables(**options) -> str:
        return prepare(encode(NOISE, "JPEG", **options), 16, "area").facts["tables"]

    other_chroma = {0: [3] * 64, 1: [5] * 64}
    assert tables(quality=75) == tables(quality=75, progressive=True) != tables(quality=76)
    assert tables(qtables=other_chroma) != tables(qtables={**other_chroma, 1: [6] * 64})


def test_other_tables_than_libjpegs_have_no_quality():
    content = encode(NOISE, "JPEG", qtables={0: list(range(1, 65)), 1: [5] * 64})
    assert prepare(content, 16, "area").facts["quality"] is None


def test_a_luma_table_tells_the_quality_whatever_the_chroma_table():
    """Versions of libjpeg round the chroma tables unalike."""
    tables = Image.open(io.BytesIO(encode(NOISE, "JPEG", quality=75))).quantization
    nearly = {0: list(tables[0]), 1: [tables[1][0] - 1, *tables[1][1:]]}
    assert prepare(encode(NOISE, "JPEG", qtables=nearly), 16, "area").facts["quality"] == 75


def test_what_is_no_jpeg_has_none_of_its_facts():
    facts = prepare(encode(NOISE), 16, "area").facts
    assert (facts["quality"], facts["tables"], facts["subsampling"]) == (None, "", "")
    assert facts["progressive"] is False


@pytest.mark.parametrize(
    ("image", "mode", "bits"),
    [
        (NOISE, "RGB", 8),
        (NOISE[..., 0], "L", 8),
        (NOISE[..., 0].astype(np.uint16) * 257, "I;16", 16),
        (Image.fromarray(NOISE[..., 0] > 127), "1", 1),
        (Image.fromarray(NOISE).convert("P"), "P", 8),
    ],
)
def test_mode_and_bits_are_those_of_the_file(image, mode, bits):
    facts = prepare(encode(image), 16, "area").facts
    assert (facts["mode"], facts["bits"]) == (mode, bits)


def test_sixteen_bits_of_colours_are_told_though_they_are_read_as_eight():
    def chunk(name: bytes, data: bytes) -> bytes:
        inside = name + data
        return struct.pack(">I", len(data)) + inside + struct.pack(">I", zlib.crc32(inside))

    rows = (b"\0" + b"\x80\xff" * 3 * 16) * 16
    content = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", 16, 16, 16, 2, 0, 0, 0))
    content += chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    pixels, facts = images.prepare(content, Data.model_construct(image_size=16, crop="centre"))
    assert (facts["mode"], facts["bits"]) == ("RGB", 16) and (pixels == 128).all()


def test_the_side_is_that_of_the_square_that_was_cut_out():
    assert prepare(encode(smooth(40, 30)), 16, "area").facts["side"] == 30
    assert prepare(encode(smooth(18, 24)), 16, "area").facts["side"] == 18


@pytest.mark.parametrize(("width", "height"), [(1, 1), (15, 16), (1, 20_000), (20_000, 1)])
def test_a_square_of_too_few_pixels_is_not_used(width, height):
    with pytest.raises(
        Unusable, match=f"too small: {min(width, height)} px a side, of at least 16"
    ):
        prepare(encode(Image.new("RGB", (width, height))), 16, "area")


def test_pixels_are_prepared_like_files():
    found = images.prepare(smooth(40, 30), DATA, "TFRecord")
    expected = images.prepare(encode(smooth(40, 30)), DATA)
    np.testing.assert_array_equal(found.pixels, expected.pixels)
    assert (found.facts["format"], found.facts["bytes"]) == ("TFRecord", None)
    assert set(found.facts) == set(expected.facts)
    assert (found.facts["width"], found.facts["height"]) == (40, 30)


# One compression, one crop for both classes


def test_one_compression_comes_last():
    found = prepare(encode(smooth(64, 48)), 32, "lanczos", jpeg_quality=30).pixels
    plain = Image.fromarray(prepare(encode(smooth(64, 48)), 32, "lanczos").pixels)
    content = encode(plain, "JPEG", quality=30, subsampling="4:2:0")
    np.testing.assert_array_equal(found, np.asarray(Image.open(io.BytesIO(content))))
    assert np.any(found != np.asarray(plain))


def test_the_face_is_cut_out_before_it_is_resized(monkeypatch):
    seen = []

    def square(picture, margin):
        seen.append((picture.size, margin))
        return 8, 4, 24, 20

    monkeypatch.setattr(images.faces, "square", square)
    found = prepare(encode(smooth(40, 30)), 8, "area", crop="dlib", face_margin=0.25)
    assert seen == [((40, 30), 0.25)]
    expected = Image.fromarray(smooth(40, 30)).resize((8, 8), FILTERS["area"], (8, 4, 24, 20))
    np.testing.assert_array_equal(found.pixels, np.asarray(expected))
    assert found.facts["side"] == 16
