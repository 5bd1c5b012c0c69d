"""The paper's claims C1 to C6, part by part: what each says, and the quantities it turns on.

Each quantity is one that the claim says is above zero; `lib.judging` has the rules by which they
come to a verdict. Nothing is tested where at no patch size a network judges patches better than
chance: what learned nothing tells nothing.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import NamedTuple

from lib import published
from lib.evidence import Comparison, Evidence, Question
from lib.judging import AS_WELL, all_above, some_differ, turns_on

CLAIMS = ("C1", "C2", "C3", "C4", "C5", "C6")
BEST = 32
"""The patch size that the paper finds best, px."""
COLLAPSED = 0.60
"""An accuracy so near to chance that a vote has collapsed; the paper's are 54.80 and 59.23 %."""


class Judgement(NamedTuple):
    """One part of a claim, judged on one family of networks."""

    claim: str
    says: str
    rule: str
    verdict: str
    comparisons: list[Comparison]
    decisive: Comparison | None
    """The quantity on which the verdict turns."""


class Part(NamedTuple):
    """One part of a claim."""

    claim: str
    says: str
    """In the paper's sense."""
    rule: str
    """What is looked at, in words."""
    compare: Callable[[Evidence], list[Comparison]]
    """The quantities; none if the study cannot test it."""
    decide: Callable[[Sequence[Comparison]], str]


def papers_spread() -> float:
    """The largest difference between patch sizes in the paper's Table 1, top-1: its "not much"."""
    top1 = published.tables().query("table == 1 and statistic == 'top1'")["value"]
    return float(top1.max() - top1.min())


def _pairs(of: Evidence) -> list[Comparison]:
    """The per-patch accuracies of all pairs of sizes, larger minus smaller size."""
    return [
        of.compare(f"{large} px − {small} px", lambda a, b: a - b, of.patch(large), of.patch(small))
        for number, large in enumerate(of.sizes)
        for small in of.sizes[number + 1 :]
    ]


def _little(of: Evidence) -> list[Comparison]:
    """By how much each pair of sizes differs less than the paper's do."""
    spread = papers_spread()
    return [
        of.compare(
            f"{100 * spread:.2f} − |{large} px − {small} px|",
            lambda a, b: spread - abs(a - b),
            of.patch(large),
            of.patch(small),
        )
        for number, large in enumerate(of.sizes)
        for small in of.sizes[number + 1 :]
    ]


def _best_patch(of: Evidence) -> list[Comparison]:
    return _best(of, of.sizes, of.patch)


def _best_vote(of: Evidence) -> list[Comparison]:
    return _best(of, of.smaller, lambda size: Question(size, "grid"))


def _best(of: Evidence, sizes: list[int], question: Callable[[int], Question]) -> list[Comparison]:
    """By how much the paper's best size beats each other one."""
    others = [size for size in sizes if size != BEST] if BEST in sizes else []
    return [
        of.compare(f"{BEST} px − {size} px", lambda a, b: a - b, question(BEST), question(size))
        for size in others
    ]


def _smaller_is_better(of: Evidence) -> list[Comparison]:
    return [
        of.compare(
            f"{small} px − {large} px",
            lambda a, b: a - b,
            Question(small, "grid"),
            Question(large, "grid"),
        )
        for large, small in pairwise(of.smaller)
    ]


def _beats_whole(of: Evidence, test: str | None = None) -> list[Comparison]:
    """By how much each size's grid vote beats the whole image, on a test cell."""
    where = f" on {test}" if test else ""
    return [
        of.compare(
            f"{size} px − whole image{where}",
            lambda a, b: a - b,
            Question(size, "grid", test),
            of.whole(test),
        )
        for size in (of.smaller if of.has_whole else [])
    ]


def _crops_do_as_well(of: Evidence) -> list[Comparison]:
    return [
        of.compare(
            f"{size} px: crops − grid + {100 * AS_WELL:.0f}",
            lambda a, b: a - b + AS_WELL,
            Question(size, "crops"),
            Question(size, "grid"),
        )
        for size in of.smaller
        if size in (32, 16)
    ]


def _crops_collapse(of: Evidence) -> list[Comparison]:
    return [
        of.compare(
            f"{size} px: {100 * COLLAPSED:.0f} − crops",
            lambda a: COLLAPSED - a,
            Question(size, "crops"),
        )
        for size in of.smaller
        if size in (128, 64)
    ]


