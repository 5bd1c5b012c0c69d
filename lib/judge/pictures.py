"""Which pictures there are to judge: files, and what lies in folders and zips."""

import unicodedata
import zipfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from lib.data import packed
from lib.data.images import SUFFIXES
from lib.data.packing.journal import printable
from lib.data.sources.interface import SourceError
from lib.data.sources.registry import open_source
from lib.data.sources.trees import open_tree
from lib.study import paths
from lib.study.schema import Source
from lib.study.study import Study


class Pictures(NamedTuple):
    """The pictures of one folder or zip."""

    source: Source
    names: list[str]  # as the source reads them
    shown: list[str]
    """As results name them: the path as it was given, with what lies below it; told apart by it.
    What is not UTF-8, or steers a terminal, is escaped."""

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Each picture's two names."""
        return list(zip(self.names, self.shown, strict=True))

    def written(self, name: str) -> int:
        """When a picture's file, or the zip that holds it, was last written or put there, ns."""
        root = Path(self.source.path)
        try:
            stat = (root / name if root.is_dir() else root).stat()
        except OSError:  # a link to nothing, which is judged as unusable
            return 0
        return max(stat.st_mtime_ns, stat.st_ctime_ns)


def listed(given: Sequence[Path]) -> tuple[list[Pictures], int]:
    """The pictures, each once, and how many other files lie among them.

    A file that is named is taken whatever its suffix; of folders and zips those of `SUFFIXES`.

    Raises:
        SourceError: if there is nothing at a path, it cannot be read, or no picture is there.
    """
    every, others, seen = [], 0, set()
    for path in given:
        if not path.exists():
            raise SourceError(f"{path}: there is no such file or folder")
        if path.is_file() and not _is_zip(path):
            root, names, shown = path.parent, [path.name], [_told(path)]
        else:
            root, files = path, open_tree(path).files
            names = [name for name in files if name.lower().endswith(SUFFIXES)]
            others += len(files) - len(names)
            shown = [_told(path / name) for name in names]
        new = [(n, s) for n, s in zip(names, shown, strict=True) if (root.resolve(), n) not in seen]
        seen |= {(root.resolve(), name) for name, _ in new}
        source = Source(kind="files", path=str(root.resolve()))
        every.append(Pictures(source, [n for n, _ in new], [s for _, s in new]))
    if not any(pictures.names for pictures in every):
        where = ", ".join(map(str, given))
        raise SourceError(f"{where}: no picture; looked for {', '.join(SUFFIXES)}")
    return every, others


def _told(path: Path) -> str:
    """A path as text, with escapes for what is not UTF-8, or steers a terminal."""
    text = printable(str(path))
    steers = {letter for letter in text if unicodedata.category(letter).startswith("C")}
    return text.translate({ord(c): c.encode("unicode_escape").decode() for c in steers})


def _is_zip(path: Path) -> bool:
    """By its name or its beginning: a picture to which a zip was appended stays one."""
    if path.suffix.lower() == ".zip":
        return True
    with path.open("rb") as file:
        return file.read(2) == b"PK" and zipfile.is_zipfile(path)


def of_study(study: Study, folder: Path, count: int = 3) -> Path:
    """Writes a study's first photographs and fakes, `count` of each, as files to judge."""
    cell = study.cells[study.base(study.train_on[0])]
    for name in packed.CLASSES:
        source = open_source(getattr(cell, name), study.data)
        for number, picture in enumerate(islice(source.names(), count)):
            content = source.read(picture)
            path = folder / f"{name}_{number}{Path(picture).suffix or '.png'}"
            if isinstance(content, bytes):
                paths.write_whole(path, lambda p, content=content: p.write_bytes(content))
            else:
                image = Image.fromarray(content)
                paths.write_whole(path, lambda p, image=image: image.save(p, "PNG"))
    return folder
