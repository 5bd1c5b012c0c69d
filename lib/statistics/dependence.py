"""How many independent votes an image's patches are worth, and what independent ones would give.

The errors of one image's patches go together, so P patches are worth fewer than P votes. How much
they go together is their intraclass correlation ρ, and the patches are worth P / (1 + (P − 1) ρ)
votes (the design effect: L. Kish, "Survey Sampling", 1965).
"""

import numpy as np
from scipy.stats import betabinom, binom


def error_correlation(right: np.ndarray, labels: np.ndarray) -> float:
    """The intraclass correlation of the patches' errors within an image, of its class.

    The analysis-of-variance estimate for binary outcomes in clusters of equal size; images are
    compared with those of their own class (M. S. Ridout, C. G. B. Demétrio, D. Firth, "Estimating
    intraclass correlation for binary data", Biometrics 1999).

    `right` is bool (N, P), P ≥ 2: whether each patch is judged rightly. ρ is at most 1, and about 0
    if errors are independent; NaN if no patch errs, or all do, or no class has two images.
    """
    images, patches = right.shape
    shares = right.mean(axis=1)  # (N,)
    present = np.unique(labels)
    if images == len(present):
        return float("nan")
    between = sum(
        np.square(shares[labels == label] - shares[labels == label].mean()).sum()
        for label in present
    )
    between *= patches / (images - len(present))
    within = (shares * (1 - shares)).sum() * patches / (images * (patches - 1))
    total = between + (patches - 1) * within
    return float((between - within) / total) if total > 0 else float("nan")


def effective_votes(patches: int, correlation: float) -> float:
    """How many independent votes `patches` votes with this correlation are worth, 1 to P."""
    correlation = min(max(correlation, 0.0), 1.0)  # below 0 by chance alone
    return patches / (1 + (patches - 1) * correlation)


def expected_vote(right: np.ndarray, labels: np.ndarray, correlation: float = 0.0) -> float:
    """The accuracy of a majority vote, ties fake, if all images of a class were equally hard.

    The number of an image's right votes is binomial, or with a correlation of its patches (bool
    (N, P), judged rightly or not) beta-binomial with that intraclass correlation.
    """
    patches, expected = right.shape[1], 0.0
    for label in np.unique(labels):
        members = right[labels == label]
        accuracy = members.mean()
        enough = -(-patches // 2) if label else patches // 2 + 1  # right votes: a tie is fake
        expected += len(members) * _at_least(enough, patches, accuracy, correlation)
    return float(expected / len(right))


def _at_least(enough: int, votes: int, accuracy: float, correlation: float) -> float:
    if correlation <= 0:
        return float(binom.sf(enough - 1, votes, accuracy))
    if correlation >= 1 or accuracy in (0.0, 1.0):
        return float(accuracy)
    spread = (1 - correlation) / correlation
    return float(betabinom.sf(enough - 1, votes, accuracy * spread, (1 - accuracy) * spread))
