"""A canvas for procedural photographs: soft-edged shapes, fractal textures, colours.

Coordinates run from -1 to 1 over the image, x to the right and y downwards. A shape is a field of
distances, negative inside. Fields are float32 (S, S) or broadcast to it, colours (3, 1, 1).
"""

import functools
import math

import numpy as np
from numpy import clip, maximum, minimum, ndarray
from numpy.random import Generator
from scipy.fft import irfft2


class Canvas:
    """A black canvas of side `size` px: its pixels, their coordinates, and its randomness."""

    def __init__(self, rng: Generator, size: int) -> None:
        self.rng, self.size = rng, size
        line = ((np.arange(size, dtype=np.float32) + 0.5) / size) * 2 - 1
        self.x, self.y = line[None, :], line[:, None]  # of the pixels' centres
        self.pixels = np.zeros((3, size, size), np.float32)

    def lay(
        self, colour: ndarray, shape: ndarray, soft: float = 1.0, opacity: float | ndarray = 1.0
    ) -> None:
        """Lays a colour or texture over a shape whose edge is `soft` px wide."""
        cover = clip(0.5 - shape * (self.size / 2 / soft), 0, 1) * opacity
        # Most shapes are small: only the rows and columns they touch are painted.
        rows, columns = cover.any(1).nonzero()[0], cover.any(0).nonzero()[0]
        if len(rows):
            box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            below = self.pixels[:, *box]
            fill = np.broadcast_to(colour, self.pixels.shape)[:, *box]
            below += cover[box] * (fill - below)

    def fractal(self, slope: float, stretch: float = 1.0, angle: float = 0.0) -> ndarray:
        """A random texture whose power falls as 1/f^slope: (S, S), mean 0, deviation 1.

        Its grain is `stretch` times as long as wide, upright at `angle` 0 (radians).
        """
        octaves = _octaves(self.size, stretch, angle)
        noise = self.rng.standard_normal((*octaves.shape, 2), np.float32).view(np.complex64)
        field = irfft2(noise[..., 0] * np.exp(octaves * (-slope / 2)), overwrite_x=True)
        return field * (1 / math.sqrt(np.vdot(field, field) / field.size))

    def between(self, one: tuple, other: tuple, jitter: float = 0.03) -> ndarray:
        """A random colour between two, (3, 1, 1)."""
        t = self.rng.uniform()
        colour = (1 - t) * np.array(one) + t * np.array(other) + self.rng.normal(0, jitter, 3)
        return rgb(colour.clip(0.02, 1))


def ellipse(x: ndarray, y: ndarray, radius: float | ndarray = 1.0) -> ndarray:
    """Distance to a circle about the origin."""
    return np.sqrt(x * x + y * y) - radius


def box(x: ndarray, y: ndarray, left: float, right: float, low: float, high: float) -> ndarray:
    """Distance to an upright rectangle."""
    return maximum(maximum(left - x, x - right), maximum(low - y, y - high))


def arch(x: ndarray, y: ndarray, half: float, low: float, spring: float) -> ndarray:
    """Distance to a round-headed opening whose arch springs at height `spring`."""
    return minimum(box(x, y, -half, half, low, spring), ellipse(x, y - spring, half))


def rgb(colour: ndarray | tuple) -> ndarray:
    """A colour that broadcasts over a canvas: float32 (3, 1, 1)."""
    return np.asarray(colour, np.float32)[:, None, None]


@functools.lru_cache(8)
def _octaves(size: int, stretch: float, angle: float) -> ndarray:
    """Log of the (stretched) frequency of a real transform: (S, S/2 + 1), infinite at 0."""
    x = np.fft.rfftfreq(size).astype(np.float32)[None, :]
    y = np.fft.fftfreq(size).astype(np.float32)[:, None]
    across = math.cos(angle) * x + math.sin(angle) * y
    along = (math.cos(angle) * y - math.sin(angle) * x) * stretch
    with np.errstate(divide="ignore"):
        octaves = 0.5 * np.log(across**2 + along**2)
    octaves[0, 0] = np.inf  # no mean
    return octaves
