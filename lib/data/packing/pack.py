"""Packs cells: draws images, brings them to one size, and stores them for memory-mapped reading.

Images are split before any patch is cut, and the test split is drawn first: a cell that is only
tested on has the very test split that it would have if it were trained on.
"""

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from lib.data import cells, packed, perturbations
from lib.data.packed import CLASSES, COLUMNS, FACTS, FOLDS, SPLITS
from lib.data.packing import folds
from lib.data.packing.journal import Draft, write_header
from lib.data.packing.selection import Drawing
from lib.data.packing.workers import Workers
from lib.progress import bar
from lib.study import files, paths
from lib.study.schema import Altered
from lib.study.study import Study


def pack(study: Study, cell: str, *, train: bool = False, code: str | None = None) -> str:
    """Packs a cell if it is missing, damaged, or was made with other parameters, or by other code.

    A packing that was interrupted goes on where it stopped. Of an altered cell the cell that it
    alters is packed first. With `train`, and of cells that the study trains on, all three splits
    are packed; of others the test split alone. `code` is what the code is known by, if that is
    told. Says `found`, `packed`, or `packed again: ` with the reason; raises ParameterError,
    PackingError or SourceError, naming the key or folder, the numbers, and what to do.
    """
    cells.check(study)
    given, folder = study.cells[cell], paths.packed(study.name, cell)
    if isinstance(given, Altered):
        pack(study, given.test_images_of)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{cell}.lock")):
        why = packed.stale(study, cell, train=train, code=code)
        if why is not None:
            splits = packed.needed_splits(study, cell, train)
            altered = isinstance(given, Altered)
            made = _alter(study, cell, given) if altered else _draw(study, cell, splits, code)
            _finish(folder, *made, code)
        files.settle(folder, code)
        return f"packed again: {why}" if why else "found" if why is None else "packed"


Made = tuple[Path, dict[str, Any], dict[str, Any]]
"""A cell's draft, beside its final folder; its recipe; and what is to be known of its classes."""


def _draw(study: Study, cell: str, splits: tuple[str, ...], code: str | None) -> Made:
    """Draws a cell's pictures."""
    recipe, given = packed.recipe(study, cell, splits), study.cells[cell]
    per_class, max_skipped = recipe["data"].get("per_class", {}), study.data.max_skipped
    each = sum(per_class.values()) or recipe["data"]["most_per_class"]
    folder, rows = paths.beside(paths.packed(study.name, cell)), iter(range(2 * each))
    draft = Draft(folder, recipe, 2 * each, code)
    # The test photographs of a dataset are the same beside every generator.
    keys = [f"{study.data.seed}/real/{cell.partition('-')[0]}", f"{study.data.seed}/fake/{cell}"]
    # Simulated pictures are made with torch, which uses all cores by itself.
    processes = 1 if given.simulated else None
    left = 2 * each - len(draft.used())
    with Workers([given.real, given.fake], study.data_of(cell), left, processes) as workers:
        drawing = Drawing(draft, workers, keys, each)
        drawing.forget_outdated(max_skipped)
        if study.data.folds and not draft.of_class(0):
            draft.forget(1)  # whose rows come after those of the reals
        for split, label in itertools.product(per_class, (0, 1)):
            drawing.fill(label, split, list(itertools.islice(rows, per_class[split])))
        for label in (0, 1) if study.data.folds else ():
            first = sum(entry.label < label for entry in draft.used())  # after the reals
            drawing.fill(label, SPLITS[0], list(range(first, first + each)), folds=True)
        drawing.check_skipped(max_skipped)
        classes = {name: drawing.about(label) for label, name in enumerate(CLASSES)}
    table, columns = draft.table(["name", "identity", *COLUMNS[1:], *FACTS]), COLUMNS
    if study.data.folds:
        draft.cut(len(table))
        dealt = folds.deal(table, study.data, keys, train=cell in study.train_on)
        table, columns = table.join(dealt), COLUMNS + FOLDS
    names = zip(table["label"], table["name"], strict=True)
    table["image_id"] = [f"{CLASSES[label]}/{name}" for label, name in names]
    table = table.astype({"label": np.uint8, "bytes": np.float64, "quality": np.float64})
    table[columns].to_parquet(folder / "manifest.parquet", index=False)
    table[FACTS].to_parquet(folder / "files.parquet", index=False)
    return folder, recipe, classes


def _alter(study: Study, cell: str, how: Altered) -> Made:
    """Writes altered test images, and the tables' rows about them.

    Plain writes, an image at a time: a full disk raises an error, and memory stays small.
    """
    draft = paths.beside(paths.packed(study.name, cell))
    base = packed.read(paths.packed(study.name, how.test_images_of))
    shutil.rmtree(draft, ignore_errors=True)  # an unfinished one is begun anew
    draft.mkdir(parents=True)
    rows = base.rows("test")
    for name, table in (("manifest", base.manifest), ("files", base.files)):
        table.iloc[rows].to_parquet(draft / f"{name}.parquet", index=False)
    with open(draft / "images.npy", "wb") as file:
        write_header(file, len(rows), base.images.shape[1])
        for row in bar(iterable=rows, desc=perturbations.title(how), unit="image"):
            altered = perturbations.alter(base.images[row], how, study.data.resample)
            file.write(altered.tobytes())
    recipe = packed.recipe(study, cell, SPLITS[:1])
    return draft, recipe, {name: base.side[name] for name in CLASSES}


def _finish(
    folder: Path,
    draft: Path,
    recipe: dict[str, Any],
    classes: dict[str, Any],
    code: str | None,
) -> None:
    """Writes what is to be known of a packed cell, and gives it its final name, `folder`."""
    images = np.load(draft / "images.npy", mmap_mode="r")
    hashes = packed.hashes(images, pd.read_parquet(draft / "manifest.parquet"))
    side = {"recipe": recipe, "hashes": hashes, **classes}
    (draft / "packed.json").write_text(json.dumps(side, indent=1), "utf-8")
    files.record(draft, code)
    files.discard(folder, "packed.json")
    draft.rename(folder)
