"""From margins to scores: the voting rules, pure functions of arrays.

The margin of a patch is z = logit(fake) − logit(real), and a patch is fake iff z > 0. A rule gives
every image a score; the image is fake iff the score reaches the rule's threshold, so ties are fake.
A rule of one's own is one more entry of `RULES`, or a `Rule` handed to a notebook's `vote`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
from scipy.special import expit


@dataclass(frozen=True)
class Rule:
    """How the patches of an image vote."""

    name: str  # as tables have it; with `theta` and `reading`, the rule's identity
    title: str
    score: Callable[[np.ndarray], np.ndarray]
    """Margins float32 (…, N, P) of N images to scores float64 (…, N): the higher, the more fake."""
    threshold: float = 0.5  # the score at which an image is fake
    probability: Callable[[np.ndarray], np.ndarray] = lambda scores: scores
    """Scores to P(fake) in [0, 1], for calibration."""
    patches: Literal["grid", "crops", "whole"] = "grid"
    """Which patches vote; `whole` is the one that is the whole image."""
    keep: Callable[[np.ndarray], np.ndarray] | None = None
    """Margins (…, N, P) to bool of that shape: the patches that vote; all if None."""
    theta: float | None = None
    reading: str | None = None

    def fake(self, scores: np.ndarray) -> np.ndarray:
        """bool, of the scores' shape: the images that are fake by this rule."""
        return scores >= self.threshold


def share_fake(margins: np.ndarray) -> np.ndarray:
    """The share of an image's patches that are fake, float64 (…,) in [0, 1], of margins (…, P)."""
    return _count(margins > 0) / margins.shape[-1]


def share_fake_but_one(margins: np.ndarray) -> np.ndarray:
    """`share_fake` without the last crop: as many votes as a grid has, which may tie as its do."""
    return share_fake(margins[..., : max(1, margins.shape[-1] - 1)])


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


def confident(theta: float, reading: str = "share") -> Rule:
    """The vote of the confident patches alone (Experiment 4), by a θ in (0, 1].

    Confidence is |P(real) − P(fake)| = tanh(|z|/2), which grows with |z|; patches with |z| ≥ cut
    vote. The cut is taken per epoch over all patches of the split. An image with no confident patch
    lets all of them vote. Raises ValueError for another θ, or a reading that `READINGS` lacks.
    """
    if not 0 < theta <= 1:
        raise ValueError(f"theta: got {theta}, must lie in (0, 1]")
    if reading not in READINGS:
        raise ValueError(f"reading: got {reading!r}, must be one of {', '.join(READINGS)}")
    keep = partial(_kept, cut=partial(READINGS[reading], theta=theta))
    score = partial(_share_of_kept, keep=keep)
    return Rule("confident", "vote, confident", score, keep=keep, theta=theta, reading=reading)


def without(constant: np.ndarray) -> Rule:
    """The grid's vote without its constant patches, bool (N, P), such as a plain background's.

    An image that has no other lets all of them vote.
    """

    def keep(margins: np.ndarray) -> np.ndarray:
        return np.broadcast_to(~constant, margins.shape)

    score = partial(_share_of_kept, keep=keep)
    return Rule("no_constant_patches", "no constant patches", score, keep=keep)


Cut = Callable[[np.ndarray], np.float32]
"""|z| of all patches of a split in one epoch, float32 of any shape, to the least that is kept."""


def _kept(margins: np.ndarray, cut: Cut) -> np.ndarray:
    """bool (…, N, P): the confident patches."""
    keep = np.empty(margins.shape, bool)
    for epoch in np.ndindex(margins.shape[:-2]):
        confidence = np.abs(margins[epoch])
        keep[epoch] = confidence >= cut(confidence)
    return keep


def _share_of_kept(margins: np.ndarray, keep: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """float64 (…, N): the share of fake patches among those kept, or among all if none is."""
    scores = np.empty(margins.shape[:-1])
    for epoch in np.ndindex(margins.shape[:-2]):
        kept = keep(margins[epoch])
        count = _count(kept)
        shares = _count(kept & (margins[epoch] > 0)) / np.maximum(count, 1)
        scores[epoch] = np.where(count == 0, share_fake(margins[epoch]), shares)
    return scores


def _top_share(confidence: np.ndarray, theta: float) -> np.float32:
    """The k-th largest, k = floor(θ·n + 0.5), so that ties are kept; infinite where k = 0."""
    k = int(np.floor(theta * confidence.size + 0.5))
    return np.partition(confidence, -k, axis=None)[-k] if k > 0 else np.float32(np.inf)


def _part_of_range(confidence: np.ndarray, theta: float) -> np.float32:
    """|z| > (max|z| − min|z|)·(1 − θ), compared in float64."""
    span = float(confidence.max()) - float(confidence.min())
    return _least(span * (1 - theta), strict=True)


def _sure_enough(confidence: np.ndarray, theta: float) -> np.float32:
    """|P(real) − P(fake)| = tanh(|z|/2) ≥ 1 − θ."""
    return _least(2 * float(np.arctanh(1 - theta)), strict=False)


def _least(bound: float, *, strict: bool) -> np.float32:
    """The least float32 above a float64 bound, or at it unless `strict`."""
    near = np.float32(bound)
    below = float(near) <= bound if strict else float(near) < bound
    return np.nextafter(near, np.float32(np.inf)) if below else near


def _count(mask: np.ndarray) -> np.ndarray:
    """How many are True along the last axis, int32; several times faster than count_nonzero."""
    return mask.view(np.uint8).sum(axis=-1, dtype=np.int32)


READINGS = {"share": _top_share, "range": _part_of_range, "probability": _sure_enough}
"""What θ may mean, each a function of |z| and `theta` to the least |z| that is kept: the top share
of the patches (the paper's text), a part of the range (the released code), or a probability."""

RULES: dict[str, Rule] = {
    rule.name: rule
    for rule in (
        # The one patch's z > 0, as for every patch; the other rules call a tie fake.
        Rule("whole", "whole image", whole_margin, np.nextafter(0.0, 1.0), expit, "whole"),
        Rule("grid", "vote, grid", share_fake),
        Rule("mean_margin", "mean margin", mean_margin, 0.0, expit),
        Rule("mean_probability", "mean P(fake)", mean_probability),
        Rule("crops", "vote, crops", share_fake, patches="crops"),
        Rule("crops_as_grid", "vote, crops, one fewer", share_fake_but_one, patches="crops"),
        confident(1.0),
    )
}
"""The voting rules by name. Of `confident` this is the one that keeps every patch; `confident`
gives the others."""

EACH_PATCH = Rule("none", "each patch", share_fake)
"""No vote: each patch by itself. Its score is the share of an image's patches that are fake."""


def voting_on(patches: str) -> list[Rule]:
    """The rules in which every patch of the grid, of the crops, or the whole image votes."""
    return [rule for rule in RULES.values() if rule.patches == patches and rule.keep is None]


def title(name: str) -> str:
    """How a reader is told of a rule, by its name in tables: `none` is each patch by itself."""
    known = RULES | {EACH_PATCH.name: EACH_PATCH}
    return known[name].title if name in known else name.replace("_", " ")
