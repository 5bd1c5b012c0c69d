"""Tables: the contract's columns and names, one row per number, and the numbers by hand."""

import csv
import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from lib import margins
from lib.results import tables
from lib.statistics import accuracy, dependence
from lib.voting import rules, verdicts

CONTRACT = (
    "experiment,train,test,variant,patch_size,seed,unit,rule,theta,reading,statistic,value,low,"
    "high,epoch,n_epochs,n_images,n_patches"
)
LABELS = [0, 0, 1, 1]
# Three epochs of four images of four patches; the second is the validated one.
MARGINS = [
    [[-1, -1, -1, 1], [1, 1, -1, -1], [2, 2, -2, -2], [-3, -3, -3, 3]],
    [[-4, -3, -2, -1], [-4, -4, 1, -1], [4, 4, -1, -1], [-1, -1, -1, -2]],
    [[-1, -1, -1, -1], [-1, -1, -1, -1], [-1, -1, -1, -1], [-1, -1, -1, -1]],
]
VALIDATION = [0.5, 0.75, 0.75]
CURVES = ["auc", "eer", "tpr_at_1fpr", "brier", "ece"]
PER_RULE = [*accuracy.EPOCH_STATISTICS, "tpr", "tnr", *CURVES]


@pytest.fixture
def run(make_run, finish):
    run = make_run()
    finish(run, MARGINS, LABELS, VALIDATION)
    return run


@pytest.fixture
def sheet(run):
    return tables.Sheet(run, 2, margins.load(run, run.test))


def values(sheet: tables.Sheet, **chosen) -> dict[str, float]:
    """The statistics of the rows that have all of the `chosen` entries."""
    rows = sheet.table()
    for column, entry in chosen.items():
        rows = rows[rows[column] == entry]
    assert rows["statistic"].is_unique
    return dict(zip(rows["statistic"], rows["value"], strict=True))


def test_the_columns_are_the_contracts(sheet):
    assert ",".join(tables.COLUMNS) == CONTRACT
    assert list(sheet.table().columns) == tables.COLUMNS
    sheet.vote("grid")
    assert sheet.save().read_text("utf-8").splitlines()[0] == CONTRACT


def test_the_grid_vote_by_hand(sheet):
    sheet.vote("grid")
    assert values(sheet, unit="image", rule="grid") == pytest.approx(
        {
            "top1": 0.75,
            "top5": (0.5 + 0.75 + 0.5) / 3,
            "average": (0.5 + 0.75 + 0.5) / 3,
            "last": 0.5,
            "validated": 0.75,
            "tpr": 0.5,
            "tnr": 1.0,
            "auc": 2.5 / 4,  # shares of 0 and ¼ for reals, ½ and 0 for fakes
            "eer": 0.5,  # from (0, ½) over (½, ½), to (1, 1)
            "tpr_at_1fpr": 0.5,
            "brier": (0 + 1 / 16 + 1 / 4 + 1) / 4,
            "ece": (1 + 1 / 4 + 1 / 2) / 4,  # 0 of a real and a fake, then ¼ and ½ by themselves
        }
    )


def test_each_patchs_own_verdict_by_hand(sheet):
    sheet.patches()
    found = values(sheet, unit="patch", rule="none")
    assert list(found) == PER_RULE
    assert found["top1"] == found["validated"] == 9 / 16  # 4, 3, 2 and 0 of four are right
    assert found["last"] == 8 / 16
    assert (found["tpr"], found["tnr"]) == (2 / 8, 7 / 8)
    # Of fakes' margins 4, 4, −1, −1, −1, −1, −1, −2 against reals' −4, −3, −2, −1, −4, −4, 1, −1.
    assert found["auc"] == ((8 + 8) + 5 * (5 + 2 / 2) + (4 + 1 / 2)) / 64
    z = np.array(MARGINS[1], float)
    squared = (1 / (1 + np.exp(-z)) - np.array(LABELS)[:, None]) ** 2
    assert found["brier"] == pytest.approx(squared.mean())


