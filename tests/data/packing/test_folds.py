"""Folds: even, whole, and the same for a photograph beside every generator."""

import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lib.data.packed import COLUMNS, FOLDS, load
from lib.data.packing import folds, pack
from lib.data.packing.journal import PackingError
from lib.data.sources.files import FileSource
from lib.study import paths
from lib.study.schema import Data

CELL, SISTER = "leaves-gan_a", "leaves-gan_b"
DATA = {"image_size": 16, "folds": 4, "most_per_class": 500}


def pictures(count: int = 200, label: int = 0, **columns) -> pd.DataFrame:
    """Of one class, with hashes that are far apart."""
    generator = np.random.default_rng(label)
    table = pd.DataFrame({"label": label, "name": [f"{n:04d}" for n in range(count)]})
    table["phash"] = [generator.bytes(32).hex() for _ in range(count)]
    return table.assign(**{"identity": None, **columns})


def deal(table: pd.DataFrame, count: int = 5, strata: str | None = None, key="0") -> pd.DataFrame:
    data = Data(image_size=16, folds=count, most_per_class=500, strata=strata)
    dealt = folds.deal(table, data, [f"{key}/real", f"{key}/fake"], train=True)
    assert dealt.columns.tolist() == FOLDS and (dealt.dtypes == np.uint8).all()
    assert dealt.index.equals(table.index)
    return dealt


def test_folds_and_their_parts_are_even_in_each_class():
    table = pd.concat([pictures(203), pictures(97, label=1)], ignore_index=True)
    dealt = deal(table)
    for label in (0, 1):
        own = dealt[table["label"] == label]
        assert np.ptp(own["fold"].value_counts()) <= 1
        for _, fold in own.groupby("fold"):
            assert np.ptp(fold["part"].value_counts().reindex(range(8), fill_value=0)) <= 1


def test_groups_that_names_tell_are_even_too():
    names = [f"{'abc'[n % 10 // 4]}_{n}.png" for n in range(200)]  # 80, 80 and 40
    table = pictures(name=names)
    for pattern in ("^[a-z]", "^([a-z])_.*", "(?:^)(a|b|c)"):
        dealt = deal(table, strata=pattern)
        counts = pd.crosstab(dealt["fold"], table["name"].str[0])
        assert counts.to_numpy().tolist() == [[16, 16, 8]] * 5


def test_near_duplicates_and_identities_stay_together():
    table = pictures(identity=[str(n % 60) if n < 120 else None for n in range(200)])
    table.loc[150:157, "phash"] = table.loc[0, "phash"]
    dealt = deal(table).to_numpy()
    for n in range(60):
        assert (dealt[n] == dealt[n + 60]).all()
    assert (dealt[150:158] == dealt[0]).all()
    assert np.ptp(np.bincount(dealt[:, 0])) <= 3


def test_the_key_alone_fixes_them():
    table = pictures()
    pd.testing.assert_frame_equal(deal(table), deal(table))
    assert (deal(table) != deal(table, key="1")).any().all()
    beside = pd.concat([table, pictures(60, label=1)], ignore_index=True)
    pd.testing.assert_frame_equal(deal(table), deal(beside)[: len(table)])


@pytest.mark.parametrize("identities", [[None] * 9, ["she"] * 50])
def test_too_few_are_refused(identities):
    count = len(identities)
    with pytest.raises(PackingError, match=f"{count} real pictures, .* are too few for data.folds"):
        deal(pictures(count, identity=identities))


# Packing


@pytest.fixture
def leaves(draw):
    return {
        name: draw(name, count) for name, count in (("leaves", 40), ("gan_a", 44), ("gan_b", 50))
    }


def test_a_cell_holds_all_there_is_and_the_folds(make_study, leaves):
    study = make_study(data=DATA)
    assert pack.pack(study, CELL) == "packed" and pack.pack(study, CELL, train=True) == "found"
    packed = load(study, CELL, train=True)
    assert packed.manifest.columns.tolist() == COLUMNS + FOLDS
    assert packed.images.shape == (84, 16, 16, 3)
    assert packed.manifest["split"].unique().tolist() == ["test"]
    assert packed.manifest["label"].tolist() == [0] * 40 + [1] * 44
    for row, entry in zip(packed.images, packed.manifest.itertuples(), strict=True):
        folder = ("leaves", "gan_a")[entry.label]
        file = leaves[folder][0].with_name(entry.image_id.partition("/")[2])
        np.testing.assert_array_equal(row, np.asarray(Image.open(file)))
    for seed in range(4):
        parts = [packed.rows(split, seed) for split in ("test", "validation", "train")]
        assert sorted(np.concatenate(parts)) == list(range(84))
        assert all(set(packed.manifest["label"][rows]) == {0, 1} for rows in parts)


