"""A study's families: their rows in words, what is left out, their networks, the headline."""

import numpy as np
import pytest
from vote_helpers import vote

from lib import margins
from lib.report import families
from lib.results import tables
from lib.study import paths
from lib.voting import rules

CELL, SISTER = "leaves-gan_a", "leaves-gan_b"
QUICK = {"voting": {"thetas": [1.0, 0.6]}, "bootstrap": {"resamples": 20}}
LABELS = [0] * 4 + [1] * 4


@pytest.fixture
def lay(make_run, finish):
    """Voted networks of random margins in two variants, each with a backbone of its own."""

    def lay(seeds=(0,), **changes) -> None:
        generator = np.random.default_rng(0)
        for variant, model in (("plain", "legacy_xception"), ("short", "test_resnet")):
            for size, patches in ((16, 1), (8, 4)):
                for seed in seeds:
                    asked = {"variant": variant, "model": {"name": model}, **QUICK, **changes}
                    run = make_run(size, seed, seeds=list(seeds), **asked)
                    z = generator.standard_normal((2, 8, patches))
                    finish(run, z, LABELS, [0.6, 0.7])
                    if size == 8:
                        finish(run, z[..., [0, 1, 2, 3, 0]], LABELS, [0.6, 0.7], kind="crops")
                    vote(run)

    return lay


def test_rows_say_in_words_what_judged(lay, make_study):
    lay()
    rows, left_out = families.read(make_study(**QUICK))
    assert left_out == []
    assert dict(zip(rows["rule"], rows["by"], strict=True)).items() >= {
        ("none", "each patch"), ("whole", "whole image"), ("grid", "vote, grid"),
        ("mean_margin", "mean margin"), ("crops", "vote, crops"),
    }  # fmt: skip
    confident = rows[rows["rule"] == "confident"]
    assert set(confident["by"]) == {"vote, confident, θ = 1", "vote, confident, θ = 0.6"}
    assert set(confident["reading"][confident["leads"]]) == {"share"}
    assert rows["leads"][rows["rule"] != "confident"].all()
    quirky = make_study(quirks={"theta_reading": "range"}, **QUICK)
    confident = families.read(quirky)[0].query("rule == 'confident' and leads")
    assert set(confident["reading"]) == {"range"}


def test_crops_by_themselves_are_not_taken_for_patches(make_run, finish, make_study):
    run = make_run(**QUICK)
    finish(run, np.ones((1, 8, 4)), LABELS, [0.5])
    crops = finish(run, np.ones((1, 8, 5)), LABELS, [0.5], kind="crops")
    vote(run)
    sheet = tables.Sheet(run, 3, crops)
    sheet.patches()
    sheet.vote("crops")
    sheet.save()
    rows, _ = families.read(make_study(**QUICK))
    assert set(rows.query("experiment == 3")["by"]) == {"each crop", "vote, crops"}
    assert set(rows.query("experiment == 1")["by"]) == {"each patch"}
    assert "each crop" in set(families.leading(rows)["by"])
    assert "each crop" not in set(families.matched(rows)["by"])


def test_a_rule_of_ones_own_is_shown_and_told_apart_by_its_reading(make_run, finish, make_study):
    run = make_run(**QUICK)
    sheet = tables.Sheet(run, 2, finish(run, np.ones((1, 8, 4)), LABELS, [0.5]))
    for reading in ("one", "other"):
        mine = rules.Rule("top3", "three", rules.share_fake, theta=0.5, reading=reading)
        sheet.vote(mine)
    sheet.vote(rules.Rule("my_rule", "mine", rules.share_fake))
    sheet.save()
    rows, _ = families.read(make_study(**QUICK))
    assert set(families.matched(rows)["by"]) == {
        *("top3, θ = 0.5, one", "top3, θ = 0.5, other", "my rule")
    }


def test_a_study_without_tables_says_what_to_run(make_study, work):
    with pytest.raises(margins.RunError, match=r"no tables yet\. Run `make study STUDY=tiny`"):
        families.read(make_study())


def test_tables_made_with_other_parameters_are_left_out_and_named(lay, make_study):
    lay()
    changed = make_study(training={"epochs": 7}, **QUICK)  # of variant `short` nothing is known
    rows, left_out = families.read(changed)
    assert left_out == [f"{CELL} on {CELL}, plain, {size} px, seed 0" for size in (8, 16)]
    assert set(rows["variant"]) == {"short"}
    elsewhere = make_study(cells={SISTER: changed.cells[SISTER]}, train_on=[SISTER], **QUICK)
    with pytest.raises(margins.RunError, match=r"\(4 were made with other parameters\)"):
        families.read(elsewhere)


