"""The claims C1 to C6 on stored margins in which each is clearly true, false, or not testable."""

import numpy as np
import pytest

from lib.results import claims
from lib.results.accuracies import Family, Question
from lib.results.claim_quantities import chance_of
from lib.results.claim_rules import (
    CONTRADICTED,
    NOT_JUDGED,
    NOT_TESTED,
    SUPPORTED,
    UNDECIDED,
)
from lib.results.claims import Finding
from lib.results.quirk_effects import STATISTICS
from lib.study.run import Run
from lib.study.study import Study

S = 256
TRAIN, CHURCH, OTHER = "leaves-gan_a", "stones-gan_a", "leaves-gan_b"
BOTH = "stones-gan_b"
HALF = 200
LABELS = np.repeat([0, 1], HALF)
FILES = {"kind": "files", "path": "x"}


def right(share: float) -> np.ndarray:
    """bool (N, 1): the first share of each class is judged rightly, so that sizes are nested."""
    return np.tile(np.arange(HALF) < round(share * HALF), 2)[:, None]


def family(study: Study) -> Family:
    """The votes are taken from the margins, so that no notebook need have run."""
    return Family(study, TRAIN, STATISTICS["validated"])


ALL_FAKE = (LABELS == 1)[:, None]
"""One answer for every image: in every resample, half of them are right."""


@pytest.fixture
def study(make_study):
    def make(*sizes: int, thetas=(1.0, 0.75, 0.25), cells=(TRAIN,), size: int = S, **changes):
        return make_study(
            data={"image_size": size, "per_class": {"train": 3, "validation": 2, "test": HALF}},
            cells={cell: {"real": FILES, "fake": FILES} for cell in cells},
            patch_sizes=sizes,
            voting={"thetas": thetas},
            **changes,
        )

    return make


