"""The accuracies and AUCs of one family of networks with all their resamples, seed by seed.

A measure is an array (1 + B,): as observed, then in each of B resamples of the test images. The
resamples are the same for all networks, sizes and rules of a test cell, so a difference of two
is paired, image by image. Training seeds are few, so they are not resampled: how they vary enters
an interval by Student's t (`lib.results.comparison`). Where seeds are folds the mean over them is
over all images, and how folds vary tells of networks and images at once.
"""

import copy
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property, lru_cache
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.stats import norm

from lib import margins
from lib.results.comparison import Comparison
from lib.statistics import bootstrap, ranking
from lib.study.files import read_table
from lib.study.run import Run
from lib.study.schema import split_cell
from lib.study.study import Study
from lib.voting import verdicts
from lib.voting.quirks import Verdicts
from lib.voting.rules import RULES


class MissingVerdicts(margins.RunError):
    """A vote has not been taken yet; the message names the notebook that takes it."""


MEASURES = ("accuracy", "auc")


class Question(NamedTuple):
    """Which accuracy, or AUC, is meant."""

    patch_size: int
    rule: str  # of `lib.voting.rules`, or `none`: each patch by itself
    test: str | None = None  # the test cell; the training cell if None
    theta: float | None = None  # of the confident vote, in the reading that the study leads with


class Outcomes(NamedTuple):
    """How often each test image is right, in one or more epochs."""

    labels: np.ndarray  # uint8 (N,)
    right: np.ndarray
    """float64 or bool (E, N): whether its verdict is right; of patches, the share that is."""
    counted: np.ndarray | None  # bool (E, N): the images with a verdict; None if all have one
    scores: np.ndarray | None = None
    """By which images, (N,), or patches, (N, P), are ranked; None where only a table knows."""


Teller = Callable[[Run, Question], Outcomes]


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
    labels, scores = table["label"].to_numpy(), table["score"].to_numpy(np.float64)
    if question.rule == "none":
        said = Verdicts(scores[None], None)
        return Outcomes(labels, said.right(labels), None)
    counted = table["fake"].notna().to_numpy()
    right = table["fake"].fillna(False).to_numpy(bool) == labels.astype(bool)
    return Outcomes(labels, right[None], None if counted.all() else counted[None], scores)


def _experiment(run: Run, question: Question) -> int:
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
        self.measure = MEASURES[0]
        # Of this family, and so of those that `by` makes of it.
        self._drawn = lru_cache(maxsize=None)(self._draws)
        self._known = lru_cache(maxsize=None)(self._learned)

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
        named = ("dataset", "gan", "test_dataset", "test_gan")
        cells = dict(
            zip(named, split_cell(self.train) + split_cell(test or self.train), strict=True)
        )
        return Run(study=self.study, patch_size=patch_size, seed=seed, **cells)

    def of_seed(self, question: Question, seed: int) -> Outcomes:
        """How often one network is right on each image; raises MissingVerdicts."""
        return self.outcomes(self.run(question.patch_size, seed, question.test), question)

    @cached_property
    def learned(self) -> list[int]:
        """The sizes whose networks learned something, of every seed, from large to small.

        Of those the per-patch AUC on the validation images is above one half by its interval; where
        none were scored, it is taken for granted.
        """
        return [size for size in self.sizes if all(self._known(size, s) for s in self.seeds)]

    def _learned(self, size: int, seed: int) -> bool:
        run, settings = self.run(size, seed), self.study.bootstrap
        # That it was made as the study says was asked when the tables were read.
        held_out = margins.stored(run, run.train, "validation", epoch=margins.validated(run))
        if not len(held_out.labels):  # of another detector's scores, which may lack them
            return True
        resampled = _resampled(held_out.labels.tobytes(), settings.resamples, (settings.seed,))
        auc = ranking.auc(held_out.margins[0], held_out.labels, resampled)
        return bootstrap.interval(auc[1:])[0] > 0.5

    def by(self, measure: str) -> "Family":
        """The same, whose draws are of one of `MEASURES`; accuracies unless it is asked for."""
        family = copy.copy(self)
        family.measure = measure
        return family

    def draws(self, question: Question) -> np.ndarray:
        """The measure of each seed: float64 (K, 1 + B)."""
        return self._drawn(question, self.measure)

    def _draws(self, question: Question, measure: str) -> np.ndarray:
        settings, drawn = self.study.bootstrap, []
        for seed in self.seeds:
            outcomes = self.of_seed(question, seed)
            run = self.run(question.patch_size, seed, question.test)
            fold = run.fold(run.test)  # each has resamples of its own, since its images are others
            by = (settings.seed,) if fold is None else (settings.seed, fold)
            resampled = _resampled(outcomes.labels.tobytes(), settings.resamples, by)
            if measure == "auc":
                drawn.append(self._auc(question, seed, outcomes, resampled))
            else:
                of_epochs = bootstrap.draws(outcomes.right, outcomes.counted, resampled)
                drawn.append(of_epochs.max(axis=-1))
        return np.stack(drawn)

    def _auc(
        self, question: Question, seed: int, outcomes: Outcomes, resampled: np.ndarray
    ) -> np.ndarray:
        """float64 (1 + B,); of single patches, from their table's interval, as if normal.

        Sizes' draws are then independent: a difference's interval is wider than if it were paired.
        Seeds that judge the same images share them, as they share resamples elsewhere.
        """
        if outcomes.scores is not None:
            return ranking.auc(outcomes.scores, outcomes.labels, resampled)
        run = self.run(question.patch_size, seed, question.test)
        path = run.table(_experiment(run, question))
        rows = read_table(path) if path.is_file() else pd.DataFrame(columns=["rule", "statistic"])
        rows = rows[(rows["rule"] == question.rule) & (rows["statistic"] == "auc")]
        if rows.empty:
            raise MissingVerdicts(f"{path}: no AUC in it. Run the notebook of Experiment 1 first")
        value, low, high = rows.iloc[0][["value", "low", "high"]].astype(float)
        error = (high - low) / (2 * norm.ppf((1 + bootstrap.LEVEL) / 2))
        fold = run.fold(run.test)
        of_images = () if fold is None else (fold,)
        generator = np.random.default_rng((question.patch_size, *of_images))
        return np.append(value, generator.normal(value, error, len(resampled)))

    def pooled(self, question: Question) -> np.ndarray:
        """The mean over seeds, float64 (1 + B,)."""
        return self.draws(question).mean(axis=0)

    def compare(
        self,
        text: str,
        quantity: Callable,
        *questions: Question,
        words: tuple[str, str] = ("more", "less"),
        bound: float = 0.0,
    ) -> Comparison:
        """A quantity made of the measures that `questions` ask for, in their order."""
        drawn = np.stack([self.draws(question) for question in questions])  # (Q, K, 1 + B)
        counts = [len(self.of_seed(questions[0], seed).labels) for seed in self.seeds]
        run = self.run(questions[0].patch_size, self.seeds[0], questions[0].test)
        images = counts[0] if run.fold(run.test) is None else sum(counts)
        return Comparison(text, words, quantity(*drawn), bound, images)


@lru_cache(maxsize=8)
def _resampled(labels: bytes, resamples: int, seed: tuple[int, ...]) -> np.ndarray:
    """`bootstrap.resample`, drawn once for all questions about the same images."""
    return bootstrap.resample(np.frombuffer(labels, np.uint8), resamples, seed)
