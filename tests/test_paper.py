"""The paper's study on pictures laid out as their publishers give them, a handful of each."""

import io
import zipfile
from pathlib import Path

import lmdb
import numpy as np
import pytest
from face_helpers import drawn_face, with_dlib
from PIL import Image, ImageChops

from lib.data import cells, faces, packed
from lib.data.packing import pack
from lib.study import reading

PER_CLASS = {"train": 1, "validation": 1, "test": 3}
COUNT = 30


def face(number: int, width: int, height: int) -> Image.Image:
    """A face in a light of its own, so that no two are near duplicates."""
    picture = drawn_face((width, height), (width // 2, height // 2), min(width, height) // 4)
    coarse = np.random.default_rng(number).integers(90, 256, (14, 14), np.uint8)
    light = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return ImageChops.multiply(picture, light.convert("RGB"))


def saved(picture: Image.Image, kind: str) -> bytes:
    memory = io.BytesIO()
    picture.save(memory, kind)
    return memory.getvalue()


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


@pytest.fixture
def published(work) -> Path:
    """What the study `paper` expects below DATA."""
    data = work / "data"
    for number in range(COUNT):
        ffhq = data / "ffhq" / "images1024x1024" / "00000" / f"{number:05d}.png"
        write(ffhq, saved(face(number, 300, 300), "PNG"))
        for folder, first in (("stylegan2-ffhq/00000", 100), ("progan-celeba", 200)):
            name = data / folder / f"seed{number:04d}.png"
            write(name, saved(face(first + number, 300, 300), "PNG"))
        church = data / "stylegan2-church" / f"seed{number:04d}.png"
        write(church, saved(face(300 + number, 256, 256), "PNG"))
    lsun = data / "lsun" / "church_outdoor_train_lmdb"
    lsun.parent.mkdir()
    with lmdb.open(str(lsun), map_size=2**26) as environment, environment.begin(write=True) as put:
        for number in range(COUNT):
            put.put(f"{number:040x}".encode(), saved(face(400 + number, 320, 256), "WEBP"))
    celeba = data / "celeba"
    names = [f"{number + 1:06d}.jpg" for number in range(COUNT)]
    celeba.mkdir()
    with zipfile.ZipFile(celeba / "img_align_celeba.zip", "w") as archive:
        for number, name in enumerate(names):
            content = saved(face(500 + number, 178, 218), "JPEG")
            archive.writestr(f"img_align_celeba/{name}", content)
    partition = "".join(f"{name} {2 if n < 15 else 0}\n" for n, name in enumerate(names))
    (celeba / "list_eval_partition.txt").write_text(partition)
    identities = "".join(f"{name} {n}\n" for n, name in enumerate(names))
    (celeba / "identity_CelebA.txt").write_text(identities)
    return data


def small_study():
    study = reading.load("paper")
    data = study.data.model_copy(update={"per_class": type(study.data.per_class)(**PER_CLASS)})
    return study.model_copy(update={"data": data})


@with_dlib
def test_every_cell_of_the_papers_study_is_packed(published):
    study = small_study()
    cells.check(study)
    assert [pack.pack(study, cell) for cell in study.cells] == ["packed"] * len(study.cells)
    opened = {cell: packed.load(study, cell) for cell in study.cells}
    assert len(opened["ffhq-stylegan2"].images) == 2 * sum(PER_CLASS.values())
    for cell, made in opened.items():
        assert made.images.shape[1:] == (256, 256, 3)
        assert cell == "ffhq-stylegan2" or len(made.images) == 2 * PER_CLASS["test"]
    formats = {
        cell: made.manifest.groupby("label")["format"].unique().map(list).tolist()
        for cell, made in opened.items()
    }
    assert formats["ffhq-stylegan2"] == [["PNG"], ["PNG"]]
    assert formats["lsun_church-stylegan2"] == [["WEBP"], ["PNG"]]
    assert formats["celeba-progan"] == [["JPEG"], ["PNG"]]
    faces_cut = opened["celeba-progan"].files["side"]
    assert (faces_cut < 178).all() and (faces_cut > 40).all()
    assert (opened["lsun_church-stylegan2"].files["side"] == 256).all()


def test_celebas_test_images_are_of_its_publishers_test_split(published, monkeypatch):
    monkeypatch.setattr(faces, "square", lambda *_: (0, 0, 100, 100))
    pack.pack(study := small_study(), "celeba-progan")
    manifest = packed.load(study, "celeba-progan").manifest
    names = manifest[manifest["label"] == 0]["image_id"].str.removeprefix("real/")
    assert set(names) <= {f"{number + 1:06d}.jpg" for number in range(15)}


def test_faces_are_cropped_and_churches_are_not(published, monkeypatch):
    seen = []
    monkeypatch.setattr(
        faces, "square", lambda picture, margin: seen.append(margin) or (0, 0, 170, 170)
    )
    pack.pack(small_study(), "lsun_church-stylegan2")
    assert seen == []
    pack.pack(small_study(), "ffhq-stylegan2")
    assert set(seen) == {0} and len(seen) >= 2 * sum(PER_CLASS.values())
