"""Trains one network and scores the test cells after each epoch; a killed run goes on.

A run is made beside its final folder; see `lib.networks.checkpoints`. When the last epoch is there,
its margins are joined, altered test images are scored at the validated one, and the folder is
renamed.
"""

import json
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from lib import margins
from lib.data import packed
from lib.data.packed import Packed
from lib.networks import classifier, devices
from lib.networks.batches import Batches
from lib.networks.checkpoints import Epochs
from lib.networks.classifier import DTYPES, PatchNet
from lib.networks.cpu_speed import Scorer
from lib.networks.scoring import ScoringSet, score, scoring_sets, shown
from lib.networks.stepper import Stepper
from lib.progress import bar
from lib.study import files, paths
from lib.study.run import Run

CHECK_EVERY = 50  # batches between two looks at whether the loss is still a number


class DivergedError(FloatingPointError):
    """The loss is no longer a finite number; the message says where and what to try."""


def train(
    run: Run,
    watch: Callable[[pd.DataFrame], object] | None = None,
    code: str | None = None,
) -> Path:
    """Trains and scores a run, goes on with an interrupted one, or finds it finished in its folder.

    `watch` is called after each epoch with the history so far, a row per epoch. With `code`, what
    the code is known by, a finished run of other code or parameters is not refused but made anew,
    and so is an unfinished one of other code.

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
    splits = packed.needed_splits(study, run.train, True)
    used = {c: splits if c == run.train else packed.SPLITS[:1] for c in cells}
    hashes = {c: {s: data[c].side["hashes"][s] for s in used[c]} for c in sorted(cells)}
    described = f"{devices.WORLD} × ".removeprefix("1 × ") + classifier.describe(device)
    config = margins.config(run, hashes, precision=precision, device=described)
    config["model"]["parameters"] = classifier.parameter_count(network)
    config["threads"] = [torch.get_num_threads()]

    run.folder.parent.mkdir(parents=True, exist_ok=True)
    with devices.locked(run.folder.with_name(f".{run.folder.name}.lock")):
        if run.is_finished and _stays(run.folder, config, code):
            if devices.RANK == 0:
                files.settle(run.folder, code)
            return run.folder
        draft = paths.beside(run.folder)
        if devices.RANK == 0:
            if files.of_other_code(draft, code):
                files.discard(draft, "config.json")
            files.begin(draft, code)
        devices.wait()
        if (draft / "config.json").is_file():
            margins.refuse_mixing(draft, config)
            config |= _before(draft, config)
        text = json.dumps(config, indent=1)
        if devices.RANK == 0:
            paths.write_whole(draft / "config.json", lambda p: p.write_text(text, "utf-8"))
        batches = _batches(run, data[run.train])
        labels = torch.from_numpy(data[run.train].manifest["label"].to_numpy(np.int64))
        images = shown(run, data, device)
        given = images[run.train], labels, run.patch_size, DTYPES[precision]
        stepper = Stepper(network.to(device), *given)
        sets = scoring_sets(run, data, images)
        _Session(run, draft, stepper, batches, sets).complete(watch)
        if devices.RANK == 0:
            files.record(draft, code)
            files.discard(run.folder, "config.json")
            draft.rename(run.folder)
            files.settle(run.folder, code)
    return run.folder


def _stays(folder: Path, config: dict[str, Any], code: str | None) -> bool:
    """Whether a finished run is what is asked for; RunError if not, unless there is a `code`."""
    try:
        margins.refuse_mixing(folder, config)
    except margins.RunError:
        if code is None:
            raise
        return False
    return not files.of_other_code(folder, code)


def _before(draft: Path, now: dict[str, Any]) -> dict[str, Any]:
    """What an unfinished run was made with so far, beside what is so `now`.

    `threads` has one number after another, and this says so if they change; `earlier` has the
    versions, commits and devices that were others.
    """
    stored = margins.read_config(draft)
    names = ("versions", "git_commit", "device")
    other = {name: stored.get(name) for name in names if stored.get(name) != now[name]}
    earlier = stored.get("earlier", []) + ([other] if other else [])
    before, threads = stored.get("threads", now["threads"]), now["threads"]
    if before[-1:] != threads:
        logging.getLogger(__name__).warning(
            "%s: goes on with %d threads, after %d; in its last digits it ends otherwise than it "
            "would have. OMP_NUM_THREADS sets their number", draft, *threads, before[-1]
        )  # fmt: skip
        before = before + threads
    return {"threads": before, **({"earlier": earlier} if earlier else {})}


def _batches(run: Run, data: Packed) -> Batches:
    """The batches of patches that a run is trained on."""
    batches = Batches(run.study.training, run.seed, data.images.shape[1], run.patch_size)
    rows, first = data.rows("train", run.fold(run.train)), run.study.quirks.first_patches
    if first:  # in the order of the images' names
        rows = rows[np.argsort(data.manifest["image_id"].to_numpy()[rows], kind="stable")]
    batches.keep(rows, data.manifest["label"].to_numpy()[rows], first)
    return batches


class _Session:
    """One network on its way through the epochs, in the folder in which its run is made."""

    def __init__(
        self, run: Run, folder: Path, stepper: Stepper, batches: Batches, sets: list[ScoringSet]
    ) -> None:
        self.run, self.stepper, self.network = run, stepper, stepper.network
        self.batches = batches
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
        devices.wait()  # until that is written
        if self.altered:
            self.network.load(epochs.folder / "best.safetensors")
            self._score(self.altered, epochs.folder, epochs.best)

    def _train_epoch(self, epoch: int) -> dict[str, Any]:
        """One pass over the epoch's patches, and what the history says of it."""
        begun, seed, training = time.perf_counter(), self.run.seed, self.run.study.training
        total, count, size = torch.zeros((), device=self.stepper.device), 0, self.batches.per_epoch
        self.network.train()
        torch.manual_seed((devices.RANK << 40) + (seed << 20) + epoch)  # for dropout
        with bar(desc=f"epoch {epoch + 1} of {training.epochs}", total=size) as progress:
            for number, (batch, rate) in enumerate(self.batches.of(epoch)):
                total += self.stepper.step(batch, rate) * len(batch.images)
                count += len(batch.images)
                looks = number % CHECK_EVERY == 0 or count >= size - 1
                if looks and not torch.isfinite(total):
                    raise DivergedError(
                        f"the loss is {total.item()} in epoch {epoch}, by batch {number}, at "
                        f"learning rate {training.learning_rate:g}. Under a variant's name lower "
                        "training.learning_rate, or set training.precision to fp32; or delete what "
                        f"keeps the epochs before, {self.epochs.folder}, and do so without"
                    )
                progress.update(len(batch.images))
        loss, seconds = total.item() / count, time.perf_counter() - begun
        first = self.batches.rates(epoch, number + 1)[0]
        row = {"epoch": epoch, "loss": loss, "patches": count, "learning_rate": first}
        return row | {"training_seconds": seconds}

    def _score(self, sets: list[ScoringSet], folder: Path, epoch: int) -> dict[str, float]:
        """Scores sets and writes their margins; the training cell's accuracies per patch."""
        scorer, accuracies = Scorer(self.network, self.stepper.precision), {}
        share = devices.SHARE
        for scored in sets:
            origins = scored.origins[share] if scored.kind == "crops" else scored.origins
            z = score(scorer, scored.images, origins, self.run.patch_size, scored.index[share])
            z = devices.joined(z, len(scored.index))  # (N, P)
            scored.save(folder, z[None], np.array([epoch], np.int32), self.run.study.data.seed)
            if scored.kind == "grid" and scored.cell == self.run.train:
                right = (z > 0) == scored.labels[:, None]
                accuracies[f"{scored.split}_accuracy"] = float(right.mean())
        return accuracies
