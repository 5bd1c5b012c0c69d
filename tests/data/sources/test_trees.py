"""Folders and zips: what is broken, dangerous or endless in them is named, and nothing is read."""

import io
import os
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib.data.images import Unusable
from lib.data.sources.interface import SourceError
from lib.data.sources.trees import Archive, Folder, open_tree

PICTURE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
LOCAL, CENTRAL = b"PK\x03\x04", b"PK\x01\x02"


def zip_of(path: Path, method: int = zipfile.ZIP_STORED, name: str = "a.png") -> bytearray:
    """A zip of one picture: its bytes."""
    memory = io.BytesIO()
    Image.fromarray(PICTURE).save(memory, "BMP")
    with zipfile.ZipFile(path, "w", method) as file:
        file.writestr(name, memory.getvalue())
    return bytearray(path.read_bytes())


def patch(path: Path, content: bytearray, at: int, value: bytes) -> Archive:
    """Writes the zip with a field changed in both headers; `at` counts in the central one."""
    for start, ahead in ((content.index(LOCAL), 2), (content.index(CENTRAL), 0)):
        content[start + at - ahead : start + at - ahead + len(value)] = value
    path.write_bytes(content)
    return Archive(path)


@pytest.mark.parametrize("content", [b"", b"no zip at all"])
def test_a_file_that_is_no_zip_is_refused(tmp_path, content):
    path = tmp_path / "faces.zip"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"faces\.zip: neither a folder nor a readable zip"):
        open_tree(path)


@pytest.mark.parametrize("missing", [1, 30, 500])
def test_a_truncated_zip_says_so(tmp_path, missing):
    content = zip_of(tmp_path / "a.zip")
    (tmp_path / "cut.zip").write_bytes(content[:-missing])
    with pytest.raises(SourceError, match=r"cut\.zip: a truncated zip.*download it again"):
        open_tree(tmp_path / "cut.zip")


def test_a_zip_whose_directory_is_damaged_says_so(tmp_path):
    content = zip_of(tmp_path / "a.zip")
    content[content.index(CENTRAL)] = 0
    (tmp_path / "a.zip").write_bytes(content)
    tree = open_tree(tmp_path / "a.zip")
    with pytest.raises(SourceError, match=r"a\.zip: a damaged zip \(.*\); download it again"):
        _ = tree.files


def test_a_zip_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    zip_of(tmp_path / "a.zip")

    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(SourceError, match=r"a\.zip: cannot be read: Permission denied"):
        open_tree(tmp_path / "a.zip")


