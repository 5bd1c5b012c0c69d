"""Training and scoring: a killed run ends as an unbroken one; nothing is mixed or lost."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from lib import margins, patches
from lib.data import packed
from lib.data.packing.pack import pack
from lib.networks import checkpoints, classifier, training
from lib.networks.batches import Batch, Batches
from lib.networks.cpu_speed import Scorer
from lib.networks.scoring import ScoringSet, margins_of, score, scoring_sets, shown
from lib.networks.stepper import Stepper
from lib.study import files, paths
from lib.study.quirks import Quirks
from lib.study.run import Run
from lib.study.schema import Model, ParameterError
from lib.study.study import Study

CELLS = ("leaves-gan_a", "stones-gan_a")


def small_study(**changes) -> Study:
    source = {"kind": "files"}
    cells = {
        cell: {label: {**source, "path": f"{cell}/{label}"} for label in packed.CLASSES}
        for cell in CELLS
    }
    content = {
        "name": "tiny",
        "title": "Tiny",
        "data": {"image_size": 32, "per_class": {"train": 6, "validation": 3, "test": 4}},
        "cells": cells,
        "train_on": [CELLS[0]],
        "patch_sizes": [32, 16],
        "model": {"name": "test_resnet"},
        "training": {"epochs": 3, "batch_size": 8, "patches_per_epoch": 30},
    }
    return Study(**{**content, **changes})


def small_run(patch_size: int = 16, cell: str = CELLS[0], **changes) -> Run:
    dataset, gan = cell.split("-")
    return Run(
        study=small_study(**changes), dataset=dataset, gan=gan, patch_size=patch_size, seed=0
    )


def scorer_of(run: Run, network: classifier.PatchNet) -> Scorer:
    """In the precision that the run was made in, which differs between machines."""
    return Scorer(network, classifier.DTYPES[margins.read_config(run.folder)["precision"]])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory) -> Path:
    """Folders of small PNGs: the fakes are smooth, so that there is something to learn."""
    folder, generator = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0)
    for cell in CELLS:
        for label in packed.CLASSES:
            (folder / cell / label).mkdir(parents=True)
            for number in range(13):
                pixels = generator.integers(0, 256, (32, 32, 3), np.uint8)
                if label == "fake":
                    pixels = pixels[::4, ::4].repeat(4, 0).repeat(4, 1)
                Image.fromarray(pixels).save(folder / cell / label / f"{number}.png")
    return folder


@pytest.fixture(autouse=True)
def work(pictures, tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PATCHWISE_DATA", str(pictures))
    monkeypatch.setenv("PATCHWISE_WORK", str(tmp_path))
    return tmp_path


def train(run: Run, **options) -> None:
    """Packs what is missing, and trains."""
    for cell in run.study.cells:
        pack(run.study, cell, train=cell == run.train)
    training.train(run, **options)


def results(run: Run) -> tuple[dict, pd.DataFrame, dict]:
    """All that a run computed: margins, history without its times, weights."""
    scored = {
        path.relative_to(run.folder): vars(margins.read(path))
        for path in sorted(run.folder.rglob("*-*.safetensors"))
    }
    history = margins.history(run).filter(regex="^(?!.*seconds)")
    weights = {name: load_file(run.folder / f"{name}.safetensors") for name in ("best", "last")}
    return scored, history, weights


def assert_same(first, second) -> None:
    assert first[0].keys() == second[0].keys()
    for path, tensors in first[0].items():
        for name, values in tensors.items():
            np.testing.assert_array_equal(values, second[0][path][name], err_msg=f"{path} {name}")
    pd.testing.assert_frame_equal(first[1], second[1])
    for which, weights in first[2].items():
        for name, tensor in weights.items():
            assert torch.equal(tensor, second[2][which][name]), (which, name)


def test_a_run_holds_what_the_contract_says():
    run = small_run()
    train(run)
    grid = margins.load(run, CELLS[1])
    assert grid.margins.shape == (3, 8, 4) and grid.margins.dtype == np.float32
    assert grid.origins.tolist() == [[0, 0], [0, 16], [16, 0], [16, 16]]
    assert grid.labels.tolist() == [0] * 4 + [1] * 4 and grid.labels.dtype == np.uint8
    assert grid.epochs.tolist() == [0, 1, 2] and grid.epochs.dtype == np.int32
    crops = margins.load(run, CELLS[0], "validation", "crops")
    assert crops.margins.shape == (3, 6, 5) and crops.origins.shape == (6, 5, 2)
    assert crops.image_index.tolist() == list(range(8, 14))  # after the eight test images
    found = {p.relative_to(run.folder).as_posix() for p in run.folder.rglob("*") if p.is_file()}
    expected = {"config.json", "history.csv", "best.safetensors", "last.safetensors", "files.json"}
    for kind in ("grid", "crops"):
        expected |= {f"margins/{cell}/test-{kind}.safetensors" for cell in CELLS}
        expected |= {f"margins/{CELLS[0]}/validation-{kind}.safetensors"}
    assert found == expected


def test_the_stored_margins_are_those_of_the_stored_weights():
    run = small_run()
    train(run)
    network = classifier.PatchNet(run.study.model, seed=5)
    network.load(run.folder / "last.safetensors")
    network.to(memory_format=torch.channels_last)
    stored = margins.load(run, CELLS[0])
    images = torch.from_numpy(packed.load(run.study, CELLS[0]).images[stored.image_index])
    again = score(scorer_of(run, network), images, stored.origins, 16)
    np.testing.assert_allclose(stored.margins[-1], again, rtol=1e-4, atol=1e-5)


def test_the_whole_image_is_one_patch_and_has_no_crops():
    run = small_run(patch_size=32)
    train(run)
    assert margins.load(run, CELLS[0]).margins.shape == (3, 8, 1)
    with pytest.raises(margins.RunError, match="no such margins"):
        margins.load(run, CELLS[0], kind="crops")


def test_any_cell_can_be_the_one_trained_on():
    first, second = small_run(), small_run(cell=CELLS[1])
    train(first)
    test_before = packed.load(first.study, CELLS[1])
    train(second)  # that cell is packed anew, with its training split
    assert margins.load(second, CELLS[0]).margins.shape == (3, 8, 4)
    assert margins.load(second, CELLS[1], "validation").margins.shape == (3, 6, 4)
    test_after = packed.load(first.study, CELLS[1], train=True)
    assert test_before.side["hashes"]["test"] == test_after.side["hashes"]["test"]
    train(first)  # whose test images are the same: it is still valid


def test_what_is_not_packed_is_named_with_the_command_and_not_made(work):
    run = small_run()
    with pytest.raises(packed.PackedError, match="pack --study tiny --dataset leaves --gan gan_a"):
        training.train(run)
    assert not list(work.rglob("*.*"))
    pack(run.study, CELLS[0], train=True)
    with pytest.raises(packed.PackedError, match="--dataset stones --gan gan_a"):
        training.train(run)


KILLED = """
import os, signal, sys
import test_training as t
from lib.networks import training

