"""StyleGAN's TFRecords: pixels by record number; what is truncated or damaged is named."""

import shutil
import struct
from pathlib import Path

import numpy as np
import pytest
from tfrecord.writer import TFRecordWriter

from lib.data.pictures import Unusable
from lib.data.sources import SourceError, TFRecordSource, open_source
from lib.settings import Data, PerClass, TFRecords

DATA = Data(image_size=64, per_class=PerClass(train=1, validation=1, test=1))
COUNT = 5


def pixels(number: int, side: int) -> np.ndarray:
    """uint8 (side, side, 3), no two alike."""
    return np.random.default_rng([number, side]).integers(0, 256, (side, side, 3), np.uint8)


def write(path: Path, records: list[dict]) -> Path:
    writer = TFRecordWriter(str(path))
    for record in records:
        writer.write(record)
    writer.close()
    return path


def record(picture: np.ndarray) -> dict:
    """An Example as StyleGAN's dataset tool writes it: channels, rows, columns."""
    planes = picture.transpose(2, 0, 1)
    return {"shape": (list(planes.shape), "int"), "data": (planes.tobytes(), "byte")}


@pytest.fixture
def folder(tmp_path) -> Path:
    """A set of 4, 8 and 16 px, with the labels that the dataset tool puts beside it."""
    path = tmp_path / "ffhq"
    path.mkdir()
    for level in (2, 3, 4):
        found = [record(pixels(number, 2**level)) for number in range(COUNT)]
        write(path / f"ffhq-r{level:02d}.tfrecords", found)
    (path / "ffhq-rxx.labels").touch()
    return path


def test_a_folder_is_its_highest_resolution(folder):
    source = open_source(TFRecords(kind="tfrecords", path=str(folder)), DATA)
    assert source.title == str(folder)
    assert source.decoded == "TFRecord"
    assert source.ignored() == {}
    assert source.names() == ["000000", "000001", "000002", "000003", "000004"]
    assert source.split("000000") is source.identity("000000") is None
    for number, name in enumerate(source.names()):
        found = source.read(name)
        assert found.dtype == np.uint8
        assert np.array_equal(found, pixels(number, 16))


def test_one_file_may_be_named(folder):
    source = TFRecordSource(folder / "ffhq-r03.tfrecords")
    assert np.array_equal(source.read("000004"), pixels(4, 8))  # nothing is listed before
    assert len(source.names()) == COUNT


def test_the_tenth_resolution_comes_after_the_ninth(folder):
    write(folder / "ffhq-r09.tfrecords", [record(pixels(1, 8))])
    write(folder / "ffhq-r10.tfrecords", [record(pixels(2, 8))])
    assert np.array_equal(TFRecordSource(folder).read("000000"), pixels(2, 8))


def test_records_of_different_lengths_are_found(tmp_path):
    sides = (4, 16, 8, 4)
    path = write(tmp_path / "a.tfrecords", [record(pixels(1, side)) for side in sides])
    source = TFRecordSource(path)
    assert [len(source.read(name)) for name in source.names()] == list(sides)


def test_a_missing_or_ambiguous_file_is_named(folder, tmp_path, work):
    with pytest.raises(SourceError, match=r"no such folder or \.tfrecords file.*PATCHWISE_DATA"):
        open_source(TFRecords(kind="tfrecords", path="ffhq"), DATA)
    with pytest.raises(SourceError, match=r"no file <name>-r<NN>\.tfrecords in it .*: none\)"):
        TFRecordSource(tmp_path)
    shutil.copy(folder / "ffhq-r02.tfrecords", tmp_path / "faces.tfrecords")
    with pytest.raises(SourceError, match=r"files: faces\.tfrecords\); name the file"):
        TFRecordSource(tmp_path)
    shutil.copy(folder / "ffhq-r04.tfrecords", folder / "cars-r04.tfrecords")
    with pytest.raises(SourceError, match=r"more than one set in it .*cars-r04.*, ffhq-r04"):
        TFRecordSource(folder)


