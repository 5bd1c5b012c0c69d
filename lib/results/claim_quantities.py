"""The quantities that the paper's claims turn on: each is one that its claim puts above a bound.

The paper's sizes are px of an image of 256 px. Of smaller images a size counts as the paper's size
that is the same share of the image's side. Sizes whose networks learned nothing are left out.
"""

from collections.abc import Callable, Iterable
from itertools import combinations, pairwise

import numpy as np

from lib.results.accuracies import Family, Question
from lib.results.claim_rules import AS_WELL
from lib.results.comparison import Comparison
from lib.statistics import bootstrap
from lib.study.schema import split_cell

BEST = 32
"""The patch size that the paper finds best, px of 256."""
LITTLE = 0.10
"""Sizes nearer to each other than this differ "not by much": a fifth of what lies between chance
and perfection, nearly twice the 5.48 points between the paper's own sizes in its Table 1."""
CEILING = 0.995
"""From here on a measure leaves nothing to improve on: another need only do as well."""


def differences(family: Family) -> list[Comparison]:
    """The per-patch measures of all pairs of sizes, larger minus smaller size."""
    what, patch = "a single patch of", family.patch
    return [
        _less(family, f"{what} {large} px", f"one of {small} px", patch(large), patch(small))
        for large, small in combinations(family.learned, 2)
    ]


def little(family: Family) -> list[Comparison]:
    """The same differences both ways about, each of which is to be less than `LITTLE`."""
    one = [each._replace(bound=-LITTLE) for each in differences(family)]
    return one + [each._replace(draws=-each.draws, words=each.words[::-1]) for each in one]


def best(
    family: Family, sizes: list[int], question: Callable[[int], Question], what: str
) -> list[Comparison]:
    """The paper's best size against each other one, and against the mean of the others.

    It is to be above their mean, and less than a point below any.
    """
    (own,) = [size for size in sizes if family.study.in_paper(size) == BEST] or [None]
    others = [size for size in sizes if size != own]
    if own is None or not others:
        return []
    against = {"the mean of the other sizes": others, **{f"that of {p} px": [p] for p in others}}
    mean, *each = (
        _less(family, f"{what} {own} px", name, question(own), *map(question, those))
        for name, those in against.items()
    )
    return [mean, *_nearly(each)]


def smaller_is_better(family: Family) -> list[Comparison]:
    """The grid vote of the smallest size against the largest, and of each against the next larger.

    The first is to be above zero, the others less than a point below.
    """
    sizes, image = several(family), family.image
    ends = [(sizes[0], sizes[-1])] if len(sizes) > 1 else []
    every = [*ends, *(pairwise(sizes) if len(sizes) > 2 else [])]
    against = [
        _less(family, f"the vote at {small} px", f"that of {large} px", image(small), image(large))
        for large, small in every
    ]
    return against[:1] + _nearly(against[1:])


def beats_whole(family: Family, test: str | None = None) -> list[Comparison]:
    """Each size's grid vote against the whole image, on a test cell."""
    where = f"the whole image on {test}" if test else "the whole image’s network"
    whole = family.whole(test)
    if family.study.data.image_size not in family.learned:
        return []
    return [
        _less(family, f"the vote at {size} px", where, family.image(size, test), whole)
        for size in several(family)
    ]


def crops_do_as_well(family: Family) -> list[Comparison]:
    """The crops' vote against the grid's at 32 and 16 px: less than a point below."""
    over_crops, grid = "the vote over crops at {} px", "that over the grid"
    return _nearly(
        _less(family, over_crops.format(size), grid, Question(size, "crops"), family.image(size))
        for size in several(family)
        if family.study.in_paper(size) in (32, 16)
    )


