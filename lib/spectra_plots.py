"""The figures of spectra: what `lib.audit` measures of both classes."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lib.plots import PALETTE, done


def spectra(rows: pd.DataFrame) -> Figure:
    """Power against frequency, a line per class with the middle half of its images, a panel a cell.

    Args:
        rows: those of `lib.audit.spectra`, with `cell` where there are several.
    """
    panels = list(rows.groupby("cell", sort=False)) if "cell" in rows else [("", rows)]
    columns = min(3, len(panels))
    lines = -(-len(panels) // columns)
    size = (0.6 + 3.6 * columns, 2.9 * lines)
    figure, axes = plt.subplots(lines, columns, figsize=size, sharey=True, squeeze=False)
    for axis, (cell, shown) in zip(axes.flat, panels, strict=False):
        for name, of in shown.groupby("class", sort=False):
            colour = PALETTE[name]
            axis.fill_between(of["frequency"], of["low"], of["high"], color=colour, alpha=0.2, lw=0)
            axis.plot(of["frequency"], of["log_power"], color=colour, label=name)
        axis.set(xlabel="frequency, cycles per px", title=cell)
        axis.legend(frameon=False, fontsize=8)
    for axis in axes[:, 0]:
        axis.set_ylabel("log₁₀ power")
    for axis in axes.flat[len(panels) :]:
        axis.axis("off")
    return done(figure)


def residuals(by_class: dict[str, np.ndarray]) -> Figure:
    """The mean residual spectra of the classes and their difference, zero frequency in the middle.

    Args:
        by_class: `real` and `fake`, each (S, S), log10; see `lib.audit.residuals`.
    """
    real, fake = by_class["real"], by_class["fake"]
    low, high = np.percentile(np.stack([real, fake]), [1, 99.9])
    most = np.percentile(np.abs(fake - real), 99.9)
    shown = [("real", real, low, high, "gray"), ("fake", fake, low, high, "gray")]
    shown.append(("fake − real", fake - real, -most, most, "RdBu_r"))
    figure, axes = plt.subplots(1, 3, figsize=(10.4, 3.1))
    for axis, (title, image, bottom, top, colours) in zip(axes, shown, strict=True):
        extent = (-0.5, 0.5, 0.5, -0.5)
        drawn = axis.imshow(image, cmap=colours, vmin=bottom, vmax=top, extent=extent)
        axis.set(title=title, xlabel="cycles per px")
        axis.grid(False)
        figure.colorbar(drawn, ax=axis, shrink=0.8)
    return done(figure)
