"""Sources: pictures in folders and zips are found by name; what is broken in them says why."""

import hashlib
import io
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib.data.pictures import Unusable
from lib.data.sources import FileSource, SimulatedSource, SourceError, open_source
from lib.settings import Data, Files, PerClass, Simulated

DATA = Data(seed=3, image_size=64, per_class=PerClass(train=1, validation=1, test=1))
NOISE = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
FILES = {
    "b.png": "PNG",
    "a.JPG": "JPEG",
    "deep/er/c.webp": "WEBP",
    "deep/d.jpeg": "JPEG",
    "deep/notes.txt": None,
    "labels.csv": None,
    "more.csv": None,
    "no_suffix": None,
    ".hidden.png": "PNG",
    ".cache/e.png": "PNG",
    "__MACOSX/._b.png": None,
    "deep/.DS_Store": None,
    "deep/Thumbs.db": None,
}
NAMES = ["a.JPG", "b.png", "deep/d.jpeg", "deep/er/c.webp"]


def picture(kind: str | None) -> bytes:
    memory = io.BytesIO()
    if kind:
        Image.fromarray(NOISE).save(memory, kind)
    return memory.getvalue()


@pytest.fixture(params=["folder", "zip"])
def source(request, tmp_path) -> FileSource:
    """The same files in a folder and in a zip."""
    if request.param == "zip":
        with zipfile.ZipFile(tmp_path / "files.zip", "w") as file:
            file.mkdir("deep")
            for name, kind in FILES.items():
                file.writestr(name, picture(kind))
        return FileSource(tmp_path / "files.zip")
    for name, kind in FILES.items():
        path = tmp_path / "files" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(kind))
    return FileSource(tmp_path / "files")


def test_pictures_are_found_by_suffix_at_any_depth(source):
    assert source.names() == NAMES
    assert source.title == str(source.path)


def test_other_files_are_counted_and_hidden_ones_are_not(source):
    assert source.ignored() == {".txt": 1, ".csv": 2, "": 1, ".db": 1}


def test_a_file_is_prepared_with_its_hash(source):
    for name in NAMES:
        found = source.load(name, 8, "area")
        content = picture(FILES[name])
        assert found.sha256 == hashlib.sha256(content).hexdigest()
        assert found.picture.pixels.shape == (8, 8, 3)
        assert (found.picture.width, found.picture.format) == (16, FILES[name])


def test_a_hidden_folder_above_does_not_hide_its_pictures(tmp_path):
    folder = tmp_path / ".data" / "__MACOSX"
    folder.mkdir(parents=True)
    (folder / "a.png").write_bytes(picture("PNG"))
    assert FileSource(folder).names() == ["a.png"]


def test_an_empty_folder_has_no_names(tmp_path):
    assert FileSource(tmp_path).names() == []
    assert FileSource(tmp_path).ignored() == {}


def test_a_missing_path_says_where_data_is(work):
    with pytest.raises(SourceError) as error:
        open_source(Files(kind="files", path="faces/real"), DATA)
    assert str(work / "data" / "faces" / "real") in str(error.value)
    assert f"below DATA, now {work / 'data'}" in str(error.value)
    assert "make study DATA=<folder>" in str(error.value)
    assert "PATCHWISE_DATA" in str(error.value)


def test_paths_lie_below_data_unless_they_are_absolute(work, draw, monkeypatch):
    draw("leaves", 2)
    assert open_source(Files(kind="files", path="leaves"), DATA).names() == ["0000.png", "0001.png"]
    absolute = str(work / "data" / "leaves")
    monkeypatch.setenv("PATCHWISE_DATA", "/nowhere")
    assert len(open_source(Files(kind="files", path=absolute), DATA).names()) == 2
    monkeypatch.setenv("HOME", str(work / "data"))
    assert len(open_source(Files(kind="files", path="~/leaves"), DATA).names()) == 2


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 and then nothing"])
def test_a_file_that_is_no_zip_is_refused(tmp_path, content):
    path = tmp_path / "faces.zip"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"faces\.zip: neither a folder nor a readable zip"):
        FileSource(path)


