"""LSUN as published: an LMDB database whose values are encoded pictures, WebP in the original.

Yu et al., "LSUN: Construction of a Large-scale Image Dataset using Deep Learning with Humans in
the Loop" (arXiv:1506.03365). It may hold millions of pictures: nothing lists them all in memory.
"""

from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from weakref import WeakValueDictionary

import lmdb

from lib.data.images import Unusable
from lib.data.sources.interface import PictureSource, SourceError, check_exists, file_path
from lib.study.schema import Data, Place, Strict

EVERY = 1000  # one key of so many is kept in memory
_OPEN: WeakValueDictionary[Path, lmdb.Environment] = WeakValueDictionary()
"""What this process has open: LMDB refuses to open a database twice."""


class LsunSource(PictureSource):
    """The pictures of one category, named by their keys."""

    class Settings(Strict):
        """The folder of one category's LMDB database, such as `church_outdoor_train_lmdb`."""

        path: Place

    def __init__(self, settings: Settings, data: Data) -> None:
        """Raises SourceError if its path is no folder of an LMDB database."""
        path = self.path = file_path(settings.path)
        self.title = str(path)
        check_exists(path, "folder")
        if path.suffix.lower() == ".zip":
            raise SourceError(
                f"{path}: a zip; LMDB is read from a folder: unzip it, and name what it holds, "
                f"such as {path.stem}, in params/"
            )
        if not (path / "data.mdb").is_file():
            raise SourceError(f"{path}: no data.mdb in it; name the folder that holds data.mdb")

    @cached_property
    def _database(self) -> lmdb.Environment:
        place = self.path.resolve()
        return _OPEN.get(place) or _OPEN.setdefault(place, _open(place))

    def names(self) -> "Keys":
        """The keys, in the database's order; they are streamed."""
        return Keys(self._database)

    def read(self, name: str) -> bytes:
        """One encoded picture; raises Unusable if there is none of this name."""
        try:
            with self._database.begin() as reading:
                content = reading.get(name.encode("utf-8", "surrogateescape"))
        except lmdb.Error as error:
            raise Unusable(f"cannot be read: {error}") from None
        if content is None:
            raise Unusable("cannot be read: no such key in the database")
        return content


class Keys(Sequence[str]):
    """A database's keys as a sequence that holds one of every `EVERY` of them in memory."""

    def __init__(self, database: lmdb.Environment) -> None:
        self._database = database

    @cached_property
    def _index(self) -> list[bytes]:
        """Every `EVERY`-th key, from one pass over the keys."""
        with self._database.begin() as reading:
            return list(islice(reading.cursor().iternext(values=False), 0, None, EVERY))

    def __len__(self) -> int:
        return self._database.stat()["entries"]

    def __iter__(self) -> Iterator[str]:
        with self._database.begin() as reading:
            yield from map(_decode, reading.cursor().iternext(values=False))

    def __getitem__(self, index: int) -> str:
        at = range(len(self))[index]  # counts from the end, and refuses what is beyond
        with self._database.begin() as reading:
            cursor = reading.cursor()
            cursor.set_key(self._index[at // EVERY])
            (key,) = islice(cursor.iternext(values=False), at % EVERY, at % EVERY + 1)
        return _decode(key)


def _open(path: Path) -> lmdb.Environment:
    """Opens a database for reading alone; raises SourceError if it is damaged or cut short."""
    try:
        database = lmdb.open(
            str(path), readonly=True, lock=False, create=False, readahead=False, max_dbs=0
        )
    except lmdb.Error as error:
        raise SourceError(f"{path}: no LMDB database that can be read: {error}") from None
    # Pages beyond the end of a truncated file would end the process with a bus error.
    about, size = database.stat(), (path / "data.mdb").stat().st_size
    pages = 2 + about["branch_pages"] + about["leaf_pages"] + about["overflow_pages"]
    if size < pages * about["psize"]:
        raise SourceError(
            f"{path / 'data.mdb'}: truncated: {size:,} bytes of at least "
            f"{pages * about['psize']:,}; download or unzip it again"
        )
    return database


def _decode(key: bytes) -> str:
    return key.decode("utf-8", "surrogateescape")
