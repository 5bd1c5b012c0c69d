"""CelebA as its publisher gives it: folder or zip, partition and identities."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib.data.images import Unusable
from lib.data.sources.celeba import CelebaSource
from lib.data.sources.interface import SourceError
from lib.data.sources.registry import open_source
from lib.study.schema import Data, PerClass, Source

DATA = Data(image_size=64, per_class=PerClass(train=1, validation=1, test=1))
NAMES = [f"{number:06d}.jpg" for number in range(1, 7)]
PARTITION = "".join(f"{name} {number // 2}\n" for number, name in enumerate(NAMES))
IDENTITIES = "".join(f"{name} {2880 + number // 2}\n" for number, name in enumerate(NAMES))


def face(name: str) -> bytes:
    """A JPEG of 178 x 218 px, no two alike."""
    memory = io.BytesIO()
    pixels = np.full((218, 178, 3), int(Path(name).stem), np.uint8)
    Image.fromarray(pixels).save(memory, "JPEG")
    return memory.getvalue()


def lay(
    root: Path, packed: bool, apart: bool, names=NAMES, partition=PARTITION, identities=IDENTITIES
) -> CelebaSource:
    """Writes the set: `packed` in its zip, `apart` in the publisher's Img, Eval and Anno."""
    homes = [root / home if apart else root for home in ("Img", "Eval", "Anno")]
    for home in homes:
        home.mkdir(parents=True, exist_ok=True)
    if packed:
        with zipfile.ZipFile(homes[0] / "img_align_celeba.zip", "w") as file:
            file.mkdir("img_align_celeba")
            for name in names:
                file.writestr(f"img_align_celeba/{name}", face(name))
    else:
        (homes[0] / "img_align_celeba").mkdir()
        for name in names:
            (homes[0] / "img_align_celeba" / name).write_bytes(face(name))
    for home, name, content in (
        (homes[1], "list_eval_partition.txt", partition),
        (homes[2], "identity_CelebA.txt", identities),
    ):
        if content is not None:
            (home / name).write_text(content)
    return open_source(Source(kind="celeba", path=str(root)), DATA)


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize("apart", [False, True], ids=["together", "apart"])
def test_pictures_have_the_publishers_split_and_identity(tmp_path, packed, apart):
    source = lay(tmp_path, packed, apart)
    assert source.names() == NAMES
    assert source.title == str(tmp_path)
    assert source.decoded is None
    assert source.ignored() == {}
    parts = ["train", "train", "validation", "validation", "test", "test"]
    assert [source.split(name) for name in NAMES] == parts
    assert [source.identity(name) for name in NAMES[:3]] == ["2880", "2880", "2881"]
    content = lay(tmp_path / "again", packed, apart).read(NAMES[2])  # nothing is listed before
    assert content == face(NAMES[2])
    assert Image.open(io.BytesIO(content)).size == (178, 218)
    with pytest.raises(Unusable, match="cannot be read"):
        source.read("000007.jpg")


def test_other_files_are_counted(tmp_path):
    source = lay(tmp_path, False, False)
    (tmp_path / "img_align_celeba" / "notes.txt").touch()
    assert source.ignored() == {".txt": 1}


def test_some_of_the_pictures_may_be_missing(tmp_path):
    assert lay(tmp_path, False, False, names=NAMES[:2]).names() == NAMES[:2]


@pytest.mark.parametrize("apart", [False, True])
def test_a_missing_list_says_why_it_is_needed(tmp_path, apart):
    with pytest.raises(SourceError) as error:
        lay(tmp_path / "a", False, apart, partition=None)
    assert "list_eval_partition.txt is missing, also in Eval/" in str(error.value)
    assert "which split a picture belongs to" in str(error.value)
    with pytest.raises(SourceError) as error:
        lay(tmp_path / "b", True, apart, identities=None)
    assert "identity_CelebA.txt is missing, also in Anno/" in str(error.value)
    assert "so that nobody stands in two splits" in str(error.value)


def test_missing_pictures_are_named(tmp_path, work):
    with pytest.raises(SourceError, match=r"there is no such folder.*PATCHWISE_DATA"):
        open_source(Source(kind="celeba", path="celeba"), DATA)
    with pytest.raises(SourceError, match=r"neither the folder img_align_celeba nor img_.*\.zip"):
        open_source(Source(kind="celeba", path=str(tmp_path)), DATA)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"partition": PARTITION.replace("000003.jpg 1", "000003.jpg 3")}, "3 is '000003.jpg 3'"),
        ({"partition": PARTITION.replace("000003.jpg 1", "000003.jpg")}, "3 is '000003.jpg'"),
        ({"partition": PARTITION + "000001.jpg 2"}, "7 is '000001.jpg 2'"),
        ({"partition": "\n" + PARTITION}, "1 is ''"),
        ({"partition": "<html>\nsign in"}, "1 is '<html>'"),
        ({"identities": IDENTITIES.replace(" 2882", " Ann")}, "5 is '000005.jpg Ann'"),
        ({"identities": IDENTITIES.replace("2880", "28 80")}, "1 is '000001.jpg 28 80'"),
    ],
)
def test_a_malformed_line_is_named_by_its_number(tmp_path, change, line):
    source = lay(tmp_path, False, False, **change)
    listed = "list_eval_partition" if "partition" in change else "identity_CelebA"
    with pytest.raises(SourceError) as error:
        source.names()
    assert f"{listed}.txt: line {line}; a line is a file name and" in str(error.value)


def test_a_picture_that_a_list_lacks_is_named(tmp_path):
    short = "".join(PARTITION.splitlines(keepends=True)[:4])
    with pytest.raises(SourceError, match=r"partition\.txt: no line for 2 of the 6.*000005\.jpg"):
        lay(tmp_path / "a", False, False, partition=short).names()
    short = "".join(IDENTITIES.splitlines(keepends=True)[:5])
    with pytest.raises(SourceError, match=r"CelebA\.txt: no line for 1 of the 6.*000006\.jpg"):
        lay(tmp_path / "b", True, False, identities=short).names()


def test_blank_lines_at_the_end_and_windows_line_ends_do_no_harm(tmp_path):
    changed = PARTITION.replace("\n", "\r\n") + "\r\n\n"
    assert lay(tmp_path, False, False, partition=changed).split(NAMES[4]) == "test"
