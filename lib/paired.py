"""Paired tests on the same images: does one patch size, or one rule, judge more of them rightly?"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from lib.evidence import Evidence, Question

EXACT_UP_TO = 1000
"""Images on which the two differ, up to which the p-value is the exact binomial one."""


class Disagreement(NamedTuple):
    """Where two ways of judging the same images differ."""

    only_first: int
    """Images that only the first judges rightly."""
    only_second: int
    """Images that only the second judges rightly."""
    p: float
    """McNemar's two-sided p-value (Q. McNemar, Psychometrika 1947)."""


def disagreement(first: np.ndarray, second: np.ndarray) -> Disagreement:
    """Compares two ways of judging, image by image.

    Args:
        first: bool (N,), whether each image is judged rightly.
        second: likewise.
    """
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    both, neither = int((first & second).sum()), int((~first & ~second).sum())
    exact = only_first + only_second <= EXACT_UP_TO
    found = mcnemar([[both, only_first], [only_second, neither]], exact=exact, correction=True)
    return Disagreement(only_first, only_second, float(found.pvalue))


def comparisons(of: Evidence) -> pd.DataFrame:
    """Patch sizes against each other, and rules against the grid vote, in every seed.

    Returns:
        A row per comparison and seed: `first`, `second`, `seed`, `difference` of the accuracies,
        `only_first`, `only_second`, `p`, and `p_holm`, corrected for all rows (S. Holm, 1979).
    """
    rows = []
    for seed in of.seeds:
        for first, second in _pairs(of):
            one, other = (_right(of, question, seed) for question in (first, second))
            found = disagreement(one, other)
            names = {"first": _name(first), "second": _name(second), "seed": seed}
            difference = (found.only_first - found.only_second) / len(one)
            rows.append({**names, "difference": difference, **found._asdict()})
    table = pd.DataFrame(rows)
    if len(table):
        table["p_holm"] = multipletests(table["p"], method="holm")[1]
    return table


def _pairs(of: Evidence) -> list[tuple[Question, Question]]:
    votes = [of.whole()] * of.has_whole + [Question(size, "grid") for size in of.smaller]
    sizes = [(votes[b], votes[a]) for b in range(len(votes)) for a in range(b)]
    theta = min(of.study.voting.thetas)
    others = [("crops", None), ("confident", theta), ("mean_margin", None)]
    rules = [
        (Question(size, rule, theta=theta), Question(size, "grid"))
        for size in of.smaller
        for rule, theta in others
    ]
    return sizes + rules


def _right(of: Evidence, question: Question, seed: int) -> np.ndarray:
    return of.judged(question, seed)[1].right[0]


def _name(question: Question) -> str:
    rule = question.rule.replace("_", " ")
    if question.theta is not None:
        rule += f" θ = {question.theta:g}"
    return "whole image" if rule == "whole" else f"{question.patch_size} px, {rule}"
