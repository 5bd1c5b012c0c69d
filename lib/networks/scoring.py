"""Scoring: a network gives every patch of a split its margin, once; all votes reuse the margins."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib import margins
from lib.data.packed import Packed
from lib.networks import devices
from lib.networks.classifier import DTYPES, PatchNet, pick_device
from lib.networks.cpu_speed import Scorer
from lib.patches import crop_origins, cut, grid_origins, strips
from lib.study import files, paths
from lib.study.run import Run

BYTES_PER_BATCH = {"cpu": 2**21, "cuda": 2**25}
"""What one channel of a batch takes in the network's precision. On a CPU in bfloat16, half as much
was a few per cent slower; in float32 it made no difference."""


@dataclass(frozen=True)
class ScoringSet:
    """One split of one cell, cut in one way: what one margins file holds."""

    cell: str
    split: str
    kind: str
    images: Tensor  # uint8 (M, S, S, 3): of the cell, or some of them
    index: np.ndarray  # int64 (N,): which of these
    origins: np.ndarray  # int32 (P, 2) of a grid, or (N, P, 2) of crops
    labels: np.ndarray  # uint8 (N,)
    rows: np.ndarray  # int32 (N,): the images' rows in the packed cell
    packed_hash: str

    @devices.by_first
    def save(self, run_folder: Path, z: np.ndarray, epochs: np.ndarray, crops_seed: int) -> None:
        """Writes margins (E, N, P) of the given epochs where the contract has them."""
        path = paths.margins(run_folder, self.cell, self.split, self.kind)
        content = margins.Margins(z, self.labels, self.origins, epochs, self.rows)
        margins.save(path, content, packed_hash=self.packed_hash, crops_seed=crops_seed)


def shown(run: Run, packed: dict[str, Packed], device: torch.device) -> dict[str, Tensor]:
    """The images of some cells, on the device where they fit, those that come first before others.

    Altered ones, which are scored once, are mapped alone.
    """
    altered = run.study.altered()
    return {
        cell: torch.from_numpy(data.images) if cell in altered else resident(data.images, device)
        for cell, data in packed.items()
    }


def scoring_sets(
    run: Run, packed: dict[str, Packed], images: dict[str, Tensor]
) -> list[ScoringSet]:
    """What a network of this run scores: all test splits and the training cell's validation split.

    Each as a grid and, unless the patch is the whole image, as crops. With the quirk `strips`, the
    grid patches of the other cells are strips of the image. `images` is what `shown` gives.
    """
    sets, seed, sizes = [], run.study.data.seed, (run.study.data.image_size, run.patch_size)
    for cell, split in [*((cell, "test") for cell in packed), (run.train, "validation")]:
        rows, manifest = packed[cell].rows(split, run.fold(cell)), packed[cell].manifest
        of_grid = images[cell], rows.astype(np.int64)
        if _is_folded(run, cell):
            pixels = strips(packed[cell].images[rows], run.patch_size)
            of_grid = resident(pixels, images[cell].device), np.arange(len(rows))
        labels = manifest["label"].to_numpy(np.uint8)[rows]
        rest = labels, rows, packed[cell].side["hashes"][manifest["split"].iloc[rows[0]]]
        sets.append(ScoringSet(cell, split, "grid", *of_grid, grid_origins(*sizes), *rest))
        if not run.is_whole_image:
            names, count = list(manifest["image_id"].iloc[rows]), run.study.crops(run.patch_size)
            origins = crop_origins(names, *sizes, count, seed=seed)
            index = rows.astype(np.int64)
            sets.append(ScoringSet(cell, split, "crops", images[cell], index, origins, *rest))
    return sets


def resident(images: np.ndarray, device: torch.device) -> Tensor:
    """The images on the device if they take no more than half of its free memory, else mapped."""
    tensor = torch.from_numpy(images)
    if device.type == "cuda" and images.nbytes < torch.cuda.mem_get_info(device)[0] // 2:
        return tensor.to(device)
    return tensor


@torch.inference_mode()
def score(
    scorer: Scorer,
    images: Tensor,
    origins: np.ndarray,
    patch_size: int,
    index: np.ndarray | None = None,
) -> np.ndarray:
    """The margins of all patches of some images, float32 (N, P).

    The images are uint8 (M, S, S, 3), on the network's device or not; the index, int64 (N,), says
    which of them, by default all; the origins are int32 (P, 2), the same for all, or (N, P, 2).
    """
    index = np.arange(len(images)) if index is None else index
    count, per_image = len(index), origins.shape[-2]
    everywhere = np.broadcast_to(origins, (count, per_image, 2)).reshape(-1, 2)
    corners = torch.from_numpy(everywhere.astype(np.int64)).to(images.device)  # (N·P, 2)
    index = torch.from_numpy(index).to(images.device).repeat_interleave(per_image)  # (N·P,)
    z = torch.empty(count * per_image, device=scorer.device)
    each = patch_size**2 * scorer.precision.itemsize
    step = max(1, BYTES_PER_BATCH[scorer.device.type] // each)
    for part in (slice(start, start + step) for start in range(0, len(index), step)):
        batch = cut(images, index[part], corners[part], patch_size).to(scorer.device)
        z[part] = scorer.margins(batch)
    return z.reshape(count, per_image).cpu().numpy()


def margins_of(run: Run, images: np.ndarray, origins: np.ndarray | None = None) -> np.ndarray:
    """What a finished run's network gives patches of any images, at the validated epoch.

    Of images uint8 (N, S, S, 3) RGB, of the study's image size and in place of the test cell's, and
    of origins int32 (P, 2) or (N, P, 2), by default the grid's, the margins are float32 (N, P).
    Raises RunError if there is no such run, or it was made otherwise.
    """
    scorer = scorer_of(run)
    if origins is None:
        origins = grid_origins(run.study.data.image_size, run.patch_size)
        images = strips(images, run.patch_size) if _is_folded(run, run.test) else images
    return score(scorer, resident(images, scorer.device), origins, run.patch_size)


def scorer_of(run: Run) -> Scorer:
    """A finished run's network, at the validated epoch; see `margins_of`."""
    folder, study = margins.require(run), run.study
    margins.refuse_mixing(folder, margins.protocol(run))
    network = PatchNet(study.model, seed=run.seed, patch_size=run.patch_size, quirks=study.quirks)
    files.hold_to_record(folder, folder / "best.safetensors", margins.anew(folder))
    network.load(folder / "best.safetensors").to(pick_device(study.training.device))
    return Scorer(network, DTYPES[margins.read_config(folder)["precision"]])


def _is_folded(run: Run, cell: str) -> bool:
    return run.study.quirks.strips and cell != run.train
