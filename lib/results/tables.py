"""The tidy tables: one row per number, the same columns for every experiment. Needs no torch."""

import copy
from pathlib import Path

import numpy as np
import pandas as pd
from pydantic import ValidationError
from scipy.special import expit

from lib import margins as store
from lib.results.accuracies import Family
from lib.statistics import accuracy, bootstrap, calibration, dependence, ranking
from lib.statistics.bootstrap import Estimate
from lib.study import paths, reading
from lib.study.files import read_table
from lib.study.run import Run
from lib.study.schema import ParameterError
from lib.study.study import Study
from lib.voting import quirks, rules, verdicts
from lib.voting.quirks import Verdicts
from lib.voting.rules import RULES, Rule

COLUMNS = [
    *("experiment", "train", "test", "variant", "patch_size", "seed", "unit", "rule", "theta"),
    *("reading", "statistic", "value", "low", "high", "epoch", "n_epochs", "n_images", "n_patches"),
]
TEXT = dict.fromkeys(("train", "test", "variant", "unit", "rule", "reading", "statistic"), "str")
WHOLE_NUMBERS = dict.fromkeys(("epoch", "n_epochs", "n_images", "n_patches"), "Int64")
OF_RHO = 200
"""At most so many resamples for the interval of the error correlation, which is slow."""


class Sheet:
    """The table of one experiment in the making, and the verdicts behind it.

    All intervals use the same resamples of the images, so that rules can be compared.
    """

    def __init__(self, run: Run, experiment: int, scored: store.Margins) -> None:
        """Prepares for margins (E, N, P) of the run's test cell."""
        self.run, self.experiment, self.scored = run, experiment, scored
        self.numbers: list[tuple] = []
        self.verdicts: list[pd.DataFrame] = []
        settings = run.study.bootstrap
        self.resampled = bootstrap.resample(scored.labels, settings.resamples, settings.seed)
        self.validated = int(np.flatnonzero(scored.epochs == store.validated(run))[0])

    def patches(self) -> pd.DataFrame:
        """Adds each patch by itself: rule `none`, or `whole` where it is the whole image."""
        if self.run.is_whole_image:
            return self.vote("whole")
        margins = self.scored.margins
        said, at = self._verdicts(rules.EACH_PATCH, margins), margins[self.validated]
        return self._add(rules.EACH_PATCH, said, at, expit(at))

    def vote(self, rule: str | Rule) -> pd.DataFrame:
        """Adds a rule, by its name in `voting.rules.RULES` or one of your own; gives its rows.

        It counts as the study's quirks say; AUC, EER and calibration are of the rule's own scores.
        A rule that was added before is replaced. Where patches are chosen, `coverage` is the share
        that votes and `fallback` the share of images that have none; where quirks leave images out,
        `counted` is the share that is left.
        """
        rule = RULES[rule] if isinstance(rule, str) else rule
        said = self._verdicts(rule, self.scored.margins)
        score = said.score[self.validated]
        return self._add(rule, said, score, rule.probability(score))

    def thresholds(self, rule: str | Rule, held_out: store.Margins) -> None:
        """Adds what choosing the threshold is worth; `held_out` are the validation images' margins.

        `validation_accuracy` is the rule's own on these, by which sizes can be chosen.
        `validation_threshold` is the accuracy at the validated epoch with the threshold that is
        best on the validation images; `test_threshold` that of the best epoch and threshold on the
        test images, which no one who has only the pictures could reach. Nothing is added where no
        validation images were scored.
        """
        if not len(held_out.labels):
            return
        rule = RULES[rule] if isinstance(rule, str) else rule
        labels, at = self.scored.labels, self.validated
        scores, votes = rule.score(self.scored.margins), rule.score(held_out.margins)
        chosen = accuracy.best_threshold(votes[at], held_out.labels, rule.threshold)
        best = [accuracy.best_threshold(of_epoch, labels, rule.threshold) for of_epoch in scores]
        held_right = (votes[at] >= rule.threshold) == held_out.labels.astype(bool)
        self._append(rule, Estimate("validation_accuracy", float(held_right.mean())))
        right = {
            "validation_threshold": (scores[at] >= chosen) == labels.astype(bool),
            "test_threshold": (scores >= np.array(best)[:, None]) == labels.astype(bool),
        }
        for each in right.items():
            self._append(rule, self._share(*each))

    def dependence(self) -> pd.DataFrame:
        """Adds how many independent votes the patches of an image are worth; see there.

        `error_correlation`, with its interval; `effective_votes`; and the accuracy of the vote over
        the grid if patches erred independently (`vote_if_independent`), or with that correlation
        and all images of a class equally hard (`vote_if_correlated`).
        """
        z, labels = self.scored.margins[self.validated], self.scored.labels
        right = (z > 0) == labels[:, None].astype(bool)
        rho = dependence.error_correlation(right, labels)
        drawn = [np.repeat(np.arange(len(labels)), n.astype(int)) for n in self.resampled[:OF_RHO]]
        again = [dependence.error_correlation(right[rows], labels[rows]) for rows in drawn]
        numbers = [
            Estimate("error_correlation", rho, *bootstrap.interval(np.array(again))),
            Estimate("effective_votes", dependence.effective_votes(z.shape[1], rho)),
            Estimate("vote_if_independent", dependence.expected_vote(right, labels)),
            Estimate("vote_if_correlated", dependence.expected_vote(right, labels, rho)),
        ]
        for estimate in numbers:
            self._append(RULES["grid"], estimate)
        return self.rule("grid").loc[[estimate.statistic for estimate in numbers]]

    def also(self, scored: store.Margins) -> "Sheet":
        """A sheet of other margins of the same images, the crops', that adds to this table."""
        sheet = copy.copy(self)  # shares the rows
        sheet.scored = scored
        return sheet

    def right(self, rule: str | Rule) -> np.ndarray:
        """bool (N,): the images that a rule judges rightly at the validated epoch."""
        rule = RULES[rule] if isinstance(rule, str) else rule
        said = self._verdicts(rule, self.scored.margins[self.validated][None])
        return said.right(self.scored.labels)[0]

    def _verdicts(self, rule: Rule, margins: np.ndarray) -> Verdicts:
        return quirks.verdicts(rule, margins, self.scored.labels, self.run.study.quirks)

    def _add(
        self, rule: Rule, said: Verdicts, scores: np.ndarray, probabilities: np.ndarray
    ) -> pd.DataFrame:
        """Adds all statistics of a rule, and keeps its verdicts; gives its rows.

        Scores and probabilities, (N,) or of patches (N, P), are the validated epoch's.
        """
        labels, at = self.scored.labels, self.validated
        right, now = said.right(labels), None if said.counted is None else said.counted[at]
        shares = {}
        if rule.keep:
            keep = rule.keep(self.scored.margins[at])
            shares = {"coverage": keep.mean(axis=-1), "fallback": ~keep.any(axis=-1)}
        if now is not None:
            shares["counted"] = now
        for estimate in (
            *accuracy.over_epochs(right, self.scored.epochs, at, self.resampled, said.counted),
            *accuracy.rates(right[at], labels, self.resampled, now),
            *ranking.roc(scores, labels, self.resampled),
            *calibration.calibration(probabilities, labels, self.resampled),
            *(self._share(*each) for each in shares.items()),
        ):
            self._append(rule, estimate)
        rows = verdicts.rows(self.scored.image_index, labels, rule, said, at)
        own = ["rule", "theta", "reading"]
        same = [each[own].iloc[0].equals(rows[own].iloc[0]) for each in self.verdicts]
        self.verdicts[:] = [each for each, old in zip(self.verdicts, same, strict=True) if not old]
        self.verdicts.append(rows)
        return self.rule(rule.name, rule.theta, rule.reading)

    def _share(self, statistic: str, share: np.ndarray) -> Estimate:
        """A share of images, (N,), or the highest of all epochs', (E, N)."""
        drawn = bootstrap.draws(np.atleast_2d(share), None, self.resampled)
        return bootstrap.estimated(statistic, drawn.max(axis=-1))

    def _append(self, rule: Rule, estimate: Estimate) -> None:
        epochs, images, patches = self.scored.margins.shape
        if estimate.statistic not in accuracy.EPOCH_STATISTICS:
            estimate = estimate._replace(epoch=int(self.scored.epochs[self.validated]))
        unit, run = "patch" if rule is rules.EACH_PATCH else "image", self.run
        row = self.experiment, run.train, run.test, run.variant, run.patch_size, run.seed, unit
        row += rule.name, rule.theta, rule.reading, *estimate, epochs, images, images * patches
        key = slice(0, COLUMNS.index("statistic") + 1)
        self.numbers[:] = [each for each in self.numbers if each[key] != row[key]]
        self.numbers.append(row)

    def table(self) -> pd.DataFrame:
        """All rows so far, with the contract's columns."""
        return pd.DataFrame(self.numbers, columns=COLUMNS).astype(WHOLE_NUMBERS)

    def rule(
        self, rule: str, theta: float | None = None, reading: str | None = None
    ) -> pd.DataFrame:
        """One rule's rows, of one θ in one reading if given: statistic, value and interval."""
        table = self.table().set_index("statistic")
        for column, value in (("rule", rule), ("theta", theta), ("reading", reading)):
            table = table if value is None else table[table[column] == value]
        return table[["value", "low", "high", "epoch"]]

    def save(self) -> Path:
        """Writes the table where the contract has it, and the verdicts beside it, each whole."""
        verdicts.write(self.run, self.experiment, self.verdicts)
        path = self.run.table(self.experiment)
        return paths.write_whole(path, lambda p: self.table().to_csv(p, index=False))


