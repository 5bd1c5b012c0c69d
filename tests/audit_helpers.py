"""What the tests of the audit share: cells that need no packing."""

import hashlib
import io

import numpy as np
import pandas as pd
from PIL import Image

from lib.data import near_duplicates
from lib.data.packed import Packed

NO_FILE = {"bytes": np.nan, "bits": 8, "mode": "RGB", "quality": np.nan, "tables": ""}
NO_FILE |= {"subsampling": "", "progressive": False}
PASSED_OVER = {"no face": [], "near duplicate": [["9.png", "like 8.png"]], "identity": []}


def cell(images: np.ndarray, labels: list[int], splits: list[str] | None = None, **files) -> Packed:
    """A cell of these pictures; `files` are columns of its files, by default none are files."""
    size, count = images.shape[1], len(images)
    kind = {"format": files.pop("format", "simulated")}
    kind |= {name: files.pop(name, size) for name in ("width", "height")}
    manifest = pd.DataFrame({"label": np.array(labels, np.uint8), **kind})
    manifest["split"] = splits or ["test"] * count
    manifest["image_id"] = [f"{('real', 'fake')[of]}/{n}.png" for n, of in enumerate(labels)]
    hashes = [near_duplicates.fingerprint(image) for image in images]
    columns = {**NO_FILE, "side": size, **files, "phash": hashes}
    recipe = {"data": {"crop": "centre", "resample": "lanczos", "jpeg_quality": None}}
    side = {"recipe": recipe, "real": {"passed_over": {}}, "fake": {"passed_over": PASSED_OVER}}
    return Packed(images, manifest, pd.DataFrame(columns, range(count)), side)


def picture(seed: int, size: int = 64) -> np.ndarray:
    """A smooth random picture, uint8 (S, S, 3)."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(30, 226, (24, 24, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def jpeg_cell(qualities: tuple[int, int], count: int = 40) -> Packed:
    """`count` pictures of each class, saved as JPEG at the class's quality."""
    labels = [0] * count + [1] * count
    contents = [saved(picture(seed), qualities[label]) for seed, label in enumerate(labels)]
    opened = [Image.open(io.BytesIO(content)) for content in contents]
    tables = [hashlib.sha256(str(file.quantization).encode()).hexdigest()[:8] for file in opened]
    return cell(
        np.stack([np.asarray(file) for file in opened]),
        labels,
        format="JPEG",
        bytes=[float(len(content)) for content in contents],
        quality=[float(qualities[label]) for label in labels],
        tables=tables,
        subsampling="4:2:0",
    )


def saved(pixels: np.ndarray, quality: int) -> bytes:
    memory = io.BytesIO()
    Image.fromarray(pixels).save(memory, "JPEG", quality=quality)
    return memory.getvalue()
