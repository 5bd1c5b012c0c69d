"""The audit of a cell: what besides the generator separates real from fake.

Everything is measured by AUC: how often a fake has the higher number than a real, 0.5 if that says
nothing. A number that tells the classes apart by itself is a warning on all that is concluded from
the cell. Notebook 00 measures and saves; later notebooks read.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from lib import cues, curves, metadata, metrics, paths
from lib.data import near
from lib.data.packing import Packed
from lib.metrics import Estimate
from lib.settings import Bootstrap

WARN_AT, WARN_ABOVE = 0.70, 0.60
"""An AUC of at least the first, whose interval stays above the second, is a warning."""
MOST, MOST_SPECTRA = 2_000, 500
"""Images per class that are measured, spread evenly over the packed ones."""
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

    Args:
        packed: the packed cell.
        cell: its name.
        bootstrap: the study's; its seed also fixes the folds of the metadata's classifier.

    Returns:
        A row per cue with `COLUMNS`; `auc` is the share of pairs in which the fake has the higher
        number, empty where the pictures are no files.
    """
    rows = _spread(packed, MOST)
    labels = packed.manifest["label"].to_numpy(np.uint8)[rows]
    resampled = metrics.resample(labels, bootstrap.resamples, bootstrap.seed)
    found = _of_files(packed, rows, resampled, bootstrap.seed)
    for cue, scores in cues.measure(packed.images, rows).items():
        found[cue] = curves.roc(scores.to_numpy(), labels, resampled)[0]
    counts = {"n_real": int((labels == 0).sum()), "n_fake": int((labels == 1).sum())}
    return pd.DataFrame(
        [{"cell": cell, "cue": cue, **counts, **_line(cue, of)} for cue, of in found.items()],
        columns=COLUMNS,
    )


def _of_files(
    packed: Packed, rows: np.ndarray, resampled: np.ndarray, seed: int
) -> dict[str, Estimate | None]:
    """The AUCs of all metadata together and of file size, None where there are no files."""
    files, found = metadata.table(packed).iloc[rows], {METADATA: None, FILE_SIZE: None}
    labels = files["label"].to_numpy(np.uint8)
    if metadata.has_files(packed):
        found[FILE_SIZE] = curves.roc(files["bytes"].to_numpy(), labels, resampled)[0]
        predicted = metadata.predictions(files, seed)
        if predicted is not None:
            found[METADATA] = metadata.auc_within_folds(*predicted, labels, resampled)
    return found


def _line(cue: str, estimate: Estimate | None) -> dict[str, float | bool]:
    """A row's numbers; no estimate is no warning."""
    if estimate is None:
        return {"auc": np.nan, "low": np.nan, "high": np.nan, "warns": False}
    _, auc, low, high, _ = estimate
    value, bottom, _ = separation(cue, auc, low, high)
    warns = bool(value >= WARN_AT and bottom > WARN_ABOVE)
    return {"auc": auc, "low": low, "high": high, "warns": warns}


def separation(cue: str, auc: float, low: float, high: float) -> tuple[float, float, float]:
    """An AUC and its interval, whichever class has the higher number: 0.2 separates like 0.8.

    Not so of the metadata's classifier, which knows the direction: below 0.5 it has learnt nothing.
    """
    return (1 - auc, 1 - high, 1 - low) if auc < 0.5 and cue != METADATA else (auc, low, high)


def _spread(packed: Packed, most: int) -> np.ndarray:
    """Rows of at most `most` images of each class, reals first, evenly over the packed ones."""
    labels = packed.manifest["label"].to_numpy()
    classes = [np.flatnonzero(labels == label) for label in (0, 1)]
    places = [np.linspace(0, len(of) - 1, min(most, len(of))).round().astype(int) for of in classes]
    return np.concatenate([of[at] for of, at in zip(classes, places, strict=True)])


def spectra(packed: Packed) -> pd.DataFrame:
    """The azimuthally averaged power spectra of both classes; see `lib.cues.azimuthal`.

    Returns:
        `class`, `frequency` in cycles per px, `log_power` (log10, the mean over images), `low` and
        `high` (its 25th and 75th percentile), `images`.
    """
    tables = []
    for name, rows in _by_class(packed).items():
        frequencies, power = cues.azimuthal(packed.images, rows)
        low, high = np.percentile(power, [25, 75], axis=0)
        lines = {"class": name, "frequency": frequencies, "log_power": power.mean(axis=0)}
        tables.append(pd.DataFrame({**lines, "low": low, "high": high, "images": len(rows)}))
    return pd.concat(tables, ignore_index=True)


def residuals(packed: Packed) -> dict[str, np.ndarray]:
    """The mean residual spectrum (S, S) of each class; see `lib.cues.residual_spectrum`."""
    by_class = _by_class(packed)
    return {name: cues.residual_spectrum(packed.images, rows) for name, rows in by_class.items()}


