"""How often intervals over images and training seeds hold the truth, in simulation.

    python -m benchmarks.coverage

Two sizes' votes are compared, whose networks' true accuracies vary from seed to seed. Of 300 test
images each is right with a probability of its own, the same for all networks but for that. Writes
benchmarks/coverage.csv: by seeds and their standard deviation (points, of each network), the share
of 95 % intervals of the difference that hold the true one, and their mean width, points. Where
seeds are folds each judges its own part of the images; that training sets of folds overlap, so that
networks of two folds are no two independent ones, is not simulated.
"""

from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import norm

from lib.progress import bar
from lib.results.comparison import Comparison

IMAGES, ALIKE, RESAMPLES, STUDIES = 300, 0.5, 400, 1000
TRUE = (0.80, 0.75)
SEEDS, SPREADS = (1, 2, 3, 5), (0, 2, 4, 6)  # spreads in points
DESIGNS = [*product([False], SEEDS, SPREADS), *product([True], (3, 5, 8), SPREADS)]
TARGET = Path(__file__).with_suffix(".csv")


def interval(
    generator: np.random.Generator, seeds: int, spread: float, *, folds: bool
) -> tuple[float, float]:
    """That of one study, whose seeds judge the same images, or as folds a part of them each."""
    drawn = np.clip(np.array(TRUE) + spread * generator.standard_normal((seeds, 2)), 0.02, 0.98)
    count = IMAGES // seeds if folds else IMAGES
    parts, own = (seeds if folds else 1, 1, count), (seeds, 2, count)
    images = generator.standard_normal(parts)
    latent = np.sqrt(ALIKE) * images + np.sqrt(1 - ALIKE) * generator.standard_normal(own)
    gains = -np.diff((latent < norm.ppf(drawn)[..., None]).astype(np.float64), axis=1)[:, 0]
    counts = generator.multinomial(count, np.full(count, 1 / count), (len(images), RESAMPLES))
    weights = np.concatenate([np.ones((len(images), 1, count)), counts], axis=1) / count
    draws = (weights @ gains[..., None])[..., 0]  # (seeds, 1 + B)
    return Comparison("", ("", ""), draws).interval()


def main() -> None:
    """Simulates, prints, writes."""
    generator, lines = np.random.default_rng(0), []
    for folds, seeds, spread in bar(iterable=DESIGNS, desc="coverage"):
        studies = range(STUDIES)
        every = [interval(generator, seeds, spread / 100, folds=folds) for _ in studies]
        low, high = np.array(every).T
        held = (low <= TRUE[0] - TRUE[1]) & (high >= TRUE[0] - TRUE[1])
        lines.append((folds, seeds, spread, STUDIES, held.mean(), 100 * (high - low).mean()))
    columns = ["folds", "seeds", "spread", "studies", "coverage", "width"]
    table = pd.DataFrame(lines, columns=columns).round({"coverage": 3, "width": 1})
    table.to_csv(TARGET, index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