calls = 0
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

def score_then_die(*arguments):
    global calls
    calls += 1
    if calls == 9:  # in the midst of scoring the second epoch, six sets an epoch
        die()
    return score(*arguments)

if sys.argv[1] == "between":
    t.train(t.small_run(), watch=die)
else:
    score, training.score = training.score, score_then_die
    t.train(t.small_run())
"""


@pytest.mark.parametrize("when", ["between", "midst"])
def test_a_killed_run_ends_as_an_unbroken_one(when, work, tmp_path_factory, monkeypatch):
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    killed = subprocess.run([sys.executable, "-c", KILLED, when], env=here, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    run = small_run()
    assert not run.folder.exists()
    assert [p.name for p in sorted((paths.beside(run.folder) / "epochs").glob("[0-9]*"))] == ["000"]

    epochs_trained = []
    train(run, watch=lambda history: epochs_trained.append(len(history)))
    assert epochs_trained == [2, 3]  # the first was not trained again
    resumed = results(run)
    monkeypatch.setenv("PATCHWISE_WORK", str(tmp_path_factory.mktemp("unbroken")))
    train(run)
    assert_same(resumed, results(run))


def test_a_finished_run_is_opened_not_trained_again():
    run = small_run()
    train(run)
    before = (run.folder / "last.safetensors").stat().st_mtime_ns
    (run.folder / "epochs" / "000").mkdir(parents=True)  # as a kill while cleaning up leaves it
    train(run, watch=lambda history: pytest.fail("trained again"))
    assert (run.folder / "last.safetensors").stat().st_mtime_ns == before
    assert not (run.folder / "epochs").exists()


def test_a_batch_keeps_what_the_same_code_made_and_makes_the_rest_anew():
    """By hand all that differs is refused; in a batch, which tells its code, it is replaced."""
    run, trained = small_run(), []
    watch = lambda history: trained.append(len(history))  # noqa: E731
    train(run, watch=watch)
    for code in (None, "a", "a", None):  # what was made without a code is the first batch's
        train(run, watch=watch, code=code)
    assert trained == [1, 2, 3]
    train(run, watch=watch, code="b")
    assert trained == [1, 2, 3] * 2
    other = small_run(training={"epochs": 1, "batch_size": 8, "patches_per_epoch": 30})
    train(other, watch=watch, code="b")
    assert trained == [*[1, 2, 3] * 2, 1] and len(margins.history(other)) == 1
    train(other, watch=watch, code="b")
    assert len(trained) == 7


class Stop(Exception):
    """Ends a training after its first epoch."""


def stop(_):
    raise Stop


def test_a_draft_of_other_code_is_not_gone_on_with():
    run = small_run()
    for code, epochs in (("a", 1), ("a", 2), ("b", 1), (None, 2)):
        with pytest.raises(Stop):
            train(run, watch=stop, code=code)
        assert len(list((paths.beside(run.folder) / "epochs").glob("[0-9]*"))) == epochs
    train(run)
    assert files.recorded(run.folder)["code"] == "b"


def test_a_kill_while_a_finished_run_goes_leaves_nothing_that_passes_for_it(monkeypatch):
    run, trained, rmtree = small_run(), [], shutil.rmtree
    train(run, code="a")

    def dies(folder, *how, **named):
        if folder == run.folder:
            raise KeyboardInterrupt
        rmtree(folder, *how, **named)

    with monkeypatch.context() as killed, pytest.raises(KeyboardInterrupt):
        killed.setattr(shutil, "rmtree", dies)
        train(run, code="b")
    assert not run.is_finished
    train(run, watch=trained.append, code="b")
    assert run.is_finished and not trained, "the epochs are there"
    assert files.recorded(run.folder)["code"] == "b"


def test_a_run_that_goes_on_with_other_versions_keeps_both(monkeypatch):
    run = small_run()
    for commit in ("first", "first", "second", "third"):
        monkeypatch.setattr(margins, "_git_commit", lambda commit=commit: commit)
        with contextlib.suppress(Stop):
            train(run, watch=stop)
    config = margins.read_config(run.folder)
    assert config["git_commit"] == "third"
    assert config["earlier"] == [{"git_commit": "first"}, {"git_commit": "second"}]


def test_a_run_that_goes_on_under_another_number_of_threads_says_so(caplog):
    """Sums are rounded otherwise: one and two threads give other networks."""
    run, threads = small_run(), torch.get_num_threads()
    for number, said in ((1, 0), (1, 0), (2, 1)):
        torch.set_num_threads(number)
        try:
            with pytest.raises(Stop):
                train(run, watch=stop)
        finally:
            torch.set_num_threads(threads)
        assert caplog.text.count("with 2 threads, after 1") == said
    assert margins.read_config(paths.beside(run.folder))["threads"] == [1, 2]


def test_an_interrupted_run_goes_on_after_a_thousand_epochs(tmp_path):
    network = classifier.PatchNet(Model(name="test_resnet"), seed=0)
    optimizer = torch.optim.Adam(network.parameters())
    for epoch in range(1002):
        folder = tmp_path / "epochs" / f"{epoch:03d}"
        folder.mkdir(parents=True)
        row = {"epoch": epoch, "validation_accuracy": 0.5}
        (folder / "row.json").write_text(json.dumps(row), "utf-8")
    checkpoints.save(folder, network, optimizer)
    opened = checkpoints.Epochs(tmp_path, network, optimizer)
    assert [row["epoch"] for row in opened.history] == list(range(1002))


def test_a_run_made_with_other_parameters_is_refused_by_name():
    run = small_run()
    train(run)
    before = results(run)
    other = small_run(training={"epochs": 3, "batch_size": 8, "learning_rate": 0.5})
    with pytest.raises(margins.RunError) as refused:
        train(other)
    assert "training.learning_rate is 0.001 there, 0.5 here" in str(refused.value)
    assert "training.patches_per_epoch is 30 there, None here" in str(refused.value)
    assert_same(before, results(run))


def test_an_unfinished_run_is_not_mixed_with_another():
    class Stop(Exception):
        pass

    def stop(_):
        raise Stop

    with pytest.raises(Stop):
        train(small_run(), watch=stop)
    with pytest.raises(margins.RunError, match="data.seed is 0 there, 1 here"):
        data = small_study().data.model_copy(update={"seed": 1})
        train(small_run(data=data.model_dump()))


def test_statistics_that_do_not_touch_a_run_do_not_forbid_it():
    train(small_run())
    train(small_run(voting={"thetas": [0.5]}, bootstrap={"resamples": 10}))


def test_a_loss_that_is_no_number_stops_and_says_what_to_do(monkeypatch):
    run = small_run(training={"epochs": 3, "batch_size": 8, "learning_rate": 0.003})
    whole = cross_entropy
    calls = []

    def diverging(logits, labels):
        calls.append(1)
        return whole(logits, labels) * (float("nan") if len(calls) > 6 else 1)

    monkeypatch.setattr("lib.networks.stepper.cross_entropy", diverging)
    with pytest.raises(training.DivergedError) as stopped:
        train(run)
    assert "nan in epoch 1" in str(stopped.value) and "0.003" in str(stopped.value)
    assert "training.learning_rate" in str(stopped.value)
    assert (paths.beside(run.folder) / "epochs" / "000" / "row.json").is_file()


def test_the_validated_epoch_is_the_earliest_best(monkeypatch):
    run = small_run()
    train(run)
    table = margins.history(run).assign(validation_accuracy=[0.5, 0.75, 0.75])
    table.to_csv(run.folder / "history.csv", index=False)
    files.record(run.folder, None)
    assert margins.validated(run) == 1


def test_best_and_last_are_the_epochs_that_they_say():
    run = small_run()
    train(run)
    stored = margins.load(run, CELLS[0])
    images = torch.from_numpy(packed.load(run.study, CELLS[0]).images[stored.image_index])
    network = classifier.PatchNet(run.study.model, seed=1)
    network.to(memory_format=torch.channels_last)
    network.load(run.folder / "best.safetensors")
    again = score(scorer_of(run, network), images, stored.origins, 16)
    at = margins.validated(run)
    np.testing.assert_allclose(stored.margins[at], again, rtol=1e-4, atol=1e-5)


def test_altered_images_are_scored_at_the_validated_epoch_alone(monkeypatch):
    monkeypatch.setattr(margins, "validated_epoch", lambda accuracies: min(1, len(accuracies) - 1))
    altered = {"leaves_blur-gan_a": {"test_images_of": CELLS[0], "blur": 1}}
    run = small_run(cells={**small_study().model_dump()["cells"], **altered})
    train(run)
    network = classifier.PatchNet(run.study.model, seed=1)
    network.to(memory_format=torch.channels_last)
    network.load(run.folder / "best.safetensors")
    for kind in ("grid", "crops"):
        stored = margins.load(run, "leaves_blur-gan_a", kind=kind)
        assert stored.epochs.tolist() == [1]
        images = packed.load(run.study, "leaves_blur-gan_a").images[stored.image_index]
        again = score(scorer_of(run, network), torch.from_numpy(images), stored.origins, 16)
        np.testing.assert_allclose(stored.margins[0], again, rtol=1e-4, atol=1e-5)


def test_the_history_tells_the_learning_rate():
    run = small_run(training={"epochs": 2, "batch_size": 8, "schedule": "cosine"})
    train(run)
    assert margins.history(run)["learning_rate"].tolist() == pytest.approx([1e-3, 5e-4])


def test_scoring_does_not_depend_on_the_batch_size(monkeypatch):
    network = classifier.PatchNet(Model(name="test_resnet"), seed=0)
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8, generator=generator)
    origins = patches.grid_origins(32, 16)
    scorer = Scorer(network, torch.float32)
    whole = score(scorer, images, origins, 16)
    monkeypatch.setattr("lib.networks.scoring.BYTES_PER_BATCH", {"cpu": 5 * 16 * 16 * 4})
    np.testing.assert_allclose(whole, score(scorer, images, origins, 16), atol=1e-5)
    assert whole.shape == (3, 4)


def scored_sets(run: Run) -> dict[tuple[str, str, str], ScoringSet]:
    data = {}
    for cell in CELLS:
        pack(run.study, cell, train=cell == run.train)
        data[cell] = packed.load(run.study, cell, train=cell == run.train)
    images = shown(run, data, torch.device("cpu"))
    sets = scoring_sets(run, data, images)
    return {(scored.cell, scored.split, scored.kind): scored for scored in sets}


def cut_all(scored: ScoringSet, patch_size: int) -> np.ndarray:
    """All patches of a set, (N, P, p, p, 3)."""
    images = scored.images.numpy()[scored.index]
    per_image = scored.origins.shape[-2]
    origins = np.broadcast_to(scored.origins, (len(images), per_image, 2)).reshape(-1, 2)
    index = np.repeat(np.arange(len(images)), per_image)
    cutting = patches.cut(images, index, origins, patch_size)
    return cutting.reshape(len(images), per_image, patch_size, patch_size, 3)


@pytest.mark.parametrize("train", CELLS)
def test_strips_are_the_grid_of_the_other_cells_alone(train):
    """Neither the training cell's patches change, nor any cell's crops."""
    plain = scored_sets(small_run(cell=train))
    folded = scored_sets(small_run(cell=train, quirks={"strips": True}))
    assert plain.keys() == folded.keys()
    (other,) = (cell for cell in CELLS if cell != train)
    assert len(plain) == 6
    for key, scored in plain.items():
        expected = cut_all(scored, 16)
        if key == (other, "test", "grid"):
            memory = np.frombuffer(scored.images.numpy()[scored.index].tobytes(), np.uint8)
            strips = memory.reshape(8, 4, 16, 16, 3)
            assert (strips != expected).any()
            expected = strips
        np.testing.assert_array_equal(cut_all(folded[key], 16), expected, err_msg=str(key))
        for name in ("origins", "labels", "rows"):
            np.testing.assert_array_equal(getattr(folded[key], name), getattr(scored, name))


def test_strips_of_the_whole_image_are_the_image():
    plain = scored_sets(small_run(patch_size=32))
    folded = scored_sets(small_run(patch_size=32, quirks={"strips": True}))
    assert [kind for _, _, kind in plain] == ["grid"] * 3
    for key, scored in plain.items():
        assert torch.equal(folded[key].images, scored.images)


def test_the_other_quirks_leave_what_is_scored_alone():
    on = {name: True for name, value in Quirks() if value is False and name != "strips"}
    quirky, plain = scored_sets(small_run(quirks=on)), scored_sets(small_run())
    for key, scored in plain.items():
        assert torch.equal(quirky[key].images, scored.images)
        np.testing.assert_array_equal(quirky[key].origins, scored.origins)


def test_a_network_is_trained_and_scored_with_its_quirks():
    on = {"bgr_raw_values": True, "strips": True}
    run = small_run(quirks=on, variant="released", training={"epochs": 1, "batch_size": 8})
    train(run)
    assert "released" in run.folder.parts
    config = margins.read_config(run.folder)
    assert config["quirks"] == on
    sets = scored_sets(run)
    kwargs = {"quirky": run.study.quirks, "plain": Quirks()}
    z = {}
    for name, quirks in kwargs.items():
        network = classifier.PatchNet(run.study.model, seed=5, quirks=quirks)
        network.load(run.folder / "last.safetensors")
        network.to(memory_format=torch.channels_last)
        scored = sets[CELLS[1], "test", "grid"]
        z[name] = score(scorer_of(run, network), scored.images, scored.origins, 16, scored.index)
    stored = margins.load(run, CELLS[1]).margins[-1]
    np.testing.assert_allclose(stored, z["quirky"], rtol=1e-4, atol=1e-5)
    assert np.abs(stored - z["plain"]).max() > 0.01
    with pytest.raises(margins.RunError, match=r"quirks\.bgr_raw_values is True there, None here"):
        margins.load(small_run(variant="released"), CELLS[1])


@pytest.mark.parametrize("quirks", [{}, {"strips": True, "bgr_raw_values": True}])
def test_a_finished_network_gives_any_images_their_margins(quirks):
    """Given the test cell's own images, those that are stored; strips where these are strips."""
    for tested in CELLS:
        dataset, gan = tested.split("-")
        run = small_run(quirks=quirks, variant="any" if quirks else "plain")
        run = run.model_copy(update={"test_dataset": dataset, "test_gan": gan})
        train(run)
        stored = margins.load(run, run.test, epoch=margins.validated(run))
        images = packed.load(run.study, run.test).images[stored.image_index]
        again = margins_of(run, images)
        np.testing.assert_allclose(again, stored.margins[0], rtol=1e-4, atol=1e-5)
        assert np.abs(margins_of(run, 255 - images) - again).max() > 1e-3
        crops = margins.load(run, run.test, kind="crops", epoch=margins.validated(run))
        elsewhere = margins_of(run, images, crops.origins)
        np.testing.assert_allclose(elsewhere, crops.margins[0], rtol=1e-4, atol=1e-5)
    with pytest.raises(margins.RunError, match="training.epochs"):
        margins_of(small_run(quirks=quirks, variant=run.variant, training={"epochs": 9}), images)


