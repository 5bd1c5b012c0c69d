"""Packing: splits by image and seed alone, nothing lost or mixed, however often it is stopped."""

import builtins
import collections
import hashlib
import json
import os
import shutil
import tracemalloc
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lib.data import faces
from lib.data.packed import CLASSES, COLUMNS, FACTS, SPLITS, Packed, PackedError, load, stale
from lib.data.packing import journal, pack, selection
from lib.data.packing.journal import PackingError
from lib.data.sources.files import FileSource
from lib.data.sources.interface import SourceError
from lib.study import files, paths

CELL, SISTER = "leaves-gan_a", "leaves-gan_b"
PER_CLASS = {"train": 3, "validation": 2, "test": 4}
WANTED = sum(PER_CLASS.values())
CONTRACT = ["image_id", "label", "split", "source", "sha256", "width", "height", "format"]


@pytest.fixture
def pictures(draw) -> dict[str, list[Path]]:
    """Twelve pictures of each class, of which a cell needs nine."""
    return {name: draw(name, 12) for name in ("leaves", "gan_a", "gan_b")}


class Loads(list):
    """The files that were read so far, in order, as folder/name."""

    stop_at: int | None = None
    """After so many files the user interrupts."""


@pytest.fixture
def loaded(monkeypatch) -> Loads:
    seen, read = Loads(), FileSource.read

    def watched(self, name):
        if len(seen) == seen.stop_at:
            raise KeyboardInterrupt
        seen.append(f"{self.path.name}/{name}")
        return read(self, name)

    monkeypatch.setattr(FileSource, "read", watched)
    return seen


def data(**changes) -> dict:
    return {"image_size": 16, "per_class": PER_CLASS, **changes}


def ensure(study, cell: str, *, train: bool = False) -> Packed:
    """Packs a cell and opens it."""
    pack.pack(study, cell, train=train)
    return load(study, cell, train=train)


def names(packed: Packed, label: int, split: str | None = None) -> list[str]:
    """A class's file names in the order of the rows."""
    rows = packed.manifest[packed.manifest["label"] == label]
    rows = rows if split is None else rows[rows["split"] == split]
    return [image_id.partition("/")[2] for image_id in rows["image_id"]]


def drawing_order(make_study, label: int, cell: str = CELL) -> list[str]:
    """All of a class's names in the order in which they are drawn."""
    everything = data(per_class={"train": 1, "validation": 1, "test": 10})
    return names(ensure(make_study(name="all", data=everything), cell, train=True), label)


def assert_same(one: Packed, other: Packed) -> None:
    pd.testing.assert_frame_equal(one.manifest, other.manifest)
    np.testing.assert_array_equal(one.images, other.images)
    assert one.side == other.side


def unfinished(cell: str = CELL) -> Path:
    """Where the cell is packed until it is whole; nothing may stand under the final name."""
    assert not paths.packed("tiny", cell).exists()
    return paths.beside(paths.packed("tiny", cell))


# What is packed


def test_the_contracts_files(make_study, pictures, work):
    assert pack.pack(make_study(), CELL) == "packed"
    packed = load(make_study(), CELL)
    folder = work / "work" / "data" / "packed" / "tiny" / CELL
    assert sorted(p.name for p in folder.iterdir()) == [
        *("files.json", "files.parquet", "images.npy", "manifest.parquet", "packed.json"),
    ]
    assert [p.name for p in folder.parent.iterdir() if not p.name.startswith(".")] == [CELL]
    images = np.load(folder / "images.npy", mmap_mode="r")
    assert isinstance(images, np.memmap)
    assert images.dtype == np.uint8
    assert images.shape == (2 * WANTED, 16, 16, 3)
    assert images.flags.c_contiguous
    manifest = pd.read_parquet(folder / "manifest.parquet")
    assert list(manifest.columns) == COLUMNS == CONTRACT
    assert manifest["label"].dtype == np.uint8
    assert manifest[["width", "height"]].dtypes.unique().tolist() == [np.dtype("int64")]
    assert isinstance(packed.images, np.memmap)


