"""The ablation of quirks: what each is compared with, and its effects by hand."""

import numpy as np
import pandas as pd
import pytest
import yaml

from lib.results import quirk_effects
from lib.results.accuracies import Family
from lib.statistics import bootstrap
from lib.study import paths, reading
from lib.study.run import Run
from lib.study.schema import ParameterError
from lib.voting import verdicts

CELL, SISTER = "leaves-gan_a", "leaves-gan_b"
LABELS = [0, 0, 1, 1]
RESAMPLES = 300
COUNTS = bootstrap.resample(np.array(LABELS, np.uint8), RESAMPLES, 0)
FILES = {"kind": "files", "path": "x"}
TINY = {
    "title": "Leaves and two generators",
    "data": {"image_size": 16, "per_class": {"train": 3, "validation": 2, "test": 2}},
    "cells": {cell: {"real": FILES, "fake": FILES} for cell in (CELL, SISTER)},
    "train_on": [CELL],
    "patch_sizes": [16, 8],
    "seeds": [0, 1],
    "voting": {"thetas": [1.0, 0.25]},
    "bootstrap": {"resamples": RESAMPLES},
}
FALLBACK = {"quirks": {"fallback_counts_fake": True}}
EVEN = {"quirks": {"even_crops_ties_wrong": True}}
SCRAMBLED = {"quirks": {"scrambled_layout": True}}
BUDGET = {"training": {"patches_per_epoch": 6}}


@pytest.fixture
def write(work, monkeypatch):
    """Writes the study's file with these variants, and reads it."""
    monkeypatch.setattr(paths, "PARAMS", work)

    def write(**variants):
        content = {**TINY, "variants": variants}
        (work / "tiny.yaml").write_text(yaml.safe_dump(content), "utf-8")
        return reading.load("tiny")

    return write


# Two reals, two fakes of four patches; θ = ¼ keeps the |z| of 3 and more. The grid finds 3 of 4.
GRID = [[-3, -4, 1, -1], [3, -1, -1, -1], [1, -1, -1, -2], [5, 1, -1, 1]]
# θ = ¼: real; fake; none, so all, a real; fake. The third counts as right with the quirk.
CROPS = [[-1, 1, -1, 1, -1], [-1, -1, -1, -1, 1], [1, 1, -1, -1, 1], [1, 1, 1, -1, -1]]
# Without the last: a tie, no fake, a tie, three fakes of four. Ties are wrong with the quirk.
WHOLE = [[-1], [1], [1], [1]]
WRONG = [[1], [1], [-1], [-1]]
RIGHT = [[-1], [-1], [1], [1]]


@pytest.fixture
def lay(finish):
    """Lays down the networks of one seed: margins (N, P), of the grid also (E, N, P)."""

    def lay(variant="plain", seed=0, grid=GRID, crops=CROPS, whole=WHOLE, sister=None) -> None:
        study, epochs = reading.load("tiny", variant), len(grid) if np.ndim(grid) == 3 else 1
        for size, z, kind, cell in (
            (16, whole, "grid", CELL),
            (8, grid, "grid", CELL),
            (8, crops, "crops", CELL),
            (8, grid if sister is None else sister, "grid", SISTER),
        ):
            if z is not None:
                z = np.broadcast_to(z, (epochs, *np.shape(z)[-2:]))
                run = Run(study=study, dataset="leaves", gan="gan_a", patch_size=size, seed=seed)
                validation = np.linspace(0.5, 0.6, epochs)  # the last epoch is validated
                finish(run, z, LABELS, validation, kind=kind, cell=cell)

    return lay


def rows(table: pd.DataFrame, **chosen) -> pd.DataFrame:
    for column, entry in chosen.items():
        found = table[column].isna() if entry is None else table[column] == entry
        table = table[found.fillna(False)]
    return table


def row(table: pd.DataFrame, **chosen) -> pd.Series:
    (found,) = rows(table, **chosen).to_dict("records")
    return pd.Series(found)


def test_altered_images_are_no_experiment_of_the_paper(write, monkeypatch):
    altered = {"leaves_blur-gan_a": {"test_images_of": CELL, "blur": 1}}
    monkeypatch.setitem(TINY, "cells", {**TINY["cells"], **altered})
    asked = quirk_effects.questions(Family(write(), CELL))
    assert {question.test for number, question in asked if number == 5} == {SISTER}


# What it is compared with


def test_a_quirk_alone_is_compared_with_the_plain_protocol(write):
    assert quirk_effects.baselines(write(fallback=FALLBACK, even=EVEN)) == {
        "fallback": "plain",
        "even": "plain",
    }


