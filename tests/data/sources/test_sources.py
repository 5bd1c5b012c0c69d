"""Sources: what a study's file names is opened; pictures in folders and zips are read by name."""

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib.data import sources
from lib.data.images import Unusable
from lib.data.sources import registry
from lib.data.sources.files import FileSource
from lib.data.sources.interface import SourceError
from lib.data.sources.registry import SOURCES, open_source
from lib.data.sources.simulated import SIZES, SimulatedSource
from lib.study import paths
from lib.study.schema import Data, ParameterError, PerClass, Source

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
    return open_source(Source(kind="files", path=str(place)), DATA)


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
    source = write(tmp_path, {})
    assert source.names() == [] and source.ignored() == {}


def test_a_missing_path_says_where_data_is(work):
    with pytest.raises(SourceError) as error:
        open_source(Source(kind="files", path="faces/real"), DATA)
    assert str(work / "data" / "faces" / "real") in str(error.value)
    assert f"below DATA, now {work / 'data'}" in str(error.value)
    assert "make study DATA=<folder>" in str(error.value)
    assert "PATCHWISE_DATA" in str(error.value)


def test_paths_lie_below_data_unless_they_are_absolute(work, draw, monkeypatch):
    draw("leaves", 2)
    assert open_source(Source(kind="files", path="leaves"), DATA).names() == [
        "0000.png",
        "0001.png",
    ]
    absolute = str(work / "data" / "leaves")
    monkeypatch.setenv("PATCHWISE_DATA", "/nowhere")
    assert len(open_source(Source(kind="files", path=absolute), DATA).names()) == 2
    monkeypatch.setenv("HOME", str(work / "data"))
    assert len(open_source(Source(kind="files", path="~/leaves"), DATA).names()) == 2


def test_a_file_that_is_gone_is_unusable(place):
    source = write(place, {"a.png": b"a"})
    with pytest.raises(Unusable, match=r"cannot be read: .*gone\.png"):
        source.read("gone.png")


def test_simulated_pictures_are_made_by_name(work):
    real = open_source(Source(kind="simulated", content="sim_faces"), DATA)
    fake = open_source(Source(kind="simulated", content="sim_faces", generator="sim_progan"), DATA)
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
    shown = Source(kind="simulated", content="sim_faces")
    one, other, large = (
        open_source(shown, DATA.model_copy(update=change)).read("000000")
        for change in ({}, {"seed": 4}, {"image_size": 80})
    )
    assert not np.array_equal(one, other)
    assert large.shape == (80, 80, 3)


@pytest.mark.parametrize("size", [48, 100, 272])
def test_simulated_pictures_are_of_some_sizes_alone(size):
    shown = Source(kind="simulated", content="sim_faces")
    with pytest.raises(SourceError, match=rf"got {size}; .* have 64 to 256 px, a multiple of 16"):
        open_source(shown, DATA.model_copy(update={"image_size": size}))
    assert 64 in SIZES and 80 in SIZES and 256 in SIZES


OWN = """
import numpy as np
from lib.data.sources.interface import PictureSource
from lib.study.schema import Strict


class Stripes(PictureSource):
    class Settings(Strict):
        width: int

    decoded = "stripes"

    def __init__(self, settings, data):
        self.title, self.width = f"stripes of {settings.width} px", settings.width

    def names(self):
        return ["one", "two"]

    def read(self, name):
        return np.full((64, 64, 3), self.width, np.uint8)
"""


def test_a_source_is_one_file(tmp_path, monkeypatch):
    (tmp_path / "stripes.py").write_text(OWN, "utf-8")
    monkeypatch.setattr(sources, "__path__", [*sources.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "lib.data.sources.stripes", raising=False)
    everything = dict(registry._sources())
    assert everything == {**SOURCES, "stripes": everything["stripes"]}
    monkeypatch.setattr(registry, "SOURCES", everything)
    source = open_source(Source(kind="stripes", width=7), DATA)
    assert source.title == "stripes of 7 px"
    assert (source.read("one") == 7).all()
    with pytest.raises(ParameterError, match=r"a\.b\.width: got 'x': .* valid integer"):
        registry.settings(Source(kind="stripes", width="x"), "params", ("a", "b"))


def test_every_source_is_registered_under_its_files_name():
    there = {file.stem for file in (paths.ROOT / "lib" / "data" / "sources").glob("*.py")}
    assert set(SOURCES) == there - {"__init__", "interface", "registry", "trees"}
    for kind, source in SOURCES.items():
        assert source.__module__ == f"lib.data.sources.{kind}"
        assert source.Settings.model_config["extra"] == "forbid"


def test_reading_packed_data_and_packing_files_need_no_torch():
    code = (
        "import sys; import lib.data.packed, lib.data.packing.pack, lib.audit.separation;"
        "print([name for name in ('torch', 'timm', 'matplotlib') if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert shown.stdout.decode().strip() == "[]"
