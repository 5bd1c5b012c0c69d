"""Findings on claims, and effects of quirks, as tables to read."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.report import figures
from lib.report.readable import points
from lib.results import claim_rules as rules
from lib.results import published_claims as published
from lib.results.accuracies import Family, MissingVerdicts, Question

MARKS = dict(zip(rules.FINDINGS, "✔✘?·–", strict=True))
ONE_ANSWER = 0.85
"""A vote that calls so large a share of all images the same has nearly one answer for all."""


def marked(finding: str, *, simulated: bool) -> str:
    """A finding as it may be said of these images: never stronger than the data."""
    judged = finding not in (rules.NOT_TESTED, rules.NOT_JUDGED)
    where = " in simulation" * (simulated and judged)
    few = f": fewer than {rules.LEAST_SEEDS} seeds" if finding == rules.NOT_JUDGED else ""
    return f"{MARKS[finding]} {finding}{where}{few}"


def to_read(findings: pd.DataFrame, *, simulated: bool) -> pd.DataFrame:
    """What the tested parts of claims, and claims of several parts, come to, and by what.

    `findings` are the rows of one family in `lib.results.claims.table`. Each finding stands beside
    that by ranking, and that of the same rules on the paper's own numbers.
    """
    parts = findings.groupby(["claim", "measure"])["says"].transform("size") - 1
    alone = (findings["says"] == "") & (parts == 1)  # the claim is its only part
    key = ["claim", "says"]
    rows = findings[~alone & (findings["finding"] != rules.NOT_TESTED)]
    ranked = rows[rows["measure"] == "auc"].set_index(key)["finding"]
    rows = rows[rows["measure"] == "accuracy"]
    papers = published.read().set_index(key)["finding"]
    lines = []
    for row in rows.itertuples():
        by_rank, on_paper = (
            known.get((row.claim, row.says), rules.NOT_TESTED) for known in (ranked, papers)
        )
        here, ranks = (marked(each, simulated=simulated) for each in (row.finding, by_rank))
        opposite = {by_rank, row.finding} == {rules.SUPPORTED, rules.CONTRADICTED}
        if opposite and row.claim != "C1":  # which is about patches
            ranks += ", so the threshold of images does it"
        papers_own = marked(on_paper, simulated=False)
        papers_own += " (the paper contradicts itself)" * (on_paper == rules.CONTRADICTED)
        decides = shown = ""
        if not pd.isna(row.value):  # the interval in the direction that is told
            low, high = sorted(np.copysign(100, row.value) * end for end in (row.low, row.high))
            decides = f"{row.turns_on} [{low:.1f} to {high:.1f}]"
            shown = f"{100 * row.detectable:.1f}"
        says = row.says or "all of it"
        lines.append((row.claim, says, here, ranks, papers_own, decides, shown))
    columns = ["claim", "the paper says", "here", "by ranking", "on the paper's numbers"]
    columns += ["what decides", "could have shown"]
    return pd.DataFrame(lines, columns=columns).set_index(columns[:2])


def untested(findings: pd.DataFrame) -> str:
    """The claims, and parts of claims, that a family does not test, in one line."""
    rows = findings[(findings["measure"] == "accuracy") & (findings["finding"] == rules.NOT_TESTED)]
    wholes = rows[rows["says"] == ""]["claim"]
    parts = rows[~rows["claim"].isin(wholes)]
    return "; ".join([*wholes, *(f"{part.claim} {part.says}" for part in parts.itertuples())])


def one_answer(family: Family) -> list[str]:
    """A sentence for each size whose vote over crops nearly gives one answer for every image."""
    lines = []
    for size in family.smaller:
        try:
            voted = [family.of_seed(Question(size, "crops"), seed) for seed in family.seeds]
        except MissingVerdicts:
            continue
        right = np.array(
            [[v.right[0][v.labels == label].mean() for label in (0, 1)] for v in voted]
        )
        tnr, tpr = right.mean(axis=0)
        if max(tpr + 1 - tnr, 1 - tpr + tnr) / 2 >= ONE_ANSWER:
            lines.append(
                f"At {size} px the vote over crops has nearly one answer for every image: it calls "
                f"{100 * tpr:.0f} % of the fakes and {100 * (1 - tnr):.0f} % of the reals fake."
            )
    return lines


def effect_table(effects: pd.DataFrame, statistic: str = "validated") -> pd.DataFrame:
    """The effects of quirks as a table to read: a line per quirk and size, a column per experiment.

    Experiment 4 is shown at the smallest θ; each test cell of Experiment 5 has its own column. What
    cannot change is a bare 0, and a line in which nothing can is left out.
    """
    rows = _shown(effects, statistic)
    rows = rows[rows["seed"].isna()]
    numbers = rows[["difference", "low", "high"]]
    text = [points(*row) if any(row) else "0" for row in numbers.itertuples(index=False)]
    index = ["variant", "baseline", "patch_size"]
    wide = rows.assign(text=text).pivot(index=index, columns="column", values="text")
    order = pd.MultiIndex.from_frame(rows[index].drop_duplicates())
    wide = wide.reindex(order).sort_index(axis=1).fillna("")
    return wide[~wide.isin(["", "0"]).all(axis=1)]


def effect_figure(effects: pd.DataFrame) -> Figure:
    """The effects at the validated epoch, a panel per experiment, seeds as points."""
    return figures.effects(_shown(effects, "validated"))


def _shown(effects: pd.DataFrame, statistic: str) -> pd.DataFrame:
    """The rows of one statistic, of Experiment 4 the smallest θ; `column` names what they are."""
    rows = effects[effects["statistic"] == statistic]
    smallest = rows.groupby("variant")["theta"].transform("min")
    rows = rows[rows["theta"].isna() | (rows["theta"] == smallest)]
    cells = (", " + rows["test"]).where(rows["experiment"] == 5, "")
    return rows.assign(column="Exp. " + rows["experiment"].astype(str) + cells)
