"""Fit the decoders of the simulated data set and write their weights.

    python tools/fit_decoders.py

It draws its own scenes (streams that no data set uses), prints the reconstruction's PSNR on
held-out ones, and takes some minutes on two cores. The weights ship with the package: this is
only needed to change them.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.nn.functional import avg_pool2d, conv2d

from lib.data.simulated.decoders import DECODERS, EqualisedConv, Simulator, blocks
from lib.data.simulated.scenes import PAINTERS, scene

WEIGHTS = Path(__file__).parents[1] / "lib" / "data" / "simulated" / "weights"
CROP = 64
# Learning rate and weight of the detail's energy. Equalised weights are of deviation 1, so that
# rates are larger than is usual.
SETTINGS = {"sim_stylegan2": (0.03, 0.003), "sim_progan": (0.05, 0.008)}


def draw(seed: int, stream: int, count: int, size: int) -> Tensor:
    """Draw scenes of every content, `count` of each: float32 (count * contents, 3, size, size)."""
    images = [
        scene(content, np.random.default_rng([seed, stream, size, k, i]), size)
        for k, content in enumerate(PAINTERS)
        for i in range(count)
    ]
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).contiguous()


def batch(pools: list[Tensor], rng: torch.Generator, count: int) -> Tensor:
    """Crop `count` random squares of one random size of scene: (count, 3, CROP, CROP)."""
    pool = pools[int(torch.randint(len(pools), (), generator=rng))]
    span = pool.shape[-1] - CROP + 1
    rows, columns = torch.randint(span, (2, count), generator=rng).tolist()
    chosen = torch.randint(len(pool), (count,), generator=rng).tolist()
    crops = [
        pool[k, :, r : r + CROP, c : c + CROP]
        for k, r, c in zip(chosen, rows, columns, strict=True)
    ]
    return torch.stack(crops)


def energies(image: Tensor, levels: int = 3) -> Tensor:
    """Log energy of the Laplacian at each level of a pyramid and channel: (B, 3 * levels).

    The floor is the energy of faint sensor noise: detail below it will not be seen.
    """
    kernel = torch.tensor([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]]).expand(3, 1, 3, 3)
    logs = []
    for _ in range(levels):
        detail = conv2d(image, kernel, groups=3)
        logs.append((detail.square().mean((2, 3)) + 2e-3).log())
        image = avg_pool2d(image, 2)
    return torch.cat(logs, 1)


def whiten(encoder: EqualisedConv, images: Tensor) -> None:
    """Set `encoder` to the principal components of the blocks of `images`, each of deviation 1.

    The decoder then sees fine detail as large as coarse shading from its first step, and learns it
    in minutes instead of hours.
    """
    data = blocks(images).movedim(1, -1).flatten(0, -2)  # (N, 48)
    mean, kept = data.mean(0), len(encoder.weight)
    variance, axes = torch.linalg.eigh(torch.cov(data.T))
    whitening = (axes[:, -kept:] / variance[-kept:].sqrt()).T  # (kept, 48)
    with torch.no_grad():
        encoder.weight.copy_((whitening / encoder.scale)[:, :, None, None])
        encoder.bias.copy_(-whitening @ mean)


def fit(generator: str, pools: list[Tensor], *, seed: int, steps: int) -> Simulator:
    """Train one simulator to reconstruct scenes and to keep the energy of their fine detail.

    Squared error alone would smooth what cannot be known, and smoothness would give fakes away.

    Args:
        generator: a key of `DECODERS`.
        pools: scenes, a tensor (N, 3, S, S) for each size S of 64, 128 and 256 px.
        seed: of initialisation, batches and injected noise.
        steps: of the optimiser.

    Returns:
        The fitted simulator, in evaluation mode.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Simulator(generator)
    whiten(model.encoder, pools[1])
    rng = torch.Generator().manual_seed(seed)
    rate, energy = SETTINGS[generator]
    optimiser = torch.optim.Adam(model.parameters(), lr=rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, steps, pct_start=0.1)
    start = time.monotonic()
    for step in range(1, steps + 1):
        real = batch(pools, rng, 4)
        fake = model(real, rng)
        error = (fake - real).square().mean()
        kept = (energies(fake) - energies(real)).abs().mean()
        optimiser.zero_grad()
        (error + energy * kept).backward()
        optimiser.step()
        schedule.step()
        if step % 500 == 0 or step == steps:
            spent = time.monotonic() - start
            print(
                f"{generator} step {step}: mse {error:.5f} energy {kept:.3f} {spent:.0f} s",
                flush=True,
            )
    return model.eval()


@torch.inference_mode()
def psnr(model: Simulator, images: Tensor) -> float:
    """Mean peak signal-to-noise ratio in dB of the reconstructions of `images` (B, 3, S, S)."""
    rng = torch.Generator().manual_seed(0)
    errors = [(model(x[None], rng).clamp(0, 1) - x).square().mean() for x in images]
    return float(-10 * torch.stack(errors).log10().mean())


def main() -> None:
    """Fit, measure and write every simulator."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0, help="of scenes, initialisation and batches")
    parser.add_argument("--steps", type=int, default=3500, help="optimiser steps per decoder")
    parser.add_argument("--scenes", type=int, default=200, help="per content, of 64 px")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="folder of the weights")
    parser.add_argument("generators", nargs="*", default=list(DECODERS))
    args = parser.parse_args()
    # Large scenes hold more crops: fewer do.
    pools = [draw(args.seed, 0, args.scenes * 64 // size, size) for size in (64, 128, 256)]
    held_out = draw(args.seed, 1, 40, 128)
    args.out.mkdir(parents=True, exist_ok=True)
    for generator in args.generators:
        model = fit(generator, pools, seed=args.seed, steps=args.steps)
        for content, images in zip(PAINTERS, held_out.chunk(len(PAINTERS)), strict=True):
            print(f"{generator} {content}: PSNR {psnr(model, images):.2f} dB")
        beside = args.out / f".{generator}.partial"
        save_file({k: v.half() for k, v in model.state_dict().items()}, beside)
        os.replace(beside, args.out / f"{generator}.safetensors")


if __name__ == "__main__":
    main()