def test_networks_are_listed_in_reading_order(lay, make_study):
    lay(seeds=(0, 1))
    study = make_study(seeds=[0, 1], **QUICK)
    networks = families.runs(study, families.read(study)[0])
    assert [(run.variant, run.patch_size, run.seed) for run in networks] == [
        (variant, size, seed) for variant in ("plain", "short") for size in (16, 8)
        for seed in (0, 1)
    ]  # fmt: skip
    (networks[0].folder / "config.json").unlink()
    assert networks[0] not in families.runs(study, tables.read(study)[0])


def test_every_network_stands_under_its_own_backbone(lay, make_study):
    """A variant may be another model; its results must not stand under the plain one's name."""
    lay()
    study = make_study(**QUICK)
    named = families.by_family(study, families.read(study)[0])
    assert list(named) == [
        f"Trained on {CELL}, plain, backbone legacy_xception",
        f"Trained on {CELL}, short, backbone test_resnet",
    ]
    assert [set(rows["variant"]) for rows in named.values()] == [{"plain"}, {"short"}]


def test_a_variant_that_only_votes_has_the_plain_backbone(lay, make_study):
    lay()
    study = make_study(**QUICK)
    rows = families.read(study)[0].query("variant == 'plain'").assign(variant="anew")
    (name,) = families.by_family(study, rows)
    assert name == f"Trained on {CELL}, anew, backbone legacy_xception"


def test_training_cells_stand_in_the_studys_order(lay, make_study):
    lay()
    study = make_study(train_on=[SISTER, CELL], **QUICK)
    rows = families.read(make_study(**QUICK))[0].query("variant == 'plain'")
    both = rows.merge(rows.assign(train=SISTER), how="outer")
    assert [set(part["train"]) for part in families.by_family(study, both).values()] == [
        {SISTER},
        {CELL},
    ]


def test_of_the_confident_vote_the_smallest_theta_leads(lay, make_study):
    lay()
    rows = families.read(make_study(**QUICK))[0]
    assert set(families.leading(rows).query("rule == 'confident'")["theta"]) == {0.6}
    assert families.leading(rows)["rule"].nunique() == rows["rule"].nunique()


def test_trained_are_the_finished_networks(lay, make_study):
    assert families.trained(make_study(**QUICK)) == []
    lay()
    (plain,) = families.trained(make_study(**QUICK))
    assert (plain.train, plain.study.variant, plain.sizes) == (CELL, "plain", [16, 8])
    assert len(families.trained(make_study(train_on=[SISTER, CELL], **QUICK))) == 1


# The headline


def test_the_headline_by_hand(family):
    """Right are the first of each class, so both rates are the accuracy; 128 px is the image."""
    table = families.headline(family({128: [0.6], 64: [0.7], 32: [1.0]}))
    shown = ["patch_size", "rule", "accuracy", "tpr", "tnr"]
    assert table[shown].to_numpy().tolist() == [
        [128, "whole", 0.6, 0.6, 0.6],
        [64, "none", 0.7, 0.7, 0.7],
        [64, "grid", 0.7, 0.7, 0.7],
        [32, "none", 1.0, 1.0, 1.0],
        [32, "grid", 1.0, 1.0, 1.0],
    ]
    assert table["text"].iloc[-1] == "100.0 [81.6, 100.0]"  # of 20 images
    assert table["text"].iloc[0].startswith("60.0 [")


def test_the_headline_is_the_mean_over_seeds_and_tells_the_rates_apart(make_run, finish):
    said = {0: [1, 1, -1, 1], 1: [1, -1, 1, 1]}  # of two reals 0 and 1 are right, of fakes 1 and 2
    for seed, z in said.items():
        run = make_run(16, seed, seeds=[0, 1], patch_sizes=[16])
        finish(run, np.array(z)[None, :, None], [0, 0, 1, 1], [0.5])
        vote(run)
    (line,) = families.headline(families.trained(run.study)[0]).itertuples()
    assert (line.accuracy, line.tpr, line.tnr, line.alike) == (0.5, 0.75, 0.25, 0.5)


def test_the_headline_tells_what_one_answer_for_all_would_get(make_run, finish):
    run = make_run(16, patch_sizes=[16])
    finish(run, np.ones((1, 4, 1)), [0, 0, 0, 1], [0.5])
    vote(run)
    (line,) = families.headline(families.trained(run.study)[0]).itertuples()
    assert (line.accuracy, line.alike) == (0.25, 0.75)


def test_what_was_not_voted_on_is_no_headline(family):
    laid = family({128: [0.6], 64: [0.7]})
    for file in (paths.results("tiny") / "verdicts" / "exp2").iterdir():
        file.unlink()
    assert families.headline(laid)["rule"].tolist() == ["whole", "none"]