def test_each_row_is_its_files_picture(make_study, pictures, work):
    packed = ensure(make_study(), CELL)
    folders = {0: "leaves", 1: "gan_a"}
    for row, entry in zip(packed.images, packed.manifest.itertuples(), strict=True):
        name = entry.image_id.removeprefix(CLASSES[entry.label] + "/")
        file = work / "data" / folders[entry.label] / name
        assert entry.source == str(file.parent)
        assert entry.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
        assert (entry.width, entry.height, entry.format) == (16, 16, "PNG")
        np.testing.assert_array_equal(row, np.asarray(Image.open(file)))


def test_rows_lie_by_split_and_reals_before_fakes(make_study, pictures):
    packed = ensure(make_study(), CELL)
    expected = [
        (split, label)
        for split in ("test", "validation", "train")
        for label in (0, 1)
        for _ in range(PER_CLASS[split])
    ]
    found = packed.manifest[["split", "label"]]
    assert list(found.itertuples(index=False, name=None)) == expected
    assert packed.rows("validation").tolist() == [8, 9, 10, 11]
    assert packed.rows("validation").dtype == np.int32


def test_no_image_stands_in_two_splits(make_study, pictures):
    manifest = ensure(make_study(), CELL).manifest
    assert manifest["image_id"].is_unique
    assert manifest["sha256"].is_unique


def test_writing_to_the_images_changes_no_file(make_study, pictures):
    study = make_study()
    packed = ensure(study, CELL)
    before = packed.images[0].copy()
    packed.images[0] = 255 - before
    np.testing.assert_array_equal(ensure(study, CELL).images[0], before)


def test_a_cell_that_is_only_tested_on_has_the_same_test_split(make_study, pictures):
    trained = ensure(make_study(), SISTER, train=True)
    tested = ensure(make_study(name="other"), SISTER)
    assert tested.manifest["split"].unique().tolist() == ["test"]
    test = trained.manifest[trained.manifest["split"] == "test"]
    pd.testing.assert_frame_equal(tested.manifest, test)
    np.testing.assert_array_equal(tested.images, trained.images[trained.rows("test")])
    assert tested.side["hashes"] == {"test": trained.side["hashes"]["test"]}
    assert set(trained.side["hashes"]) == {"test", "validation", "train"}


def test_a_cell_that_the_study_trains_on_has_all_splits(make_study, pictures):
    assert set(ensure(make_study(), CELL).manifest["split"]) == set(SPLITS)
    again = ensure(make_study(train_on=[CELL, SISTER]), SISTER)
    assert set(again.manifest["split"]) == set(SPLITS)


def test_what_is_drawn_depends_on_the_data_seed_alone(make_study, pictures):
    first = ensure(make_study(), CELL)
    assert_same(first, ensure(make_study(name="again", seeds=[7], title="Other"), CELL))
    other = ensure(make_study(name="other", data=data(seed=1)), CELL)
    for label in (0, 1):
        assert names(first, label) != names(other, label)
    assert first.side["hashes"]["test"] != other.side["hashes"]["test"]


def test_the_photographs_beside_two_generators_are_the_same(make_study, pictures):
    first, sister = (ensure(make_study(), cell) for cell in (CELL, SISTER))
    assert names(first, 0, "test") == names(sister, 0)
    assert names(first, 1, "test") != names(sister, 1)  # both folders have the same names


def test_the_order_of_drawing_is_no_listing_order(make_study, pictures):
    order = drawing_order(make_study, 0)
    assert sorted(order) == [file.name for file in pictures["leaves"]]
    assert order != sorted(order)
    assert names(ensure(make_study(), CELL), 0) == order[:WANTED]


def test_a_splits_hash_tells_its_pixels(make_study, pictures):
    before = ensure(make_study(), CELL).side["hashes"]
    name = names(ensure(make_study(), CELL), 1, "train")[0]
    Image.new("RGB", (16, 16), "red").save(pictures["gan_a"][0].parent / name)
    after = ensure(make_study(name="other"), CELL).side["hashes"]
    assert (before["test"], before["validation"]) == (after["test"], after["validation"])
    assert before["train"] != after["train"]


# What its files were


def test_the_files_facts_stand_beside_the_manifest(make_study, pictures):
    for number, file in enumerate(pictures["gan_a"]):
        picture = Image.open(file)
        file.unlink()
        picture.save(file.with_suffix(".jpg"), quality=80 + number)
    packed = ensure(make_study(), CELL)
    assert list(packed.files.columns) == FACTS
    assert len(packed.files) == len(packed.manifest)
    fake = (packed.manifest["label"] == 1).to_numpy()
    assert packed.files["quality"][~fake].isna().all()
    for facts, entry in zip(packed.files[fake].itertuples(), names(packed, 1), strict=True):
        assert facts.quality == 80 + int(entry.removesuffix(".jpg"))
    assert (packed.files["side"] == 16).all()
    assert packed.files["phash"].str.len().eq(64).all()


