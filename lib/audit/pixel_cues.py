"""What a picture is like apart from what it shows: single numbers, and its spectra.

None of it knows the classes. Where such a number tells real from fake, a network may learn it
instead of the generator. All are functions of packed pixels; luminance is ITU-R BT.601's, which
JPEG uses too.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import pandas as pd
from scipy import fft, ndimage

LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
HALF_NYQUIST = 0.25  # cycles per px
CLIPPED = 254  # in any channel
BLOCK = 8  # px, of JPEG
_AT_ONCE = 64
_FLOOR = 1e-12  # keeps the logarithm of a flat picture's power finite


def luminance(images: np.ndarray) -> np.ndarray:
    """The luminance, float32 (N, S, S) in [0, 255], of uint8 (N, S, S, 3)."""
    return images.astype(np.float32) @ LUMINANCE


def high_frequencies(luma: np.ndarray) -> np.ndarray:
    """The share of the spectral `power` of float32 (N, S, S) above half the Nyquist frequency.

    In all directions, without the mean: float64 (N,) in [0, 1], 0 for a flat picture.
    """
    spectrum, radius = power(luma), _radius(luma.shape[-1])
    total = spectrum[:, radius > 0].sum(axis=-1)
    above = spectrum[:, radius > HALF_NYQUIST].sum(axis=-1)
    return np.divide(above, total, out=np.zeros_like(total), where=total > _FLOOR)


def blockiness(luma: np.ndarray) -> np.ndarray:
    """How much larger steps are across the borders of JPEG's 8 × 8 blocks than inside them.

    The mean absolute difference of neighbours across borders, minus that within blocks: B − A of
    Z. Wang, H. R. Sheikh and A. C. Bovik, "No-reference perceptual quality assessment of JPEG
    compressed images", ICIP 2002, the mean of both directions. Blocks are looked for where they
    begin in the upper left corner: resizing after JPEG hides them. Of float32 (N, S, S), S > 8,
    float64 (N,), in grey levels; about 0 without blocks.
    """
    differences = []
    for axis in (1, 2):
        steps = np.abs(np.diff(luma, axis=axis)).mean(axis=3 - axis, dtype=np.float64)  # (N, S − 1)
        border = np.arange(1, luma.shape[axis]) % BLOCK == 0
        differences.append(steps[:, border].mean(axis=1) - steps[:, ~border].mean(axis=1))
    return np.mean(differences, axis=0)


CUES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "high-frequency energy": lambda images, luma: high_frequencies(luma),
    "blockiness": lambda images, luma: blockiness(luma),
    "clipped highlights": lambda images, luma: (images.max(axis=-1) >= CLIPPED).mean(axis=(1, 2)),
    "mean brightness": lambda images, luma: luma.mean(axis=(1, 2), dtype=np.float64),
}
"""Each a function of uint8 (N, S, S, 3) and its luminance that gives a number per picture."""


def measure(images: np.ndarray, rows: np.ndarray) -> pd.DataFrame:
    """All `CUES`, a column each, of the pictures `rows`, int (K,), of uint8 (N, S, S, 3).

    A few are measured at a time, so that memory stays small.
    """
    tables = [
        pd.DataFrame({cue: number(part, luma) for cue, number in CUES.items()})
        for part, luma in _parts(images, rows)
    ]
    return pd.concat(tables, ignore_index=True)


def constant_patches(images: np.ndarray, rows: np.ndarray, patch_size: int) -> np.ndarray:
    """Which patches of the grid, p px, have one colour throughout: bool (K, P), row by row.

    `images` and `rows` are as in `measure`; p divides their side.
    """
    across = images.shape[1] // patch_size
    constant = []
    for start in range(0, len(rows), _AT_ONCE):
        part = images[rows[start : start + _AT_ONCE]]
        patches = part.reshape(len(part), across, patch_size, across, patch_size, 3)
        same = (patches == patches[:, :, :1, :, :1]).all(axis=(2, 4, 5))
        constant.append(same.reshape(len(part), -1))
    return np.concatenate(constant)


def power(luma: np.ndarray) -> np.ndarray:
    """The power spectra of float32 (N, S, S) without their means, under a Hann window.

    float64 (N, S, S), zero frequency first; white noise of variance v has v at every frequency.
    """
    side = luma.shape[-1]
    window = np.outer(np.hanning(side), np.hanning(side)).astype(np.float32)
    centred = (luma - luma.mean(axis=(1, 2), keepdims=True)) * window
    return np.abs(fft.fft2(centred)).astype(np.float64) ** 2 / np.square(window).sum()


def azimuthal(images: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each picture's power by frequency alone, averaged over all directions.

    Up-sampling leaves its mark at the highest frequencies: R. Durall, M. Keuper and J. Keuper,
    "Watch your up-convolution", CVPR 2020. `images` and `rows` are as in `measure`.

    Returns:
        Frequencies float64 (S // 2,), up to 0.5 cycles per px, and log10 of the mean power in a
        ring of width 1 / S about each, float64 (K, S // 2).
    """
    side = images.shape[1]
    rings = np.rint(_radius(side) * side).astype(int).ravel()
    count = np.bincount(rings)
    spectra = (spectrum for _, luma in _parts(images, rows) for spectrum in power(luma))
    means = [np.bincount(rings, spectrum.ravel()) / count for spectrum in spectra]
    inside = slice(1, side // 2 + 1)
    return np.arange(side)[inside] / side, np.log10(np.stack(means)[:, inside] + _FLOOR)


def residual_spectrum(images: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """The mean spectrum of what a 3 × 3 median filter takes away: noise, grids, fingerprints.

    As in S.-Y. Wang et al., "CNN-generated images are surprisingly easy to spot… for now",
    CVPR 2020. Regular bright points are a generator's or a codec's grid. `images` and `rows` are
    as in `measure`; float64 (S, S), log10 of the mean magnitude, zero frequency in the middle.
    """
    total = np.zeros(images.shape[1:3])
    for _, luma in _parts(images, rows):
        residual = luma - ndimage.median_filter(luma, size=(1, 3, 3))
        total += np.sqrt(power(residual)).sum(axis=0)
    return fft.fftshift(np.log10(total / len(rows) + _FLOOR))


def _parts(images: np.ndarray, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for start in range(0, len(rows), _AT_ONCE):
        part = images[rows[start : start + _AT_ONCE]]
        yield part, luminance(part)


@lru_cache(maxsize=4)
def _radius(side: int) -> np.ndarray:
    """The frequency of every place of `power`'s spectrum: float64 (S, S), cycles per px."""
    frequencies = fft.fftfreq(side)
    return np.hypot(frequencies[:, None], frequencies[None, :])
