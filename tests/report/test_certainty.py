"""How sure the numbers are: thresholds, calibration, the votes' worth and paired tests by hand."""

import numpy as np
import pandas as pd
import pytest
from vote_helpers import hold_out, vote

from lib.report import certainty, families
from lib.report.readable import percent
from lib.results.accuracies import Family
from lib.statistics import dependence
from lib.study.run import Run

CELL = "leaves-gan_a"
FOUR = [0, 0, 1, 1]


def fake_of_four(*counts: int) -> np.ndarray:
    """Margins (N, 4) in which so many of each image's patches are judged fake."""
    return np.where(np.arange(4) < np.array(counts)[:, None], 1.0, -1.0)


@pytest.fixture
def lay(make_run, finish):
    """A voted network: margins (E, N, P) on two reals and two fakes, and on those held out."""

    def lay(z, held_out=None, size=8, seed=0, validation=None, **changes) -> Run:
        run = make_run(size, seed, **changes)
        finish(run, z, FOUR, validation or [0.5] * len(z))
        if held_out is not None:
            hold_out(run, held_out, FOUR)
        vote(run)
        return run

    return lay


def rows_of(study) -> pd.DataFrame:
    return families.read(study)[0]


def numbers(table: pd.DataFrame) -> list[list[str]]:
    """A table's numbers without their intervals."""
    return table.map(lambda text: str(text).split()[0]).to_numpy().tolist()


# Thresholds. The second epoch is validated. With its own threshold it judges two of four rightly,
# with that of validation, ¾, three; the first epoch three, and with its own best, ⅝, all.
TEST = [fake_of_four(0, 2, 3, 4), fake_of_four(2, 3, 3, 4)]
HELD_OUT = [fake_of_four(4, 4, 0, 0), fake_of_four(2, 2, 4, 4)]


def test_thresholds_by_hand(lay, make_study):
    lay(TEST, HELD_OUT, validation=[0.5, 0.75])
    table = certainty.thresholds(rows_of(make_study()))
    assert table.index.tolist() == [(8, "vote, grid")]
    assert list(table.columns) == list(certainty.CHOSEN.values())
    assert numbers(table) == [["50.0", "75.0", "75.0", "100.0", "25.0"]]
    assert table["gap, points"].tolist() == ["25.0"]  # without interval
    assert table["validated epoch"].iloc[0].startswith("50.0 [")


def test_thresholds_of_the_whole_image_by_hand(lay, make_study):
    """Its margin's own threshold is zero, the one that is best on validation is 1½."""
    lay([[[-1], [0.5], [2], [3]]], [[[-1], [1], [2], [2]]], size=16)
    table = certainty.thresholds(rows_of(make_study()))
    assert table.index.tolist() == [(16, "whole image")]
    assert numbers(table) == [["75.0", "100.0", "75.0", "100.0", "0.0"]]


def test_a_margin_of_zero_is_real_where_thresholds_are_chosen(lay, make_study):
    lay([[[0], [0], [2], [3]]], [[[0], [-1], [1], [2]]], size=16)
    assert numbers(certainty.thresholds(rows_of(make_study())))[0][0] == "100.0"


def test_thresholds_seed_by_seed(lay, make_study):
    """In the first epoch validation would turn all about: a threshold of 0 judges all fake."""
    lay(TEST, HELD_OUT, validation=[0.5, 0.75], seeds=[0, 1])
    lay(TEST, HELD_OUT, validation=[0.75, 0.5], seed=1, seeds=[0, 1])
    table = certainty.thresholds(rows_of(make_study(seeds=[0, 1])))
    assert table.index.get_level_values("seed").tolist() == [0, 1]
    assert numbers(table) == [
        ["50.0", "75.0", "75.0", "100.0", "25.0"],
        ["75.0", "50.0", "75.0", "100.0", "50.0"],
    ]


def test_without_chosen_thresholds_there_is_no_table(lay, make_study):
    lay(TEST)
    rows = rows_of(make_study())
    assert certainty.thresholds(rows[~rows["statistic"].str.endswith("_threshold")]).empty


# The votes' worth. Of the reals one is right throughout and one by half of its patches, of the
# fakes one is and one is wrong throughout: shares 1, ½, 1, 0.
HALVES = fake_of_four(0, 2, 4, 0)


def test_the_votes_worth_by_hand(lay, make_study):
    """Mean squares of 5/4 between images and 1/12 within: ρ = 7/9, and 4 / (1 + 3ρ) votes."""
    lay([HALVES])
    lay([[[1], [1], [1], [1]]], size=16)
    table = certainty.votes_worth(rows_of(make_study()))
    assert table.index.tolist() == [8]  # the whole image has no votes
    assert list(table.columns) == list(certainty.VOTES.values())
    line = table.loc[8]
    assert (line["patches"], line["independent votes"]) == (4, "1.2")
    assert line["ρ"].startswith("0.78 [")
    low, high = (float(part) for part in line["ρ"][6:-1].split(", "))
    assert -1 / 3 <= low <= 0.78 <= high <= 1
    right = HALVES.astype(int) == np.where(np.array(FOUR), 1, -1)[:, None]
    with_rho = dependence.expected_vote(right, np.array(FOUR), 7 / 9)
    # Of four patches at ¾ three must be right, and of four at ½ two: 189/256 and 11/16.
    independent = (189 / 256 + 11 / 16) / 2
    assert line["per patch":].tolist() == [
        "62.5", "50.0", percent(independent), percent(with_rho),
    ]  # fmt: skip


