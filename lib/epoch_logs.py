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

from lib import paths, published

FAKES = 2000
IMAGES = 4000
WHOLE, PATCH, CROPS = "whole image", "patch", "random crops"
TIE_IS_FAKE, TIE_IS_WRONG = "grid vote, tie is fake", "grid vote, tie counted as wrong"
CONFIDENT = "confident patches, all patches where none"
LAST_PATCH = "last patch only; unconfident real omitted, unconfident fake correct"
RULES = {1: (WHOLE, PATCH), 2: (TIE_IS_FAKE,), 3: (CROPS,), 4: (CONFIDENT,)}
"""The rules of the logs that each of the paper's tables was made from."""
ROW = ["table", "patch_size", "theta"]


def logs() -> pd.DataFrame:
    """All logs, a row per epoch.

    Returns:
        patch_size (px), rule, theta, epoch (from 0); logged (a Fraction: the accuracy exactly as
        logged) and accuracy (the same as a float); correct, tied, incorrect (images; missing
        where the log gives none); right and judged, the ratio behind the accuracy (patches where
        rule is `patch`, else images).
    """
    found = pd.read_csv(paths.PUBLISHED / "epoch_logs.csv", dtype={"accuracy_percent": str})
    found["logged"] = [Fraction(text) for text in found.pop("accuracy_percent")]
    found["accuracy"] = found["logged"].astype(float)
    counts = ["correct", "tied", "incorrect"]
    found[counts] = found[counts].astype("Int64")
    counted = found["correct"].notna()
    units = IMAGES * patches(found["patch_size"])  # an image of 256 px is its own patch
    found["judged"] = found[counts].sum(axis=1).where(counted, units).astype(int)
    # Four decimals of a share of at most 1,024,000 patches leave one whole number in reach.
    right = [round(p * n / 100) for p, n in zip(found["logged"], found["judged"], strict=True)]
    found["right"] = found["correct"].where(counted, pd.Series(right, found.index)).astype(int)
    return found