def _confident_improves(of: Evidence) -> list[Comparison]:
    theta = min(of.study.voting.thetas)
    return [
        of.compare(
            f"{size} px: θ = {theta:g} − all patches",
            lambda a, b: a - b,
            Question(size, "confident", theta=theta),
            Question(size, "grid"),
        )
        for size in (of.smaller if theta < 1 else [])
    ]


def _closer_with_smaller_theta(of: Evidence) -> list[Comparison]:
    thetas = sorted(theta for theta in of.study.voting.thetas if theta < 1)
    if len(thetas) < 2:
        return []
    return [
        of.compare(
            f"{size} px: |θ = {thetas[-1]:g} − grid| − |θ = {thetas[0]:g} − grid|",
            lambda much, little, grid: abs(much - grid) - abs(little - grid),
            Question(size, "confident", theta=thetas[-1]),
            Question(size, "confident", theta=thetas[0]),
            Question(size, "grid"),
        )
        for size in of.smaller
    ]


def _elsewhere(of: Evidence, *, other_gan: bool) -> list[Comparison]:
    """The grid vote against the whole image on cells of the same generator, or of others."""
    gan = of.train.partition("-")[2]
    cells = [
        cell for cell in of.study.others(of.train) if (cell.partition("-")[2] != gan) == other_gan
    ]
    return [found for cell in cells for found in _beats_whole(of, cell)]


PARTS = (
    Part(
        "C1",
        "Per-patch accuracy differs with patch size",
        "some pair of sizes differs; contradicted if all lie within 1 point of each other",
        _pairs,
        some_differ,
    ),
    Part(
        "C1",
        "… but not by much",
        "every pair of sizes differs by less than the largest difference in the paper's Table 1",
        _little,
        all_above,
    ),
    Part(
        "C1",
        "… and 32 px is best",
        "32 px beats every other size, patch by patch",
        _best_patch,
        all_above,
    ),
    Part(
        "C2",
        "In the vote over the grid: the smaller the patch, the higher the accuracy",
        "every size beats the next larger one",
        _smaller_is_better,
        all_above,
    ),
    Part("C2", "… 32 px is best", "32 px beats every other size", _best_vote, all_above),
    Part(
        "C2",
        "… every patch size beats the whole image",
        "the grid vote of every size beats the whole image's network",
        _beats_whole,
        all_above,
    ),
    Part(
        "C3",
        "Random crops do as well as the grid at 32 and 16 px",
        "the crops' vote is less than 1 point worse than the grid's",
        _crops_do_as_well,
        all_above,
    ),
    Part(
        "C3",
        "… and collapse at 128 and 64 px",
        "the crops' vote is right in less than 60 % of images",
        _crops_collapse,
        all_above,
    ),
    Part(
        "C4",
        "Voting over confident patches improves on voting over all of them",
        "at the smallest θ, every size improves",
        _confident_improves,
        all_above,
    ),
    Part(
        "C4",
        "… the smaller θ, the closer to Experiment 2's result",
        "at every size, the smallest θ lies closer to the grid vote than the largest below 1",
        _closer_with_smaller_theta,
        all_above,
    ),
    Part(
        "C5",
        "Under other content, patches do better than the whole image",
        "on cells of the same generator, every size's grid vote beats the whole image's network",
        lambda of: _elsewhere(of, other_gan=False),
        all_above,
    ),
    Part(
        "C6",
        "Under another generator, patches do better than the whole image",
        "on cells of other generators, every size's grid vote beats the whole image's network",
        lambda of: _elsewhere(of, other_gan=True),
        all_above,
    ),
)


def judge(of: Evidence, claims: Sequence[str] = CLAIMS) -> list[Judgement]:
    """Judges every part of the named claims on one family of networks."""
    learned, found = bool(of.seeds) and _learned(of), []
    for part in PARTS:
        if part.claim in claims:
            comparisons = part.compare(of) if learned else []
            verdict = part.decide(comparisons)
            decisive = turns_on(comparisons, verdict, part.decide) if comparisons else None
            judgement = Judgement(part.claim, part.says, part.rule, verdict, comparisons, decisive)
            found.append(judgement)
    return found


def _learned(of: Evidence) -> bool:
    """Whether at any patch size single patches are judged better than by chance."""
    above = [of.compare("", lambda a: a - 0.5, of.patch(size)) for size in of.sizes]
    return any(found.interval()[0] > 0 for found in above)
