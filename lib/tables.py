"""The tidy tables: one row per number, the same columns for every experiment. Needs no torch."""

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib import curves, metrics, paths, quirks, runs, voting
from lib.metrics import Estimate
from lib.quirks import Judged
from lib.study import Run, Study

COLUMNS = [
    *("experiment", "train", "test", "variant", "patch_size", "seed", "unit", "rule", "theta"),
    *("reading", "statistic", "value", "low", "high", "epoch", "n_epochs", "n_images", "n_patches"),
]
TEXT = dict.fromkeys(("train", "test", "variant", "unit", "rule", "reading", "statistic"), "str")
WHOLE_NUMBERS = dict.fromkeys(("epoch", "n_epochs", "n_images", "n_patches"), "Int64")


class Sheet:
    """The table of one experiment in the making: rules are added, then it is saved.

    All its intervals use the same resamples of the images, so that its rules can be compared.
    """

    def __init__(self, run: Run, experiment: int, scored: runs.Margins) -> None:
        """Prepares for margins (E, N, P) of the run's test cell."""
        self.run, self.experiment, self.scored = run, experiment, scored
        self.rows: list[dict[str, Any]] = []
        bootstrap = run.study.bootstrap
        self.resampled = metrics.resample(scored.labels, bootstrap.resamples, bootstrap.seed)
        self.validated = int(np.flatnonzero(scored.epochs == runs.validated(run))[0])

    def patches(self) -> pd.DataFrame:
        """Adds each patch's own verdict: rule `none`, or `whole` where it is the whole image."""
        if self.run.is_whole_image:
            return self.vote("whole")
        z, labels = self.scored.margins, self.scored.labels
        right = (z > 0) == labels[:, None].astype(bool)
        shares = right.mean(axis=-1)  # (E, N)
        self._add("patch", "none", Judged(shares, None), z[self.validated])
        return self.rule("none")

    def vote(self, rule: str) -> pd.DataFrame:
        """Adds a rule of `voting.SCORES`, in which all patches of an image vote.

        With the quirk `even_crops_ties_wrong`, crops vote as the released code has them.
        """
        margins, labels = self.scored.margins, self.scored.labels
        if rule == "crops":
            scores, judged = quirks.crops(margins, labels, self.run.study.quirks)
        else:
            scores = voting.SCORES[rule](margins)
            judged = quirks.by_verdict(scores, rule, labels)
        self._add("image", rule, judged, scores[self.validated])
        return self.rule(rule)

    def also(self, scored: runs.Margins) -> "Sheet":
        """A sheet of other margins of the same images, the crops', that adds to this table."""
        sheet = copy.copy(self)  # shares the rows
        sheet.scored = scored
        return sheet

    def confident(self, theta: float, vote: voting.ConfidentVote, reading: str) -> pd.DataFrame:
        """Adds the vote of the confident patches at one θ, with its coverage and fallback.

        Accuracies and rates are counted as the study's quirks say; AUC, EER and calibration are of
        the vote's own scores. Where quirks leave images out, `counted` is the share that is left.
        """
        at, labels = self.validated, self.scored.labels
        judged = quirks.confident(vote, self.scored.margins, labels, self.run.study.quirks)
        self._add("image", "confident", judged, vote.scores[at], theta, reading)
        shares = {
            "coverage": vote.kept[at] / self.scored.margins.shape[-1],
            "fallback": vote.fallback[at],
        }
        if judged.counted is not None:
            shares["counted"] = judged.counted[at]
        for statistic, share in shares.items():
            drawn = metrics.draws(share, None, self.resampled)
            estimate = Estimate(statistic, float(drawn[0]), *metrics.interval(drawn[1:]))
            self._append("image", "confident", theta, reading, estimate)
        return self.rule("confident", theta, reading)

    def right(self, rule: str) -> np.ndarray:
        """bool (N,): the images that a rule judges rightly at the validated epoch."""
        margins = self.scored.margins[self.validated][None]
        return quirks.judge(margins, self.scored.labels, rule, self.run.study.quirks).right[0]

    def _add(
        self,
        unit: str,
        rule: str,
        judged: Judged,
        scores: np.ndarray,
        theta: float | None = None,
        reading: str | None = None,
    ) -> None:
        """Adds all statistics of a rule; `scores` (N,) or (N, P) are the validated epoch's."""
        (right, counted), labels, at = judged, self.scored.labels, self.validated
        probabilities = voting.probabilities(scores, rule)
        found = [
            *metrics.over_epochs(right, self.scored.epochs, at, self.resampled, counted),
            *metrics.rates(
                right[at], labels, self.resampled, None if counted is None else counted[at]
            ),
            *curves.roc(scores, labels, self.resampled),
            *curves.calibration(probabilities, labels, self.resampled),
        ]
        for estimate in found:
            self._append(unit, rule, theta, reading, estimate)

    def _append(
        self, unit: str, rule: str, theta: float | None, reading: str | None, estimate: Estimate
    ) -> None:
        epochs, images, patches = self.scored.margins.shape
        found = estimate._asdict()
        if estimate.statistic not in metrics.EPOCH_STATISTICS:
            found["epoch"] = int(self.scored.epochs[self.validated])
        self.rows.append(
            {
                **dict(experiment=self.experiment, train=self.run.train, test=self.run.test),
                **dict(variant=self.run.variant, patch_size=self.run.patch_size),
                **dict(seed=self.run.seed, unit=unit, rule=rule, theta=theta, reading=reading),
                **found,
                **dict(n_epochs=epochs, n_images=images, n_patches=images * patches),
            }
        )

    def table(self) -> pd.DataFrame:
        """All rows so far, with the contract's columns."""
        return pd.DataFrame(self.rows, columns=COLUMNS).astype(WHOLE_NUMBERS)

    def rule(
        self, rule: str, theta: float | None = None, reading: str | None = None
    ) -> pd.DataFrame:
        """One rule's rows, of one θ in one reading if given: statistic, value and interval."""
        table = self.table()
        chosen = table["rule"] == rule
        for column, value in (("theta", theta), ("reading", reading)):
            chosen &= True if value is None else table[column] == value
        return table.loc[chosen, ["statistic", "value", "low", "high", "epoch"]].set_index(
            "statistic"
        )

    def save(self) -> Path:
        """Writes the table where the contract has it, whole or not at all."""
        path = self.run.table(self.experiment)
        return paths.write_whole(path, lambda p: self.table().to_csv(p, index=False))


