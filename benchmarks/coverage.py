"""How often intervals over images and training seeds hold the truth, in simulation.

    python -m benchmarks.coverage

Two sizes' votes are compared, whose networks' true accuracies vary from seed to seed. Of 300 test
images each is right with a probability of its own, the same for all networks but for that. Writes
benchmarks/coverage.csv: by seeds and their standard deviation (points, of each network), the share
of 95 % intervals of the difference that hold the true one, and their mean width, points.
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
TARGET = Path(__file__).with_suffix(".csv")


def interval(generator: np.random.Generator, seeds: int, spread: float) -> tuple[float, float]:
    """That of one study."""
    drawn = np.clip(np.array(TRUE) + spread * generator.standard_normal((seeds, 2)), 0.02, 0.98)
    images, own = generator.standard_normal((1, 1, IMAGES)), (seeds, 2, IMAGES)
    latent = np.sqrt(ALIKE) * images + np.sqrt(1 - ALIKE) * generator.standard_normal(own)
    gains = -np.diff((latent < norm.ppf(drawn)[..., None]).astype(np.float64), axis=1)[:, 0]
    counts = generator.multinomial(IMAGES, np.full(IMAGES, 1 / IMAGES), RESAMPLES)
    weights = np.vstack([np.ones(IMAGES), counts]) / IMAGES
    return Comparison("", ("", ""), gains @ weights.T).interval()


def main() -> None:
    """Simulates, prints, writes."""
    generator, lines = np.random.default_rng(0), []
    for seeds, spread in bar(iterable=list(product(SEEDS, SPREADS)), desc="coverage"):
        every = [interval(generator, seeds, spread / 100) for _ in range(STUDIES)]
        low, high = np.array(every).T
        held = (low <= TRUE[0] - TRUE[1]) & (high >= TRUE[0] - TRUE[1])
        lines.append((seeds, spread, STUDIES, held.mean(), 100 * (high - low).mean()))
    columns = ["seeds", "spread", "studies", "coverage", "width"]
    table = pd.DataFrame(lines, columns=columns).round({"coverage": 3, "width": 1})
    table.to_csv(TARGET, index=False)
    print(table.to_string(index=False))


if __name__ == "__main__":
    main()
