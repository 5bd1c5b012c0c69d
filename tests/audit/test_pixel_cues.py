"""Cues and spectra: right by hand, and in the right direction on made pictures."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from lib.audit import pixel_cues

SIDE = 64


def noise(seed: int = 0, side: int = SIDE, count: int = 1) -> np.ndarray:
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (count, side, side, 3), np.uint8)


def changed(images: np.ndarray, change) -> np.ndarray:
    return np.stack([np.asarray(change(Image.fromarray(image))) for image in images])


def jpeg(image: Image.Image) -> Image.Image:
    memory = io.BytesIO()
    image.save(memory, "JPEG", quality=10)
    return Image.open(memory).convert("RGB")


def measured(images: np.ndarray) -> dict[str, float]:
    return pixel_cues.measure(images, np.arange(len(images))).mean().to_dict()


def test_luminance_is_bt601s():
    pixels = np.array([[[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]]], np.uint8)
    found = pixel_cues.luminance(pixels)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found[0], [[76.245, 149.685], [29.07, 255]], rtol=1e-5)


def test_blockiness_by_hand():
    """Steps of 4 at the borders of blocks and of 1 within, along one axis of two."""
    steps = np.array([4 if place % 8 == 0 else 1 for place in range(1, 24)])
    ramp = np.concatenate([[0], np.cumsum(steps)]).astype(np.float32)
    pictures = np.stack([np.tile(ramp, (24, 1)), np.tile(ramp, (24, 1)).T])
    np.testing.assert_allclose(pixel_cues.blockiness(pictures), [1.5, 1.5])
    shifted = pictures[:1, :, 3:19]  # the grid begins elsewhere
    assert pixel_cues.blockiness(shifted)[0] < 0


def test_clipped_and_brightness_by_hand():
    pixels = np.full((2, 4, 4, 3), 100, np.uint8)
    pixels[1, 0, 0] = [0, 254, 0]
    pixels[1, 0, 1] = [253, 253, 253]
    pixels[1, 0, 2] = 255
    luma = pixel_cues.luminance(pixels)
    assert pixel_cues.CUES["clipped highlights"](pixels, luma).tolist() == [0, 2 / 16]
    brightness = pixel_cues.CUES["mean brightness"](pixels, luma)
    np.testing.assert_allclose(brightness[0], 100, rtol=1e-6)


@pytest.mark.parametrize(("cycles", "expected"), [(4, 0.0), (12, 0.0), (20, 1.0), (30, 1.0)])
def test_a_wave_is_high_iff_above_half_the_nyquist_frequency(cycles, expected):
    wave = 128 + 50 * np.cos(2 * np.pi * cycles * np.arange(SIDE) / SIDE)
    luma = np.tile(wave, (SIDE, 1)).astype(np.float32)[None]
    assert pixel_cues.high_frequencies(luma)[0] == pytest.approx(expected, abs=0.01)


def test_a_flat_picture_has_no_frequencies():
    flat = np.full((1, SIDE, SIDE, 3), 77, np.uint8)
    assert measured(flat) == pytest.approx(
        {
            "high-frequency energy": 0,
            "blockiness": 0,
            "clipped highlights": 0,
            "mean brightness": 77,
        }
    )
    assert np.isfinite(pixel_cues.azimuthal(flat, np.array([0]))[1]).all()
    assert np.isfinite(pixel_cues.residual_spectrum(flat, np.array([0]))).all()


def test_cues_move_in_the_right_direction():
    images = noise(count=8) // 2 + 40
    before = measured(images)
    blurred = measured(changed(images, lambda i: i.filter(ImageFilter.GaussianBlur(2))))
    blocky = measured(changed(images, jpeg))
    brighter = measured((images.astype(int) + 100).clip(0, 255).astype(np.uint8))
    assert blurred["high-frequency energy"] < before["high-frequency energy"] / 10
    assert blocky["blockiness"] > before["blockiness"] + 1
    assert brighter["clipped highlights"] > before["clipped highlights"] == 0
    assert brighter["mean brightness"] > before["mean brightness"] + 60


def test_measuring_goes_in_parts_and_keeps_the_order(monkeypatch):
    images, rows = noise(count=7), np.array([5, 0, 6, 2])
    whole = pixel_cues.measure(images, rows)
    monkeypatch.setattr(pixel_cues, "_AT_ONCE", 3)
    assert list(whole.columns) == list(pixel_cues.CUES)
    pd.testing.assert_frame_equal(whole, pixel_cues.measure(images, rows), rtol=1e-5)
    alone = pixel_cues.measure(images[:1], np.array([0]))
    pd.testing.assert_series_equal(whole.loc[1], alone.loc[0], rtol=1e-5, check_names=False)


def test_white_noise_has_its_variance_at_every_frequency():
    luma = np.random.default_rng(0).normal(100, 7, (64, 32, 32)).astype(np.float32)
    found = pixel_cues.power(luma)
    assert found.shape == (64, 32, 32)
    assert found.mean() == pytest.approx(49, rel=0.02)
    high, low = found[:, 10:16, 10:16].mean(), found[:, 3:6, 3:6].mean()
    assert high == pytest.approx(low, rel=0.15)


def test_the_azimuthal_spectrum_peaks_at_a_waves_frequency():
    across = np.cos(2 * np.pi * 8 * np.arange(SIDE) / SIDE)
    wave = np.rint(128 + 100 * across).astype(np.uint8)
    upright = np.repeat(np.tile(wave, (SIDE, 1))[..., None], 3, axis=-1)
    images = np.stack([upright, upright.transpose(1, 0, 2)])
    frequencies, power = pixel_cues.azimuthal(images, np.array([0, 1]))
    np.testing.assert_allclose(frequencies, np.arange(1, 33) / 64)
    assert power.shape == (2, 32)
    assert frequencies[power[0].argmax()] == 8 / 64
    np.testing.assert_allclose(power[0], power[1], atol=1e-3)  # whichever the direction


def test_the_residual_spectrum_shows_a_grid_and_not_the_content():
    content = np.full((1, SIDE, SIDE, 3), 120, np.uint8)
    content[:, 16:48, 16:48] = 160
    grid = content.copy()
    grid[:, ::4, ::4] += 9  # regular points, every 4 px
    rows = np.array([0])
    difference = pixel_cues.residual_spectrum(grid, rows) - pixel_cues.residual_spectrum(
        content, rows
    )
    middle, step = SIDE // 2, SIDE // 4
    point = difference[middle + step, middle]
    assert point > 1  # ten times as strong
    assert point > difference[middle + step + 6, middle + 6] + 1


def test_constant_patches_are_told_row_by_row():
    images = noise(count=3)
    images[1, :32, 32:] = (255, 255, 254)  # one colour, though not of one value
    images[2] = 7
    constant = pixel_cues.constant_patches(images, np.array([1, 2, 0]), 32)
    assert constant.tolist() == [[False, True, False, False], [True] * 4, [False] * 4]
    images[1, 31, 63, 0] = 254
    assert not pixel_cues.constant_patches(images, np.array([1]), 32).any()