def test_a_cell_without_the_files_facts_is_packed_again(make_study, pictures):
    ensure(make_study(), CELL)
    facts = paths.packed("tiny", CELL) / "files.parquet"
    facts.unlink()
    assert pack.pack(make_study(), CELL) == f"packed again: {facts} is missing"
    assert len(load(make_study(), CELL).files) == 2 * WANTED


def test_names_in_any_script_and_no_encoding_are_packed(make_study, pictures):
    folder = pictures["leaves"][0].parent
    odd = ["Лист.png", "葉 子.png", "line\nbreak.png", os.fsdecode(b"caf\xe9.png"), "0000.jpg"]
    for file, name in zip(pictures["leaves"], odd, strict=False):
        shutil.copy(file, folder / name)
    for file in pictures["leaves"][:4] + pictures["leaves"][9:]:
        file.unlink()
    packed = ensure(make_study(data=data(max_skipped=0.5)), CELL)
    found = names(packed, 0)
    assert {"Лист.png", "葉 子.png", "line\nbreak.png", "caf\\xe9.png"} <= set(found)
    assert len(found) == WANTED == 9


def test_a_cell_may_have_a_crop_of_its_own(make_study, pictures, monkeypatch):
    cells = {
        name: {
            "real": {"kind": "files", "path": "leaves"},
            "fake": {"kind": "files", "path": name.partition("-")[2]},
        }
        for name in (CELL, SISTER)
    }
    cells[CELL]["crop"] = "dlib"
    seen = []
    monkeypatch.setattr(faces, "square", lambda picture, _: seen.append(picture) or (0, 0, 16, 16))
    packed = ensure(make_study(cells=cells), CELL)
    assert len(seen) == 2 * WANTED
    assert packed.side["recipe"]["data"]["crop"] == "dlib"
    ensure(make_study(cells=cells), SISTER)
    assert len(seen) == 2 * WANTED
    assert pack.pack(make_study(), CELL) == "packed again: crop changed"


# When it is packed again


def test_what_is_packed_is_found(make_study, pictures, loaded):
    study = make_study()
    packed = ensure(study, CELL)
    assert len(loaded) == 2 * WANTED
    for file in pictures["leaves"]:
        file.unlink()
    for unchanged in (
        study,
        make_study(training={"epochs": 3}, voting={"thetas": [0.5]}, patch_sizes=[8]),
        make_study(data=data(max_skipped=0.5)),
        make_study(train_on=[SISTER]),  # more is packed than is asked for
    ):
        assert pack.pack(unchanged, CELL) == "found"
        assert_same(packed, load(unchanged, CELL))
    assert len(loaded) == 2 * WANTED


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"data": data(resample="area")}, "resample changed"),
        ({"data": data(image_size=32)}, "image_size changed"),
        ({"data": data(seed=1)}, "seed changed"),
        ({"data": data(per_class={**PER_CLASS, "test": 3})}, "per_class changed"),
        ({"data": data(seed=1, resample="area")}, "resample, seed changed"),
        (
            {
                "cells": {
                    CELL: {
                        "real": {"kind": "files", "path": "stones"},
                        "fake": {"kind": "files", "path": "gan_b"},
                    }
                }
            },
            "real, fake changed",
        ),
    ],
)
def test_other_parameters_pack_again_and_say_why(make_study, pictures, draw, changes, why):
    draw("stones", 12)
    ensure(make_study(), CELL)
    with pytest.raises(PackedError, match=rf"cannot be used \({why}\)(.|\n)*python -m lib pack "):
        load(make_study(**changes), CELL)
    assert pack.pack(make_study(**changes), CELL) == f"packed again: {why}"
    fresh = ensure(make_study(**changes, name="fresh"), CELL)
    assert_same(load(make_study(**changes), CELL), fresh)


