"""A quantity that a claim turns on, and its interval over test images and training seeds."""

from typing import NamedTuple

import numpy as np
from scipy.stats import t

from lib.statistics import bootstrap

ONE_SIDED = 0.92
"""The level of intervals of which one side counts. In theory 90 % errs in 5 of 100 studies at a
bound; in simulation some parts of claims then erred in more."""


class Comparison(NamedTuple):
    """A quantity made of measures, of which a claim says that it is above a bound."""

    text: str
    """What it says, with {} for how far, as in "the vote is right {} often than the grid's"."""
    words: tuple[str, str]  # what follows the points where it is above zero, and below
    draws: np.ndarray  # (K, 1 + B): in each training seed, as observed and over images
    bound: float = 0.0
    images: int | None = None
    """On how many test images, of all folds; None if that is not known."""

    @property
    def value(self) -> float:
        """As observed, the mean over the seeds."""
        return float(self.draws[:, 0].mean())

    def interval(self, level: float = bootstrap.LEVEL) -> tuple[float, float]:
        """Its interval over images and training seeds; of one seed, over images alone.

        What differs from seed to seed, training and how it falls on these images, enters by
        Student's t; what all seeds share, the drawing of the images, by the percentiles of the
        mean's resamples, narrowed by what seeds do not share. On each side the two are added in
        quadrature (MOVER: G. Y. Zou, A. Donner, Statistics in Medicine 2008). Images that never
        differ in a resample might yet, so that no side is shorter than what as many images leave
        open of what none of them shows (J. A. Hanley, A. Lippman-Hand, JAMA 1983). How often it
        holds the truth: `python -m benchmarks.coverage`.
        """
        count, mean = len(self.draws), self.draws.mean(axis=0)  # (1 + B,)
        low, high = bootstrap.interval(mean[1:], level)
        apart, shared = 0.0, 1.0
        if count > 1:
            apart = t.ppf((1 + level) / 2, count - 1) * self.draws[:, 0].std(ddof=1) / count**0.5
            own = (self.draws - mean)[:, 1:].var(axis=1).sum() / (count * (count - 1))
            shared = np.sqrt(max(0.0, 1 - own / max(mean[1:].var(), 1e-12)))
        unseen = -np.log((1 - level) / 2) / self.images if self.images else 0.0
        sides = mean[0] - low, high - mean[0]
        below, above = (shared * max(unseen, side) for side in sides)
        return float(mean[0] - np.hypot(apart, below)), float(mean[0] + np.hypot(apart, above))

    def detectable(self, level: float = ONE_SIDED) -> float:
        """How far above its bound it must truly be to be found so in 80 of 100 such studies.

        Half the width of its interval at the level that decides, and of that with one in five on
        each side.
        """
        return sum((high - low) / 2 for low, high in map(self.interval, (level, 0.6)))

    @property
    def said(self) -> str:
        """It in words, as observed, in points."""
        return self.text.format(f"{100 * abs(self.value):.1f} points {self.words[self.value < 0]}")
