"""From margins to verdicts: the voting rules, pure functions of arrays.

The margin of a patch is z = logit(fake) − logit(real); a patch is judged fake iff z > 0. A rule
gives every image a score, and the image is fake iff the score reaches the rule's threshold, so
that ties are fake.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.special import expit

THRESHOLDS = {
    "whole": np.nextafter(0.0, 1.0),  # the one patch's margin, fake iff z > 0
    "grid": 0.5,
    "crops": 0.5,
    "confident": 0.5,
    "mean_margin": 0.0,
    "mean_probability": 0.5,
}
"""The score at which each rule judges an image fake."""


class ConfidentVote(NamedTuple):
    """What the vote of the confident patches gives, per epoch and image."""

    scores: np.ndarray
    """float64 (E, N): the share of fake patches among those that vote."""
    kept: np.ndarray
    """int32 (E, N): how many patches are confident."""

    @property
    def fallback(self) -> np.ndarray:
        """bool (E, N): the images without a confident patch, in which all patches vote."""
        return self.kept == 0


def share_fake(margins: np.ndarray) -> np.ndarray:
    """The share of an image's patches that are judged fake: the majority vote's score.

    Args:
        margins: (…, P).

    Returns:
        float64 (…,), in [0, 1].
    """
    return _count(margins > 0) / margins.shape[-1]


def mean_margin(margins: np.ndarray) -> np.ndarray:
    """The mean margin of an image's patches, float64 (…,), of margins (…, P)."""
    return margins.mean(axis=-1, dtype=np.float64)


def mean_probability(margins: np.ndarray) -> np.ndarray:
    """The mean of P(fake) = sigmoid(z) over an image's patches, float64 (…,), of margins (…, P)."""
    means = np.empty(margins.shape[:-1])
    for epoch in np.ndindex(margins.shape[:-2]):  # by epoch, to keep the temporaries small
        means[epoch] = expit(margins[epoch], dtype=np.float64).mean(axis=-1)
    return means


def whole_margin(margins: np.ndarray) -> np.ndarray:
    """The margin of the one patch that is the whole image: float64 (…,), of margins (…, 1)."""
    if margins.shape[-1] != 1:
        raise ValueError(f"a whole image is one patch, got margins of shape {margins.shape}")
    return margins[..., 0].astype(np.float64)


SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "whole": whole_margin,
    "grid": share_fake,
    "crops": share_fake,
    "mean_margin": mean_margin,
    "mean_probability": mean_probability,
}
"""The rules in which every patch votes: margins (…, P) to scores (…,)."""


def verdicts(scores: np.ndarray, rule: str) -> np.ndarray:
    """bool, of the scores' shape: True where the rule judges the image fake.

    Raises:
        ValueError: for an unknown rule.
    """
    if rule not in THRESHOLDS:
        raise ValueError(f"rule: got {rule!r}, must be one of {', '.join(THRESHOLDS)}")
    return scores >= THRESHOLDS[rule]


def share_cuts(confidence: np.ndarray, thetas: list[float]) -> list[float]:
    """Where to cut so that the top share θ of the patches is kept, ties included.

    The paper's reading of θ: with k = floor(θ·n + 0.5), the k-th largest |z| of the n patches.

    Args:
        confidence: |z|, any shape, n values.
        thetas: shares in (0, 1].

    Returns:
        The cut of each θ; patches with |z| ≥ cut are kept. Infinite, none kept, where k = 0.

    Raises:
        ValueError: for a θ outside (0, 1].
    """
    n = confidence.size
    for theta in thetas:
        if not 0 < theta <= 1:
            raise ValueError(f"theta: got {theta}, must lie in (0, 1]: the share of patches kept")
    ranks = [int(np.floor(theta * n + 0.5)) for theta in thetas]
    ordered = np.sort(confidence, axis=None)  # faster than numpy's partition at several ranks
    return [float(ordered[n - k]) if k > 0 else np.inf for k in ranks]


def confident(margins: np.ndarray, thetas: list[float]) -> dict[float, ConfidentVote]:
    """The vote of the confident patches alone (Experiment 4).

    Confidence is |P(real) − P(fake)| = tanh(|z|/2), which grows with |z|. The cut is taken per
    epoch over all patches of the split. An image with no confident patch lets all of them vote.

    Args:
        margins: float32 (E, N, P).
        thetas: shares of patches kept, in (0, 1].

    Returns:
        The vote of each θ.
    """
    epochs, images, _ = margins.shape
    votes = {
        theta: ConfidentVote(np.empty((epochs, images)), np.empty((epochs, images), np.int32))
        for theta in thetas
    }
    for epoch, z in enumerate(margins):  # (N, P): by epoch, to keep the temporaries small
        confidence, fake, everyone = np.abs(z), z > 0, share_fake(z)
        for theta, cut in zip(thetas, share_cuts(confidence, thetas), strict=True):
            keep = confidence >= cut
            kept = _count(keep)
            shares = _count(keep & fake) / np.maximum(kept, 1)
            votes[theta].scores[epoch] = np.where(kept == 0, everyone, shares)
            votes[theta].kept[epoch] = kept
    return votes


def _count(mask: np.ndarray) -> np.ndarray:
    """How many are True along the last axis, int32; several times faster than count_nonzero."""
    return mask.view(np.uint8).sum(axis=-1, dtype=np.int32)
