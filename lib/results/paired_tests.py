"""Patch sizes against each other, and rules against the grid vote, on the same images."""

from itertools import combinations

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests

from lib.results.accuracies import Family, MissingVerdicts, Outcomes, Question
from lib.statistics.paired import disagreement
from lib.voting.rules import title

COLUMNS = ["first", "second", "seed", "difference", "only_first", "only_second", "p"]


def comparisons(family: Family) -> pd.DataFrame:
    """McNemar's test of every pair, in every seed, at the validated epoch: a row each.

    Where seeds are folds there is one test, of the images of all of them, and `seed` is the first.
    Images that one of the two leaves out are left out.
    `difference` is that of the accuracies; `p_holm` is corrected for all rows (S. Holm, 1979).
    """
    rows, seeds = [], family.seeds
    together = [seeds] * bool(seeds) if family.study.data.folds else [[seed] for seed in seeds]
    for (seed, *_), tested in zip(together, together, strict=True):
        for first, second in _pairs(family):
            try:
                sides = [[family.of_seed(of, seed) for seed in tested] for of in (first, second)]
            except MissingVerdicts:
                continue
            one, other = (np.concatenate([said.right[0] for said in side]) for side in sides)
            counted = [np.concatenate([_counted(said) for said in side]) for side in sides]
            one, other = one[counted[0] & counted[1]], other[counted[0] & counted[1]]
            test = disagreement(one, other)
            difference = (test.only_first - test.only_second) / len(one)
            rows.append((_name(first), _name(second), seed, difference, *test))
    table = pd.DataFrame(rows, columns=COLUMNS)
    if len(table):
        table["p_holm"] = multipletests(table["p"], method="holm")[1]
    return table


def _counted(said: Outcomes) -> np.ndarray:
    return np.ones(len(said.labels), bool) if said.counted is None else said.counted[0]


def _pairs(family: Family) -> list[tuple[Question, Question]]:
    images = [family.image(size) for size in family.sizes]
    against = [(second, first) for first, second in combinations(images, 2)]
    against.sort(key=lambda pair: [-question.patch_size for question in pair])
    theta = min(family.study.voting.thetas)
    others = [("crops", None), ("confident", theta), ("mean_margin", None)]
    return against + [
        (Question(size, rule, theta=theta), Question(size, "grid"))
        for size in family.smaller
        for rule, theta in others
    ]


def _name(question: Question) -> str:
    if question.rule == "whole":
        return "whole image"
    at = "" if question.theta is None else f", θ = {question.theta:g}"
    return f"{question.patch_size} px, {title(question.rule)}{at}"
