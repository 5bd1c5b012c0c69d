"""The folder of a run: its config, what may not be mixed, and its margins. Needs no torch."""

import json
import platform
import subprocess
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open
from safetensors.numpy import save_file

from lib import paths
from lib.study import Run

RECORDED = ("versions", "git_commit", "device", "model.parameters")
"""What a config records that does not forbid going on with a run."""
PACKAGES = ("torch", "timm", "numpy", "pillow", "patchwise")


class RunError(RuntimeError):
    """A run is missing, or was made with other parameters; the message says what to do."""


@dataclass(frozen=True)
class Margins:
    """One network's margins on one split of one test cell."""

    margins: np.ndarray
    """float32 (E, N, P): z = logit(fake) − logit(real) of every epoch, image and patch.

    Of an altered cell there is one epoch, the validated."""
    labels: np.ndarray
    """uint8 (N,): real = 0, fake = 1."""
    origins: np.ndarray
    """int32 (P, 2) of a grid or (N, P, 2) of crops: top-left row and column, px."""
    epochs: np.ndarray
    """int32 (E,): the epochs' numbers, from 0."""
    image_index: np.ndarray
    """int32 (N,): each image's row in the manifest of the packed cell."""


def config(run: Run, packed_hashes: dict[str, dict[str, str]], **found: Any) -> dict[str, Any]:
    """All that a run's results depend on, and what is recorded beside it.

    Args:
        run: the run.
        packed_hashes: per cell, the hashes of the packed splits that the run uses.
        found: what was decided when it began: `precision`, `device`, …
    """
    return {
        **protocol(run),
        "packed": packed_hashes,
        **found,
        "versions": {"python": platform.python_version(), **_versions()},
        "git_commit": _git_commit(),
    }


def protocol(run: Run) -> dict[str, Any]:
    """The parameters that a run's results depend on, as its config has them."""
    study = run.study
    return {
        "study": study.name,
        "train": run.train,
        "variant": study.networks,
        "patch_size": run.patch_size,
        "seed": run.seed,
        **study.network_protocol,
        "crops_per_image": None if run.is_whole_image else study.crops(run.patch_size),
    }


def refuse_mixing(folder: Path, wanted: dict[str, Any]) -> None:
    """Raises RunError if the run in `folder` was made with other parameters, naming them.

    Args:
        folder: the run's.
        wanted: a whole `config`, or sections of one, such as a `protocol`; others are not compared.
    """
    stored = {key: value for key, value in read_config(folder).items() if key in wanted}
    here, there = _flat(wanted), _flat(stored)
    compared = [key for key in {**here, **there} if not key.startswith(RECORDED)]
    changed = [
        f"{key} is {there.get(key)!r} there, {here.get(key)!r} here"
        for key in compared
        if here.get(key) != there.get(key)
    ]
    if changed:
        raise RunError(
            f"{folder} was made with other parameters: {'; '.join(changed)}. Give the change a "
            f"variant's name to keep both, or delete that folder to train anew"
        )


def stored_precision(run: Run) -> str | None:
    """With `precision: auto`, what a run already decided, finished or not: it keeps to it."""
    for folder in (run.folder, paths.beside(run.folder)):
        if run.study.training.precision == "auto" and (folder / "config.json").is_file():
            return read_config(folder)["precision"]
    return None


def read_config(folder: Path) -> dict[str, Any]:
    """A run's stored config."""
    return json.loads((folder / "config.json").read_text("utf-8"))


def require(run: Run) -> Path:
    """The folder of a finished run.

    Raises:
        RunError: naming the command that trains it.
    """
    if not run.is_finished:
        began = " (it began and did not finish)" if paths.beside(run.folder).exists() else ""
        raise RunError(
            f"no trained network in {run.folder}{began}. Train it first, from the project's "
            f"folder:\n  {run.command('01_patch_accuracy')}"
        )
    return run.folder


def history(run: Run) -> pd.DataFrame:
    """A row per epoch of a finished run: loss, accuracies, seconds."""
    return pd.read_csv(require(run) / "history.csv")


def validated_epoch(accuracies: np.ndarray) -> int:
    """The row with the highest validation accuracy, the earliest on ties."""
    return int(np.argmax(accuracies))


def validated(run: Run) -> int:
    """The epoch with the highest per-patch validation accuracy, the earliest on ties."""
    epochs = history(run)
    return int(epochs["epoch"].iloc[validated_epoch(epochs["validation_accuracy"].to_numpy())])


def save_margins(path: Path, margins: Margins, *, packed_hash: str, crops_seed: int) -> None:
    """Writes margins with their metadata, whole or not at all."""
    tensors = {name: np.ascontiguousarray(value) for name, value in vars(margins).items()}
    metadata = {"packed_hash": packed_hash, "crops_seed": str(crops_seed)}
    paths.write_whole(path, lambda temporary: save_file(tensors, temporary, metadata))


def load_margins_file(path: Path, epoch: int | None = None) -> Margins:
    """Reads one margins file, or of its margins those of one epoch alone."""
    with safe_open(path, framework="numpy") as file:
        found = {
            name: file.get_tensor(name) for name in Margins.__annotations__ if name != "margins"
        }
        if epoch is None:
            return Margins(margins=file.get_tensor("margins"), **found)
        (row,) = np.flatnonzero(found["epochs"] == epoch)
        found["epochs"] = found["epochs"][row : row + 1]
        return Margins(margins=file.get_slice("margins")[row : row + 1], **found)


def load_margins(
    run: Run, cell: str, split: str = "test", kind: str = "grid", epoch: int | None = None
) -> Margins:
    """Reads the margins of a finished run.

    Args:
        run: the run.
        cell: a test cell.
        split: `test`, or `validation` of the training cell.
        kind: `grid` or `crops`.
        epoch: the epoch to read; all if None.

    Raises:
        RunError: if they are not there, naming the command that makes them; if the run was made
            with other parameters, naming them; if they hold NaN.
    """
    refuse_mixing(require(run), protocol(run))
    path = paths.margins(run.folder, cell, split, kind)
    if not path.is_file():
        raise RunError(f"{path}: no such margins; the run has {_available(run)}")
    margins = load_margins_file(path, epoch)
    if not np.isfinite(margins.margins).all():
        raise RunError(f"{path}: holds margins that are not finite numbers; delete the run")
    return margins


def _available(run: Run) -> str:
    folder = run.folder / "margins"
    found = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*.safetensors"))
    return ", ".join(found) or "none"


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    items: dict[str, Any] = {}
    for key, value in nested.items():
        inner = (
            _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {prefix + key: value}
        )
        items |= inner
    return items


def _versions() -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # lib also runs uninstalled, from the checkout
            found[package] = None
    return found


def _git_commit() -> str | None:
    command = ["git", "-C", str(paths.ROOT), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
