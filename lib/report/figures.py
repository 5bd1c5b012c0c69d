"""The figures, seaborn on matplotlib. Each function returns a figure and shows nothing itself.

Pictures are uint8 (N, S, S, 3) with N short titles, margins and probabilities (N, P), P(fake) in
[0, 1], labels (N,); rows are tidy tables with accuracies, `low` and `high` as shares of one.
"""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

REAL, FAKE = "#2a6f97", "#c8553d"
PALETTE = {"real": REAL, "fake": FAKE}
VERDICT_MAP = sns.diverging_palette(235, 20, s=80, l=45, as_cmap=True)
CHANCE = {"color": "0.55", "lw": 1, "ls": ":"}
BARE = {"frame_on": False, "xticks": [], "yticks": []}
_note = {"text": ""}


def set_theme(*, simulated: bool) -> None:
    """The look of all figures; with `simulated`, each says in its corner what it was made from."""
    _note["text"] = "simulated images" if simulated else ""
    sns.set_theme(style="whitegrid", context="notebook", font_scale=0.9)
    plt.rcParams |= {"figure.dpi": 110, "savefig.dpi": 110, "axes.titlelocation": "left"}


def contact_sheet(
    images: np.ndarray, titles: Sequence[str], columns: int = 8, inches: float = 1.25, alpha=1.0
) -> Figure:
    """Pictures in rows, each with its title."""
    columns = min(columns, max(len(images), 1))
    rows = max(-(-len(images) // columns), 1)
    size = (inches * columns, (inches + 0.2) * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, subplot_kw=BARE)
    for axis, image, title in zip(axes.flat, images, titles, strict=False):
        axis.imshow(image, alpha=alpha)
        axis.set_title(title, fontsize=8, color=_colour(title))
    return _signed(figure)


def crops(
    images: np.ndarray, origins: np.ndarray, margins: np.ndarray, size: int, titles: Sequence[str]
) -> Figure:
    """Pictures with their crops of `size` px at `origins` (N, P, 2), coloured by verdict."""
    figure = contact_sheet(images, titles, 6, 1.7, alpha=0.6)
    for axis, corners, z in zip(figure.axes, origins, margins, strict=False):
        for corner, margin in zip(corners, z, strict=True):
            look = {"fill": False, "lw": 1, "ec": FAKE if margin > 0 else REAL}
            axis.add_patch(Rectangle(corner[::-1], size, size, **look))
    return figure


def overlay(images: np.ndarray | None, probabilities: np.ndarray, titles: Sequence[str]) -> Figure:
    """Pictures, if given, and below each the P(fake) of its grid's patches."""
    rows, columns = 1 if images is None else 2, len(probabilities)
    look = {"squeeze": False, "subplot_kw": BARE, "layout": "constrained"}
    look["figsize"] = (1.3 * columns + 0.8, 1.35 * rows + 0.2)
    figure, axes = plt.subplots(rows, columns, **look)
    pictures = [None] * columns if images is None else images
    for column, image, p, title in zip(axes.T, pictures, probabilities, titles, strict=True):
        if image is not None:
            column[0].imshow(image)
        column[0].set_title(title, fontsize=8, color=_colour(title))
        shown = _map(column[-1], image, p)
    figure.colorbar(shown, ax=axes, shrink=0.7, label="P(fake)", ticks=[0, 0.5, 1])
    return _signed(figure, tidy=False)


def voter(image: np.ndarray, probabilities: np.ndarray, rules: Mapping[str, str]) -> Figure:
    """One picture, the P(fake) of its grid's patches, and each rule's title and verdict."""
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 2.9), width_ratios=[4, 5, 7], subplot_kw=BARE)
    axes[0].imshow(image)
    shown = _map(axes[1], image, probabilities)
    figure.colorbar(shown, ax=axes[1], shrink=0.8, label="P(fake)", ticks=[0, 0.5, 1])
    for line, (title, verdict) in enumerate(rules.items()):
        place = {"y": 1 - (line + 0.5) / len(rules), "va": "center", "fontsize": 9}
        axes[2].text(x=0, s=title, **place)
        axes[2].text(x=1, s=verdict, ha="right", weight="bold", color=_colour(verdict), **place)
    return _signed(figure)


