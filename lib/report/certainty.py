"""How far the numbers can be trusted: thresholds, calibration, dependent votes, paired tests."""

from collections.abc import Sequence
from contextlib import suppress
from itertools import product

import numpy as np
import pandas as pd
from scipy.special import expit

from lib.report.families import LINES, matched, validated_margins
from lib.report.readable import decimals, percent, points, side_by_side
from lib.results import paired_tests
from lib.results.accuracies import Family, MissingVerdicts
from lib.results.comparison import Comparison
from lib.statistics import calibration
from lib.study.run import Run
from lib.voting import verdicts
from lib.voting.rules import RULES

CALIBRATION = ("auc", "eer", "tpr_at_1fpr", "brier", "ece")
CHOSEN = {
    "validated": "validated epoch",
    "validation_threshold": "… threshold chosen on validation",
    "top1": "best epoch on the test images",
    "test_threshold": "best epoch and threshold on them",
    "gap": "gap, points",
}
VOTES = {
    "patches": "patches",
    "rho": "ρ",
    "effective_votes": "independent votes",
    "single": "per patch",
    "validated": "vote, measured",
    "vote_if_independent": "vote if independent",
    "vote_if_correlated": "vote with ρ",
}
PAIRED = {"only_first": "only first", "only_second": "only second", "p_holm": "p, Holm"}


def thresholds(rows: pd.DataFrame) -> pd.DataFrame:
    """What choosing epoch and threshold on the test images is worth, of rules that have both.

    The gap lies between what is chosen on validation and the best on the test images.
    """
    rows = matched(rows)
    rows = rows[rows["rule"].isin(rows["rule"][rows["statistic"] == "test_threshold"])]
    wide = rows.pivot(index=LINES, columns="statistic", values="value")
    if wide.empty:
        return wide
    gap = (wide["test_threshold"] - wide["validation_threshold"]).rename("value").reset_index()
    rows = pd.concat([rows, gap.assign(statistic="gap")])
    return side_by_side(rows, LINES, wanted=tuple(CHOSEN)).rename(columns=CHOSEN)


def calibrated(rows: pd.DataFrame) -> pd.DataFrame:
    """Ranking and calibration of every rule of a family, with intervals."""
    rows = matched(rows)
    rows = rows[rows["statistic"].isin(CALIBRATION)]
    texts = [decimals(row.value, row.low, row.high, 3) for row in rows.itertuples()]
    wide = rows.assign(text=texts).pivot(index=LINES, columns="statistic", values="text")
    return _downwards(wide.reindex(columns=CALIBRATION))


def reliability(networks: Sequence[Run]) -> pd.DataFrame:
    """The points of reliability diagrams, of patches, and of images by each rule over the grid.

    Tidy: `unit`, `patch_size`, `seed`, `stated` and `observed` in [0, 1], `count`.
    """
    tables = []
    for run in networks:
        scored = validated_margins(run)
        stated = {"patches": (expit(scored.margins[0]), scored.labels)}
        with suppress(FileNotFoundError):  # nothing votes on whole images
            for name, said in verdicts.read(run, 2).groupby("rule", sort=False):
                if rule := RULES.get(name):
                    probabilities = rule.probability(said["score"].to_numpy(np.float64))
                    stated[f"images by {rule.title}"] = probabilities, said["label"].to_numpy()
        for unit, (probabilities, labels) in stated.items():
            points = calibration.reliability(probabilities, labels)
            tables.append(points.assign(unit=unit, patch_size=run.patch_size, seed=run.seed))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def votes_worth(rows: pd.DataFrame) -> pd.DataFrame:
    """How many independent votes an image's patches are worth in a family, and would give."""
    own, index = matched(rows), ["patch_size", "seed"]
    votes = own[own["rule"] == "grid"]
    wide = votes.pivot(index=index, columns="statistic", values="value")
    if "error_correlation" not in wide:
        return pd.DataFrame()
    table = wide.reindex(columns=list(VOTES)[2:]).map(percent)
    counts = votes.groupby(index)[["n_patches", "n_images"]].first()
    table["patches"] = counts["n_patches"] // counts["n_images"]
    table["effective_votes"] = wide["effective_votes"].map("{:.1f}".format, na_action="ignore")
    rho = votes[votes["statistic"] == "error_correlation"].set_index(index)
    texts = [decimals(row.value, row.low, row.high, 2) for row in rho.itertuples()]
    table["rho"] = pd.Series(texts, rho.index).mask(rho["value"].isna())
    single = own[(own["rule"] == "none") & (own["statistic"] == "validated")].set_index(index)
    table["single"] = single["value"].map(percent)
    return _downwards(table.rename(columns=VOTES)[list(VOTES.values())])


def paired(family: Family) -> pd.DataFrame:
    """Patch sizes against each other and rules against the grid vote, as texts, seed by seed."""
    table = paired_tests.comparisons(family)
    table["difference"] = (100 * table["difference"]).map("{:+.1f}".format)
    table["p_holm"] = table["p_holm"].map("{:.2g}".format) if len(table) else ""
    table = table.set_index(["first", "second"]).rename(columns=PAIRED)
    shown = ["difference", *PAIRED.values()]
    name = "all folds" if family.study.data.folds else "seed {}"
    by_seed = {name.format(seed): lines[shown] for seed, lines in table.groupby("seed")}
    return pd.concat(by_seed, axis=1) if by_seed else table


def against(scored: Family, ours: Family) -> pd.DataFrame:
    """By how much another detector is right on more of the images than our networks, in points.

    A line for each size of what it scored, a column for each of ours; paired, image by image.
    """
    if scored.study.data.folds and scored.seeds != ours.seeds:
        return pd.DataFrame()
    lines: dict[int, dict[str, str]] = {}
    for own, size in product(scored.sizes, ours.sizes):
        with suppress(MissingVerdicts):
            more = scored.draws(scored.image(own)) - ours.draws(ours.image(size))
            more = Comparison("", ("more", "less"), more)
            lines.setdefault(own, {})[f"{size} px"] = points(more.value, *more.interval())
    return pd.DataFrame(lines).T.rename_axis("patch_size")


def _downwards(table: pd.DataFrame) -> pd.DataFrame:
    """Patch sizes from large to small; seeds are not named where there is one."""
    table = table.sort_index(ascending=[name == "seed" for name in table.index.names])
    return table if table.index.unique("seed").size > 1 else table.droplevel("seed")
