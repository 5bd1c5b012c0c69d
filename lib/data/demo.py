"""The simulated data set: photographs and GAN images without a download.

A real image is a procedural photograph; a fake one is *another* scene of the same content sent
through a small neural encoder and a decoder with the signal path of the generator it is named
after (`lib.data.decoders`). Sensor noise of the same distribution and 8-bit rounding come last in
both classes, so only the decoder's traces tell them apart.
"""

import functools
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from lib.data.decoders import DECODERS, Simulator
from lib.data.scenes import PAINTERS, scene

CONTENTS = tuple(PAINTERS)
GENERATORS = tuple(DECODERS)
WEIGHTS = Path(__file__).parent / "weights"
READ_NOISE = (0.045, 0.09)  # deviation in the dark, of white 1; drawn per image, log-uniform
SHOT_NOISE = 1.0  # variance at white, as a multiple of that in the dark


def photograph(content: str, index: int, *, seed: int, size: int) -> np.ndarray:
    """Simulate one real image.

    Args:
        content: one of `CONTENTS`.
        index: which image, from 0.
        seed: of the whole data set, from 0.
        size: side in px, a multiple of 16 from 64 to 256.

    Returns:
        Uint8 (size, size, 3), RGB. It depends on the arguments alone.

    Raises:
        ValueError: for any other value, naming it and what is allowed.
    """
    _check(content, GENERATORS[0], index, seed, size)
    rng = _stream(seed, 0, content, index)
    return _expose(scene(content, rng, size), rng)


def generated(content: str, generator: str, index: int, *, seed: int, size: int) -> np.ndarray:
    """Simulate one image made by a GAN; its scene is that of no photograph nor other generator.

    Args:
        content: one of `CONTENTS`.
        generator: one of `GENERATORS`.
        index: which image, from 0.
        seed: of the whole data set, from 0.
        size: side in px, a multiple of 16 from 64 to 256.

    Returns:
        Uint8 (size, size, 3), RGB. It depends on the arguments alone.

    Raises:
        ValueError: for any other value, naming it and what is allowed.
    """
    _check(content, generator, index, seed, size)
    rng = _stream(seed, 1 + GENERATORS.index(generator), content, index)
    return _expose(decode(scene(content, rng, size), generator, int(rng.integers(2**62))), rng)


def decode(image: np.ndarray, generator: str, noise_seed: int) -> np.ndarray:
    """Send an image through a generator's encoder and decoder.

    Args:
        image: float32 (S, S, 3), RGB in [0, 1], S divisible by 4.
        generator: one of `GENERATORS`.
        noise_seed: of the noise that the decoder injects.

    Returns:
        Float32 (S, S, 3), RGB in [0, 1].
    """
    noise = torch.Generator().manual_seed(noise_seed)
    with torch.inference_mode():
        planes = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()
        return simulator(generator)(planes, noise)[0].clamp(0, 1).permute(1, 2, 0).numpy()


@functools.cache
def simulator(generator: str) -> Simulator:
    """Load the fitted networks of one of `GENERATORS`, once per process."""
    # Fresh weights would be drawn from torch's global generator; on `meta` nothing is drawn.
    with torch.device("meta"):
        model = Simulator(generator)
    weights = load_file(WEIGHTS / f"{generator}.safetensors")
    model.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    return model.eval().requires_grad_(False)


def _stream(seed: int, role: int, content: str, index: int) -> np.random.Generator:
    """Random numbers of one image, independent of every other image's."""
    return np.random.default_rng([seed, role, CONTENTS.index(content), index])


def _expose(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add a sensor's noise, stronger where it is bright, and round to 8 bits.

    The model is Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for
    single-image raw-data" (IEEE TIP 2008), with a Gaussian in place of the Poisson part.
    """
    level = np.exp(rng.uniform(*np.log(READ_NOISE)))
    deviation = np.float32(level) * np.sqrt(1 + np.float32(SHOT_NOISE) * light)
    noisy = light + deviation * rng.standard_normal(light.shape, np.float32)
    return (noisy * 255 + 0.5).clip(0, 255).astype(np.uint8)


def _check(content: str, generator: str, index: int, seed: int, size: int) -> None:
    """Raise `ValueError` for arguments that name no image."""
    for name, value, allowed in (
        ("content", content, CONTENTS),
        ("generator", generator, GENERATORS),
    ):
        if value not in allowed:
            raise ValueError(f"{name} {value!r} is unknown: expected one of {', '.join(allowed)}")
    for name, value in (("index", index), ("seed", seed)):
        if value < 0:
            raise ValueError(f"{name} {value!r} is negative: expected an integer from 0")
    if size not in range(64, 257, 16):
        raise ValueError(f"size {size!r} is not allowed: expected a multiple of 16 from 64 to 256")
