"""Trains one network and scores the test cells after each epoch; a killed run goes on.

A run is made beside its final folder; see `lib.networks.checkpoints`. Batch order depends on (seed,
epoch) alone, so a run that goes on ends as an unbroken one would. When the last epoch is there, its
margins are joined, altered test images are scored at the validated one, and the folder is renamed.
"""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from filelock import FileLock
from torch import Tensor, dtype
from torch.nn.functional import cross_entropy

from lib import margins
from lib.data import packed
from lib.networks import classifier
from lib.networks.checkpoints import Epochs
from lib.networks.classifier import DTYPES, PatchNet
from lib.networks.cpu_speed import Scorer, for_training
from lib.networks.own_network import OwnNetwork
from lib.networks.replayed import Replayed
from lib.networks.scoring import ScoringSet, resident, score, scoring_sets
from lib.patches import cut, grid_origins
from lib.progress import bar
from lib.study import paths
from lib.study.run import Run
from lib.study.schema import Training

CHECK_EVERY = 50  # batches between two looks at whether the loss is still a number


class DivergedError(FloatingPointError):
    """The loss is no longer a finite number; the message says where and what to try."""


def train(run: Run, watch: Callable[[pd.DataFrame], object] | None = None) -> Path:
    """Trains and scores a run, goes on with an interrupted one, or finds it finished in its folder.

    `watch` is called after each epoch with the history so far, a row per epoch.

    Raises:
        ParameterError: for a model or device that is not there, before any data are opened.
        PackedError: if packed data are missing or stale, naming the command that makes them.
        RunError: if the folder holds a run made with other parameters, naming them.
        DivergedError: if the loss is no longer finite.
    """
    study, device = run.study, classifier.pick_device(run.study.training.device)
    network = PatchNet(study.model, seed=run.seed, patch_size=run.patch_size, quirks=study.quirks)
    cells = [run.train, *(cell for cell in study.cells if cell != run.train)]
    data = {cell: packed.load(study, cell, train=cell == run.train) for cell in cells}
    picked = classifier.pick_precision(study.training.precision, device)
    precision = "fp32" if network.in_float32 else margins.stored_precision(run) or picked
    used = {c: packed.SPLITS if c == run.train else packed.SPLITS[:1] for c in cells}
    hashes = {c: {s: data[c].side["hashes"][s] for s in used[c]} for c in sorted(cells)}
    config = margins.config(run, hashes, precision=precision, device=classifier.describe(device))
    config["model"]["parameters"] = classifier.parameter_count(network)

    run.folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(run.folder.with_name(f".{run.folder.name}.lock")):
        if run.is_finished:
            margins.refuse_mixing(run.folder, config)
            return run.folder
        draft = paths.beside(run.folder)
        if (draft / "config.json").is_file():
            margins.refuse_mixing(draft, config)
        text = json.dumps(config, indent=1)
        paths.write_whole(draft / "config.json", lambda p: p.write_text(text, "utf-8"))
        rows = data[run.train].rows("train")
        images = resident(data[run.train].images[rows[0] : rows[-1] + 1], device)
        labels = torch.from_numpy(data[run.train].manifest["label"].to_numpy(np.int64)[rows])
        stepper = Stepper(network.to(device), images, labels, run.patch_size, DTYPES[precision])
        if first := study.quirks.first_patches:
            names = data[run.train].manifest["image_id"].to_numpy()[rows]
            stepper.keep_first(first, names)
        sets = scoring_sets(run, data, device)  # what is used in every step has the first place
        _Session(run, draft, stepper, sets).complete(watch)
        shutil.rmtree(run.folder, ignore_errors=True)  # what a removed config leaves is stale
        draft.rename(run.folder)
        shutil.rmtree(run.folder / "epochs")
    return run.folder


class Stepper:
    """A network's training, a batch of grid patches at a time."""

    def __init__(
        self, network: PatchNet, images: Tensor, labels: Tensor, patch_size: int, precision: dtype
    ) -> None:
        """Prepares a network, whose steps are made faster, and its optimizer, Adam.

        The images are uint8 (N, S, S, 3), on the network's device or in the computer's memory, the
        labels int64 (N,); `precision` is float32, or bfloat16 for all but the last layer.
        """
        self.network, self.patch_size, self.precision = network, patch_size, precision
        self.device = next(network.parameters()).device
        self.images, self.labels = images, labels.to(self.device)
        corners = grid_origins(images.shape[1], patch_size).astype(np.int64)
        self.corners = torch.from_numpy(corners).to(images.device)
        self.patches = np.arange(len(images) * len(corners))
        """The grid patches that are trained on; patch k of image n is n · P + k."""
        self.logits = for_training(network)
        replayed = self.device.type == "cuda" and not isinstance(network.backbone, OwnNetwork)
        rate = torch.tensor(1e-3, device=self.device) if replayed else 1e-3
        self.optimizer = torch.optim.Adam(
            network.parameters(), lr=rate, fused=True, capturable=replayed
        )
        self.update = Replayed(self._update) if replayed else self._update

    def keep_first(self, count: int, names: np.ndarray) -> None:
        """Trains on `count` patches of each class alone: the first, by the images' names, (N,)."""
        order, each = np.argsort(names, kind="stable"), np.arange(len(self.corners))
        labels, kept = self.labels.cpu().numpy(), []
        for label in np.unique(labels):
            images = order[labels[order] == label]
            kept.append((images[:, None] * len(each) + each).ravel()[:count])
        self.patches = np.concatenate(kept)

    def step(self, batch: np.ndarray, learning_rate: float) -> Tensor:
        """One step on grid patches, int64 (B,), by their numbers.

        Returns the mean loss before the step, float32 (), on the device.
        """
        at = torch.from_numpy(batch)
        if self.images.device == self.device:
            at = self._moved(at)
        image, patch = at // len(self.corners), at % len(self.corners)  # (B,), (B,)
        x = self._moved(cut(self.images, image, self.corners[patch], self.patch_size))
        y = self.labels[self._moved(image)]
        (group,) = self.optimizer.param_groups
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(learning_rate)  # which a replayed step reads
        else:
            group["lr"] = learning_rate
        return self.update(x, y)

    def _update(self, x: Tensor, y: Tensor) -> Tensor:
        """One step on patches, uint8 (B, p, p, 3), and their labels, int64 (B,); its loss."""
        loss = cross_entropy(self.logits(x, self.precision), y)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def _moved(self, values: Tensor) -> Tensor:
        """To the device, without waiting for what it still does."""
        if values.device == self.device:
            return values
        return values.pin_memory().to(self.device, non_blocking=True)