def test_the_config_records_parameters_versions_and_the_packed_data():
    run = small_run()
    train(run)
    config = json.loads((run.folder / "config.json").read_text())
    assert config["training"]["learning_rate"] == 0.001 and config["patch_size"] == 16
    assert set(config["packed"][CELLS[0]]) == {"test", "validation", "train"}
    assert set(config["packed"][CELLS[1]]) == {"test"}
    assert config["versions"]["torch"] and "git_commit" in config


# Networks of one's own, from a file beside `params/`.

OWN = """
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.conv = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 3, padding=1)
        self.again, self.drop, self.norm = self.conv, nn.Dropout(0.2), nn.BatchNorm2d(8)

    def forward(self, x):
        x = self.again(self.norm(self.conv(self.stem(x))).relu())
        return self.drop(x.mean((2, 3)))
"""


@pytest.fixture
def own_nets(tmp_path_factory, monkeypatch) -> Path:
    """A file `own_nets.py` in a project's folder of the test's own: features, some dropped."""
    root = tmp_path_factory.mktemp("root")
    monkeypatch.setattr(paths, "ROOT", root)
    (root / "own_nets.py").write_text(OWN)
    yield root / "own_nets.py"
    sys.modules.pop("own_nets", None)


def test_an_interrupted_run_of_a_network_of_ones_own_ends_as_an_unbroken_one(
    own_nets, tmp_path_factory, monkeypatch
):
    class Stop(Exception):
        pass

    def stop(_):
        raise Stop

    run = small_run(model={"name": "own_nets:Net"})
    with pytest.raises(Stop):
        train(run, watch=stop)
    train(run)
    resumed = results(run)
    monkeypatch.setenv("PATCHWISE_WORK", str(tmp_path_factory.mktemp("unbroken")))
    train(run)
    assert_same(resumed, results(run))
    config = margins.read_config(run.folder)
    assert config["model"]["name"] == "own_nets:Net" and len(config["model"]["source"]) == 64
    assert config["model"]["parameters"] == 3 * 8 + 8 + 8 * 8 * 9 + 8 + 2 * 8 + 8 * 2 + 2


