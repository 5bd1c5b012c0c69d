"""Trees whose folders name class and split, laid out as the public sets are."""

import shutil
import zipfile
from pathlib import Path

import pytest

from lib.data.sources.imagefolder import ImageFolderSource
from lib.data.sources.interface import SourceError
from lib.data.sources.registry import open_source
from lib.study.schema import Data, PerClass, Source

DATA = Data(image_size=64, per_class=PerClass(train=1, validation=1, test=1))
HUGGING_FACE = [
    *("train/real/a.png", "train/real/b.jpg", "valid/real/c.png", "test/real/d.png"),
    *("train/fake/e.png", "valid/fake/f.png", "test/fake/g.png"),
    *("README.md", "train/metadata.jsonl"),
]
# ForenSynths: some generators have categories, of which one is called `train`.
FORENSYNTHS = [
    *("progan/airplane/0_real/1.png", "progan/airplane/1_fake/2.png"),
    *("progan/train/0_real/3.png", "progan/train/1_fake/4.png", "progan/train/1_fake/notes.txt"),
    *("biggan/0_real/5.png", "biggan/1_fake/6.png"),
]
TRAINING = [
    *("train/airplane/0_real/1.png", "train/train/0_real/2.png", "val/airplane/0_real/3.png"),
    *("train/airplane/1_fake/4.png", "train/train/1_fake/5.png", "val/train/1_fake/6.png"),
]


@pytest.fixture(params=["set", "set.zip"])
def lay(request, tmp_path):
    """Writes a tree into a folder, and into a zip, anew; returns the source of one class."""

    def write(files: list[str], label: str, category: str | None = None) -> ImageFolderSource:
        place: Path = tmp_path / request.param
        shutil.rmtree(place, ignore_errors=True)
        if place.suffix:
            with zipfile.ZipFile(place, "w") as file:
                for name in files:
                    file.writestr(name, name)
        else:
            for name in files:
                (place / name).parent.mkdir(parents=True, exist_ok=True)
                (place / name).write_text(name)
        given = {"label": label, "category": category, "path": str(place)}
        return open_source(Source(kind="imagefolder", **given), DATA)

    return write


def splits(source: ImageFolderSource) -> dict[str, str | None]:
    return {name: source.split(name) for name in source.names()}


def test_a_hugging_face_tree_has_classes_and_splits(lay):
    real = lay(HUGGING_FACE, "real")
    assert splits(real) == {
        "test/real/d.png": "test",
        "train/real/a.png": "train",
        "train/real/b.jpg": "train",
        "valid/real/c.png": "validation",
    }
    assert real.read("valid/real/c.png") == b"valid/real/c.png"
    assert real.title == str(real.path)
    assert real.identity("valid/real/c.png") is None
    fake = lay(HUGGING_FACE, "fake")
    assert list(splits(fake).values()) == ["test", "train", "validation"]


def test_without_split_folders_there_is_no_split(lay):
    source = lay(["0_real/a.png", "1_fake/b.png", "1_fake/deep/c.png"], "fake")
    assert splits(source) == {"1_fake/b.png": None, "1_fake/deep/c.png": None}


def test_a_class_in_one_folder_alone_is_found(lay):
    assert lay(["Fake/a.png"], "fake").names() == ["Fake/a.png"]


def test_forensynths_nests_categories_for_some_generators(lay):
    real = lay(FORENSYNTHS, "real")
    assert splits(real) == {
        "biggan/0_real/5.png": None,
        "progan/airplane/0_real/1.png": None,
        "progan/train/0_real/3.png": None,  # a category, not a split
    }


@pytest.mark.parametrize(
    ("category", "expected"),
    [
        ("airplane", ["progan/airplane/1_fake/2.png"]),
        ("train", ["progan/train/1_fake/4.png"]),
        ("biggan", ["biggan/1_fake/6.png"]),
        ("progan", ["progan/airplane/1_fake/2.png", "progan/train/1_fake/4.png"]),
    ],
)
def test_a_category_is_a_folder_at_any_level(lay, category, expected):
    assert lay(FORENSYNTHS, "fake", category).names() == expected


def test_other_files_are_counted_within_class_and_category(lay):
    assert lay(FORENSYNTHS, "fake", "train").ignored() == {".txt": 1}
    assert lay(FORENSYNTHS, "fake", "airplane").ignored() == {}
    assert lay(HUGGING_FACE, "real").ignored() == {}


def test_the_split_stands_above_the_category(lay):
    assert splits(lay(TRAINING, "real")) == {
        "train/airplane/0_real/1.png": "train",
        "train/train/0_real/2.png": "train",
        "val/airplane/0_real/3.png": "validation",
    }
    assert splits(lay(TRAINING, "fake", "train")) == {
        "train/train/1_fake/5.png": "train",
        "val/train/1_fake/6.png": "validation",
    }


def test_the_split_may_stand_below_other_folders(lay):
    files = ["set/faces/train/real/a.png", "set/faces/validation/real/b.png"]
    assert list(splits(lay(files, "real")).values()) == ["train", "validation"]


def test_the_innermost_folder_says_which_class(lay):
    files = ["fake/study/0_real/a.png", "fake/study/1_fake/b.png"]
    assert lay(files, "real").names() == ["fake/study/0_real/a.png"]


def test_a_split_below_the_class_is_no_split(lay):
    assert splits(lay(["real/test/a.png"], "real")) == {"real/test/a.png": None}


def test_a_missing_class_names_the_folders_there_are(lay):
    with pytest.raises(SourceError, match="lie in a folder real or 0_real; its folders are a, b$"):
        lay(["a/b/c.png"], "real").names()
    with pytest.raises(SourceError, match="lie in a folder fake or 1_fake; it has no folders"):
        lay(["c.png"], "fake").names()
    many = [f"{number:02d}/a.png" for number in range(15)]
    with pytest.raises(SourceError, match="00, 01.*, 11 and 3 more$"):
        lay(many, "fake").names()


def test_a_missing_category_names_those_there_are(lay):
    expected = "no real pictures of the category 'cat'; its categories are airplane, biggan, progan"
    with pytest.raises(SourceError, match=f"{expected}, train$"):
        lay(FORENSYNTHS, "real", "cat").names()
    with pytest.raises(SourceError, match="'cat'; it has no categories$"):
        lay(["real/a.png", "fake/b.png"], "real", "cat").names()
    with pytest.raises(SourceError, match="'test'; it has no categories$"):
        lay(HUGGING_FACE, "real", "test").names()  # a split is no category
