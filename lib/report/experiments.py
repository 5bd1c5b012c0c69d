"""The five experiments as tables to read and figures, from a family's tidy rows."""

from collections.abc import Mapping
from contextlib import suppress

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.special import expit

from lib.data import packed, perturbations
from lib.published import paper
from lib.report import figures
from lib.report.families import EACH_CROP, LINES, leading, validated_margins
from lib.report.page import NAMES
from lib.report.readable import percent, points, side_by_side
from lib.results.accuracies import Family, MissingVerdicts
from lib.results.strata import KEYS, by_stratum
from lib.study.run import Run
from lib.study.study import Study

PAPERS = {1: ("none", "whole"), 2: ("grid",), 3: ("crops",), 4: ("confident",)}
"""The rules in the paper's Tables 1 to 4."""
PAPERS_TOP1 = "paper, top-1"
APART = "|TPR − (1 − TNR)|"
"""0 where a vote calls as many of the fakes fake as of the reals: one answer for every image."""
RATES = (PAPERS_TOP1, "top1", "validated", "auc", "tpr", "tnr")


def accuracy_figure(study: Study, rows: pd.DataFrame, hue: str, title: str) -> Figure:
    """Accuracies by patch size, a line per `hue`."""
    whole = f"patch size, px ({study.data.image_size} is the whole image)"
    title = "Simulated: " * study.simulated + title
    return figures.intervals(rows, "patch_size", hue, xlabel=whole, title=title)


def of_experiment(rows: pd.DataFrame, number: int) -> pd.DataFrame:
    """The rows of one of Experiments 1 to 4, in the reading of θ that leads."""
    return rows[(rows["experiment"] == number) & rows["leads"]]


def rates(study: Study, rows: pd.DataFrame, number: int) -> pd.DataFrame:
    """One experiment's rules, at the smallest θ, and the paper's best epoch beside ours.

    Beside a size stands the paper's that it counts as, see `Study.in_paper`.
    """
    rows, keys = leading(of_experiment(rows, number)), ["in_paper", "theta"]
    printed = paper.tables().query("table == @number and statistic == 'top1'")
    printed = printed.rename(columns={"patch_size": "in_paper"})[[*keys, "value"]]
    ours = rows[rows["rule"].isin(PAPERS[number]) & (rows["statistic"] == "top1")]
    ours = ours.assign(in_paper=ours["patch_size"].map(study.in_paper))
    theirs = ours.drop(columns=["value", "low", "high"]).merge(printed, on=keys)
    rows = pd.concat([rows, theirs.assign(statistic=PAPERS_TOP1), _apart(rows)])
    return side_by_side(rows, LINES, wanted=(*RATES, APART)).fillna("—")


def _apart(rows: pd.DataFrame) -> pd.DataFrame:
    """Of Experiment 3, a row for each rule with how far its answers to fakes and reals differ."""
    crops = rows[rows["rule"].str.startswith("crops") & rows["statistic"].isin(("tpr", "tnr"))]
    keys = [*LINES, "train", "test", "variant", "rule"]
    wide = crops.pivot(index=keys, columns="statistic", values="value").reset_index()
    if wide.empty:
        return wide
    return wide.assign(statistic=APART, value=abs(wide["tpr"] - (1 - wide["tnr"])))


def beside(study: Study, rows: pd.DataFrame, number: int) -> pd.DataFrame:
    """The paper's table of one of Experiments 1 to 4 beside ours, seed by seed, or of all folds.

    The paper's sizes are those that count as them here, see `Study.in_paper`.
    """
    rows = of_experiment(rows, number)
    index = ["patch_size", "theta"] if number == 4 else ["patch_size"]
    by_seed = rows[rows["rule"].isin(PAPERS[number])].groupby("seed")
    name = "here" if study.data.folds else "here, seed {}"
    ours = {name.format(seed): side_by_side(of_seed, index) for seed, of_seed in by_seed}
    side = study.data.image_size
    here = lambda size: size * side // study.in_paper(side)  # noqa: E731
    printed = paper.table(number).map("{:.2f}".format).rename(index=here, level="patch_size")
    tables = {"paper": printed, **ours}
    return pd.concat(tables, axis=1).fillna("—").sort_index(ascending=False)


def other_rules(rows: pd.DataFrame, number: int) -> pd.DataFrame:
    """Over the epochs, one experiment's rules that the paper does not have."""
    rows = of_experiment(rows, number)
    return side_by_side(rows[~rows["rule"].isin(PAPERS[number])], LINES)


