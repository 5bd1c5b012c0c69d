"""Measures how time and memory grow with images, patch size, epochs and θ, at three sizes each.

    python -m benchmarks.growth

Each line is a process of its own: timm's smallest ResNet is trained on simulated images and scores,
after a first network that is not counted; or stored margins are voted. `growth` is how many times
longer it took than the line before; where cost is linear it is `expected`. Writes
reports/benchmarks/growth.csv.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time

import numpy as np
import pandas as pd

from lib.study import paths

SIZES = {
    "images": (400, 800, 1600),
    "patch size, px": (64, 32, 16),
    "epochs": (2, 4, 8),
    "θ": (5, 10, 20),
}
LINEAR = {"images": 2.0, "patch size, px": None, "epochs": 2.0, "θ": 2.0}


def study(images: int = 400, patch_size: int = 32, epochs: int = 2) -> float:
    """Seconds of training and scoring with so many training images, and a fifth as many to test."""
    from lib.data.packing import pack
    from lib.networks import training
    from lib.study.run import Run
    from lib.study.study import Study

    source = {"kind": "simulated", "content": "sim_faces"}
    cell = {"real": source, "fake": {**source, "generator": "sim_stylegan2"}}
    made = Study(
        name="growth",
        title="Growth",
        data={
            "image_size": 64,
            "per_class": {"train": images // 2, "validation": images // 10, "test": images // 10},
        },
        cells={"sim_faces-sim_stylegan2": cell},
        train_on=["sim_faces-sim_stylegan2"],
        patch_sizes=[patch_size],
        model={"name": "test_resnet"},
        training={"epochs": epochs, "batch_size": 32},
    )
    run = Run(study=made, dataset="sim_faces", gan="sim_stylegan2", patch_size=patch_size, seed=0)
    pack.pack(made, run.train)
    short = {"training": made.training.model_copy(update={"epochs": 1})}
    training.train(run.model_copy(update={"study": made.model_copy(update=short), "seed": 1}))
    begun = time.perf_counter()
    training.train(run)
    return time.perf_counter() - begun


def vote(thetas: int) -> float:
    """Seconds of the confident votes of 10 epochs of 1,000 images at so many θ."""
    from lib.voting import rules

    margins = np.random.default_rng(0).standard_normal((10, 1000, 256), dtype=np.float32)
    begun = time.perf_counter()
    for theta in np.linspace(1, 0.5, thetas):
        rules.confident(theta).score(margins)
    return time.perf_counter() - begun


WORK = {
    "images": lambda size: study(images=size),
    "patch size, px": lambda size: study(patch_size=size),
    "epochs": lambda size: study(epochs=size),
    "θ": vote,
}


def alone(quantity: str, size: int) -> dict[str, float]:
    """Seconds and the highest memory, GiB, of one line in a process of its own."""
    with tempfile.TemporaryDirectory() as work:
        command = [sys.executable, "-m", "benchmarks.growth", quantity, str(size)]
        environment = {**os.environ, "PATCHWISE_WORK": work}
        done = subprocess.run(
            command, cwd=paths.ROOT, env=environment, capture_output=True, text=True, check=True
        )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Measures all lines, prints, writes; or, given a quantity and a size, measures that alone."""
    if len(sys.argv) == 3:
        spent = WORK[sys.argv[1]](int(sys.argv[2]))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps({"seconds": round(spent, 3), "memory, GiB": round(peak, 2)}))
        return
    lines = []
    for quantity, sizes in SIZES.items():
        before = None
        for size in sizes:
            line = {"quantity": quantity, "size": size, **alone(quantity, size)}
            line["growth"] = round(line["seconds"] / before, 2) if before else None
            line["expected"] = LINEAR[quantity] if before else None
            lines.append(line)
            before = line["seconds"]
    table = pd.DataFrame(lines)
    print(table.to_string(index=False))
    target = paths.ROOT / "reports" / "benchmarks" / "growth.csv"
    paths.write_whole(target, lambda p: table.to_csv(p, index=False))


if __name__ == "__main__":
    main()
