"""LSUN's LMDB: read-only, streamed, never listed whole; a damaged database is named."""

import hashlib
import io
import os
import tracemalloc
from itertools import islice
from pathlib import Path

import lmdb
import numpy as np
import pytest
from PIL import Image

from lib.data.images import Unusable
from lib.data.sources.interface import SourceError
from lib.data.sources.lsun import LsunSource
from lib.data.sources.registry import open_source
from lib.study.schema import Data, PerClass, Source

DATA = Data(image_size=64, per_class=PerClass(train=1, validation=1, test=1))


def opened(path: Path) -> LsunSource:
    return open_source(Source(kind="lsun", path=str(path)), DATA)


def key(number: int) -> str:
    """A key as LSUN's are: the 40 hexadecimal digits of a hash."""
    return hashlib.sha1(str(number).encode()).hexdigest()


def picture(number: int) -> bytes:
    memory = io.BytesIO()
    pixels = np.random.default_rng(number).integers(0, 256, (16, 20, 3), np.uint8)
    Image.fromarray(pixels).save(memory, "WEBP")
    return memory.getvalue()


def write(path: Path, entries: dict[str, bytes]) -> Path:
    """A database without its lock file, as a zip brings it."""
    with lmdb.open(str(path), map_size=2**28) as database, database.begin(write=True) as writing:
        for name, content in entries.items():
            writing.put(name.encode(), content)
    (path / "lock.mdb").unlink()
    return path


@pytest.fixture
def church(tmp_path) -> Path:
    path = tmp_path / "church_outdoor_train_lmdb"
    return write(path, {key(number): picture(number) for number in range(30)})


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """20,000 entries."""
    path = tmp_path_factory.mktemp("lsun") / "large_lmdb"
    return write(path, {key(number): b"content" for number in range(20_000)})


def test_pictures_are_named_by_their_keys_and_read_as_they_are_stored(church):
    source = opened(church)
    assert source.title == str(church)
    assert source.decoded is None
    assert source.ignored() == {}
    assert list(source.names()) == sorted(key(number) for number in range(30))
    assert source.split(key(3)) is source.identity(key(3)) is None
    assert opened(church).read(key(3)) == picture(3)  # nothing is listed before
    assert Image.open(io.BytesIO(source.read(key(4)))).format == "WEBP"


def test_reading_leaves_the_folder_as_it_was(church):
    before = (church / "data.mdb").read_bytes()
    source = opened(church)
    source.read(source.names()[0])
    assert [path.name for path in church.iterdir()] == ["data.mdb"]
    assert (church / "data.mdb").read_bytes() == before


def test_names_are_a_sequence(large):
    names, expected = opened(large).names(), sorted(key(n) for n in range(20_000))
    assert len(names) == 20_000
    assert list(names) == expected
    for index in (0, 1, 999, 1000, 1001, 12_345, 19_999, -1, -20_000):
        assert names[index] == expected[index]
    for index in (20_000, -20_001):
        with pytest.raises(IndexError):
            names[index]


def test_names_are_never_listed_whole(large):
    listing = 20_000 * 89  # bytes of a list of strings of 40 characters, without its pointers
    source = opened(large)
    tracemalloc.start()
    names = source.names()
    seen = sum(1 for _ in names), names[0], names[12_345], names[-1]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen[0] == 20_000
    assert peak < listing / 50


def test_a_database_may_be_opened_twice_while_it_is_read(church):
    one = opened(church)
    names = iter(one.names())
    first = next(names)
    assert opened(church).read(first) == one.read(first)
    assert len(list(islice(names, 100))) == 29


def test_a_forked_process_reads_from_it(church):
    source = opened(church)
    first = source.names()[0]
    child = os.fork()
    if not child:
        try:
            again = opened(church).read(first) == source.read(first)
        finally:
            os._exit(0 if again else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_key_that_is_not_there_is_unusable(church):
    source = opened(church)
    with pytest.raises(Unusable, match="no such key"):
        source.read("gone")
    with pytest.raises(Unusable, match="cannot be read"):
        source.read("x" * 600)  # longer than LMDB's keys can be


def test_keys_that_are_not_utf8_are_listed_and_read(tmp_path):
    path = tmp_path / "odd_lmdb"
    with lmdb.open(str(path)) as database, database.begin(write=True) as writing:
        writing.put(b"caf\xe9", b"a")
    source = opened(path)
    (name,) = source.names()
    assert os.fsencode(name) == b"caf\xe9"
    assert source.read(name) == b"a"


def test_an_empty_database_has_no_names(tmp_path):
    names = opened(write(tmp_path / "empty_lmdb", {})).names()
    assert len(names) == 0
    assert list(names) == []


def test_the_published_zip_is_to_be_unzipped(tmp_path):
    (tmp_path / "church_outdoor_train_lmdb.zip").write_bytes(b"PK")
    with pytest.raises(SourceError, match="unzip it, .* such as church_outdoor_train_lmdb, in"):
        opened(tmp_path / "church_outdoor_train_lmdb.zip")


def test_what_is_no_database_is_named(tmp_path, work):
    with pytest.raises(SourceError, match=r"there is no such folder.*PATCHWISE_DATA"):
        open_source(Source(kind="lsun", path="lsun"), DATA)
    with pytest.raises(SourceError, match=r"no data\.mdb in it; name the folder that holds"):
        opened(tmp_path)
    (tmp_path / "data.mdb").write_bytes(b"no database" * 1000)
    with pytest.raises(SourceError, match="no LMDB database that can be read: .*MDB_INVALID"):
        opened(tmp_path).names()


def test_a_truncated_database_is_named_before_it_is_read(church):
    """LMDB itself would end the process with a bus error."""
    content = (church / "data.mdb").read_bytes()
    for size in (len(content) - 1, len(content) // 2, 3 * 4096):
        (church / "data.mdb").write_bytes(content[:size])
        with pytest.raises(SourceError, match=r"data\.mdb: truncated: .* bytes of at least"):
            opened(church).read(key(1))