def experiment_figure(study: Study, rows: pd.DataFrame, number: int) -> Figure:
    """The paper's rule by patch size, a line per statistic; of Experiment 4 against θ, by size."""
    rows = of_experiment(rows, number)
    rows = rows[rows["rule"].isin(PAPERS[number])]
    if number != 4:
        rows = rows[rows["statistic"].isin(("top1", "average", "validated"))]
        rows = rows.assign(statistic=rows["statistic"].map(NAMES))
        return accuracy_figure(study, rows, "statistic", f"Experiment {number}")
    rows = rows[rows["statistic"] == "validated"].sort_values("patch_size", ascending=False)
    rows = rows.assign(size=rows["patch_size"].astype(str) + " px")
    title = "Simulated: " * study.simulated + "confident vote, validated epoch"
    xlabel = f"θ ({study.quirks.theta_reading})"
    return figures.intervals(rows, "theta", "size", xlabel=xlabel, title=title)


def readings(rows: pd.DataFrame) -> pd.DataFrame:
    """The confident vote in every reading of θ: accuracy, coverage and fallback."""
    shown = rows.query("experiment == 4 and rule == 'confident'")
    shown = shown[shown["statistic"].isin(("validated", "coverage", "fallback"))]
    shown = shown.assign(across=shown["reading"] + " · " + shown["statistic"])
    shown.loc[shown["statistic"] != "validated", "low"] = np.nan  # shown without interval
    wanted = tuple(shown["across"].drop_duplicates())
    wide = side_by_side(shown, ["patch_size", "seed", "theta"], "across", wanted)
    wide.columns = pd.MultiIndex.from_tuples(name.split(" · ") for name in wide.columns)
    return wide


def maps(run: Run, count: int = 4) -> Figure:
    """Each patch's P(fake) in test images, `count` of each class, below the pictures.

    The pictures are left out where the study says so, or where they are not packed any more.
    """
    scored = validated_margins(run)
    chosen = np.concatenate([np.flatnonzero(scored.labels == n)[:count] for n in (0, 1)])
    pictures = None
    if run.study.show_pictures and packed.stale(run.study, run.train) is None:
        pictures = packed.load(run.study, run.train).images[scored.image_index[chosen]]
    titles = [packed.CLASSES[label] for label in scored.labels[chosen]]
    return figures.overlay(pictures, expit(scored.margins[0, chosen]), titles)


def altered_cells(study: Study, train: str) -> dict[str, str]:
    """The training cell, and those of its altered test images, each by what was done to them."""
    altered = study.altered(train).items()
    return {train: "unaltered", **{cell: perturbations.title(how) for cell, how in altered}}


def on_cells(rows: pd.DataFrame, cells: Mapping[str, str]) -> pd.DataFrame:
    """Every rule on some test cells, tidy; the cells are in their order and called as told.

    Crops count as votes here, and not each by itself.
    """
    rows = leading(rows)
    rows = rows[rows["test"].isin(cells) & (rows["by"] != EACH_CROP)]
    order = rows["test"].map(list(cells).index)
    return rows.assign(test=rows["test"].map(cells)).iloc[np.argsort(order, kind="stable")]


def cells_table(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `on_cells`, of one family, as a table to read, the cells in their order."""
    wide = side_by_side(rows, ["test", *LINES], wanted=RATES[2:])
    return wide.reindex(rows["test"].unique(), level="test") if len(wide) else wide


def changes(family: Family, cells: Mapping[str, str]) -> pd.DataFrame:
    """What the alterations of `altered_cells` do to grid votes and whole images' verdicts.

    Texts: the paired change in points, altered minus unaltered; a line per patch size.
    """
    lines = {}
    for size in family.sizes:
        for cell, title in list(cells.items())[1:]:
            altered, plain = family.image(size, cell), family.image(size)
            with suppress(MissingVerdicts):
                change = family.compare(title, lambda a, b: a - b, altered, plain)
                lines.setdefault(size, {})[title] = points(change.value, *change.interval())
    return pd.DataFrame(lines).T.rename_axis("patch_size").fillna("")


def strata_table(family: Family) -> pd.DataFrame:
    """How well each group of pictures that names tell of is judged, by patch size: per cent.

    See `lib.results.strata`; empty where the study has no groups, or its images are not packed.
    """
    study, tables = family.study, {}
    if study.data.strata and packed.stale(study, family.train) is None:
        for size in family.sizes:
            try:
                rows = by_stratum(family, size).set_index([*KEYS, "images"])
            except FileNotFoundError:  # that vote was not taken yet
                continue
            numbers = rows[["auc", "low", "high"]].clip(0, 1).itertuples(index=False)
            aucs = [percent(*row) for row in numbers]
            tables[f"{size} px"] = pd.DataFrame({"right": rows["right"].map(percent), "AUC": aucs})
    return pd.concat(tables, axis=1) if tables else pd.DataFrame()
