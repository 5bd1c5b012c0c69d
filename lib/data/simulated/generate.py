"""The simulated data set: photographs and GAN images without a download.

A real image is a procedural photograph; a fake one is *another* scene of the same content sent
through a small neural encoder and a decoder with the signal path of the generator it is named
after (`lib.data.simulated.decoders`). Sensor noise of the same distribution and 8-bit rounding come
last in both classes, so only the decoder's traces tell them apart.
"""

import functools
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from lib.data.simulated.decoders import DECODERS, Simulator
from lib.data.simulated.scenes import PAINTERS, scene

CONTENTS = tuple(PAINTERS)
GENERATORS = tuple(DECODERS)
WEIGHTS = Path(__file__).parent / "weights"
READ_NOISE = (0.045, 0.09)  # deviation in the dark, of white 1; drawn per image, log-uniform
SHOT_NOISE = 1.0  # variance at white, as a multiple of that in the dark


def photograph(content: str, index: int, *, seed: int, size: int) -> np.ndarray:
    """Simulates one real image, uint8 (size, size, 3) RGB, that depends on the arguments alone.

    `content` is one of `CONTENTS`; `index` counts from 0; `seed` is the whole data set's; `size`,
    px, is one of `lib.data.sources.simulated.SIZES`.
    """
    rng = np.random.default_rng([seed, 0, CONTENTS.index(content), index])
    return _expose(scene(content, rng, size), rng)


def generated(content: str, generator: str, index: int, *, seed: int, size: int) -> np.ndarray:
    """Simulates one image made by one of `GENERATORS`; else as `photograph`.

    Its scene is that of no photograph nor other generator.
    """
    role = 1 + GENERATORS.index(generator)
    rng = np.random.default_rng([seed, role, CONTENTS.index(content), index])
    return _expose(decode(scene(content, rng, size), generator, int(rng.integers(2**62))), rng)


def decode(image: np.ndarray, generator: str, noise_seed: int) -> np.ndarray:
    """Sends an image through a generator's encoder and decoder, which injects seeded noise.

    The image is float32 (S, S, 3), RGB in [0, 1], S divisible by 4; so is what comes back.
    """
    noise = torch.Generator().manual_seed(noise_seed)
    with torch.inference_mode():
        planes = torch.from_numpy(image).permute(2, 0, 1)[None].contiguous()
        return simulator(generator)(planes, noise)[0].clamp(0, 1).permute(1, 2, 0).numpy()


@functools.cache
def simulator(generator: str) -> Simulator:
    """Loads the fitted networks of one of `GENERATORS`, once per process."""
    # Fresh weights would be drawn from torch's global generator; on `meta` nothing is drawn.
    with torch.device("meta"):
        model = Simulator(generator)
    weights = load_file(WEIGHTS / f"{generator}.safetensors")
    model.load_state_dict({name: value.float() for name, value in weights.items()}, assign=True)
    return model.eval().requires_grad_(False)


def _expose(light: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Adds a sensor's noise, stronger where it is bright, and rounds to 8 bits.

    The model is Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for
    single-image raw-data" (IEEE TIP 2008), with a Gaussian in place of the Poisson part.
    """
    level = np.exp(rng.uniform(*np.log(READ_NOISE)))
    deviation = np.float32(level) * np.sqrt(1 + np.float32(SHOT_NOISE) * light)
    noisy = light + deviation * rng.standard_normal(light.shape, np.float32)
    return (noisy * 255 + 0.5).clip(0, 255).astype(np.uint8)
