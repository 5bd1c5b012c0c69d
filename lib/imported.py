"""Another detector's scores of a packed cell, stored as a run, so that all that votes takes them.

Such a run has the margins of the grid, or of the whole image, in one epoch, which nobody chose; no
crops, and no network. Its variant is known as long as its folder is there.
"""

import hashlib
import json
import shutil
from math import isqrt
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import logit

from lib import margins
from lib.data.packed import Packed, load
from lib.patches import grid_origins
from lib.study import files, paths, reading
from lib.study.errors import shown
from lib.study.run import Run
from lib.study.schema import ParameterError
from lib.study.study import IMPORTED, PLAIN

SCALES = ("score", "margin", "probability")
"""Columns: two names of numbers that are above 0 where it is fake; P(fake), whose logit is."""
SURE = 37  # the margin where P(fake) is 1; the float64 below 1 has 36.7


class ScoresError(ValueError):
    """Scores cannot be imported; the message counts and names what is wrong."""


def store(file: Path, study: str, dataset: str, gan: str, name: str) -> tuple[list[Run], list[str]]:
    """Stores a file's scores as a run of the variant `name`, one for each fold, or finds them.

    Returns the runs, and the images that the cell does not have. Raises ScoresError; ParameterError
    if the study has that variant; PackedError; RunError if other scores are there.
    """
    whole, cell = reading.cell(study, dataset, gan)
    data = load(whole, cell)
    z, column, unknown = read(file, data)
    if name in (PLAIN, *whole.variants) and not reading.load(study, name).imported:
        raise ParameterError(f"name: study {study!r} has {name!r} already; choose another")
    change = {} if name in whole.variants else {"model": {"name": IMPORTED}}
    given = study, dataset, gan, whole.data.image_size // isqrt(z.shape[1])
    runs = [reading.run(*given, seed, name, change) for seed in range(whole.data.folds or 1)]
    splits = [_splits(run, data, z, unknown) for run in runs]  # of all, before any is written
    for run, rows in zip(runs, splits, strict=True):
        _write(run, data, z, rows, file, column)
    return runs, unknown


def require(run: Run) -> Path:
    """The folder of imported scores; RunError if there is none, or the images are others now."""
    folder, data = margins.require(run), load(run.study, run.train)
    margins.refuse_mixing(folder, {"packed": {run.train: data.side["hashes"]}})
    return folder


