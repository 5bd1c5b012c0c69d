"""What tests share: folders of their own, small pictures, studies of folders, finished runs."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from PIL import Image

from lib import margins
from lib.study import paths
from lib.study.run import Run
from lib.study.study import Study

matplotlib.use("Agg")
settings.register_profile(
    "patchwise",
    deadline=None,
    max_examples=40,
    derandomize=bool(os.environ.get("CI")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("patchwise")

CELL, SISTER = "leaves-gan_a", "leaves-gan_b"


@pytest.fixture
def work(tmp_path, monkeypatch) -> Path:
    """A folder of the test's own; all that lib reads and writes lies below it."""
    monkeypatch.setenv("PATCHWISE_WORK", str(tmp_path / "work"))
    monkeypatch.setenv("PATCHWISE_DATA", str(tmp_path / "data"))
    return tmp_path


@pytest.fixture
def draw(work) -> Callable[..., list[Path]]:
    """Writes PNGs of noise, no two alike, below the data folder."""

    def write(folder: str, count: int, size: int = 16) -> list[Path]:
        generator = np.random.default_rng(list(folder.encode()))
        files = [work / "data" / folder / f"{number:04d}.png" for number in range(count)]
        for file in files:
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = generator.integers(0, 256, (size, size, 3), np.uint8)
            Image.fromarray(pixels).save(file)
        return files

    return write


@pytest.fixture
def make_study() -> Callable[..., Study]:
    """A study of real pictures: two generators beside the same photographs."""

    def make(**changes) -> Study:
        real = {"kind": "files", "path": "leaves"}
        cells = {
            cell: {"real": real, "fake": {"kind": "files", "path": cell.partition("-")[2]}}
            for cell in (CELL, SISTER)
        }
        content = {
            "name": "tiny",
            "title": "Leaves and two generators",
            "data": {"image_size": 16, "per_class": {"train": 3, "validation": 2, "test": 4}},
            "cells": cells,
            "train_on": [CELL],
            "patch_sizes": [16, 8],
            "bootstrap": {"resamples": 200},
        }
        return Study(**{**content, **changes})

    return make


@pytest.fixture
def make_run(make_study) -> Callable[..., Run]:
    """A run on the first cell of `make_study`."""

    def make(patch_size: int = 8, seed: int = 0, test_gan: str | None = None, **changes) -> Run:
        return Run(
            study=make_study(**changes),
            dataset="leaves",
            gan="gan_a",
            patch_size=patch_size,
            seed=seed,
            test_gan=test_gan,
        )

    return make


def hashes_of(run: Run, cell: str) -> dict[str, str]:
    """Those of a cell's splits, or some where it is not packed."""
    side = paths.packed(run.study.name, cell) / "packed.json"
    there = json.loads(side.read_text("utf-8"))["hashes"] if side.is_file() else {}
    return {"test": "abc", "validation": "abc", **there}


@pytest.fixture
def finish(work) -> Callable[..., margins.Margins]:
    """Lays down a finished run as training would: config, history, margins of a test split."""

    def lay(
        run: Run,
        z: np.ndarray,
        labels: list[int],
        validation: list[float],
        kind: str = "grid",
        cell: str | None = None,
    ) -> margins.Margins:
        z = np.asarray(z, np.float32)
        epochs, images, patches = z.shape
        run.folder.mkdir(parents=True, exist_ok=True)
        hashes = {name: hashes_of(run, name) for name in (*run.study.cells, cell or run.test)}
        config = margins.config(run, hashes, precision="fp32", device="CPU")
        config["model"]["parameters"] = 7
        (run.folder / "config.json").write_text(json.dumps(config), "utf-8")
        history = pd.DataFrame({"epoch": range(epochs), "loss": 0.5})
        history["validation_accuracy"] = validation
        history["test_accuracy"] = 0.5
        history["training_seconds"], history["scoring_seconds"] = 2.0, 1.0
        history.to_csv(run.folder / "history.csv", index=False)
        shape = (patches, 2) if kind == "grid" else (images, patches, 2)
        laid = margins.Margins(
            z,
            np.array(labels, np.uint8),
            np.zeros(shape, np.int32),
            np.arange(epochs, dtype=np.int32),
            np.arange(images, dtype=np.int32),
        )
        where = [(cell or run.test, "test", kind)]
        if kind == "grid" and (cell or run.test) == run.train:
            where.append((run.train, "validation", kind))  # as if they were the same images
        for each in where:
            path, of = paths.margins(run.folder, *each), hashes[each[0]][each[1]]
            margins.save(path, laid, packed_hash=of, crops_seed=run.study.data.seed)
        return laid

    return lay
