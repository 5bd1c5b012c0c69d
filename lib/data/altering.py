"""Altered test images: the same pictures, in the same order, compressed, resized or blurred.

They keep their `image_id`, on which random crops depend, so a network's verdicts on them are
compared with those on the unaltered images picture by picture, crop by crop.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image, ImageFilter

from lib.data.pictures import FILTERS, compress
from lib.progress import bar
from lib.settings import Altered


def alter(pixels: np.ndarray, how: Altered, resample: str) -> np.ndarray:
    """One altered picture.

    Args:
        pixels: uint8 (S, S, 3) RGB.
        how: the alteration. The blur is Pillow's, three box blurs in place of a Gaussian.
        resample: a key of `FILTERS`, by which a picture is shrunk and enlarged.

    Returns:
        uint8 (S, S, 3) RGB.
    """
    picture = Image.fromarray(pixels)
    if how.jpeg_quality is not None:
        picture = compress(picture, how.jpeg_quality)
    elif how.scale is not None:
        small = round(picture.width * how.scale)
        picture = picture.resize((small, small), FILTERS[resample])
        picture = picture.resize(pixels.shape[:2], FILTERS[resample])
    elif how.blur is not None:
        picture = picture.filter(ImageFilter.GaussianBlur(how.blur))
    return np.asarray(picture)


def recipe(how: Altered, base: dict[str, Any]) -> dict[str, Any]:
    """All that the altered images depend on.

    Args:
        how: the alteration.
        base: the `packed.json` of the cell that is altered.
    """
    data = base["recipe"]["data"]
    data = {**data, "per_class": {"test": data["per_class"]["test"]}}
    named = {"test_images_of": how.test_images_of, "test_images": base["hashes"]["test"]}
    return {**named, **how.change, "data": data}


def stale(folder: Path, wanted: dict[str, Any]) -> str | None:
    """None if what is packed was made by the `wanted` recipe; else why not, empty if none is."""
    side = folder / "packed.json"
    if not side.is_file():
        return ""
    there = json.loads(side.read_text("utf-8"))["recipe"]
    changed = [key for key in {**wanted, **there} if there.get(key) != wanted.get(key)]
    return f" again: {', '.join(changed)} changed" if changed else None


def write(draft: Path, base: Path, how: Altered, resample: str) -> pd.DataFrame:
    """Writes a cell's altered test images, and its tables' rows about them, into a new folder.

    Args:
        draft: the folder; an unfinished one is begun anew.
        base: the packed cell that is altered; each of its tables has a row per image.
        how: the alteration.
        resample: a key of `FILTERS`.

    Returns:
        The manifest.
    """
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    images = np.load(base / "images.npy", mmap_mode="r")
    rows = np.flatnonzero(pd.read_parquet(base / "manifest.parquet")["split"] == "test")
    for table in base.glob("*.parquet"):
        chosen = pd.read_parquet(table).iloc[rows].reset_index(drop=True)
        chosen.to_parquet(draft / table.name, index=False)
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), *images.shape[1:])}
    # Plain writes, a picture at a time: a full disk raises an error, and memory stays small.
    with open(draft / "images.npy", "wb") as file:
        np.lib.format.write_array_header_2_0(file, header)
        for row in bar(iterable=rows, desc=how.title, unit="image"):
            file.write(alter(images[row], how, resample).tobytes())
    return pd.read_parquet(draft / "manifest.parquet")