def test_a_photograph_lies_in_one_fold_beside_every_generator(make_study, leaves):
    study, told = make_study(data=DATA), []
    for cell in (CELL, SISTER):
        pack.pack(study, cell)
        manifest = load(study, cell).manifest.set_index("image_id")
        told.append(manifest.loc[manifest["label"] == 0, FOLDS])
    pd.testing.assert_frame_equal(*told)


def test_no_more_are_drawn_than_asked_for(make_study, leaves):
    study = make_study(data={**DATA, "folds": 2, "most_per_class": 42})
    pack.pack(study, CELL)
    assert load(study, CELL).manifest["label"].value_counts().tolist() == [42, 40]


def test_near_duplicates_are_kept_together_and_not_passed_over(make_study, leaves):
    for side in (32, 48, 64):
        with Image.open(leaves["leaves"][0]) as picture:
            picture.resize((side, side)).save(leaves["leaves"][0].with_name(f"again{side}.png"))
    study = make_study(data=DATA)
    pack.pack(study, CELL)
    manifest = load(study, CELL).manifest
    again = manifest["image_id"].str.contains("again|0000") & (manifest["label"] == 0)
    assert again.sum() == 4 and len(manifest[again][FOLDS].drop_duplicates()) == 1


def test_a_fake_that_nearly_is_a_photograph_is_passed_over(make_study, leaves):
    with Image.open(leaves["leaves"][0]) as picture:
        picture.resize((32, 32)).save(leaves["gan_a"][0].with_name("copy.png"))
    study = make_study(data=DATA)
    pack.pack(study, CELL)
    packed = load(study, CELL)
    assert "fake/copy.png" not in set(packed.manifest["image_id"])
    ((name, reason),) = packed.side["fake"]["passed_over"]["near duplicate"]
    assert name == "copy.png" and "real/0000.png" in reason


@pytest.fixture
def interrupt(monkeypatch):
    """Packs a cell until so many pictures were read, and lets later packings go on."""

    def go(study, after: int) -> None:
        read, seen = FileSource.read, []

        def stopping(self, name):
            if len(seen) == after:
                raise KeyboardInterrupt
            seen.append(name)
            return read(self, name)

        with monkeypatch.context() as patched:
            patched.setattr(FileSource, "read", stopping)
            with pytest.raises(KeyboardInterrupt):
                pack.pack(study, CELL)

    return go


def test_an_interrupted_packing_goes_on(make_study, leaves, interrupt):
    study = make_study(data=DATA)
    pack.pack(study, CELL)
    whole = load(study, CELL)
    pixels = whole.images.copy()
    shutil.rmtree(paths.packed(study.name, CELL))
    for after in (7, 33, 30):
        interrupt(study, after)
    pack.pack(study, CELL)
    again = load(study, CELL)
    np.testing.assert_array_equal(again.images, pixels)
    pd.testing.assert_frame_equal(again.manifest, whole.manifest)
    assert again.side["hashes"] == whole.side["hashes"]


def test_reals_that_changed_meanwhile_are_drawn_anew_with_the_fakes(make_study, leaves, interrupt):
    study = make_study(data=DATA)
    interrupt(study, 60)
    for file in leaves["leaves"][:4]:
        file.unlink()
    pack.pack(study, CELL)
    packed = load(study, CELL)
    assert packed.manifest["label"].tolist() == [0] * 36 + [1] * 44
    assert len(packed.images) == 80


def test_too_few_pictures_say_so_and_lose_nothing(make_study, draw):
    draw("leaves", 5), draw("gan_a", 40)
    with pytest.raises(PackingError, match="5 real pictures"):
        pack.pack(make_study(data=DATA), CELL)