def read(study: Study, experiment: int | None = None) -> pd.DataFrame:
    """All tables that a study has so far, or those of one experiment; empty if there are none."""
    folder = f"exp{experiment or '*'}"
    files = sorted((paths.results(study.name) / "tables").glob(f"{folder}/*.csv"))
    tables = [pd.read_csv(file, dtype={**TEXT, **WHOLE_NUMBERS}) for file in files]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=COLUMNS)


def percent(value: float, low: float = np.nan, high: float = np.nan) -> str:
    """An accuracy in [0, 1] as per cent, with its interval if it has one."""
    if pd.isna(value):
        return "—"
    interval = "" if pd.isna(low) else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * value:.1f}{interval}"


def side_by_side(
    ours: pd.DataFrame,
    index: list[str],
    across: str = "statistic",
    wanted: tuple[str, ...] = metrics.EPOCH_STATISTICS,
) -> pd.DataFrame:
    """Our rows as a table to read: a line per `index`, a column per wanted value of `across`.

    Lines of one seed do not name it.

    Returns:
        Texts: per cent, with the interval in brackets.
    """
    shown = ours[ours[across].isin(wanted)].copy()
    shown["text"] = [
        percent(*row) for row in shown[["value", "low", "high"]].itertuples(index=False)
    ]
    lines = [name for name in index if name != "seed" or shown["seed"].nunique() > 1]
    wide = shown.pivot(index=lines, columns=across, values="text")
    upwards = [name == "seed" for name in lines]
    return wide[[name for name in wanted if name in wide.columns]].sort_index(ascending=upwards)
