"""Trains one network and scores the test cells after each epoch; a killed run goes on.

A run is made beside its final folder: a folder per finished epoch holds its margins and, of the
latest, the network's and the optimizer's state. Batch order depends on (seed, epoch) alone, so
a run that goes on ends as an unbroken one would. When the last epoch is there the margins are
joined, altered test images are scored at the validated epoch alone, and the folder is renamed.
"""

import json
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from torch import Tensor

from lib import checkpoints, paths, runs
from lib.data import packing
from lib.fast import Scorer
from lib.models import DTYPES, PatchNet, parameter_count, pick_device, pick_precision
from lib.progress import bar
from lib.runs import load_margins_file, validated_epoch
from lib.scoring import ScoringSet, resident, score, scoring_sets
from lib.settings import Training
from lib.stepping import Stepper
from lib.study import Run

CHECK_EVERY = 50
"""Batches between two looks at whether the loss is still a number."""


class DivergedError(FloatingPointError):
    """The loss is no longer a finite number; the message says where and what to try."""


def train(run: Run, watch: Callable[[pd.DataFrame], object] | None = None) -> Path:
    """Trains and scores a run, goes on with an interrupted one, or finds it finished.

    Args:
        run: the run.
        watch: called with the history so far, a row per epoch, after each epoch.

    Returns:
        The run's folder.

    Raises:
        RunError: if the folder holds a run made with other parameters, naming them.
        DivergedError: if the loss is no longer finite.
        ParameterError: for a model or device that is not there, before anything is packed.
    """
    device = pick_device(run.study.training.device)
    network = PatchNet(run.study.model, seed=run.seed, quirks=run.study.quirks)
    cells = [run.train, *(cell for cell in run.study.cells if cell != run.train)]
    packed = {cell: packing.ensure(run.study, cell, train=cell == run.train) for cell in cells}
    precision = runs.stored_precision(run) or pick_precision(run.study.training.precision, device)
    used = {c: packing.SPLITS if c == run.train else packing.SPLITS[:1] for c in cells}
    hashes = {c: {s: packed[c].side["hashes"][s] for s in used[c]} for c in sorted(cells)}
    config = runs.config(run, hashes, precision=precision, device=describe(device))
    config["model"]["parameters"] = parameter_count(network)

    run.folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(run.folder.with_name(f".{run.folder.name}.lock")):
        if run.is_finished:
            runs.refuse_mixing(run.folder, config)
            return run.folder
        draft = paths.beside(run.folder)
        if (draft / "config.json").is_file():
            runs.refuse_mixing(draft, config)
        text = json.dumps(config, indent=1)
        paths.write_whole(draft / "config.json", lambda p: p.write_text(text, "utf-8"))
        network.to(device, memory_format=torch.channels_last)
        stepper = _stepper(run, network, packed[run.train], DTYPES[precision])
        sets = scoring_sets(run, packed, device)  # what is used in every step has the first place
        _Session(run, draft, stepper, sets).complete(watch)
        shutil.rmtree(run.folder, ignore_errors=True)  # what a removed config leaves is stale
        draft.rename(run.folder)
        shutil.rmtree(run.folder / "epochs")
    return run.folder