class _Session:
    """One network on its way through the epochs, in the folder in which its run is made."""

    def __init__(self, run: Run, folder: Path, stepper: Stepper, sets: list[ScoringSet]) -> None:
        self.run, self.stepper, self.network = run, stepper, stepper.network
        self.epochs, altered = Epochs(folder, self.network, stepper.optimizer), run.study.altered()
        self.sets = [scored for scored in sets if scored.cell not in altered]
        self.altered = [scored for scored in sets if scored.cell in altered]

    def complete(self, watch: Callable[[pd.DataFrame], object] | None) -> None:
        """Trains and scores the epochs that are missing, joins what they scored, and the rest."""
        epochs = self.epochs
        for epoch in range(len(epochs.history), self.run.study.training.epochs):
            row = self._train_epoch(epoch)
            begun, draft = time.perf_counter(), epochs.draft(epoch)
            row |= self._score(self.sets, draft, epoch)
            row["scoring_seconds"] = time.perf_counter() - begun
            epochs.finish(draft, row)
            if watch:
                watch(pd.DataFrame(epochs.history))
        epochs.join(self.sets, self.run.study.data.seed)
        if self.altered:
            self.network.load(epochs.folder / "best.safetensors")
            self._score(self.altered, epochs.folder, epochs.best)

    def _train_epoch(self, epoch: int) -> dict[str, Any]:
        """One pass over the epoch's patches, and what the history says of it."""
        begun, seed, training = time.perf_counter(), self.run.seed, self.run.study.training
        drawn = epoch_patches(self.stepper.patches, training, seed, epoch)
        parts = batches(drawn, training.batch_size)
        rates = learning_rates(training, epoch, len(parts))
        total, count = torch.zeros((), device=self.stepper.device), 0
        self.network.train()
        torch.manual_seed((seed << 20) + epoch)  # for backbones with dropout
        with bar(desc=f"epoch {epoch + 1} of {training.epochs}", total=len(drawn)) as progress:
            for number, (batch, rate) in enumerate(zip(parts, rates, strict=True)):
                total += self.stepper.step(batch, rate) * len(batch)
                count += len(batch)
                looks = number % CHECK_EVERY == 0 or number == len(parts) - 1
                if looks and not torch.isfinite(total):
                    raise DivergedError(
                        f"the loss is {total.item()} in epoch {epoch}, by batch {number}, at "
                        f"learning rate {training.learning_rate:g}. Under a variant's name lower "
                        "training.learning_rate, or set training.precision to fp32; or delete what "
                        f"keeps the epochs before, {self.epochs.folder}, and do so without"
                    )
                progress.update(len(batch))
        loss, seconds = total.item() / count, time.perf_counter() - begun
        row = {"epoch": epoch, "loss": loss, "patches": count, "learning_rate": rates[0]}
        return row | {"training_seconds": seconds}

    def _score(self, sets: list[ScoringSet], folder: Path, epoch: int) -> dict[str, float]:
        """Scores sets and writes their margins; the training cell's accuracies per patch."""
        scorer, accuracies = Scorer(self.network, self.stepper.precision), {}
        for scored in sets:
            z = score(scorer, scored.images, scored.origins, self.run.patch_size)  # (N, P)
            scored.save(folder, z[None], np.array([epoch], np.int32), self.run.study.data.seed)
            if scored.kind == "grid" and scored.cell == self.run.train:
                right = (z > 0) == scored.labels[:, None]
                accuracies[f"{scored.split}_accuracy"] = float(right.mean())
        return accuracies


def epoch_patches(patches: np.ndarray, training: Training, seed: int, epoch: int) -> np.ndarray:
    """The patches of one epoch in the order of training, int64, from (seed, epoch) alone.

    Where there are fewer than an epoch is to have at least, all are gone through again.
    """
    count = min(len(patches), training.patches_per_epoch or len(patches))
    count = max(count, training.min_patches_per_epoch or 0)
    generator = np.random.default_rng((seed, epoch))
    times = -(-count // len(patches))
    return np.concatenate([generator.permutation(patches) for _ in range(times)])[:count]


def learning_rates(training: Training, epoch: int, steps: int) -> list[float]:
    """The learning rate of each of an epoch's steps."""
    if training.schedule == "constant":
        return [training.learning_rate] * steps
    done = (epoch * steps + np.arange(steps)) / (training.epochs * steps)  # (steps,), in [0, 1)
    return (training.learning_rate * (1 + np.cos(np.pi * done)) / 2).tolist()


def batches(drawn: np.ndarray, size: int) -> list[np.ndarray]:
    """Consecutive batches; a last batch of one is left out, since batch norm needs two."""
    return [drawn[start : start + size] for start in range(0, len(drawn) - 1, size)]
