"""Where random crops fail, as tables and figures: see `lib.results.crop_places`."""

import pandas as pd
from matplotlib.figure import Figure

from lib.report import figures
from lib.report.readable import percent
from lib.results.crop_places import ORIGINS
from lib.results.pooled import over_seeds

LINES = {"auc": "AUC of the image", "tpr": "fakes found", "tnr": "reals passed"}


def displacements(displaced: pd.DataFrame) -> Figure:
    """What displacing the grid does, a panel per patch size and axis: mean over the networks."""
    rows = displaced.rename(columns={"distance": "displaced by, px"})
    axes = rows["axes"].replace("both", "down and across")
    rows["panel"] = rows["patch_size"].map("{} px, ".format) + axes
    keys = ["panel", "displaced by, px"]
    rows = rows.melt(keys, list(LINES), "statistic", "share").replace({"statistic": LINES})
    look = {"col_wrap": 3, "errorbar": None, "marker": "o", "facet_kws": {"sharey": True}}
    return figures.panels(rows, keys[1], "share", "panel", "statistic", **look)


def trained_and_tested(places: pd.DataFrame, statistic: str, by: str = "trained") -> pd.DataFrame:
    """A statistic of networks by size and `by`, where tested patches lie: per cent, as texts."""
    numbers = over_seeds(places, ["patch_size", by, "tested"], statistic)
    columns = ["value", "low", "high"]
    texts = [percent(*line) for line in numbers[columns].itertuples(index=False)]
    wide = pd.Series(texts, numbers.index).unstack("tested")[list(ORIGINS)]
    wide = wide.reindex(places[by].unique(), level=by).rename(columns="on {}".format)
    wide.insert(0, "networks", numbers["seeds"].groupby(level=["patch_size", by]).max())
    return wide