def describe(device: torch.device) -> str:
    """The device in words: a GPU's name, or the number of CPU threads."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads"


def _stepper(
    run: Run, network: PatchNet, packed: packing.Packed, precision: torch.dtype
) -> Stepper:
    """The network's training on the run's training split."""
    rows, device = packed.rows("train"), next(network.parameters()).device
    images = resident(packed.images[rows[0] : rows[-1] + 1], device)
    labels = torch.from_numpy(packed.manifest["label"].to_numpy(np.int64)[rows])
    return Stepper(network, images, labels, run.patch_size, precision)


class _Session:
    """One network on its way through the epochs, in the folder in which its run is made."""

    def __init__(self, run: Run, folder: Path, stepper: Stepper, sets: list[ScoringSet]) -> None:
        self.run, self.stepper, self.sets = run, stepper, sets
        self.network, self.optimizer = stepper.network, stepper.optimizer
        self.folder, self.epochs = folder, folder / "epochs"

    def complete(self, watch: Callable[[pd.DataFrame], object] | None) -> None:
        """Trains the epochs that are missing and joins what they scored."""
        history = self._resume()
        training = self.run.study.training
        for epoch in range(len(history), training.epochs):
            begun = time.perf_counter()
            loss, patches, rate = self._train_epoch(epoch)
            trained = time.perf_counter()
            row = {"epoch": epoch, "loss": loss, "patches": patches}
            row |= {"learning_rate": rate, "training_seconds": trained - begun}
            history.append(self._score_epoch(row))
            self._prune(history)
            if watch:
                watch(pd.DataFrame(history))
        self._join(history)

    def _train_epoch(self, epoch: int) -> tuple[float, int, float]:
        """One pass over the epoch's patches: the mean loss, how many there were, the first rate."""
        seed, training = self.run.seed, self.run.study.training
        drawn = epoch_patches(self.stepper.patches, training.patches_per_epoch, seed, epoch)
        parts = batches(drawn, training.batch_size)
        rates = learning_rates(training, epoch, len(parts))
        total, count = torch.zeros((), device=self.stepper.device), 0
        self.network.train()
        torch.manual_seed((seed << 20) + epoch)  # for backbones with dropout
        with bar(desc=f"epoch {epoch + 1} of {training.epochs}", total=len(drawn)) as progress:
            for number, (batch, rate) in enumerate(zip(parts, rates, strict=True)):
                total += self.stepper.step(batch, rate) * len(batch)
                count += len(batch)
                if number % CHECK_EVERY == 0:
                    self._check_finite(total, epoch, number)
                progress.update(len(batch))
        self._check_finite(total, epoch, number)
        return total.item() / count, count, rates[0]

    def _check_finite(self, total: Tensor, epoch: int, batch: int) -> None:
        if not torch.isfinite(total):
            training = self.run.study.training
            raise DivergedError(
                f"the loss is {total.item()} in epoch {epoch}, by batch {batch}, at learning rate "
                f"{training.learning_rate:g}. Under a variant's name lower training.learning_rate, "
                "or set training.precision to fp32; or delete what keeps the epochs before, "
                f"{self.folder}, and do so without"
            )

    def _score_epoch(self, row: dict[str, Any]) -> dict[str, Any]:
        """Scores every set and writes the epoch's folder, whole or not at all."""
        begun, epoch = time.perf_counter(), row["epoch"]
        draft = self.epochs / f".{epoch:03d}"
        shutil.rmtree(draft, ignore_errors=True)
        scorer = Scorer(self.network, self.stepper.precision)
        for scored in self._sets(altered=False):
            z = self._score(scorer, scored, draft, epoch)
            if scored.kind == "grid" and scored.cell == self.run.train:
                right = (z > 0) == scored.labels[:, None]
                row[f"{scored.split}_accuracy"] = float(right.mean())
        row["scoring_seconds"] = time.perf_counter() - begun
        checkpoints.save(draft, self.network, self.optimizer)
        (draft / "row.json").write_text(json.dumps(row), "utf-8")
        draft.rename(self._epoch_folder(epoch))
        return row

    def _sets(self, *, altered: bool) -> list[ScoringSet]:
        there = self.run.study.altered()
        return [scored for scored in self.sets if (scored.cell in there) == altered]

    def _score(self, scorer: Scorer, scored: ScoringSet, folder: Path, epoch: int) -> np.ndarray:
        """Scores a set and writes the margins; returns them, (N, P)."""
        z = score(scorer, scored.images, scored.origins, self.run.patch_size)
        scored.save(folder, z[None], np.array([epoch], np.int32), self.run.study.data.seed)
        return z

    def _epoch_folder(self, epoch: int) -> Path:
        return self.epochs / f"{epoch:03d}"

    def _resume(self) -> list[dict[str, Any]]:
        """Loads the latest finished epoch; returns the history so far."""
        found = sorted(self.epochs.glob("[0-9]*/row.json"))
        history = [json.loads(path.read_text("utf-8")) for path in found]
        if history:
            latest = self._epoch_folder(len(history) - 1)
            checkpoints.restore(latest, self.network, self.optimizer)
            self._prune(history)
        return history

    def _prune(self, history: list[dict[str, Any]]) -> None:
        """Keeps the states that are still needed: the latest epoch's and the validated one's."""
        table = pd.DataFrame(history)
        paths.write_whole(self.folder / "history.csv", lambda p: table.to_csv(p, index=False))
        latest, best = len(history) - 1, validated_epoch(table["validation_accuracy"].to_numpy())
        for epoch in range(latest):
            checkpoints.drop(self._epoch_folder(epoch), network=epoch != best)

    def _join(self, history: list[dict[str, Any]]) -> None:
        """Writes the run's final files from its epochs' folders."""
        numbers = [row["epoch"] for row in history]
        for scored in self._sets(altered=False):
            where = (scored.cell, scored.split, scored.kind)
            parts = [
                load_margins_file(paths.margins(self._epoch_folder(e), *where)) for e in numbers
            ]
            joined = np.concatenate([part.margins for part in parts])
            scored.save(self.folder, joined, np.array(numbers, np.int32), self.run.study.data.seed)
        best = validated_epoch(np.array([row["validation_accuracy"] for row in history]))
        for name, epoch in (("last", numbers[-1]), ("best", numbers[best])):
            source, target = self._epoch_folder(epoch), self.folder / f"{name}.safetensors"
            paths.write_whole(target, partial(shutil.copyfile, source / checkpoints.NETWORK))
        if altered := self._sets(altered=True):
            validated = checkpoints.load_network(self.folder / "best.safetensors", self.network)
            scorer = Scorer(validated, self.stepper.precision)
            for scored in altered:
                self._score(scorer, scored, self.folder, numbers[best])


def epoch_patches(patches: int, budget: int | None, seed: int, epoch: int) -> np.ndarray:
    """The patches of one epoch in the order of training, int64, from (seed, epoch) alone."""
    return np.random.default_rng((seed, epoch)).permutation(patches)[:budget]


def learning_rates(training: Training, epoch: int, steps: int) -> list[float]:
    """The learning rate of each of an epoch's steps."""
    if training.schedule == "constant":
        return [training.learning_rate] * steps
    done = (epoch * steps + np.arange(steps)) / (training.epochs * steps)  # (steps,), in [0, 1)
    return (training.learning_rate * (1 + np.cos(np.pi * done)) / 2).tolist()


def batches(drawn: np.ndarray, size: int) -> list[np.ndarray]:
    """Consecutive batches; a last batch of one is left out, since batch norm needs two."""
    parts = [drawn[start : start + size] for start in range(0, len(drawn), size)]
    return [part for part in parts if len(part) > 1]
