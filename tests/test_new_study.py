"""Studies of one's own pictures: what is seen of the folders, and what is written."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib.data import packed
from lib.data.packing.pack import pack
from lib.study import paths, reading
from lib.study.schema import ParameterError
from tools import new_study


@pytest.fixture(autouse=True)
def own(tmp_path, monkeypatch):
    """A params/ of its own, with the example in it, and a folder for what is packed."""
    params = tmp_path / "params"
    params.mkdir()
    (params / "own.yaml").write_bytes((paths.PARAMS / "own.yaml").read_bytes())
    monkeypatch.setattr(paths, "PARAMS", params)
    monkeypatch.setenv("PATCHWISE_WORK", str(tmp_path / "work"))


@pytest.fixture
def quick(monkeypatch):
    """Nothing is measured."""
    monkeypatch.setattr(new_study, "duration", lambda study, counts: "no time")


def pictures(folder: Path, count: int, side: int = 80, suffix: str = "jpg") -> str:
    folder.mkdir(parents=True)
    generator = np.random.default_rng(list(str(folder).encode()))
    for number in range(count):
        pixels = generator.integers(0, 256, (side, side + 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.{suffix}", quality=90)
    return str(folder)


def said(folders: dict[str, str], name: str = "mine") -> str:
    return "\n".join(new_study.new_study(name, folders))


def test_a_study_that_fits_is_written_and_can_be_packed(tmp_path):
    folders = {"real": pictures(tmp_path / "my photos: 'a' \"b\"", 60)}
    folders["fake"] = pictures(tmp_path / "from a gan", 52)
    text = said(folders)
    assert "real: 60 pictures" in text and "fake: 52 pictures" in text
    assert "JPEG, 80 px the smaller side" in text and "Beware" not in text
    assert "15 networks: patches of 64, 32, 16 px, 5 folds" in text
    assert "takes about " in text and text.endswith("Begin: make study STUDY=mine")
    study = reading.load("mine")
    assert (study.data.image_size, study.patch_sizes) == (64, [64, 32, 16])
    assert list(study.cells) == ["mine-gan", "mine_jpeg75-gan"]
    assert pack(study, "mine-gan") == "packed"
    labels = packed.load(study, "mine-gan").manifest["label"]
    assert labels.value_counts().to_dict() == {0: 60, 1: 52}


def test_git_ignores_what_is_written():
    """So that results are not marked as those of changed code; studies that come along stay."""
    ignored = ["git", "check-ignore", "--quiet", "params/mine.yaml"]
    assert subprocess.run(ignored, cwd=paths.ROOT, check=False).returncode == 0


def test_very_many_are_split(tmp_path, monkeypatch, quick):
    monkeypatch.setattr(new_study, "MANY", 100)
    folders = {
        "real": pictures(tmp_path / "a", 120, 130),
        "fake": pictures(tmp_path / "b", 130, 130),
    }
    text, study = said(folders), reading.load("mine")
    assert study.data.folds is None and study.data.image_size == 128
    assert study.data.per_class.model_dump() == {"train": 76, "validation": 19, "test": 19}
    assert "of each class 76 train and 19 test" in text


def test_a_small_cell_to_test_on(tmp_path, quick):
    """Twelve pictures beside hundreds; in folds, and where there is a split."""
    folders = {"real": pictures(tmp_path / "a", 60), "fake": pictures(tmp_path / "b", 60)}
    said(folders)
    suspects = pictures(tmp_path / "suspects", 12)
    file = paths.PARAMS / "mine.yaml"
    cell = (
        f'  mine-x: {{real: {{kind: files, path: "{folders["real"]}"}}, fake: {{kind: files, path: '
    )
    cell += f'"{suspects}"}}, test: 12}}\ntrain_on'
    text = file.read_text("utf-8").replace("train_on", cell, 1)
    file.write_text(text, "utf-8")
    with pytest.raises(ParameterError, match="mine-x.*test: got 12; leave it out"):
        reading.load("mine")  # fewer photographs would be dealt otherwise
    file.write_text(text.replace(", test: 12}", "}"), "utf-8")
    study = reading.load("mine")
    for name in ("mine-x", "mine-gan"):
        pack(study, name, train=name == "mine-gan")
    small, large = (packed.load(study, name).manifest for name in ("mine-x", "mine-gan"))
    assert small["label"].tolist() == [0] * 60 + [1] * 12
    columns = ["image_id", "fold", "part"]
    assert small[columns][:60].to_numpy().tolist() == large[columns][:60].to_numpy().tolist()

    split = "per_class: {train: 20, validation: 10, test: 20}"
    file.write_text(text.replace("folds: 5", split).replace("most_per_class: 1000", "seed: 0"))
    content = file.read_text("utf-8").replace("  seed: 0\n  image_size", "  image_size")
    file.write_text(content, "utf-8")
    study = reading.load("mine")
    assert pack(study, "mine-x").startswith("packed again")
    assert len(packed.load(study, "mine-x").manifest) == 24
    pack(study, "mine-gan")
    tested = packed.load(study, "mine-gan").manifest.query("split == 'test'")
    assert len(tested) == 40
    # The photographs are the same beside both generators.
    beside = packed.load(study, "mine-x").manifest.query("label == 0")["image_id"].tolist()
    assert beside == tested.query("label == 0")["image_id"].tolist()[:12]


@pytest.mark.parametrize(
    ("names", "looks", "warned"),
    [
        (("gan_images", "photos"), {}, "may be swapped"),
        (("a", "b"), {"suffix": "png"}, "differ in file format"),
        (("a", "b"), {"side": 400}, "differ in size"),
    ],
)
def test_it_warns(tmp_path, quick, names, looks, warned):
    folders = {"real": pictures(tmp_path / names[0], 50)}
    folders["fake"] = pictures(tmp_path / names[1], 50, **looks)
    (warning,) = (line for line in said(folders).splitlines() if "Beware" in line)
    assert warned in warning


def test_it_refuses(tmp_path):
    few, many = pictures(tmp_path / "few", 49), pictures(tmp_path / "many", 50)
    tiny = pictures(tmp_path / "tiny", 50, 40)
    folders = {"real": many, "fake": few}
    with pytest.raises(ParameterError, match="FAKE: got 49 pictures"):
        said(folders)
    for name in ("Mine", "a-b", "a__b", ""):
        with pytest.raises(ParameterError, match="a study's name has lower-case"):
            said(folders, name)
    with pytest.raises(ParameterError, match=r"own\.yaml is there already"):
        said(folders, "own")
    for inside in (str(tmp_path), many):
        with pytest.raises(ParameterError, match="one holds the other"):
            said({"real": inside, "fake": many})
    for nowhere in (str(tmp_path / "none"), "~nobody_of_this_name/x"):
        with pytest.raises(ParameterError, match="REAL: got .*(no such folder|home directory)"):
            said({"real": nowhere, "fake": many})
    for name in new_study.RESERVED:
        with pytest.raises(ParameterError, match="has a meaning of its own"):
            said({"real": many, "fake": many}, name)
    for file in Path(pictures(tmp_path / "broken", 50)).iterdir():
        file.write_text("none")
    with pytest.raises(ParameterError, match="FAKE: got 0 pictures"):
        said({"real": many, "fake": str(tmp_path / "broken")})
    with pytest.raises(ParameterError, match="too small: 40 px; 64 are needed"):
        said({"real": many, "fake": tiny})
    assert [file.name for file in paths.PARAMS.iterdir()] == ["own.yaml"]
