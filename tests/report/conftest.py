"""Studies of finished and voted networks, for the tests of the report."""

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from vote_helpers import agreeing, vote

from lib.results.accuracies import Family
from lib.study.run import Run

CELL = "leaves-gan_a"
S, HALF = 128, 10
LABELS = np.repeat([0, 1], HALF)


@pytest.fixture
def family(make_study, finish) -> Callable[..., Family]:
    """A family of voted networks, by size and seed a share of images that are right, nested.

    All patches of an image are right or none; each network has two epochs of 100 patches a patch
    of the image.
    """

    def family(shares: dict[int, list[float]], **changes) -> Family:
        study = make_study(
            **{
                "data": {"image_size": S, "per_class": {"train": 3, "validation": 2, "test": HALF}},
                "patch_sizes": list(shares),
                "seeds": list(range(len(next(iter(shares.values()))))),
                "voting": {"thetas": [1.0, 0.5]},
                "training": {"batch_size": 32},
                **changes,
            }
        )
        for size, by_seed in shares.items():
            for seed, share in enumerate(by_seed):
                run = Run(study=study, dataset="leaves", gan="gan_a", patch_size=size, seed=seed)
                right, patches = np.tile(np.arange(HALF) < round(share * HALF), 2), (S // size) ** 2
                for cell in study.cells:
                    finish(run, agreeing(right, LABELS, patches), LABELS, [0.5], cell=cell)
                if size < S:
                    crops = agreeing(right, LABELS, patches + 1)
                    finish(run, crops, LABELS, [0.5], kind="crops")
                history = pd.read_csv(run.folder / "history.csv").assign(patches=100 * patches)
                pd.concat([history] * 2).to_csv(run.folder / "history.csv", index=False)
                vote(run)
        return Family(study, CELL)

    return family
