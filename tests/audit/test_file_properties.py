"""File metadata: counted by class, and an honest classifier of it."""

import numpy as np
import pandas as pd
import pytest
from audit_helpers import cell, jpeg_cell, picture
from sklearn.metrics import roc_auc_score

from lib.audit import file_properties
from lib.statistics import bootstrap

LABELS = [0, 0, 1, 1]
PIXELS = np.stack([picture(seed, 16) for seed in range(4)])


def files(count: int = 60, **columns) -> pd.DataFrame:
    """Rows of `file_properties.table`, half real; a column may be a function of the label."""
    labels = np.repeat([0, 1], count)
    base = {"format": "PNG", "mode": "RGB", "tables": "", "subsampling": "", "bytes": 1000.0}
    base |= {"bits": 8, "quality": np.nan, "progressive": False, "width": 256, "height": 256}
    found = {key: of(labels) if callable(of) else of for key, of in {**base, **columns}.items()}
    return pd.DataFrame({"label": labels, **found})


def area(table: pd.DataFrame) -> float:
    labels = table["label"].to_numpy(np.uint8)
    resampled = bootstrap.resample(labels, 20, 0)
    found = file_properties.auc_within_folds(
        *file_properties.predictions(table, seed=0), labels, resampled
    )
    assert found.low <= found.value <= found.high
    return found.value


def test_properties_are_counted_by_class():
    packed = cell(
        PIXELS,
        LABELS,
        format=["PNG", "JPEG", "JPEG", "JPEG"],
        width=[16, 20, 20, 20],
        bytes=[900.0, 300.0, 1300.0, 700.0],
        quality=[np.nan, 75.0, 75.0, np.nan],
        tables=["", "abc", "abc", "def"],
        subsampling=["", "4:2:0", "4:2:0", "4:4:4"],
        progressive=[False, False, True, False],
        side=[8, 16, 20, 20],
    )
    rows = file_properties.properties(packed)
    assert list(rows.columns) == ["class", "property", "value", "images", "share"]
    images = rows.set_index(["property", "value", "class"])["images"].unstack()
    assert images.groupby("property").sum().eq(2).all(axis=None)
    expected = {
        ("format", "PNG"): (1, 0),
        ("format", "JPEG"): (1, 2),
        ("size, px", "16 × 16"): (1, 0),
        ("size, px", "20 × 16"): (1, 2),
        ("resized", "enlarged"): (1, 0),
        ("resized", "left as they were"): (1, 0),
        ("resized", "shrunk"): (0, 2),
        ("JPEG quality", "no JPEG"): (1, 0),
        ("JPEG quality", "75"): (1, 1),
        ("JPEG quality", "other tables"): (0, 1),
        ("JPEG subsampling", "4:4:4"): (0, 1),
        ("JPEG coding", "progressive"): (0, 1),
        ("file size, bytes", "300 to 700"): (1, 1),
    }
    for key, counts in expected.items():
        assert tuple(images.loc[key, ["real", "fake"]]) == counts, key
    shown = file_properties.side_by_side(rows)
    assert shown.loc[("format", "JPEG")].tolist() == [50, 100]


def test_file_sizes_are_listed_from_small_to_large():
    sizes = [float(n) for n in (50, 2000, 300, 12000, 999, 70, 8, 450)]
    pixels = np.stack([picture(seed, 16) for seed in range(8)])
    rows = file_properties.properties(cell(pixels, [0, 1] * 4, format="PNG", bytes=sizes))
    shown = file_properties.side_by_side(rows).loc["file size, bytes"]
    assert list(shown.index) == ["8 to 50", "50 to 300", "300 to 999", "999 to 12,000"]
    assert shown["real"].tolist() == [50, 25, 25, 0]


def test_what_no_image_has_is_left_out():
    rows = file_properties.properties(cell(PIXELS, LABELS))
    assert set(rows["property"]) == {"format", "mode", "bits per channel", "size, px", "resized"}


def test_rare_values_are_counted_together():
    widths = [*range(100, 130), *[64] * 10]
    pixels = np.stack([PIXELS[0]] * 40)
    rows = file_properties.properties(cell(pixels, [0, 1] * 20, width=widths))
    sizes = rows[rows["property"] == "size, px"].groupby("value", sort=False)["images"].sum()
    assert len(sizes) == file_properties.MOST_VALUES + 1
    assert sizes.index[0] == "64 × 16" and sizes.iloc[0] == 10
    assert sizes.index[-1] == "others" and sizes.iloc[-1] == 30 - file_properties.MOST_VALUES + 1