def test_votes_that_never_err_have_no_correlation(lay, make_study):
    lay([fake_of_four(0, 0, 4, 4)])
    line = certainty.votes_worth(rows_of(make_study())).loc[8]
    assert line[["ρ", "independent votes"]].isna().all()
    assert line["patches"] == 4
    assert line["per patch":].tolist() == ["100.0"] * 4


def test_the_votes_worth_seed_by_seed_and_from_large_to_small(lay, make_study):
    for seed in (0, 1):
        for size in (8, 4):
            z = np.repeat([HALVES], (8 // size) ** 2, axis=2)
            lay(z, size=size, seed=seed, seeds=[0, 1], patch_sizes=[8, 4])
    table = certainty.votes_worth(rows_of(make_study(seeds=[0, 1], patch_sizes=[8, 4])))
    assert table.index.tolist() == [(8, 0), (8, 1), (4, 0), (4, 1)]
    assert table["patches"].tolist() == [4, 4, 16, 16]


def test_without_a_vote_there_is_no_worth(lay, make_study):
    lay([[[1], [1], [1], [1]]], size=16)
    assert certainty.votes_worth(rows_of(make_study())).empty


# Scores and probabilities


def tidy(rule: str, value: float, experiment: int = 2, test: str = CELL) -> list[dict]:
    key = {"train": CELL, "test": test, "variant": "plain", "patch_size": 8, "seed": 0}
    key |= {"experiment": experiment, "rule": rule, "by": rule, "theta": np.nan, "leads": True}
    key |= {"low": value - 0.1, "high": value + 0.1}
    names = [*certainty.CALIBRATION, "top1"]
    return [{**key, "statistic": name, "value": value + n / 100} for n, name in enumerate(names)]


def test_calibration_is_of_every_rule_on_the_cell_trained_on():
    rows = pd.DataFrame(
        [
            *tidy("none", 0.5, 1),
            *tidy("grid", 0.6),
            *tidy("my_rule", 0.7),
            *tidy("grid", 0.1, 5, "leaves-gan_b"),
            *tidy("crops", 0.2, 3),
        ]
    )
    table = certainty.calibrated(rows)
    assert list(table.columns) == list(certainty.CALIBRATION)
    assert table.index.tolist() == [(8, by) for by in ("none", "my_rule", "grid", "crops")]
    assert table.loc[(8, "grid")].tolist() == [f"0.6{n}0 [0.500, 0.700]" for n in range(5)]
    assert table.loc[(8, "none"), "auc"] == "0.500 [0.400, 0.600]"


def test_reliability_of_patches_and_of_images_by_every_rule(lay):
    run = lay([HALVES])
    points = certainty.reliability([run])
    assert points["unit"].unique().tolist() == [
        "patches", "images by vote, grid", "images by mean margin", "images by mean P(fake)",
    ]  # fmt: skip
    assert set(points["patch_size"]) == {8} and set(points["seed"]) == {0}
    shares = points[points["unit"] == "images by vote, grid"]
    # A real and a fake have no fake patch, a real has half, a fake all.
    assert shares["stated"].tolist() == [0, 0.5, 1]
    assert shares["observed"].tolist() == [0.5, 0, 1]
    assert shares["count"].tolist() == [2, 1, 1]
    patches = points[points["unit"] == "patches"]
    sigmoid = 1 / (1 + np.exp([1, -1]))
    assert patches["stated"].tolist() == pytest.approx(sigmoid)
    assert patches["observed"].tolist() == pytest.approx([4 / 10, 4 / 6])
    margin = points[points["unit"] == "images by mean margin"]
    assert margin["stated"].tolist() == pytest.approx([sigmoid[0], 0.5, sigmoid[1]])


def test_reliability_of_what_has_no_votes_is_of_patches(lay, make_run, finish):
    whole = lay([[[1], [1], [1], [1]]], size=16)
    unvoted = make_run(8, 1)
    finish(unvoted, [HALVES], FOUR, [0.5])
    points = certainty.reliability([whole, unvoted])
    assert set(points["unit"]) == {"patches"} and set(points["patch_size"]) == {16, 8}
    assert certainty.reliability([]).empty


# Paired tests


def test_paired_tests_seed_by_seed_by_hand(family):
    table = certainty.paired(family({128: [0.6, 1.0], 64: [1.0, 0.5]}))
    assert list(table.columns.levels[0]) == ["seed 0", "seed 1"]
    assert list(table["seed 1"].columns) == ["difference", "only first", "only second", "p, Holm"]
    # Eight images only by the 64 px, 2⁻⁷, the second least of eight p; ten only by the whole, 2⁻⁹.
    assert table.index[0] == ("64 px, vote, grid", "whole image")
    assert table["seed 0"].iloc[0].tolist() == ["+40.0", 8, 0, "0.055"]
    assert table["seed 1"].iloc[0].tolist() == ["-50.0", 0, 10, "0.016"]
    others = table[table.index.get_level_values("second") == "64 px, vote, grid"]
    assert others.to_numpy().tolist() == [["+0.0", 0, 0, "1"] * 2] * 3


def test_families_without_a_network_are_not_compared(work, make_study):
    assert certainty.paired(Family(make_study(), CELL)).empty