def read(study: Study, experiment: int | None = None) -> tuple[pd.DataFrame, list[str]]:
    """The tables that a study has so far, or those of one experiment.

    That is the rows of networks that were made with the study's parameters as they are now, empty
    if there are none; and a line for each of the others, which are left out.
    """
    files = sorted((paths.results(study.name) / "tables").glob(f"exp{experiment or '*'}/*.csv"))
    tables = [read_table(file, dtype=TEXT | WHOLE_NUMBERS) for file in files]
    every = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)
    kept, left_out = [], []
    for key, rows in every.groupby(["train", "test", "variant", "patch_size", "seed"]):
        try:
            _require(study, *key)
            kept.extend(rows.index)
        except (ParameterError, store.RunError, ValidationError):
            train, test, variant, size, seed = key
            left_out.append(f"{train} on {test}, {variant}, {size} px, seed {seed}")
    return every.loc[sorted(kept)], left_out


def _require(study: Study, train: str, test: str, variant: str, patch_size: int, seed: int) -> None:
    """Raises unless a run's cells and size are the study's and its network as its file says."""
    named = variant in study.variants
    study = reading.load(study.name, variant) if named else study
    run = Family(study, train).run(patch_size, seed, test)
    if named or variant == study.variant:  # of an override's variant nothing is known to compare
        store.refuse_mixing(store.require(run), store.protocol(run))
