"""One network in several processes: steps, losses and margins are one's; a kill ends all of them.

In float32, since rounding to bfloat16 would hide mistakes. Sums over processes are rounded
otherwise than sums in one, which changes a gradient by some 1e-6 of it. Adam divides gradients by
their own size: where one is nearly zero its sign may turn, and the step with it. So whole runs have
a low learning rate, and margins, whose standard deviation is 0.1 and more, are held to 0.01; with
its batches in reversed order one process differs from itself as much.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
import yaml
from PIL import Image
from torch.nn import functional

from lib import margins
from lib.data.packing.pack import pack
from lib.networks import devices, training
from lib.networks.batches import Batch
from lib.networks.classifier import PatchNet
from lib.networks.stepper import Stepper
from lib.study import paths, reading
from lib.study.run import Run
from lib.study.schema import Model

EPOCHS, CELL = 6, "leaves-gan_a"
OPTIONS = ("--study=tiny", "--dataset=leaves", "--gan=gan_a", "--patch-size=16")


# Steps.


def a_stepper() -> Stepper:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (9, 48, 48, 3), dtype=torch.uint8, generator=generator)
    network = PatchNet(Model(name="test_resnet"), seed=0)
    return Stepper(network.train(), images, torch.arange(9) % 2, 32, torch.float32)


def a_batch(size: int) -> Batch:
    origins = np.arange(2 * size).reshape(size, 2) % 17
    return Batch(np.arange(size), origins, np.arange(size) % 3 == 0)


def steps() -> dict[str, np.ndarray]:
    """What steps on batches of several sizes give, at a learning rate of 0: they stay comparable.

    Of three processes the last has a patch less of eight patches, and none of two, in whose batch
    norm rounding grows most: to 0.1 % of gradients, also in one process with both changing places.
    """
    stepper, given = a_stepper(), {}
    for size in (9, 8, 2):
        given[f"{size} loss"] = stepper.step(a_batch(size), 0.0).numpy()
        for name, parameter in stepper.network.named_parameters():
            given[f"{size} {name}"] = parameter.grad.numpy().copy()
    given |= {name: buffer.numpy() for name, buffer in stepper.network.named_buffers()}
    x = torch.arange(24.0).reshape(8, 3) ** 2
    with devices.whole_batch():  # as a network of one's own may have it
        y = functional.batch_norm(x[devices.SHARE], None, None, training=True)
    return given | {"plain": devices.joined(y.numpy(), len(x))}


def test_steps_of_three_processes_are_those_of_one(tmp_path):
    here = os.pathsep.join(map(str, (paths.ROOT, paths.ROOT / "tests", Path(__file__).parent)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=3"]
    subprocess.run(
        [*command, "--log-dir", tmp_path, "-m", "test_devices", tmp_path / "steps.npz"],
        env={**os.environ, "PYTHONPATH": here, "OMP_NUM_THREADS": "1"}, check=True,
    )  # fmt: skip
    alone, together = steps(), np.load(tmp_path / "steps.npz")
    assert set(together) == set(alone)
    for name, expected in alone.items():
        bound = 0.01 * np.abs(expected).max() + 1e-7
        np.testing.assert_allclose(together[name], expected, rtol=0, atol=bound, err_msg=name)


@pytest.mark.parametrize("world", [2, 3])
def test_the_shares_of_a_batch_are_the_batch(world, monkeypatch):
    def given() -> tuple[torch.Tensor, torch.Tensor]:
        stepper = a_stepper()
        monkeypatch.setattr(stepper, "update", lambda *of_batch: of_batch)
        return stepper.step(a_batch(8), 1e-3)

    whole, shares = given(), []
    for rank in range(world):
        monkeypatch.setattr(devices, "SHARE", slice(rank, None, world))
        shares.append(given())
    assert max(len(y) for _, y in shares) - min(len(y) for _, y in shares) <= 1
    for rank, share in enumerate(shares):
        for part, of_all in zip(share, whole, strict=True):
            assert torch.equal(part, of_all[rank::world])


# Whole runs, by the command.


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Path:
    """The code with a study, whose variant `two` is the same network in two processes."""
    root, generator = tmp_path_factory.mktemp("project"), np.random.default_rng(0)
    shutil.copytree(paths.ROOT / "lib", root / "lib")
    for label in ("leaves", "gan_a"):
        (root / "data" / label).mkdir(parents=True)
        for number in range(31):
            pixels = generator.integers(0, 256, (32, 32, 3), np.uint8)
            if label == "gan_a":
                pixels = pixels[::2, ::2].repeat(2, 0).repeat(2, 1)
            Image.fromarray(pixels).save(root / "data" / label / f"{number}.png")
    classes = zip(("real", "fake"), ("leaves", "gan_a"), strict=True)
    cell = {label: {"kind": "files", "path": path} for label, path in classes}
    several = {"epochs": EPOCHS, "batch_size": 16, "patches_per_epoch": 151}  # the last of 7
    content = {
        "title": "Tiny",
        "data": {"image_size": 32, "per_class": {"train": 20, "validation": 4, "test": 7}},
        "cells": {CELL: cell, "leaves_blur-gan_a": {"test_images_of": CELL, "blur": 1}},
        "train_on": [CELL],
        "patch_sizes": [16],
        "model": {"name": "test_resnet"},
        "training": {**several, "learning_rate": 1e-4, "precision": "fp32"},
        "variants": {"two": {"training": {"devices": 2}}},
    }
    (root / "params").mkdir()
    (root / "params" / "tiny.yaml").write_text(yaml.safe_dump(content), "utf-8")
    return root


@pytest.fixture
def work(project, tmp_path, monkeypatch) -> Path:
    """A folder of the test's own with the packed cells."""
    monkeypatch.setattr(paths, "PARAMS", project / "params")
    monkeypatch.setenv("PATCHWISE_DATA", str(project / "data"))
    monkeypatch.setenv("PATCHWISE_WORK", str(tmp_path / "work"))
    study = reading.load("tiny")
    for cell in study.cells:
        pack(study, cell, train=cell == CELL)
    return tmp_path / "work"


