"""The folder of a run: its config, what may not be mixed, and its margins. Needs no torch."""

import json
import platform
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from safetensors import safe_open
from safetensors.numpy import save_file

from lib.study import files, own_code, paths
from lib.study.run import Run

# What a config records that does not forbid going on with a run.
RECORDED = ("versions", "git_commit", "device", "threads", "earlier", "model.parameters")
PACKAGES = ("torch", "timm", "numpy", "pillow", "patchwise")


class RunError(RuntimeError):
    """A run is missing, or was made with other parameters; the message says what to do."""


@dataclass(frozen=True)
class Margins:
    """One network's margins on one split of one test cell, of every epoch, image and patch.

    Of an altered cell there is one epoch, the validated.
    """

    margins: np.ndarray  # float32 (E, N, P): z = logit(fake) − logit(real)
    labels: np.ndarray  # uint8 (N,): real = 0, fake = 1
    origins: np.ndarray  # int32 (P, 2) of a grid or (N, P, 2) of crops: top-left row and column, px
    epochs: np.ndarray  # int32 (E,): the epochs' numbers, from 0
    image_index: np.ndarray  # int32 (N,): each image's row in the manifest of the packed cell


def config(run: Run, packed_hashes: dict[str, dict[str, str]], **decided: Any) -> dict[str, Any]:
    """All that a run's results depend on, and what is recorded beside it.

    `packed_hashes` are those of the packed splits that the run uses, per cell; `decided` is what
    was decided when it began: `precision`, `device`, …
    """
    installed = {package: _version(package) for package in PACKAGES}
    versions = {"python": platform.python_version(), **installed}
    recorded = {"versions": versions, "git_commit": _git_commit()}
    return {**protocol(run), "packed": packed_hashes, **decided, **recorded}


def protocol(run: Run) -> dict[str, Any]:
    """The parameters that a run's results depend on; ParameterError if its own code is missing."""
    study, sections = run.study, run.study.network_protocol
    if own_code.is_own(study.model.name):
        sections["model"]["source"] = own_code.digest(study.model.name)
    return {
        "study": study.name,
        "train": run.train,
        "variant": study.networks,
        "patch_size": run.patch_size,
        "seed": run.seed,
        **sections,
        "crops_per_image": None if run.is_whole_image else study.crops(run.patch_size),
    }


def refuse_mixing(folder: Path, wanted: dict[str, Any]) -> None:
    """Raises RunError if the run in `folder` was made with other parameters, naming them.

    `wanted` is a whole `config`, or sections of one, such as a `protocol`; others are not compared.
    """
    here, stored = _flat(wanted), read_config(folder)
    there = _flat({key: stored[key] for key in stored if key in wanted})
    changed = [
        f"{key} is {there.get(key)!r} there, {here.get(key)!r} here"
        for key in {**here, **there}
        if here.get(key) != there.get(key) and not key.startswith(RECORDED)
    ]
    if changed:
        raise RunError(
            f"{folder} was made with other parameters: {'; '.join(changed)}. Give the change a "
            f"variant's name to keep both, or delete that folder to make it anew"
        )


def stored_precision(run: Run) -> str | None:
    """With `precision: auto`, what a run already decided, finished or not: it keeps to it."""
    for folder in (run.folder, paths.beside(run.folder)):
        if run.study.training.precision == "auto" and (folder / "config.json").is_file():
            return read_config(folder).get("precision")
    return None


def read_config(folder: Path) -> dict[str, Any]:
    """A run's stored config."""
    with files.reading(folder / "config.json", anew(folder)):
        return dict(json.loads((folder / "config.json").read_text("utf-8")))


def require(run: Run) -> Path:
    """The folder of a finished run, or a RunError that names the command that trains it."""
    if not run.is_finished:
        began = " (it began and did not finish)" if paths.beside(run.folder).exists() else ""
        raise RunError(
            f"no trained network in {run.folder}{began}. Train it first, from the project's "
            f"folder:\n  {run.command('01_patch_accuracy')}"
        )
    return run.folder


def history(run: Run) -> pd.DataFrame:
    """A row per epoch of a finished run: loss, accuracies, seconds."""
    path = require(run) / "history.csv"
    files.hold_to_record(run.folder, path, anew(run.folder))
    with files.reading(path, anew(run.folder)):
        return pd.read_csv(path).astype({"epoch": int, "validation_accuracy": float})


def validated_epoch(accuracies: np.ndarray) -> int:
    """The row with the highest validation accuracy, the earliest on ties."""
    return int(np.argmax(accuracies))


def validated(run: Run) -> int:
    """The epoch with the highest per-patch validation accuracy, the earliest on ties."""
    epochs = history(run)
    return int(epochs["epoch"].iloc[validated_epoch(epochs["validation_accuracy"].to_numpy())])


