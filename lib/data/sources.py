"""Where one class's pictures come from: each source lists names and prepares a picture by name."""

import hashlib
import lzma
import os
import zipfile
import zlib
from collections import Counter
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from lib import paths
from lib.data.pictures import SUFFIXES, Unusable
from lib.settings import Data, Files, Simulated

SIMULATED_PICTURES = 100_000
DAMAGED = (
    *(OSError, EOFError, RuntimeError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
"""What reading a file, or a damaged or encrypted entry of a zip, may raise."""


class SourceError(ValueError):
    """A source cannot be read at all; the message names it and says what to do."""


class PictureSource(Protocol):
    """What a study needs of a source."""

    title: str
    """How messages and the manifest name it."""

    def names(self) -> list[str]:
        """Its pictures' names, in a fixed order."""

    def ignored(self) -> dict[str, int]:
        """How many files of which other suffixes lie among them."""


class FileSource:
    """PNG, JPEG and WebP pictures in a folder, nested or not, or in a zip."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet; raises SourceError if `path` is neither a folder nor a zip."""
        self.path, self.title = path, str(path)
        if not path.exists():
            raise SourceError(
                f"{path}: there is no such folder or zip. Paths in params/ lie below DATA, now "
                f"{paths.data_root()}: give it as `make study DATA=<folder>` or PATCHWISE_DATA"
            )
        if not path.is_dir() and not zipfile.is_zipfile(path):
            raise SourceError(f"{path}: neither a folder nor a readable zip")

    @cached_property
    def _files(self) -> list[str]:
        if not self.path.is_dir():
            listed = [entry.filename for entry in self._zip.infolist() if not entry.is_dir()]
        else:
            listed = [
                (Path(folder) / file).relative_to(self.path).as_posix()
                for folder, _, files in os.walk(self.path)
                for file in files
            ]
        return sorted(name for name in listed if not _hidden(name))

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.path)

    def names(self) -> list[str]:
        """Its pictures' paths below the folder or inside the zip, sorted."""
        return [name for name in self._files if _suffix(name) in SUFFIXES]

    def ignored(self) -> dict[str, int]:
        """How many files there are with other suffixes."""
        return dict(Counter(_suffix(name) for name in self._files if _suffix(name) not in SUFFIXES))

    decoded = None

    def split(self, name):
        return None

    def identity(self, name):
        return None

    def read(self, name):
        try:
            content = (
                (self.path / name).read_bytes() if self.path.is_dir() else self._zip.read(name)
            )
        except DAMAGED as error:
            raise Unusable(f"cannot be read: {error}") from None
        return content


class SimulatedSource:
    """Simulated photographs, or a simulated GAN's images: made by name, without any download."""

    def __init__(self, content: str, generator: str | None, seed: int, size: int) -> None:
        """`content` and `generator` are those of `lib.data.demo`; `seed` is the study's."""
        self.content, self.generator, self.seed, self.size = content, generator, seed, size
        self.title = f"simulated {content}" + (f" by {generator}" if generator else "")

    def names(self) -> list[str]:
        """As many names as a large folder would have."""
        return [f"{index:06d}" for index in range(SIMULATED_PICTURES)]

    def ignored(self) -> dict[str, int]:
        """Nothing else lies among them."""
        return {}

    decoded = "simulated"

    def split(self, name):
        return None

    def identity(self, name):
        return None

    def read(self, name):
        from lib.data import demo  # imports torch, which studies of real pictures do not need here

        where = {"index": int(name), "seed": self.seed, "size": self.size}
        if self.generator is None:
            pixels = demo.photograph(self.content, **where)
        else:
            pixels = demo.generated(self.content, self.generator, **where)
        return pixels


def open_source(source: Files | Simulated, data: Data) -> PictureSource:
    """The source that a study's file describes."""
    if isinstance(source, Simulated):
        return SimulatedSource(source.content, source.generator, data.seed, data.image_size)
    return FileSource(file_path(source.path))


def file_path(path: str) -> Path:
    """Where a study's folder or zip lies: below DATA, unless its path is absolute."""
    return paths.data_root() / Path(path).expanduser()


def _suffix(name: str) -> str:
    return PurePosixPath(name).suffix.lower()


def _hidden(name: str) -> bool:
    """Whether a file is an operating system's own, such as .DS_Store or __MACOSX/…"""
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)
