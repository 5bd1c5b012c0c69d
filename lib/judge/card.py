"""The file beside a network's weights: all that its verdicts need, and what they are worth.

`networks/<name>/` holds `network.safetensors` and `network.json`, this; `tools/keep_network.py`
makes both of a finished run.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field, ValidationError

from lib.judge.errors import NetworkError
from lib.statistics import abstention
from lib.study.quirks import Quirks
from lib.study.schema import Model, Preparation, Strict

WEIGHTS, CARD = "network.safetensors", "network.json"


class Counts(Strict):
    """How many images of a class there were, and how many were called what."""

    images: int
    real: int
    fake: int

    @property
    def cannot_tell(self) -> int:
        """How many were called neither."""
        return self.images - self.real - self.fake


class Measured(Strict):
    """What came out on the images of one test cell, none of which the network has seen."""

    cell: str
    about: str  # in words: what its images are
    auc: float  # of the scores, in [0, 1]
    real: Counts  # by the thresholds alone
    fake: Counts
    kept_real: Counts | None = None
    """As above, where a verdict is withheld that an alteration flips, or on an image that is too
    far from the training images; None if that was not tried."""
    kept_fake: Counts | None = None
    flips: dict[str, float] = {}
    """Of the verdicts, the share that each alteration changes."""

    @property
    def final(self) -> tuple[Counts, Counts]:
        """Of photographs and of fakes, by all that withholds a verdict, where that was tried."""
        return self.kept_real or self.real, self.kept_fake or self.fake


class Card(Strict):
    """A network, what prepares its pictures, what its scores mean, and what it is worth."""

    title: str
    study: str
    train: str
    variant: str
    patch_size: int
    seed: int
    simulated: bool  # whether it learned from simulated images
    preparation: Preparation
    model: Model
    quirks: Quirks
    training: dict[str, Any]
    alpha: float = Field(gt=0, lt=1)
    """At most so large a share of photographs, and of fakes, is to be called the other."""
    labels: list[int]
    """Of the validation images, real = 0 and fake = 1, and below their scores."""
    scores: list[float]
    ranges: dict[str, tuple[float, float]]
    """Of the training images the 1st and 99th percentile of each of `lib.judge.flags`."""
    all_jpeg: bool
    with_faces: float | None = None
    """The share of training images in which dlib finds a face; None if that is not known."""
    measured: list[Measured]
    reliability: list[tuple[float, float, int]]
    """On the training cell's test images: P(fake) as stated, as observed, and of how many."""
    notes: list[str]  # on data and licences
    versions: dict[str, str | None]
    git_commit: str | None
    device: str
    weights: str  # SHA-256 of the weights' file
    digest: str = ""  # of all else

    @property
    def rule(self) -> str:
        """The rule of `lib.voting.rules` whose score is judged."""
        whole = self.patch_size == self.preparation.image_size
        return "whole" if whole else "mean_margin"

    @property
    def thresholds(self) -> abstention.Thresholds:
        """Between which nothing is said."""
        scores, labels = np.array(self.scores), np.array(self.labels, np.uint8)
        return abstention.thresholds(scores, labels, self.alpha)

    @property
    def calibration(self) -> tuple[str, abstention.Probability]:
        """How scores become P(fake): the method's name and the function."""
        return abstention.calibrated(np.array(self.scores), np.array(self.labels, np.uint8))

    def signed(self) -> "Card":
        """The same with its digest."""
        content = json.dumps(self.model_dump(mode="json", exclude={"digest"}), sort_keys=True)
        return self.model_copy(update={"digest": hashlib.sha256(content.encode()).hexdigest()})


def read(folder: Path) -> Card:
    """The card in a network's folder, held to its digest and its weights.

    Raises:
        NetworkError: if a file is missing, is not what it should be, or was altered.
    """
    path, weights = folder / CARD, folder / WEIGHTS
    again = "Restore the folder, or make it anew with tools/keep_network.py"
    try:
        card = Card.model_validate_json(path.read_text("utf-8"))
    except OSError as error:
        raise NetworkError(f"{path}: cannot be read: {error.strerror}. {again}") from None
    except (ValidationError, UnicodeDecodeError) as error:
        problem = error.errors()[0] if isinstance(error, ValidationError) else {"loc": ()}
        where = ".".join(map(str, problem["loc"]))
        what = f"{where or 'it'}: {problem.get('msg', 'not UTF-8')}"
        raise NetworkError(f"{path}: no network's file: {what}. {again}") from None
    if card.signed().digest != card.digest:
        raise NetworkError(f"{path}: was altered since it was made. {again}")
    if not weights.is_file():
        raise NetworkError(f"{weights}: the weights are missing. {again}")
    if hashlib.sha256(weights.read_bytes()).hexdigest() != card.weights:
        raise NetworkError(f"{weights}: are other weights than {CARD} was made for. {again}")
    return card
