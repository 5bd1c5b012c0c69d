"""MobileStyleGAN's faces: repeatable, each with noise of its own, refused without the extra."""

from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec

import numpy as np
import pytest

from lib.data.images import prepare
from lib.data.sources import random_face, registry
from lib.data.sources.interface import SourceError
from lib.study.schema import Data, ParameterError, Source

DATA = Data(image_size=256, per_class={"train": 1, "validation": 1, "test": 1})
HERE = find_spec("openvino") and find_spec("random_face")
needs_extra = pytest.mark.skipif(not HERE, reason="needs the extra `gan`")


def opened(**keys) -> random_face.RandomFaceSource:
    return registry.open_source(Source(kind="random_face", **keys), DATA)


@pytest.mark.parametrize("missing", ["openvino", "random-face"])
def test_without_the_extra_it_is_refused_by_name(missing, monkeypatch, tmp_path):
    class Installed:
        def locate_file(self, name):
            return tmp_path / name

    def distribution(name):
        if missing == "random-face":
            raise PackageNotFoundError(name)
        return Installed()

    monkeypatch.setattr(random_face, "distribution", distribution)
    monkeypatch.setattr(random_face, "find_spec", lambda name: None)
    with pytest.raises(
        SourceError, match="the optional extra `gan`: pip install openvino and then"
    ):
        opened()


@pytest.mark.parametrize(("key", "value"), [("count", 0), ("truncation", 0), ("truncation", 1.5)])
def test_its_keys_are_checked(key, value):
    with pytest.raises(ParameterError, match=f"{key}: got {value}"):
        opened(**{key: value})


@needs_extra
def test_faces_are_the_same_whenever_they_are_made():
    source = opened(count=3, seed=5)
    assert source.names() == ["000000", "000001", "000002"]
    face = source.read("000001")
    assert face.shape == (1024, 1024, 3) and face.dtype == np.uint8
    source.read("000000")
    np.testing.assert_array_equal(face, source.read("000001"))
    assert np.abs(face.astype(int) - opened(seed=6).read("000001")).mean() > 10
    prepared = prepare(face, DATA, source.decoded)
    assert prepared.pixels.shape == (256, 256, 3)
    assert prepared.facts["format"] == "random_face" and prepared.facts["bytes"] is None


@needs_extra
def test_it_is_a_face_in_daylight_and_right_way_up():
    """By colour: skin in the middle is redder than it is blue, in nearly all of them."""
    faces = [opened(truncation=0.5).read(f"{n:06d}") for n in range(4)]
    middles = np.array([face[400:700, 400:620].mean((0, 1)) for face in faces])
    assert (middles[:, 0] > middles[:, 2] + 10).all()
    assert (middles.mean(axis=1) > 60).all()


@needs_extra
def test_truncation_brings_faces_nearer_to_each_other():
    def spread(truncation: float) -> float:
        faces = [opened(truncation=truncation).read(f"{n:06d}")[::16, ::16] for n in range(3)]
        return float(np.std(np.array(faces, float), axis=0).mean())

    assert spread(0.2) < 0.7 * spread(1.0)


@needs_extra
def test_noise_is_each_images_own(monkeypatch):
    """Of one style: the package's own noise is one map for all images."""
    source = opened(truncation=1e-9)  # the mean face, but for noise
    faces = [source.read(name).astype(int) for name in ("000000", "000001")]
    apart = np.abs(faces[0] - faces[1])
    assert 0.5 < apart.mean() < 15
    *_, strengths, _ = random_face._generator(source.weights)
    assert len(strengths) == 15 and all(shape[2] == shape[3] for shape, _ in strengths)
