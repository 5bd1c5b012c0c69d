"""From margins to verdicts: the voting rules, pure functions of arrays.

The margin of a patch is z = logit(fake) − logit(real); a patch is judged fake iff z > 0. A rule
gives every image a score, and the image is fake iff the score reaches the rule's threshold, so
that ties are fake.
"""

from collections.abc import Callable, Sequence
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


READINGS = ("share", "range", "probability")
"""What θ may mean: see `cuts`. The paper's text is `share`, the released code's `range`."""


class ConfidentVote(NamedTuple):
    """What the vote of the confident patches gives, per epoch and image."""

    scores: np.ndarray
    """float64 (E, N): the share of fake patches among those that vote."""
    kept: np.ndarray
    """int32 (E, N): how many patches are confident."""
    last_kept: np.ndarray
    """bool (E, N): whether an image's last patch is confident."""

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


def probabilities(scores: np.ndarray, rule: str) -> np.ndarray:
    """The scores of a rule as probabilities of fake, in [0, 1]: for calibration.

    A vote's share of fake patches and a mean probability stand for themselves; a margin z, of one
    patch (rule `none`) or the mean of several, becomes sigmoid(z).
    """
    return expit(scores) if rule in ("none", "whole", "mean_margin") else scores


def cuts(confidence: np.ndarray, thetas: Sequence[float], reading: str) -> list[np.float32]:
    """Where to cut |z|: the patches with |z| ≥ cut are confident.

    Three readings of θ:
    `share` (the paper's text): the top share θ of the n patches. With k = floor(θ·n + 0.5) the cut
        is the k-th largest |z|, so ties are kept; infinite, none kept, where k = 0.
    `range` (the released code): |z| > (max|z| − min|z|)·(1 − θ), compared in float64.
    `probability`: |P(real) − P(fake)| = tanh(|z|/2) ≥ 1 − θ.

    Args:
        confidence: float32, |z| of all patches of a split in one epoch, any shape.
        thetas: in (0, 1].
        reading: one of `READINGS`.

    Returns:
        The cut of each θ.

    Raises:
        ValueError: for a θ outside (0, 1], or an unknown reading.
    """
    for theta in thetas:
        if not 0 < theta <= 1:
            raise ValueError(f"theta: got {theta}, must lie in (0, 1]")
    if reading == "share":
        ordered = np.sort(confidence, axis=None)  # faster than numpy's partition at several ranks
        ranks = [int(np.floor(theta * ordered.size + 0.5)) for theta in thetas]
        return [ordered[-k] if k > 0 else np.float32(np.inf) for k in ranks]
    if reading == "range":
        span = float(confidence.max()) - float(confidence.min())
        return [_least(span * (1 - theta), strict=True) for theta in thetas]
    if reading == "probability":
        return [_least(2 * float(np.arctanh(1 - theta)), strict=False) for theta in thetas]
    raise ValueError(f"reading: got {reading!r}, must be one of {', '.join(READINGS)}")


def _least(bound: float, *, strict: bool) -> np.float32:
    """The least float32 above a float64 bound, or at it unless `strict`."""
    near = np.float32(bound)
    below = float(near) <= bound if strict else float(near) < bound
    return np.nextafter(near, np.float32(np.inf)) if below else near


def confident(
    margins: np.ndarray, thetas: Sequence[float], reading: str = "share"
) -> dict[float, ConfidentVote]:
    """The vote of the confident patches alone (Experiment 4).

    Confidence is |P(real) − P(fake)| = tanh(|z|/2), which grows with |z|. The cut is taken per
    epoch over all patches of the split. An image with no confident patch lets all of them vote.

    Args:
        margins: float32 (E, N, P).
        thetas: in (0, 1]; what they mean is the `reading`'s.
        reading: one of `READINGS`; see `cuts`.

    Returns:
        The vote of each θ.
    """
    epochs, images, _ = margins.shape
    kinds = (np.float64, np.int32, np.bool_)
    votes = {
        theta: ConfidentVote(*(np.empty((epochs, images), kind) for kind in kinds))
        for theta in thetas
    }
    for epoch, z in enumerate(margins):  # (N, P): by epoch, to keep the temporaries small
        confidence, fake, everyone = np.abs(z), z > 0, share_fake(z)
        for theta, cut in zip(thetas, cuts(confidence, thetas, reading), strict=True):
            keep = confidence >= cut
            kept = _count(keep)
            shares = _count(keep & fake) / np.maximum(kept, 1)
            votes[theta].scores[epoch] = np.where(kept == 0, everyone, shares)
            votes[theta].kept[epoch] = kept
            votes[theta].last_kept[epoch] = keep[:, -1]
    return votes


def _count(mask: np.ndarray) -> np.ndarray:
    """How many are True along the last axis, int32; several times faster than count_nonzero."""
    return mask.view(np.uint8).sum(axis=-1, dtype=np.int32)
