"""A packed array that is not yet whole, with a journal of what was drawn into it.

It lies in a folder of its own. The journal has a line per drawn name, in drawing order, that says
which row it became or why it did not; a restart goes on after the last line.
"""

import contextlib
import itertools
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd

from lib.data.packed import without_none
from lib.study import files, paths


class PackingError(ValueError):
    """A cell cannot be packed; the message says what is wrong, the numbers, and what to do."""


@dataclass(slots=True)
class Entry:
    """One drawn name: what choosing the next ones needs to know of it."""

    label: int  # real = 0, fake = 1
    name: str
    split: str
    listing: str  # a hash of the names that it was drawn from
    identity: str | None
    row: int | None = None
    kind: str = ""  # of a name that became no row: `unusable`, or why it was passed over
    reason: str = ""
    sha256: str | None = None
    phash: str | None = None

    @property
    def shown(self) -> str:
        """Its name as it can be printed."""
        return printable(self.name)


NAMES = [field.name for field in fields(Entry)]
RECIPE = "recipe.json"


class Draft:
    """The folder in which a cell's images are gathered until all are there."""

    def __init__(
        self, folder: Path, recipe: dict[str, Any], rows: int, code: str | None = None
    ) -> None:
        """Opens the draft of a cell of so many rows, or begins one.

        `recipe` is all that the images depend on; a draft of another is discarded, as is one that
        is damaged, or was made by code that is known by something else than `code`.
        """
        self.folder, self.side = folder, recipe["data"]["image_size"]
        self.images, self.journal = folder / "images.npy", folder / "journal.jsonl"
        stored = folder / RECIPE
        if files.of_other_code(folder, code) or not self._is_of(recipe):
            files.discard(folder, RECIPE)
            folder.mkdir(parents=True)
            files.begin(folder, code)
            need, free = rows * self.side**2 * 3, shutil.disk_usage(folder).free
            if need > free:
                raise PackingError(
                    f"{folder.parent}: packing needs {need / 1e6:,.2f} MB and {free / 1e6:,.2f} MB "
                    "are free; free some space, or set PATCHWISE_WORK to a folder on a larger disk"
                )
            with open(self.images, "wb") as file:
                write_header(file, rows, self.side)
                file.truncate(file.tell() + need)
            paths.write_whole(stored, lambda p: p.write_text(json.dumps(recipe), "utf-8"))
        self.journal.touch()
        # A line that a kill cut short is dropped, and those after a damaged one; their pictures are
        # drawn again.
        lines = self.journal.read_text("utf-8", "replace").splitlines(keepends=True)
        self._keep(itertools.takewhile(_is_entry, lines))

    def _is_of(self, recipe: dict[str, Any]) -> bool:
        """Whether there is a draft of this recipe, with an array as long as it says."""
        with contextlib.suppress(OSError, EOFError, ValueError):
            np.load(self.images, mmap_mode="r")
            stored = json.loads((self.folder / RECIPE).read_text("utf-8"))
            return without_none(stored) == recipe
        return False

    def _keep(self, lines: Iterable[str]) -> None:
        """Replaces the journal, whole, by some of its lines."""
        kept = list(lines)
        paths.write_whole(self.journal, lambda p: p.write_text("".join(kept), "utf-8"))
        self.entries = [Entry(**{n: line[n] for n in NAMES}) for line in map(json.loads, kept)]

    def of_class(self, label: int) -> list[Entry]:
        """One class's entries, in drawing order."""
        return [entry for entry in self.entries if entry.label == label]

    def used(self) -> list[Entry]:
        """The entries of the pictures that became rows."""
        return [entry for entry in self.entries if entry.row is not None]

    def cut(self, rows: int) -> None:
        """Leaves the array so many rows, where fewer pictures were there than were asked for."""
        with open(self.images, "r+b") as images:
            write_header(images, rows, self.side)
            images.truncate(images.tell() + rows * self.side**2 * 3)

    def forget(self, label: int) -> None:
        """Drops one class, whose pictures are then drawn anew."""
        lines = self.journal.read_text("utf-8").splitlines(keepends=True)
        self._keep(line for line in lines if json.loads(line)["label"] != label)

    def table(self, columns: list[str]) -> pd.DataFrame:
        """Some of what the journal says of the pictures that became rows, in the rows' order."""
        used = {}
        with open(self.journal, encoding="utf-8") as lines:
            for entry in map(json.loads, lines):
                if entry["row"] is not None:
                    entry |= {key: printable(entry[key]) for key in ("name", "source")}
                    used[entry["row"]] = [entry[column] for column in columns]
        return pd.DataFrame.from_dict(used, "index", columns=columns).sort_index()

    @contextlib.contextmanager
    def writing(self) -> Iterator[Callable[..., None]]:
        """Opens both files; yields a function that adds an entry, its facts and its pixels.

        Facts are what the journal has beside the entry; pixels, uint8 (S, S, 3), are for a row.
        """
        with open(self.images, "r+b") as images, open(self.journal, "a", encoding="utf-8") as lines:
            np.lib.format.read_magic(images)
            np.lib.format.read_array_header_2_0(images)
            start = images.tell()

            def add(entry: Entry, facts: dict[str, Any], pixels: np.ndarray | None) -> None:
                if entry.row is not None:
                    images.seek(start + entry.row * pixels.nbytes)
                    images.write(pixels.data)
                    images.flush()  # before the journal says that it is there
                self.entries.append(entry)
                lines.write(json.dumps({**facts, **asdict(entry)}) + "\n")
                lines.flush()

            yield add


def _is_entry(line: str) -> bool:
    """Whether a journal's line is whole."""
    with contextlib.suppress(ValueError, TypeError):
        return line.endswith("\n") and set(NAMES) <= set(json.loads(line))
    return False


def write_header(file: BinaryIO, rows: int, side: int) -> None:
    """Begins a .npy file of uint8 (rows, side, side, 3), whose rows follow as plain writes.

    A write to a full disk raises an error, where a memory map would end the process.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": (rows, side, side, 3)}
    np.lib.format.write_array_header_2_0(file, header)


def printable(name: str) -> str:
    """A file's name as text, with escapes for what is not UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