def read(file: Path, data: Packed) -> tuple[np.ndarray, str, list[str]]:
    """Reads a CSV of scores of a packed cell's images; raises ScoresError.

    Its columns are `image`, the manifest's image_id or, without the class, the picture's name in
    its source; one of `SCALES`; and, of patches, `row` and `column`, px. Others do not matter.

    Returns:
        Margins float32 (M, P) by the manifest's rows, NaN where there is no score; the column of
        `SCALES`; and the images that the cell does not have.
    """
    try:
        how = {"dtype": str, "keep_default_na": False, "skipinitialspace": True}
        table = pd.read_csv(file, index_col=False, **how)
    except (OSError, ValueError) as error:
        raise ScoresError(f"{file}: cannot be read as a CSV: {error}") from None
    place, scale = ([c for c in names if c in table] for names in (("row", "column"), SCALES))
    if "image" not in table or len(place) == 1 or len(scale) != 1 or table.empty:
        raise ScoresError(
            f"{file}: has {len(table)} lines of {', '.join(table)}; it needs image, one of "
            f"{', '.join(SCALES)} and, of patches, row and column"
        )

    def refuse(which: pd.Series, why: str) -> None:
        if which.any():
            first = ", ".join(table.loc[which, ["image", *place, *scale]].iloc[0])
            raise ScoresError(f"{file}: {which.sum()} of {len(table)} lines {why}, such as {first}")

    numbers = table[[*place, *scale]].apply(pd.to_numeric, errors="coerce")
    is_probability, z = scale == ["probability"], numbers[scale[0]]
    with np.errstate(over="ignore"):
        z = (logit(z).clip(-SURE, SURE) if is_probability else z).astype(np.float32)
    finite = np.isfinite(numbers.assign(z=z)).all(axis=1)
    refuse(~finite, "lack a finite number" + " from 0 to 1" * is_probability)
    side, starts = data.images.shape[1], np.unique(numbers[place]) if place else np.zeros(1)
    size = max(1, side // len(starts))
    if not np.array_equal(starts, np.arange(0, side, size)):
        raise ScoresError(
            f"{file}: rows and columns are {shown(starts.tolist())}; patches must cover the image, "
            f"{side} px, without gaps or overlaps: 0, p, 2p, … px"
        )
    ids = data.manifest["image_id"]
    names = ids.str.partition("/")[2]
    once = names[~names.duplicated(keep=False)]
    rows = table["image"].map({name: row for one in (once, ids) for row, name in one.items()})
    refuse(rows.isna() & table["image"].isin(names), f"name two images (write as in {ids[0]})")
    at = numbers[place] // size @ [len(starts), 1] if place else 0 * z
    again = pd.DataFrame({"row": rows, "at": at}).duplicated() & rows.notna()
    refuse(again, "give a score that another one gave")
    known, grid = rows.notna(), np.full((len(ids), len(starts) ** 2), np.nan, np.float32)
    grid[rows[known].astype(int), at[known].astype(int)] = z[known]
    return grid, scale[0], sorted({*table.loc[~known, "image"]})


def _splits(run: Run, data: Packed, z: np.ndarray, unknown: list[str]) -> dict[str, np.ndarray]:
    """The rows of the run's test images, and of those that validate if any of these has a score."""
    rows = {split: data.rows(split, run.fold(run.train)) for split in ("test", "validation")}
    if np.isnan(z[rows["validation"]]).all():
        rows["validation"] = rows["validation"][:0]
    for split, images in rows.items():
        lacking, each = images[np.isnan(z[images]).any(axis=1)], z.shape[1]
        if len(lacking):
            raise ScoresError(
                f"{len(lacking)} of {len(images)} {split} images of {run.train} lack a score"
                + f" of one of their {each} patches" * (each > 1)
                + f", such as {data.manifest['image_id'][lacking[0]]}"
                + (f"; {len(unknown)} are unknown, such as {unknown[0]}" if unknown else "")
            )
    return rows


def _write(
    run: Run, data: Packed, z: np.ndarray, rows: dict[str, np.ndarray], file: Path, column: str
) -> None:
    """Lays a run down whole, or finds it."""
    hashes, content = data.side["hashes"], file.read_bytes()
    told = {"column": column, "sha256": hashlib.sha256(content).hexdigest()}
    config = margins.config(run, {run.train: hashes}, imported=told)
    if run.is_finished:
        return margins.refuse_mixing(run.folder, config)
    draft, history = paths.beside(run.folder), {"epoch": 0}
    shutil.rmtree(draft, ignore_errors=True)
    grid, epochs = grid_origins(run.study.data.image_size, run.patch_size), np.zeros(1, np.int32)
    for split, images in rows.items():
        labels = data.manifest["label"].to_numpy(np.uint8)[images]
        scored = margins.Margins(z[images][None], labels, grid, epochs, images)
        about = {"packed_hash": hashes.get(split, hashes["test"]), "crops_seed": 0}
        margins.save(paths.margins(draft, run.train, split, "grid"), scored, **about)
        right = (z[images] > 0) == labels[:, None]
        history[f"{split}_accuracy"] = right.mean() if len(images) else None
    pd.DataFrame([history]).to_csv(draft / "history.csv", index=False)
    (draft / paths.SCORES).write_bytes(content)
    (draft / "config.json").write_text(json.dumps(config, indent=1), "utf-8")
    files.record(draft, None)
    draft.rename(run.folder)
