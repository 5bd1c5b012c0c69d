"""The accuracies of one family of networks with all their resamples, pooled over seeds.

An accuracy is an array (1 + B,): as observed, then in each of B resamples of the test images.
The resamples are the same for all networks, sizes and rules of a test cell, so a difference of
two accuracies is paired, image by image. Where a study has several training seeds they are drawn
again too, so that an interval covers both the images and the training.
"""

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd

from lib import margins
from lib.statistics import bootstrap
from lib.study.run import Run
from lib.study.schema import split_cell
from lib.study.study import Study
from lib.voting import verdicts
from lib.voting.quirks import Verdicts
from lib.voting.rules import RULES


class MissingVerdicts(margins.RunError):
    """A vote has not been taken yet; the message names the notebook that takes it."""


class Question(NamedTuple):
    """Which accuracy is meant."""

    patch_size: int
    rule: str  # of `lib.voting.rules`, or `none`: each patch by itself
    test: str | None = None  # the test cell; the training cell if None
    theta: float | None = None
    """Of the confident vote, whose reading is the one that the study leads with."""


class Outcomes(NamedTuple):
    """How often each test image is right, in one or more epochs."""

    labels: np.ndarray  # uint8 (N,)
    right: np.ndarray
    """float64 or bool (E, N): whether its verdict is right; of patches, the share that is."""
    counted: np.ndarray | None  # bool (E, N): the images with a verdict; None if all have one


Teller = Callable[[Run, Question], Outcomes]


class Comparison(NamedTuple):
    """A quantity made of accuracies; a claim says that it is above zero."""

    name: str
    draws: np.ndarray  # (1 + B,)
    seeds: tuple[float, ...]  # the quantity in each training seed by itself

    @property
    def value(self) -> float:
        """As observed, the mean over the seeds."""
        return float(self.draws[0])

    def interval(self, level: float = bootstrap.LEVEL) -> tuple[float, float]:
        """Its percentile interval."""
        return bootstrap.interval(self.draws[1:], level)


def stored_outcomes(run: Run, question: Question) -> Outcomes:
    """What the stored verdicts say, at the validated epoch; raises MissingVerdicts."""
    experiment = _experiment(run, question)
    table = pd.DataFrame()
    with suppress(FileNotFoundError):
        table = verdicts.read(run, experiment)
        table = table[table["rule"] == question.rule]
        if question.theta is not None:
            leads = table["reading"] == run.study.quirks.theta_reading
            table = table[leads & (table["theta"] == question.theta)]
    if table.empty:
        raise MissingVerdicts(
            f"{run.verdicts(experiment)}: no verdicts of {question.rule!r}"
            + (f" at θ = {question.theta:g}" if question.theta else "")
            + f" in it. Run the notebook of Experiment {experiment} first"
        )
    labels = table["label"].to_numpy()
    if question.rule == "none":
        said = Verdicts(table["score"].to_numpy(np.float64)[None], None)
        return Outcomes(labels, said.right(labels), None)
    counted = table["fake"].notna().to_numpy()
    right = table["fake"].fillna(False).to_numpy(bool) == labels.astype(bool)
    return Outcomes(labels, right[None], None if counted.all() else counted[None])


def _experiment(run: Run, question: Question) -> int:
    """The experiment that takes this vote."""
    if run.test != run.train:
        return 5
    if question.rule in ("none", "whole"):
        return 1
    if question.rule in RULES and RULES[question.rule].patches == "crops":
        return 3
    return 4 if question.theta is not None else 2


