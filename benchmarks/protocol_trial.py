"""Which network and training suit few images and two cores: judged on validation images alone.

    python -m benchmarks.protocol_trial --study faces --size 64 --seeds 0 1 [--ways NAME …]

Each way of training is run on the study's packed training cell, as each seed trains on it, and
after every epoch the validation images are judged, by the network and by the average of its
weights. No test image is opened. A row per way, seed and epoch goes to this file's .csv; ways
that are there already are not run again.
"""

import argparse
import time
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lib.data import packed
from lib.networks import classifier
from lib.networks.batches import Batches
from lib.networks.classifier import PatchNet
from lib.networks.cpu_speed import Scorer
from lib.networks.scoring import score
from lib.networks.stepper import Stepper
from lib.patches import crop_origins, grid_origins
from lib.study import paths, reading
from lib.study.schema import Model, Training, split_cell

FILE = paths.ROOT / "benchmarks" / "protocol_trial.csv"
DECAY = 0.999
"""By which the average of the weights forgets, a step."""


class Way(NamedTuple):
    """One way of training."""

    training: Training
    network: str = "test_resnet"
    decay: float | None = None  # of the weights: then AdamW, with a warm-up over the first epoch


def _training(**changes: object) -> Training:
    return Training(**{"epochs": 12, "batch_size": 32, "schedule": "cosine", **changes})


RANDOM = {"origins": "anywhere", "flips": True}
WAYS = {
    "grid": Way(_training()),
    "grid, flips": Way(_training(flips=True)),
    "aligned, flips": Way(_training(origins="aligned", flips=True)),
    "anywhere, flips": Way(_training(**RANDOM)),
    "anywhere, flips, AdamW": Way(_training(**RANDOM), decay=0.05),
    "anywhere, flips, early layers keep every pixel": Way(
        _training(**RANDOM), "benchmarks.protocol_trial:Early"
    ),
    "anywhere, flips, 36 epochs": Way(_training(**RANDOM, epochs=36)),
    "anywhere, flips, resnet10t": Way(_training(**RANDOM), "resnet10t"),
    "anywhere, flips, lr 3e-3": Way(_training(**RANDOM, learning_rate=3e-3)),
    "grid, legacy_xception, lr 3e-4": Way(
        _training(epochs=6, learning_rate=3e-4), "legacy_xception"
    ),
}


class Early(nn.Module):
    """Pairs of 3 × 3 convolutions; the first two see every pixel, each later pair half as many."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 16), (16, 32), (32, 64), (64, 128)):
            layers += [nn.MaxPool2d(2)] if layers else []
            for channels in (before, after):
                convolution = nn.Conv2d(channels, after, 3, padding=1, bias=False)
                layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float32 (B, 3, p, p) → (B, 128, p / 8, p / 8)."""
        return self.layers(x)


def trial(study_name: str, size: int, seed: int, way: Way) -> Iterator[dict[str, object]]:
    """Trains one network in one way; after each epoch what the validation images say of it."""
    study = reading.load(study_name)
    cell = study.train_on[0]
    run = reading.run(study_name, *split_cell(cell), size, seed)
    data, device = packed.load(study, cell, train=True), classifier.pick_device("auto")
    labels = data.manifest["label"].to_numpy(np.int64)
    network = PatchNet(Model(name=way.network), seed=seed, patch_size=size)
    precision = classifier.DTYPES[classifier.pick_precision("auto", device)]
    images, side = torch.from_numpy(data.images), study.data.image_size
    stepper = Stepper(network.to(device).train(), images, torch.from_numpy(labels), size, precision)
    if way.decay is not None:
        stepper.optimizer = torch.optim.AdamW(
            network.parameters(), weight_decay=way.decay, fused=True
        )
    rows = data.rows("train", run.fold(cell))
    batches = Batches(way.training, seed, side, size)
    batches.keep(rows, labels[rows])
    held_out = data.rows("validation", run.fold(cell)).astype(np.int64)
    names = list(data.manifest["image_id"].iloc[held_out])
    crops = crop_origins(names, side, size, study.crops(size), seed=study.data.seed)
    average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(DECAY), use_buffers=True)
    for epoch in range(way.training.epochs):
        begun, losses = time.perf_counter(), []
        for step, (batch, rate) in enumerate(batches.of(epoch)):
            warm = min(1.0, step / 500) if way.decay is not None and epoch == 0 else 1.0
            losses.append(stepper.step(batch, rate * warm).item())
            average.update_parameters(network)
        told = {"epoch": epoch, "loss": np.mean(losses), "seconds": time.perf_counter() - begun}
        for of, judged in (("last", network), ("average", average.module)):
            scorer = Scorer(judged, precision)
            for kind, origins in (("grid", grid_origins(side, size)), ("crops", crops)):
                z = score(scorer, images, origins, size, held_out)
                yield {**told, "weights": of, "patches": kind, **_quality(z, labels[held_out])}
        network.train()


def _quality(z: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """AUC of the mean margin, the accuracies of the vote and per patch, of margins (N, P)."""
    votes = 2 * (z > 0).sum(axis=1) >= z.shape[1]
    numbers = {"auc": roc_auc_score(labels, z.mean(axis=1))}
    numbers |= {"vote": (votes == labels).mean(), "per_patch": ((z > 0) == labels[:, None]).mean()}
    return numbers | {"images": len(labels)}


def main() -> None:
    """Runs what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="faces")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    given = parser.parse_args()
    for name in given.ways:
        for seed in given.seeds:
            key = {"study": given.study, "patch_size": given.size, "way": name, "seed": seed}
            there = pd.read_csv(FILE) if FILE.is_file() else pd.DataFrame(columns=list(key))
            if (there[list(key)] == pd.Series(key)).all(axis=1).any():
                continue
            lines = []
            for line in trial(given.study, given.size, seed, WAYS[name]):
                lines.append({**key, **line})
                print(
                    *(f"{k} {v:.3f}" if isinstance(v, float) else v for k, v in lines[-1].items())
                )
            table = (
                pd.concat([there, pd.DataFrame(lines).round(4)])
                if len(there)
                else pd.DataFrame(lines).round(4)
            )
            paths.write_whole(FILE, lambda path, table=table: table.to_csv(path, index=False))


if __name__ == "__main__":
    main()
