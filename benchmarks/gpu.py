"""What runs on a GPU that is lent for minutes, on a machine without network and Jupyter.

    python -m benchmarks.gpu check                          a training is killed and goes on
    python -m benchmarks.gpu train --study S --seconds 400  packs, trains side by side, displaces
    python -m benchmarks.gpu back --study S --out FOLDER    what came out, in parts of 15 MB
    python -m benchmarks.gpu join PART [PART ...]           here: puts that under results/

`train` begins with the networks of the first seed, and goes on with what an earlier call left; what
is unfinished when time is up is kept there, and does not come back. Of finished networks come back
their history, config and margins, of other cells those of the validated epoch, and not the weights.
benchmarks/README.md has the steps.
"""

import argparse
import io
import multiprocessing
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from safetensors import safe_open
from safetensors.numpy import save_file

from lib import margins
from lib.data.packing.pack import pack
from lib.networks import classifier, elsewhere, training
from lib.results import crop_places
from lib.study import paths, reading
from lib.study.run import Run

LONGER = {"model": {"name": "test_resnet"}}
LONGER |= {"training": {"epochs": 6, "patches_per_epoch": 480, "min_patches_per_epoch": 480}}
PART = 15 * 2**20  # bytes


def check() -> int:
    """Trains the smoke study's network twice, once with a kill, and compares; the exit status."""
    device = classifier.describe(classifier.pick_device("auto"))
    run = reading.run(
        "smoke", "sim_faces", "sim_stylegan2", patch_size=32, variant="longer", overrides=LONGER
    )
    found = []
    for killed in (False, True):
        with tempfile.TemporaryDirectory() as work:
            os.environ["PATCHWISE_WORK"] = work
            for cell in run.study.cells:
                pack(run.study, cell, train=cell == run.train)
            if killed:
                process = multiprocessing.get_context("spawn").Process(
                    target=training.train, args=(run,)
                )
                process.start()
                begun = paths.beside(run.folder) / "epochs" / "002"
                while not begun.exists() and process.is_alive():
                    time.sleep(0.05)
                process.kill()
                process.join()
                print(f"killed in epoch {len(list(begun.parent.glob('[0-9]*')))}")
            training.train(run)
            history = margins.history(run)
            found.append(history.drop(columns=["training_seconds", "scoring_seconds"]))
    equal = found[0].equals(found[1])
    print(f"{device}: a killed training {'ends as' if equal else 'DIFFERS from'} an unbroken one")
    return 0 if equal else 1


def networks(study: str) -> list[Run]:
    """A study's networks, those of the first seed first."""
    plain = reading.load(study)
    every = [plain, *(reading.load(study, name) for name in plain.variants)]
    every = [each for each in every if not each.imported]
    runs = [
        reading.run(study, *train.split("-"), patch_size=size, seed=seed, variant=each.variant)
        for each in every
        for train in each.train_on
        for size in each.patch_sizes
        for seed in each.seeds
    ]
    once: dict[Path, Run] = {}  # a variant that only votes anew has the plain networks
    for run in runs:
        once.setdefault(run.folder, run)
    return sorted(once.values(), key=lambda run: run.seed)


