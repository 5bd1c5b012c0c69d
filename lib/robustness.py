"""What a network's verdicts bear: its own test images compressed, resized or blurred."""

import pandas as pd

from lib import plots, tables
from lib.evidence import Evidence, Question
from lib.experiments import ELSEWHERE
from lib.findings import points
from lib.report import Section
from lib.wording import ALTERED, RATES_NOTE, STATISTICS_NOTE

STATISTICS = ("validated", "auc", "tpr", "tnr")
UNALTERED = "unaltered"


def altered(section: Section, families: list[Evidence], every: pd.DataFrame) -> Section:
    """The rules on altered test images beside the unaltered ones, family by family.

    Args:
        section: to add to; nothing is added for a family that was not tested on altered images.
        families: the networks.
        every: the study's tables.
    """
    for of in families:
        rows = _rows(of, every)
        if set(rows["test"]) <= {of.train}:
            continue
        section.heading(f"Altered test images: trained on {of.train}, {of.study.variant}")
        section.text(ALTERED)
        section.table(_beside(of, rows), f"{STATISTICS_NOTE} {RATES_NOTE}")
        section.table(
            _changes(of, rows),
            "The change of the grid vote, and of the whole image's verdict, in points: altered "
            "minus unaltered, picture by picture, with 95 % intervals over images and seeds.",
        )
        votes = rows[(rows["statistic"] == "validated") & (rows["rule"] != ELSEWHERE["none"])]
        figure = plots.intervals(
            votes.assign(test=votes["test"].map(_titles(of))),
            "patch_size",
            "test",
            xlabel=f"patch size, px ({of.study.data.image_size} is the whole image)",
            title=f"{'Simulated: ' if of.study.simulated else ''}grid vote, and whole image",
        )
        section.figure(figure, "Accuracy at the validated epoch on altered test images.")
    return section


def _titles(of: Evidence) -> dict[str, str]:
    """What was done to the images of the training cell and of its altered cells, in order."""
    changed = {name: cell.title for name, cell in of.study.altered(of.train).items()}
    return {of.train: UNALTERED, **changed}


def _rows(of: Evidence, every: pd.DataFrame) -> pd.DataFrame:
    """A family's rows on its test images and their altered ones, the unaltered ones first."""
    order = list(_titles(of))
    own = (every["train"] == of.train) & (every["variant"] == of.study.variant)
    rows = every[own & every["test"].isin(order) & every["rule"].isin(ELSEWHERE)]
    rows = rows[rows["experiment"].isin((1, 2, 5))].assign(rule=rows["rule"].map(ELSEWHERE))
    return rows.sort_values("test", key=lambda tests: tests.map(order.index), kind="stable")


def _beside(of: Evidence, rows: pd.DataFrame) -> pd.DataFrame:
    """A line per patch size, rule and alteration, the alterations in the study's order."""
    wide = tables.side_by_side(rows, ["patch_size", "rule", "seed", "test"], wanted=STATISTICS)
    titles = _titles(of)
    return wide.reindex(list(titles), level="test").rename(index=titles, level="test")


def _changes(of: Evidence, rows: pd.DataFrame) -> pd.DataFrame:
    """The paired change of the accuracy: a line per patch size, a column per alteration."""
    tested = {(row.test, row.patch_size) for row in rows.itertuples()}
    titles = {cell: title for cell, title in _titles(of).items() if cell in set(rows["test"])}
    lines = {}
    for size in of.sizes:
        at = of.whole() if size == of.study.data.image_size else Question(size, "grid")
        lines[size] = {
            title: _change(of, at, cell) if (cell, size) in tested else ""
            for cell, title in titles.items()
            if title != UNALTERED
        }
    return pd.DataFrame(lines).T.rename_axis("patch_size")


def _change(of: Evidence, at: Question, cell: str) -> str:
    change = of.compare(cell, lambda a, b: a - b, at._replace(test=cell), at)
    return points(change.value, *change.interval())
