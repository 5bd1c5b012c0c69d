"""Paired tests: which pairs are compared, and the numbers by hand."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lib.results import paired_tests
from lib.results.accuracies import Family, MissingVerdicts, Outcomes, Question
from lib.results.quirk_effects import STATISTICS

LABELS = [0] * 10 + [1] * 10
COMMON = {
    "patch_sizes": [16, 8, 4],
    "voting": {"thetas": [1.0, 0.8, 0.6]},
    "bootstrap": {"resamples": 20},
}


def family(study) -> Family:
    """The votes are taken from the margins, so that no notebook need have run."""
    return Family(study, "leaves-gan_a", STATISTICS["validated"])


@pytest.fixture
def lay(make_run, finish):
    """A network whose images are judged rightly by all patches, or by none."""

    def lay(right, size: int, seed: int = 0, kind: str = "grid") -> None:
        z = np.where(np.array(right) == np.array(LABELS, bool), 1.0, -1.0)
        patches = (16 // size) ** 2 + (kind == "crops")
        z = np.repeat(z[None, :, None], patches, axis=2)
        finish(make_run(size, seed, **COMMON), z, LABELS, [0.5], kind=kind)

    return lay


def right(*wrong: int) -> np.ndarray:
    return ~np.isin(np.arange(20), wrong)


@pytest.fixture
def of(lay, make_study) -> Family:
    lay(right(*range(9)), 16)
    lay(right(0, 9), 8)
    lay(right(19), 4)
    lay(right(0, 9), 8, kind="crops")
    lay(right(*range(6)), 4, kind="crops")
    return family(make_study(**COMMON))


def test_sizes_are_compared_with_each_other_and_rules_with_the_grid(of):
    table = paired_tests.comparisons(of)
    assert list(zip(table["first"], table["second"], strict=True)) == [
        ("8 px, vote, grid", "whole image"),
        ("4 px, vote, grid", "whole image"),
        ("4 px, vote, grid", "8 px, vote, grid"),
        ("8 px, vote, crops", "8 px, vote, grid"),
        ("8 px, vote, confident, θ = 0.6", "8 px, vote, grid"),
        ("8 px, mean margin", "8 px, vote, grid"),
        ("4 px, vote, crops", "4 px, vote, grid"),
        ("4 px, vote, confident, θ = 0.6", "4 px, vote, grid"),
        ("4 px, mean margin", "4 px, vote, grid"),
    ]
    assert (table["seed"] == 0).all()


def test_the_differences_by_hand(of):
    table = paired_tests.comparisons(of).set_index(["first", "second"])
    # The whole image is wrong on 0 to 8; the grid of 8 px on 0 and 9, of 4 px on 19.
    assert table.loc[("8 px, vote, grid", "whole image"), "only_first"] == 8
    assert table.loc[("8 px, vote, grid", "whole image"), "only_second"] == 1
    assert table.loc[("8 px, vote, grid", "whole image"), "p"] == pytest.approx(20 / 512)
    assert table["only_first"].tolist() == [8, 9, 2, 0, 0, 0, 1, 0, 0]
    assert table["only_second"].tolist() == [1, 1, 1, 0, 0, 0, 6, 0, 0]
    difference = [0.35, 0.4, 0.05, 0, 0, 0, -0.25, 0, 0]
    assert table["difference"].tolist() == pytest.approx(difference)


def test_holms_correction_by_hand(of):
    """The k-th least of nine p-values is multiplied by 10 − k, and none falls below the last."""
    table = paired_tests.comparisons(of)
    p = [2 * 10 / 2**9, 2 * 11 / 2**10, 1, 1, 1, 1, 2 * 8 / 2**7, 1, 1]
    assert table["p"].tolist() == pytest.approx(p)
    assert table["p_holm"].tolist() == pytest.approx(
        [8 * p[0], 9 * p[1], 1, 1, 1, 1, 7 * p[6], 1, 1]
    )


def test_all_seeds_are_corrected_together(of, lay, make_study):
    for size, wrong in ((16, range(5)), (8, [9]), (4, [9])):
        lay(right(*wrong), size, seed=1)
    for size in (8, 4):
        lay(right(9), size, seed=1, kind="crops")
    table = paired_tests.comparisons(family(make_study(**COMMON, seeds=[0, 1])))
    assert table["seed"].tolist() == [0] * 9 + [1] * 9
    assert table.loc[9, "p"] == pytest.approx(2 * 7 / 2**6)  # five to one
    assert table.loc[1, "p_holm"] == pytest.approx(18 * 22 / 2**10)
    assert table.loc[0, "p_holm"] == pytest.approx(17 * 20 / 2**9)


def test_without_a_whole_image_network_sizes_are_compared_still(lay, make_study):
    for size in (8, 4):
        lay(right(0), size)
        lay(right(0), size, kind="crops")
    table = paired_tests.comparisons(family(make_study(**COMMON)))
    assert len(table) == 1 + 2 * 3
    assert table.loc[0, ["first", "second"]].tolist() == ["4 px, vote, grid", "8 px, vote, grid"]


def test_nothing_finished_is_an_empty_table(work, make_study):
    table = paired_tests.comparisons(family(make_study(**COMMON)))
    assert isinstance(table, pd.DataFrame)
    assert table.empty


def test_images_that_a_rule_leaves_out_are_in_no_pair():
    """By `last_patch_only` no real counts, so that only fakes are compared."""
    labels, every = np.array(LABELS), np.ones((1, 20), bool)
    counted = (labels == 1)[None]
    said = {
        "confident": Outcomes(labels, every, counted),
        "grid": Outcomes(labels, (labels == 1)[None], None),
    }
    table = paired_tests.comparisons(OneSize(said))
    row = table[table["first"].str.contains("confident")].iloc[0]
    assert (row["difference"], row["only_first"], row["only_second"]) == (0, 0, 0)


class OneSize:
    """A family of one size of which the outcomes are given by rule; crops were not voted on."""

    seeds, sizes, smaller = [0], [8], [8]
    study = SimpleNamespace(data=SimpleNamespace(folds=None), voting=SimpleNamespace(thetas=[0.6]))

    def __init__(self, said: dict[str, Outcomes]) -> None:
        self.said = said

    def image(self, size: int) -> Question:
        return Question(size, "grid")

    def of_seed(self, question: Question, seed: int) -> Outcomes:
        if question.rule not in self.said:
            raise MissingVerdicts(question.rule)
        return self.said[question.rule]


def test_pairs_whose_votes_were_not_taken_are_left_out(lay, make_study):
    lay(right(0), 8)
    assert paired_tests.comparisons(Family(make_study(**COMMON), "leaves-gan_a")).empty