def test_a_recipe_may_say_none_of_what_is_not_set(make_study, pictures, loaded):
    """As packed data and drafts do that were made when every key was stored."""
    study, side = make_study(), paths.packed("tiny", CELL) / "packed.json"

    def say_none(file: Path, *keys: str) -> None:
        content = json.loads(file.read_text())
        recipe = content
        for key in keys:
            recipe = recipe[key]
        recipe["real"]["category"] = recipe["data"]["jpeg_quality"] = None
        file.write_text(json.dumps(content))

    loaded.stop_at = 5
    with pytest.raises(KeyboardInterrupt):
        pack.pack(study, CELL)
    say_none(unfinished() / "recipe.json")
    loaded.stop_at = None
    pack.pack(study, CELL)
    assert len(loaded) == 2 * WANTED, "the draft was gone on with"
    say_none(side, "recipe")
    assert pack.pack(study, CELL) == "found"
    again = make_study(data=data(jpeg_quality=75))
    assert stale(again, CELL) == "jpeg_quality changed"
    assert pack.pack(again, CELL) == "packed again: jpeg_quality changed"
    assert stale(study, CELL) == "jpeg_quality changed"


def test_a_source_may_be_called_otherwise_than_its_path(make_study, pictures, monkeypatch):
    def called(self, settings, data):
        opened(self, settings, data)
        self.title = "my leaves"

    opened = FileSource.__init__
    monkeypatch.setattr(FileSource, "__init__", called)
    assert ensure(make_study(), CELL).side["real"]["source"] == "my leaves"
    assert pack.pack(make_study(), CELL) == "found"


def test_what_is_missing_is_told_with_the_command_that_makes_it(make_study, pictures):
    study, folder = make_study(), paths.packed("tiny", CELL)
    assert stale(study, CELL) == ""
    with pytest.raises(PackedError) as error:
        load(study, CELL)
    assert str(error.value) == (
        f"{folder}: the packed data are missing. Make them, from the project's folder:\n"
        "  python -m lib pack --study tiny --dataset leaves --gan gan_a\nor with notebook 00_data"
    )
    assert not folder.parent.exists(), "reading makes nothing"
    pack.pack(study, CELL)
    assert stale(study, CELL) is None
    assert stale(study, CELL, train=True) is None


def test_all_cells_are_packed_as_the_study_needs_them(make_study, pictures):
    study = make_study()
    assert [pack.pack(study, cell) for cell in study.cells] == ["packed", "packed"]
    assert set(load(make_study(), CELL).manifest["split"]) == set(SPLITS)
    assert set(load(make_study(), SISTER).manifest["split"]) == {"test"}
    assert [pack.pack(study, cell) for cell in study.cells] == ["found", "found"]


def test_pictures_in_another_data_folder_are_not_taken_for_the_packed_ones(
    make_study, pictures, work, monkeypatch
):
    ensure(make_study(), CELL)
    elsewhere = work / "elsewhere"
    monkeypatch.setenv("PATCHWISE_DATA", str(elsewhere))
    assert pack.pack(make_study(), CELL) == "found"  # none there: the packed ones serve
    shutil.copytree(work / "data", elsewhere)
    how = pack.pack(make_study(), CELL)
    assert how == "packed again: the folder of real, the folder of fake changed"
    assert load(make_study(), CELL).side["real"]["source"] == str(elsewhere / "leaves")


def test_a_cell_packed_for_testing_is_packed_again_for_training(make_study, pictures):
    pack.pack(make_study(), SISTER)
    with pytest.raises(PackedError, match="--gan gan_b --train$"):
        load(make_study(), SISTER, train=True)
    how = pack.pack(make_study(), SISTER, train=True)
    assert how == "packed again: it held the test split alone"
    assert len(load(make_study(), SISTER, train=True).manifest) == 2 * WANTED
    assert pack.pack(make_study(), SISTER) == "found"


# What is skipped


def test_an_unusable_file_is_listed_and_the_next_drawn_takes_its_place(make_study, pictures):
    order = drawing_order(make_study, 0)
    folder = pictures["leaves"][0].parent
    (folder / order[2]).write_bytes(b"")
    (folder / order[5]).write_text("no picture")
    (folder / "notes.txt").touch()
    packed = ensure(make_study(data=data(max_skipped=0.2)), CELL)
    assert names(packed, 0) == [n for n in order if n not in (order[2], order[5])][:WANTED]
    assert packed.side["real"] == {
        "skipped": [[order[2], "zero bytes"], [order[5], "no PNG, JPEG or WebP picture"]],
        "passed_over": {},
        "ignored": {".txt": 1},
        "of": 12,
        "source": str(folder),
    }
    other = {"skipped": [], "passed_over": {}, "ignored": {}, "of": 12}
    assert packed.side["fake"] == {**other, "source": str(folder.with_name("gan_a"))}
    assert len(packed.images) == 2 * WANTED


