"""Simulated photographs, or a simulated GAN's images: made by name, without any download."""

import numpy as np

from lib.data.sources.interface import PictureSource

PICTURES = 100_000


class SimulatedSource(PictureSource):
    """Pictures of `lib.data.demo`, at the study's size."""

    decoded = "simulated"

    def __init__(self, content: str, generator: str | None, seed: int, size: int) -> None:
        """Makes nothing yet.

        Args:
            content: as in `lib.data.demo`.
            generator: as in `lib.data.demo`; None for photographs.
            seed: the study's `data.seed`.
            size: the pictures' side, px.
        """
        self.content, self.generator, self.seed, self.size = content, generator, seed, size
        self.title = f"simulated {content}" + (f" by {generator}" if generator else "")

    def names(self) -> list[str]:
        """As many names as a large folder would have."""
        return [f"{index:06d}" for index in range(PICTURES)]

    def read(self, name: str) -> np.ndarray:
        """Makes one picture: uint8 (S, S, 3), RGB."""
        from lib.data import demo  # imports torch, which studies of real pictures do not need here

        where = {"index": int(name), "seed": self.seed, "size": self.size}
        if self.generator is None:
            return demo.photograph(self.content, **where)
        return demo.generated(self.content, self.generator, **where)
