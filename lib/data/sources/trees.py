"""Files below a folder or inside a zip, listed and read by name; a zip is never extracted."""

import lzma
import os
import stat
import zipfile
import zlib
from functools import cached_property
from pathlib import Path, PurePosixPath, PureWindowsPath

from PIL import Image

from lib.data.images import Unusable
from lib.data.sources.interface import SourceError, check_exists

DAMAGED = (
    *(OSError, EOFError, RuntimeError, NotImplementedError),
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError),
)
"""What reading a file, or a damaged entry of a zip, may raise."""
ENCRYPTED = 0x1  # the bit of a zip entry's flags that says so
AGAIN = "download it again"


class Folder:
    """The files below a folder; symbolic links are followed, each real folder once."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @cached_property
    def files(self) -> list[str]:
        """Their paths below it with `/`, sorted, hidden ones left out.

        A name that is not UTF-8 has surrogates in it, as Python's `os.fsdecode` makes them. Raises
        SourceError if a folder cannot be listed.
        """
        listed, seen = [], set()
        for folder, below, files in os.walk(self.path, onerror=_unlisted, followlinks=True):
            about = os.stat(folder)
            if (about.st_dev, about.st_ino) in seen:  # a link back up, or a second way to it
                below.clear()
                continue
            seen.add((about.st_dev, about.st_ino))
            below[:] = sorted(name for name in below if not _hidden(name))
            inside = Path(folder).relative_to(self.path)
            listed += [(inside / name).as_posix() for name in files if not _hidden(name)]
        return sorted(listed)

    def read(self, name: str) -> bytes:
        """One file's bytes; raises Unusable if they cannot be read."""
        path = self.path / name
        try:
            about = path.stat()
            if not stat.S_ISREG(about.st_mode):  # reading a pipe would wait for ever
                raise Unusable("cannot be read: not a file")
            _check_size(about.st_size)
            return path.read_bytes()
        except DAMAGED as error:
            raise Unusable(f"cannot be read: {error}") from None


class Archive:
    """The files inside a zip."""

    def __init__(self, path: Path) -> None:
        """Opens nothing yet; raises SourceError if it is no whole zip."""
        self.path = path
        try:
            with open(path, "rb") as file:
                start, whole = file.read(2), zipfile.is_zipfile(file)
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror}") from None
        if not whole and start == b"PK":
            raise SourceError(f"{path}: a truncated zip, its end is missing; {AGAIN}")
        if not whole:
            raise SourceError(f"{path}: neither a folder nor a readable zip")

    @cached_property
    def _zip(self) -> zipfile.ZipFile:
        """The open zip; raises SourceError if it is damaged, encrypted or dangerous."""
        try:
            archive = zipfile.ZipFile(self.path)
        except (*DAMAGED, ValueError) as error:  # ValueError: a name that is not in its encoding
            raise SourceError(f"{self.path}: a damaged zip ({error}); {AGAIN}") from None
        for entry in archive.infolist():
            if _leaves(entry.orig_filename):
                raise SourceError(
                    f"{self.path}: its entry {entry.orig_filename!r} leads out of the archive. "
                    "Nothing of it is read: pack the pictures anew, with plain relative paths"
                )
            if entry.flag_bits & ENCRYPTED:
                raise SourceError(
                    f"{self.path}: its entry {entry.filename!r} is encrypted; unpack the zip with "
                    "its password, and name the folder in params/"
                )
        return archive

    @cached_property
    def files(self) -> list[str]:
        """The paths inside it, sorted; hidden ones are left out."""
        names = {entry.filename for entry in self._zip.infolist() if not entry.is_dir()}
        return sorted(name for name in names if not any(map(_hidden, PurePosixPath(name).parts)))

    def read(self, name: str) -> bytes:
        """One entry's bytes; raises Unusable if they cannot be read."""
        try:
            entry = self._zip.getinfo(name)
            _check_size(entry.file_size)
            with self._zip.open(entry) as file:
                # By the stated size: an entry that holds more must not fill the memory first.
                return file.read(entry.file_size)
        except (*DAMAGED, KeyError) as error:
            raise Unusable(f"cannot be read: {error}") from None


def open_tree(path: Path) -> Folder | Archive:
    """The files below or inside `path`; raises SourceError if it is neither folder nor zip."""
    check_exists(path, "folder or zip")
    return Folder(path) if path.is_dir() else Archive(path)


def _check_size(size: int) -> None:
    """Raises Unusable if no picture that Pillow would decode takes `size` bytes."""
    limit = 4 * (Image.MAX_IMAGE_PIXELS or 0)
    if limit and size > limit:
        raise Unusable(f"suspiciously large: {size:,} bytes, more than {limit:,}")


def _leaves(name: str) -> bool:
    """Whether an entry's name is not a plain path below the archive, here or on Windows."""
    windows = PureWindowsPath(name)
    return bool("\\" in name or ".." in windows.parts or windows.drive or windows.root)


def _hidden(part: str) -> bool:
    """Whether a file or folder is an operating system's own, such as .DS_Store or __MACOSX."""
    return part.startswith((".", "__MACOSX"))


def _unlisted(error: OSError) -> None:
    raise SourceError(
        f"{error.filename}: cannot be listed: {error.strerror}. Make it readable, or move it away"
    )
