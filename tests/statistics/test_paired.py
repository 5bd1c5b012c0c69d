"""McNemar's test by hand, and beside scipy."""

import numpy as np
import pytest
from scipy import stats

from lib.statistics import paired


def judged(only_first: int, only_second: int, both: int = 3, neither: int = 2):
    """Two ways of judging with these counts, their images shuffled."""
    first = [True] * only_first + [False] * only_second + [True] * both + [False] * neither
    second = [False] * only_first + [True] * only_second + [True] * both + [False] * neither
    order = np.random.default_rng(0).permutation(len(first))
    return np.array(first)[order], np.array(second)[order]


def test_an_exact_p_value_by_hand():
    """Of nine images that part the two, one or none to one side: 2 (1 + 9) / 2⁹."""
    found = paired.disagreement(*judged(1, 8))
    assert (found.only_first, found.only_second) == (1, 8)
    assert found.p == pytest.approx(20 / 512)
    turned = paired.disagreement(*judged(8, 1))
    assert (turned.only_first, turned.only_second, turned.p) == (8, 1, found.p)


@pytest.mark.parametrize(("first", "second"), [(3, 17), (0, 5), (40, 60), (7, 6), (480, 520)])
def test_an_exact_p_value_is_the_binomial_tests(first, second):
    found = paired.disagreement(*judged(first, second))
    assert found.p == pytest.approx(stats.binomtest(first, first + second).pvalue)


def test_above_a_thousand_the_p_value_is_approximate():
    """(|b − c| − 1)² / (b + c), of χ² with one degree of freedom."""
    found = paired.disagreement(*judged(460, 541))
    assert found.p == pytest.approx(stats.chi2.sf((81 - 1) ** 2 / 1001, 1))
    assert found.p != stats.binomtest(460, 1001).pvalue
    assert found.p == pytest.approx(stats.binomtest(460, 1001).pvalue, rel=0.05)


def test_images_that_both_judge_alike_do_not_matter():
    few, many = paired.disagreement(*judged(2, 9, 0, 0)), paired.disagreement(*judged(2, 9, 90, 50))
    assert few == many


@pytest.mark.parametrize(("first", "second"), [(0, 0), (4, 4), (600, 600)])
def test_no_difference_is_no_evidence(first, second):
    assert paired.disagreement(*judged(first, second)).p == pytest.approx(1, abs=0.03)
    assert paired.disagreement(*judged(first, second)).p <= 1
