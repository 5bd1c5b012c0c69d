"""From a quantity and its interval to a verdict: when a claim counts as supported.

Every claim is put as quantities that it says are above zero, each with its interval over images
and seeds (`lib.evidence`). The rules were fixed before any report showed a verdict:

- *supported*: the 95 % interval of every quantity lies above zero, and so does every seed's own;
- *contradicted*: the interval of some quantity, widened for the number of quantities looked at
  (Bonferroni), lies below zero, and so does every seed's own;
- *undecided* otherwise, and *not tested* where there is nothing to look at.

A claim of several parts is contradicted if one part is, and supported if all are.
"""

from collections.abc import Callable, Sequence

from lib import metrics
from lib.evidence import Comparison

SUPPORTED, CONTRADICTED, UNDECIDED = "supported", "contradicted", "undecided"
NOT_TESTED = "not tested"
AS_WELL = 0.01
"""Two accuracies this near do as well as each other: one percentage point."""


def all_above(comparisons: Sequence[Comparison]) -> str:
    """Judges a claim that every quantity is above zero; see the head of this module."""
    if not comparisons:
        return NOT_TESTED
    if all(found.interval()[0] > 0 and min(found.seeds) > 0 for found in comparisons):
        return SUPPORTED
    if any(_wide(found, comparisons)[1] < 0 and max(found.seeds) < 0 for found in comparisons):
        return CONTRADICTED
    return UNDECIDED


def some_differ(comparisons: Sequence[Comparison]) -> str:
    """Judges a claim that some accuracies differ.

    Supported if some difference, its interval widened for their number, excludes zero with all
    seeds on one side; contradicted if all lie within one percentage point.
    """
    if not comparisons:
        return NOT_TESTED
    for found in comparisons:
        low, high = _wide(found, comparisons)
        if (low > 0 and min(found.seeds) > 0) or (high < 0 and max(found.seeds) < 0):
            return SUPPORTED
    intervals = [found.interval() for found in comparisons]
    near = all(low > -AS_WELL and high < AS_WELL for low, high in intervals)
    return CONTRADICTED if near else UNDECIDED


def turns_on(
    comparisons: Sequence[Comparison], verdict: str, decide: Callable[..., str]
) -> Comparison:
    """The quantity that a verdict turns on, to be shown beside it.

    Of those that should all be above zero, the one that is most surely below if the claim is
    contradicted, else the one that might lie lowest; of differences, the one surest not to be zero.
    """
    if decide is some_differ:
        return max(comparisons, key=lambda found: max(found.interval()[0], -found.interval()[1]))
    return min(comparisons, key=lambda found: found.interval()[verdict == CONTRADICTED])


def _wide(found: Comparison, comparisons: Sequence[Comparison]) -> tuple[float, float]:
    """The interval at the level that Bonferroni asks for."""
    return found.interval(1 - (1 - metrics.LEVEL) / len(comparisons))


def overall(verdicts: Sequence[str]) -> str:
    """The verdict on a claim, from those on its parts."""
    if CONTRADICTED in verdicts:
        return CONTRADICTED
    return verdicts[0] if len(set(verdicts)) == 1 else UNDECIDED
