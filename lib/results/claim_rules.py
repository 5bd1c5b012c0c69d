"""From quantities and their intervals to a finding: when a claim counts as supported.

Every claim is put as quantities that it says are above zero, each with its interval over images
and seeds (`lib.results.accuracies`). The rules were fixed before any report showed a finding:

- *supported*: the 95 % interval of every quantity lies above zero, and so does every seed's own;
- *contradicted*: the interval of some quantity, widened for the number of quantities looked at
  (Bonferroni), lies below zero, and so does every seed's own;
- *undecided* otherwise, and *not tested* where there is nothing to look at.

A claim of several parts is contradicted if one part is, and supported if all are.
"""

from collections.abc import Callable, Sequence

from lib.results.accuracies import Comparison
from lib.statistics import bootstrap

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
NOT_TESTED = "not tested"
AS_WELL = 0.01
"""Two accuracies this near do as well as each other: one percentage point."""


def all_above(comparisons: Sequence[Comparison]) -> str:
    """The finding on a claim that every quantity is above zero; see the head of this module."""
    if not comparisons:
        return NOT_TESTED
    if all(each.interval()[0] > 0 and min(each.seeds) > 0 for each in comparisons):
        return SUPPORTED
    if any(_wide(each, comparisons)[1] < 0 and max(each.seeds) < 0 for each in comparisons):
        return CONTRADICTED
    return UNDECIDED


def some_differ(comparisons: Sequence[Comparison]) -> str:
    """The finding on a claim that some accuracies differ.

    Supported if some difference, its interval widened for their number, excludes zero with all
    seeds on one side; contradicted if all lie within one percentage point.
    """
    if not comparisons:
        return NOT_TESTED
    for each in comparisons:
        low, high = _wide(each, comparisons)
        if (low > 0 and min(each.seeds) > 0) or (high < 0 and max(each.seeds) < 0):
            return SUPPORTED
    intervals = (each.interval() for each in comparisons)
    near = all(low > -AS_WELL and high < AS_WELL for low, high in intervals)
    return CONTRADICTED if near else UNDECIDED


def turns_on(
    comparisons: Sequence[Comparison], finding: str, decide: Callable[..., str]
) -> Comparison:
    """The quantity that a finding turns on, to be shown beside it.

    Of those that should all be above zero, the one that is most surely below if the claim is
    contradicted, else the one that might lie lowest; of differences, the one surest not to be zero.
    """
    if decide is some_differ:
        return max(comparisons, key=lambda each: max(each.interval()[0], -each.interval()[1]))
    return min(comparisons, key=lambda each: each.interval()[finding == CONTRADICTED])


def _wide(each: Comparison, comparisons: Sequence[Comparison]) -> tuple[float, float]:
    """The interval at the level that Bonferroni asks for."""
    return each.interval(1 - (1 - bootstrap.LEVEL) / len(comparisons))


def overall(findings: Sequence[str]) -> str:
    """The finding on a claim, from those on its parts."""
    if CONTRADICTED in findings:
        return CONTRADICTED
    return findings[0] if len(set(findings)) == 1 else UNDECIDED