def test_mean_rules_by_hand(sheet):
    sheet.vote("mean_margin")
    sheet.vote("mean_probability")
    # The means of the validated epoch are −2.5, −2, 1.5 and −1.25.
    assert values(sheet, rule="mean_margin")["validated"] == 0.75
    assert values(sheet, rule="mean_margin")["auc"] == 1
    # A mean margin is stated as the probability sigmoid(z).
    stated = 1 / (1 + np.exp([2.5, 2, -1.5, 1.25]))
    brier = np.mean((stated - LABELS) ** 2)
    assert values(sheet, rule="mean_margin")["brier"] == pytest.approx(brier)
    # The mean probabilities of the third image are (0.982 + 0.269) / 2.
    assert values(sheet, rule="mean_probability")["validated"] == 0.75
    # In the first epoch the second and third image's means are exactly zero, and so fake.
    assert values(sheet, rule="mean_margin")["average"] == pytest.approx((0.5 + 0.75 + 0.5) / 3)


def test_confident_rows_by_hand(sheet):
    for theta in (0.5, 0.25):
        sheet.vote(rules.confident(theta))
    rows = sheet.table()
    assert (rows["reading"] == "share").all()
    assert (rows["unit"] == "image").all()
    assert rows["theta"].tolist() == [0.5] * 14 + [0.25] * 14
    assert rows["statistic"].tolist() == [*PER_RULE, "coverage", "fallback"] * 2
    # |z| has five fours, a three and two twos: θ = ½ keeps these eight of the sixteen.
    half = values(sheet, theta=0.5)
    assert (half["coverage"], half["fallback"], half["validated"]) == (0.5, 0, 0.75)
    # θ = ¼ keeps the five fours, none of them the fourth image's, which falls back to all.
    quarter = values(sheet, theta=0.25)
    assert (quarter["coverage"], quarter["fallback"]) == (5 / 16, 0.25)
    assert (quarter["validated"], quarter["tpr"], quarter["tnr"]) == (0.75, 0.5, 1)


def test_confident_rows_of_all_readings_by_hand(sheet):
    for reading in rules.READINGS:
        sheet.vote(rules.confident(0.5, reading))
    rows = sheet.table()
    assert rows["reading"].tolist() == [r for r in rules.READINGS for _ in range(14)]
    assert (rows["theta"] == 0.5).all()
    # Of five fours, a three, two twos and eight ones: the top eight; those above 1.5; above 1.1.
    for reading in rules.READINGS:
        assert values(sheet, reading=reading)["coverage"] == 0.5
    # θ = 0.25 keeps five; those above 2.25; those of at least 2 · artanh(¾) = 1.95.
    kept = {"share": 5, "range": 6, "probability": 8}
    for reading, count in kept.items():
        shown = sheet.vote(rules.confident(0.25, reading))
        assert values(sheet, reading=reading, theta=0.25)["coverage"] == count / 16
        assert shown.loc["coverage", "value"] == count / 16  # of this reading and θ alone
        assert shown.index.is_unique


def quirky(make_run, finish, kind: str, z=MARGINS, **on) -> tables.Sheet:
    run = make_run(variant="quirky", networks="plain", quirks=on)
    finish(run, z, LABELS, VALIDATION, kind=kind)
    return tables.Sheet(run, 3, margins.load(run, run.test, kind=kind))


CROPS = [[[-1, 1, -1], [-1, -1, 1], [1, -1, 1], [1, 1, -1]]] * 3


def test_crops_vote_as_the_studys_quirks_say(make_run, finish):
    """Without their last crop, the shares are ½, 0, ½ and 1: two ties, which are wrong."""
    sheet = quirky(make_run, finish, "crops", CROPS)
    sheet.vote("crops")
    assert values(sheet, rule="crops")["validated"] == 1
    sheet = quirky(make_run, finish, "crops", CROPS, even_crops_ties_wrong=True)
    sheet.vote("crops")
    found = values(sheet, rule="crops")
    assert (found["validated"], found["tpr"], found["tnr"]) == (0.5, 0.5, 0.5)
    assert found["auc"] == 3.5 / 4
    assert found["brier"] == (1 / 4 + 0 + 1 / 4 + 0) / 4
    assert sheet.table()["variant"].unique().tolist() == ["quirky"]


