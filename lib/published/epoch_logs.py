"""The authors' epoch logs: their Tables 1 to 4 computed anew, and where the logs disagree.

Pure arithmetic on `reports/published`: 49 logs of 50 epochs, over the same 2,000 real and 2,000
fake test images of 256 px. Accuracies are in per cent here, as the paper and its logs give them.
"""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
import pandas as pd
from scipy.stats import binom
from statsmodels.stats.proportion import proportion_confint

from lib.published import paper
from lib.study import paths

FAKES = 2000
IMAGES = 4000
WHOLE, PATCH, CROPS = "whole image", "patch", "random crops"
TIE_IS_FAKE, TIE_IS_WRONG = "grid vote, tie is fake", "grid vote, tie counted as wrong"
CONFIDENT = "confident patches, all patches where none"
LAST_PATCH = "last patch only; unconfident real omitted, unconfident fake correct"
RULES = {1: (WHOLE, PATCH), 2: (TIE_IS_FAKE,), 3: (CROPS,), 4: (CONFIDENT,)}
"""The rules of the logs that each of the paper's tables was made from."""
ROW = ["table", "patch_size", "theta"]
"""What tells the lines of the paper's tables apart."""


def logs() -> pd.DataFrame:
    """All logs, a row per epoch (from 0): `patch_size` (px), `rule`, `theta` and what was logged.

    That is `logged` (a Fraction, the accuracy exactly as logged) and `accuracy`, the same as a
    float; `correct`, `tied`, `incorrect` images, where the log gives them; and `right` and
    `judged`, the ratio behind the accuracy, of patches where the rule is `patch`, else of images.
    """
    rows = pd.read_csv(paths.PUBLISHED / "epoch_logs.csv", dtype={"accuracy_percent": str})
    rows["logged"] = [Fraction(text) for text in rows.pop("accuracy_percent")]
    rows["accuracy"] = rows["logged"].astype(float)
    counts = ["correct", "tied", "incorrect"]
    rows[counts] = rows[counts].astype("Int64")
    counted = rows["correct"].notna()
    units = IMAGES * patches(rows["patch_size"])  # an image of 256 px is its own patch
    rows["judged"] = rows[counts].sum(axis=1).where(counted, units).astype(int)
    # Four decimals of a share of at most 1,024,000 patches leave one whole number in reach.
    right = [round(p * n / 100) for p, n in zip(rows["logged"], rows["judged"], strict=True)]
    return rows.assign(right=rows["correct"].where(counted, right).astype(int))


