"""Findings on claims, and effects of quirks, as tables to read."""

import pandas as pd
from matplotlib.figure import Figure

from lib.report import figures
from lib.report.readable import points
from lib.results.claim_rules import CONTRADICTED, NOT_TESTED, SUPPORTED, UNDECIDED

MARKS = {SUPPORTED: "✔", CONTRADICTED: "✘", UNDECIDED: "?", NOT_TESTED: "–"}


def marked(finding: str, *, simulated: bool) -> str:
    """A finding as it may be said of these images: never stronger than the data."""
    where = " in simulation" if simulated and finding != NOT_TESTED else ""
    return f"{MARKS[finding]} {finding}{where}"


def to_read(findings: pd.DataFrame, *, simulated: bool) -> pd.DataFrame:
    """What the tested parts of claims, and claims of several parts, come to, and by what.

    `findings` are the rows of one family in `lib.results.claims.table`.
    """
    parts = findings.groupby("claim")["says"].transform("size") - 1
    alone = (findings["says"] == "") & (parts == 1)  # the claim is its only part
    rows = findings[~alone & (findings["finding"] != NOT_TESTED)]
    turns = zip(rows["value"], rows["low"], rows["high"], strict=True)
    shown = {
        "claim": rows["claim"],
        "the paper says": rows["says"].replace("", "all of it"),
        "here": [marked(finding, simulated=simulated) for finding in rows["finding"]],
        "points [95 %]": ["" if pd.isna(each[0]) else points(*each) for each in turns],
        "turns on": rows["turns_on"].fillna(""),
    }
    return pd.DataFrame(shown).set_index(["claim", "the paper says"])


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