def test_the_grid_votes_plainly_whatever_the_quirks(make_run, finish, sheet):
    on = {"even_crops_ties_wrong": True, "last_patch_only": True, "fallback_counts_fake": True}
    other = quirky(make_run, finish, "grid", **on)
    for rule in ("grid", "mean_margin", "mean_probability"):
        pd.testing.assert_frame_equal(other.vote(rule), sheet.vote(rule))
    pd.testing.assert_frame_equal(other.patches(), sheet.patches())


def test_a_fallback_that_counts_fakes_by_hand(make_run, finish):
    """θ = ¼ keeps the five fours: the fourth image has none, votes real, and counts as right."""
    sheet = quirky(make_run, finish, "grid", fallback_counts_fake=True)
    sheet.vote(rules.confident(0.25))
    found = values(sheet)
    assert list(found) == [*PER_RULE, "coverage", "fallback"]  # every image counts
    assert (found["validated"], found["tpr"], found["tnr"]) == (1, 1, 1)
    assert found["fallback"] == 0.25


def test_images_that_a_quirk_leaves_out_are_counted(make_run, finish):
    """Of the last patches −1, −1, −1 and −2, θ = ½ keeps the last: a fake that is judged real."""
    sheet = quirky(make_run, finish, "grid", last_patch_only=True)
    last_kept = rules.confident(0.5).keep(sheet.scored.margins)[..., -1]
    assert last_kept[1].tolist() == [False, False, False, True]
    shown = sheet.vote(rules.confident(0.5))
    found = values(sheet)
    assert list(shown.index) == [*PER_RULE[:6], *CURVES, "coverage", "fallback", "counted"]
    assert "tnr" not in found  # no real counts
    assert found["counted"] == 0.5
    assert (found["validated"], found["tpr"]) == (0.5, 0.5)
    row = shown.loc["counted"]
    # Both fakes count and no real does, in every resample.
    assert (row["low"], row["high"], row["epoch"]) == (0.5, 0.5, 1)
    # Of the first epoch's last patches 1, −1, −2 and 3, only 2 and 3 are kept: of two fakes one.
    assert last_kept[0].tolist() == [False, False, True, True]
    # In the last epoch all tie: all are kept, and judged real.
    assert last_kept[2].all()
    assert found["last"] == 0.5
    assert found["average"] == found["top1"] == 0.5


def test_a_variant_that_only_votes_anew_has_tables_of_its_own(make_run, finish):
    sheet = quirky(make_run, finish, "grid", theta_reading="range")
    sheet.vote("grid")
    assert sheet.run.folder == make_run().folder
    assert sheet.save().name == "leaves-gan_a__leaves-gan_a__quirky__p008__seed0.csv"
    assert sheet.table()["variant"].unique().tolist() == ["quirky"]


def test_a_shares_interval_is_over_images(sheet):
    sheet.vote(rules.confident(0.25))
    row = sheet.table().query("statistic == 'fallback'").iloc[0]
    # The one image that falls back is drawn again 0, 1 or 2 times.
    assert (row["low"], row["value"], row["high"]) == (0, 0.25, 0.5)
    assert row["epoch"] == 1


def test_every_number_has_a_row_of_its_own_and_its_counts(sheet):
    sheet.patches()
    for rule in ("grid", "mean_margin", "mean_probability"):
        sheet.vote(rule)
    for theta in (1.0, 0.5):
        sheet.vote(rules.confident(theta))
    rows = sheet.table()
    assert len(rows) == 4 * 12 + 2 * 14
    assert not rows.duplicated(["unit", "rule", "theta", "reading", "statistic"]).any()
    assert rows[["value", "low", "high"]].notna().all(axis=None)
    assert rows["value"].between(0, 1).all()
    assert (rows["low"] <= rows["value"] + 1e-9).all()
    assert (rows["value"] <= rows["high"] + 1e-9).all()
    names = ["experiment", "train", "test", "variant", "patch_size", "seed"]
    assert rows[names].drop_duplicates().to_numpy().tolist() == [
        [2, "leaves-gan_a", "leaves-gan_a", "plain", 8, 0]
    ]
    counts = rows[["n_epochs", "n_images", "n_patches"]].drop_duplicates()
    assert counts.to_numpy().tolist() == [[3, 4, 16]]