def save(path: Path, margins: Margins, *, packed_hash: str, crops_seed: int) -> None:
    """Writes margins with their metadata, whole or not at all."""
    tensors = {name: np.ascontiguousarray(value) for name, value in vars(margins).items()}
    metadata = {"packed_hash": packed_hash, "crops_seed": str(crops_seed)}
    paths.write_whole(path, lambda temporary: save_file(tensors, temporary, metadata))


def read(path: Path, epoch: int | None = None) -> Margins:
    """Reads one margins file, or of its margins those of one epoch alone."""
    with files.reading(path, anew(path)), safe_open(path, framework="numpy") as file:
        names = set(Margins.__annotations__) - {"margins"}
        tensors = {name: file.get_tensor(name) for name in names}
        if epoch is None:
            return Margins(margins=file.get_tensor("margins"), **tensors)
        (row,) = np.flatnonzero(tensors["epochs"] == epoch)
        tensors["epochs"] = tensors["epochs"][row : row + 1]
        return Margins(margins=file.get_slice("margins")[row : row + 1], **tensors)


def load(
    run: Run, cell: str, split: str = "test", kind: str = "grid", epoch: int | None = None
) -> Margins:
    """Reads the margins of a finished run on a test cell, of one epoch or all.

    `split` may be `validation` of the training cell, and `kind` may be `crops`. Raises RunError if
    they are not there, naming the command that makes them; if the run was made with other
    parameters, naming them; else as `stored`.
    """
    refuse_mixing(require(run), protocol(run))
    return stored(run, cell, split, kind, epoch)


def stored(
    run: Run, cell: str, split: str, kind: str = "grid", epoch: int | None = None
) -> Margins:
    """As `load`, of a run of which it is known that it was made as its study says.

    Raises RunError if there are no such margins, if they hold NaN, or if they are of other images
    than the run was made with, or than are packed now; DamagedError if they are not as recorded.
    """
    path = paths.margins(run.folder, cell, split, kind)
    if not path.is_file():
        folder = run.folder / "margins"
        there = [f.relative_to(folder).as_posix() for f in sorted(folder.rglob("*.safetensors"))]
        raise RunError(f"{path}: no such margins; the run has {', '.join(there) or 'none'}")
    margins = read(path, epoch)
    if not np.isfinite(margins.margins).all():
        raise RunError(f"{path}: holds margins that are not finite numbers{anew(run.folder)}")
    _hold(path)
    files.hold_to_record(run.folder, path, anew(run.folder))
    return margins


def _hold(path: Path) -> None:
    """Raises RunError unless margins are of the images that their run was made with, packed now."""
    folder, cell, split = path.parents[2], path.parent.name, path.stem.partition("-")[0]
    with files.reading(path, anew(path)), safe_open(path, framework="numpy") as file:
        scored = file.metadata()["packed_hash"]
    made = read_config(folder)
    with files.reading(folder / "config.json", anew(folder)):
        hashes = {"their run": made["packed"].get(cell, {})}
        side = paths.packed(made["study"], cell) / "packed.json"
    if side.is_file():  # votes need no images
        with files.reading(side, ". Pack it anew: python -m lib pack"):
            hashes[str(side.parent)] = json.loads(side.read_text("utf-8"))["hashes"]
    for where, known in hashes.items():
        if scored != known.get(split, known.get("test")):  # with folds there is no other split
            raise RunError(f"{path}: are of other images than {where} has{anew(path)}")


def check(folder: Path) -> str:
    """Raises DamagedError or RunError unless a finished run is as recorded; says what of it is.

    Of a run that was made before files were recorded, only its margins' images are.
    """
    for path in sorted((folder / "margins").glob("*/[!.]*.safetensors")):
        _hold(path)
    if files.check(folder, anew(folder)):
        return "as recorded"
    return "of the images recorded (its files' digests were not)"


def anew(path: Path) -> str:
    """What a message on a file of a run ends in: how the run is made anew."""
    folder = next((p for p in (path, *path.parents) if p.name.startswith("seed")), path)
    return f". Delete {folder} to train anew"


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    items: dict[str, Any] = {}
    for key, value in nested.items():
        name = prefix + key
        items |= _flat(value, f"{name}.") if isinstance(value, dict) else {name: value}
    return items


def _version(package: str) -> str | None:
    with suppress(PackageNotFoundError):  # lib also runs uninstalled, from the checkout
        return version(package)


def _git_commit() -> str | None:
    command = ["git", "-C", str(paths.ROOT), "describe", "--always", "--dirty", "--abbrev=40"]
    with suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
