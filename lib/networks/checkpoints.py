"""A training's state on disk: a folder per finished epoch, and of the needed ones the networks.

All tensors are safetensors: the backbone's own state and the optimizer's. A run is made beside its
final folder; an epoch's folder is renamed when it is whole, so that a kill loses one epoch at most.
"""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from lib import margins
from lib.networks import devices
from lib.networks.classifier import PatchNet
from lib.networks.scoring import ScoringSet
from lib.study import files, paths

NETWORK = "network.safetensors"
OPTIMIZER = "optimizer.safetensors"


class Epochs:
    """The epochs that a run has finished: their rows of the history, margins and states."""

    def __init__(self, folder: Path, network: PatchNet, optimizer: torch.optim.Optimizer) -> None:
        """Opens what `folder` holds of a run; brings both states to its latest epoch's end."""
        self.folder, self.network, self.optimizer = folder, network, optimizer
        rows = (folder / "epochs").glob("[0-9]*/row.json")
        rows = sorted(rows, key=lambda row: int(row.parent.name))  # 1000 comes after 999
        with files.reading(folder / "epochs", margins.anew(folder)):
            self.history: list[dict[str, Any]] = [json.loads(r.read_text("utf-8")) for r in rows]
        if self.history:
            restore(self._of(len(self.history) - 1), network, optimizer)
            self._prune()

    @property
    def best(self) -> int:
        """The validated epoch so far."""
        return margins.validated_epoch(np.array([r["validation_accuracy"] for r in self.history]))

    @devices.by_first
    def draft(self, epoch: int) -> Path:
        """An empty folder for what an epoch leaves, under another name until it is whole."""
        folder = self.folder / "epochs" / f".{epoch:03d}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def finish(self, draft: Path, row: dict[str, Any]) -> None:
        """Keeps an epoch: its margins, which lie in `draft`, its row of the history, the states."""
        self.history.append(row)
        if devices.RANK > 0:
            return
        save(draft, self.network, self.optimizer)
        (draft / "row.json").write_text(json.dumps(row), "utf-8")
        draft.rename(self._of(row["epoch"]))
        self._prune()

    @devices.by_first
    def join(self, sets: list[ScoringSet], crops_seed: int) -> None:
        """Writes the run's margins of all epochs, and its best and last network."""
        numbers = [row["epoch"] for row in self.history]
        for scored in sets:
            where = (scored.cell, scored.split, scored.kind)
            parts = [margins.read(paths.margins(self._of(epoch), *where)) for epoch in numbers]
            joined = np.concatenate([part.margins for part in parts])
            scored.save(self.folder, joined, np.array(numbers, np.int32), crops_seed)
        for name, epoch in (("last", numbers[-1]), ("best", self.best)):
            source, target = self._of(epoch) / NETWORK, self.folder / f"{name}.safetensors"
            paths.write_whole(target, partial(shutil.copyfile, source))

    def _of(self, epoch: int) -> Path:
        return self.folder / "epochs" / f"{epoch:03d}"

    @devices.by_first
    def _prune(self) -> None:
        """Keeps the states that are still needed: the latest epoch's and the validated one's."""
        table = pd.DataFrame(self.history)
        paths.write_whole(self.folder / "history.csv", lambda p: table.to_csv(p, index=False))
        for epoch in range(len(self.history) - 1):
            (self._of(epoch) / OPTIMIZER).unlink(missing_ok=True)
            if epoch != self.best:
                (self._of(epoch) / NETWORK).unlink(missing_ok=True)


def save(folder: Path, network: PatchNet, optimizer: torch.optim.Optimizer) -> None:
    """Writes both states into `folder`."""
    save_file(_plain(network.backbone.state_dict()), folder / NETWORK)
    states = optimizer.state_dict()["state"]
    named = {f"{k}.{name}": value for k, state in states.items() for name, value in state.items()}
    save_file(_plain(named), folder / OPTIMIZER)


def restore(folder: Path, network: PatchNet, optimizer: torch.optim.Optimizer) -> None:
    """Reads both states back into a network and its optimizer, bit for bit."""
    network.load(folder / NETWORK)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    with files.reading(folder / OPTIMIZER, margins.anew(folder)):
        states = load_file(folder / OPTIMIZER)
    for key, value in states.items():
        number, name = key.split(".")
        like = parameters[int(number)]
        if value.shape == like.shape:  # in the parameter's own memory format
            value = torch.empty_like(like).copy_(value)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})


def _plain(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous tensors on the CPU, none twice, as safetensors stores them."""
    plain, addresses = {}, set()
    for name, tensor in tensors.items():
        moved = tensor.detach().cpu().contiguous()
        plain[name] = moved.clone() if moved.data_ptr() in addresses else moved  # a shared layer's
        addresses.add(moved.data_ptr())
    return plain