def test_a_copy_within_a_class_is_skipped(make_study, pictures):
    order = drawing_order(make_study, 1)
    folder = pictures["gan_a"][0].parent
    shutil.copy(folder / order[1], folder / order[4])
    packed = ensure(make_study(data=data(max_skipped=0.2)), CELL)
    assert packed.side["fake"]["skipped"] == [[order[4], f"the same file as {order[1]}"]]
    assert names(packed, 1) == [name for name in order if name != order[4]][:WANTED]


def test_the_same_file_in_both_classes_is_refused_by_name(make_study, pictures, loaded):
    real, fake = drawing_order(make_study, 0)[3], drawing_order(make_study, 1)[6]
    folders = [pictures[name][0].parent for name in ("leaves", "gan_a")]
    shutil.copy(folders[0] / real, folders[1] / fake)
    loaded.clear()
    with pytest.raises(PackingError, match="the same file stands in both classes") as error:
        ensure(make_study(), CELL)
    assert f"{folders[0]}: {real} and {folders[1]}: {fake}" in str(error.value)
    assert not paths.packed("tiny", CELL).exists()
    reals = [name for name in loaded if name.startswith("leaves/")]
    loaded.clear()
    (folders[1] / fake).unlink()
    packed = ensure(make_study(), CELL)
    assert fake not in names(packed, 1)
    assert names(packed, 0) == [name.partition("/")[2] for name in reals]
    assert {name.partition("/")[0] for name in loaded} == {"gan_a"}  # the reals were kept


@pytest.mark.parametrize(("label", "folder"), [(0, "leaves"), (1, "gan_a")])
def test_too_many_unusable_files_are_an_error_unless_allowed(
    make_study, pictures, loaded, label, folder
):
    order = drawing_order(make_study, label)
    broken = pictures[folder][0].parent / order[2]
    broken.write_bytes(b"")
    loaded.clear()
    with pytest.raises(PackingError, match=r"1 of 10 drawn images cannot be used") as error:
        ensure(make_study(), CELL)
    assert "more than data.max_skipped = 0.01" in str(error.value)
    assert f"{order[2]} (zero bytes)" in str(error.value)
    assert not paths.packed("tiny", CELL).exists()
    before = list(loaded)
    packed = ensure(make_study(data=data(max_skipped=0.1)), CELL)
    assert sorted(loaded) == sorted(set(loaded)), "nothing is drawn twice"
    assert loaded[: len(before)] == before
    assert len(loaded) == 2 * WANTED + 1
    assert names(packed, label) == [name for name in order if name != order[2]][:WANTED]


def test_mended_files_are_drawn_again(make_study, pictures):
    order = drawing_order(make_study, 0)
    broken = pictures["leaves"][0].parent / order[2]
    content = broken.read_bytes()
    broken.write_bytes(b"")
    with pytest.raises(PackingError, match="cannot be used"):
        ensure(make_study(), CELL)
    broken.write_bytes(content)
    assert names(ensure(make_study(), CELL), 0) == order[:WANTED]


def test_too_few_usable_files_are_an_error_that_counts(make_study, pictures, draw):
    for file in pictures["gan_a"][:4]:
        file.write_bytes(b"")
    with pytest.raises(PackingError) as error:
        ensure(make_study(data=data(max_skipped=1)), CELL)
    assert "9 usable images are asked for, 8 of its 12 are usable" in str(error.value)
    assert "(zero bytes)" in str(error.value)
    assert "data.per_class" in str(error.value)
    assert not paths.packed("tiny", CELL).exists()
    draw("gan_a/more", 1)
    assert len(ensure(make_study(data=data(max_skipped=1)), CELL).images) == 2 * WANTED


