"""Altered cells: the base's test images in their order, changed as the study says."""

import io
import tracemalloc

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from lib.data import perturbations
from lib.data.images import FILTERS
from lib.data.packed import Packed, PackedError, load
from lib.data.packing import pack
from lib.data.perturbations import PERTURBATIONS, Perturbation
from lib.patches import crop_origins
from lib.study import paths
from lib.study.schema import Altered

CELL, ALTERED = "leaves-gan_a", "leaves_altered-gan_a"
SIZE, PER_CLASS = 16, {"train": 3, "validation": 2, "test": 4}
CHANGES = [{"jpeg_quality": 50}, {"scale": 0.5}, {"blur": 1.5}]


@pytest.fixture
def study(make_study, draw):
    """A study of `make_study` with one altered cell, and pictures to pack."""
    for folder in ("leaves", "gan_a"):
        draw(folder, 12)

    def make(change=None, base=CELL, **changes):
        cells = {
            CELL: {name: {"kind": "files", "path": path} for name, path in FOLDERS.items()},
            ALTERED: {"test_images_of": base, **(change or {"jpeg_quality": 50})},
        }
        return make_study(**{"cells": cells, **changes})

    return make


FOLDERS = {"real": "leaves", "fake": "gan_a"}


def ensure(study, cell: str) -> Packed:
    """Packs a cell and opens it."""
    pack.pack(study, cell)
    return load(study, cell)


def altered(**change) -> Altered:
    return Altered(test_images_of=CELL, **change)


def smooth(size: int = 64) -> np.ndarray:
    """A picture of waves, with a little noise."""
    at = np.arange(size) / size
    waves = np.sin(6 * at[:, None, None] + np.array([0.0, 1, 2])) * np.cos(9 * at[None, :, None])
    noise = np.random.default_rng(3).normal(0, 8, (size, size, 3))
    return (127 + 90 * waves + noise).clip(0, 255).astype(np.uint8)


# The alterations


def test_jpeg_is_of_the_quality_that_is_asked_for_and_of_halved_colour(monkeypatch):
    saved = []
    save = Image.Image.save

    def watched(self, file, *args, **options):
        save(self, file, *args, **options)
        saved.append(file.getvalue())

    monkeypatch.setattr(Image.Image, "save", watched)
    found = perturbations.alter(smooth(), altered(jpeg_quality=75), "lanczos")
    written = Image.open(io.BytesIO(saved[0]))
    np.testing.assert_array_equal(found, np.asarray(written))
    assert written.format == "JPEG"
    # The first entries of Annex K's tables, 16 and 17, at quality 75: halved, and rounded.
    assert [table[0] for table in written.quantization.values()] == [8, 9]
    assert [(layer[1], layer[2]) for layer in written.layer] == [(2, 2), (1, 1), (1, 1)]


def test_a_lower_quality_departs_further():
    errors = [
        np.abs(
            perturbations.alter(smooth(), altered(jpeg_quality=q), "lanczos") - 1.0 * smooth()
        ).mean()
        for q in (90, 75, 50, 10)
    ]
    assert errors == sorted(errors) and errors[0] > 0


@pytest.mark.parametrize("resample", sorted(FILTERS))
def test_scaling_shrinks_and_enlarges_by_the_studys_filter(resample):
    picture = Image.fromarray(smooth(64))
    small = picture.resize((32, 32), FILTERS[resample])
    expected = np.asarray(small.resize((64, 64), FILTERS[resample]))
    found = perturbations.alter(smooth(64), altered(scale=0.5), resample)
    np.testing.assert_array_equal(found, expected)


def test_blurring_spreads_by_the_standard_deviation():
    pixels = np.zeros((65, 65, 3), np.uint8)
    pixels[30:35, 30:35] = 255  # wide enough to survive rounding to whole levels
    found = perturbations.alter(pixels, altered(blur=2.0), "lanczos")[..., 0].astype(float)
    at = np.arange(65) - 32
    share = found.sum(axis=0) / found.sum()
    # The variances of the five pixels' square and of the Gaussian add: 2 + 4.
    assert (share * at).sum() == pytest.approx(0, abs=0.01)
    assert (share * at**2).sum() == pytest.approx(6, rel=0.06)


