"""The released code's ways of counting votes, each off by default: pure functions of arrays.

The released scripts know the labels while they vote, so what they do cannot be said as a verdict:
each function says which images count as judged rightly, and which count at all. What they do to
pixels is in `lib.models` and `lib.patches`. Both lists: `lib.study.Quirks`.
"""

from typing import NamedTuple

import numpy as np

from lib import voting
from lib.settings import Quirks
from lib.voting import ConfidentVote


class Judged(NamedTuple):
    """What a rule makes of each image, per epoch."""

    right: np.ndarray
    """bool (E, N): whether it counts as judged rightly; of patches, the share that does."""
    counted: np.ndarray | None
    """bool (E, N): whether it counts at all; None if all do."""


def by_verdict(scores: np.ndarray, rule: str, labels: np.ndarray) -> Judged:
    """The plain way: every image counts, and is right where the verdict is its label.

    Args:
        scores: (E, N), of a rule of `lib.voting`.
        rule: its name.
        labels: uint8 (N,), real = 0, fake = 1.
    """
    return Judged(voting.verdicts(scores, rule) == labels.astype(bool), None)


def crops(margins: np.ndarray, labels: np.ndarray, quirks: Quirks) -> tuple[np.ndarray, Judged]:
    """The vote over random crops, with `even_crops_ties_wrong` if it is on.

    Then the last crop is left out, so that their number is even, (S/p)² of (S/p)² + 1, and an
    image whose votes tie is wrong, whatever its label.

    Args:
        margins: float32 (E, N, P).
        labels: uint8 (N,).
        quirks: the switches.

    Returns:
        The scores (E, N), shares of fake crops, and how they are counted.
    """
    if not quirks.even_crops_ties_wrong:
        scores = voting.share_fake(margins)
        return scores, by_verdict(scores, "crops", labels)
    scores = voting.share_fake(margins[..., :-1])
    judged = by_verdict(scores, "crops", labels)
    return scores, judged._replace(right=judged.right & (scores != 0.5))


def confident(
    vote: ConfidentVote, margins: np.ndarray, labels: np.ndarray, quirks: Quirks
) -> Judged:
    """How the vote of the confident patches is counted.

    With `fallback_counts_fake` a fake image without a confident patch counts as right; only reals
    fall back to all their patches. With `last_patch_only` only the last patch votes: if it is not
    confident a fake counts as right and a real does not count. With both, the second decides,
    since no image falls back in it.

    Args:
        vote: of the confident patches, from `lib.voting.confident`.
        margins: float32 (E, N, P), that it was made from.
        labels: uint8 (N,).
        quirks: the switches.
    """
    fake = labels.astype(bool)
    if quirks.last_patch_only:
        verdict = margins[..., -1] > 0
        right = np.where(vote.last_kept, verdict == fake, fake)
        return Judged(right, vote.last_kept | fake)
    judged = by_verdict(vote.scores, "confident", labels)
    if quirks.fallback_counts_fake:
        return judged._replace(right=judged.right | (vote.fallback & fake))
    return judged


def judge(
    margins: np.ndarray, labels: np.ndarray, rule: str, quirks: Quirks, theta: float | None = None
) -> Judged:
    """What any rule makes of each image, counted as the study's quirks say.

    Args:
        margins: float32 (E, N, P), of the grid or, for `crops`, of the crops.
        labels: uint8 (N,).
        rule: of `lib.voting`, or `none`: then `right` is the share of patches judged rightly.
        quirks: the switches.
        theta: for `confident`, whose reading is `quirks.theta_reading`.
    """
    if rule == "none":
        return Judged(((margins > 0) == labels[:, None].astype(bool)).mean(axis=-1), None)
    if rule == "crops":
        return crops(margins, labels, quirks)[1]
    if rule == "confident":
        vote = voting.confident(margins, [theta], quirks.theta_reading)[theta]
        return confident(vote, margins, labels, quirks)
    return by_verdict(voting.SCORES[rule](margins), rule, labels)
