"""The multi-resolution TFRecords of the first StyleGAN and StyleGAN2 releases, without TensorFlow.

A set is a file per resolution, `<name>-r02.tfrecords` (4 px) to `<name>-r10.tfrecords` (1024 px).
A record is its length (8 bytes), the length's checksum (4), an Example, and its checksum (4).
"""

import re
import struct
from functools import cached_property
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lib.data.pictures import Unusable
from lib.data.sources.interface import PictureSource, SourceError, check_exists

HEADER, FOOTER = 12, 4
"""Bytes before and after a record's Example."""


class TFRecordSource(PictureSource):
    """The pictures of one resolution, the highest there is, named by their number."""

    decoded = "TFRecord"

    def __init__(self, path: Path) -> None:
        """Opens nothing yet.

        Args:
            path: a `.tfrecords` file, or the folder that holds one per resolution.

        Raises:
            SourceError: if there is none, or more than one of the highest resolution.
        """
        check_exists(path, "folder or .tfrecords file")
        self.title = str(path)
        self.path = _highest(path) if path.is_dir() else path

    @cached_property
    def _offsets(self) -> np.ndarray:
        """int64: where each record begins, and last where the file ends, in bytes.

        Raises:
            SourceError: if the file cannot be read, is truncated, or a length in it is damaged.
        """
        try:
            with open(self.path, "rb", buffering=0) as file:
                return np.array(self._walk(file, self.path.stat().st_size), np.int64)
        except OSError as error:
            raise SourceError(f"{self.path}: cannot be read: {error.strerror}") from None

    def _walk(self, file: BinaryIO, size: int) -> list[int]:
        """The records' offsets, from their headers alone: the pictures are not read."""
        offsets = [0]
        while offsets[-1] < size:
            file.seek(offsets[-1])
            header = file.read(HEADER)
            if len(header) == HEADER and header[8:] != _checksum(header[:8]):
                raise SourceError(
                    f"{self.path}: record {len(offsets) - 1:06d} at byte {offsets[-1]:,} is "
                    "damaged, or this is no TFRecord file; download it again"
                )
            length = struct.unpack("<Q", header[:8])[0] if len(header) == HEADER else 0
            offsets.append(offsets[-1] + HEADER + length + FOOTER)
        if offsets[-1] > size:
            raise SourceError(
                f"{self.path}: truncated within record {len(offsets) - 2:06d}: it has {size:,} "
                f"bytes of at least {offsets[-1]:,}; download it again"
            )
        return offsets

    def names(self) -> list[str]:
        """The records' numbers, `000000` and on."""
        return [f"{index:06d}" for index in range(len(self._offsets) - 1)]

    def read(self, name: str) -> np.ndarray:
        """One picture: uint8 (H, W, 3), RGB; raises Unusable if its record is damaged."""
        start, end = self._offsets[int(name) : int(name) + 2].tolist()
        try:
            with open(self.path, "rb") as file:
                file.seek(start + HEADER)
                record = file.read(end - start - HEADER)
        except OSError as error:
            raise Unusable(f"cannot be read: {error}") from None
        content, checksum = record[:-FOOTER], record[-FOOTER:]
        if _checksum(content) != checksum:
            raise Unusable(f"damaged: record {name} of {self.path.name} fails its checksum")
        return _pixels(content)


def _highest(folder: Path) -> Path:
    """The file of the highest resolution; raises SourceError if that is not one file."""
    found = sorted(folder.glob("*.tfrecords"))
    levels = {path: re.search(r"-r(\d+)$", path.stem) for path in found}
    ranked = {path: int(match[1]) for path, match in levels.items() if match}
    best = [path for path, level in ranked.items() if level == max(ranked.values())]
    if len(best) == 1:
        return best[0]
    there = ", ".join(path.name for path in found) or "none"
    problem = "files of more than one set" if best else "no file <name>-r<NN>.tfrecords"
    raise SourceError(f"{folder}: {problem} in it (.tfrecords files: {there}); name the file")


def _pixels(content: bytes) -> np.ndarray:
    """The picture of a serialised Example: uint8 (H, W, 3); raises Unusable if it has none."""
    # tfrecord imports torch, which studies of other pictures do not need here.
    from google.protobuf.message import DecodeError
    from tfrecord.example_pb2 import Example

    try:
        features = Example.FromString(content).features.feature
    except DecodeError as error:
        raise Unusable(f"damaged: no Example: {error}") from None
    shape = list(features["shape"].int64_list.value)
    data = b"".join(features["data"].bytes_list.value)
    if len(shape) != 3 or shape[0] != 3 or min(shape) < 1 or len(data) != np.prod(shape):
        raise Unusable(f"no RGB picture: shape {shape} (3, H, W) and {len(data)} bytes of data")
    return np.ascontiguousarray(np.frombuffer(data, np.uint8).reshape(shape).transpose(1, 2, 0))


def _checksum(data: bytes) -> bytes:
    from tfrecord.writer import TFRecordWriter  # as above

    return TFRecordWriter.masked_crc(data)
