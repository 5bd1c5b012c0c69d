"""From quantities and their intervals to a finding: when a claim counts as supported.

Every claim is put as quantities that it says are above a bound, each with its interval over images
and seeds (`lib.results.accuracies`). The rules were fixed before any report showed a finding, on
the paper's own numbers and in simulation (`python -m benchmarks.claim_rules`); what chance is,
which generators are one and how short an interval may be were corrected later (CHANGELOG.md):

- *supported*: the 92 % interval of every quantity lies above its bound, so that it errs in about 4
  of 100 studies in which one is no more than its bound;
- *contradicted*: the interval of some quantity, widened for the number of quantities looked at
  (Bonferroni), lies below its bound;
- *undecided* otherwise; *not judged* with fewer than three training seeds, since two tell nearly
  nothing of how training varies; and *not tested* where there is nothing to look at.

A claim of several parts is contradicted if one part is, and supported if all are.
"""

from collections.abc import Callable, Sequence

from lib.results.comparison import ONE_SIDED, Comparison
from lib.statistics import bootstrap

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
NOT_JUDGED, NOT_TESTED = "not judged", "not tested"
FINDINGS = (SUPPORTED, CONTRADICTED, UNDECIDED, NOT_JUDGED, NOT_TESTED)
LEAST_SEEDS = 3
AS_WELL = 0.01
"""Two accuracies this near do as well as each other: one percentage point."""
ALIKE = 0.02
"""Sizes all this near do not differ: two points, well below the 5.48 between the paper's own."""


def all_above(comparisons: Sequence[Comparison]) -> str:
    """The finding on a claim that every quantity is above its bound; see this module's head."""
    if not comparisons:
        return NOT_TESTED
    if all(each.interval(ONE_SIDED)[0] > each.bound for each in comparisons):
        return SUPPORTED
    wide = 1 - (1 - ONE_SIDED) / len(comparisons)
    below = any(each.interval(wide)[1] < each.bound for each in comparisons)
    return CONTRADICTED if below else UNDECIDED


def some_differ(comparisons: Sequence[Comparison]) -> str:
    """The finding on a claim that some of them differ.

    Supported if some difference, its interval widened for their number, excludes zero;
    contradicted if all lie within `ALIKE`.
    """
    if not comparisons:
        return NOT_TESTED
    wide = [each.interval(support_level(comparisons, some_differ)) for each in comparisons]
    if any(low > 0 or high < 0 for low, high in wide):
        return SUPPORTED
    intervals = (each.interval(ONE_SIDED) for each in comparisons)
    near = all(low > -ALIKE and high < ALIKE for low, high in intervals)
    return CONTRADICTED if near else UNDECIDED


def support_level(comparisons: Sequence[Comparison], decide: Callable[..., str]) -> float:
    """The level of the intervals by which such a claim is supported."""
    if decide is some_differ:
        return 1 - (1 - bootstrap.LEVEL) / len(comparisons)  # both sides count
    return ONE_SIDED


def turns_on(
    comparisons: Sequence[Comparison], finding: str, decide: Callable[..., str]
) -> Comparison:
    """The quantity that a finding turns on, to be shown beside it.

    Of those that should all be above a bound, the one that is most surely below if the claim is
    contradicted, else the one that might lie lowest; of differences, the one surest not to be zero.
    """

    def ends(each: Comparison) -> tuple[float, float]:
        return each.interval(ONE_SIDED)

    if decide is some_differ:
        return max(comparisons, key=lambda each: max(ends(each)[0], -ends(each)[1]))
    return min(comparisons, key=lambda each: ends(each)[finding == CONTRADICTED] - each.bound)


def overall(findings: Sequence[str]) -> str:
    """The finding on a claim, from those on its parts."""
    if CONTRADICTED in findings:
        return CONTRADICTED
    if NOT_JUDGED in findings:
        return NOT_JUDGED
    return findings[0] if len(set(findings)) == 1 else UNDECIDED
