"""What claims and ablations compare: accuracies with all their resamples, pooled over seeds.

An accuracy is an array (1 + B,): as observed, then in each of B resamples of the test images.
The resamples are the same for all networks, sizes and rules of a test cell, so a difference of
two accuracies is paired, image by image. Where a study has several training seeds they are drawn
again too, so that an interval covers both the images and the training.
"""

from collections.abc import Callable
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from lib import metrics, quirks, runs
from lib.quirks import Judged
from lib.study import Run, Study


class Question(NamedTuple):
    """Which accuracy is meant."""

    patch_size: int
    rule: str
    test: str | None = None
    """The test cell; the training cell if None."""
    theta: float | None = None
    """Of the confident vote."""


class Comparison(NamedTuple):
    """A quantity made of accuracies; a claim says that it is above zero."""

    name: str
    draws: np.ndarray
    """(1 + B,)."""
    seeds: tuple[float, ...]
    """The quantity in each training seed by itself."""

    @property
    def value(self) -> float:
        """As observed, the mean over the seeds."""
        return float(self.draws[0])

    def interval(self, level: float = metrics.LEVEL) -> tuple[float, float]:
        """Its percentile interval."""
        return metrics.interval(self.draws[1:], level)


class Evidence:
    """The accuracies of one family of networks: a variant of a study, trained on one cell."""

    def __init__(self, study: Study, train: str, statistic: str = "validated") -> None:
        """Prepares.

        Args:
            study: with its variant applied, from `lib.params.load`.
            train: the training cell.
            statistic: `validated`, or `top1`, the best epoch on the test images.
        """
        self.study, self.train, self.statistic = study, train, statistic
        self._draws = lru_cache(maxsize=None)(self._compute)

    @cached_property
    def seeds(self) -> list[int]:
        """The training seeds for which every patch size is finished."""
        return [
            seed
            for seed in self.study.seeds
            if all(self.run(size, seed).is_finished for size in self.sizes)
        ]

    @cached_property
    def sizes(self) -> list[int]:
        """The patch sizes of which any network is finished, from large to small."""
        found = {
            size
            for size in self.study.patch_sizes
            for seed in self.study.seeds
            if self.run(size, seed).is_finished
        }
        return sorted(found, reverse=True)

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

    def run(self, patch_size: int, seed: int) -> Run:
        """The run of one network."""
        dataset, _, gan = self.train.partition("-")
        where = {"dataset": dataset, "gan": gan, "patch_size": patch_size, "seed": seed}
        return Run(study=self.study, **where)

    def draws(self, question: Question) -> np.ndarray:
        """An accuracy of each seed: float64 (K, 1 + B)."""
        return self._draws(question)

    def _compute(self, question: Question) -> np.ndarray:
        return np.stack([self._of_seed(question, seed) for seed in self.seeds])

    def _of_seed(self, question: Question, seed: int) -> np.ndarray:
        labels, judged = self.judged(question, seed)
        bootstrap = self.study.bootstrap
        resampled = _resampled(labels.tobytes(), bootstrap.resamples, bootstrap.seed)
        # of one epoch unless the statistic is top1, which picks its epoch in each resample
        return metrics.draws(judged.right, judged.counted, resampled).max(axis=-1)

    def judged(self, question: Question, seed: int) -> tuple[np.ndarray, Judged]:
        """Which images one network judges rightly: labels uint8 (N,), and (E, N) of each epoch.

        E is 1, the validated epoch, unless the statistic is `top1`.
        """
        run = self.run(question.patch_size, seed)
        kind = "crops" if question.rule == "crops" else "grid"
        epoch = runs.validated(run) if self.statistic == "validated" else None
        scored = runs.load_margins(run, question.test or self.train, kind=kind, epoch=epoch)
        margins, labels, switches = scored.margins, scored.labels, self.study.quirks
        return labels, quirks.judge(margins, labels, question.rule, switches, question.theta)

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

    def compare(
        self, name: str, quantity: Callable[..., np.ndarray | float], *questions: Question
    ) -> Comparison:
        """A quantity made of the accuracies that `questions` ask for, in their order."""
        observed = zip(*(self.draws(question)[:, 0] for question in questions), strict=True)
        seeds = tuple(float(quantity(*accuracies)) for accuracies in observed)
        return Comparison(name, quantity(*map(self.pooled, questions)), seeds)


@lru_cache(maxsize=8)
def _resampled(labels: bytes, resamples: int, seed: int) -> np.ndarray:
    """`lib.metrics.resample`, drawn once for all questions about the same images."""
    return metrics.resample(np.frombuffer(labels, np.uint8), resamples, seed)