def test_a_run_of_a_network_that_was_edited_is_refused_and_not_trained_over(own_nets):
    run = small_run(model={"name": "own_nets:Net"}, training={"epochs": 1, "batch_size": 8})
    train(run)
    train(run, watch=lambda history: pytest.fail("trained again"))
    before = results(run)
    own_nets.write_text(OWN.replace("0.2", "0.3"))
    for ask in (train, lambda r: margins.load(r, r.train)):
        with pytest.raises(margins.RunError, match=r"parameters: model\.source is '\w{64}' there"):
            ask(run)
    assert_same(before, results(run))
    own_nets.write_text(OWN)
    train(run, watch=lambda history: pytest.fail("trained again"))


def test_a_network_of_ones_own_is_tried_before_data_are_opened(own_nets, work):
    own_nets.write_text(OWN.replace("x.mean((2, 3))", "x.mean()"))
    with pytest.raises(ParameterError, match=r"given float32 \(4, 3, 16, 16\) it gives "):
        training.train(small_run(model={"name": "own_nets:Net"}))
    assert not list(work.iterdir())


def test_a_network_that_gives_logits_itself_is_in_float32_and_may_use_view(own_nets):
    logits = "x.view(len(x), 2, -1).mean(-1)"
    own_nets.write_text(OWN.replace("x.mean((2, 3))", logits))
    small = {"epochs": 1, "batch_size": 8, "patches_per_epoch": 16, "precision": "bf16"}
    run = small_run(model={"name": "own_nets:Net"}, training=small)
    train(run)
    assert margins.read_config(run.folder)["precision"] == "fp32"
    assert margins.load(run, CELLS[1]).margins.std() > 0