def patches(size: int | np.ndarray | pd.Series) -> int | np.ndarray | pd.Series:
    """How many patches of `size` px cover an image of 256 px."""
    return (256 // size) ** 2


def recomputed() -> pd.DataFrame:
    """Tables 1 to 4 beside what the logs give, in exact fractions: a row per published number.

    The logs round each epoch, so a number can be made of the accuracies as logged or of the
    counts behind them; a correct rounding of either is not held against the paper.

    Returns:
        table, patch_size, theta, statistic; printed; log, from the accuracies as logged; counts,
        from the counts; difference, printed minus log; flagged, where that is 0.01 or more; how:
        rounded (at most half a hundredth away, a tie either way), truncated (cut off after two
        decimals), or differs.
    """
    lines = []
    for row, log, of in _rows():
        logged = summary(list(log["logged"]))
        counted = summary([Fraction(100 * r, n) for r, n in log[["right", "judged"]].to_numpy()])
        for name, value in zip(of["statistic"], of["value"], strict=True):
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
    best = ranked[:5]
    return {
        "top1": ranked[0],
        "top5": sum(best) / len(best),
        "average": sum(ranked) / len(ranked),
        "last": accuracies[-1],
    }


def best_epoch_gain() -> pd.DataFrame:
    """What reporting the best of 50 test scores is worth: a row per line of Tables 1 to 4.

    Returns:
        table, patch_size, theta; epoch, the earliest best; top1, average and last of its log;
        over_last and over_average, top1 minus each, in percentage points.
    """
    lines = []
    for row, log, _ in _rows():
        of = {name: float(value) for name, value in summary(list(log["logged"])).items()}
        gains = of["top1"] - of["last"], of["top1"] - of["average"]
        epoch = log["epoch"].iat[log["accuracy"].argmax()]
        lines.append((*row, epoch, of["top1"], of["average"], of["last"], *gains))
    columns = ["epoch", "top1", "average", "last", "over_last", "over_average"]
    return pd.DataFrame(lines, columns=[*ROW, *columns])


def intervals() -> pd.DataFrame:
    """95 % Clopper-Pearson intervals of the best and the last epoch, where images were counted.

    That is Tables 2 to 4, and the whole image in Table 1. The rest of Table 1 has none: its unit
    is the patch, patches of one image are right or wrong together, and how strongly is not in
    the logs, so a binomial interval would be too narrow by an unknown factor. What is here covers
    the drawing of the images alone: not training, and not that the best epoch was picked on them.

    Returns:
        table, patch_size, theta, statistic (top1 or last), epoch, correct, images, value, low,
        high; the last three in per cent.
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
    columns = ["statistic", "epoch", "correct", "images", "value", "low", "high"]
    return pd.DataFrame(lines, columns=[*ROW, *columns])


def contradictions() -> pd.DataFrame:
    """Logs of the same images and epochs held against each other: a row per size and epoch.

    Two things must hold if all were made from the same predictions. *Ties.* The two votes differ
    in tied images alone, and only a tied fake is right in one and wrong in the other: so the
    images gained by calling ties fake are at least 0 and at most the ties. *Patches.* Of an
    image's P patches more than half are right where it was judged correct (P/2 + 1 to P of them),
    half where it was tied (P/2), fewer where it was judged incorrect (0 to P/2 − 1); at 128 px, 3
    or 4, 2, and 0 or 1. Summed over the images that bounds the patches right from both sides.

    Returns:
        patch_size, epoch; tied; gained, correct with ties as fake minus correct with ties as
        wrong; ties_exceeded, by how many images that is over the ties, or 0; patches_right, from
        the per-patch log; fewest and most, the bounds; bounds_exceeded, by how many patches it is
        outside them, or 0.
    """
    found, keys = logs(), ["patch_size", "epoch"]
    wrong, fake, patch = (
        found[found["rule"] == rule].set_index(keys) for rule in (TIE_IS_WRONG, TIE_IS_FAKE, PATCH)
    )
    of = pd.DataFrame({"tied": wrong["tied"].astype(int)})
    of["gained"] = fake["right"] - wrong["right"]
    beyond = np.maximum(of["gained"] - of["tied"], -of["gained"])
    of["ties_exceeded"] = beyond.clip(lower=0)
    many = patches(of.index.get_level_values("patch_size").to_numpy())
    half, incorrect = many // 2, wrong["incorrect"].astype(int)
    of["patches_right"] = patch["right"]
    of["fewest"] = (half + 1) * wrong["right"] + half * of["tied"]
    of["most"] = many * wrong["right"] + half * of["tied"] + (half - 1) * incorrect
    beyond = np.maximum(of["fewest"] - patch["right"], patch["right"] - of["most"])
    return of.assign(bounds_exceeded=beyond.clip(lower=0)).reset_index()


def reals_judged(few: int = 100) -> pd.DataFrame:
    """How many reals the variant judged in which only an image's last patch counts.

    It leaves a real out where that patch is not confident and counts every fake, so the reals
    are correct + incorrect − 2,000.

    Args:
        few: from how many reals downwards an accuracy of 100 % is marked.

    Returns:
        patch_size, theta, epoch, accuracy, reals; perfect_on_few, whether nothing was judged
        incorrect and at most `few` reals were judged.
    """
    found = logs().query("rule == @LAST_PATCH")
    found = found.assign(reals=found["judged"] - FAKES)
    found["perfect_on_few"] = (found["reals"] <= few) & found["incorrect"].eq(0).astype(bool)
    columns = ["patch_size", "theta", "epoch", "accuracy", "reals", "perfect_on_few"]
    return found[columns].reset_index(drop=True)


def theta_distance() -> pd.DataFrame:
    """How far Table 4 stands from Table 2 at each θ below 1, from the printed numbers alone.

    Returns:
        patch_size, theta, statistic; table2, table4; distance, in percentage points; step, against
        the next larger θ: closer, same or farther (missing at the largest).
    """
    found = published.tables()
    found["value"] = (100 * found["value"]).round(2)
    keys = ["patch_size", "statistic"]
    plain = found[found["table"] == 2].set_index(keys)["value"].rename("table2")
    of = found[(found["table"] == 4) & (found["theta"] < 1)].join(plain, on=keys)
    of = of.rename(columns={"value": "table4"}).drop(columns="table")
    of = of.sort_values([*keys, "theta"], ascending=[False, True, False], ignore_index=True)
    of["distance"] = (of["table4"] - of["table2"]).abs().round(2)
    change = np.sign(of.groupby(keys)["distance"].diff().round(2))
    return of.assign(step=change.map({-1.0: "closer", 0.0: "same", 1.0: "farther"}))


def crops_at_chance() -> pd.DataFrame:
    """Each epoch's per-patch accuracy beside its vote over random crops.

    `independent` is what a vote would give if crops were as often right as patches are, and
    independently: the chance that more than half of (256/p)² votes are right, as many as the
    released script groups, and like there a tie is wrong. Votes of one image are not independent,
    so this is no prediction; it says how far from it the logged vote is.

    Returns:
        patch_size, epoch; patch, independent, crops in per cent; correct, of 4,000 images; low
        and high, the vote's 95 % Clopper-Pearson interval in per cent; at_chance, whether that
        holds one half.
    """
    found, keys = logs(), ["patch_size", "epoch"]
    patch, vote = (found[found["rule"] == rule].set_index(keys) for rule in (PATCH, CROPS))
    of = pd.DataFrame({"patch": 100 * patch["right"] / patch["judged"]})
    votes = patches(of.index.get_level_values("patch_size").to_numpy())
    of["independent"] = 100 * binom.sf(votes // 2, votes, of["patch"] / 100)
    of["crops"], of["correct"] = 100 * vote["right"] / vote["judged"], vote["right"]
    low, high = proportion_confint(of["correct"], vote["judged"], method="beta")
    of["low"], of["high"] = 100 * low, 100 * high
    return of.assign(at_chance=(of["low"] <= 50) & (of["high"] >= 50)).reset_index()


def _rows() -> Iterator[tuple[tuple, pd.DataFrame, pd.DataFrame]]:
    """Each line of Tables 1 to 4: its key, the log it was made from, its published numbers."""
    found = logs()
    for key, of in published.tables().groupby(ROW, sort=False, dropna=False):
        table, size, theta = key
        everyone = theta == 1  # the confident vote of all patches is the plain vote
        chosen = found["rule"].isin(RULES[2 if everyone else table])
        chosen &= found["patch_size"] == size
        if theta < 1:
            chosen &= found["theta"] == theta
        yield key, found[chosen].sort_values("epoch"), of


def _how(printed: Fraction, log: Fraction, counts: Fraction) -> str:
    """How a printed number came from the one or the other."""
    above = [value - printed for value in (log, counts)]
    if any(abs(rest) <= Fraction("0.005") for rest in above):
        return "rounded"
    return "truncated" if any(0 <= rest < Fraction("0.01") for rest in above) else "differs"