def test_a_mended_file_is_found_where_too_few_were_usable(make_study, pictures):
    """As few are broken as are allowed, and one is too many all the same."""
    for file in pictures["leaves"][WANTED:]:
        file.unlink()
    broken = pictures["leaves"][0]
    content = broken.read_bytes()
    broken.write_bytes(b"")
    study = make_study(data=data(max_skipped=0.5))
    with pytest.raises(PackingError, match="8 of its 9 are usable"):
        ensure(study, CELL)
    broken.write_bytes(content)
    assert len(ensure(study, CELL).images) == 2 * WANTED


def test_folders_without_pictures_are_errors(make_study, pictures):
    folder = pictures["leaves"][0].parent
    for file in pictures["leaves"]:
        file.unlink()
    with pytest.raises(SourceError, match=rf"{folder}: no PNG, JPEG or WebP picture in it"):
        ensure(make_study(), CELL)
    folder.rmdir()
    with pytest.raises(SourceError, match=rf"{folder}: there is no such folder"):
        ensure(make_study(), CELL)


# When it is interrupted


@pytest.mark.parametrize("count", [0, 1, 5, WANTED, WANTED + 1, 2 * WANTED - 1])
def test_an_interrupted_packing_goes_on(make_study, pictures, loaded, count):
    unbroken = ensure(make_study(name="unbroken"), CELL)
    order = list(loaded)
    assert len(order) == 2 * WANTED
    loaded.clear()
    loaded.stop_at = count
    with pytest.raises(KeyboardInterrupt):
        ensure(make_study(), CELL)
    assert unfinished().is_dir()
    loaded.stop_at = None
    assert pack.pack(make_study(), CELL) == "packed"
    assert loaded == order, "each is read once"
    assert_same(load(make_study(), CELL), unbroken)
    with pytest.raises(AssertionError):
        unfinished()


def test_an_interrupted_packing_goes_on_past_unusable_files(make_study, pictures, loaded):
    for number in (1, 4, 6):
        pictures["leaves"][number].write_bytes(b"")
    changes = {"data": data(max_skipped=0.5)}
    unbroken = ensure(make_study(**changes, name="unbroken"), CELL)
    order = list(loaded)
    loaded.clear()
    for stop_at in range(0, len(order), 4):
        loaded.stop_at = stop_at
        with pytest.raises(KeyboardInterrupt):
            ensure(make_study(**changes), CELL)
    loaded.stop_at = None
    assert_same(ensure(make_study(**changes), CELL), unbroken)
    assert loaded == order


def test_a_line_that_a_kill_cut_short_is_drawn_again(make_study, pictures, loaded):
    unbroken = ensure(make_study(name="unbroken"), CELL)
    loaded.stop_at = len(loaded) + 5
    with pytest.raises(KeyboardInterrupt):
        ensure(make_study(), CELL)
    loaded.stop_at = None
    journal = unfinished() / "journal.jsonl"
    lines = journal.read_text("utf-8").splitlines(keepends=True)
    assert len(lines) == 5
    journal.write_text("".join(lines[:4]) + lines[4][:20], "utf-8")
    images = np.load(unfinished() / "images.npy", mmap_mode="r+")
    images[json.loads(lines[4])["row"]] = 0  # as if its pixels had not been written either
    images.flush()
    loaded.clear()
    packed = ensure(make_study(), CELL)
    assert len(loaded) == 2 * WANTED - 4
    assert_same(packed, unbroken)


def test_what_a_kill_leaves_of_the_making_goes(make_study, pictures, loaded):
    ensure(make_study(), CELL)
    left = paths.packed("tiny", CELL) / "journal.jsonl"
    left.touch()
    assert pack.pack(make_study(), CELL) == "found" and not left.exists()


def test_what_other_code_packed_is_packed_again_for_a_batch(make_study, pictures, loaded):
    """What was packed without a code is taken for the first batch's."""
    assert pack.pack(make_study(), CELL) == "packed"
    for code in (None, "a", "a", None):
        assert pack.pack(make_study(), CELL, code=code) == "found"
    assert pack.pack(make_study(), CELL, code="b") == "packed again: the code changed"
    assert pack.pack(make_study(), CELL, code="b") == "found"


