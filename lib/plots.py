"""The figures, seaborn on matplotlib. Each function returns a figure and shows nothing itself."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lib.patches import assemble

REAL, FAKE = "#2a6f97", "#c8553d"
PALETTE = {"real": REAL, "fake": FAKE}
VERDICT_MAP = sns.diverging_palette(235, 20, s=80, l=45, as_cmap=True)
CHANCE = {"color": "0.55", "lw": 1, "ls": ":"}
_note = {"text": ""}


def set_theme(*, simulated: bool) -> None:
    """The look of all figures; with `simulated`, each says in its corner what it was made from."""
    _note["text"] = "simulated images" if simulated else ""
    sns.set_theme(style="whitegrid", context="notebook", font_scale=0.9)
    plt.rcParams |= {"figure.dpi": 110, "savefig.dpi": 110, "axes.titlelocation": "left"}


def contact_sheet(images: np.ndarray, titles: Sequence[str], columns: int = 8) -> Figure:
    """Pictures in rows, each with a short title.

    Args:
        images: uint8 (N, S, S, 3).
        titles: N.
        columns: pictures per row.
    """
    figure, axes = _grid(len(images), columns, 1.25)
    for axis, image, title in zip(axes, images, titles, strict=False):
        axis.imshow(image)
        axis.set_title(title, fontsize=8, color=PALETTE.get(title.split()[0], "0.2"))
    return done(figure)


def training_curve(history: pd.DataFrame) -> Figure:
    """Loss, and per-patch accuracy on validation and test, over the epochs."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8.4, 2.9))
    sns.lineplot(history, x="epoch", y="loss", marker="o", color="0.3", ax=left)
    left.set(title="Training loss", ylabel="cross entropy")
    names = {"validation_accuracy": "validation", "test_accuracy": "test"}
    long = history.rename(columns=names).melt("epoch", list(names.values()), "split", "accuracy")
    sns.lineplot(long, x="epoch", y="accuracy", hue="split", marker="o", ax=right)
    right.axhline(0.5, **CHANCE)
    best = history["epoch"][history["validation_accuracy"].idxmax()]
    right.axvline(best, color="0.75", lw=1)
    right.set(title=f"Per-patch accuracy; validated epoch {best}", ylabel="")
    for axis in (left, right):
        axis.xaxis.get_major_locator().set_params(integer=True)
    return done(figure)


def margin_distributions(margins: np.ndarray, labels: np.ndarray) -> Figure:
    """The margins of all patches by class; right of zero a patch is judged fake.

    Args:
        margins: float32 (N, P), of one epoch.
        labels: uint8 (N,).
    """
    figure, axis = plt.subplots(figsize=(6.4, 2.6))
    low, high = np.quantile(margins, [0.002, 0.998])
    for name, label in (("real", 0), ("fake", 1)):
        values = margins[labels == label].ravel().clip(low, high)
        sns.histplot(
            x=values, bins=60, stat="density", element="step", alpha=0.35, color=PALETTE[name],
            label=name, ax=axis,
        )  # fmt: skip
    axis.axvline(0, color="0.2", lw=1)
    axis.set(xlabel="margin z = logit(fake) − logit(real)", ylabel="density")
    axis.legend(frameon=False)
    return done(figure)