def test_what_does_not_apply_is_empty_in_the_file(sheet):
    sheet.patches()
    sheet.vote("grid")
    sheet.vote(rules.confident(0.5))
    with open(sheet.save(), newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 12 + 12 + 14
    epochs = {"top1": "1", "top5": "", "average": "", "last": "2"}  # all else: the validated, 1
    for row in rows:
        confident = row["rule"] == "confident"
        assert (row["theta"], row["reading"]) == (("0.5", "share") if confident else ("", ""))
        assert row["epoch"] == epochs.get(row["statistic"], "1")
        assert (row["n_epochs"], row["n_images"], row["n_patches"]) == ("3", "4", "16")
        applies = [row[key] for key in row if key not in ("theta", "reading", "epoch")]
        assert all(applies)


def test_the_file_is_named_as_in_the_contract(work, make_run, finish):
    run = make_run(seed=3, test_gan="gan_b", variant="short")
    finish(run, MARGINS, LABELS, VALIDATION)
    sheet = tables.Sheet(run, 5, margins.load(run, run.test))
    sheet.vote("grid")
    folder = work / "work" / "results" / "tiny" / "tables" / "exp5"
    assert sheet.save() == folder / "leaves-gan_a__leaves-gan_b__short__p008__seed3.csv"
    assert [file.name for file in folder.iterdir()] == [sheet.save().name]
    row = sheet.table().iloc[0]
    assert (row["train"], row["test"]) == ("leaves-gan_a", "leaves-gan_b")
    assert (row["experiment"], row["variant"], row["seed"]) == (5, "short", 3)


def test_the_whole_image_is_an_image_not_voted_on(make_run, finish):
    run = make_run(patch_size=16)
    finish(run, [[[-1], [0], [0], [2]], [[-1], [1], [-1], [-2]]], LABELS, [0.9, 0.8])
    sheet = tables.Sheet(run, 1, margins.load(run, run.test))
    sheet.patches()
    rows = sheet.table()
    assert rows[["unit", "rule"]].drop_duplicates().to_numpy().tolist() == [["image", "whole"]]
    assert rows["n_patches"].unique().tolist() == [4]
    found = values(sheet, rule="whole")
    assert (found["validated"], found["last"]) == (0.75, 0.25)  # a margin of zero is real
    assert (found["tpr"], found["tnr"]) == (0.5, 1)
    assert sheet.save().name == "leaves-gan_a__leaves-gan_a__plain__p016__seed0.csv"


def test_crops_of_the_same_images_go_into_the_same_table(run, finish):
    grid = margins.load(run, run.test)
    crops = [[[1] * 5] * 4, [[-1] * 5] * 2 + [[1] * 5] * 2, [[1] * 5] * 4]
    finish(run, crops, LABELS, VALIDATION, kind="crops")
    sheet = tables.Sheet(run, 5, grid)
    sheet.vote("grid")
    other = sheet.also(margins.load(run, run.test, kind="crops"))
    other.vote("crops")
    assert values(sheet, rule="crops")["validated"] == 1
    assert values(sheet, rule="grid")["validated"] == 0.75
    counts = sheet.table().groupby("rule")["n_patches"].unique()
    assert counts.map(list).to_dict() == {"grid": [16], "crops": [20]}
    assert other.save() == sheet.save()


def test_crops_are_judged_as_patches_too(run, finish):
    finish(run, [[[1, -1, 1, -1, 1]] * 4] * 3, LABELS, VALIDATION, kind="crops")
    sheet = tables.Sheet(run, 3, margins.load(run, run.test, kind="crops"))
    sheet.patches()
    found = values(sheet, unit="patch", rule="none")
    assert (found["tpr"], found["tnr"]) == pytest.approx((3 / 5, 2 / 5))
    assert found["validated"] == pytest.approx(0.5)


def test_the_images_that_a_rule_judges_rightly(sheet):
    assert sheet.right("grid").tolist() == [True, True, True, False]


def test_the_intervals_follow_the_studys_resamples_and_seed(make_run, finish):
    def rows(**bootstrap) -> pd.DataFrame:
        run = make_run(bootstrap=bootstrap)
        z = np.random.default_rng(0).standard_normal((2, 40, 4))
        finish(run, z, [0, 1] * 20, [0.5, 0.6])
        sheet = tables.Sheet(run, 2, margins.load(run, run.test))
        assert len(sheet.resampled) == bootstrap["resamples"]
        sheet.vote("grid")
        return sheet.table()

    first = rows(resamples=50, seed=1)
    pd.testing.assert_frame_equal(first, rows(resamples=50, seed=1))
    other = rows(resamples=50, seed=2)
    assert (first["value"] == other["value"]).all()
    assert (first["low"] != other["low"]).any()


def plain(table: pd.DataFrame) -> pd.DataFrame:
    """The same entries as Python objects, None where there is none."""
    return table.astype(object).where(table.notna(), None)


def test_what_is_saved_is_read_back(sheet, run):
    empty, left_out = tables.read(run.study)
    assert (len(empty), list(empty.columns), left_out) == (0, tables.COLUMNS, [])
    sheet.vote("grid")
    sheet.vote(rules.confident(0.5))
    sheet.save()
    other = tables.Sheet(run, 1, sheet.scored)
    other.patches()
    other.save()
    back, left_out = tables.read(run.study)
    assert (list(back.columns), left_out) == (tables.COLUMNS, [])
    assert back["experiment"].tolist() == [1] * 12 + [2] * 26
    for number, made in ((1, other.table()), (2, sheet.table())):
        pd.testing.assert_frame_equal(plain(tables.read(run.study, number)[0]), plain(made))
        of_all = back[back["experiment"] == number].reset_index(drop=True)
        pd.testing.assert_frame_equal(plain(of_all), plain(made))
    assert tables.read(run.study, 4)[0].empty


def test_tables_of_other_parameters_are_left_out_and_named(sheet, run, make_study):
    sheet.vote("grid")
    sheet.save()
    changed = make_study(training={"epochs": 3})
    kept, left_out = tables.read(changed)
    assert kept.empty
    assert left_out == ["leaves-gan_a on leaves-gan_a, plain, 8 px, seed 0"]
    other_cells = {cell: source for cell, source in run.study.cells.items() if cell != run.train}
    gone = make_study(cells=other_cells, train_on=list(other_cells))
    assert len(tables.read(gone)[1]) == 1


# The verdicts beside a table.


def test_the_verdicts_are_the_contracts(sheet, run, work):
    sheet.patches()
    for rule in ("grid", "mean_margin", rules.confident(0.25)):
        sheet.vote(rule)
    sheet.save()
    name = "leaves-gan_a__leaves-gan_a__plain__p008__seed0.parquet"
    path = work / "work" / "results" / "tiny" / "verdicts" / "exp2" / name
    table = pd.read_parquet(path)
    columns = ["image_index", "label", "rule", "theta", "reading", "score", "fake"]
    assert list(table.columns) == columns
    assert table["score"].dtype == np.float32
    by_rule = {rule: rows for rule, rows in table.groupby("rule")}
    assert by_rule["grid"]["image_index"].tolist() == [0, 1, 2, 3]
    assert by_rule["grid"]["label"].tolist() == LABELS
    assert by_rule["grid"]["score"].tolist() == [0, 0.25, 0.5, 0]
    assert by_rule["grid"]["fake"].tolist() == [False, False, True, False]
    assert by_rule["mean_margin"]["score"].tolist() == [-2.5, -2, 1.5, -1.25]
    assert by_rule["none"]["score"].tolist() == [0, 0.25, 0.5, 0]
    assert by_rule["none"]["fake"].isna().all()  # single patches: no image has a verdict
    assert by_rule["grid"][["theta", "reading"]].isna().all(axis=None)
    assert set(by_rule["confident"]["theta"]) == {0.25}
    assert set(by_rule["confident"]["reading"]) == {"share"}
    back = verdicts.read(run, 2)
    assert back["fake"].dtype == "boolean" and len(back) == 16


def test_an_image_that_a_quirk_leaves_out_has_no_verdict(make_run, finish):
    sheet = quirky(make_run, finish, "grid", last_patch_only=True)
    sheet.vote(rules.confident(0.5))
    sheet.save()
    table = verdicts.read(sheet.run, 3)
    assert table["fake"].isna().tolist() == [True, True, False, False]
    # The third image's last patch is not confident, so the fake counts as right; the fourth's is.
    assert table["fake"][2:].tolist() == [True, False]


def test_a_rule_of_ones_own_has_all_statistics_and_verdicts(sheet):
    own = rules.Rule("least", "least of all", lambda z: z.min(axis=-1), 0.0, expit)
    shown = sheet.vote(own)
    assert list(shown.index) == PER_RULE
    assert shown.loc["validated", "value"] == 0.5  # the least margin is below zero everywhere
    assert set(sheet.verdicts[-1]["rule"]) == {"least"}


def test_a_rule_that_is_voted_with_again_is_replaced(sheet):
    for threshold in (0.0, -9.0):
        sheet.vote(rules.Rule("least", "least of all", lambda z: z.min(axis=-1), threshold, expit))
    shown = sheet.rule("least")
    assert list(shown.index) == PER_RULE
    assert shown.loc["tpr", "value"] == 1 and shown.loc["tnr", "value"] == 0  # all are fake now
    assert len(sheet.verdicts) == 1 and sheet.verdicts[0]["fake"].all()


def test_a_rule_that_gives_no_probability_or_no_score_per_image_is_told_what_it_lacks(sheet):
    no_probability = rules.Rule("least", "least of all", lambda z: z.min(axis=-1))
    with pytest.raises(ValueError, match="got -4 to -1, must lie in 0 to 1; a voting rule"):
        sheet.vote(no_probability)
    one_score = rules.Rule("one", "one for all", lambda z: z.mean())
    with pytest.raises(ValueError, match=r"rule 'one': .* shape \(\); it must be \(3, 4\)"):
        sheet.vote(one_score)
    assert sheet.table().empty


# What the vote is worth.


def test_thresholds_by_hand(make_run, finish):
    """On validation all shares are ¼ or 0, so the best threshold there lies between them."""
    run = make_run()
    finish(run, MARGINS, LABELS, VALIDATION)
    scored = margins.load(run, run.test)
    z = np.full((3, 4, 4), -1.0, np.float32)
    z[:, 2:, 0] = 1  # both fakes have one fake patch of four, no real has one
    held_out = dataclasses.replace(scored, margins=z)
    sheet = tables.Sheet(run, 2, scored)
    sheet.thresholds("grid", held_out)
    # At ⅛ the second real, with ¼, is fake, and the last fake, with 0, real.
    shown = values(sheet, rule="grid")
    assert shown["validation_threshold"] == 0.5
    # On the test images ½ is best in the second epoch: three of four.
    assert shown["test_threshold"] == 0.75


def test_what_votes_are_worth_is_in_the_table(sheet):
    shown = sheet.dependence()
    z = np.array(MARGINS[1])
    right = (z > 0) == np.array(LABELS, bool)[:, None]
    rho = dependence.error_correlation(right, np.array(LABELS, np.uint8))
    assert shown.loc["error_correlation", "value"] == rho
    assert shown.loc["effective_votes", "value"] == dependence.effective_votes(4, rho)
    expected = dependence.expected_vote(right, np.array(LABELS, np.uint8))
    assert shown.loc["vote_if_independent", "value"] == expected
    assert (sheet.table()["rule"] == "grid").all()


def test_saving_again_replaces_the_table(sheet):
    sheet.vote("grid")
    first = sheet.save().read_text("utf-8")
    sheet.vote("mean_margin")
    assert len(sheet.save().read_text("utf-8").splitlines()) == 1 + 24
    assert sheet.save().read_text("utf-8").startswith(first)


def test_a_full_disk_leaves_the_former_table(sheet, monkeypatch):
    sheet.vote("grid")
    path = sheet.save()
    before = path.read_bytes()

    def full(self, target, **_):
        target.write_text("experiment,tr")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(OSError, match="No space left"):
        sheet.save()
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_rule_of_one_theta_alone(sheet):
    shown = [sheet.vote(rules.confident(theta)) for theta in (1.0, 0.25)]
    assert list(shown[0].columns) == ["value", "low", "high", "epoch"]
    expected = [*PER_RULE, "coverage", "fallback"]
    assert [list(table.index) for table in shown] == [expected, expected]
    assert shown[0].loc["auc", "value"] == 2.5 / 4
