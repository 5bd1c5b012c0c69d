"""The audit of a cell: what besides the generator separates real from fake.

Everything is measured by AUC: how often a fake has the higher number than a real, 0.5 if that says
nothing. A number that tells the classes apart by itself is a warning on all that is concluded from
the cell. Notebook 00 measures and saves; later notebooks read.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from scipy.stats import norm

from lib.audit import file_properties, pixel_cues
from lib.data import near_duplicates
from lib.data.packed import CLASSES, Packed
from lib.statistics import ranking
from lib.statistics.bootstrap import LEVEL, Estimate, resample
from lib.study import paths
from lib.study.files import read_table
from lib.study.schema import Bootstrap

WARN_AT, WARN_ABOVE = 0.70, 0.60
"""An AUC of at least the first, whose interval stays above the second, is a warning."""
MOST, MOST_SPECTRA = 2_000, 500  # images per class that are measured, spread over the packed ones
METADATA, FILE_SIZE = "file metadata", "file size"
MEANINGS = {
    METADATA: "results on these files measure the codec or the resizing as well as the generator",
    FILE_SIZE: "it follows the codec, but also what the pictures show",
    "high-frequency energy": "a network may judge sharpness, as resampling changes it",
    "blockiness": "a network may judge blocks of 8 px, as JPEG makes them",
    "clipped highlights": "a network may judge exposure, not the generator",
    "mean brightness": "a network may judge brightness, not the generator",
}
COLUMNS = ["cell", "cue", "auc", "low", "high", "n_real", "n_fake", "warns"]


def separations(packed: Packed, cell: str, bootstrap: Bootstrap) -> pd.DataFrame:
    """How far each number alone tells the classes apart, with 95 % intervals over images.

    A row per cue with `COLUMNS`; `auc` is the share of pairs in which the fake has the higher
    number, empty where the pictures are no files. The seed of `bootstrap` also fixes the folds of
    the metadata's classifier.
    """
    rows = np.concatenate(list(_spread(packed, MOST).values()))
    labels = packed.manifest["label"].to_numpy(np.uint8)[rows]
    resampled = resample(labels, bootstrap.resamples, bootstrap.seed)
    estimates: dict[str, Estimate | None] = {METADATA: None, FILE_SIZE: None}
    if file_properties.has_files(packed):
        files = file_properties.table(packed).iloc[rows]
        predicted = file_properties.predictions(files, bootstrap.seed)
        if predicted:
            together = file_properties.auc_within_folds(*predicted, labels, resampled)
            estimates[METADATA] = together
        estimates[FILE_SIZE] = ranking.roc(files["bytes"].to_numpy(), labels, resampled)[0]
    for cue, scores in pixel_cues.measure(packed.images, rows).items():
        estimates[cue] = ranking.roc(scores.to_numpy(), labels, resampled)[0]
    lines, counts = [], np.bincount(labels, minlength=2).tolist()
    for cue, estimate in estimates.items():
        numbers = estimate[1:4] if estimate else (np.nan,) * 3
        value, bottom, _ = separation(cue, *numbers)
        warns = bool(value >= WARN_AT and bottom > WARN_ABOVE)
        lines.append((cell, cue, *numbers, *counts, warns))
    return pd.DataFrame(lines, columns=COLUMNS)


def separation(cue: str, auc: float, low: float, high: float) -> tuple[float, float, float]:
    """An AUC and its interval, whichever class has the higher number: 0.2 separates like 0.8.

    Not so of the metadata's classifier, which knows the direction: below 0.5 it has learnt nothing.
    """
    return (1 - auc, 1 - high, 1 - low) if auc < 0.5 and cue != METADATA else (auc, low, high)


def _spread(packed: Packed, most: int) -> dict[str, np.ndarray]:
    """By class, the rows of at most `most` images, evenly over the packed ones."""
    labels = packed.manifest["label"].to_numpy()
    classes = {name: np.flatnonzero(labels == label) for label, name in enumerate(CLASSES)}
    return {
        name: rows[np.linspace(0, len(rows) - 1, min(most, len(rows))).round().astype(int)]
        for name, rows in classes.items()
    }


def spectra(packed: Packed) -> pd.DataFrame:
    """The azimuthally averaged power spectra of both classes; see `pixel_cues.azimuthal`.

    `class`, `frequency` in cycles per px, `log_power` (log10, the mean over images), `low` and
    `high` (its 25th and 75th percentile), `images`.
    """
    tables = []
    for name, rows in _spread(packed, MOST_SPECTRA).items():
        frequencies, power = pixel_cues.azimuthal(packed.images, rows)
        low, high = np.percentile(power, [25, 75], axis=0)
        lines = {"class": name, "frequency": frequencies, "log_power": power.mean(axis=0)}
        tables.append(pd.DataFrame({**lines, "low": low, "high": high, "images": len(rows)}))
    return pd.concat(tables, ignore_index=True)


def residuals(packed: Packed) -> dict[str, np.ndarray]:
    """The mean residual spectrum (S, S) of each class; see `pixel_cues.residual_spectrum`."""
    classes = _spread(packed, MOST_SPECTRA)
    return {name: pixel_cues.residual_spectrum(packed.images, r) for name, r in classes.items()}


def duplicates(packed: Packed) -> pd.DataFrame:
    """All pairs of near duplicates, within and across classes and splits; see `near_duplicates`.

    `first` and `second` (image ids), `bits` in which their hashes differ, `identical` (whether
    their packed pixels are), `classes` and `splits`, or folds, in which they stand.
    """
    pairs = near_duplicates.pairs(near_duplicates.bits(packed.files["phash"].tolist()))
    names = packed.manifest["label"].map(dict(enumerate(CLASSES)))
    manifest = packed.manifest
    stands = "fold " + manifest["fold"].astype(str) if "fold" in manifest else manifest["split"]
    told = manifest.assign(label=names, split=stands)[["image_id", "label", "split"]].to_numpy()
    lines = []
    for one, other, apart in pairs:
        ids, *classes_and_splits = zip(told[one], told[other], strict=True)
        same = np.array_equal(packed.images[one], packed.images[other])
        both = (" and ".join(sorted(set(two), reverse=True)) for two in classes_and_splits)
        lines.append((*ids, apart, same, *both))
    columns = ["first", "second", "bits", "identical", "classes", "splits"]
    return pd.DataFrame(lines, columns=columns).astype({"bits": int, "identical": bool})


def counted(duplicates: pd.DataFrame) -> pd.DataFrame:
    """How many pairs of `duplicates` there are by class: in all, identical, and in two splits."""
    two_splits = duplicates["splits"].astype(str).str.contains(" and ")
    columns = {"near duplicates": True, "of these identical": duplicates["identical"].astype(bool)}
    pairs = pd.DataFrame({**columns, "in two splits": two_splits}, duplicates.index)
    kinds = ["real", "fake", "real and fake"]
    sums = pairs.groupby(duplicates["classes"]).sum().reindex(kinds, fill_value=0)
    return sums.rename_axis("pairs within")


def readable(separations: pd.DataFrame) -> pd.DataFrame:
    """The rows of `separations` as a table to read, a line per cue."""
    lines = {}
    for row in separations.itertuples():
        applies = not pd.isna(row.auc)
        lines[row.cue] = {
            "AUC [95 %]": _numbers(row) if applies else "not applicable: no files",
            "higher in": _higher(row) if applies else "",
            "warning": "yes" if row.warns else "",
        }
    return pd.DataFrame(lines).T.rename_axis("by this alone")


def _numbers(row: tuple) -> str:
    value, low, high = separation(row.cue, row.auc, row.low, row.high)
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def _higher(row: tuple) -> str:
    """The class that has the higher numbers; nothing of the metadata's classifier."""
    return "" if row.cue == METADATA else "fake" if row.auc >= 0.5 else "real"


