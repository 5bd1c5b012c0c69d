"""Scoring: a network gives every patch of a split its margin, once; all votes reuse the margins."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lib import paths
from lib.data.packing import Packed
from lib.fast import Scorer
from lib.patches import crop_origins, cut, grid_origins, strips
from lib.runs import Margins, save_margins
from lib.study import Run

BYTES_PER_BATCH = {"cpu": 2**21, "cuda": 2**25}
"""What one channel of a batch takes in the network's precision. On a CPU in bfloat16, half as much
was a few per cent slower; in float32 it made no difference."""


@dataclass(frozen=True)
class ScoringSet:
    """One split of one cell, cut in one way: what one margins file holds."""

    cell: str
    split: str
    kind: str
    images: Tensor
    """uint8 (N, S, S, 3)."""
    origins: np.ndarray
    """int32 (P, 2) of a grid, or (N, P, 2) of crops."""
    labels: np.ndarray
    """uint8 (N,)."""
    rows: np.ndarray
    """int32 (N,): the images' rows in the packed cell."""
    packed_hash: str

    def save(
        self, run_folder: Path, margins: np.ndarray, epochs: np.ndarray, crops_seed: int
    ) -> None:
        """Writes margins (E, N, P) of the given epochs where the contract has them."""
        path = paths.margins(run_folder, self.cell, self.split, self.kind)
        content = Margins(margins, self.labels, self.origins, epochs, self.rows)
        save_margins(path, content, packed_hash=self.packed_hash, crops_seed=crops_seed)


def scoring_sets(run: Run, packed: dict[str, Packed], device: torch.device) -> list[ScoringSet]:
    """What a network of this run scores.

    The test split of every cell and the validation split of the training cell, each as a grid and,
    unless the patch is the whole image, as crops. With the quirk `strips`, the grid patches of
    the other cells are strips of the image.
    """
    wanted = [(cell, "test") for cell in packed] + [(run.train, "validation")]
    sets = []
    for cell, split in wanted:
        rows = packed[cell].rows(split)
        pixels = packed[cell].images[rows[0] : rows[-1] + 1]
        once = cell in run.study.altered()
        images = torch.from_numpy(pixels) if once else resident(pixels, device)
        folded = run.study.quirks.strips and cell != run.train
        labels = packed[cell].manifest["label"].to_numpy(np.uint8)[rows]
        rest = {"labels": labels, "rows": rows, "packed_hash": packed[cell].side["hashes"][split]}
        for kind in ("grid",) if run.is_whole_image else ("grid", "crops"):
            origins = _origins(run, packed[cell], rows, kind)
            strip = folded and kind == "grid"
            shown = resident(strips(pixels, run.patch_size), device) if strip else images
            sets.append(ScoringSet(cell, split, kind, shown, origins, **rest))
    return sets


def _origins(run: Run, packed: Packed, rows: np.ndarray, kind: str) -> np.ndarray:
    size = run.study.data.image_size
    if kind == "grid":
        return grid_origins(size, run.patch_size)
    names, count = packed.manifest["image_id"].iloc[rows], run.study.crops(run.patch_size)
    return crop_origins(list(names), size, run.patch_size, count, seed=run.study.data.seed)


def resident(images: np.ndarray, device: torch.device) -> Tensor:
    """The images on the device if they take no more than half of its free memory, else mapped."""
    tensor = torch.from_numpy(images)
    if device.type == "cuda" and images.nbytes < torch.cuda.mem_get_info(device)[0] // 2:
        return tensor.to(device)
    return tensor


@torch.inference_mode()
def score(scorer: Scorer, images: Tensor, origins: np.ndarray, patch_size: int) -> np.ndarray:
    """The margins of all patches of some images.

    Args:
        scorer: of the network, on any device.
        images: uint8 (N, S, S, 3), on the network's device or not.
        origins: int32 (P, 2), the same for all images, or (N, P, 2).
        patch_size: p, px.

    Returns:
        float32 (N, P).
    """
    count, per_image = len(images), origins.shape[-2]
    everywhere = np.broadcast_to(origins, (count, per_image, 2)).reshape(-1, 2)
    corners = torch.from_numpy(everywhere.astype(np.int64)).to(images.device)  # (N·P, 2)
    index = torch.arange(count, device=images.device).repeat_interleave(per_image)  # (N·P,)
    margins = torch.empty(count * per_image, device=scorer.device)
    each = patch_size**2 * scorer.precision.itemsize
    step = max(1, BYTES_PER_BATCH[scorer.device.type] // each)
    for part in (slice(start, start + step) for start in range(0, len(index), step)):
        batch = cut(images, index[part], corners[part], patch_size).to(scorer.device)
        margins[part] = scorer.margins(batch)
    return margins.reshape(count, per_image).cpu().numpy()
