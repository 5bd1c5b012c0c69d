"""A network that judges pictures."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from lib.judge import flips
from lib.judge.card import Card
from lib.judge.errors import NetworkError
from lib.networks.classifier import DTYPES, PatchNet, pick_device, pick_precision
from lib.networks.cpu_speed import Scorer
from lib.networks.scoring import score
from lib.patches import grid_origins
from lib.statistics import abstention
from lib.voting.rules import RULES

TOGETHER = 8
"""Altered images are scored in such multiples: oneDNN keeps memory for each number it has met."""


@dataclass(frozen=True)
class Network:
    """A network and its card."""

    card: Card
    weights: Path

    @cached_property
    def _scorer(self) -> Scorer:
        card, device = self.card, pick_device("auto")
        try:
            network = PatchNet(card.model, seed=0, patch_size=card.patch_size, quirks=card.quirks)
            network.load(self.weights).to(device)
        except Exception as error:  # safetensors' own, or weights of another backbone
            raise NetworkError(
                f"{self.weights}: no weights of {card.model.name}: {error}"
            ) from None
        precision = "fp32" if network.in_float32 else pick_precision("auto", device)
        return Scorer(network, DTYPES[precision])

    @cached_property
    def probability(self) -> abstention.Probability:
        """From scores to P(fake), in [0, 1]; learned once, for all pictures."""
        return self.card.calibration[1]

    @property
    def patches(self) -> str:
        """Which rules vote: those on the `grid`, or of the `whole` image."""
        return "whole" if self.card.rule == "whole" else "grid"

    @property
    def origins(self) -> np.ndarray:
        """The grid's origins, int32 (P, 2)."""
        return grid_origins(self.card.preparation.image_size, self.card.patch_size)

    def margins(self, images: np.ndarray, origins: np.ndarray | None = None) -> np.ndarray:
        """float32 (N, P) of prepared images uint8 (N, S, S, 3), by default of the grid."""
        where = self.origins if origins is None else origins
        return score(self._scorer, torch.from_numpy(images), where, self.card.patch_size)

    def scores(self, z: np.ndarray) -> np.ndarray:
        """What is judged of an image's margins: float64 (N,) of (N, P)."""
        return RULES[self.card.rule].score(z)

    def flipped(
        self, images: np.ndarray, said: np.ndarray, tried: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Which verdicts, int (N,), each alteration changes: bool (N,), of images `tried`, (N,)."""
        index = np.flatnonzero(tried)
        some = np.resize(index, -(-len(index) // TOGETHER) * TOGETHER)
        altered = flips.altered(images[some], self.card.preparation, self.card.patch_size)
        changed = {name: np.zeros(len(said), bool) for name in altered}
        for name, given in altered.items() if len(index) else ():
            scores = self.scores(self.margins(*given))[: len(index)]
            changed[name][index] = abstention.verdicts(scores, self.card.thresholds) != said[index]
        return changed