def test_a_quirk_is_compared_with_the_protocol_that_is_its_own_but_for_quirks(write):
    found = quirk_effects.baselines(
        write(
            matched=BUDGET,
            scrambled=SCRAMBLED,
            matched_scrambled={**BUDGET, **SCRAMBLED},
            other_model={"model": {"name": "resnet18"}},
            other_model_strips={"model": {"name": "resnet18"}, "quirks": {"strips": True}},
            thetas={"voting": {"thetas": [0.5]}},
            thetas_range={"voting": {"thetas": [0.5]}, "quirks": {"theta_reading": "range"}},
        )
    )
    assert found == {
        "scrambled": "plain",
        "matched_scrambled": "matched",
        "other_model_strips": "other_model",
        "thetas_range": "thetas",
    }


def test_the_plain_protocol_is_the_baseline_before_any_variant_like_it(write):
    variants = {"again": {"bootstrap": {"resamples": 50}}, "even": EVEN}
    assert quirk_effects.baselines(write(**variants)) == {"even": "plain"}


def test_a_quirk_at_some_sizes_and_seeds_is_compared_there(write):
    some = {**SCRAMBLED, "patch_sizes": [8], "seeds": [0]}
    assert quirk_effects.baselines(write(some=some)) == {"some": "plain"}


def test_a_study_without_quirks_has_none_to_compare(write):
    assert quirk_effects.baselines(write(matched=BUDGET)) == {}
    table = quirk_effects.effects(write(matched=BUDGET), CELL)
    assert list(table.columns) == quirk_effects.COLUMNS
    assert table.empty


def test_a_quirk_that_changes_more_beside_is_an_error(write):
    study = write(even=EVEN, odd={**BUDGET, **SCRAMBLED})
    with pytest.raises(ParameterError, match="variants.odd: .* changes more beside"):
        quirk_effects.baselines(study)
    with pytest.raises(ParameterError, match="add a variant with the same changes and no quirks"):
        quirk_effects.effects(study, CELL)


def test_where_all_is_quirky_a_variants_own_quirks_are_compared(write, monkeypatch):
    """As in `as_released`, whose plain protocol has them: its other budgets are no ablations."""
    monkeypatch.setitem(TINY, "quirks", {"scrambled_layout": True})
    orderly = {"quirks": {"scrambled_layout": False}}
    assert quirk_effects.baselines(write(matched=BUDGET, even=EVEN, orderly=orderly)) == {
        "even": "plain",
        "orderly": "plain",
    }


# Effects


def test_a_voting_quirk_has_no_effect_where_it_cannot_act(write, lay):
    study = write(fallback=FALLBACK)
    lay(seed=0)
    lay(seed=1, grid=RIGHT, whole=WRONG, crops=np.tile(RIGHT, 5))
    table = quirk_effects.effects(study, CELL)
    assert list(table.columns) == quirk_effects.COLUMNS
    elsewhere = table[(table["experiment"] != 4) | (table["theta"] == 1)]
    assert sorted(elsewhere["experiment"].unique()) == [1, 2, 3, 4, 5]
    assert (elsewhere[["difference", "low", "high"]] == 0).all(axis=None)
    assert (elsewhere["with"] == elsewhere["without"]).all()
    # Per statistic and for each seed and their mean: Exp. 1 at both sizes, 2, 3, two θ, 5.
    assert len(table) == 2 * 3 * 7


def test_a_voting_quirks_effect_by_hand(write, lay):
    """Only the third image turns, a fake: the quirk's gain is how often it is drawn."""
    study = write(fallback=FALLBACK)
    lay(seed=0)
    study = study.model_copy(update={"seeds": [0]})
    found = row(
        quirk_effects.effects(study, CELL), experiment=4, theta=0.25, statistic="validated", seed=0
    )
    assert (found["without"], found["with"], found["difference"]) == (0.5, 0.75, 0.25)
    low, high = bootstrap.interval(COUNTS[:, 2] / 4)
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    assert high == 0.5
    assert found["n_seeds"] == 1
    names = ["variant", "baseline", "switches", "test", "patch_size"]
    assert found[names].tolist() == ["fallback", "plain", "fallback_counts_fake", CELL, 8]


def test_even_crops_act_on_experiment_3_alone(write, lay):
    """All five crops find every image; of four the first and the third image's tie."""
    study = write(even=EVEN)
    lay(seed=0)
    table = rows(quirk_effects.effects(study, CELL), statistic="validated", seed=None)
    found = row(table, experiment=3)
    assert (found["without"], found["with"], found["difference"]) == (1, 0.5, -0.5)
    low, high = bootstrap.interval(-COUNTS[:, [0, 2]].sum(axis=1) / 4)
    assert (found["low"], found["high"]) == pytest.approx((low, high))
    assert (table[table["experiment"] != 3]["difference"] == 0).all()