def train(study: str, seconds: float, side_by_side: int) -> int:
    """Trains networks, some at a time, until time is up; then displaces their grids.

    Several share a GPU, which small patches leave idle between kernels.
    """
    until, loaded = time.monotonic() + seconds, reading.load(study)
    for cell in sorted(loaded.cells, key=lambda cell: loaded.base(cell) != cell):
        pack(loaded, cell, train=cell in loaded.train_on)
    waiting, running = [run for run in networks(study) if not run.is_finished], {}
    while (waiting or running) and time.monotonic() < until:
        while waiting and len(running) < side_by_side:
            run = waiting.pop(0)
            command = [sys.executable, "-m", "lib", "train", "--study", study]
            command += ["--dataset", run.dataset, "--gan", run.gan, "--seed", str(run.seed)]
            command += ["--patch-size", str(run.patch_size), "--variant", run.variant]
            threads = {"OMP_NUM_THREADS": str(max(1, len(os.sched_getaffinity(0)) // side_by_side))}
            running[run.summary] = subprocess.Popen(command, env={**os.environ, **threads})
        for name in [name for name, process in running.items() if process.poll() is not None]:
            if status := running.pop(name).returncode:
                print(f"failed, exit status {status}: {name}", flush=True)
        time.sleep(0.1)
    for name, process in running.items():
        process.kill()
        print(f"unfinished: {name}")
    print(*(f"not begun: {run.summary}" for run in waiting), sep="\n")
    displace(study)
    return 0


def displace(study: str) -> None:
    """Writes the tables of A3 of what is finished."""
    loaded = reading.load(study)
    for train_on in loaded.train_on:
        done = [run for run in networks(study) if run.is_finished and run.train == train_on]
        done = [run for run in done if not run.is_whole_image]
        tables = {
            "displaced": (
                judged
                for run in done
                if run.study.training.origins == "grid"
                for judged in elsewhere.displaced(run, crop_places.distances(run.patch_size))
            ),
            "places": (judged for run in done for judged in elsewhere.on_crops(run)),
        }
        for name, judged in tables.items() if done else ():
            crop_places.save(loaded, train_on, **{name: crop_places.table(judged)})


def back(study: str, out: Path) -> int:
    """Writes what came out of a study as parts of a compressed archive."""
    content = io.BytesIO()
    with (
        tarfile.open(fileobj=content, mode="w:xz", preset=0) as archive,
        tempfile.TemporaryDirectory() as folder,
    ):
        for file in _kept(study, Path(folder) / "one.safetensors"):
            archive.add(*file)
    out.mkdir(parents=True, exist_ok=True)
    parts = range(0, len(content.getvalue()), PART)
    for number, start in enumerate(parts):
        part = content.getvalue()[start : start + PART]
        (out / f"{study}.{number:02d}").write_bytes(part)
    print(f"parts: {len(parts)}, {len(content.getvalue()) / 10**6:.1f} MB in all, in {out}")
    return 0


def _kept(study: str, temporary: Path) -> Iterator[tuple[Path, Path]]:
    """Files of a study's results, one at a time, and what they are called in the work folder."""
    for run in networks(study):
        files = sorted(run.folder.glob("margins/*/*")) if run.is_finished else []
        files += [run.folder / name for name in ("config.json", "history.csv")] if files else []
        for file in files:
            name = file.relative_to(paths.work())
            if file.suffix == ".safetensors" and file.parent.name != run.train:
                kept = vars(margins.read(file, margins.validated(run)))
                with safe_open(file, framework="numpy") as whole:
                    save_file(kept, temporary, whole.metadata())
                file = temporary
            yield file, name
    for file in sorted(paths.results(study).glob("tables/a3/*.csv")):
        yield file, file.relative_to(paths.work())


def join(parts: list[Path]) -> int:
    """Unpacks what `back` wrote below the work folder."""
    content = io.BytesIO(b"".join(part.read_bytes() for part in sorted(parts)))
    with tarfile.open(fileobj=content, mode="r:xz") as archive:
        archive.extractall(paths.work(), filter="data")
        print(f"{len(archive.getmembers())} files in {paths.work() / 'results'}")
    return 0


def main() -> int:
    """Does what the command line says; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("check")
    trains, backs = commands.add_parser("train"), commands.add_parser("back")
    for command in (trains, backs):
        command.add_argument("--study", default="faces_xception")
    trains.add_argument("--seconds", type=float, required=True)
    trains.add_argument("--side-by-side", type=int, default=4)
    backs.add_argument("--out", type=Path, required=True)
    commands.add_parser("join").add_argument("parts", type=Path, nargs="+")
    given = vars(parser.parse_args())
    return {"check": check, "train": train, "back": back, "join": join}[given.pop("command")](
        **given
    )


if __name__ == "__main__":
    sys.exit(main())
