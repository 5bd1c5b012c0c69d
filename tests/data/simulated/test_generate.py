"""The simulated data set: deterministic, natural in its spectra, and no giveaway in its moments."""

import functools
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.ndimage import laplace
from scipy.signal import upfirdn
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lib.data.simulated.decoders import pixel_norm, upsample_fir, upsample_nearest
from lib.data.simulated.generate import CONTENTS, GENERATORS, WEIGHTS, decode, generated, photograph
from lib.data.simulated.scenes import scene

CELLS = [(content, generator) for content in CONTENTS for generator in GENERATORS]


@functools.cache
def images(content: str, generator: str | None, count: int = 60, size: int = 128) -> np.ndarray:
    """The first images of a class: uint8 (count, size, size, 3)."""
    if generator is None:
        return np.stack([photograph(content, i, seed=5, size=size) for i in range(count)])
    return np.stack([generated(content, generator, i, seed=5, size=size) for i in range(count)])


@pytest.mark.parametrize("size", [64, 80, 256])
@pytest.mark.parametrize(("content", "generator"), CELLS)
def test_shape_and_range(content: str, generator: str, size: int) -> None:
    for image in (
        photograph(content, 0, seed=0, size=size),
        generated(content, generator, 0, seed=0, size=size),
    ):
        assert image.shape == (size, size, 3)
        assert image.dtype == np.uint8
        assert image.std() > 10


@pytest.mark.parametrize(("content", "generator"), CELLS)
def test_depends_on_arguments_alone(content: str, generator: str) -> None:
    torch.manual_seed(1)
    np.random.seed(1)
    first = (
        photograph(content, 3, seed=9, size=64),
        generated(content, generator, 3, seed=9, size=64),
    )
    after = torch.rand(1), np.random.rand()
    torch.manual_seed(1)
    np.random.seed(1)
    assert (torch.rand(1), np.random.rand()) == after, "a global random state was touched"
    generated(content, generator, 4, seed=9, size=64)
    again = (
        photograph(content, 3, seed=9, size=64),
        generated(content, generator, 3, seed=9, size=64),
    )
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    for index, seed in ((4, 9), (3, 10)):
        assert (photograph(content, index, seed=seed, size=64) != first[0]).mean() > 0.5
        assert (generated(content, generator, index, seed=seed, size=64) != first[1]).mean() > 0.5


def test_same_pixels_in_another_process() -> None:
    code = (
        "import sys; from lib.data.simulated.generate import generated as g;"
        "sys.stdout.buffer.write(g('sim_faces', 'sim_stylegan2', 2, seed=1, size=64).tobytes())"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    here = generated("sim_faces", "sim_stylegan2", 2, seed=1, size=64)
    # Sums may be ordered otherwise with another number of threads: rounding may differ by 1.
    there = np.frombuffer(out, np.uint8).reshape(here.shape).astype(int)
    assert np.abs(there - here).max() <= 1
    assert (there != here).mean() < 1e-3


@pytest.mark.parametrize("content", CONTENTS)
def test_fakes_show_other_scenes(content: str) -> None:
    classes = [images(content, kind)[:8].reshape(8, -1) for kind in (None, *GENERATORS)]
    flat = np.concatenate(classes)
    correlation = np.corrcoef(flat) - np.eye(len(flat))
    assert correlation.max() < 0.85
    # The same scene correlates far better with its reconstruction.
    picture = scene(content, np.random.default_rng(0), 128)
    for generator in GENERATORS:
        rebuilt = decode(picture, generator, 0)
        assert np.corrcoef(picture.ravel(), rebuilt.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize("content", CONTENTS)
def test_natural_spectrum(content: str, size: int) -> None:
    grey = images(content, None, size=size)[:40].mean(-1)
    window = np.hanning(size)
    grey = (grey - grey.mean((1, 2), keepdims=True)) * window * window[:, None]
    power = (np.abs(np.fft.fft2(grey)) ** 2).mean(0).ravel()
    line = np.fft.fftfreq(size, 1 / size)
    radius = np.round(np.hypot(line, line[:, None])).astype(int).ravel()
    radial = np.bincount(radius, power) / np.bincount(radius)
    frequency = np.arange(len(radial)) / size
    middle = (frequency >= 0.03) & (frequency <= 0.25)
    slope = -np.polyfit(np.log(frequency[middle]), np.log(radial[middle]), 1)[0]
    assert 1.6 < slope < 2.4


@pytest.mark.parametrize(("content", "generator"), CELLS)
def test_reconstruction(content: str, generator: str) -> None:
    ratios = []
    for i in range(16):
        picture = scene(content, np.random.default_rng([77, i]), 128)
        ratios.append(-10 * np.log10(np.square(decode(picture, generator, i) - picture).mean()))
    assert np.mean(ratios) >= 26


@pytest.mark.parametrize(("content", "generator"), CELLS)
def test_moments_tell_little(content: str, generator: str) -> None:
    pixels = np.concatenate([images(content, None), images(content, generator)]) / 255
    energy = [[np.square(laplace(image[..., k])).mean() for k in range(3)] for image in pixels]
    features = np.hstack([pixels.mean((1, 2)), pixels.std((1, 2)), np.log(energy)])
    fake = np.repeat([0, 1], len(pixels) // 2)
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    margins = cross_val_predict(model, features, fake, cv=folds, method="decision_function")
    assert roc_auc_score(fake, margins) < 0.80


def test_weights_are_small() -> None:
    files = list(WEIGHTS.glob("*.safetensors"))
    assert {file.stem for file in files} == set(GENERATORS)
    assert sum(file.stat().st_size for file in files) <= 3e6


def test_fir_upsampling_is_upfirdn() -> None:
    plane = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
    taps = np.array([1, 3, 3, 1], np.float32) / 4
    rows = upfirdn(taps, plane, up=2, axis=0)
    expected = upfirdn(taps, rows, up=2, axis=1)[1:11, 1:15]
    got = upsample_fir(torch.from_numpy(plane).expand(2, 3, 5, 7))
    assert got.shape == (2, 3, 10, 14)
    np.testing.assert_allclose(got[1, 2].numpy(), expected, atol=1e-6)
    # By hand: along a line each pixel is three quarters the nearest, one quarter the next.
    line = upsample_fir(torch.tensor([[0.0, 4.0, 8.0]]).expand(1, 1, 3, 3))[0, 0, 2]
    np.testing.assert_allclose(line.numpy(), [0, 1, 3, 5, 7, 6], atol=1e-6)


def test_nearest_upsampling_and_pixel_norm() -> None:
    plane = torch.arange(6.0).reshape(1, 1, 2, 3)
    expected = plane.numpy().repeat(2, 2).repeat(2, 3)
    np.testing.assert_array_equal(upsample_nearest(plane).numpy(), expected)
    normal = pixel_norm(torch.tensor([3.0, 4.0]).reshape(1, 2, 1, 1)).ravel()
    np.testing.assert_allclose(normal.numpy(), np.array([3, 4]) / np.sqrt(12.5), rtol=1e-5)
