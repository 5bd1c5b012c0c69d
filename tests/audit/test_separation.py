"""The audit: it warns of what separates the classes by itself, and of nothing else."""

import io

import numpy as np
import pandas as pd
import pytest
from audit_helpers import cell, jpeg_cell, picture, saved
from PIL import Image

from lib.audit import pixel_cues, separation
from lib.statistics.bootstrap import Estimate
from lib.study import paths
from lib.study.schema import Bootstrap

FEW = Bootstrap(resamples=200)
NAME, SISTER = "leaves-gan_a", "leaves-gan_b"


def rows(**given: tuple[float, float, float, bool]) -> pd.DataFrame:
    """A table of separations; the keys are cues with `_` for what is no letter."""
    known = {cue.replace(" ", "_").replace("-", "_"): cue for cue in separation.MEANINGS}
    found = [(NAME, known[key], *numbers[:3], 50, 50, numbers[3]) for key, numbers in given.items()]
    return pd.DataFrame(found, columns=separation.COLUMNS)


QUIET = rows(
    file_metadata=(0.5, 0.45, 0.55, False),
    clipped_highlights=(0.35, 0.32, 0.38, False),
    mean_brightness=(0.6, 0.5, 0.69, False),
)
LOUD = rows(
    file_metadata=(0.994, 0.98, 1.0, True),
    high_frequency_energy=(0.2, 0.15, 0.25, True),
    mean_brightness=(0.69, 0.6, 0.78, False),
)


# What it measures


def test_files_that_were_made_alike_raise_no_warning():
    found = separation.separations(jpeg_cell((80, 80)), NAME, FEW)
    assert list(found.columns) == separation.COLUMNS
    assert found["cue"].tolist() == list(separation.MEANINGS)
    assert found[["cell", "n_real", "n_fake"]].drop_duplicates().values.tolist() == [[NAME, 40, 40]]
    assert (found["low"] <= found["auc"]).all() and (found["auc"] <= found["high"]).all()
    assert not found["warns"].any()


def test_fakes_saved_at_another_quality_raise_the_warning():
    found = separation.separations(jpeg_cell((80, 60)), NAME, FEW).set_index("cue")
    assert found.loc["file metadata", ["auc", "low", "warns"]].tolist() == [1, 1, True]
    assert found.loc["file size", "warns"] and found.loc["file size", "auc"] < 0.3
    assert not found.loc["mean brightness", "warns"]


