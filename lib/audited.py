"""What the audits of a study's cells found, as a section of its report."""

import pandas as pd

from lib import audit, metadata, spectra_plots
from lib.data import packing
from lib.data.packing import CLASSES, Packed
from lib.report import Section
from lib.study import Study

NOTE = (
    "Each line is one number of an image, or a classifier that sees its file and never its "
    "pixels: the AUC with which this alone tells real from fake, whichever has more of it, and its "
    "95 % interval over images. 0.5 says nothing. ▲ marks a warning: an AUC of at least 0.70 whose "
    "interval stays above 0.60."
)
SPECTRA_NOTE = (
    "Power spectra of the luminance, averaged over directions: the mean over images, and the "
    "middle half of them; up to {images} images per class."
)


def section(section: Section, study: Study) -> Section:
    """Per cell: what separates the classes, duplicates, what was passed over, resampling, spectra.

    A cell without an audit is named, with what to run.
    """
    found = {cell: audit.read(study.name, cell, "cues") for cell in study.cells}
    found = {cell: table for cell, table in found.items() if table is not None}
    section.items(
        [
            f"{cell}: {audit.verdict(found[cell])}" if cell in found else _missing(study, cell)
            for cell in study.cells
        ]
    )
    if not found:
        return section
    section.table(_side_by_side(found), NOTE)
    packed = {cell: packing.ensure(study, cell) for cell in found}
    section.heading("Near duplicates, and pictures passed over")
    section.table(
        pd.DataFrame({cell: _duplicates(study, cell, of) for cell, of in packed.items()}).T,
        "Pairs of packed images that show the same, by a perceptual hash; pictures that packing "
        "did not take, by reason.",
    )
    section.heading("Crop, resampling, compression")
    section.items(
        [f"{cell}: {' '.join(metadata.history(of))}" for cell, of in packed.items()],
    )
    spectra = pd.concat(
        [audit.read(study.name, cell, "spectra").assign(cell=cell) for cell in found]
    )
    caption = SPECTRA_NOTE.format(images=spectra["images"].max())
    section.figure(spectra_plots.spectra(spectra), caption)
    return section


def _missing(study: Study, cell: str) -> str:
    dataset, _, gan = cell.partition("-")
    return (
        f"{cell}: not audited yet, so it is not known what besides the generator separates its "
        "classes. Run `papermill notebooks/00_data.ipynb 00_data.out.ipynb "
        f"-p study {study.name} -p dataset {dataset} -p gan {gan}`."
    )


def _side_by_side(found: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """A line per cue, a column per cell."""
    columns = {}
    for cell, table in found.items():
        shown = audit.readable(table)
        marks = shown["warning"].map({"yes": " ▲", "": ""})
        columns[cell] = shown["AUC [95 %]"] + marks
    return pd.DataFrame(columns)


def _duplicates(study: Study, cell: str, packed: Packed) -> dict[str, int]:
    """One cell's counts: pairs of near duplicates, and pictures passed over by reason."""
    pairs = audit.counted(audit.read(study.name, cell, "duplicates"))
    counts = {f"pairs within {name}": row["near duplicates"] for name, row in pairs.iterrows()}
    counts["in two splits"] = pairs["in two splits"].sum()
    for name in CLASSES:
        for reason, passed in packed.side[name]["passed_over"].items():
            kind = f"passed over: {reason}"
            counts[kind] = counts.get(kind, 0) + len(passed)
    return counts