def test_a_draft_of_other_code_is_not_gone_on_with(make_study, pictures, loaded):
    for stop_at, code, expected in ((5, "a", 5), (5, "a", 10), (5, "b", 5), (5, None, 10)):
        loaded.clear()
        loaded.stop_at = stop_at
        with pytest.raises(KeyboardInterrupt):
            pack.pack(make_study(), CELL, code=code)
        assert (unfinished() / "journal.jsonl").read_text("utf-8").count("\n") == expected
    loaded.stop_at = None
    pack.pack(make_study(), CELL)
    assert files.recorded(paths.packed("tiny", CELL))["code"] == "b"


@pytest.mark.parametrize(
    ("file", "content", "kept"),
    [
        ("recipe.json", b"", 0),
        ("recipe.json", b"[1]", 0),
        ("images.npy", None, 0),
        ("images.npy", b"", 0),
        ("images.npy", b"\x93NUMPY", 0),
        ("journal.jsonl", None, 0),
        ("journal.jsonl", b"\0" * 9 + b"\n", 0),
        ("journal.jsonl", b'{"label": 0}\n', 0),
        ("journal.jsonl", b"3\n", 0),
        ("journal.jsonl", b"\xff\n", 0),
        ("journal.jsonl", "the third line", 2),
    ],
)
def test_a_damaged_draft_is_begun_anew(make_study, pictures, loaded, file, content, kept):
    unbroken = ensure(make_study(name="unbroken"), CELL)
    loaded.stop_at = len(loaded) + 5
    with pytest.raises(KeyboardInterrupt):
        ensure(make_study(), CELL)
    path = unfinished() / file
    if content is None:
        path.unlink()
    elif content == "the third line":
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join([*lines[:2], b"\0" * len(lines[2]), *lines[2:]]))
    else:
        path.write_bytes(content)
    loaded.clear()
    loaded.stop_at = None
    assert_same(ensure(make_study(), CELL), unbroken)
    assert len(loaded) == 2 * WANTED - kept


def test_a_kill_while_what_was_finished_goes_leaves_nothing_that_passes_for_it(
    make_study, pictures, loaded, monkeypatch
):
    pack.pack(make_study(), CELL, code="a")
    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(files.shutil, "rmtree", Mock(side_effect=KeyboardInterrupt))
        pack.pack(make_study(), CELL, code="b")
    assert not (paths.packed("tiny", CELL) / "packed.json").exists()
    loaded.clear()
    assert pack.pack(make_study(), CELL, code="b") != "found"
    assert not loaded, "what was drawn counts"
    assert files.recorded(paths.packed("tiny", CELL))["code"] == "b"


def test_a_draft_of_other_parameters_is_not_gone_on_with(make_study, pictures, loaded):
    loaded.stop_at = 5
    with pytest.raises(KeyboardInterrupt):
        ensure(make_study(), CELL)
    loaded.stop_at = None
    loaded.clear()
    packed = ensure(make_study(data=data(resample="area", image_size=32)), CELL)
    assert len(loaded) == 2 * WANTED
    fresh = make_study(data=data(resample="area", image_size=32), name="fresh")
    assert_same(packed, ensure(fresh, CELL))


@pytest.mark.parametrize("folder", ["leaves", "gan_a"])
def test_a_draft_of_other_files_is_not_gone_on_with(make_study, pictures, draw, loaded, folder):
    loaded.stop_at = WANTED + 4
    with pytest.raises(KeyboardInterrupt):
        ensure(make_study(), CELL)
    loaded.stop_at = None
    draw(f"{folder}/more", 3)
    loaded.clear()
    packed = ensure(make_study(), CELL)
    drawn = collections.Counter(name.partition("/")[0] for name in loaded)
    # Drawn before: the test and validation splits, and one real of the training split.
    left = {"leaves": WANTED - 7, "gan_a": WANTED - 6}
    assert drawn == {**left, folder: WANTED}
    assert_same(packed, ensure(make_study(name="fresh"), CELL))


def test_pixels_are_on_disk_before_the_journal_says_so(make_study, pictures, monkeypatch):
    """A kill between the two draws the picture again; the other way round it would be lost."""
    written = []

    class Journal(FullDisk):
        def write(self, line):
            row = json.loads(line)["row"]
            written.append(np.load(unfinished() / "images.npy", mmap_mode="r")[row].any())
            return self.file.write(line)

    def opening(path, how="r", **options):
        file = builtins.open(path, how, **options)  # noqa: SIM115
        return Journal(file, 0) if (path.name, how) == ("journal.jsonl", "a") else file

    monkeypatch.setattr(journal, "open", opening, raising=False)
    ensure(make_study(), CELL)
    assert written == [True] * 2 * WANTED


