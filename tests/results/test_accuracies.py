"""Families of networks: accuracies with their resamples, pooled over seeds, by hand."""

import numpy as np
import pandas as pd
import pytest

from lib import margins
from lib.results import tables
from lib.results.accuracies import Family, MissingVerdicts, Outcomes, Question
from lib.results.comparison import Comparison
from lib.results.quirk_effects import STATISTICS
from lib.statistics import bootstrap
from lib.voting import rules

CELL, SISTER = "leaves-gan_a", "leaves-gan_b"
LABELS = [0, 0, 1, 1]
GRID, WHOLE = Question(8, "grid"), Question(16, "whole")
RESAMPLES = 400
COMMON = {"bootstrap": {"resamples": RESAMPLES}, "voting": {"thetas": [1.0, 0.25]}}
COUNTS = bootstrap.resample(np.array(LABELS, np.uint8), RESAMPLES, 0)


@pytest.fixture
def lay(make_run, finish):
    """Lays down a network whose images (N,), or (E, N), are judged rightly by all patches."""

    def lay(
        right, size=8, seed=0, kind="grid", cell=None, validation=None, patches=None, **changes
    ):
        run = make_run(size, seed, **{**COMMON, **changes})
        right = np.atleast_2d(right)
        z = np.where(right == np.array(LABELS, bool), 1.0, -1.0)
        patches = patches or (16 // size) ** 2 + (kind == "crops")
        z = np.repeat(z[..., None], patches, axis=2)
        finish(run, z, LABELS, validation or [0.5] * len(z), kind=kind, cell=cell)
        return run

    return lay


@pytest.fixture
def gather(make_study):
    def gather(statistic="validated", **changes) -> Family:
        """The votes are taken from the margins, so that no notebook need have run."""
        return Family(make_study(**{**COMMON, **changes}), CELL, STATISTICS[statistic])

    return gather


def minus(a, b):
    return a - b


def test_with_one_seed_the_draws_are_that_seeds(lay, gather):
    lay([1, 0, 1, 1])
    of = gather()
    assert of.draws(GRID).shape == (1, 1 + RESAMPLES)
    assert of.pooled(GRID).tolist() == of.draws(GRID)[0].tolist()
    assert of.pooled(GRID)[0] == 0.75
    # In a resample, the share of the draws that fell on the three images judged rightly.
    assert of.pooled(GRID)[1:] == pytest.approx(COUNTS[:, [0, 2, 3]].sum(axis=1) / 4)


def test_the_value_is_the_mean_of_the_seeds(lay, gather):
    lay([1, 1, 1, 1], seed=0)
    lay([1, 1, 1, 0], seed=1)
    lay([1, 0, 1, 0], seed=2)
    of = gather(seeds=[0, 1, 2])
    assert of.draws(GRID)[:, 0].tolist() == [1, 0.75, 0.5]
    assert of.pooled(GRID)[0] == 0.75
    found = of.compare("half is {}", lambda a: a - 0.5, GRID)
    assert (found.value, found.draws[:, 0].tolist()) == (0.25, [0.5, 0.25, 0])
    assert found.said == "half is 25.0 points more"


def test_how_seeds_vary_enters_by_students_t(lay, gather):
    """One seed always right and one always wrong: no image adds any spread."""
    lay([1, 1, 1, 1], seed=0)
    lay([0, 0, 0, 0], seed=1)
    found = gather(seeds=[0, 1]).compare("", lambda a: a, GRID)
    found = found._replace(images=None)  # many
    error = np.std([1, 0], ddof=1) / np.sqrt(2)
    assert found.interval() == pytest.approx((0.5 - 12.706 * error, 0.5 + 12.706 * error), rel=1e-3)
    assert found.interval(0.5) == pytest.approx((0.5 - error, 0.5 + error))  # t of 75 % is 1


def test_what_no_image_shows_some_may(lay, gather):
    """Of n images that are all right a share p may be wrong: (1 − p)^n is 2.5 % at the end."""
    lay([1, 1, 1, 1])
    found = gather().compare("", lambda a: a, GRID)
    assert found.images == 4
    low, high = found.interval()
    assert (1 - low) * 4 == pytest.approx(-np.log(0.025)) and high == pytest.approx(2 - low)
    folds = {"data": {"image_size": 16, "folds": 3, "most_per_class": 9}}
    for seed in (0, 1, 2):
        lay([1, 1, 1, 1], seed=seed, **folds)
    assert gather(**folds, seeds=[0, 1, 2]).compare("", lambda a: a, GRID).images == 12


def test_equal_seeds_add_no_spread(lay, gather):
    for seed in (0, 1, 2):
        lay([1, 0, 1, 1], seed=seed)
    one, three = gather(), gather(seeds=[0, 1, 2])
    assert three.pooled(GRID) == pytest.approx(one.pooled(GRID), abs=1e-15)
    intervals = [of.compare("", lambda a: a, GRID).interval() for of in (one, three)]
    assert intervals[0] == pytest.approx(intervals[1])


def test_what_seeds_do_not_share_counts_once():
    """Each seed's resamples scatter by themselves, as its value does: that is in the t limit."""
    draws = np.random.default_rng(0).normal(0, 1, (3, 4001))
    draws[:, 0] = -1, 0, 1
    low, high = Comparison("", ("", ""), draws).interval()
    assert (low, high) == pytest.approx((-4.303 / 3**0.5, 4.303 / 3**0.5), rel=0.02)
    shared = np.tile(draws[:1, 1:], (3, 1))
    draws[:, 1:] = shared
    low, high = Comparison("", ("", ""), draws).interval()
    assert high == pytest.approx(np.hypot(4.303 / 3**0.5, 1.96), rel=0.03)


def test_folds_are_drawn_apart_so_that_images_and_networks_count_once(lay, gather):
    """Equal folds: as seeds they would share their images' spread, as folds they scatter apart."""
    folds = {"data": {"image_size": 16, "folds": 3, "most_per_class": 9}}
    for seed in (0, 1, 2):
        lay([1, 0, 1, 1], seed=seed, **folds)
    draws = gather(**folds, seeds=[0, 1, 2]).draws(GRID)
    apart = np.corrcoef(draws[:, 1:])
    assert (draws[:, 0] == 0.75).all() and abs(apart[np.triu_indices(3, 1)]).max() < 0.2
    low, high = Comparison("", ("", ""), draws).interval()
    assert high - low < 0.4 * np.ptp(bootstrap.interval(draws[0, 1:]))


def test_rules_of_one_network_are_compared_seed_by_seed(lay, gather):
    """The mean margin judges as the grid does here, so the two differ by exactly nothing."""
    lay([1, 1, 1, 1], seed=0)
    lay([0, 1, 0, 0], seed=1)
    of = gather(seeds=[0, 1])
    assert np.ptp(of.pooled(GRID)) > 0
    assert not of.compare("", minus, Question(8, "mean_margin"), GRID).draws.any()
    other = gather(seeds=[0, 1], variant="quirky", networks="plain", quirks={"strips": False})
    assert other.pooled(GRID).tolist() == of.pooled(GRID).tolist()


def test_a_difference_is_paired_image_by_image(lay, gather):
    """The two sizes part ways on the third image alone, so all turns on how often it is drawn."""
    lay([1, 0, 1, 1])
    lay([1, 0, 0, 1], size=16)
    found = gather().compare("", minus, GRID, WHOLE)
    assert found.draws[0, 0] == 0.25
    assert found.draws[0, 1:] == pytest.approx(COUNTS[:, 2] / 4)


def test_of_one_seed_an_interval_is_the_percentiles_of_the_resamples():
    found = Comparison("", ("", ""), np.array([[40.0, *range(101)]]))
    assert found.value == 40
    assert found.interval() == pytest.approx((2.5, 97.5))
    assert found.interval(0.8) == pytest.approx((10, 90))
    assert found.detectable() == pytest.approx((92 + 60) / 2)


def test_seeds_share_the_images_of_a_patchs_auc(work, make_study):
    """Known from tables alone; drawn apart, the seeds' mean would hide what the images do."""
    study = make_study(**COMMON, seeds=[0, 1, 2])
    said = Outcomes(np.array(LABELS), np.ones((1, 4)), None)
    of = Family(study, CELL, lambda *_: said)
    of.seeds = study.seeds
    for seed in of.seeds:
        row = {"rule": "none", "statistic": "auc", "value": 0.7 + seed / 100, "low": 0.6}
        path = of.run(8, seed).table(1)
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame([row | {"high": 0.8}]).to_csv(path, index=False)
    draws = of.by("auc").draws(Question(8, "none"))
    assert draws[:, 0] == pytest.approx([0.7, 0.71, 0.72])
    assert np.ptp(draws[:, 1:] - draws[:, :1], axis=0) == pytest.approx(0)


def test_aucs_are_of_the_rules_own_scores(lay, gather):
    """Of four images one fake is called real by all patches: below both reals it is a tie."""
    lay([1, 1, 1, 0])
    auc = gather().by("auc")
    assert auc.pooled(GRID)[0] == 0.75
    assert auc.pooled(GRID)[1:] == pytest.approx((2 - COUNTS[:, 3] / 2) / 2)


def test_a_size_learned_if_it_ranks_the_validation_images_patches(lay, gather):
    lay([1, 1, 1, 1], 8)
    lay([1, 1, 0, 0], 4)
    lay([1, 1, 1, 1], 16, seed=0)
    of = gather(patch_sizes=[4, 8, 16])
    assert (of.sizes, of.learned) == ([16, 8, 4], [16, 8])


@pytest.mark.parametrize(
    ("side", "size", "expected"), [(256, 64, 64), (128, 16, 32), (512, 64, 64)]
)
def test_sizes_of_smaller_images_are_relative(make_study, side, size, expected):
    per_class = {"train": 3, "validation": 2, "test": 2}
    study = make_study(data={"image_size": side, "per_class": per_class}, patch_sizes=[size])
    assert study.in_paper(size) == expected


def test_other_cells_and_crops_are_asked_for(lay, gather):
    lay([1, 1, 1, 1])
    lay([1, 1, 1, 0], cell=SISTER)
    lay([1, 0, 0, 0], kind="crops")
    of = gather()
    assert of.pooled(GRID)[0] == 1
    assert of.pooled(Question(8, "grid", CELL))[0] == 1
    assert of.pooled(Question(8, "grid", SISTER))[0] == 0.75
    assert of.pooled(Question(8, "crops"))[0] == 0.25


# Two reals, two fakes of four patches; θ = ¼ keeps the four |z| of 3 and more.
MARGINS = [[[-3, -4, 1, 1], [3, 1, -1, -1], [1, -1, -1, 2], [5, -1, -1, -1]]]


def test_confident_and_per_patch_accuracies_by_hand(make_run, finish, gather):
    finish(make_run(**COMMON), MARGINS, LABELS, [0.5])
    of = gather()
    assert of.pooled(Question(8, "none"))[0] == 7 / 16  # 2, 2, 2 and 1 of four
    # By the grid: 2 and 2 of four fake, ties; 2 of four fake; 1 of four fake.
    assert of.pooled(GRID)[0] == 0.25
    # The confident: two real; one fake; none, so all four, a tie; one fake.
    assert of.pooled(Question(8, "confident", theta=0.25))[0] == 0.75
    assert of.pooled(Question(8, "confident", theta=1.0))[0] == 0.25
    drawn = of.draws(Question(8, "none"))[0, 1:]
    assert drawn == pytest.approx(COUNTS @ np.array([0.5, 0.5, 0.5, 0.25]) / 4)


def test_the_studys_quirks_judge(make_run, finish, gather):
    finish(make_run(**COMMON), MARGINS, LABELS, [0.5])
    quirks = {"last_patch_only": True}
    of = gather(variant="quirky", networks="plain", quirks=quirks)
    # θ = ¼ keeps no last patch: both reals are left out, both fakes count as right.
    assert of.pooled(Question(8, "confident", theta=0.25))[0] == 1
    outcomes = of.of_seed(Question(8, "confident", theta=0.25), 0)
    assert outcomes.labels.tolist() == LABELS
    assert outcomes.counted.tolist() == [[False, False, True, True]]


def test_the_validated_epoch_is_judged(lay, gather):
    lay([[1, 1, 1, 1], [1, 0, 1, 0], [1, 1, 1, 0]], validation=[0.6, 0.9, 0.9])
    of = gather()
    assert of.pooled(GRID)[0] == 0.5
    assert of.of_seed(GRID, 0).right.tolist() == [[True, False, True, False]]


def test_top1_picks_its_epoch_again_in_each_resample(lay, gather):
    lay([[1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]], validation=[0.5, 0.5, 0.9])
    top1, validated = gather("top1").pooled(GRID), gather().pooled(GRID)
    assert (top1[0], validated[0]) == (0.5, 0.25)
    of_epochs = np.stack([COUNTS[:, [0, 2]], COUNTS[:, [1, 3]]]).sum(axis=2) / 4
    assert top1[1:] == pytest.approx(of_epochs.max(axis=0))
    assert top1[1:].min() == 0.5
    assert top1[1:].max() == 1


def test_each_seed_has_its_own_top1(lay, gather):
    lay([[1, 1, 1, 0], [0, 0, 0, 0]], seed=0)
    lay([[0, 0, 0, 0], [1, 1, 1, 1]], seed=1)
    of = gather("top1", seeds=[0, 1])
    assert of.draws(GRID)[:, 0].tolist() == [0.75, 1]


def test_unfinished_networks_are_left_out(lay, gather):
    """Of three seeds one lacks a size that the others have; a third size has no network."""
    for size, seed in ((16, 0), (8, 0), (8, 1), (16, 2), (8, 2)):
        lay([1, 1, 0, 1], size, seed)
    of = gather(seeds=[0, 1, 2, 3], patch_sizes=[4, 8, 16])
    assert of.sizes == [16, 8]
    assert of.smaller == [8]
    assert of.seeds == [0, 2]
    assert of.draws(GRID).shape == (2, 1 + RESAMPLES)


def test_sizes_that_the_study_does_not_ask_for_are_left_out(lay, gather):
    """As of a variant that is restricted to some sizes and votes with the plain networks."""
    for size in (16, 8, 4):
        lay([1, 1, 0, 1], size)
    of = gather(patch_sizes=[8])
    assert (of.sizes, of.smaller) == ([8], [8])


def test_nothing_finished_is_no_evidence(work, gather):
    of = gather()
    assert (of.sizes, of.smaller) == ([], [])


def test_a_per_patch_question_of_the_whole_image_is_the_whole(gather):
    of = gather()
    assert of.patch(8) == Question(8, "none")
    assert of.patch(16) == of.whole() == WHOLE
    assert of.whole(SISTER) == Question(16, "whole", SISTER)


# Variants


def test_a_variant_has_networks_of_its_own(lay, gather):
    """No plain network stands in, though the whole image's would see the same six patches."""
    budget = {"variant": "matched", "training": {"patches_per_epoch": 6}}
    for size in (16, 8):
        lay([1, 1, 1, 1], size)
    assert gather(**budget).sizes == []
    own = lay([1, 0, 0, 0], 8, **budget)
    of = gather(**budget)
    assert of.run(8, 0).folder == own.folder
    assert (of.sizes, of.pooled(GRID)[0]) == ([8], 0.25)


def test_a_variant_that_votes_anew_has_the_plain_networks(lay, gather):
    plain = lay([1, 1, 1, 0])
    of = gather(variant="ranged", networks="plain", quirks={"theta_reading": "range"})
    assert of.run(8, 0).folder == plain.folder
    assert of.run(8, 0).variant == "ranged"
    assert (of.seeds, of.pooled(GRID)[0]) == ([0], 0.75)


def test_networks_of_other_parameters_are_refused(lay, gather):
    lay([1, 1, 1, 0])
    with pytest.raises(margins.RunError, match="training.epochs is 50 there, 3 here"):
        gather(training={"epochs": 3}).pooled(GRID)


# What is stored is what the votes say.


@pytest.fixture
def store(make_run, finish):
    """A finished run of `MARGINS`, and its margins, for every experiment to vote on."""
    run = make_run(**COMMON)
    finish(run, MARGINS, LABELS, [0.5])
    finish(run, [[[1, 1, -1, -1, 1]] * 4], LABELS, [0.5], kind="crops")
    return run


def vote_all(run) -> None:
    """As notebooks 01 to 04 do."""
    grid, crops = margins.load(run, run.test), margins.load(run, run.test, kind="crops")
    sheets = [tables.Sheet(run, number, grid) for number in (1, 2, 4)]
    sheets.append(tables.Sheet(run, 3, crops))
    sheets[0].patches()
    for rule in rules.voting_on("grid"):
        sheets[1].vote(rule)
    for reading in rules.READINGS:
        sheets[2].vote(rules.confident(0.25, reading))
    sheets[3].patches()
    sheets[3].vote("crops")
    for sheet in sheets:
        sheet.save()


QUESTIONS = [
    *(Question(8, rule) for rule in ("none", "grid", "mean_margin", "mean_probability", "crops")),
    Question(8, "confident", theta=0.25),
]


@pytest.mark.parametrize("quirks", [{}, {"theta_reading": "range"}, {"last_patch_only": True}])
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.rule)
def test_the_stored_verdicts_say_what_the_votes_say(store, make_run, make_study, question, quirks):
    changes = {**COMMON, "variant": "own", "networks": "plain", "quirks": quirks}
    vote_all(make_run(**changes))
    stored = Family(make_study(**changes), CELL)
    voted = Family(make_study(**changes), CELL, STATISTICS["validated"])
    assert stored.pooled(question) == pytest.approx(voted.pooled(question), nan_ok=True)
    one, other = stored.of_seed(question, 0), voted.of_seed(question, 0)
    assert one.labels.tolist() == other.labels.tolist()
    assert (one.counted is None) == (other.counted is None)


def test_a_vote_that_was_not_taken_names_its_notebook(store, make_study):
    family = Family(make_study(**COMMON), CELL)
    with pytest.raises(MissingVerdicts, match="no verdicts of 'grid' .*Experiment 2 first"):
        family.pooled(GRID)
    vote_all(store)
    assert family.pooled(GRID)[0] == 0.25
    with pytest.raises(MissingVerdicts, match="no verdicts of 'confident' at θ = 0.75"):
        family.pooled(Question(8, "confident", theta=0.75))
