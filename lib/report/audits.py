"""What the audits of a study's cells found, side by side."""

from collections.abc import Mapping

import pandas as pd

from lib.audit import file_properties, separation
from lib.data import packed
from lib.data.packed import CLASSES, Packed
from lib.report.readable import percent
from lib.study.study import Study


def audited(study: Study, name: str) -> dict[str, pd.DataFrame]:
    """One table of each cell's audit, such as `cues`; cells without an audit have none."""
    tables = {cell: separation.read(study.name, cell, name) for cell in study.cells}
    return {cell: table for cell, table in tables.items() if table is not None}


def side_by_side(cues: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """A line per number of an image, a column per cell: its AUC, and ▲ where it is a warning."""
    columns = {}
    for cell, table in cues.items():
        shown = separation.readable(table)
        columns[cell] = shown["AUC [95 %]"] + shown["warning"].map({"yes": " ▲", "": ""})
    return pd.DataFrame(columns)


def baseline(study: Study, train: str) -> pd.DataFrame:
    """What a training cell's audit reached without a network, a line each; empty without audit."""
    rows = separation.read(study.name, train, "baseline")
    if rows is None or rows.empty:
        return pd.DataFrame()
    texts = [percent(*line) for line in rows[["value", "low", "high"]].itertuples(index=False)]
    wide = rows.assign(text=texts).pivot(index="by", columns="statistic", values="text")
    return wide[["accuracy", "auc", "tpr", "tnr"]].rename_axis("without a network")


def duplicates(study: Study) -> pd.DataFrame:
    """A line per cell: pairs of near duplicates, and pictures passed over, by reason."""
    lines = {}
    for cell, table in audited(study, "duplicates").items():
        pairs = separation.counted(table)
        counts = {f"pairs within {name}": row["near duplicates"] for name, row in pairs.iterrows()}
        counts["in two splits"] = pairs["in two splits"].sum()
        for name in CLASSES if (there := _opened(study, cell)) else ():
            for reason, passed in there.side[name]["passed_over"].items():
                kind = f"passed over: {reason}"
                counts[kind] = counts.get(kind, 0) + len(passed)
        lines[cell] = counts
    return pd.DataFrame(lines).T


def histories(study: Study) -> dict[str, str]:
    """How the pictures of each audited cell were cropped, resized and compressed."""
    opened = {cell: _opened(study, cell) for cell in audited(study, "cues")}
    return {
        cell: " ".join(file_properties.history(there)) if there else "not packed any more"
        for cell, there in opened.items()
    }


def _opened(study: Study, cell: str) -> Packed | None:
    return packed.load(study, cell) if packed.stale(study, cell) is None else None


def spectra(study: Study) -> pd.DataFrame:
    """The power spectra of all audited cells, for `lib.report.figures.spectra`."""
    tables = [table.assign(cell=cell) for cell, table in audited(study, "spectra").items()]
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
