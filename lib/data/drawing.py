"""Draws pictures of one class at a time into a packed array that is not yet whole.

The array lies in a folder of its own with a journal: a line per drawn name, in drawing order,
that says which row it became or why it was skipped. A restart goes on after the last line.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lib import paths
from lib.data.pictures import Unusable
from lib.data.sources import PictureSource, SourceError
from lib.progress import bar


class PackingError(ValueError):
    """A cell cannot be packed; the message says what is wrong, the numbers, and what to do."""


class Draft:
    """The folder in which a cell's images are gathered until all are there."""

    def __init__(self, folder: Path, recipe: dict[str, Any], rows: int) -> None:
        """Opens the draft of the same recipe, or begins a new one.

        Args:
            folder: where it lies, or will.
            recipe: all that the images depend on; a draft of another recipe is discarded.
            rows: how many images the whole cell has.
        """
        self.folder, self.size = folder, recipe["data"]["image_size"]
        self.resample = recipe["data"]["resample"]
        self.images, self.journal = folder / "images.npy", folder / "journal.jsonl"
        stored = folder / "recipe.json"
        if not stored.is_file() or json.loads(stored.read_text("utf-8")) != recipe:
            shutil.rmtree(folder, ignore_errors=True)
            self._begin(rows)
            paths.write_whole(stored, lambda p: p.write_text(json.dumps(recipe), "utf-8"))
        self.entries = self._read_journal()

    def _begin(self, rows: int) -> None:
        """Writes the array's header; its rows follow as plain writes.

        A write to a full disk raises an error, where a memory map would end the process.
        """
        self.folder.mkdir(parents=True)
        need, free = rows * self.size**2 * 3, shutil.disk_usage(self.folder).free
        if need > free:
            raise PackingError(
                f"{self.folder.parent}: packing needs {need / 1e9:.1f} GB and {free / 1e9:.1f} GB "
                "are free; free some space, or set PATCHWISE_WORK to a folder on a larger disk"
            )
        header = {"descr": "|u1", "fortran_order": False, "shape": (rows, self.size, self.size, 3)}
        with open(self.images, "wb") as file:
            np.lib.format.write_array_header_2_0(file, header)
            file.truncate(file.tell() + need)

    def _read_journal(self) -> list[dict[str, Any]]:
        """The entries so far; a line that a kill cut short is dropped, its picture drawn again."""
        found = self.journal.read_text("utf-8") if self.journal.exists() else ""
        whole = [line for line in found.splitlines(keepends=True) if line.endswith("\n")]
        paths.write_whole(self.journal, lambda p: p.write_text("".join(whole), "utf-8"))
        return [json.loads(line) for line in whole]

    def of(self, label: int) -> list[dict[str, Any]]:
        """One class's entries, in drawing order."""
        return [entry for entry in self.entries if entry["label"] == label]

    def draw(
        self, source: PictureSource, label: int, key: str, rows: list[int], max_skipped: float
    ) -> None:
        """Draws one class, in an order that `key` alone fixes, until every row has its picture.

        Args:
            source: the class's pictures.
            label: real = 0, fake = 1.
            key: seeds the order.
            rows: the rows to fill, in this order.
            max_skipped: the share of the drawn pictures that may be unusable.

        Raises:
            SourceError: if the source has no picture.
            PackingError: if too few are usable, or too many are not, or a picture stands in both
                classes. What the other class has drawn is kept.
        """
        names = source.names()
        if not names:
            raise SourceError(f"{source.title}: no PNG, JPEG or WebP picture in it")
        listing = hashlib.sha256("\n".join([key, *names]).encode()).hexdigest()
        self._forget_outdated(label, listing, len(rows), len(names), max_skipped)
        order = _order(key, len(names))[len(self.of(label)) :]
        filled = self._filled(label)
        seen = {entry["sha256"]: entry for entry in self.entries if entry["row"] is not None}
        with (
            open(self.images, "r+b") as images,
            open(self.journal, "a", encoding="utf-8") as journal,
            bar(desc=source.title, total=len(rows), initial=filled, unit="image") as progress,
        ):
            start = _data_offset(images)
            for index in order:
                if filled == len(rows):
                    break
                entry, pixels = self._try(source, label, names[index], seen)
                if pixels is not None:
                    entry["row"], filled = rows[filled], filled + 1
                    seen[entry["sha256"]] = entry
                    images.seek(start + entry["row"] * pixels.nbytes)
                    images.write(pixels.tobytes())
                    images.flush()  # before the journal says that it is there
                    progress.update()
                self.entries.append({**entry, "listing": listing})
                journal.write(json.dumps(self.entries[-1]) + "\n")
                journal.flush()
        if filled < len(rows):
            raise PackingError(
                f"{source.title}: {len(rows)} usable images are asked for, {filled} of its "
                f"{len(names)} are usable{self._examples(label)}. Lower data.per_class, or add some"
            )
        self._check_skipped(label, source, max_skipped)

    def _try(
        self, source: PictureSource, label: int, name: str, seen: dict[str, dict[str, Any]]
    ) -> tuple[dict[str, Any], np.ndarray | None]:
        """One name's journal entry, and its pixels if it is usable."""
        entry = {"label": label, "name": name, "source": source.title, "row": None, "reason": None}
        try:
            picture, sha256 = source.load(name, self.size, self.resample)
        except Unusable as error:
            return {**entry, "reason": str(error)}, None
        twin = seen.get(sha256)
        if twin and twin["label"] != label:
            raise PackingError(
                f"the same file stands in both classes: {twin['source']}: {twin['name']} and "
                f"{source.title}: {name}. Remove it from the class that it does not belong to"
            )
        if twin:
            return {**entry, "reason": f"the same file as {twin['name']}"}, None
        about = {"width": picture.width, "height": picture.height, "format": picture.format}
        return {**entry, "sha256": sha256, **about}, picture.pixels

    def _filled(self, label: int) -> int:
        return sum(entry["row"] is not None for entry in self.of(label))

    def _forget_outdated(
        self, label: int, listing: str, rows: int, names: int, max_skipped: float
    ) -> None:
        """Drops a class that was drawn from other names, or that ended with too many unusable.

        In both cases its pictures may have been mended since; the other class is kept.
        """
        drawn, filled = self.of(label), self._filled(label)
        skipped = len(drawn) - filled
        too_few = filled < rows and len(drawn) == names and skipped
        unusable = too_few or (filled == rows and skipped > max_skipped * len(drawn))
        if unusable or any(entry["listing"] != listing for entry in drawn):
            self.entries = [entry for entry in self.entries if entry["label"] != label]
            lines = "".join(json.dumps(entry) + "\n" for entry in self.entries)
            paths.write_whole(self.journal, lambda p: p.write_text(lines, "utf-8"))

    def _check_skipped(self, label: int, source: PictureSource, allowed: float) -> None:
        tried = len(self.of(label))
        skipped = tried - self._filled(label)
        if skipped > allowed * tried:
            raise PackingError(
                f"{source.title}: {skipped} of {tried} drawn images cannot be used, more than "
                f"data.max_skipped = {allowed:g} of them{self._examples(label)}. Mend or remove "
                "them, or raise data.max_skipped"
            )

    def _examples(self, label: int, count: int = 3) -> str:
        failed = [entry for entry in self.of(label) if entry["row"] is None]
        named = "; ".join(f"{entry['name']} ({entry['reason']})" for entry in failed[:count])
        return f" (for example {named})" if failed else ""


def _order(key: str, count: int) -> list[int]:
    """A random order of `count` names that depends on `key` alone."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")
    return np.random.default_rng(seed).permutation(count).tolist()


def _data_offset(file: BinaryIO) -> int:
    """Where the rows of a .npy file begin, in bytes."""
    file.seek(0)
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_2_0(file)
    return file.tell()