def test_the_mean_over_seeds_has_an_empty_seed(write, lay):
    study = write(fallback=FALLBACK)
    lay(seed=0)
    lay(seed=1, grid=np.tile(RIGHT, 4))  # all |z| alike: all are kept, and none falls back
    table = rows(
        quirk_effects.effects(study, CELL), experiment=4, theta=0.25, statistic="validated"
    )
    assert table["seed"].isna().tolist() == [True, False, False]
    assert table["seed"].dropna().tolist() == [0, 1]
    assert table["difference"].tolist() == [0.125, 0.25, 0]
    assert table["without"].tolist() == [0.75, 0.5, 1]
    assert (table["n_seeds"] == 2).all()


def test_top1_picks_its_epoch_anew_with_and_without(write, lay):
    """In the first epoch both fakes fall back, and are found with the quirk alone."""
    study = write(fallback=FALLBACK)
    first = [[-3, -4, -1, -1], [-3, -3, -1, -1], [-1, -1, -1, -1], [-1, -1, -1, -1]]
    lay(seed=0, grid=[first, np.tile(WHOLE, 4)])
    table = rows(quirk_effects.effects(study, CELL), experiment=4, theta=0.25, seed=0)
    top1, validated = row(table, statistic="top1"), row(table, statistic="validated")
    assert (top1["without"], top1["with"]) == (0.75, 1)
    assert (validated["without"], validated["with"]) == (0.75, 0.75)
    # Without, the first epoch has the two reals, the second all but the second image.
    without = np.maximum(COUNTS[:, [0, 1]].sum(axis=1), COUNTS[:, [0, 2, 3]].sum(axis=1)) / 4
    low, high = bootstrap.interval(1 - without)
    assert (top1["low"], top1["high"]) == pytest.approx((low, high))


def test_a_quirks_own_networks_are_compared_seed_by_seed(write, lay):
    study = write(scrambled=SCRAMBLED)
    for seed, plain, quirky in ((0, RIGHT, WRONG), (1, WHOLE, RIGHT)):
        lay(seed=seed, whole=plain)
        lay("scrambled", seed, grid=np.tile(plain, 4), whole=quirky)
    table = rows(quirk_effects.effects(study, CELL), statistic="validated")
    whole = rows(table, experiment=1, patch_size=16)
    assert whole["without"].tolist() == [0.875, 1, 0.75]
    assert whole["with"].tolist() == [0.5, 0, 1]
    assert whole["difference"].tolist() == [-0.375, -1, 0.25]
    mean = row(whole, seed=None)
    assert mean["low"] < -1 < 0 < mean["high"]  # two seeds tell nearly nothing of a third
    grid = rows(table, experiment=2)
    assert grid["with"].tolist() == [0.875, 1, 0.75]
    assert grid["without"].tolist() == [0.75, 0.75, 0.75]


def test_both_arms_draw_the_same_seeds(write, lay):
    """With the quirk each seed has the plain one's verdicts, so nothing differs in any resample."""
    study = write(scrambled=SCRAMBLED)
    for seed, whole in ((0, RIGHT), (1, WRONG)):
        lay(seed=seed, whole=whole)
        lay("scrambled", seed, whole=whole)
    table = quirk_effects.effects(study, CELL)
    assert (table[["difference", "low", "high"]] == 0).all(axis=None)


def test_other_cells_are_experiment_5(write, lay):
    study = write(scrambled=SCRAMBLED)
    lay(sister=np.tile(RIGHT, 4))
    lay("scrambled", sister=np.tile(WHOLE, 4))
    table = rows(quirk_effects.effects(study, CELL), statistic="validated", seed=0)
    found = row(table, experiment=5)
    assert (found["test"], found["patch_size"]) == (SISTER, 8)
    assert (found["without"], found["with"], found["difference"]) == (1, 0.75, -0.25)
    assert (table[table["experiment"] != 5]["test"] == CELL).all()


def test_seeds_that_only_one_arm_has_are_left_out(write, lay):
    study = write(scrambled=SCRAMBLED)
    lay(seed=0, whole=WRONG)
    lay(seed=1, whole=RIGHT)
    lay("scrambled", 1, whole=WHOLE)
    table = quirk_effects.effects(study, CELL)
    assert table["seed"].dropna().unique().tolist() == [1]
    assert (table["n_seeds"] == 1).all()
    found = row(table, experiment=1, patch_size=16, statistic="validated", seed=None)
    assert (found["without"], found["with"]) == (1, 0.75)


