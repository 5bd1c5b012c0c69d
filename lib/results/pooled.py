"""Numbers of several seeds or folds as one; of folds, what comes out on all the images."""

import numpy as np
import pandas as pd
from scipy.stats import t

from lib.results.claim_rules import LEAST_SEEDS
from lib.statistics.bootstrap import LEVEL
from lib.study.schema import split_cell
from lib.study.study import Study

KEYS = [
    *("experiment", "train", "test", "variant", "patch_size", "unit", "rule", "theta"),
    *("reading", "statistic"),
]


def pooled(study: Study, rows: pd.DataFrame) -> pd.DataFrame:
    """Of tidy rows, those of all seeds or folds together, under the first one's number.

    A value is their mean, weighted by their images: of folds' accuracies and rates that is the one
    on all images; of an AUC it is what ranking within folds comes to, since networks are not on one
    scale (G. Forman, M. Scholz, SIGKDD Explorations 2010). Its interval is Student's t over folds,
    whose images are others, so that it knows images and networks; where all networks judge the same
    images, as seeds do, and folds on cells that are not split, their own intervals are added in
    quadrature. Numbers that they have without intervals have none, nor have means of two: Student's
    interval of two may be all or nothing. What only some of them have yet is left out. A number of
    one network alone keeps its own interval, over images alone.
    """
    counts = rows.groupby(["train", "variant", "patch_size"])["seed"].transform("nunique")
    together = rows.groupby(KEYS, dropna=False, sort=False)
    lines = [_line(study, part) for _, part in together if len(part) == counts[part.index[0]]]
    return pd.DataFrame(lines, columns=rows.columns).astype(rows.dtypes)


def _line(study: Study, part: pd.DataFrame) -> pd.Series:
    line, images = part.iloc[0].copy(), part["n_images"].astype(float)
    values = part["value"].astype(float)
    line["value"] = np.average(values, weights=images)
    line["epoch"] = pd.NA
    base = study.base(line["test"])
    apart = study.data.folds and split_cell(base)[0] == split_cell(line["train"])[0]
    if apart:
        line["n_images"], line["n_patches"] = part["n_images"].sum(), part["n_patches"].sum()
    if len(part) == 1:
        return line
    half = np.nan
    if part["low"].notna().all() and len(part) >= LEAST_SEEDS:
        spread = t.ppf((1 + LEVEL) / 2, len(part) - 1) * values.std(ddof=1) / len(part) ** 0.5
        shared = 0.0 if apart else (part["high"] - part["low"]).mean() / 2
        half = np.hypot(spread, shared)
    ends = np.array([line["value"] - half, line["value"] + half])
    line["low"], line["high"] = np.clip(ends, 0, 1) if values.between(0, 1).all() else ends
    return line


def over_seeds(rows: pd.DataFrame, keys: list[str], statistic: str) -> pd.DataFrame:
    """The mean of a statistic over seeds, by `keys`: `value`, `low`, `high`, `seeds`.

    Without an interval where there are one or two.
    """
    lines = rows.groupby(keys, sort=False)[statistic].agg(["mean", "std", "count"])
    half = t.ppf((1 + LEVEL) / 2, lines["count"] - 1) * lines["std"]
    half = (half / np.sqrt(lines["count"])).where(lines["count"] >= LEAST_SEEDS)
    numbers = {"value": lines["mean"], "low": lines["mean"] - half, "high": lines["mean"] + half}
    return pd.DataFrame({**numbers, "seeds": lines["count"]})