def _told(row: tuple) -> str:
    higher = _higher(row)
    return f"AUC {_numbers(row)}" + f", higher in {higher}s" * bool(higher)


def finding(separations: pd.DataFrame) -> str:
    """What the audit says of a cell, in plain sentences with the numbers.

    Named is every number whose interval, widened for how many there are (Bonferroni), is above 0.5.
    """
    measured, said = list(separations.dropna(subset="auc").itertuples()), _warnings(separations)
    wider = norm.isf((1 - LEVEL) / 2 / len(measured)) / norm.isf((1 - LEVEL) / 2)
    little = []
    for row in measured:
        value, low, _ = separation(row.cue, row.auc, row.low, row.high)
        if not row.warns and value - wider * (value - low) > 0.5:
            little.append(f"{row.cue} ({_told(row)})")
    if little:
        beside = "a detector is to be judged beside that."
        said.append(f"A little is told by {', '.join(little)}: {beside}")
    if said:
        return " ".join(said)
    largest = max(measured, key=lambda row: separation(row.cue, row.auc, row.low, row.high)[0])
    most = f"(the most is told by {largest.cue}, AUC {_numbers(largest)})"
    return f"Nothing was found that by itself tells the classes apart {most}."


def _warnings(separations: pd.DataFrame) -> list[str]:
    """A sentence for each number that is a warning."""
    return [
        f"{row.cue[0].upper()}{row.cue[1:]} alone tells the classes apart ({_told(row)}): "
        f"{MEANINGS[row.cue]}."
        for row in separations[separations["warns"]].itertuples()
    ]


def save(study: str, cell: str, **tables: pd.DataFrame) -> list[str]:
    """Writes tables of a cell's audit: cues=, files=, duplicates=, spectra=; see `write_tables`."""
    folder = paths.audit(study, cell)
    return paths.write_tables({folder / f"{name}.csv": table for name, table in tables.items()})


def read(study: str, cell: str, name: str) -> pd.DataFrame | None:
    """A table that `save` wrote; None if the cell was not audited."""
    path = paths.audit(study, cell) / f"{name}.csv"
    return read_table(path) if path.is_file() else None


def warnings(study: str, cells: Iterable[str]) -> list[str]:
    """A line for each number that alone tells the classes of one of these cells apart."""
    tables = {cell: read(study, cell, "cues") for cell in cells}
    audited = {cell: table for cell, table in tables.items() if table is not None}
    return [f"{cell}: {said}" for cell, table in audited.items() for said in _warnings(table)]


def notice(study: str, cells: Iterable[str]) -> str:
    """What a notebook about these cells says first: the warnings, or that there are none."""
    lines = []
    for cell in dict.fromkeys(cells):
        if read(study, cell, "cues") is None:
            lines.append(f"{cell}: not audited yet; 00_data says what separates its classes.")
        else:
            warned = [f"WARNING · {line}" for line in warnings(study, [cell])]
            lines += warned or [f"{cell}: its audit warns of nothing."]
    return "\n".join(lines)
