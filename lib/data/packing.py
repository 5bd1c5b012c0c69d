"""Draws a cell's images, brings them to one size, and packs them for memory-mapped reading.

Images are split before any patch is cut, and the test split is drawn first: a cell that is only
tested on has the very test split that it would have if it were trained on.
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
from lib.data.draft import Draft, printable
from lib.data.drawing import CLASSES, Drawing
from lib.data.sources import file_path
from lib.data.workers import Workers
from lib.settings import Altered
from lib.study import Study

SPLITS = ("test", "validation", "train")
"""In the order of the packed rows; within a split the reals come first."""
COLUMNS = ["image_id", "label", "split", "source", "sha256", "width", "height", "format"]
FACTS = [
    "bytes",
    "bits",
    "mode",
    "quality",
    "tables",
    "subsampling",
    "progressive",
    "side",
    "phash",
]


@dataclass(frozen=True)
class Packed:
    """One packed cell."""

    images: np.ndarray
    """uint8 (N, S, S, 3) RGB, a memory map; writing to it changes no file."""
    manifest: pd.DataFrame
    """A row per image, in the same order, with `COLUMNS`."""
    files: pd.DataFrame
    """What the images' files were, a row per image in the same order, with `FACTS`: see
    `pictures.Picture`; `phash` is that of `near.fingerprint`."""
    side: dict[str, Any]
    """`recipe`; the `hashes` of the splits; per class its `source`, and the files there (`of`),
    `skipped`, `passed_over` and `ignored`."""
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
    sources, data = study.cells[cell], study.data_of(cell).model_dump(exclude={"max_skipped"})
    data["per_class"] = {split: data["per_class"][split] for split in splits}
    return {"data": data, "real": sources.real.model_dump(), "fake": sources.fake.model_dump()}


def _stale(folder: Path, study: Study, cell: str, splits: tuple[str, ...]) -> str | None:
    """None if what is packed can be used; else why it cannot, empty if nothing is there."""
    side = folder / "packed.json"
    if not side.is_file():
        return ""
    if not (folder / "files.parquet").is_file():
        return " again: what its files were was not kept"
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
    files = pd.read_parquet(folder / "files.parquet")
    side = json.loads((folder / "packed.json").read_text("utf-8"))
    return Packed(images, manifest, files, side, how)


def _pack(folder: Path, study: Study, cell: str, splits: tuple[str, ...]) -> None:
    """Packs beside `folder`, and renames once all is there."""
    recipe = _recipe(study, cell, splits)
    layout = _layout(recipe["data"]["per_class"])
    draft = Draft(paths.beside(folder), recipe, len(layout))
    # The test photographs of a dataset are the same beside every generator.
    keys = [f"{study.data.seed}/real/{cell.partition('-')[0]}", f"{study.data.seed}/fake/{cell}"]
    sources, rows = study.cells[cell], len(layout)
    # Simulated pictures are made with torch, which uses all cores by itself.
    count = 1 if sources.simulated else None
    left = rows - len(draft.used())
    with Workers([sources.real, sources.fake], study.data_of(cell), left, count) as workers:
        drawing = Drawing(draft, workers, keys, [rows // 2, rows // 2])
        drawing.forget_outdated(study.data.max_skipped)
        for split in splits:
            for label in (0, 1):
                of = (layout["split"] == split) & (layout["label"] == label)
                drawing.fill(label, split, layout.index[of].tolist())
        drawing.check_skipped(study.data.max_skipped)
        classes = {name: drawing.about(label) for label, name in enumerate(CLASSES)}
    manifest, files = _tables(draft, layout)
    manifest.to_parquet(draft.folder / "manifest.parquet", index=False)
    files.to_parquet(draft.folder / "files.parquet", index=False)
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


def _tables(draft: Draft, layout: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The manifest, and what the files were."""
    stored = [column for column in COLUMNS if column not in ("image_id", "split", "label")]
    columns = draft.columns(["name", *stored, *FACTS])
    columns |= {key: list(map(printable, columns[key])) for key in ("name", "source")}
    found = pd.DataFrame(columns).set_index("row").sort_index().reset_index(drop=True)
    found["split"], found["label"] = layout["split"], layout["label"].astype(np.uint8)
    names = zip(found["label"], found["name"], strict=True)
    found["image_id"] = [f"{CLASSES[label]}/{name}" for label, name in names]
    found = found.astype({"bytes": "float64", "quality": "float64"})
    return found[COLUMNS], found[FACTS]


def _hashes(images: Path, manifest: pd.DataFrame) -> dict[str, str]:
    """The SHA-256 of each split's names, labels and pixels."""
    pixels, hashes = np.load(images, mmap_mode="r"), {}
    for split, rows in manifest.groupby("split"):
        digest = hashlib.sha256("\n".join(rows["image_id"]).encode())
        for row, label in zip(rows.index, rows["label"], strict=True):
            digest.update(bytes([label]) + pixels[row].tobytes())
        hashes[str(split)] = digest.hexdigest()
    return hashes