def test_blurring_is_pillows():
    expected = np.asarray(Image.fromarray(smooth()).filter(ImageFilter.GaussianBlur(1.0)))
    np.testing.assert_array_equal(perturbations.alter(smooth(), altered(blur=1), "area"), expected)


@pytest.mark.parametrize("change", CHANGES)
def test_an_altered_picture_keeps_its_shape_and_is_another(change):
    found = perturbations.alter(smooth(), altered(**change), "lanczos")
    assert (found.shape, found.dtype) == ((64, 64, 3), np.uint8)
    assert (found != smooth()).any()


@pytest.mark.parametrize(
    ("change", "title"),
    [
        ({"jpeg_quality": 50}, "JPEG 50"),
        ({"scale": 0.5}, "× 0.5 and back"),
        ({"blur": 1}, "blur 1 px"),
    ],
)
def test_alterations_have_titles(change, title):
    assert perturbations.title(altered(**change)) == title


def test_a_perturbation_is_one_entry(study, monkeypatch):
    negative = Perturbation(
        title=lambda share: f"{share:.0%} negative",
        allowed="a share of at most 1",
        check=lambda share, side: 0 < share <= 1,
        apply=lambda image, share, resample: image.point(lambda v: v + share * (255 - 2 * v)),
    )
    monkeypatch.setitem(PERTURBATIONS, "negative", negative)
    made = study({"negative": 1})
    found, base = ensure(made, ALTERED), load(made, CELL)
    np.testing.assert_array_equal(found.images, 255 - base.images[base.rows("test")])
    assert perturbations.title(made.cells[ALTERED]) == "100% negative"


# The cell


@pytest.mark.parametrize("change", CHANGES)
def test_a_cell_is_the_bases_test_images_in_their_order(study, change):
    made = study(change)
    assert pack.pack(made, ALTERED) == "packed" and pack.pack(made, CELL) == "found"
    found, base = load(made, ALTERED), load(made, CELL)
    rows = base.rows("test")
    assert len(base.manifest) > len(rows) == 2 * PER_CLASS["test"]
    pd.testing.assert_frame_equal(found.manifest, base.manifest.iloc[rows])
    for one, row in zip(found.images, rows, strict=True):
        expected = perturbations.alter(base.images[row], made.cells[ALTERED], made.data.resample)
        np.testing.assert_array_equal(one, expected)


def test_crops_of_altered_images_lie_where_those_of_the_images_do(study):
    made = study()
    found, base = ensure(made, ALTERED), ensure(made, CELL)
    of = [packed.manifest["image_id"].iloc[packed.rows("test")] for packed in (found, base)]
    one, other = (crop_origins(list(names), SIZE, 8, 5, seed=0) for names in of)
    np.testing.assert_array_equal(one, other)


def test_the_contracts_files_and_what_they_say(study):
    made = study({"scale": 0.5})
    found, base = ensure(made, ALTERED), ensure(made, CELL)
    folder = paths.packed("tiny", ALTERED)
    files = ["files.json", "files.parquet", "images.npy", "manifest.parquet", "packed.json"]
    assert sorted(file.name for file in folder.iterdir()) == files
    cells = sorted(p.name for p in folder.parent.iterdir() if not p.name.startswith("."))
    assert cells == [CELL, ALTERED]  # nothing unfinished is left
    assert isinstance(found.images, np.memmap)
    assert found.images.shape == (8, SIZE, SIZE, 3) and found.images.flags.c_contiguous
    recipe = found.side["recipe"]
    assert recipe["test_images_of"] == CELL and recipe["scale"] == 0.5
    assert recipe["test_images"] == base.side["hashes"]["test"]
    assert recipe["data"]["per_class"] == {"test": 4}
    assert list(found.side["hashes"]) == ["test"]
    assert found.side["hashes"]["test"] != base.side["hashes"]["test"]
    assert found.side["real"] == base.side["real"]