def test_only_pictures_that_are_files_have_metadata():
    assert file_properties.has_files(jpeg_cell((80, 80), 2))
    assert not file_properties.has_files(cell(PIXELS, LABELS))
    assert not file_properties.has_files(cell(PIXELS, LABELS, bytes=[1.0, 2.0, 3.0, np.nan]))


def test_the_same_metadata_tells_nothing():
    generator = np.random.default_rng(0)
    assert area(files()) == 0.5
    noise = {"bytes": generator.normal(9000, 900, 400), "width": generator.integers(9, 99, 400)}
    assert area(files(200, **noise)) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    "column",
    [
        {"quality": lambda label: np.where(label, 90.0, 75.0)},
        {"quality": lambda label: np.where(label, np.nan, 75.0)},
        {"format": lambda label: np.where(label, "PNG", "JPEG")},
        {"bits": lambda label: np.where(label, 8, 16)},
        {"progressive": lambda label: label == 1},
        # no threshold parts these: the fakes lie on both sides
        {"width": lambda label: np.where(label, np.arange(len(label)) % 2 * 100 + 200, 250)},
    ],
    ids=["quality", "missing_quality", "format", "bits", "progressive", "both_sides"],
)
def test_metadata_that_differs_tells_all(column):
    assert area(files(**column)) > 0.98


def test_metadata_that_differs_in_part_tells_in_part():
    assert area(files(mode=lambda label: np.where(np.arange(len(label)) < 30, "L", "RGB"))) == (
        pytest.approx(0.75, abs=0.03)
    )


def test_predictions_are_the_same_each_time_and_of_images_not_seen():
    table = files(**{"bytes": np.random.default_rng(1).normal(9000, 900, 120)})
    first, again = (file_properties.predictions(table, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert np.bincount(first[1]).tolist() == [24] * 5
    assert area(table) < 0.7  # trees that had seen these 120 sizes would know them


def test_a_class_of_one_image_cannot_be_predicted():
    assert file_properties.predictions(files().iloc[59:65], seed=0) is None
    assert file_properties.predictions(files().iloc[:10], seed=0) is None


def test_history_says_where_classes_were_resized_differently():
    packed = cell(PIXELS, LABELS, side=[12, 10, 64, 32])
    packed.side["recipe"]["data"]["jpeg_quality"] = 90
    shared, real, fake, differ = file_properties.history(packed)
    assert shared == (
        "Both classes: crop centre, resampled by lanczos, saved as JPEG of quality 90."
    )
    assert real == "real: 2 enlarged (median side 11 px, to 16 px)."
    assert fake == "fake: 2 shrunk (median side 48 px, to 16 px)."
    assert "real pictures were mostly enlarged (11 px) and fakes shrunk (48 px)" in differ


def test_history_of_classes_that_were_treated_alike():
    shared, *classes = file_properties.history(cell(PIXELS, LABELS, side=[16, 32, 32, 32]))
    assert "not saved as JPEG" in shared
    assert classes[0].startswith("real: 1 left as they were, 1 shrunk")
    assert len(file_properties.history(cell(PIXELS, LABELS))) == 3


def test_history_of_altered_test_images_says_what_was_done_to_them():
    packed = cell(PIXELS, LABELS)
    packed.side["recipe"] |= {"test_images_of": "ffhq-stylegan", "jpeg_quality": 50}
    (said,) = file_properties.history(packed)
    assert said.startswith("Both classes: the test images of ffhq-stylegan, JPEG 50, in pixels")


def test_the_auc_within_folds_compares_no_two_folds():
    """By hand: two pairs and a half of the four within folds."""
    labels = np.array([0, 0, 1, 0, 1, 1], np.uint8)
    folds = np.array([0, 0, 0, 1, 1, 1])
    scores = np.array([0.1, 0.3, 0.2, 0.8, 0.9, 0.8])
    resampled = np.ones((3, 6), np.float32)
    found = file_properties.auc_within_folds(scores, folds, labels, resampled)
    assert found[:4] == ("auc", 2.5 / 4, 2.5 / 4, 2.5 / 4)
    one = file_properties.auc_within_folds(scores, np.zeros(6), labels, resampled)
    assert one.value == roc_auc_score(labels, scores)
