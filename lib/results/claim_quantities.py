"""The quantities that the paper's claims turn on: each is one that its claim says is above zero."""

from collections.abc import Callable
from itertools import combinations, pairwise
from operator import sub

import numpy as np

from lib.published import paper
from lib.results.accuracies import Comparison, Family, Question
from lib.results.claim_rules import AS_WELL
from lib.study.schema import split_cell

BEST = 32
"""The patch size that the paper finds best, px."""
COLLAPSED = 0.60
"""An accuracy so near to chance that a vote has collapsed; the paper's are 54.80 and 59.23 %."""


def papers_spread() -> float:
    """The largest difference between patch sizes in the paper's Table 1, top-1: its "not much"."""
    top1 = paper.tables().query("table == 1 and statistic == 'top1'")["value"]
    return float(top1.max() - top1.min())


def above_chance(family: Family) -> list[Comparison]:
    """By how much single patches of each size are right more often than by chance."""
    return [
        family.compare(f"{size} px − 50", lambda a: a - 0.5, family.patch(size))
        for size in family.sizes
    ]


def differences(family: Family) -> list[Comparison]:
    """The per-patch accuracies of all pairs of sizes, larger minus smaller size."""
    return [
        family.compare(f"{large} px − {small} px", sub, family.patch(large), family.patch(small))
        for large, small in combinations(family.sizes, 2)
    ]


def little(family: Family) -> list[Comparison]:
    """By how much each pair of sizes differs less than the paper's do."""
    most = papers_spread()
    return [
        Comparison(
            f"{100 * most:.2f} − |{name}|", most - abs(draws), tuple(most - abs(np.array(seeds)))
        )
        for name, draws, seeds in differences(family)
    ]


def best(family: Family, sizes: list[int], question: Callable[[int], Question]) -> list[Comparison]:
    """By how much the paper's best size beats each other one."""
    return [
        family.compare(f"{BEST} px − {size} px", sub, question(BEST), question(size))
        for size in sizes
        if BEST in sizes and size != BEST
    ]


def smaller_is_better(family: Family) -> list[Comparison]:
    """By how much the grid vote of each size beats that of the next larger one."""
    return [
        family.compare(f"{small} px − {large} px", sub, family.image(small), family.image(large))
        for large, small in pairwise(family.smaller)
    ]


def beats_whole(family: Family, test: str | None = None) -> list[Comparison]:
    """By how much each size's grid vote beats the whole image, on a test cell."""
    where, whole = f" on {test}" if test else "", family.whole(test)
    return [
        family.compare(f"{size} px − whole image{where}", sub, family.image(size, test), whole)
        for size in (family.smaller if family.has_whole else [])
    ]


def crops_do_as_well(family: Family) -> list[Comparison]:
    """How far the crops' vote is from being a point worse than the grid's, at 32 and 16 px."""
    return [
        family.compare(
            f"{size} px: crops − grid + {100 * AS_WELL:.0f}",
            lambda a, b: a - b + AS_WELL,
            *(Question(size, rule) for rule in ("crops", "grid")),
        )
        for size in family.smaller
        if size in (32, 16)
    ]


def crops_collapse(family: Family) -> list[Comparison]:
    """How far the crops' vote is below what counts as collapsed, at 128 and 64 px."""
    name = f"{100 * COLLAPSED:.0f} − crops"
    return [
        family.compare(f"{size} px: {name}", lambda a: COLLAPSED - a, Question(size, "crops"))
        for size in family.smaller
        if size in (128, 64)
    ]


def confident_improves(family: Family) -> list[Comparison]:
    """By how much the confident patches' vote at the smallest θ beats that of all."""
    theta = min(family.study.voting.thetas)
    return [
        family.compare(
            f"{size} px: θ = {theta:g} − all patches",
            sub,
            Question(size, "confident", theta=theta),
            Question(size, "grid"),
        )
        for size in (family.smaller if theta < 1 else [])
    ]


def closer_with_smaller_theta(family: Family) -> list[Comparison]:
    """By how much the smallest θ lies closer to the grid vote than the largest below 1."""
    thetas = sorted(theta for theta in family.study.voting.thetas if theta < 1)
    extremes = [thetas[-1], thetas[0]] if len(thetas) > 1 else []
    return [
        family.compare(
            f"{size} px: " + " − ".join(f"|θ = {theta:g} − grid|" for theta in extremes),
            lambda much, little, grid: abs(much - grid) - abs(little - grid),
            *(Question(size, "confident", theta=theta) for theta in extremes),
            Question(size, "grid"),
        )
        for size in (family.smaller if extremes else [])
    ]


def elsewhere(family: Family, *, other_gan: bool) -> list[Comparison]:
    """The grid vote against the whole image on cells of the same generator, or of others."""
    gan = split_cell(family.train)[1]
    others = family.study.others(family.train)
    cells = [cell for cell in others if (split_cell(cell)[1] != gan) == other_gan]
    return [each for cell in cells for each in beats_whole(family, cell)]
