"""A network for judging whose margins can be reckoned: the brighter the patch, the more fake."""

import numpy as np

from lib.judge.card import Card, Counts, Measured
from lib.judge.network import Network
from lib.study.quirks import Quirks
from lib.study.schema import Model, Preparation

SIZE, PATCH = 64, 32
RANGES = {"resampling factor": (1.0, 2.0), "JPEG quality": (70.0, 95.0), "sharpness": (0.0, 1.0)}


def card(**changes) -> Card:
    scores = np.linspace(-1, 1, 200)
    measured = Measured(
        cell="faces-gan", about="like those it learned from", auc=0.9,
        real=Counts(images=100, real=60, fake=4), fake=Counts(images=90, real=3, fake=50),
        kept_real=Counts(images=100, real=50, fake=2), kept_fake=Counts(images=90, real=1, fake=40),
        flips={"mirrored": 0.1},
    )  # fmt: skip
    given = {
        **{"title": "Faces & a GAN", "study": "tiny", "train": "faces-gan", "variant": "plain"},
        **{"patch_size": PATCH, "seed": 0, "simulated": False, "training": {}, "alpha": 0.05},
        "preparation": Preparation(image_size=SIZE),
        **{"model": Model(name="test_resnet"), "quirks": Quirks()},
        **{"labels": (scores > 0).astype(int).tolist(), "scores": scores.tolist()},
        **{"ranges": RANGES, "all_jpeg": False, "measured": [measured], "reliability": []},
        **{"notes": ["For research."], "versions": {}, "git_commit": None, "device": "CPU"},
        "weights": "0" * 64,
    }
    return Card(**{**given, **changes}).signed()


class Brightness(Network):
    """Its margin is how far a patch's mean lies above 128, by 32 grey levels."""

    def margins(self, images: np.ndarray, origins: np.ndarray | None = None) -> np.ndarray:
        """float32 (N, P)."""
        p, where = self.card.patch_size, self.origins if origins is None else origins
        means = [images[:, r : r + p, c : c + p].mean(axis=(1, 2, 3)) for r, c in where]
        return ((np.stack(means, axis=1) - 128) / 32).astype(np.float32)


def network(**changes) -> Brightness:
    return Brightness(card(**changes), None)
