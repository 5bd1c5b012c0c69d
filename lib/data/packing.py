"""Draws a cell's images, brings them to one size, and packs them for memory-mapped reading.

A class's names are put in an order that the data seed fixes: the first usable ones become the
test split, the next the validation split, the next the training split. So no image stands in
two splits, before any patch is cut, and a cell that is only tested on has the very test split
that it would have if it were trained on.
"""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock

from lib import paths
from lib.data import altering
from lib.data.drawing import Draft
from lib.data.sources import file_path, open_source
from lib.settings import Altered
from lib.study import Study

CLASSES = ("real", "fake")
SPLITS = ("test", "validation", "train")
"""In the order of the packed rows; within a split the reals come first."""
COLUMNS = ["image_id", "label", "split", "source", "sha256", "width", "height", "format"]


@dataclass(frozen=True)
class Packed:
    """One packed cell."""

    images: np.ndarray
    """uint8 (N, S, S, 3) RGB, a memory map; writing to it changes no file."""
    manifest: pd.DataFrame
    """A row per image, in the same order, with `COLUMNS`."""
    side: dict[str, Any]
    """`recipe`; the `hashes` of the splits; per class its `source`, and the files
    there (`of`), `skipped` and `ignored`."""
    how: str = "found"
    """`found`, `packed`, or `packed again` with the reason."""

    def rows(self, split: str) -> np.ndarray:
        """int32: the rows of one split."""
        return np.flatnonzero(self.manifest["split"] == split).astype(np.int32)


def ensure(study: Study, cell: str, *, train: bool = False) -> Packed:
    """Opens a packed cell, packing it first if it is missing or was made with other parameters.

    A packing that was interrupted goes on where it stopped. Of an altered cell the cell that it
    alters is opened or packed first.

    Args:
        study: the study.
        cell: one of its cells.
        train: whether all three splits are needed, as they are of cells that the study trains on;
            of others only the test split is packed.

    Raises:
        PackingError, SourceError: naming the folder, the numbers, and what to do.
    """
    found = study.cells[cell]
    if isinstance(found, Altered):
        return _ensure_altered(study, cell, found)
    splits = SPLITS if train or cell in study.train_on else SPLITS[:1]
    folder = paths.packed(study.name, cell)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{cell}.lock")):
        why = _stale(folder, study, cell, splits)
        if why is None:
            return _open(folder, "found")
        _pack(folder, study, cell, splits)
        return _open(folder, f"packed{why}")


def _ensure_altered(study: Study, cell: str, how: Altered) -> Packed:
    """Opens a cell of altered test images, made anew if these or the alteration have changed."""
    base, folder = ensure(study, how.test_images_of), paths.packed(study.name, cell)
    recipe, draft = altering.recipe(how, base.side), paths.beside(folder)
    with FileLock(folder.with_name(f".{cell}.lock")):
        why = altering.stale(folder, recipe)
        if why is None:
            return _open(folder, "found")
        source = paths.packed(study.name, how.test_images_of)
        manifest = altering.write(draft, source, how, study.data.resample)
        side = {"recipe": recipe, "hashes": _hashes(draft / "images.npy", manifest)}
        side |= {name: base.side[name] for name in CLASSES}
        _finish(draft, folder, side)
        return _open(folder, f"packed{why}")


def _finish(draft: Path, folder: Path, side: dict[str, Any]) -> None:
    """Writes what is to be known of a packed cell, and gives it its final name."""
    (draft / "packed.json").write_text(json.dumps(side, indent=1), "utf-8")
    if folder.exists():
        shutil.rmtree(folder)
    draft.rename(folder)


def _recipe(study: Study, cell: str, splits: tuple[str, ...]) -> dict[str, Any]:
    """All that the packed images depend on."""
    sources, data = study.cells[cell], study.data.model_dump(exclude={"max_skipped"})
    data["per_class"] = {split: data["per_class"][split] for split in splits}
    return {"data": data, "real": sources.real.model_dump(), "fake": sources.fake.model_dump()}