def patches(size: np.ndarray | pd.Series) -> np.ndarray | pd.Series:
    """How many patches of `size` px cover an image of 256 px."""
    return (256 // size) ** 2


def recomputed() -> pd.DataFrame:
    """Tables 1 to 4 beside what the logs give, in exact fractions: a row per published number.

    The logs round each epoch, so a number can be made of the accuracies as logged or of the
    counts behind them; a correct rounding of either is not held against the paper.

    `log` is from the accuracies as logged, `difference` printed minus that, `flagged` where it is
    0.01 or more; `how` is rounded (at most half a hundredth away, a tie either way), truncated
    (cut off after two decimals), or differs.
    """
    lines = []
    for row, log, numbers in _rows():
        logged = summary(list(log["logged"]))
        counted = summary([Fraction(100 * r, n) for r, n in log[["right", "judged"]].to_numpy()])
        for name, value in zip(numbers["statistic"], numbers["value"], strict=True):
            printed = Fraction(f"{100 * value:.2f}")
            difference = printed - logged[name]
            values = map(float, (printed, logged[name], counted[name], difference))
            how = _how(printed, logged[name], counted[name])
            lines.append((*row, name, *values, abs(difference) >= Fraction("0.01"), how))
    columns = ["statistic", "printed", "log", "counts", "difference", "flagged", "how"]
    return pd.DataFrame(lines, columns=[*ROW, *columns])


def summary(accuracies: list) -> dict:
    """The paper's statistics of one log: top1, top5 and average, and the last epoch."""
    ranked = sorted(accuracies, reverse=True)
    means = {"top5": sum(ranked[:5]) / len(ranked[:5]), "average": sum(ranked) / len(ranked)}
    return {"top1": ranked[0], **means, "last": accuracies[-1]}


def best_epoch_gain() -> pd.DataFrame:
    """What reporting the best of 50 test scores is worth: a row per line of Tables 1 to 4.

    `epoch` is the earliest best; `over_last` and `over_average` are top1 minus each, in percentage
    points.
    """
    lines, shown = [], ["top1", "average", "last"]
    for row, log, _ in _rows():
        values = summary(list(log["logged"]))
        epoch = log["epoch"].iat[log["accuracy"].argmax()]
        lines.append((*row, epoch, *(float(values[name]) for name in shown)))
    gains = pd.DataFrame(lines, columns=[*ROW, "epoch", *shown])
    over = {f"over_{name}": gains["top1"] - gains[name] for name in ("last", "average")}
    return gains.assign(**over)


def intervals() -> pd.DataFrame:
    """95 % Clopper-Pearson intervals of the best and the last epoch, where images were counted.

    That is Tables 2 to 4, and the whole image in Table 1. The rest of Table 1 has none: its unit
    is the patch, patches of one image are right or wrong together, and how strongly is not in
    the logs, so a binomial interval would be too narrow by an unknown factor. What is here covers
    the drawing of the images alone: not training, and not that the best epoch was picked on them.
    Value, low and high are in per cent.
    """
    lines = []
    for row, log, _ in _rows():
        if (log["rule"] == PATCH).any():
            continue
        for name, at in (("top1", log["right"].argmax()), ("last", len(log) - 1)):
            epoch, right, images = log[["epoch", "right", "judged"]].iloc[at]
            low, high = proportion_confint(right, images, method="beta")
            values = 100 * np.array([right / images, low, high])
            lines.append((*row, name, epoch, right, images, *values))
    columns = [*ROW, "statistic", "epoch", "correct", "images", "value", "low", "high"]
    return pd.DataFrame(lines, columns=columns)


def contradictions() -> pd.DataFrame:
    """Logs of the same images and epochs held against each other: a row per size and epoch.

    Two things must hold if all were made from the same predictions. *Ties.* The two votes differ
    in tied images alone, and only a tied fake is right in one and wrong in the other: so the
    images gained by calling ties fake are at least 0 and at most the ties. *Patches.* Of an
    image's P patches more than half are right where it was judged correct (P/2 + 1 to P of them),
    half where it was tied (P/2), fewer where it was judged incorrect (0 to P/2 − 1); at 128 px, 3
    or 4, 2, and 0 or 1. Summed over the images that bounds the patches right from both sides.

    `ties_exceeded` says by how many images `gained` is outside these, or 0; `bounds_exceeded` by
    how many patches `patches_right` is outside `fewest` and `most`, or 0.
    """
    wrong, fake, patch = _by_epoch(TIE_IS_WRONG, TIE_IS_FAKE, PATCH)
    held = pd.DataFrame({"tied": wrong["tied"].astype(int)})
    held["gained"] = fake["right"] - wrong["right"]
    beyond = np.maximum(held["gained"] - held["tied"], -held["gained"])
    held["ties_exceeded"] = beyond.clip(lower=0)
    many = patches(held.index.get_level_values("patch_size").to_numpy())
    half, incorrect = many // 2, wrong["incorrect"].astype(int)
    held["patches_right"] = patch["right"]
    held["fewest"] = (half + 1) * wrong["right"] + half * held["tied"]
    held["most"] = many * wrong["right"] + half * held["tied"] + (half - 1) * incorrect
    beyond = np.maximum(held["fewest"] - patch["right"], patch["right"] - held["most"])
    return held.assign(bounds_exceeded=beyond.clip(lower=0)).reset_index()


def reals_judged(few: int = 100) -> pd.DataFrame:
    """How many `reals` the variant judged in which only an image's last patch counts, by epoch.

    It leaves a real out where that patch is not confident and counts every fake, so the reals
    are correct + incorrect − 2,000. In `perfect_on_few` nothing was judged incorrect and at most
    `few` reals were judged.
    """
    rows = logs().query("rule == @LAST_PATCH").eval("reals = judged - @FAKES")
    rows["perfect_on_few"] = (rows["reals"] <= few) & rows["incorrect"].eq(0).astype(bool)
    columns = ["patch_size", "theta", "epoch", "accuracy", "reals", "perfect_on_few"]
    return rows[columns].reset_index(drop=True)


def theta_distance() -> pd.DataFrame:
    """How far Table 4 stands from Table 2 at each θ below 1, from the printed numbers alone.

    A row per patch size, statistic and θ: `distance` is in percentage points; `step`, against the
    next larger θ, is closer, same or farther (missing at the largest).
    """
    numbers = paper.tables()
    numbers["value"] = (100 * numbers["value"]).round(2)
    keys = ["patch_size", "statistic"]
    plain = numbers[numbers["table"] == 2].set_index(keys)["value"].rename("table2")
    rows = numbers[(numbers["table"] == 4) & (numbers["theta"] < 1)].join(plain, on=keys)
    rows = rows.rename(columns={"value": "table4"}).drop(columns="table")
    rows = rows.sort_values([*keys, "theta"], ascending=[False, True, False], ignore_index=True)
    rows["distance"] = (rows["table4"] - rows["table2"]).abs().round(2)
    change = np.sign(rows.groupby(keys)["distance"].diff().round(2))
    return rows.assign(step=change.map({-1.0: "closer", 0.0: "same", 1.0: "farther"}))


def crops_at_chance() -> pd.DataFrame:
    """Each epoch's per-patch accuracy beside its vote over random crops.

    `independent` is what a vote would give if crops were as often right as patches are, and
    independently: the chance that more than half of (256/p)² votes are right, as many as the
    released script groups, and like there a tie is wrong. Votes of one image are not independent,
    so this is no prediction; it says how far from it the logged vote is. All is in per cent, but
    `correct`, of 4,000 images; `low` and `high` are the vote's 95 % Clopper-Pearson interval, and
    `at_chance` whether that holds one half.
    """
    patch, vote = _by_epoch(PATCH, CROPS)
    rows = pd.DataFrame({"patch": 100 * patch["right"] / patch["judged"]})
    votes = patches(rows.index.get_level_values("patch_size").to_numpy())
    rows["independent"] = 100 * binom.sf(votes // 2, votes, rows["patch"] / 100)
    rows["crops"], rows["correct"] = 100 * vote["right"] / vote["judged"], vote["right"]
    low, high = proportion_confint(rows["correct"], vote["judged"], method="beta")
    rows["low"], rows["high"] = 100 * low, 100 * high
    return rows.assign(at_chance=(rows["low"] <= 50) & (rows["high"] >= 50)).reset_index()


def _rows() -> Iterator[tuple[tuple, pd.DataFrame, pd.DataFrame]]:
    """Each line of Tables 1 to 4: its key, the log it was made from, its published numbers."""
    everything = logs()
    for key, numbers in paper.tables().groupby(ROW, sort=False, dropna=False):
        table, size, theta = key
        # The confident vote of all patches is the plain vote.
        chosen = everything["rule"].isin(RULES[2 if theta == 1 else table])
        chosen &= everything["patch_size"] == size
        if theta < 1:
            chosen &= everything["theta"] == theta
        yield key, everything[chosen].sort_values("epoch"), numbers


def _by_epoch(*rules: str) -> Iterator[pd.DataFrame]:
    """The logs of each rule, indexed by patch size and epoch."""
    rows = logs().set_index(["patch_size", "epoch"])
    return (rows[rows["rule"] == rule] for rule in rules)


def _how(printed: Fraction, log: Fraction, counts: Fraction) -> str:
    above = [value - printed for value in (log, counts)]
    if any(abs(rest) <= Fraction("0.005") for rest in above):
        return "rounded"
    return "truncated" if any(0 <= rest < Fraction("0.01") for rest in above) else "differs"