class Family:
    """One family of networks: a variant of a study, trained on one cell."""

    def __init__(self, study: Study, train: str, outcomes: Teller = stored_outcomes) -> None:
        """Prepares for a study, with its variant applied, and a training cell.

        `outcomes` tells how often each image is right. Where it gives several epochs, the best one
        is picked anew in each resample, as `top1` is.
        """
        self.study, self.train, self.outcomes = study, train, outcomes
        self.draws = lru_cache(maxsize=None)(self._draws)

    @cached_property
    def _finished(self) -> set[tuple[int, int]]:
        every = product(self.study.patch_sizes, self.study.seeds)
        return {(size, seed) for size, seed in every if self.run(size, seed).is_finished}

    @cached_property
    def seeds(self) -> list[int]:
        """The training seeds for which every patch size is finished."""
        done = self._finished
        return [s for s in self.study.seeds if all((size, s) in done for size in self.sizes)]

    @cached_property
    def sizes(self) -> list[int]:
        """The patch sizes of which any network is finished, from large to small."""
        return sorted({size for size, _ in self._finished}, reverse=True)

    @property
    def smaller(self) -> list[int]:
        """The sizes in which an image has several patches."""
        return [size for size in self.sizes if size < self.study.data.image_size]

    @property
    def has_whole(self) -> bool:
        """Whether there is a network for the whole image."""
        return self.study.data.image_size in self.sizes

    def whole(self, test: str | None = None) -> Question:
        """The accuracy of the whole image's network."""
        return Question(self.study.data.image_size, "whole", test)

    def patch(self, size: int) -> Question:
        """The per-patch accuracy, of the whole image where that is the patch."""
        return self.whole() if size == self.study.data.image_size else Question(size, "none")

    def image(self, size: int, test: str | None = None) -> Question:
        """The accuracy per image: of the vote over the grid, or of the whole image."""
        whole = size == self.study.data.image_size
        return self.whole(test) if whole else Question(size, "grid", test)

    def run(self, patch_size: int, seed: int, test: str | None = None) -> Run:
        """The run of one network, on a test cell."""
        where = dict(zip(("dataset", "gan"), split_cell(self.train), strict=True))
        cell = split_cell(test or self.train)
        where |= dict(zip(("test_dataset", "test_gan"), cell, strict=True))
        return Run(study=self.study, patch_size=patch_size, seed=seed, **where)

    def of_seed(self, question: Question, seed: int) -> Outcomes:
        """How often one network is right on each image; raises MissingVerdicts."""
        return self.outcomes(self.run(question.patch_size, seed, question.test), question)

    def _draws(self, question: Question) -> np.ndarray:
        """An accuracy of each seed: float64 (K, 1 + B)."""
        settings, drawn = self.study.bootstrap, []
        for seed in self.seeds:
            labels, right, counted = self.of_seed(question, seed)
            resampled = _resampled(labels.tobytes(), settings.resamples, settings.seed)
            drawn.append(bootstrap.draws(right, counted, resampled).max(axis=-1))
        return np.stack(drawn)

    def pooled(self, question: Question) -> np.ndarray:
        """The mean over seeds, float64 (1 + B,); in each resample the seeds are drawn again.

        The networks of one patch size are drawn together in all rules and variants; those of
        different sizes apart.
        """
        drawn = self.draws(question)
        seeds, resamples = len(drawn), drawn.shape[1] - 1
        generator = np.random.default_rng((self.study.bootstrap.seed, question.patch_size))
        chosen = generator.integers(0, seeds, (seeds, resamples))
        again = drawn[chosen, 1 + np.arange(resamples)].mean(axis=0)
        return np.append(drawn[:, 0].mean(), again)

    def compare(self, name: str, quantity: Callable, *questions: Question) -> Comparison:
        """A quantity made of the accuracies that `questions` ask for, in their order."""
        observed = zip(*(self.draws(question)[:, 0] for question in questions), strict=True)
        seeds = tuple(float(quantity(*accuracies)) for accuracies in observed)
        return Comparison(name, quantity(*map(self.pooled, questions)), seeds)


@lru_cache(maxsize=8)
def _resampled(labels: bytes, resamples: int, seed: int) -> np.ndarray:
    """`bootstrap.resample`, drawn once for all questions about the same images."""
    return bootstrap.resample(np.frombuffer(labels, np.uint8), resamples, seed)