def test_a_file_that_is_gone_or_broken_says_why(tmp_path):
    source = FileSource(tmp_path)
    with pytest.raises(Unusable, match="cannot be read"):
        source.load("gone.png", 8, "area")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "text.png").write_text("no picture")
    assert source.names() == ["empty.png", "text.png"]
    with pytest.raises(Unusable, match="zero bytes"):
        source.load("empty.png", 8, "area")
    with pytest.raises(Unusable, match="not a picture"):
        source.load("text.png", 8, "area")


def zip_of(path: Path, method: int) -> tuple[bytearray, slice]:
    """A zip of one picture, and where in it the picture's data lie."""
    with zipfile.ZipFile(path, "w", method) as file:
        memory = io.BytesIO()
        Image.fromarray(NOISE).save(memory, "BMP")
        file.writestr("a.png", memory.getvalue())
        (entry,) = file.infolist()
    start = 30 + len(entry.filename)  # after the local header
    return bytearray(path.read_bytes()), slice(start, start + entry.compress_size)


def test_a_truncated_zip_is_refused(tmp_path):
    content, _ = zip_of(tmp_path / "a.zip", zipfile.ZIP_STORED)
    (tmp_path / "cut.zip").write_bytes(content[:-30])
    with pytest.raises(SourceError, match=r"cut\.zip: neither a folder nor a readable zip"):
        FileSource(tmp_path / "cut.zip")


def test_an_encrypted_entry_says_so(tmp_path):
    content, _ = zip_of(tmp_path / "a.zip", zipfile.ZIP_STORED)
    content[6] |= 1  # the flag in the local header, and in the central directory
    content[content.index(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "a.zip").write_bytes(content)
    source = FileSource(tmp_path / "a.zip")
    assert source.names() == ["a.png"]
    with pytest.raises(Unusable, match="encrypted"):
        source.load("a.png", 8, "area")


def test_an_entry_of_an_unknown_compression_says_so(tmp_path):
    content, _ = zip_of(tmp_path / "a.zip", zipfile.ZIP_STORED)
    content[8] = content[content.index(b"PK\x01\x02") + 10] = 99
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(Unusable, match="compression"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        FileSource(tmp_path / "a.zip").load("a.png", 8, "area")


@pytest.mark.parametrize(
    "method",
    [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA],
    ids=["stored", "deflated", "bzip2", "lzma"],
)
def test_a_damaged_entry_is_unusable_wherever_it_is_damaged(tmp_path, method):
    content, data = zip_of(tmp_path / "a.zip", method)
    intact, found = bytes(content[data]), []
    for at in [*range(12), *range(12, len(intact), len(intact) // 20)]:
        content[data] = intact[:at] + bytes([intact[at] ^ 0xFF]) + intact[at + 1 :]
        (tmp_path / "b.zip").write_bytes(content)
        try:
            FileSource(tmp_path / "b.zip").load("a.png", 8, "area")
        except Unusable as error:
            found.append(str(error))
    assert len(found) >= 20  # a changed byte may, rarely, mean nothing
    assert all(found)


def test_simulated_pictures_are_made_by_name(work):
    real = open_source(Simulated(kind="simulated", content="sim_faces"), DATA)
    fake = open_source(
        Simulated(kind="simulated", content="sim_faces", generator="sim_progan"), DATA
    )
    assert isinstance(real, SimulatedSource)
    assert real.title == "simulated sim_faces"
    assert fake.title == "simulated sim_faces by sim_progan"
    assert real.ignored() == {}
    names = real.names()
    assert len(names) == len(set(names)) == 100_000
    assert names[:2] == ["000000", "000001"]
    for source in (real, fake):
        first, other = source.load(names[0], 64, "area"), source.load(names[1], 64, "area")
        assert first.picture.pixels.shape == (64, 64, 3)
        assert first.picture[1:] == (64, 64, "simulated")
        assert first.sha256 == hashlib.sha256(first.picture.pixels.tobytes()).hexdigest()
        assert source.load(names[0], 64, "area").sha256 == first.sha256 != other.sha256
    assert real.load(names[0], 64, "area").sha256 != fake.load(names[0], 64, "area").sha256


def test_simulated_pictures_follow_the_data_seed():
    shown = Simulated(kind="simulated", content="sim_faces")
    seeds = [DATA.model_copy(update={"seed": seed}) for seed in (3, 4)]
    hashes = {open_source(shown, data).load("000000", 64, "area").sha256 for data in seeds}
    assert len(hashes) == 2
