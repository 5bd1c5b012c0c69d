"""Sources: what a study's file names is opened; pictures in folders and zips are read by name."""

import io
import json
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


def write(place: Path, files: dict[str, bytes]) -> FileSource:
    """The files in a folder, or in a zip if `place` is called so."""
    if place.suffix == ".zip":
        with zipfile.ZipFile(place, "w") as file:
            for name, content in files.items():
                file.writestr(name, content)
    else:
        for name, content in files.items():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_bytes(content)
    return FileSource(place)


@pytest.fixture(params=["files", "files.zip"])
def place(request, tmp_path) -> Path:
    """Where to write a folder, and where a zip."""
    return tmp_path / request.param


@pytest.fixture
def source(place) -> FileSource:
    """The same files in a folder and in a zip."""
    return write(place, {name: picture(kind) for name, kind in FILES.items()})


def test_pictures_are_found_by_suffix_at_any_depth(source):
    assert source.names() == NAMES
    assert source.title == str(source.path)


def test_other_files_are_counted_and_hidden_ones_are_not(source):
    assert source.ignored() == {".txt": 1, ".csv": 2, "": 1, ".db": 1}


def test_a_picture_is_read_as_its_files_bytes(source):
    assert source.decoded is None
    for name in NAMES:
        assert source.read(name) == picture(FILES[name])
        assert source.split(name) is source.identity(name) is None


def test_a_picture_is_read_without_listing_the_others(place, monkeypatch):
    source = write(place, {"a/b.png": b"content"})
    monkeypatch.setattr("os.walk", None)
    assert source.read("a/b.png") == b"content"


@pytest.mark.parametrize("folder", ["images1024x1024", "thumbnails128x128"])
def test_ffhq_as_published(place, folder):
    numbers = (0, 1, 999, 1000, 69999)
    names = [f"{folder}/{n // 1000 * 1000:05d}/{n:05d}.png" for n in numbers]
    files = {name: name.encode() for name in names} | {f"{folder}/LICENSE.txt": b"CC"}
    source = write(place, files)
    assert source.names() == names
    assert source.ignored() == {".txt": 1}
    assert source.read(names[-1]) == f"{folder}/69000/69999.png".encode()


def test_ffhq_as_the_stylegan2_ada_dataset_tool_packs_it(tmp_path):
    names = [f"{n // 1000:05d}/img{n:08d}.png" for n in (0, 1, 69999)]
    labels = json.dumps({"labels": None}).encode()
    source = write(
        tmp_path / "ffhq.zip", {name: picture("PNG") for name in names} | {"dataset.json": labels}
    )
    assert source.names() == names == ["00000/img00000000.png", "00000/img00000001.png", names[2]]
    assert source.ignored() == {".json": 1}
    assert source.read(names[2]) == picture("PNG")


def test_a_gans_output_by_seed(place):
    names = [f"seed{n:04d}.png" for n in (0, 1, 9999, 10000)]
    source = write(place, {name: name.encode() for name in names})
    assert source.names() == sorted(names)
    assert [source.read(name) for name in names] == [name.encode() for name in names]


def test_names_of_any_script_and_files_of_one_stem(place):
    names = ["a.jpg", "a.png", "line\nbreak.png", "ορος/гора.png", "면접 사진.webp", "山.png"]
    source = write(place, {name: name.encode() for name in names})
    assert source.names() == sorted(names)
    assert [source.read(name) for name in names] == [name.encode() for name in names]


def test_a_hidden_folder_above_does_not_hide_its_pictures(tmp_path):
    assert write(tmp_path / ".data" / "__MACOSX", {"a.png": b"a"}).names() == ["a.png"]


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


def test_a_file_that_is_gone_is_unusable(place):
    source = write(place, {"a.png": b"a"})
    with pytest.raises(Unusable, match=r"cannot be read: .*gone\.png"):
        source.read("gone.png")


def test_simulated_pictures_are_made_by_name(work):
    real = open_source(Simulated(kind="simulated", content="sim_faces"), DATA)
    fake = open_source(
        Simulated(kind="simulated", content="sim_faces", generator="sim_progan"), DATA
    )
    assert isinstance(real, SimulatedSource)
    assert real.decoded == fake.decoded == "simulated"
    assert real.title == "simulated sim_faces"
    assert fake.title == "simulated sim_faces by sim_progan"
    assert real.ignored() == {}
    names = real.names()
    assert len(names) == len(set(names)) == 100_000
    assert names[:2] == ["000000", "000001"]
    for source in (real, fake):
        first, other = source.read(names[0]), source.read(names[1])
        assert (first.shape, first.dtype) == ((64, 64, 3), np.uint8)
        assert np.array_equal(source.read(names[0]), first)
        assert not np.array_equal(first, other)
    assert not np.array_equal(real.read(names[0]), fake.read(names[0]))


def test_simulated_pictures_follow_the_studys_seed_and_size():
    shown = Simulated(kind="simulated", content="sim_faces")
    one, other, large = (
        open_source(shown, DATA.model_copy(update=change)).read("000000")
        for change in ({}, {"seed": 4}, {"image_size": 80})
    )
    assert not np.array_equal(one, other)
    assert large.shape == (80, 80, 3)
