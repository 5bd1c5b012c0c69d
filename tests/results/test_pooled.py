"""Seeds or folds as one: intervals that know images and networks; of folds, all their images."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_1samp

from lib.results.pooled import KEYS, over_seeds, pooled
from lib.results.tables import COLUMNS, TEXT, WHOLE_NUMBERS

CELL, OTHER = "leaves-gan_a", "stones-gan_a"


@pytest.fixture
def study(make_study):
    source = {"kind": "files", "path": "x"}
    cells = {cell: {"real": source, "fake": source} for cell in (CELL, "leaves-gan_b", OTHER)}
    cells["leaves_blur-gan_a"] = {"test_images_of": CELL, "blur": 1.0}
    return make_study(data={"image_size": 16, "folds": 3, "most_per_class": 50}, cells=cells)


def rows(values, images=(40, 40, 40), statistic="validated", test=CELL, **more) -> pd.DataFrame:
    lines = [
        {
            "experiment": 1,
            "train": CELL,
            "test": test,
            "variant": "plain",
            "patch_size": 8,
            "seed": seed,
            "unit": "image",
            "rule": "grid",
            "statistic": statistic,
            "value": value,
            "low": value - 0.1,
            "high": value + 0.1,
            "epoch": seed,
            "n_images": count,
            "n_patches": 4 * count,
            **more,
        }
        for seed, (value, count) in enumerate(zip(values, images, strict=True))
    ]
    return pd.DataFrame(lines, columns=COLUMNS).astype(TEXT | WHOLE_NUMBERS)


def test_a_value_is_that_of_all_images(study):
    (line,) = pooled(study, rows([0.5, 0.75, 0.7], (40, 40, 20))).itertuples()
    assert line.value == pytest.approx((20 + 30 + 14) / 100)
    assert (line.n_images, line.n_patches, line.seed) == (100, 400, 0)
    assert pd.isna(line.epoch)


@pytest.mark.parametrize("test", [CELL, "leaves-gan_b", "leaves_blur-gan_a"])
def test_its_interval_is_students(study, test):
    values = [0.5, 0.6, 0.8]
    (line,) = pooled(study, rows(values, test=test)).itertuples()
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert (line.low, line.high) == pytest.approx((max(0, low), min(1, high)))
    wide = ttest_1samp([2.5, 2.6, 2.8], 0).confidence_interval(0.95)
    (line,) = pooled(study, rows([2.5, 2.6, 2.8], statistic="effective_votes")).itertuples()
    assert (line.low, line.high) == pytest.approx(tuple(wide))


def test_images_that_folds_share_count_once_and_widen_it(study):
    values = [0.5, 0.6, 0.8]
    (line,) = pooled(study, rows(values, test=OTHER)).itertuples()
    low, _ = ttest_1samp(values, 0).confidence_interval(0.95)
    half = np.hypot(np.mean(values) - low, 0.1)
    assert line.low == pytest.approx(np.mean(values) - half)
    assert line.n_images == 40


def test_seeds_share_their_images(make_study):
    (line,) = pooled(make_study(), rows([0.5, 0.6, 0.8])).itertuples()
    low, _ = ttest_1samp([0.5, 0.6, 0.8], 0).confidence_interval(0.95)
    assert line.low == pytest.approx(19 / 30 - np.hypot(19 / 30 - low, 0.1))
    assert (line.value, line.n_images) == (pytest.approx(19 / 30), 40)


def test_one_network_keeps_its_interval_over_images(make_study):
    (line,) = pooled(make_study(), rows([0.5], (40,))).itertuples()
    assert (line.value, line.low, line.high) == (0.5, 0.4, 0.6)


def test_two_have_no_interval(make_study):
    (line,) = pooled(make_study(), rows([0.5, 0.6], (40, 40))).itertuples()
    assert line.value == pytest.approx(0.55) and np.isnan(line.low) and np.isnan(line.high)
    two = over_seeds(pd.DataFrame({"size": [1, 1], "auc": [0.5, 0.6]}), ["size"], "auc")
    assert two.loc[1, "value"] == pytest.approx(0.55) and np.isnan(two.loc[1, "high"])


def test_what_some_folds_lack_is_left_out(study):
    both = pd.concat([rows([0.5, 0.6, 0.7]), rows([0.5, 0.6], (40, 40), "auc")], ignore_index=True)
    assert pooled(study, both)["statistic"].tolist() == ["validated"]
    assert pooled(study, both[:0]).columns.tolist() == COLUMNS


def test_numbers_without_intervals_stay_so(study):
    given = rows([0.5, 0.6, 0.7]).assign(low=np.nan, high=np.nan)
    (line,) = pooled(study, given).itertuples()
    assert np.isnan(line.low) and np.isnan(line.high)


def test_keys_tell_rows_apart(study):
    given = pd.concat([rows([0.5] * 3), rows([0.6] * 3, theta=0.6, reading="share")])
    assert pooled(study, given.reset_index(drop=True))["value"].tolist() == [0.5, 0.6]
    assert set(KEYS) < set(COLUMNS)


def test_over_seeds_stands_students_interval():
    rows = pd.DataFrame({"size": [1, 1, 1, 2], "auc": [0.5, 0.6, 0.8, 0.9]})
    found = over_seeds(rows, ["size"], "auc")
    low, high = ttest_1samp([0.5, 0.6, 0.8], 0).confidence_interval(0.95)
    assert found.loc[1, ["value", "low", "high"]].tolist() == pytest.approx([19 / 30, low, high])
    assert found.loc[2, "value"] == 0.9 and np.isnan(found.loc[2, "low"])
