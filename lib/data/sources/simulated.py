"""Simulated photographs, or a simulated GAN's images: made by name, without any download."""

from typing import Literal

import numpy as np

from lib.data.sources.interface import PictureSource, SourceError
from lib.study.schema import Data, Strict

PICTURES = 100_000
SIZES = range(64, 257, 16)


class SimulatedSource(PictureSource):
    """Pictures of `lib.data.simulated.generate`, at the study's size."""

    class Settings(Strict):
        """Photographs, or with a `generator` the images of a simulated GAN."""

        content: Literal["sim_faces", "sim_churches"]
        generator: Literal["sim_stylegan2", "sim_progan"] | None = None

    decoded = "simulated"

    def __init__(self, settings: Settings, data: Data) -> None:
        """Raises SourceError if the pictures cannot be so large, or so small."""
        self.content, self.generator = settings.content, settings.generator
        self.title = f"simulated {self.content}" + f" by {self.generator}" * bool(self.generator)
        self.seed, self.size = data.seed, data.image_size
        if self.size not in SIZES:
            raise SourceError(
                f"{self.title}: data.image_size: got {self.size}; simulated pictures have "
                f"{SIZES[0]} to {SIZES[-1]} px, a multiple of {SIZES.step}"
            )

    def names(self) -> list[str]:
        """As many names as a large folder would have."""
        return [f"{index:06d}" for index in range(PICTURES)]

    def read(self, name: str) -> np.ndarray:
        """Makes one picture: uint8 (S, S, 3), RGB."""
        from lib.data.simulated import generate  # it imports torch, which no other source needs

        which = {"index": int(name), "seed": self.seed, "size": self.size}
        if self.generator is None:
            return generate.photograph(self.content, **which)
        return generate.generated(self.content, self.generator, **which)
