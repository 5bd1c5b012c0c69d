"""The paper's claims C1 to C6, part by part: what each says, and what it comes to.

`lib.results.claim_quantities` has the quantities that each turns on, `lib.results.claim_rules` the
rules by which they come to a finding. All are judged twice, on accuracy, as the paper does, and on
ranking (the AUC), since a threshold that drifts can turn one round and not the other. What a vote
ranks images by is its share of fake patches, so that the AUC knows nothing of the threshold of
images, and keeps that of patches.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

import pandas as pd

from lib.results import claim_quantities as quantities
from lib.results import claim_rules as rules
from lib.results.accuracies import MEASURES, Family, MissingVerdicts
from lib.results.comparison import ONE_SIDED, Comparison
from lib.study.study import PLAIN

CLAIMS = ("C1", "C2", "C3", "C4", "C5", "C6")
NUMBERS = ["value", "low", "high", "bound", "detectable"]
COLUMNS = [
    *("train", "variant", "claim", "says", "rule", "measure", "turns_on", *NUMBERS, "seeds"),
    "finding",
]


class Part(NamedTuple):
    """One part of a claim."""

    claim: str
    says: str  # in the paper's sense
    rule: str  # what is looked at, in words
    compare: Callable[[Family], list[Comparison]]
    """The quantities; none if the study cannot test it."""
    decide: Callable[[Sequence[Comparison]], str] = rules.all_above


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
        "some pair of sizes differs; contradicted if all lie within 2 points of each other",
        quantities.differences,
        rules.some_differ,
    ),
    Part(
        "C1",
        "… but not by much",
        f"every pair of sizes differs by less than {100 * quantities.LITTLE:.0f} points, a fifth "
        "of the way from chance to 100 %; the paper's differ by up to 5.48",
        quantities.little,
    ),
    Part(
        "C1",
        "… and 32 px is best",
        "32 px is above the mean of the other sizes, and less than 1 point below any",
        lambda family: quantities.best(family, family.learned, family.patch, "a single patch of"),
    ),
    Part(
        "C2",
        "In the vote over the grid: the smaller the patch, the higher the accuracy",
        "the smallest size beats the largest, and none is 1 point below the next larger one",
        quantities.smaller_is_better,
    ),
    Part(
        "C2",
        "… 32 px is best",
        "32 px is above the mean of the other sizes, and less than 1 point below any",
        lambda family: quantities.best(
            family, quantities.several(family), family.image, "the vote at"
        ),
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
        "the crops' vote is less than 1 point below the grid's",
        quantities.crops_do_as_well,
    ),
    Part(
        "C3",
        "… and collapse at 128 and 64 px",
        "the crops' vote has less than half of what the grid's has above chance, which is what one "
        "answer for all images gets",
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
"""Wherever the measure that is compared with is at the ceiling (99.5 %), as good within 1 point is
enough."""


def findings(
    family: Family,
    claims: Sequence[str] = CLAIMS,
    measure: str = MEASURES[0],
    least_seeds: int = rules.LEAST_SEEDS,
) -> list[Finding]:
    """What every part of the named claims comes to in one family of networks, by one measure."""
    every, family = [], family.by(measure)
    for part in (part for part in PARTS if part.claim in claims):
        comparisons: list[Comparison] = []
        with suppress(MissingVerdicts):  # a vote that it needs was not taken
            comparisons = part.compare(family) if family.seeds else []
        finding = part.decide(comparisons)
        if comparisons and len(family.seeds) < least_seeds:
            finding = rules.NOT_JUDGED
        decisive = rules.turns_on(comparisons, finding, part.decide) if comparisons else None
        every.append(Finding(part, finding, comparisons, decisive))
    return every


def table(
    families: Sequence[Family], measures: Sequence[str] = MEASURES, **how: int
) -> pd.DataFrame:
    """All findings, tidy: a row per family, measure, part of a claim, and claim.

    The rows of whole claims have no `says`. Claims C1 and C2, which compare patch sizes, are tested
    in every family, so at equal images and at equal steps; the others in the plain protocol. `how`
    is given on to `findings`.
    """
    rows = []
    for family, measure in ((family, measure) for family in families for measure in measures):
        named = CLAIMS if family.study.variant == PLAIN else CLAIMS[:2]
        every = findings(family, named, measure, **how)
        key = {"train": family.train, "variant": family.study.variant, "measure": measure}
        key["seeds"] = len(family.seeds)
        for claim in dict.fromkeys(each.part.claim for each in every):
            parts = [each for each in every if each.part.claim == claim]
            for part, finding, comparisons, decisive in parts:
                line = {"claim": claim, "says": part.says, "rule": part.rule, "finding": finding}
                if decisive:
                    numbers = decisive.value, *decisive.interval(ONE_SIDED), decisive.bound
                    level = rules.support_level(comparisons, part.decide)
                    numbers += (decisive.detectable(level),)
                    line |= {"turns_on": decisive.said, **dict(zip(NUMBERS, numbers, strict=True))}
                rows.append(key | line)
            whole = rules.overall([each.finding for each in parts])
            rows.append({**key, "claim": claim, "says": "", "finding": whole})
    return pd.DataFrame(rows, columns=COLUMNS)