def _stale(folder: Path, study: Study, cell: str, splits: tuple[str, ...]) -> str | None:
    """None if what is packed can be used; else why it cannot, empty if nothing is there."""
    side = folder / "packed.json"
    if not side.is_file():
        return ""
    there = json.loads(side.read_text("utf-8"))["recipe"]
    packed = tuple(there["data"]["per_class"])
    if not set(splits) <= set(packed):
        return f" again: it held the {', '.join(packed)} split alone"
    here = _recipe(study, cell, packed)
    changed = [key for key in here["data"] if here["data"][key] != there["data"].get(key)]
    changed += [name for name in CLASSES if here[name] != there.get(name)]
    changed = changed or [f"the folder of {n}" for n in CLASSES if _moved(study, cell, n, side)]
    return f" again: {', '.join(changed)} changed" if changed else None


def _moved(study: Study, cell: str, name: str, side: Path) -> bool:
    """Whether DATA now holds pictures of a class elsewhere than where they were packed from."""
    path = getattr(study.cells[cell], name).model_dump().get("path")
    now = file_path(path) if path else None
    return (
        bool(now and now.exists())
        and str(now) != json.loads(side.read_text("utf-8"))[name]["source"]
    )


def _open(folder: Path, how: str) -> Packed:
    images = np.load(folder / "images.npy", mmap_mode="c")
    manifest = pd.read_parquet(folder / "manifest.parquet")
    return Packed(images, manifest, json.loads((folder / "packed.json").read_text("utf-8")), how)


def _pack(folder: Path, study: Study, cell: str, splits: tuple[str, ...]) -> None:
    """Packs beside `folder`, and renames once all is there."""
    recipe = _recipe(study, cell, splits)
    layout = _layout(recipe["data"]["per_class"])
    draft = Draft(paths.beside(folder), recipe, len(layout))
    classes = {}
    for label, name in enumerate(CLASSES):
        source = open_source(getattr(study.cells[cell], name), study.data)
        # The photographs of a dataset are the same beside every generator.
        key = f"{study.data.seed}/{name}/{cell if label else cell.partition('-')[0]}"
        rows = np.flatnonzero(layout["label"] == label).tolist()
        draft.draw(source, label, key, rows, study.data.max_skipped)
        skipped = [[e["name"], e["reason"]] for e in draft.of(label) if e["row"] is None]
        classes[name] = {"source": source.title, "of": len(source.names())}
        classes[name] |= {"skipped": skipped, "ignored": source.ignored()}
    manifest = _manifest(draft, layout)
    manifest.to_parquet(draft.folder / "manifest.parquet", index=False)
    side = {"recipe": recipe, "hashes": _hashes(draft.images, manifest), **classes}
    _finish(draft.folder, folder, side)
    for scaffold in ("journal.jsonl", "recipe.json"):
        (folder / scaffold).unlink()


def _layout(per_class: dict[str, int]) -> pd.DataFrame:
    """The split and label of every row."""
    rows = [
        (split, label)
        for split, count in per_class.items()
        for label in (0, 1)
        for _ in range(count)
    ]
    return pd.DataFrame(rows, columns=["split", "label"])


def _manifest(draft: Draft, layout: pd.DataFrame) -> pd.DataFrame:
    entries = [entry for entry in draft.entries if entry["row"] is not None]
    found = pd.DataFrame(entries).set_index("row").sort_index()
    found["image_id"] = [f"{CLASSES[e.label]}/{e.name}" for e in found.itertuples()]
    found["split"], found["label"] = layout["split"], layout["label"].astype(np.uint8)
    return found[COLUMNS].reset_index(drop=True)


def _hashes(images: Path, manifest: pd.DataFrame) -> dict[str, str]:
    """The SHA-256 of each split's names, labels and pixels."""
    pixels, hashes = np.load(images, mmap_mode="r"), {}
    for split, rows in manifest.groupby("split"):
        digest = hashlib.sha256("\n".join(rows["image_id"]).encode())
        for row, label in zip(rows.index, rows["label"], strict=True):
            digest.update(bytes([label]) + pixels[row].tobytes())
        hashes[str(split)] = digest.hexdigest()
    return hashes