def _by_class(packed: Packed) -> dict[str, np.ndarray]:
    rows = _spread(packed, MOST_SPECTRA)
    labels = packed.manifest["label"].to_numpy()[rows]
    return {"real": rows[labels == 0], "fake": rows[labels == 1]}


def duplicates(packed: Packed) -> pd.DataFrame:
    """All pairs of near duplicates, within and across classes and splits; see `lib.data.near`.

    Returns:
        `first` and `second` (image ids), `bits` in which their hashes differ, `identical` (whether
        their packed pixels are), `classes` and `splits` in which they stand.
    """
    found = near.pairs(near.bits(packed.files["phash"].tolist()))
    first, second = (packed.manifest.iloc[found[:, n]].reset_index(drop=True) for n in (0, 1))
    same = [np.array_equal(packed.images[i], packed.images[j]) for i, j, _ in found]
    pairs = {"first": first["image_id"], "second": second["image_id"], "bits": found[:, 2]}
    pairs["identical"] = np.array(same, bool)
    names = {0: "real", 1: "fake"}
    pairs["classes"] = _both(first["label"].map(names), second["label"].map(names))
    pairs["splits"] = _both(first["split"], second["split"])
    return pd.DataFrame(pairs)


def _both(first: pd.Series, second: pd.Series) -> list[str]:
    together = zip(first, second, strict=True)
    return [
        one if one == other else " and ".join(sorted((one, other), reverse=True))
        for one, other in together
    ]


def counted(duplicates: pd.DataFrame) -> pd.DataFrame:
    """How many pairs of `duplicates` there are by class: in all, identical, and in two splits."""
    straddling = duplicates["splits"].astype(str).str.contains(" and ", regex=False)
    found = duplicates.assign(pairs=1, two=straddling.astype(int)).groupby("classes")
    columns = {
        "pairs": "near duplicates",
        "identical": "of these identical",
        "two": "in two splits",
    }
    table = found[list(columns)].sum().astype(int).rename(columns=columns)
    return table.reindex(["real", "fake", "real and fake"], fill_value=0).rename_axis(
        "pairs within"
    )


def readable(separations: pd.DataFrame) -> pd.DataFrame:
    """The rows of `separations` as a table to read, a line per cue."""
    lines = {}
    for row in separations.itertuples():
        applies = not pd.isna(row.auc)
        higher = "fake" if row.auc >= 0.5 else "real"
        lines[row.cue] = {
            "AUC [95 %]": _numbers(row) if applies else "not applicable: no files",
            "higher in": higher if applies and row.cue != METADATA else "",
            "warning": "yes" if row.warns else "",
        }
    return pd.DataFrame(lines).T.rename_axis("by this alone")


def _numbers(row: tuple) -> str:
    value, low, high = separation(row.cue, row.auc, row.low, row.high)
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def verdict(separations: pd.DataFrame) -> str:
    """What the audit says of a cell, in plain sentences with the numbers."""
    warned = [_sentence(row) for row in separations.itertuples() if row.warns]
    if warned:
        return " ".join(warned)
    measured = [row for row in separations.itertuples() if not pd.isna(row.auc)]
    largest = max(measured, key=lambda row: separation(row.cue, row.auc, row.low, row.high)[0])
    found = f"(the most is told by {largest.cue}, AUC {_numbers(largest)})"
    return f"Nothing was found that by itself tells the classes apart {found}."


def _sentence(row: tuple) -> str:
    higher = "" if row.cue == METADATA else f", higher in {'fakes' if row.auc >= 0.5 else 'reals'}"
    cue = row.cue[0].upper() + row.cue[1:]
    numbers = f"AUC {_numbers(row)}{higher}"
    return f"{cue} alone tells the classes apart ({numbers}): {MEANINGS[row.cue]}."


def save(study: str, cell: str, **tables: pd.DataFrame) -> list[str]:
    """Writes tables of a cell's audit, each whole: cues=, files=, duplicates=, spectra=.

    Returns:
        Their names below the work folder.
    """
    written = []
    for name, table in tables.items():
        path = paths.audit(study, cell) / f"{name}.csv"
        paths.write_whole(path, lambda p, table=table: table.to_csv(p, index=False))
        written.append(str(path.relative_to(paths.work())))
    return written


def read(study: str, cell: str, name: str) -> pd.DataFrame | None:
    """A table that `save` wrote; None if the cell was not audited."""
    path = paths.audit(study, cell) / f"{name}.csv"
    return pd.read_csv(path) if path.is_file() else None


def warnings(study: str, cells: Iterable[str]) -> list[str]:
    """A line for each number that alone tells the classes of one of these cells apart."""
    found = {cell: read(study, cell, "cues") for cell in dict.fromkeys(cells)}
    return [
        f"{cell}: {_sentence(row)}"
        for cell, table in found.items()
        if table is not None
        for row in table[table["warns"]].itertuples()
    ]


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