def overlay(images: np.ndarray | None, probabilities: np.ndarray, titles: Sequence[str]) -> Figure:
    """Pictures, and below each its patches' P(fake): where it is judged fake.

    Args:
        images: uint8 (N, S, S, 3); None to show P(fake) without the pictures.
        probabilities: (N, P) of a grid, in [0, 1].
        titles: N.
    """
    columns, rows = max(len(probabilities), 1), 1 if images is None else 2
    size = (1.45 * columns + 0.8, 1.6 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    side = round(probabilities.shape[1] ** 0.5)
    for column, (p, title) in enumerate(zip(probabilities, titles, strict=True)):
        if images is not None:
            axes[0, column].imshow(images[column])
            axes[1, column].imshow(images[column], alpha=0.45, extent=(0, 1, 0, 1))
        axes[0, column].set_title(title, fontsize=8, color=PALETTE.get(title.split()[0], "0.2"))
        shown = axes[-1, column].imshow(
            assemble(p, side, 1), cmap=VERDICT_MAP, vmin=0, vmax=1, extent=(0, 1, 0, 1),
            alpha=1 if images is None else 0.72,
        )  # fmt: skip
    for axis in axes.flat:
        axis.axis("off")
    figure.colorbar(shown, ax=axes, shrink=0.7, label="P(fake)", ticks=[0, 0.5, 1])
    return _signed(figure)


def crops(
    images: np.ndarray, origins: np.ndarray, margins: np.ndarray, size: int, titles: Sequence[str]
) -> Figure:
    """Pictures with their random crops, coloured by each crop's verdict.

    Args:
        images: uint8 (N, S, S, 3).
        origins: int32 (N, P, 2), top-left row and column, px.
        margins: (N, P).
        size: the crops' size, px.
        titles: N.
    """
    figure, axes = _grid(len(images), 6, 1.7)
    for axis, image, corners, z, title in zip(axes, images, origins, margins, titles, strict=False):
        axis.imshow(image, alpha=0.6)
        for (row, column), margin in zip(corners, z, strict=True):
            colour = FAKE if margin > 0 else REAL
            axis.add_patch(Rectangle((column, row), size, size, fill=False, ec=colour, lw=1))
        axis.set_title(title, fontsize=8, color=PALETTE.get(title.split()[0], "0.2"))
    return done(figure)


def intervals(
    rows: pd.DataFrame, x: str, hue: str, *, xlabel: str, title: str, chance: bool = True
) -> Figure:
    """Accuracies with their intervals, a line per `hue`; each seed is a point of its own.

    Args:
        rows: tidy rows with `x`, `hue`, value, low, high in [0, 1].
        x: the column along the horizontal axis, in equal steps from large to small.
        hue: the column that tells lines apart.
        xlabel: the horizontal axis's title.
        title: the figure's title.
        chance: whether to mark an accuracy of one half.
    """
    figure, axis = plt.subplots(figsize=(8.2, 3.8))
    steps = sorted(rows[x].unique(), reverse=True)
    groups = list(dict.fromkeys(rows[hue]))
    shifts = np.linspace(-0.12, 0.12, len(groups)) if len(groups) > 1 else [0.0]
    for group, shift, colour in zip(
        groups, shifts, sns.color_palette(n_colors=len(groups)), strict=True
    ):
        chosen = rows[rows[hue] == group]
        at = chosen[x].map(steps.index) + shift
        spread = [chosen["value"] - chosen["low"], chosen["high"] - chosen["value"]]
        axis.errorbar(
            at, 100 * chosen["value"], 100 * np.clip(np.array(spread, float), 0, None),
            fmt="o", ms=4.5, capsize=2, color=colour, label=str(group),
        )  # fmt: skip
        means = chosen.groupby(at)["value"].mean()
        axis.plot(means.index, 100 * means, color=colour, lw=1, alpha=0.6)
    if chance:
        axis.axhline(50, **CHANCE)
    axis.set_xticks(range(len(steps)), [f"{step:g}" for step in steps])
    axis.set(xlabel=xlabel, ylabel="accuracy, %", title=title)
    axis.legend(frameon=False, fontsize=8, loc="center left", bbox_to_anchor=(1, 0.5))
    return done(figure)


def panels(
    rows: pd.DataFrame, x: str, y: str, panel: str, hue: str, *, note: str | None = None, **line
) -> Figure:
    """Lines in panels, two beside each other; each panel has its own vertical scale.

    Args:
        rows: tidy rows with the columns that are named next; `x` and `y` are the axes' titles.
        x: the column along the horizontal axis.
        y: the column along the vertical axis.
        panel: the column of text that tells panels apart.
        hue: the column of text that tells lines apart.
        note: what the corner says in place of the theme's note: "" for what is not ours.
        line: seaborn's further settings of a line, as `marker`.
    """
    grid = sns.relplot(
        rows, x=x, y=y, col=panel, hue=hue, kind="line", col_wrap=2, height=2.4, aspect=1.75,
        facet_kws={"sharey": False}, **line,
    )  # fmt: skip
    grid.set_titles("{col_name}")
    grid.legend.set_title("")
    return _signed(grid.figure, note)


def effects(rows: pd.DataFrame) -> Figure:
    """Differences with their intervals, a panel per `column`; each seed is a point of its own.

    Args:
        rows: tidy rows with `column`, `variant`, `patch_size`, `difference`, `low`, `high` in
            [-1, 1], and `seed`, empty for the mean over seeds, which has the interval.
    """
    columns = sorted(rows["column"].unique())
    lines = list(rows[["variant", "patch_size"]].drop_duplicates().itertuples(index=False))
    places = {tuple(line): -number for number, line in enumerate(lines)}
    size = (2.2 + 2.1 * len(columns), 0.9 + 0.26 * len(lines))
    figure, axes = plt.subplots(1, len(columns), figsize=size, sharey=True, squeeze=False)
    for axis, column in zip(axes[0], columns, strict=True):
        chosen = rows[rows["column"] == column]
        at = [places[key] for key in zip(chosen["variant"], chosen["patch_size"], strict=True)]
        chosen = chosen.assign(at=at)
        single, mean = chosen[chosen["seed"].notna()], chosen[chosen["seed"].isna()]
        spread = [mean["difference"] - mean["low"], mean["high"] - mean["difference"]]
        axis.axvline(0, **CHANCE)
        axis.errorbar(
            100 * mean["difference"], mean["at"], xerr=100 * np.clip(np.array(spread), 0, None),
            fmt="o", ms=4, capsize=2, color=REAL,
        )  # fmt: skip
        axis.scatter(100 * single["difference"], single["at"] - 0.28, s=7, color=FAKE)
        axis.set_title(column.replace(", ", "\n"), fontsize=8)
        axis.set_xlabel("points", fontsize=8)
    names = [f"{variant}, {size} px" for variant, size in lines]
    axes[0, 0].set_yticks(list(places.values()), names, fontsize=7.5)
    return done(figure)


def reliability(points: pd.DataFrame) -> Figure:
    """Reliability diagrams, a panel per unit, a line per patch size and seed.

    Args:
        points: tidy rows with `unit`, `patch_size`, `seed`, `stated` and `observed` in [0, 1].
    """
    points = points.assign(size=points["patch_size"].astype(str) + " px").reset_index(drop=True)
    grid = sns.relplot(
        points, x="stated", y="observed", col="unit", hue="size", units="seed", estimator=None,
        kind="line", marker="o", ms=4, lw=1, height=2.9, aspect=1.05,
    )  # fmt: skip
    for axis in grid.axes.flat:
        axis.plot([0, 1], [0, 1], **CHANCE)
    grid.set_titles("{col_name}", size=9).set_axis_labels("stated P(fake)", "share of fakes")
    grid.legend.set_title("")
    return _signed(grid.figure)


def _grid(count: int, columns: int, inches: float) -> tuple[Figure, np.ndarray]:
    columns = min(columns, max(count, 1))
    rows = -(-max(count, 1) // columns)
    size = (inches * columns, (inches + 0.2) * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    return figure, axes.ravel()


def done(figure: Figure) -> Figure:
    """A figure tidied, with the theme's note in its corner, and shown once."""
    figure.tight_layout()
    return _signed(figure)


def _signed(figure: Figure, note: str | None = None) -> Figure:
    """With `note` or the theme's below, and taken from pyplot's list so that it is shown once."""
    text = _note["text"] if note is None else note
    figure.text(1, 0, text, ha="right", va="top", fontsize=7, color="0.45")
    plt.close(figure)
    return figure