def training_curve(history: pd.DataFrame) -> Figure:
    """Loss, and per-patch accuracy on validation and test, over the epochs."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 2.9))
    sns.lineplot(history, x="epoch", y="loss", marker="o", color="0.3", ax=left)
    left.set(title="Training loss", ylabel="cross entropy")
    accuracies = history.set_index("epoch")[["validation_accuracy", "test_accuracy"]]
    named = accuracies.set_axis(["validation", "test"], axis=1)
    sns.lineplot(named, marker="o", dashes=False, ax=right)
    right.axhline(0.5, **CHANCE)
    best = accuracies["validation_accuracy"].idxmax()
    right.axvline(best, color="0.75", lw=1)
    right.set(title=f"Per-patch accuracy; validated epoch {best}", ylabel="")
    for axis in (left, right):
        axis.xaxis.get_major_locator().set_params(integer=True)
    return _signed(figure)


def margin_distributions(margins: np.ndarray, labels: np.ndarray) -> Figure:
    """One epoch's margins of all patches by class; right of zero a patch is judged fake."""
    figure, axis = plt.subplots(figsize=(6.4, 2.6))
    low, high = np.quantile(margins, [0.002, 0.998])
    classes = np.repeat(np.array(list(PALETTE))[labels], margins.shape[1])
    look = {"stat": "density", "common_norm": False, "element": "step", "alpha": 0.35}
    values = margins.ravel().clip(low, high)
    sns.histplot(x=values, hue=classes, palette=PALETTE, bins=60, ax=axis, **look)
    axis.axvline(0, color="0.2", lw=1)
    axis.set(xlabel="margin z = logit(fake) − logit(real)", ylabel="density")
    return _signed(figure)


def intervals(rows: pd.DataFrame, x: str, hue: str, *, xlabel: str, title: str) -> Figure:
    """Accuracies with their intervals against steps of `x`, a line per `hue`, a point per seed."""
    figure, axis = plt.subplots(figsize=(8.2, 3.8))
    steps = sorted(rows[x].unique(), reverse=True)
    groups = list(rows.groupby(hue, sort=False))
    shifts = np.linspace(-0.12, 0.12, len(groups)) if len(groups) > 1 else [0.0]
    colours = sns.color_palette(n_colors=len(groups))
    for (name, line), shift, colour in zip(groups, shifts, colours, strict=True):
        at = line[x].map(steps.index) + shift
        _points(axis, "y", at, line, "value", color=colour, ms=4.5, label=str(name))
        means = line.groupby(at)["value"].mean()
        axis.plot(means.index, 100 * means, color=colour, lw=1, alpha=0.6)
    axis.axhline(50, **CHANCE)
    axis.set_xticks(range(len(steps)), [f"{step:g}" for step in steps])
    axis.set(xlabel=xlabel, ylabel="accuracy, %", title=title)
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return _signed(figure)


def effects(rows: pd.DataFrame) -> Figure:
    """Each `difference` of a `variant` at a `patch_size`, a panel per `column`, a point per seed.

    Rows whose `seed` is empty are means over seeds, and have the intervals.
    """
    columns = sorted(rows["column"].unique()) or [""]  # of no rows, an empty panel
    lines = list(rows[["variant", "patch_size"]].drop_duplicates().itertuples(index=False))
    rows = rows.assign(at=[-lines.index((r.variant, r.patch_size)) for r in rows.itertuples()])
    size = (2.2 + 2.1 * len(columns), 0.9 + 0.26 * len(lines))
    figure, axes = plt.subplots(1, len(columns), figsize=size, sharey=True, squeeze=False)
    for axis, column in zip(axes[0], columns, strict=True):
        chosen = rows[rows["column"] == column]
        single, mean = chosen[chosen["seed"].notna()], chosen[chosen["seed"].isna()]
        axis.axvline(0, **CHANCE)
        _points(axis, "x", mean["at"], mean, "difference", color=REAL, ms=4)
        axis.scatter(100 * single["difference"], single["at"] - 0.28, s=7, color=FAKE)
        axis.set_title(column.replace(", ", "\n"), fontsize=8)
        axis.set_xlabel("points", fontsize=8)
    names = [f"{variant}, {size} px" for variant, size in lines]
    axes[0, 0].set_yticks(-np.arange(len(lines)), names, fontsize=7.5)
    return _signed(figure)


def panels(
    rows: pd.DataFrame, x: str, y: str, panel: str, hue: str, *, note: str | None = None, **look
) -> Figure:
    """Lines in panels, two beside each other, each with its own vertical scale.

    `x` and `y` name columns as the axes are to be titled, `panel` and `hue` columns of text. A
    `note` is said in place of the theme's, "" for what is not ours; `look` goes to seaborn.
    """
    usual = {"col_wrap": 2, "height": 2.4, "aspect": 1.75, "facet_kws": {"sharey": False}}
    grid = sns.relplot(rows, x=x, y=y, col=panel, hue=hue, kind="line", **(usual | look))
    grid.set_titles("{col_name}", size=10).legend.set_title("")
    return _signed(grid.figure, note, tidy=False)