@pytest.fixture
def lay(finish):
    """Lays down one network; `right` is a share of images, or bool (N, P); |z| is (P,)."""

    def lay(study, size: int, judged, kind="grid", cell=None, strength=1.0, seed=0) -> None:
        judged = right(judged) if np.isscalar(judged) else judged
        patches = (study.data.image_size // size) ** 2 + (kind == "crops")
        judged = np.broadcast_to(judged, (len(LABELS), patches))
        z = np.where(judged == (LABELS == 1)[:, None], strength, -np.asarray(strength))
        run = Run(study=study, dataset="leaves", gan="gan_a", patch_size=size, seed=seed)
        finish(run, z[None], LABELS.tolist(), [0.5], kind=kind, cell=cell)

    return lay


@pytest.fixture
def grids(study, lay):
    """A study's grid votes, by size: a share of images judged rightly each."""

    def grids(shares: dict[int, float], **changes) -> Family:
        made = study(*shares, **changes)
        for size, share in shares.items():
            lay(made, size, share)
        return family(made)

    return grids


def findings(of: Family, claim: str, measure: str = "accuracy") -> list[str]:
    return [each.finding for each in judged(of, [claim], measure)]


def judged(of: Family, named=claims.CLAIMS, measure: str = "accuracy") -> list[Finding]:
    """With one seed, so by images alone; what few seeds do has tests of its own."""
    return claims.findings(of, named, measure, least_seeds=1)


def said(found: Finding) -> list[str]:
    return [comparison.said for comparison in found.comparisons]


# C1: per-patch accuracy


def test_c1_sizes_that_differ_much_and_32_best(grids):
    of = grids({256: 0.7, 64: 0.75, 32: 1.0})
    assert findings(of, "C1") == [SUPPORTED, CONTRADICTED, SUPPORTED]
    differs, little, best = judged(of, ["C1"])
    assert said(differs) == [
        f"a single patch of {large} px is right {points} points less often than one of {small} px"
        for large, small, points in ((256, 64, "5.0"), (256, 32, "30.0"), (64, 32, "25.0"))
    ]
    assert len(little.comparisons) == 6 and {each.bound for each in little.comparisons} == {-0.1}
    assert said(best)[0] == (
        "a single patch of 32 px is right 27.5 points more often than the mean of the other sizes"
    )
    assert [each.value for each in best.comparisons] == pytest.approx([0.275, 0.3, 0.25])
    assert [each.bound for each in best.comparisons] == [0, -0.01, -0.01]


def test_c1_sizes_that_are_all_alike(grids):
    of = grids({256: 0.9, 64: 0.9, 32: 0.9})
    assert findings(of, "C1") == [CONTRADICTED, SUPPORTED, UNDECIDED]


def test_c1_another_size_is_best(grids):
    of = grids({256: 0.6, 64: 0.95, 32: 0.8})
    assert findings(of, "C1")[2] == CONTRADICTED


def test_c1_one_size_cannot_tell(grids):
    assert findings(grids({32: 0.9}), "C1") == [NOT_TESTED] * 3


def test_c1_without_32_px_none_can_say_that_it_is_best(grids):
    assert findings(grids({256: 0.7, 64: 0.95}), "C1") == [SUPPORTED, CONTRADICTED, NOT_TESTED]


def test_c1_is_of_patches_not_of_votes(study, lay):
    """At 32 px three quarters of every image's patches are right: 75 % of them, all the votes."""
    made = study(64, 32)
    lay(made, 64, 1.0)
    lay(made, 32, np.tile(np.arange(64) < 48, (2 * HALF, 1)))
    of = family(made)
    (differs, _, best), (_, vote, _) = (judged(of, [claim]) for claim in ("C1", "C2"))
    assert differs.comparisons[0].value == pytest.approx(0.25)
    assert best.finding == CONTRADICTED
    assert vote.comparisons[0].value == 0


# C2: the vote over the grid


def test_c2_the_smaller_the_better(grids):
    of = grids({256: 0.7, 64: 0.8, 32: 0.9, 16: 1.0})
    assert findings(of, "C2") == [SUPPORTED, CONTRADICTED, SUPPORTED]  # 16 px beats 32 px
    smaller, best, whole = judged(of, ["C2"])
    assert said(smaller) == [
        "the vote at 16 px is right 20.0 points more often than that of 64 px",
        "the vote at 32 px is right 10.0 points more often than that of 64 px",
        "the vote at 16 px is right 10.0 points more often than that of 32 px",
    ]
    assert [each.bound for each in smaller.comparisons] == [0, -0.01, -0.01]
    assert [each.value for each in best.comparisons] == pytest.approx([0.0, 0.1, -0.1])
    assert said(whole)[0].endswith("10.0 points more often than the whole image’s network")
    assert [each.value for each in whole.comparisons] == pytest.approx([0.1, 0.2, 0.3])


def test_c2_the_smaller_the_worse(grids):
    of = grids({256: 1.0, 64: 0.85, 32: 0.7, 16: 0.6})
    assert findings(of, "C2") == [CONTRADICTED] * 3


def test_c2_32_px_is_best(grids):
    of = grids({256: 0.7, 64: 0.8, 32: 1.0, 16: 0.8})
    assert findings(of, "C2") == [CONTRADICTED, SUPPORTED, SUPPORTED]


def test_c2_at_the_ceiling_as_good_is_enough(grids):
    """As in the paper, whose votes at 32 and 16 px are always right."""
    of = grids({256: 0.8, 64: 0.9, 32: 1.0, 16: 1.0})
    assert findings(of, "C2") == [SUPPORTED] * 3
    (whole,) = judged(grids({256: 1.0, 64: 1.0}), ["C2"])[2].comparisons
    assert (whole.value, whole.bound) == (0, -0.01)


def test_c2_without_the_whole_image_or_another_size(grids):
    assert findings(grids({32: 0.9}), "C2") == [NOT_TESTED] * 3
    assert findings(grids({64: 0.7, 32: 0.9}), "C2") == [SUPPORTED, SUPPORTED, NOT_TESTED]


def test_c2_needs_32_px_for_its_second_part(grids):
    assert findings(grids({256: 0.7, 64: 0.95}), "C2") == [NOT_TESTED, NOT_TESTED, SUPPORTED]


# C3: random crops


def test_c3_crops_do_as_well_at_small_sizes_and_collapse_at_large(grids, lay):
    of = grids({256: 0.9, 128: 0.9, 64: 0.9, 32: 0.9, 16: 0.9})
    for size, share in ((128, ALL_FAKE), (64, ALL_FAKE), (32, 0.9), (16, 0.95)):
        lay(of.study, size, share, kind="crops")
    assert findings(of, "C3") == [SUPPORTED, SUPPORTED]
    as_well, collapse = judged(of, ["C3"])
    assert said(as_well) == [
        f"the vote over crops at {size} px is right {points} points more often than that over the "
        "grid"
        for size, points in ((32, "0.0"), (16, "5.0"))
    ]
    assert said(collapse) == [
        f"what the vote over crops at {size} px has above chance lies 20.0 points below half of "
        "what that over the grid has"
        for size in (128, 64)
    ]


def test_c3_crops_do_worse_at_small_sizes_and_well_at_large(grids, lay):
    of = grids({64: 0.9, 32: 0.9, 16: 0.9})
    for size, share in ((64, 0.9), (32, 0.9), (16, 0.6)):
        lay(of.study, size, share, kind="crops")
    assert findings(of, "C3") == [CONTRADICTED, CONTRADICTED]


def test_c3_chance_is_what_one_answer_for_all_gets(make_study, finish):
    """30 of 40 images are fake: crops that call all of them so are at chance, with 75 %."""
    study = make_study(
        data={"image_size": S, "per_class": {"train": 3, "validation": 2, "test": HALF}},
        patch_sizes=[64],
    )
    labels = np.repeat([0, 1], [10, 30])
    of, run = family(study), Run(study=study, dataset="leaves", gan="gan_a", patch_size=64, seed=0)
    finish(run, np.where(labels == 1, 1.0, -1.0)[None, :, None].repeat(16, 2), labels, [0.5])
    finish(run, np.ones((1, 40, 17)), labels, [0.5], kind="crops")
    assert chance_of(of, Question(64, "grid")) == 0.75
    assert chance_of(of.by("auc"), Question(64, "grid")) == 0.5
    (collapse,) = judged(of, ["C3"])[1].comparisons
    assert collapse.value == pytest.approx(0.125)  # half of the grid's 25 points


def test_c3_few_images_alike_might_yet_differ(study, lay, monkeypatch):
    """Of 40 images of which none differs 8 % might: more than the point that is allowed."""
    monkeypatch.setitem(globals(), "HALF", 20)
    monkeypatch.setitem(globals(), "LABELS", np.repeat([0, 1], 20))
    made = study(32)
    for kind in ("grid", "crops"):
        lay(made, 32, 1.0, kind=kind)
    assert findings(family(made), "C3") == [UNDECIDED, NOT_TESTED]


def test_c3_a_grid_at_chance_has_nothing_to_lose(grids, lay):
    of = grids({64: 0.5})
    lay(of.study, 64, 0.5, kind="crops")
    assert findings(of, "C3") == [NOT_TESTED, NOT_TESTED]


def test_c3_each_part_needs_its_sizes(grids, lay):
    of = grids({64: 0.9})
    lay(of.study, 64, ALL_FAKE, kind="crops")
    assert findings(of, "C3") == [NOT_TESTED, SUPPORTED]


def test_c3_of_smaller_images_sizes_are_relative(grids, lay):
    """Of an image of 64 px the paper's 128 and 64 px are 32 and 16 px."""
    of = grids({64: 0.9, 32: 0.9, 16: 0.9}, size=64)
    for size in (32, 16):
        lay(of.study, size, ALL_FAKE, kind="crops")
    assert findings(of, "C3") == [NOT_TESTED, SUPPORTED]
    assert "at 32 px" in judged(of, ["C3"])[1].comparisons[0].text


def test_c3_a_threshold_can_collapse_where_ranking_does_not(grids, lay):
    """All crops of fakes and most of reals are called fake: one answer, and a perfect ranking."""
    of = grids({64: 0.9})
    called_fake = np.tile(np.arange(17) < 12, (2 * HALF, 1)) | (LABELS == 1)[:, None]
    lay(of.study, 64, called_fake == (LABELS == 1)[:, None], kind="crops")
    assert findings(of, "C3")[1] == SUPPORTED
    assert findings(of, "C3", "auc")[1] == CONTRADICTED
    (collapse,) = judged(of, ["C3"], "auc")[1].comparisons
    assert collapse.said.startswith("what the vote over crops at 64 px has above chance lies")


# C4: confident patches. Four patches, |z| = 3, 2, 2, 1: θ = ¼ keeps the first, ¾ the first three.

STRENGTH = np.array([3.0, 2.0, 2.0, 1.0])


def patches(first: bool, middle: bool, last: bool, count: int = HALF) -> np.ndarray:
    """bool (N, 4): `count` of the reals have these patches right; all else is right."""
    judged = np.ones((2 * HALF, 4), bool)
    judged[:count] = [first, middle, middle, last]
    return judged


@pytest.fixture
def confident(study, lay):
    def confident(judged: np.ndarray, thetas=(1.0, 0.75, 0.25)) -> Family:
        made = study(128, thetas=thetas)
        lay(made, 128, judged, strength=STRENGTH)
        return family(made)

    return confident


def test_c4_confident_patches_know_better(confident):
    """Ten reals: the first patch is right, the other three wrong."""
    of = confident(patches(True, False, False, HALF // 2))
    assert findings(of, "C4")[0] == SUPPORTED
    improves = judged(of, ["C4"])[0]
    assert said(improves) == [
        "the vote of confident patches (θ = 0.25) at 128 px is right 25.0 points more often than "
        "that of all"
    ]
    assert improves.decisive.value == pytest.approx(0.25)


def test_c4_confident_patches_know_worse(confident):
    of = confident(patches(False, True, True, HALF // 2))
    assert findings(of, "C4")[0] == CONTRADICTED
    assert findings(confident(patches(True, True, True)), "C4")[0] == SUPPORTED  # none errs


def test_c4_the_smaller_theta_is_closer(confident):
    """Ten reals whose middle two are right tie in the grid: wrong, as by the first alone."""
    of = confident(patches(False, True, False, HALF // 2))
    closer = judged(of, ["C4"])[1]
    assert closer.finding == SUPPORTED
    assert said(closer) == [
        "at 128 px θ = 0.25 lies 25.0 points nearer to the grid's vote than θ = 0.75"
    ]
    assert closer.decisive.value == pytest.approx(0.25)


def test_c4_the_smaller_theta_is_further(confident):
    """Ten reals whose first patch alone is wrong: only θ = ¼ departs from the grid."""
    of = confident(patches(False, True, True, HALF // 2))
    closer = judged(of, ["C4"])[1]
    assert closer.finding == CONTRADICTED
    assert closer.decisive.value == pytest.approx(-0.25)


def test_c4_distance_counts_to_either_side(confident):
    """θ = ¼ is better than the grid by as much as it was worse: as far from it."""
    of = confident(patches(True, False, False, HALF // 2))
    assert judged(of, ["C4"])[1].decisive.value == pytest.approx(-0.25)


@pytest.mark.parametrize(
    ("thetas", "expected"),
    [
        ((1.0,), [NOT_TESTED, NOT_TESTED]),
        ((1.0, 0.25), [SUPPORTED, NOT_TESTED]),
        ((0.25, 1.0, 0.75), [SUPPORTED, CONTRADICTED]),
    ],
)
def test_c4_needs_thetas_below_one(confident, thetas, expected):
    assert findings(confident(patches(True, False, False, HALF // 2), thetas), "C4") == expected


# C5 and C6: other cells


def test_c5_and_c6_look_at_their_own_cells(grids, lay):
    """On the church the patches win, under another generator the whole image does."""
    of = grids({256: 0.9, 64: 0.9, 32: 0.9}, cells=(CHURCH, TRAIN, OTHER, BOTH))
    for cell, whole, vote in ((CHURCH, 0.5, 0.8), (OTHER, 0.8, 0.6), (BOTH, 0.9, 0.55)):
        lay(of.study, 256, whole, cell=cell)
        for size in (64, 32):
            lay(of.study, size, vote, cell=cell)
    content, generator = judged(of, ["C5", "C6"])
    assert (content.finding, generator.finding) == (SUPPORTED, CONTRADICTED)
    assert [each.split(" is right")[0] for each in said(content)] == [
        f"the vote at {size} px" for size in (64, 32)
    ]
    ends = [each.split("than ")[1] for each in said(generator)]
    assert ends == [f"the whole image on {cell}" for cell in (OTHER, BOTH) for _ in (64, 32)]
    assert [c.value for c in content.comparisons] == pytest.approx([0.3, 0.3])
    assert [c.value for c in generator.comparisons] == pytest.approx([-0.2, -0.2, -0.35, -0.35])


def test_c5_and_c6_are_not_about_altered_images(study, lay):
    """Their margins are not even read."""
    made = study(256, 64, cells=(TRAIN, OTHER))
    blurred = {"test_images_of": TRAIN, "blur": 1}
    altered = {"leaves_blur-gan_a": blurred, "leaves_blur-gan_b": {**blurred, "blur": 2}}
    made = make_altered(made, altered)
    for size, share in ((256, 0.7), (64, 0.95)):
        for cell in (TRAIN, OTHER):
            lay(made, size, share, cell=cell)
    content, generator = judged(family(made), ["C5", "C6"])
    assert (content.finding, generator.finding) == (NOT_TESTED, SUPPORTED)
    assert [each.split("than ")[1] for each in said(generator)] == [f"the whole image on {OTHER}"]


def make_altered(study: Study, altered: dict) -> Study:
    cells = {**study.model_dump()["cells"], **altered}
    return Study(**{**study.model_dump(), "cells": cells})


def test_c5_and_c6_the_other_way_about(grids, lay):
    of = grids({256: 0.9, 64: 0.9}, cells=(TRAIN, CHURCH, OTHER))
    for cell, whole, vote in ((CHURCH, 0.8, 0.6), (OTHER, 0.5, 0.8)):
        lay(of.study, 256, whole, cell=cell)
        lay(of.study, 64, vote, cell=cell)
    assert findings(of, "C5") == [CONTRADICTED]
    assert findings(of, "C6") == [SUPPORTED]


def test_c5_is_about_variants_of_the_generator_whichever_was_trained_on(grids, lay):
    """`gan` and `gan_a` are one generator and its variant, `gan_a` and `gan_b` two."""
    of = grids({256: 0.9, 64: 0.9}, cells=(TRAIN, "stones-gan_a_ada", "stones-gan", OTHER))
    for cell in of.study.others(TRAIN):
        lay(of.study, 256, 0.6, cell=cell)
        lay(of.study, 64, 0.9, cell=cell)
    content, generator = judged(of, ["C5", "C6"])
    ends = [[each.split(" on ")[1] for each in said(found)] for found in (content, generator)]
    assert ends == [["stones-gan_a_ada", "stones-gan"], [OTHER]]


def test_c5_and_c6_need_cells_of_their_kind(grids, lay):
    assert findings(grids({256: 0.6, 64: 0.9}), "C5") == [NOT_TESTED]
    assert findings(grids({256: 0.6, 64: 0.9}), "C6") == [NOT_TESTED]
    of = grids({256: 0.7, 64: 0.9}, cells=(TRAIN, OTHER))
    lay(of.study, 256, 0.6, cell=OTHER)
    lay(of.study, 64, 0.9, cell=OTHER)
    assert (findings(of, "C5"), findings(of, "C6")) == ([NOT_TESTED], [SUPPORTED])


def test_c5_and_c6_need_the_whole_image(grids, lay):
    of = grids({64: 0.9}, cells=(TRAIN, CHURCH, OTHER))
    assert findings(of, "C5") == findings(of, "C6") == [NOT_TESTED]


# What learned nothing


def test_networks_at_chance_test_nothing(study, lay):
    made = study(256, 64, 32)
    for size in (256, 64, 32):
        lay(made, size, ALL_FAKE)
    found = judged(family(made))
    assert len(found) == len(claims.PARTS)
    assert {part.finding for part in found} == {NOT_TESTED}
    assert all(part.comparisons == [] and part.decisive is None for part in found)


def test_networks_below_chance_test_nothing(grids):
    assert findings(grids({256: 0.1, 64: 0.2, 32: 0.1}), "C1") == [NOT_TESTED] * 3


def test_only_sizes_that_learned_are_compared(study, lay):
    made = study(256, 64, 32, 16)
    for size, share in ((256, ALL_FAKE), (64, 0.7), (32, 0.9), (16, ALL_FAKE)):
        lay(made, size, share)
    differs, _, best = judged(family(made), ["C1"])
    assert said(differs) == [
        "a single patch of 64 px is right 20.0 points less often than one of 32 px"
    ]
    assert best.finding == SUPPORTED
    assert findings(family(made), "C2")[2] == NOT_TESTED  # the whole image's network did not


def test_cells_on_which_nothing_beats_chance_are_not_compared(grids, lay):
    of = grids({256: 0.8, 64: 0.9}, cells=(TRAIN, CHURCH, OTHER))
    for size in (256, 64):
        lay(of.study, size, ALL_FAKE, cell=CHURCH)
        lay(of.study, size, ALL_FAKE if size == 256 else 0.8, cell=OTHER)
    assert (findings(of, "C5"), findings(of, "C6")) == ([NOT_TESTED], [SUPPORTED])


def test_no_network_tests_nothing(work, study):
    found = judged(family(study(256, 64, 32)))
    assert {part.finding for part in found} == {NOT_TESTED}


def test_fewer_than_three_seeds_are_shown_and_not_judged(study, lay):
    made = study(256, 32, seeds=[0, 1, 2])
    for seed in (0, 1, 2):
        lay(made, 256, 0.7, seed=seed)
        lay(made, 32, 0.95, seed=seed)
        lay(made, 32, 0.95, kind="crops", seed=seed)
    fewer = family(made.model_copy(update={"seeds": [0, 1]}))
    every = claims.findings(fewer)
    assert {each.finding for each in every} == {NOT_JUDGED, NOT_TESTED}
    assert every[0].decisive.value == pytest.approx(-0.25)
    assert claims.findings(family(made), ["C2"])[2].finding == SUPPORTED


def test_seeds_that_disagree_leave_a_claim_undecided(study, lay):
    made = study(256, 32, seeds=[0, 1, 2])
    for seed, whole, vote in ((0, 0.7, 0.95), (1, 0.9, 0.85), (2, 0.75, 0.9)):
        lay(made, 256, whole, seed=seed)
        lay(made, 32, vote, seed=seed)
    part = judged(family(made), ["C2"])[2]
    assert part.comparisons[0].draws[:, 0] == pytest.approx([0.25, -0.05, 0.15])
    assert part.finding == UNDECIDED


def test_only_the_claims_that_are_asked_for_are_judged(grids):
    of = grids({256: 0.6, 64: 0.7, 32: 0.95})
    assert [each.part.claim for each in judged(of, ["C2", "C1"])] == ["C1"] * 3 + ["C2"] * 3
    assert {part.claim for part in claims.PARTS} == set(claims.CLAIMS)