@pytest.mark.parametrize(("brighter", "auc"), [(1, 1.0), (0, 0.0)])
def test_a_cue_warns_whichever_class_has_more_of_it(brighter, auc):
    labels = [0] * 20 + [1] * 20
    images = np.stack([picture(n, 16) // 2 + 60 * (of == brighter) for n, of in enumerate(labels)])
    found = separation.separations(cell(images.astype(np.uint8), labels), NAME, FEW).set_index(
        "cue"
    )
    assert found.loc["mean brightness", ["auc", "warns"]].tolist() == [auc, True]


def test_simulated_pictures_have_no_files_to_be_told_by():
    images = np.stack([picture(n, 16) for n in range(8)])
    found = separation.separations(cell(images, [0, 1] * 4), NAME, FEW).set_index("cue")
    assert found.loc[["file metadata", "file size"], ["auc", "low", "high"]].isna().all(axis=None)
    assert not found.loc[["file metadata", "file size"], "warns"].any()
    assert found.loc[list(pixel_cues.CUES), "auc"].notna().all()
    shown = separation.readable(found.reset_index())
    assert shown.loc["file metadata"].tolist() == ["not applicable: no files", "", ""]


def test_an_auc_below_a_half_separates_like_its_mirror_image():
    assert separation.separation("blockiness", 0.2, 0.1, 0.35) == pytest.approx((0.8, 0.65, 0.9))
    assert separation.separation("blockiness", 0.8, 0.65, 0.9) == (0.8, 0.65, 0.9)
    assert separation.separation("file metadata", 0.2, 0.1, 0.35) == (0.2, 0.1, 0.35)


@pytest.mark.parametrize(
    ("auc", "low", "high", "warns"),
    [
        (0.70, 0.61, 0.8, True),
        (0.70, 0.60, 0.8, False),
        (0.69, 0.65, 0.7, False),
        (0.30, 0.2, 0.39, True),
        (0.30, 0.2, 0.41, False),
    ],
)
def test_a_warning_takes_a_large_auc_and_a_sure_one(auc, low, high, warns, monkeypatch):
    estimate = Estimate("auc", auc, low, high)
    monkeypatch.setattr(separation.ranking, "roc", lambda *_: [estimate])
    images = np.stack([picture(n, 16) for n in range(4)])
    found = separation.separations(cell(images, [0, 0, 1, 1]), NAME, FEW).set_index("cue")
    assert found.loc["blockiness", "warns"] == warns


def test_of_many_images_some_are_measured_spread_evenly(monkeypatch):
    monkeypatch.setattr(separation, "MOST", 3)
    labels = [0] * 9 + [1] * 2
    images = np.zeros((11, 16, 16, 3), np.uint8)
    seen = []
    monkeypatch.setattr(
        separation.pixel_cues, "measure", lambda _, rows: seen.append(rows) or pd.DataFrame()
    )
    found = separation.separations(cell(images, labels), NAME, FEW)
    assert seen[0].tolist() == [0, 4, 8, 9, 10]
    assert found[["n_real", "n_fake"]].values.tolist() == [[3, 2]] * 2


def test_spectra_are_of_each_class():
    smooth = [picture(n, 128) for n in range(4)]
    rough = [(p + np.random.default_rng(0).integers(0, 30, p.shape)).astype("u1") for p in smooth]
    packed = cell(np.stack(smooth + rough), [0] * 4 + [1] * 4)
    found = separation.spectra(packed)
    assert (found["low"] <= found["high"]).all()
    assert found.groupby("class").size().to_dict() == {"real": 64, "fake": 64}
    highest = found[found["frequency"] == 0.5].set_index("class")
    assert highest.loc["fake", "log_power"] > highest.loc["real", "log_power"] + 1
    assert set(found["images"]) == {4}
    expected = pixel_cues.azimuthal(packed.images, np.arange(4))[1]
    real = found[found["class"] == "real"]
    np.testing.assert_allclose(real["log_power"], expected.mean(axis=0))
    np.testing.assert_allclose(real["high"], np.percentile(expected, 75, axis=0))


# Duplicates


def test_near_duplicates_are_found_within_and_across_classes_and_splits():
    original, other = picture(0), picture(1)
    again = np.asarray(Image.open(io.BytesIO(saved(original, 50))))
    images = np.stack([original, picture(2), again, other, other, picture(3)])
    splits = ["test", "test", "train", "test", "train", "train"]
    packed = cell(images, [0, 0, 0, 0, 1, 1], splits)
    found = separation.duplicates(packed)
    assert found[["first", "second"]].values.tolist() == [
        ["real/0.png", "real/2.png"],
        ["real/3.png", "fake/4.png"],
    ]
    assert found["identical"].tolist() == [False, True]
    assert found["classes"].tolist() == ["real", "real and fake"]
    assert found["splits"].tolist() == ["train and test"] * 2
    assert found["bits"].iloc[1] == 0 < found["bits"].iloc[0]
    assert separation.counted(found).to_dict("index") == {
        "real": {"near duplicates": 1, "of these identical": 0, "in two splits": 1},
        "fake": {"near duplicates": 0, "of these identical": 0, "in two splits": 0},
        "real and fake": {"near duplicates": 1, "of these identical": 1, "in two splits": 1},
    }


def test_different_pictures_are_no_duplicates_and_none_are_counted(work):
    packed = cell(np.stack([picture(n) for n in range(6)]), [0, 0, 0, 1, 1, 1])
    found = separation.duplicates(packed)
    assert found.empty
    separation.save("tiny", NAME, duplicates=found)
    for table in (found, separation.read("tiny", NAME, "duplicates")):
        assert separation.counted(table).shape == (3, 3)
        assert not separation.counted(table).any(axis=None)


# What it says


def test_what_tells_a_little_is_named():
    assert separation.finding(QUIET) == (
        "A little is told by clipped highlights (AUC 0.65 [0.62, 0.68], higher in reals): "
        "a detector is to be judged beside that."
    )


def test_a_finding_with_nothing_found_names_the_largest():
    unsure = QUIET.assign(low=QUIET["auc"] - 0.2, high=QUIET["auc"] + 0.2)
    assert separation.finding(unsure) == (
        "Nothing was found that by itself tells the classes apart "
        "(the most is told by clipped highlights, AUC 0.65 [0.45, 0.85])."
    )


def test_a_finding_names_what_was_found_with_its_numbers():
    first, second, *_ = separation.finding(LOUD).split(". ")
    assert first.startswith(
        "File metadata alone tells the classes apart (AUC 0.99 [0.98, 1.00]): "
        "results on these files measure the codec"
    )
    assert second.startswith(
        "High-frequency energy alone tells the classes apart "
        "(AUC 0.80 [0.75, 0.85], higher in reals): "
    )


def test_warnings_are_read_back_cell_by_cell(work):
    assert separation.warnings("tiny", [NAME]) == []
    (written,) = separation.save("tiny", NAME, cues=LOUD)
    assert written == f"results/tiny/audit/{NAME}/cues.csv"
    assert (paths.audit("tiny", NAME) / "cues.csv").is_file()
    separation.save("tiny", SISTER, cues=QUIET)
    found = separation.warnings("tiny", [SISTER, NAME, NAME])
    assert [line.partition(" alone")[0] for line in found] == [
        f"{NAME}: File metadata",
        f"{NAME}: High-frequency energy",
    ]
    assert "AUC 0.99 [0.98, 1.00]" in found[0]
    assert all("\n" not in line for line in found)


def test_a_notebook_is_told_of_warnings_of_none_and_of_no_audit(work):
    separation.save("tiny", NAME, cues=LOUD)
    separation.save("tiny", SISTER, cues=QUIET)
    lines = separation.notice("tiny", [NAME, SISTER, "seas-gan_a"]).splitlines()
    assert [line.startswith("WARNING") for line in lines] == [True, True, False, False]
    assert lines[2] == f"{SISTER}: its audit warns of nothing."
    assert lines[3].startswith("seas-gan_a: not audited yet; 00_data")


def test_what_is_saved_is_read_back(work):
    given = separation.separations(jpeg_cell((80, 60), 10), NAME, FEW)
    separation.save("tiny", NAME, cues=given)
    pd.testing.assert_frame_equal(separation.read("tiny", NAME, "cues"), given)
    assert separation.read("tiny", SISTER, "cues") is None