def test_what_the_files_were_is_kept_of_the_test_rows(study):
    made = study()
    base = ensure(made, CELL)
    extra = pd.DataFrame({"bytes": np.arange(len(base.manifest), dtype=float)})
    extra.to_parquet(paths.packed("tiny", CELL) / "files.parquet", index=False)
    (paths.packed("tiny", CELL) / "files.json").unlink()  # which knows other facts
    assert ensure(made, ALTERED).files["bytes"].tolist() == base.rows("test").tolist()


def test_a_base_that_is_only_tested_on_is_packed_in_its_test_split(study, make_study):
    cells = study().cells
    files = {name: {"kind": "files", "path": path} for name, path in FOLDERS.items()}
    made = make_study(cells={**cells, "other-gan": files}, train_on=["other-gan"])
    ensure(made, ALTERED)
    assert set(ensure(made, CELL).manifest["split"]) == {"test"}


# When it is made again


def test_an_altered_cell_is_of_no_use_without_the_one_it_alters(study):
    made = study()
    with pytest.raises(PackedError, match=f"{ALTERED}: the packed data are missing"):
        load(made, ALTERED)
    ensure(made, ALTERED)
    (paths.packed("tiny", CELL) / "packed.json").unlink()
    with pytest.raises(PackedError, match=f"{CELL}, which it alters: missing"):
        load(made, ALTERED)


def test_nothing_is_altered_again_while_nothing_changes(study, monkeypatch):
    ensure(study(), ALTERED)
    monkeypatch.setattr(perturbations, "alter", lambda *args: pytest.fail("altered again"))
    assert pack.pack(study(), ALTERED) == "found"
    more = {**PER_CLASS, "train": 4}  # a longer training split leaves the test images as they are
    data = {"image_size": SIZE, "per_class": more}
    assert pack.pack(study(data=data), ALTERED) == "found"


@pytest.mark.parametrize(
    ("again", "reason"),
    [
        ({"change": {"jpeg_quality": 75}}, "jpeg_quality changed"),
        ({"change": {"blur": 1}}, "blur, jpeg_quality changed"),
        (
            {"data": {"image_size": SIZE, "per_class": PER_CLASS, "seed": 1}},
            "test_images, seed changed",
        ),
    ],
)
def test_it_is_made_again_when_the_images_or_the_alteration_change(study, again, reason):
    before = ensure(study(), ALTERED).side["hashes"]
    with pytest.raises(PackedError, match="cannot be used"):
        load(study(**again), ALTERED)
    assert pack.pack(study(**again), ALTERED) == f"packed again: {reason}"
    assert load(study(**again), ALTERED).side["hashes"] != before
    assert pack.pack(study(**again), ALTERED) == "found"


def test_a_cell_may_become_an_altered_one_and_back(study, make_study):
    files = {name: {"kind": "files", "path": path} for name, path in FOLDERS.items()}
    plain = make_study(cells={CELL: files, ALTERED: files})
    ensure(plain, ALTERED)
    assert "test_images_of, test_images" in pack.pack(study(), ALTERED)
    assert pack.pack(plain, ALTERED).startswith("packed again: real, fake, test_images_of")


def test_an_interrupted_alteration_leaves_nothing_under_the_final_name(study, monkeypatch):
    calls, alter = [], perturbations.alter

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return alter(*args)

    monkeypatch.setattr(perturbations, "alter", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ensure(study(), ALTERED)
    assert not paths.packed("tiny", ALTERED).exists()
    assert pack.pack(study(), ALTERED) == "packed"
    assert len(load(study(), ALTERED).images) == 8
    assert not paths.beside(paths.packed("tiny", ALTERED)).exists()


def test_memory_does_not_grow_with_the_images(make_study, draw):
    size, count = 128, 60
    files = {name: {"kind": "files", "path": path} for name, path in FOLDERS.items()}
    for folder in ("leaves", "gan_a"):
        draw(folder, count, size)
    made = make_study(
        cells={CELL: files, "other-gan": files, ALTERED: {"test_images_of": CELL, "scale": 0.5}},
        train_on=["other-gan"],
        data={"image_size": size, "per_class": {**PER_CLASS, "test": count}},
    )
    ensure(made, CELL)
    tracemalloc.start()
    try:
        found = ensure(made, ALTERED)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.images.nbytes > 5e6 > 3 * peak
