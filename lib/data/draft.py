"""A packed array that is not yet whole, with a journal of what was drawn into it.

It lies in a folder of its own. The journal has a line per drawn name, in drawing order, that says
which row it became or why it did not; a restart goes on after the last line.
"""

import contextlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from lib import paths


class PackingError(ValueError):
    """A cell cannot be packed; the message says what is wrong, the numbers, and what to do."""


@dataclass(slots=True)
class Entry:
    """One drawn name: what choosing the next ones needs to know of it."""

    label: int
    """real = 0, fake = 1."""
    name: str
    split: str
    listing: str
    """A hash of the names that it was drawn from."""
    identity: str | None
    row: int | None = None
    kind: str = ""
    """Of a name that became no row: `unusable`, or why it was passed over."""
    reason: str = ""
    sha256: str | None = None
    phash: str | None = None

    @property
    def shown(self) -> str:
        """Its name as it can be printed."""
        return printable(self.name)


NAMES = [field.name for field in fields(Entry)]


class Draft:
    """The folder in which a cell's images are gathered until all are there."""

    def __init__(self, folder: Path, recipe: dict[str, Any], rows: int) -> None:
        """Opens the draft of the same recipe, or begins a new one.

        Args:
            folder: where it lies, or will.
            recipe: all that the images depend on; a draft of another recipe is discarded.
            rows: how many images the whole cell has.
        """
        self.folder, self.image_size = folder, recipe["data"]["image_size"]
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
        need, free = rows * self.image_size**2 * 3, shutil.disk_usage(self.folder).free
        if need > free:
            raise PackingError(
                f"{self.folder.parent}: packing needs {need / 1e9:.1f} GB and {free / 1e9:.1f} GB "
                "are free; free some space, or set PATCHWISE_WORK to a folder on a larger disk"
            )
        shape = (rows, self.image_size, self.image_size, 3)
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        with open(self.images, "wb") as file:
            np.lib.format.write_array_header_2_0(file, header)
            file.truncate(file.tell() + need)

    def _read_journal(self) -> list[dict[str, Any]]:
        """The entries so far; a line that a kill cut short is dropped, its picture drawn again."""
        found = self.journal.read_text("utf-8") if self.journal.exists() else ""
        whole = [line for line in found.splitlines(keepends=True) if line.endswith("\n")]
        paths.write_whole(self.journal, lambda p: p.write_text("".join(whole), "utf-8"))
        return [Entry(**{key: found[key] for key in NAMES}) for found in map(json.loads, whole)]

    def of(self, label: int) -> list[Entry]:
        """One class's entries, in drawing order."""
        return [entry for entry in self.entries if entry.label == label]

    def used(self) -> list[Entry]:
        """The entries of the pictures that became rows."""
        return [entry for entry in self.entries if entry.row is not None]

    def forget(self, label: int) -> None:
        """Drops one class, whose pictures are then drawn anew."""
        lines = self.journal.read_text("utf-8").splitlines(keepends=True)
        kept = "".join(line for line in lines if json.loads(line)["label"] != label)
        paths.write_whole(self.journal, lambda p: p.write_text(kept, "utf-8"))
        self.entries = [entry for entry in self.entries if entry.label != label]

    def columns(self, names: list[str]) -> dict[str, list[Any]]:
        """Some columns of the journal, `row` among them, of the pictures that became rows."""
        found: dict[str, list[Any]] = {name: [] for name in ["row", *names]}
        with open(self.journal, encoding="utf-8") as lines:
            for entry in map(json.loads, lines):
                if entry["row"] is not None:
                    for name, values in found.items():
                        values.append(entry[name])
        return found

    @contextlib.contextmanager
    def writing(self) -> Iterator[Callable[..., None]]:
        """Opens both files; yields a function that adds an entry, its facts and its pixels.

        Facts are what the journal has beside the entry; pixels, uint8 (S, S, 3), are for a row.
        """
        with (
            open(self.images, "r+b") as images,
            open(self.journal, "a", encoding="utf-8") as journal,
        ):
            start = _data_offset(images)

            def add(entry: Entry, facts: dict[str, Any], pixels: np.ndarray | None) -> None:
                if entry.row is not None:
                    images.seek(start + entry.row * pixels.nbytes)
                    images.write(pixels.data)
                    images.flush()  # before the journal says that it is there
                self.entries.append(entry)
                known = {name: getattr(entry, name) for name in NAMES}
                journal.write(json.dumps({**facts, **known}) + "\n")
                journal.flush()

            yield add


def printable(name: str) -> str:
    """A file's name as text, with escapes for what is not UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _data_offset(file: BinaryIO) -> int:
    """Where the rows of a .npy file begin, in bytes."""
    file.seek(0)
    np.lib.format.read_magic(file)
    np.lib.format.read_array_header_2_0(file)
    return file.tell()
