"""Faces of MobileStyleGAN, made here without a GPU, for whoever has photographs alone.

The generator is a distillation of StyleGAN2 (FFHQ): S. Belousov, MobileStyleGAN, arXiv:2104.04767.
The PyPI package `random-face` holds its weights, OpenVINO computes it; both are the optional extra
`gan`. The package's own code is not used: it needs an OpenVINO of 2021, and it holds one map of
noise for all images, which a detector could learn. Here each image has noise of its own.
"""

import functools
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import Field

from lib.data.sources.interface import PictureSource, SourceError
from lib.study.schema import Data, Positive, Seed, Strict

PACKAGE = "random-face"
STYLE, STYLES = 512, 4096
"""The length of a style, and how many the mean style is taken of."""


class RandomFaceSource(PictureSource):
    """Faces of 1024 px, by number."""

    class Settings(Strict):
        """How many, which, and how far from the mean face: truncation ψ, 1 for not at all."""

        count: Positive = 1000
        seed: Seed = 0
        truncation: float = Field(1.0, gt=0, le=1)

    decoded = "random_face"

    def __init__(self, settings: Settings, data: Data) -> None:
        """Raises SourceError without the extra `gan`."""
        self.settings = settings
        self.title = f"random_face, seed {settings.seed}, truncation {settings.truncation:g}"
        try:
            self.weights = Path(distribution(PACKAGE).locate_file("random_face/data"))
            missing = find_spec("openvino") is None
        except PackageNotFoundError:
            missing = True
        if missing:
            raise SourceError(
                f"{self.title}: needs the optional extra `gan`: pip install openvino and then "
                f"pip install --no-deps {PACKAGE}, or take another source"
            )

    def names(self) -> list[str]:
        """The numbers of its faces."""
        return [f"{index:06d}" for index in range(self.settings.count)]

    def read(self, name: str) -> np.ndarray:
        """Makes one face: uint8 (1024, 1024, 3), RGB, always the same but for rounding."""
        mapping, synthesis, strengths, mean = _generator(self.weights)
        generator = np.random.default_rng((self.settings.seed, int(name)))
        style = mapping(generator.standard_normal((1, STYLE), np.float32))[0]
        style = mean + self.settings.truncation * (style - mean)
        noise = [
            generator.standard_normal(shape, np.float32) * strength for shape, strength in strengths
        ]
        image = synthesis([style, *noise])[0][0]  # float32 (3, 1024, 1024), about −1 to 1
        return np.rint((image.clip(-1, 1) + 1) * 127.5).astype(np.uint8).transpose(1, 2, 0)


@functools.cache
def _generator(weights: Path) -> tuple[Any, Any, list[tuple[tuple[int, ...], float]], np.ndarray]:
    """The mapping, the synthesis, and of each map of noise its shape and strength; the mean style.

    In the package the noise, times its strength, is constant; its standard deviation is the
    strength. The constants become inputs beside the style.
    """
    import openvino

    core, strengths = openvino.Core(), []
    # One thread, since pictures are made in as many processes as there are cores; and in float32,
    # or what is made would depend on whether the processor has bfloat16.
    how = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    mapping = core.read_model(weights / "MappingNetwork.xml")
    synthesis = core.read_model(weights / "SynthesisNetwork.xml")
    for constant in synthesis.get_ops():
        shape = tuple(constant.output(0).shape) if constant.get_type_name() == "Constant" else ()
        if len(shape) == 4 and shape[:2] == (1, 1) and shape[2] == shape[3] > 1:
            given = openvino.opset13.parameter(shape, np.float32)
            for target in constant.output(0).get_target_inputs():
                target.replace_source_output(given.output(0))
            synthesis.add_parameters([given])
            strengths.append((shape, float(constant.data.std())))
    styles = np.random.default_rng(0).standard_normal((STYLES, STYLE), np.float32)
    mapping.reshape([-1, STYLE])
    compiled = core.compile_model(mapping, "CPU", how)
    mean = compiled(styles)[0].mean(axis=0, keepdims=True)
    return compiled, core.compile_model(synthesis, "CPU", how), strengths, mean