def of_two(project: Path, work: Path) -> subprocess.Popen:
    """The command that trains in two processes, as it begins."""
    here = {"PYTHONPATH": str(project), "PATCHWISE_WORK": str(work)}
    here |= {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    return subprocess.Popen(
        [sys.executable, "-m", "lib", "train", *OPTIONS, "--variant=two"], cwd=project, text=True,
        env={**os.environ, **here}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def the_run() -> Run:
    return reading.run("tiny", "leaves", "gan_a", 16, variant="two")


def results(folder: Path) -> dict[str, np.ndarray]:
    """The history but for times, and all margins, of a run's folder."""
    table = pd.read_csv(folder / "history.csv").filter(regex="^(?!.*seconds)")
    files = sorted(folder.glob("margins/*/*.safetensors"))
    read = {str(file.relative_to(folder)): vars(margins.read(file)) for file in files}
    given = {f"{file} {name}": value for file, of in read.items() for name, value in of.items()}
    return {"history": table.to_numpy(), **given}


def assert_close(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    assert one.keys() == other.keys() and len(one) == 1 + 5 * 6
    for name, values in one.items():
        bound = 0.01 if name.endswith("margins") else 1e-3 if name == "history" else 0
        np.testing.assert_allclose(values, other[name], rtol=0, atol=bound, err_msg=name)


class Stop(Exception):
    pass


def stop(_):
    raise Stop


def test_a_killed_run_of_two_processes_goes_on_with_one_or_two_as_one_unbroken(
    project, work, monkeypatch
):
    run = the_run()
    draft = paths.beside(run.folder)
    begun = of_two(project, work)
    deadline = time.monotonic() + 300
    while not (draft / "epochs" / "000").is_dir():
        assert begun.poll() is None and time.monotonic() < deadline, begun.communicate()
        time.sleep(0.01)
    first, second = sorted(psutil.Process(begun.pid).children(), key=lambda p: p.pid)
    assert [p.environ()["RANK"] for p in (first, second)] == ["0", "1"]
    second.send_signal(signal.SIGKILL)
    said, error = begun.communicate(timeout=60)
    assert begun.returncode == 1 and error.count("\n") == 1
    assert all(line.startswith("epoch ") for line in said.splitlines())
    assert "process 2 of this training was ended" in error and "SIGKILL" in error
    assert "the same command goes on" in error.lower()
    assert not psutil.pid_exists(first.pid)
    whole = list((draft / "epochs").glob("[0-9]*"))
    assert 1 <= len(whole) < EPOCHS - 1 and not run.folder.exists()
    after = pd.read_csv(draft / "history.csv")

    by_one = work.with_name("by_one")
    shutil.copytree(work, by_one)
    with pytest.raises(Stop):  # which one process goes on with, and two again
        training.train(run, watch=stop)
    assert (draft / "epochs" / f"{len(whole):03d}").is_dir()
    begun = of_two(project, work)
    said, error = begun.communicate(timeout=300)
    *trained, said = said.splitlines()  # of both one says it
    assert begun.returncode == 0 and len(trained) == EPOCHS - len(whole) - 1
    assert all("goes on with 1 threads" in line for line in error.splitlines())  # one had all
    assert said.startswith("Tiny · trained on leaves-gan_a")
    two, config = results(run.folder), margins.read_config(run.folder)
    assert config["device"] == "2 × CPU, 1 threads" and "devices" not in config["training"]

    epochs = []
    monkeypatch.setenv("PATCHWISE_WORK", str(by_one))
    training.train(the_run(), watch=lambda history: epochs.append(len(history)))
    assert epochs[0] == len(whole) + 1 and epochs[-1] == EPOCHS
    one = results(the_run().folder)
    shutil.rmtree(the_run().folder)
    training.train(the_run())
    unbroken = results(the_run().folder)
    for resumed in (one, two):
        assert_close(unbroken, resumed)
        kept = after.filter(regex="^(?!.*seconds)").to_numpy()
        np.testing.assert_array_equal(resumed["history"][: len(after)], kept)


def test_what_is_wrong_is_said_once(project, work):
    shutil.rmtree(work / "data")
    begun = of_two(project, work)
    said, error = begun.communicate(timeout=300)
    assert begun.returncode == 1 and said == "" and "Traceback" not in error
    assert error.count("the packed data are missing") == 1 and error.count("\n") == 3


def test_gpus_that_are_not_there_are_not_waited_for(monkeypatch):
    several = reading.load("smoke").training.model_copy(update={"devices": 4})
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    assert not devices.launch(several, {})


if __name__ == "__main__":  # in each of the processes of the first test
    with devices.group():
        found = steps()
    if devices.RANK == 0:
        np.savez(sys.argv[1], **found)
