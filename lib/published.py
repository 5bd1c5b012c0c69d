"""The paper's numbers: Tables 1 to 4 of Lee and Park (2022), as transcribed in reports/published.

Tables 5 and 6 exist only as pictures on the authors' page; their numbers are not known here.
"""

from collections.abc import Mapping

import pandas as pd

from lib import paths

TITLES = {
    1: "Accuracy of judging each patch",
    2: "Accuracy of the vote over non-overlapping patches",
    3: "Accuracy of the vote over random crops",
    4: "Accuracy of the vote over confident patches",
    5: "Other content: not available as numbers",
    6: "Another generator: not available as numbers",
}
STATISTICS = ("top1", "top5", "average")


def tables() -> pd.DataFrame:
    """All published accuracies: table, patch_size, theta, statistic, value in [0, 1]."""
    found = pd.read_csv(paths.PUBLISHED / "tables.csv")
    return found.assign(value=found.pop("accuracy_percent") / 100)


def table(number: int) -> pd.DataFrame:
    """One of Tables 1 to 4 in per cent: a line per patch size (and θ), a column per statistic.

    Raises:
        ValueError: for Tables 5 and 6, which are not available as numbers.
    """
    if number not in (1, 2, 3, 4):
        raise ValueError(f"table: got {number}; only 1, 2, 3 and 4 are available as numbers")
    rows = tables().query("table == @number")
    index = ["patch_size", "theta"] if number == 4 else ["patch_size"]
    wide = rows.pivot(index=index, columns="statistic", values="value")[list(STATISTICS)]
    return (100 * wide).round(2).sort_index(ascending=False)


def beside(ours: Mapping[str, pd.DataFrame], number: int) -> pd.DataFrame:
    """The paper's table and ours in one: the column group `paper`, then ours.

    Args:
        ours: by title, tables as `lib.tables.side_by_side` gives them, indexed as `table(number)`.
        number: the paper's table.
    """
    paper = table(number).map("{:.2f}".format)
    return pd.concat({"paper": paper, **ours}, axis=1).fillna("—").sort_index(ascending=False)