def test_sizes_that_only_one_arm_has_are_left_out(write, lay):
    study = write(scrambled=SCRAMBLED)
    lay()
    lay("scrambled", whole=None)
    table = quirk_effects.effects(study, CELL)
    assert table["patch_size"].unique().tolist() == [8]
    assert table["experiment"].unique().tolist() == [1, 2, 3, 4, 5]


def test_quirks_that_have_not_been_run_are_left_out(write, lay):
    study = write(scrambled=SCRAMBLED, even=EVEN, bgr={"quirks": {"bgr_raw_values": True}})
    lay()
    lay("bgr", whole=None, crops=None, grid=None)  # no network of its own
    assert quirk_effects.effects(study, CELL)["variant"].unique().tolist() == ["even"]


def test_arms_without_a_seed_in_common_are_left_out(write, lay):
    study = write(scrambled=SCRAMBLED)
    lay(seed=0)
    lay("scrambled", 1)
    assert quirk_effects.effects(study, CELL).empty


# C3's question


def accuracies(variant, size, seed, grid, crops, statistic="validated") -> list[dict]:
    common = {"variant": variant, "patch_size": size, "seed": seed, "statistic": statistic}
    wide = {1: 0.5, 2: grid, 3: crops, 5: 0.5}
    return [{**common, "experiment": number, "with": value} for number, value in wide.items()]


def test_collapse_by_hand():
    table = pd.DataFrame(
        [
            *accuracies("b", 64, 0, 0.9, 0.5),
            *accuracies("b", 64, pd.NA, 0.1, 0.1),
            *accuracies("b", 64, 0, 0.1, 0.1, "top1"),
            *accuracies("a", 64, 1, 0.6, 0.6),
            *accuracies("a", 64, 0, 0.61, 0.60),
            *accuracies("a", 128, 0, 0.61, 0.61),
            *accuracies("a", 32, 0, 0.5, 0.9),
        ]
    )
    found = quirk_effects.collapse(table).reset_index()
    assert list(found) == ["variant", "patch_size", "seed", "grid", "crops", "answer"]
    assert found.to_numpy().tolist() == [
        ["a", 128, 0, 0.61, 0.61, "neither"],
        ["a", 64, 0, 0.61, 0.6, "crops alone"],
        ["a", 64, 1, 0.6, 0.6, "both"],
        ["a", 32, 0, 0.5, 0.9, "neither"],
        ["b", 64, 0, 0.9, 0.5, "crops alone"],
    ]


def test_collapse_of_measured_effects(write, lay):
    study = write(even=EVEN)
    lay(seed=0)
    found = quirk_effects.collapse(quirk_effects.effects(study, CELL))
    assert found.reset_index().to_numpy().tolist() == [["even", 8, 0, 0.75, 0.5, "crops alone"]]


# The file


def test_effects_are_read_as_they_were_saved(write, lay):
    study = write(fallback=FALLBACK, even=EVEN)
    lay(seed=0)
    lay(seed=1)
    table = quirk_effects.effects(study, CELL)
    path = quirk_effects.save(study, CELL, table)
    assert path == paths.results("tiny") / "tables" / "a1" / f"{CELL}.csv"
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    found = quirk_effects.read(study, CELL)
    assert found["seed"].isna().any()
    pd.testing.assert_frame_equal(found, table, check_dtype=False)
    assert found["seed"].dtype == table["seed"].dtype == "Int64"


def test_without_an_ablation_there_are_no_effects(write):
    found = quirk_effects.read(write(even=EVEN), CELL)
    assert list(found.columns) == quirk_effects.COLUMNS
    assert found.empty


# The verdicts of the variants


def test_the_verdicts_of_every_quirk_are_stored(write, lay):
    study = write(fallback=FALLBACK, even=EVEN)
    lay(sister=GRID)
    lay(seed=1)
    written = quirk_effects.store_verdicts(study, CELL)
    folders = {file.parent.name for file in written}
    assert folders == {"exp1", "exp2", "exp3", "exp4", "exp5"}
    # Of each variant and seed: the whole image, and each experiment at 8 px.
    assert len(written) == len(set(written)) == 2 * 2 * (1 + 5)
    run = Run(study=reading.load("tiny", "fallback"), dataset="leaves", gan="gan_a",
              patch_size=8, seed=0)  # fmt: skip
    table = verdicts.read(run, 4).query("theta == 0.25")
    assert table["fake"].tolist() == [False, True, True, True]  # the third, by the quirk
    even = run.model_copy(update={"study": reading.load("tiny", "even")})
    assert verdicts.read(even, 3)["fake"].tolist() == [True, False, False, True]
    assert verdicts.read(even, 3)["score"].tolist() == [0.5, 0, 0.5, 0.75]


def test_without_a_finished_network_no_verdict_is_stored(write):
    assert quirk_effects.store_verdicts(write(even=EVEN), CELL) == []