def reliability(points: pd.DataFrame) -> Figure:
    """What was `observed` against the `stated` P(fake), by `unit`, `patch_size` and `seed`."""
    rows = points.rename(columns={"stated": "stated P(fake)", "observed": "share of fakes"})
    rows = rows.assign(size=rows["patch_size"].astype(str) + " px").reset_index(drop=True)
    look = {"marker": "o", "ms": 4, "lw": 1, "units": "seed", "estimator": None}
    look |= {"col_wrap": 3, "height": 2.9, "aspect": 1.15}
    figure = panels(rows, "stated P(fake)", "share of fakes", "unit", "size", **look)
    for axis in figure.axes:
        axis.plot([0, 1], [0, 1], **CHANCE)
    return figure


def spectra(rows: pd.DataFrame) -> Figure:
    """Power against frequency with the middle half of each class's images, a panel per `cell`."""
    cells = list(rows.groupby("cell", sort=False)) if "cell" in rows else [("", rows)]
    columns = min(3, len(cells))
    rows = -(-len(cells) // columns)
    look = {"figsize": (0.6 + 3.6 * columns, 2.9 * rows), "sharey": True, "squeeze": False}
    figure, axes = plt.subplots(rows, columns, **look)
    for axis, (cell, shown) in zip(axes.flat, cells, strict=False):
        for name, line in shown.groupby("class", sort=False):
            colour, x = PALETTE[name], line["frequency"]
            axis.fill_between(x, line["low"], line["high"], color=colour, alpha=0.2, lw=0)
            axis.plot(x, line["log_power"], color=colour, label=name)
        axis.set(xlabel="frequency, cycles per px", title=cell)
        axis.legend(frameon=False, fontsize=8)
    plt.setp(axes[:, 0], ylabel="log₁₀ power")
    for axis in axes.flat[len(cells) :]:
        axis.remove()
    return _signed(figure)


def residuals(by_class: Mapping[str, np.ndarray]) -> Figure:
    """The mean residual spectra (S, S) of both classes and their difference, 0 in the middle."""
    real, fake = by_class["real"], by_class["fake"]
    most = np.percentile(np.abs(fake - real), 99.9)
    power, change = ("gray", *np.percentile([real, fake], [1, 99.9])), ("RdBu_r", -most, most)
    shown = {"real": (real, *power), "fake": (fake, *power), "fake − real": (fake - real, *change)}
    figure, axes = plt.subplots(1, 3, figsize=(10.4, 3.1))
    for axis, (title, (image, cmap, low, high)) in zip(axes, shown.items(), strict=True):
        drawn = axis.imshow(image, cmap=cmap, vmin=low, vmax=high, extent=(-0.5, 0.5, 0.5, -0.5))
        axis.set(title=title, xlabel="cycles per px")
        axis.grid(False)
        figure.colorbar(drawn, ax=axis, shrink=0.8)
    return _signed(figure)


def _colour(words: str) -> str:
    return PALETTE.get(words.partition(" ")[0], "0.2")  # of the class that they begin with


def _map(axis: Axes, image: np.ndarray | None, probabilities: np.ndarray) -> AxesImage:
    """A grid's P(fake), over the picture if there is one."""
    look = {"cmap": VERDICT_MAP, "vmin": 0, "vmax": 1, "extent": (0, 1, 0, 1)}
    if image is not None:
        axis.imshow(image, alpha=0.45, extent=(0, 1, 0, 1))
        look["alpha"] = 0.72
    side = round(len(probabilities) ** 0.5)
    return axis.imshow(probabilities.reshape(side, side), **look)


def _points(axis: Axes, along: str, at, rows: pd.DataFrame, value: str, **look) -> None:
    """Shares in per cent, with their intervals low to high, along the axis `x` or `y`."""
    spread = 100 * np.array([rows[value] - rows["low"], rows["high"] - rows[value]], float)
    where = {"x": at, "y": at, along: 100 * rows[value], f"{along}err": spread.clip(0)}
    axis.errorbar(**where, fmt="o", capsize=2, **look)


def _signed(figure: Figure, note: str | None = None, *, tidy: bool = True) -> Figure:
    """With `note` or the theme's below, and taken from pyplot's list so that it is shown once."""
    if tidy:
        figure.tight_layout()
    text = _note["text"] if note is None else note
    figure.text(1, 0, text, ha="right", va="top", fontsize=7, color="0.45")
    plt.close(figure)
    return figure