@pytest.mark.parametrize("left", [1, 11, 12, 100, 800, -1])
def test_a_truncated_file_is_named(folder, left):
    """`left` counts from where the last record begins, in bytes."""
    path = folder / "ffhq-r04.tfrecords"
    content = path.read_bytes()
    assert len(content) % COUNT == 0
    start = len(content) // COUNT * (COUNT - 1)
    path.write_bytes(content[:-1] if left < 0 else content[: start + left])
    with pytest.raises(SourceError, match=r"ffhq-r04\.tfrecords: truncated within record 000004"):
        TFRecordSource(folder).names()


def test_an_empty_file_has_no_names(tmp_path):
    assert TFRecordSource(write(tmp_path / "a.tfrecords", [])).names() == []


def test_what_is_no_tfrecord_file_is_named(tmp_path):
    (tmp_path / "a.tfrecords").write_bytes(b"no TFRecords at all")
    with pytest.raises(SourceError, match=r"a\.tfrecords: record 000000 at byte 0 is damaged, or"):
        TFRecordSource(tmp_path / "a.tfrecords").names()


def test_a_damaged_length_is_named(folder):
    path = folder / "ffhq-r02.tfrecords"
    content = bytearray(path.read_bytes())
    start = len(content) // COUNT * 2
    content[start] ^= 1
    path.write_bytes(content)
    with pytest.raises(SourceError, match=f"record 000002 at byte {start} is damaged"):
        TFRecordSource(path).names()


def test_a_length_beyond_the_file_does_not_fill_the_memory(tmp_path):
    length = struct.pack("<Q", 2**62)
    path = tmp_path / "a.tfrecords"
    path.write_bytes(length + TFRecordWriter.masked_crc(length) + b"data")
    with pytest.raises(SourceError, match="truncated within record 000000"):
        TFRecordSource(path).names()


def test_a_damaged_picture_is_unusable_and_the_others_are_not(folder):
    path = folder / "ffhq-r04.tfrecords"
    content = bytearray(path.read_bytes())
    content[len(content) // COUNT + 300] ^= 1
    path.write_bytes(content)
    source = TFRecordSource(path)
    with pytest.raises(Unusable, match=r"record 000001 of ffhq-r04\.tfrecords fails its checksum"):
        source.read("000001")
    assert np.array_equal(source.read("000002"), pixels(2, 16))


def test_what_is_no_rgb_picture_is_unusable(tmp_path):
    good = record(pixels(0, 4))
    found = [
        {**good, "shape": ([1, 4, 4], "int")},
        {**good, "shape": ([3, 4], "int")},
        {**good, "shape": ([3, 4, 5], "int")},
        {**good, "shape": ([3, -4, -4], "int")},
        {"data": good["data"]},
        {"shape": good["shape"]},
    ]
    source = TFRecordSource(write(tmp_path / "a.tfrecords", found))
    for name in source.names():
        with pytest.raises(Unusable, match=r"no RGB picture: shape \[.*\] \(3, H, W\) and \d+ byt"):
            source.read(name)


def test_a_record_that_is_no_example_is_unusable(tmp_path):
    content, path = b"\xff\xff\xff", tmp_path / "a.tfrecords"
    length = struct.pack("<Q", len(content))
    checked = [part + TFRecordWriter.masked_crc(part) for part in (length, content)]
    path.write_bytes(b"".join(checked))
    with pytest.raises(Unusable, match="damaged: no Example"):
        TFRecordSource(path).read("000000")


def test_a_file_that_is_gone_says_so(folder):
    source = TFRecordSource(folder)
    source.names()
    shutil.rmtree(folder)
    with pytest.raises(Unusable, match="cannot be read"):
        source.read("000000")
    with pytest.raises(SourceError, match=r"there is no such folder"):
        TFRecordSource(folder)
