"""A study's cells: what their sources and alterations may say, and how a mistake is told."""

import pytest

from lib.data import cells
from lib.data.packing import pack
from lib.study.schema import ParameterError

CELL, ALTERED = "leaves-gan_a", "leaves_altered-gan_a"
REAL, FAKE = {"kind": "files", "path": "leaves"}, {"kind": "files", "path": "gan_a"}


def given(make_study, **cells):
    return make_study(cells={CELL: {"real": REAL, "fake": FAKE}, **cells})


@pytest.mark.parametrize(
    ("fake", "message"),
    [
        (
            {"kind": "file", "path": "gan_a"},
            r"fake\.kind: unknown source; allowed: celeba, files, imagefolder, lsun, random_face, "
            r"simulated \(did you mean files\?\)",
        ),
        (
            {"kind": "files", "pth": "gan_a"},
            r"fake\.pth: unknown key; allowed: path \(did you mean path\?\)",
        ),
        ({"kind": "lsun"}, r"fake\.path: missing; it must be given"),
        ({"kind": "celeba", "path": 7}, r"fake\.path: got 7: Input should be a valid string"),
        (
            {"kind": "imagefolder", "path": "trees", "label": "fakes"},
            r"fake\.label: got 'fakes': Input should be 'real' or 'fake'",
        ),
        (
            {"kind": "simulated", "content": "cats"},
            r"fake\.content: got 'cats': Input should be 'sim_faces' or 'sim_churches'",
        ),
        (
            {"kind": "simulated", "content": "sim_faces", "generator": "vae"},
            r"fake\.generator: got 'vae': Input should be 'sim_stylegan2' or 'sim_progan'",
        ),
        ({"kind": "tfrecords", "path": "gan_a"}, r"fake\.kind: unknown source; allowed: celeba, "),
    ],
)
def test_a_source_is_checked_before_anything_is_packed(make_study, work, fake, message):
    study = given(make_study, **{"other-gan": {"real": REAL, "fake": fake}})
    message = rf"(?m)^params/tiny\.yaml: cells\.other-gan\.{message}"
    for packing in (cells.check, lambda study: pack.pack(study, CELL)):
        with pytest.raises(ParameterError, match=message):
            packing(study)
    assert not (work / "work").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"jpg_quality": 75},
            r"jpg_quality: unknown alteration; allowed: jpeg_quality, scale, blur "
            r"\(did you mean jpeg_quality\?\)",
        ),
        ({"jpeg_quality": 0}, "jpeg_quality: got 0; allowed: a libjpeg quality, .* from 1 to 100"),
        ({"jpeg_quality": 101}, "jpeg_quality: got 101; allowed: "),
        ({"jpeg_quality": 75.5}, "jpeg_quality: got 75.5; allowed: .* whole number"),
        ({"scale": 0.99}, "scale: got 0.99; allowed: a factor that shrinks them.* of 16 px"),
        ({"scale": 0.01}, "scale: got 0.01; allowed: "),
        ({"scale": -0.5}, "scale: got -0.5; allowed: "),
        ({"scale": 1.5}, "scale: got 1.5; allowed: "),
        ({"scale": float("nan")}, "scale: got nan; allowed: "),
        ({"blur": 0}, "blur: got 0; allowed: a standard deviation above 0, px"),
        ({"blur": float("inf")}, "blur: got inf; allowed: "),
    ],
)
def test_an_alteration_is_checked_before_anything_is_packed(make_study, work, change, message):
    study = given(make_study, **{ALTERED: {"test_images_of": CELL, **change}})
    with pytest.raises(ParameterError, match=rf"^params/tiny\.yaml: cells\.{ALTERED}\.{message}"):
        pack.pack(study, CELL)
    assert not (work / "work").exists()


@pytest.mark.parametrize("change", [{"jpeg_quality": 1}, {"scale": 0.1}, {"blur": 0.01}])
def test_what_is_allowed_passes(make_study, change):
    cells.check(given(make_study, **{ALTERED: {"test_images_of": CELL, **change}}))
