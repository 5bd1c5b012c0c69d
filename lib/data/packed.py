"""Reads packed data: a test cell's images, brought to one size, mapped from `data/packed/`.

It opens what `lib.data.packing` made and makes nothing: what is missing, or was made with other
parameters, is an error that names the command which makes it.
"""

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lib.study import files, paths
from lib.study.files import DamagedError
from lib.study.schema import Altered
from lib.study.study import Study

CLASSES = ("real", "fake")
SPLITS = ("test", "validation", "train")  # the rows' order; within a split the reals come first
FOLDS = ["fold", "part"]
"""Where a study has folds, two more columns, uint8: an image's fold, and its eighth of the fold."""
COLUMNS = ["image_id", "label", "split", "source", "sha256", "width", "height", "format"]
FACTS = ["bytes", "bits", "mode", "quality", "tables", "subsampling", "progressive"]
FACTS += ["side", "phash"]
TABLES = ("manifest.parquet", "files.parquet")


class PackedError(RuntimeError):
    """Packed data are missing or were made with other parameters; the message says what to do."""


@dataclass(frozen=True)
class Packed:
    """One packed cell; its tables have a row per image, in the order of the images."""

    images: np.ndarray
    """uint8 (N, S, S, 3) RGB, a memory map; writing to it changes no file."""
    manifest: pd.DataFrame  # with `COLUMNS`
    files: pd.DataFrame
    """What the images' files were, with `FACTS`: see `lib.data.images.Picture`; `phash` is that of
    `near_duplicates.fingerprint`."""
    side: dict[str, Any]
    """`recipe`; the `hashes` of the splits; per class its `source`, and the files there (`of`),
    `skipped`, `passed_over` and `ignored`."""

    def rows(self, split: str, fold: int | None = None) -> np.ndarray:
        """int32, rising: the rows of one split; with `fold`, of that of the seed tested on it."""
        if fold is None:
            return np.flatnonzero(self.manifest["split"] == split).astype(np.int32)
        tested = (self.manifest["fold"] == fold).to_numpy()
        validates = (self.manifest["part"] == fold).to_numpy()
        wanted = {"test": tested, "validation": ~tested & validates, "train": ~tested & ~validates}
        return np.flatnonzero(wanted[split]).astype(np.int32)


def load(study: Study, cell: str, *, train: bool = False) -> Packed:
    """Opens a packed cell; with `train` all three splits must be there, not the test split alone.

    Raises PackedError if it is not there, is damaged, or was made with other parameters, naming the
    command that makes it.
    """
    folder, why = paths.packed(study.name, cell), stale(study, cell, train=train)
    if why is None:
        return read(folder)
    by_name = cell not in study.train_on and train  # the notebook packs its test split alone
    state = f"cannot be used ({why})" if why else "are missing"
    raise PackedError(
        f"{folder}: the packed data {state}. Make them, from the project's folder:\n  "
        + _command(study, cell)
        + (" --train" if by_name else "\nor with notebook 00_data")
    )


def _command(study: Study, cell: str) -> str:
    """The command that packs a cell."""
    dataset, _, gan = cell.partition("-")
    return f"python -m lib pack --study {study.name} --dataset {dataset} --gan {gan}"


def read(folder: Path) -> Packed:
    """Opens the packed cell in `folder`, whatever made it; DamagedError if it is not as recorded.

    Of cells that were packed before digests were recorded, `check` alone can tell.
    """
    known, side, tables = files.recorded(folder).get("sha256", {}), _side(folder), []
    for name in TABLES:
        files.hold(folder / name, known.get(name))
        with files.reading(folder / name):
            tables.append(pd.read_parquet(folder / name))
    with files.reading(folder / "images.npy"):
        images, size = np.load(folder / "images.npy", mmap_mode="c"), side["recipe"]["data"]
        rows, expected = map(len, tables), (size["image_size"], size["image_size"], 3)
        if images.dtype != np.uint8 or {(count, *expected) for count in rows} != {images.shape}:
            raise ValueError(f"{images.dtype} {images.shape}, which its tables do not describe")
    return Packed(images, *tables, side)


def check(study: Study, cell: str) -> str:
    """Raises DamagedError unless a packed cell's files, labels and pixels are as recorded."""
    folder = paths.packed(study.name, cell)
    remedy = f". Delete {folder}, and run:\n  {_command(study, cell)}"
    files.check(folder, remedy)
    there = read(folder)
    if hashes(there.images, there.manifest) != there.side["hashes"]:
        raise DamagedError(f"{folder} holds other labels or pixels than were packed{remedy}")
    return "as recorded"


