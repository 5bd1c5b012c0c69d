"""The paper's claims C1 to C6, part by part: what each says, and what it comes to.

`lib.results.claim_quantities` has the quantities that each turns on, `lib.results.claim_rules` the
rules by which they come to a finding. Nothing is tested where at no patch size a network is right
on patches more often than by chance: what learned nothing tells nothing.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import pandas as pd

from lib.results import claim_quantities as quantities
from lib.results.accuracies import Comparison, Family, MissingVerdicts
from lib.results.claim_rules import all_above, overall, some_differ, turns_on
from lib.study.study import PLAIN

CLAIMS = ("C1", "C2", "C3", "C4", "C5", "C6")
COLUMNS = [
    *("train", "variant", "claim", "says", "rule", "turns_on", "value", "low", "high", "seeds"),
    "finding",
]


class Part(NamedTuple):
    """One part of a claim."""

    claim: str
    says: str  # in the paper's sense
    rule: str  # what is looked at, in words
    compare: Callable[[Family], list[Comparison]]
    """The quantities; none if the study cannot test it."""
    decide: Callable[[Sequence[Comparison]], str] = all_above


class Finding(NamedTuple):
    """What one part of a claim comes to in one family of networks."""

    part: Part
    finding: str
    comparisons: list[Comparison]
    decisive: Comparison | None  # the quantity on which the finding turns


PARTS = (
    Part(
        "C1",
        "Per-patch accuracy differs with patch size",
        "some pair of sizes differs; contradicted if all lie within 1 point of each other",
        quantities.differences,
        some_differ,
    ),
    Part(
        "C1",
        "… but not by much",
        "every pair of sizes differs by less than the largest difference in the paper's Table 1",
        quantities.little,
    ),
    Part(
        "C1",
        "… and 32 px is best",
        "32 px beats every other size, patch by patch",
        lambda family: quantities.best(family, family.sizes, family.patch),
    ),
    Part(
        "C2",
        "In the vote over the grid: the smaller the patch, the higher the accuracy",
        "every size beats the next larger one",
        quantities.smaller_is_better,
    ),
    Part(
        "C2",
        "… 32 px is best",
        "32 px beats every other size",
        lambda family: quantities.best(family, family.smaller, family.image),
    ),
    Part(
        "C2",
        "… every patch size beats the whole image",
        "the grid vote of every size beats the whole image's network",
        quantities.beats_whole,
    ),
    Part(
        "C3",
        "Random crops do as well as the grid at 32 and 16 px",
        "the crops' vote is less than 1 point worse than the grid's",
        quantities.crops_do_as_well,
    ),
    Part(
        "C3",
        "… and collapse at 128 and 64 px",
        "the crops' vote is right in less than 60 % of images",
        quantities.crops_collapse,
    ),
    Part(
        "C4",
        "Voting over confident patches improves on voting over all of them",
        "at the smallest θ, every size improves",
        quantities.confident_improves,
    ),
    Part(
        "C4",
        "… the smaller θ, the closer to Experiment 2's result",
        "at every size, the smallest θ lies closer to the grid vote than the largest below 1",
        quantities.closer_with_smaller_theta,
    ),
    Part(
        "C5",
        "Under other content, patches do better than the whole image",
        "on cells of the same generator, every size's grid vote beats the whole image's network",
        lambda family: quantities.elsewhere(family, other_gan=False),
    ),
    Part(
        "C6",
        "Under another generator, patches do better than the whole image",
        "on cells of other generators, every size's grid vote beats the whole image's network",
        lambda family: quantities.elsewhere(family, other_gan=True),
    ),
)


def findings(family: Family, claims: Sequence[str] = CLAIMS) -> list[Finding]:
    """What every part of the named claims comes to in one family of networks."""
    learned = any(each.interval()[0] > 0 for each in _compare(family, quantities.above_chance))
    every = []
    for part in (part for part in PARTS if part.claim in claims):
        comparisons = _compare(family, part.compare) if learned else []
        finding = part.decide(comparisons)
        decisive = turns_on(comparisons, finding, part.decide) if comparisons else None
        every.append(Finding(part, finding, comparisons, decisive))
    return every


def _compare(family: Family, quantity: Callable[[Family], list[Comparison]]) -> list[Comparison]:
    """The quantities; none where no seed is finished, or a vote that they need was not taken."""
    try:
        return quantity(family) if family.seeds else []
    except MissingVerdicts:
        return []


def table(families: Sequence[Family]) -> pd.DataFrame:
    """All findings, tidy: a row per family, part of a claim, and claim (whose `says` is empty).

    Claims C1 and C2, which compare patch sizes, are tested in every family, so at equal images and
    at equal steps; the others in the plain protocol.
    """
    rows = []
    for family in families:
        plain = family.study.variant == PLAIN
        every = findings(family, CLAIMS if plain else CLAIMS[:2])
        key = {"train": family.train, "variant": family.study.variant, "seeds": len(family.seeds)}
        for claim in dict.fromkeys(each.part.claim for each in every):
            parts = [each for each in every if each.part.claim == claim]
            for part, finding, _, decisive in parts:
                line = {"claim": claim, "says": part.says, "rule": part.rule, "finding": finding}
                if decisive:
                    line |= {"turns_on": decisive.name, "value": decisive.value}
                    line |= dict(zip(("low", "high"), decisive.interval(), strict=True))
                rows.append(key | line)
            whole = overall([each.finding for each in parts])
            rows.append({**key, "claim": claim, "says": "", "finding": whole})
    return pd.DataFrame(rows, columns=COLUMNS)
