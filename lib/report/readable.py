"""Numbers as tables to read: per cent with their intervals, one beside the other."""

import numpy as np
import pandas as pd

from lib.statistics.accuracy import EPOCH_STATISTICS


def percent(value: float, low: float = np.nan, high: float = np.nan) -> str:
    """A share in [0, 1] as per cent, with its interval if it has one."""
    if pd.isna(value):
        return "—"
    interval = "" if pd.isna(low) else f" [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * value:.1f}{interval}"


def decimals(value: float, low: float, high: float, places: int) -> str:
    """A number with so many decimals, and its interval if it has one."""
    interval = "" if pd.isna(low) else f" [{low:.{places}f}, {high:.{places}f}]"
    return f"{value:.{places}f}{interval}"


def points(value: float, low: float, high: float) -> str:
    """A difference in [−1, 1] as percentage points, with its interval."""
    return f"{100 * value:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"


def side_by_side(
    rows: pd.DataFrame,
    index: list[str],
    across: str = "statistic",
    wanted: tuple[str, ...] = EPOCH_STATISTICS,
) -> pd.DataFrame:
    """Tidy rows as a table to read: a line per `index`, a column per wanted value of `across`.

    Texts: per cent, with the interval in brackets. Lines of one seed do not name it.
    """
    shown = rows[rows[across].isin(wanted)]
    numbers = shown[["value", "low", "high"]].itertuples(index=False)
    shown = shown.assign(text=[percent(*row) for row in numbers])
    lines = [name for name in index if name != "seed" or shown["seed"].nunique() > 1]
    wide = shown.pivot(index=lines, columns=across, values="text")
    columns = [name for name in wanted if name in wide.columns]
    # Largest first, but for seeds; pandas wants no list where the index has one level.
    upwards = [name == "seed" for name in lines]
    return wide[columns].sort_index(ascending=upwards if len(lines) > 1 else upwards[0])
