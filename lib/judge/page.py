"""What was judged as one page: each picture with its patches' map, the verdict, and its worth."""

from base64 import b64encode
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from lib.judge import judging
from lib.judge.card import Card, Measured
from lib.judge.network import Network
from lib.statistics.abstention import CANNOT_TELL, VERDICTS
from lib.study import paths

MOST = 500
"""So many pictures are shown at most; the table beside the page has all."""


def write(network: Network, table: pd.DataFrame, out: Path) -> Path:
    """Writes `judged.html` of what `judging.finish` gave; self-contained."""
    settings = {"autoescape": True, "undefined": StrictUndefined, "trim_blocks": True}
    template = Environment(loader=PackageLoader("lib.judge", ""), **settings)
    html = template.get_template("judged.html.j2").render(
        card=network.card,
        worth=Markup(worth(network.card).to_html(border=0, justify="unset")),
        counts=counts(table),
        table=table,
        shown=list(_shown(network, table, out)),
        most=MOST,
        size=network.card.preparation.image_size,
        side=network.card.patch_size,
        checks_faces=judging.asks_for_faces(network),
        in_words=in_words,
        version=version("patchwise"),
    )
    return paths.write_whole(out / "judged.html", lambda p: p.write_text(html, "utf-8"))


def counts(table: pd.DataFrame) -> dict[str, int]:
    """How many pictures got each verdict, and how many were `unusable`, by what was judged."""
    read = table[table["patches"] > 0]
    found = {verdict: int((read["verdict"] == verdict).sum()) for verdict in VERDICTS}
    return {**found, "unusable": len(table) - len(read)}


def in_words(verdict: str, measured: Measured) -> str:
    """What a verdict is worth: of how many such it was wrong on the training cell's test images."""
    reals, fakes = measured.final
    kinds = {"fake": (reals.fake, "photographs"), "real": (fakes.real, "GAN images")}
    if verdict not in kinds:
        return ""
    wrong, what = kinds[verdict]
    called = getattr(reals, verdict) + getattr(fakes, verdict)
    return f"of {called} test images that it called {verdict}, {wrong} were {what}"


def worth(card: Card) -> pd.DataFrame:
    """How often the verdicts were wrong, a row for each cell that the network was tested on."""
    lines = {}
    for cell in card.measured:
        reals, fakes = cell.final
        left, every = reals.cannot_tell + fakes.cannot_tell, reals.images + fakes.images
        lines[f"{cell.cell}, {cell.about}"] = {
            "photographs called fake": f"{reals.fake} of {reals.images}",
            "GAN images called real": f"{fakes.real} of {fakes.images}",
            "called rightly": reals.real + fakes.fake,
            "cannot tell": f"{left} of {every}",
            "AUC": round(cell.auc, 2),
        }
    return pd.DataFrame(lines).T


def _shown(network: Network, table: pd.DataFrame, out: Path) -> Iterator[dict[str, Any]]:
    """The first `MOST` rows, each with its picture and what is drawn over it.

    Where there are more, those with a verdict come first, and those that could not be read last.
    """
    first = table
    if len(table) > MOST:
        left = (table["verdict"] == VERDICTS[CANNOT_TELL]).astype(int) + (table["patches"] == 0)
        first = table.iloc[np.argsort(left, kind="stable")].head(MOST)
    seen = judging.read(out, ["picture", *judging.PIXELS]).set_index("picture")
    for row in first.to_dict("records"):
        pixels = seen.loc[row["picture"]]
        patches = []
        if isinstance(pixels["thumbnail"], bytes):
            row["source"] = "data:image/webp;base64," + b64encode(pixels["thumbnail"]).decode()
            for (top, left), z in zip(network.origins.tolist(), pixels["margins"], strict=True):
                sure = 0.6 * float(np.tanh(abs(z) / 2))
                patches.append((left, top, "fake" if z > 0 else "real", round(sure, 3)))
        yield {**row, "patches_drawn": patches}
