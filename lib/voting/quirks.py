"""What a rule says of every image, with the released code's ways of counting if they are on.

The released scripts know the labels while they vote. What they do is said here as verdicts all the
same: an image that they count as right whatever its patches say has its own label for a verdict,
and one that they leave out has none. What quirks do to pixels is in `lib.networks.classifier` and
`lib.patches`; all of them: `lib.study.schema.Quirks`.
"""

from typing import NamedTuple

import numpy as np

from lib.study.quirks import Quirks
from lib.voting.rules import EACH_PATCH, Rule


class Verdicts(NamedTuple):
    """What a rule says of each image, per epoch."""

    score: np.ndarray  # float64 (E, N)
    fake: np.ndarray | None
    """bool (E, N): the verdict; None of each patch by itself, whose score is the share of fakes."""
    counted: np.ndarray | None = None
    """bool (E, N): whether the rule has a verdict on the image; None if on all."""

    def right(self, labels: np.ndarray) -> np.ndarray:
        """bool (E, N): whether the verdict is the image's label; of patches the share that is."""
        if self.fake is None:
            return np.where(labels == 1, self.score, 1 - self.score)
        return self.fake == labels.astype(bool)


def verdicts(rule: Rule, margins: np.ndarray, labels: np.ndarray, quirks: Quirks) -> Verdicts:
    """The verdicts of a rule; the quirks concern the votes of crops and confident patches alone.

    Margins are float32 (E, N, P), of the grid or of crops, as the rule needs them; labels uint8
    (N,), real = 0, fake = 1. Raises ValueError if the rule does not give each image one score.
    """
    if rule.name == "crops" and quirks.even_crops_ties_wrong:
        # Without the last crop their number is even, and a tie is wrong in any case.
        score = rule.score(margins[..., :-1])
        return Verdicts(score, np.where(score == rule.threshold, labels == 0, rule.fake(score)))
    score = rule.score(margins)
    if np.shape(score) != margins.shape[:-1]:
        raise ValueError(
            f"rule {rule.name!r}: of margins of shape {margins.shape} its score has shape "
            f"{np.shape(score)}; it must be {margins.shape[:-1]}, a number per epoch and image"
        )
    if rule is EACH_PATCH:
        return Verdicts(score, None)
    fake, is_fake = rule.fake(score), labels.astype(bool)
    if rule.keep and quirks.last_patch_only:
        # The last patch alone votes; if it is not confident, a fake counts as right and a real does
        # not count. The other switch says nothing then, since no image falls back.
        last = rule.keep(margins)[..., -1]
        return Verdicts(score, np.where(last, margins[..., -1] > 0, is_fake), last | is_fake)
    if rule.keep and quirks.fallback_counts_fake:  # a fake without a confident patch is right
        fake = fake | (~rule.keep(margins).any(axis=-1) & is_fake)
    return Verdicts(score, fake)