def hashes(images: np.ndarray, manifest: pd.DataFrame) -> dict[str, str]:
    """The SHA-256 of each split's names, labels, folds and pixels."""
    told = {}
    for split, rows in manifest.groupby("split"):
        digest = hashlib.sha256("\n".join(rows["image_id"]).encode())
        labels = rows[[name for name in ("label", *FOLDS) if name in rows]]
        for row, numbers in zip(rows.index, labels.itertuples(index=False), strict=True):
            digest.update(bytes(numbers) + images[row].tobytes())
        told[str(split)] = digest.hexdigest()
    return told


def stale(study: Study, cell: str, *, train: bool = False, code: str | None = None) -> str | None:
    """Why a cell's packed data cannot be used; empty if nothing is there, None if they can.

    Of an altered cell the one that it alters is looked at too. `train` is as in `load`: what was
    packed for training serves testing as well. `code` is what the code is known by, if it is told.
    """
    folder, given = paths.packed(study.name, cell), study.cells[cell]
    if not (folder / "packed.json").is_file():
        return ""
    try:
        side, altered = read(folder).side, isinstance(given, Altered)
    except DamagedError as error:
        return str(error)
    if altered and (why := stale(study, given.test_images_of)) is not None:
        return f"{given.test_images_of}, which it alters: {why or 'missing'}"
    if files.of_other_code(folder, code):
        return "the code changed"
    there = without_none(side["recipe"])
    splits = SPLITS[:1] if altered else tuple(there["data"].get("per_class", SPLITS[:1]))
    if not altered and not set(needed_splits(study, cell, train)) <= set(splits):
        return f"it held the {', '.join(splits)} split alone"
    recipes = (there, recipe(study, cell, splits))
    old, new = ({**made_by, **made_by["data"], "data": None} for made_by in recipes)
    changed = [key for key in {**new, **old} if new.get(key) != old.get(key)]
    if not changed and not altered:
        changed = [f"the folder of {name}" for name in CLASSES if _moved(study, cell, name, side)]
    return f"{', '.join(changed)} changed" if changed else None


def needed_splits(study: Study, cell: str, train: bool) -> tuple[str, ...]:
    """All splits of a cell that is trained on, the test split of any other.

    With folds there is no other split: which images train, each seed has its own.
    """
    trains = train or cell in study.train_on
    return SPLITS if trains and not study.data.folds else SPLITS[:1]


def recipe(study: Study, cell: str, splits: Sequence[str]) -> dict[str, Any]:
    """All that a cell's images in `splits` depend on; keys that are not set are left out.

    The cell that an altered one alters must be packed already.
    """
    given = study.cells[cell]
    if isinstance(given, Altered):
        base = _side(paths.packed(study.name, given.test_images_of))
        data, test = base["recipe"]["data"], base["hashes"]["test"]
        pictures = {"test_images_of": given.test_images_of, "test_images": test, **given.change}
    else:
        data = study.data_of(cell).model_dump(exclude={"max_skipped"})
        pictures = {name: getattr(given, name).model_dump() for name in CLASSES}
    if data.get("per_class"):
        data = {**data, "per_class": {split: data["per_class"][split] for split in splits}}
    return without_none({**pictures, "data": data})


def without_none(value: Any) -> Any:
    """A recipe without its keys that are None: a key that is not set may be stored, or left out."""
    if not isinstance(value, dict):
        return value
    return {key: without_none(inner) for key, inner in value.items() if inner is not None}


def _moved(study: Study, cell: str, name: str, side: dict[str, Any]) -> bool:
    """Whether DATA now holds pictures of a class elsewhere than where they were packed from."""
    source, packed_from = getattr(study.cells[cell], name).model_dump(), side[name]["source"]
    if source.get("path") is None or not Path(packed_from).is_absolute():
        return False  # a source may be called otherwise than by its path
    now = paths.below_data(source["path"])
    return os.path.exists(now) and str(now) != packed_from


def _side(folder: Path) -> dict[str, Any]:
    with files.reading(folder / "packed.json"):
        side = json.loads((folder / "packed.json").read_text("utf-8"))
        if not {"recipe", "hashes", *CLASSES} <= side.keys():
            raise ValueError(f"it has {', '.join(side)}")
        return side