# When the disk is full


class FullDisk:
    """A file that takes so many writes, and a part of the next one."""

    def __init__(self, file, writes: int) -> None:
        self.file, self.left = file, writes

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, content):
        if self.left == 0:
            self.file.write(content[:7])
            raise OSError(28, "No space left on device")
        self.left -= 1
        return self.file.write(content)


@pytest.mark.parametrize(("name", "mode"), [("images.npy", "r+b"), ("journal.jsonl", "a")])
@pytest.mark.parametrize("writes", [0, 3])
def test_a_disk_that_fills_up_leaves_nothing_under_the_final_name(
    make_study, pictures, monkeypatch, name, mode, writes
):
    unbroken = ensure(make_study(name="unbroken"), CELL)

    def opening(path, how="r", **options):
        file = builtins.open(path, how, **options)  # noqa: SIM115
        return FullDisk(file, writes) if (path.name, how) == (name, mode) else file

    with monkeypatch.context() as patch:
        patch.setattr(journal, "open", opening, raising=False)
        with pytest.raises(OSError, match="No space left"):
            ensure(make_study(), CELL)
    assert unfinished().is_dir()
    assert_same(ensure(make_study(), CELL), unbroken)


@pytest.mark.parametrize("write", ["to_parquet", "json"])
def test_a_disk_that_fills_up_at_the_end_leaves_nothing_either(
    make_study, pictures, monkeypatch, loaded, write
):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    def full_for(original):  # the side file is the one that is laid out to be read
        return lambda *args, **options: full() if options.get("indent") else original(*args)

    unbroken = ensure(make_study(name="unbroken"), CELL)
    loaded.clear()
    with monkeypatch.context() as patch:
        if write == "json":
            patch.setattr(pack.json, "dumps", full_for(json.dumps))
        else:
            patch.setattr(pd.DataFrame, "to_parquet", full)
        with pytest.raises(OSError, match="No space left"):
            ensure(make_study(), CELL)
    assert len(loaded) == 2 * WANTED
    loaded.clear()
    unfinished()
    assert_same(ensure(make_study(), CELL), unbroken)
    assert loaded == [], "what was drawn is kept"


def test_a_disk_too_small_is_told_before_anything_is_drawn(
    make_study, pictures, monkeypatch, loaded, work
):
    need = 2 * WANTED * 16 * 16 * 3
    usage = collections.namedtuple("usage", "total used free")
    monkeypatch.setattr(journal.shutil, "disk_usage", lambda _: usage(10**12, 0, need - 1))
    with pytest.raises(PackingError, match=r"packing needs .* MB and .* MB are free") as error:
        ensure(make_study(), CELL)
    assert str(work / "work" / "data" / "packed" / "tiny") in str(error.value)
    assert "PATCHWISE_WORK" in str(error.value)
    assert loaded == []
    unfinished()
    monkeypatch.setattr(journal.shutil, "disk_usage", lambda _: usage(10**12, 0, need))
    assert pack.pack(make_study(), CELL) == "packed"


def test_packing_does_not_hold_the_images(make_study, draw):
    for name in ("leaves", "gan_a"):
        draw(name, 130, size=64)

    def peak(count: int) -> int:
        per_class = {"train": count - 10, "validation": 5, "test": 5}
        study = make_study(name=f"of_{count}", data=data(image_size=64, per_class=per_class))
        tracemalloc.start()
        ensure(study, CELL)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    peak(11)  # what is only made once
    few, many = peak(30), peak(130)
    more_pixels = 2 * 100 * 64 * 64 * 3
    assert many - few < 0.25 * more_pixels


# Drawing


@pytest.mark.parametrize("count", [1, 2, 50])
def test_an_order_holds_every_name_once_and_depends_on_its_key(count):
    order = selection.generator_of("0/real/leaves").permutation(count).tolist()
    assert sorted(order) == list(range(count))
    assert order == selection.generator_of("0/real/leaves").permutation(count).tolist()
    if count == 50:
        assert order != selection.generator_of("1/real/leaves").permutation(count).tolist()
        assert order != selection.generator_of("0/fake/leaves").permutation(count).tolist()