@pytest.mark.parametrize(
    "name",
    [
        *("/etc/a.png", "../a.png", "faces/../../a.png", "faces/.."),
        *("C:/a.png", "c:a.png", "..\\a.png", "faces\\a.png", "\\\\host\\share\\a.png"),
    ],
)
def test_an_entry_that_leaves_the_archive_is_named_and_nothing_is_read(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file:
        file.writestr("good.png", b"good")
        file.writestr(name, b"evil")
    tree = open_tree(tmp_path / "a.zip")
    for attempt in (lambda: tree.files, lambda: tree.read("good.png")):
        with pytest.raises(SourceError) as error:
            attempt()
        assert str(tmp_path / "a.zip") in str(error.value)
        assert repr(name) in str(error.value)


@pytest.mark.parametrize("name", ["./a.png", "a/./b.png", "a..b.png", "..a.png", "at 10:30.png"])
def test_odd_names_that_stay_inside_are_no_danger(tmp_path, name):
    zip_of(tmp_path / "a.zip", name=name)
    assert open_tree(tmp_path / "a.zip").read(name)[:2] == b"BM"


def test_an_encrypted_zip_is_named(tmp_path):
    content = zip_of(tmp_path / "a.zip")
    tree = patch(tmp_path / "a.zip", content, 8, b"\x01")
    with pytest.raises(SourceError, match=r"a\.zip: its entry 'a\.png' is encrypted; unpack"):
        _ = tree.files
    with pytest.raises(SourceError, match="encrypted"):
        tree.read("a.png")


def test_an_entry_of_an_unknown_compression_says_so(tmp_path):
    content = zip_of(tmp_path / "a.zip")
    with pytest.raises(Unusable, match="compression"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch(tmp_path / "a.zip", content, 10, b"\x63").read("a.png")


def test_an_entry_larger_than_any_picture_is_not_read(tmp_path, monkeypatch):
    content = zip_of(tmp_path / "a.zip")
    tree = patch(tmp_path / "a.zip", content, 24, struct.pack("<I", 4 * 200 + 1))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    with pytest.raises(Unusable, match="suspiciously large: 801 bytes, more than 800"):
        tree.read("a.png")


def test_an_entry_that_lies_about_its_size_does_not_fill_the_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.png", bytes(10_000_000))
    tree = patch(
        tmp_path / "a.zip",
        bytearray((tmp_path / "a.zip").read_bytes()),
        24,
        struct.pack("<I", 100),
    )
    with pytest.raises(Unusable, match="CRC"):
        tree.read("a.png")


def test_a_file_larger_than_any_picture_is_not_read(tmp_path, monkeypatch):
    (tmp_path / "a.png").write_bytes(bytes(801))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 200)
    with pytest.raises(Unusable, match="suspiciously large: 801 bytes, more than 800"):
        open_tree(tmp_path).read("a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # Pillow's own way to switch it off
    assert len(open_tree(tmp_path).read("a.png")) == 801


@pytest.mark.parametrize(
    "method",
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA],
    ids=["stored", "deflated", "bzip2", "lzma"],
)
def test_a_damaged_entry_is_unusable_wherever_it_is_damaged(tmp_path, method):
    content, found = zip_of(tmp_path / "a.zip", method), []
    start, end = 30 + len("a.png"), content.index(CENTRAL)
    for at in [*range(start, start + 12), *range(start + 12, end, (end - start) // 20)]:
        damaged = content.copy()
        damaged[at] ^= 0xFF
        (tmp_path / "b.zip").write_bytes(damaged)
        try:
            Archive(tmp_path / "b.zip").read("a.png")
        except Unusable as error:
            found.append(str(error))
    assert len(found) >= 20  # a changed byte may, rarely, mean nothing
    assert all("cannot be read: " in message for message in found)


def test_links_to_folders_are_followed_and_loops_end(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "o.png").write_bytes(b"o")
    root = tmp_path / "root"
    (root / "deep").mkdir(parents=True)
    (root / "deep" / "d.png").write_bytes(b"d")
    (root / "linked").symlink_to(outside)
    (root / "twice").symlink_to(outside)
    (root / "deep" / "up").symlink_to(root)
    (root / "deep" / "here").symlink_to(".")
    (root / "itself.png").symlink_to("itself.png")
    tree = Folder(root)
    assert tree.files == ["deep/d.png", "itself.png", "linked/o.png"]
    assert tree.read("linked/o.png") == b"o"
    with pytest.raises(Unusable, match="cannot be read"):
        tree.read("itself.png")


def test_a_link_to_a_file_is_read_and_a_broken_one_is_unusable(tmp_path):
    (tmp_path / "a.png").write_bytes(b"a")
    (tmp_path / "b.png").symlink_to("a.png")
    (tmp_path / "c.png").symlink_to("gone.png")
    tree = Folder(tmp_path)
    assert tree.files == ["a.png", "b.png", "c.png"]
    assert tree.read("b.png") == b"a"
    with pytest.raises(Unusable, match="cannot be read: .*No such file"):
        tree.read("c.png")


def test_what_is_no_file_is_unusable(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "folder.png").mkdir()
    tree = Folder(tmp_path)
    assert tree.files == ["pipe.png"]
    for name in ("pipe.png", "folder.png"):
        with pytest.raises(Unusable, match="not a file"):
            tree.read(name)


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
    closed, scandir = tmp_path / "closed", os.scandir
    closed.mkdir()

    def refuse(folder):
        if str(folder) == str(closed):
            raise PermissionError(13, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(SourceError, match=r"/closed: cannot be listed: Permission denied"):
        _ = Folder(tmp_path).files
    closed.rename(tmp_path / ".closed")  # what is hidden is not looked into
    closed = tmp_path / ".closed"
    assert Folder(tmp_path).files == []


def test_names_that_are_not_utf8_are_listed_and_read(tmp_path):
    with open(os.fsencode(tmp_path) + b"/caf\xe9.png", "wb") as file:
        file.write(b"a")
    (name,) = Folder(tmp_path).files
    assert os.fsencode(name) == b"caf\xe9.png"
    assert Folder(tmp_path).read(name) == b"a"


def test_a_zip_whose_names_are_in_no_encoding_is_named(tmp_path):
    content = zip_of(tmp_path / "a.zip", name="é.png")  # stored as UTF-8, and flagged as such
    content[content.index(CENTRAL) + 46] = 0xFF
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(SourceError, match=r"a\.zip: a damaged zip"):
        _ = Archive(tmp_path / "a.zip").files


def test_an_entry_that_comes_twice_is_listed_once(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file.writestr("a.png", b"first")
        file.writestr("a.png", b"second")
    assert Archive(tmp_path / "a.zip").files == ["a.png"]
    assert Archive(tmp_path / "a.zip").read("a.png") == b"second"
