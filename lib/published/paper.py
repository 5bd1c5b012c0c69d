"""The paper's numbers: Tables 1 to 4 of Lee and Park (2022), as transcribed in reports/published.

Tables 5 and 6 exist only as pictures on the authors' page; their numbers are not known here.
"""

import pandas as pd

from lib.study import paths

STATISTICS = {"top1": "top-1", "top5": "top-5", "average": "average"}
"""The tables' columns, as files and as readers spell them."""


def tables() -> pd.DataFrame:
    """All published accuracies: table, patch_size, theta, statistic, value in [0, 1]."""
    numbers = pd.read_csv(paths.PUBLISHED / "tables.csv")
    return numbers.assign(value=numbers.pop("accuracy_percent") / 100)


def table(number: int) -> pd.DataFrame:
    """One of Tables 1 to 4 in per cent: a line per patch size (and θ), a column per statistic.

    Raises ValueError for Tables 5 and 6, which are not available as numbers.
    """
    if number not in (1, 2, 3, 4):
        raise ValueError(f"table: got {number}; only 1, 2, 3 and 4 are available as numbers")
    rows = tables().query("table == @number")
    index = ["patch_size", "theta"] if number == 4 else ["patch_size"]
    wide = rows.pivot(index=index, columns="statistic", values="value")[list(STATISTICS)]
    return (100 * wide).round(2).sort_index(ascending=False)