# One step: the patches it is told, the loss it tells, the weights it leaves.

IMAGES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), np.uint8)
LABELS = np.array([0, 1, 0, 1, 1])


def a_stepper(precision: torch.dtype = torch.float32) -> Stepper:
    network = classifier.PatchNet(Model(name="test_resnet"), seed=0)
    network.to(memory_format=torch.channels_last).train()
    images, labels = torch.from_numpy(IMAGES), torch.from_numpy(LABELS)
    return Stepper(network, images, labels, 16, precision)


def test_a_step_is_adams_on_the_patches_of_the_batch():
    steps, batch = a_stepper(), np.array([0, 7, 13, 18])
    origins = patches.grid_origins(32, 16)[batch % 4].astype(np.int64)
    mirrored = np.array([False, True, False, True])
    network = classifier.PatchNet(Model(name="test_resnet"), seed=0).train()
    optimizer = torch.optim.Adam(network.parameters())
    grids = [patches.cut(IMAGES, np.full(4, n), patches.grid_origins(32, 16), 16) for n in range(5)]
    x = torch.from_numpy(np.concatenate(grids)[batch])
    x[1::2] = x[1::2].flip(2)  # left to right
    y = torch.from_numpy(LABELS[batch // 4])
    for rate in (1e-4, 1e-2):
        optimizer.param_groups[0]["lr"] = rate
        loss = cross_entropy(network.logits(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found = steps.step(Batch(batch // 4, origins, mirrored), rate)
        torch.testing.assert_close(found, loss.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        steps.network.backbone.fc.weight, network.backbone.fc.weight, rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_the_loss_falls(precision):
    steps, corners = a_stepper(precision), patches.grid_origins(32, 16).astype(np.int64)
    batch = Batch(np.arange(20) // 4, corners[np.arange(20) % 4], np.zeros(20, bool))
    losses = [steps.step(batch, 1e-3) for _ in range(15)]
    assert losses[0].dtype == torch.float32 and losses[0].ndim == 0
    assert losses[-1] < losses[0] / 2


# Folds: each picture is tested once, by a network that has not seen it.

FOLDED = {"data": {"image_size": 32, "folds": 2, "most_per_class": 100}}


@pytest.fixture
def many(tmp_path, monkeypatch) -> None:
    """Forty pictures of each class of both cells."""
    generator = np.random.default_rng(1)
    for cell in CELLS:
        for label in packed.CLASSES:
            folder = tmp_path / "many" / cell / label
            folder.mkdir(parents=True)
            for number in range(40):
                pixels = generator.integers(0, 256, (32, 32, 3), np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    monkeypatch.setenv("PATCHWISE_DATA", str(tmp_path / "many"))


def folded_run(seed: int, **changes) -> Run:
    run = small_run(**{**FOLDED, **changes})
    return run.model_copy(update={"seed": seed})


def test_every_picture_is_tested_once_by_a_network_that_has_not_seen_it(many, monkeypatch):
    tested, trained, keep = [], [], Batches.keep

    def kept(self, rows, *more):
        trained[:] = rows
        keep(self, rows, *more)

    monkeypatch.setattr(Batches, "keep", kept)
    for seed in (0, 1):
        run = folded_run(seed)
        train(run)
        own = margins.load(run, CELLS[0]).image_index.tolist()
        validated = margins.load(run, CELLS[0], "validation").image_index.tolist()
        assert sorted([*own, *validated, *trained]) == list(range(80))
        assert margins.load(run, CELLS[1]).image_index.tolist() == list(range(80))
        tested += own
    assert sorted(tested) == list(range(80))


def test_a_fold_is_scored_by_its_pictures_and_a_killed_run_ends_the_same(many):
    run, cells = folded_run(1), small_study().cells
    altered = {**cells, "leaves_blur-gan_a": {"test_images_of": CELLS[0], "blur": 1.0}}
    run = folded_run(1, cells=altered)
    train(run)
    data = packed.load(run.study, CELLS[0])
    stored = margins.load(run, CELLS[0], kind="crops")
    rows = data.rows("test", 1)
    assert stored.image_index.tolist() == rows.tolist()
    assert stored.labels.tolist() == data.manifest["label"][rows].tolist()
    network = classifier.PatchNet(run.study.model, seed=5)
    network.load(run.folder / "last.safetensors").to(memory_format=torch.channels_last)
    images = torch.from_numpy(data.images[rows])
    again = score(scorer_of(run, network), images, stored.origins, 16)
    np.testing.assert_allclose(stored.margins[-1], again, rtol=1e-4, atol=1e-5)
    blurred = margins.load(run, "leaves_blur-gan_a")
    base = packed.load(run.study, "leaves_blur-gan_a").manifest
    names = base["image_id"].iloc[blurred.image_index].tolist()
    assert names == data.manifest["image_id"].iloc[rows].tolist()


def test_other_strata_are_another_run(many):
    train(folded_run(0))
    with pytest.raises(margins.RunError, match="data.strata is None there, '\\^.' here"):
        train(folded_run(0, data={**FOLDED["data"], "strata": "^."}))
