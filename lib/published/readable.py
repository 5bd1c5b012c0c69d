"""The paper's numbers beside its logs as tables to read, in texts and in the paper's order."""

import pandas as pd

from lib.published import epoch_logs
from lib.published.paper import STATISTICS

OUTLINE = {"table": "table", "patch_size": "px", "theta": "θ"}
"""How the columns that tell lines of the paper's tables apart are headed."""
NOTES = {"rounded": "", "truncated": "cut", "differs": "differs"}
DIGITS = {"printed": "{:.2f}", "log": "{:.4f}", "difference": "{:+.4f}"}


def compared() -> pd.DataFrame:
    """`epoch_logs.recomputed` as texts, with a `note` where a number is not its log's, rounded."""
    rows = epoch_logs.recomputed()
    texts = rows.assign(**{name: rows[name].map(form.format) for name, form in DIGITS.items()})
    texts["difference"] = texts["difference"].str.replace("-", "−")
    texts["statistic"], texts["note"] = rows["statistic"].map(STATISTICS), rows["how"].map(NOTES)
    return _outlined(texts)[[*OUTLINE.values(), "statistic", *DIGITS, "note"]]


def audit() -> pd.DataFrame:
    """All printed numbers beside their logs', a line per line of the paper's tables."""
    rows, line = compared(), list(OUTLINE.values())
    wide = _lines(rows, list(DIGITS))[[(s, name) for s in STATISTICS.values() for name in DIGITS]]
    noted = rows[rows["note"] != ""].groupby([*line, "note"])["statistic"].agg(", ".join)
    notes = (noted.index.get_level_values("note") + ": " + noted).groupby(line).agg("; ".join)
    wide["noted", ""] = notes.reindex(wide.index, fill_value="")
    return wide


def intervals() -> pd.DataFrame:
    """The best and the last epoch of each log of images, in per cent with their intervals."""
    rows = epoch_logs.intervals().query("theta != 1")  # θ = 1 is Table 2 again
    numbers = rows[["value", "low", "high"]].itertuples(index=False)
    texts = rows.assign(accuracy=["{:.2f} [{:.2f}, {:.2f}]".format(*line) for line in numbers])
    shown = [("top1", "accuracy"), ("top1", "epoch"), ("last", "accuracy")]
    return _lines(_outlined(texts), ["accuracy", "epoch"])[shown]


def _outlined(rows: pd.DataFrame) -> pd.DataFrame:
    theta = rows["theta"].map("{:g}".format).where(rows["theta"].notna(), "")
    return rows.assign(theta=theta).rename(columns=OUTLINE)


def _lines(rows: pd.DataFrame, values: list[str]) -> pd.DataFrame:
    """A line per line of the paper's tables, the statistics side by side."""
    wide = rows.pivot(index=list(OUTLINE.values()), columns="statistic", values=values)
    return wide.swaplevel(axis=1).sort_index(ascending=[True, False, False])