def crops_collapse(family: Family) -> list[Comparison]:
    """How far the crops' vote is below half of what the grid's has above chance, at 128, 64 px.

    Sizes whose grid is not above chance have nothing to lose, and are left out.
    """
    sizes = [size for size in several(family) if family.study.in_paper(size) in (128, 64)]
    chance = chance_of(family, Question(sizes[0], "grid")) if sizes else np.nan
    return [
        family.compare(
            f"what the vote over crops at {size} px has above chance lies {{}} half of what that "
            "over the grid has",
            lambda grid, crops: (grid - chance) / 2 - (crops - chance),
            *(Question(size, rule) for rule in ("grid", "crops")),
            words=("below", "above"),
        )
        for size in sizes
        if bootstrap.interval(family.pooled(Question(size, "grid"))[1:])[0] > chance
    ]


def chance_of(family: Family, question: Question) -> float:
    """What one answer for every image reaches: by accuracy the larger class's share."""
    if family.measure == "auc":
        return 0.5
    share = np.mean([family.of_seed(question, seed).labels.mean() for seed in family.seeds])
    return float(max(share, 1 - share))


def confident_improves(family: Family) -> list[Comparison]:
    """The confident patches' vote at the smallest θ against that of all."""
    theta = min(family.study.voting.thetas)
    what = f"the vote of confident patches (θ = {theta:g}) at {{}} px"
    return [
        _less(family, what.format(size), "that of all", confident, family.image(size))
        for size in (several(family) if theta < 1 else [])
        for confident in [Question(size, "confident", theta=theta)]
    ]


def closer_with_smaller_theta(family: Family) -> list[Comparison]:
    """By how much the smallest θ lies closer to the grid vote than the largest below 1."""
    thetas = sorted(theta for theta in family.study.voting.thetas if theta < 1)
    much, little = (thetas[-1], thetas[0]) if len(thetas) > 1 else (None, None)
    return [
        family.compare(
            f"at {size} px θ = {little:g} lies {{}} the grid's vote than θ = {much:g}",
            lambda much, little, grid: abs(much - grid) - abs(little - grid),
            *(Question(size, "confident", theta=theta) for theta in (much, little)),
            Question(size, "grid"),
            words=("nearer to", "farther from"),
            bound=_bound(family, Question(size, "grid")),
        )
        for size in (several(family) if much else [])
    ]


def elsewhere(family: Family, *, other_gan: bool) -> list[Comparison]:
    """The grid vote against the whole image on cells of the same generator, or of others.

    Of two of which one is called by the other's name and more, as `stylegan2_ada`, one is a variant
    of the other: they are the same. Where neither beats chance on a cell, they are not compared.
    """
    gan = f"{split_cell(family.train)[1]}_"
    others = family.study.others(family.train)
    names = {cell: f"{split_cell(cell)[1]}_" for cell in others}
    same = [cell for cell, name in names.items() if name.startswith(gan) or gan.startswith(name)]
    cells = [cell for cell in others if (cell not in same) == other_gan]
    auc = family.by("auc")
    return [
        each
        for cell in cells
        for size, each in zip(several(family), beats_whole(family, cell), strict=False)
        for sides in [(family.image(size, cell), family.whole(cell))]
        if any(bootstrap.interval(auc.pooled(side)[1:])[0] > 0.5 for side in sides)
    ]


def several(family: Family) -> list[int]:
    """The sizes that learned and in which an image has several patches, from large to small."""
    return [size for size in family.learned if size < family.study.data.image_size]


def _nearly(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """The same, of which each is to be less than a point below zero."""
    return [each._replace(bound=-AS_WELL) for each in comparisons]


def _less(family: Family, first: str, second: str, one: Question, *others: Question) -> Comparison:
    """One measure minus another, or minus the mean of others; to be above zero.

    Where the others are at the ceiling it is to be less than a point below.
    """
    verb, words = "has an AUC {}", ("above", "below")
    if family.measure == "accuracy":
        verb, words = "is right {} often than", ("more", "less")
    less = lambda one, *others: one - sum(others) / len(others)  # noqa: E731
    bound, text = _bound(family, *others), f"{first} {verb} {second}"
    return family.compare(text, less, one, *others, words=words, bound=bound)


def _bound(family: Family, *others: Question) -> float:
    """What is to be exceeded; where one of those that are compared with is at the ceiling, less."""
    full = max(family.pooled(other)[0] for other in others) >= CEILING
    return -AS_WELL if full else 0.0
