"""A study's section `quirks`: the released code's departures from the paper, as switches."""

from typing import Literal

from lib.study.schema import Positive, Strict


class Quirks(Strict):
    """What the released code does instead of what the paper says; all off by default.

    `notebooks/A1_quirks.ipynb` measures them. The first five change what a network sees, so they
    need networks of their own; the others vote anew on stored margins.
    """

    first_patches: Positive | None = None
    """Training keeps so many patches of each class, the first in the order of the images' names,
    for all epochs; the released code 40,000, at 16 px 156 images' worth."""
    dense_xception: bool = False
    """Every depthwise convolution of the backbone is a dense one: the missing `groups=`, alone."""
    scrambled_layout: bool = False
    """Patches, (p, p, 3) in memory, are read as (3, p, p) without moving a byte."""
    bgr_raw_values: bool = False
    """Channels in the order blue, green, red, with values 0 to 255."""
    strips: bool = False
    """Experiment 5's grid patches are full-width rows of the image, folded into squares."""
    theta_reading: Literal["share", "range", "probability"] = "share"
    """Which reading of θ Experiment 4 leads with; the released code's is `range`."""
    fallback_counts_fake: bool = False
    """A fake image without a confident patch counts as judged rightly."""
    last_patch_only: bool = False
    """Only an image's last patch votes; a real whose last is not confident is left out."""
    even_crops_ties_wrong: bool = False
    """The last crop is left out, so that their number is even, and a tie is wrong in any case."""

    @property
    def of_networks(self) -> dict[str, bool | int]:
        """Those that change what a network sees and are switched on."""
        names = ("first_patches", "dense_xception", "scrambled_layout", "bgr_raw_values", "strips")
        return {name: getattr(self, name) for name in names if getattr(self, name)}

    @property
    def on(self) -> list[str]:
        """The names of those that are switched on."""
        return [name for name, value in self if value not in (None, False, "share")]
