"""`python -m lib`: packs and trains as the notebooks do; what is wrong is one message."""

import shutil
import subprocess
import sys
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from unittest.mock import Mock

import numpy as np
import pytest
import yaml
from PIL import Image
from safetensors import SafetensorError

from lib import __main__, margins
from lib.data.packing import workers
from lib.judge import runs
from lib.networks import training
from lib.networks.training import DivergedError
from lib.study import paths, reading
from tools import keep_network

CELL = ["--study", "tiny", "--dataset", "leaves", "--gan", "gan_a"]
NETWORK = [*CELL, "--patch-size", "16"]
PER_CLASS = {"train": 6, "validation": 3, "test": 4}


CELLS = {
    "leaves-gan_a": {
        "real": {"kind": "files", "path": "leaves"},
        "fake": {"kind": "files", "path": "gan_a"},
    },
    "leaves_blur-gan_a": {"test_images_of": "leaves-gan_a", "blur": 1},
}
STONES = {**CELLS["leaves-gan_a"], "real": {"kind": "files", "path": "stones"}}


@pytest.fixture
def tiny(work, monkeypatch):
    """A study of a tiny network on small pictures, with one altered cell."""
    generator = np.random.default_rng(0)
    for name in ("leaves", "gan_a", "stones"):
        (work / "data" / name).mkdir(parents=True)
        for number in range(13):
            pixels = generator.integers(0, 256, (32, 32, 3), np.uint8)
            Image.fromarray(pixels).save(work / "data" / name / f"{number}.png")
    monkeypatch.setattr(paths, "PARAMS", work)
    content = {
        "title": "Tiny",
        "data": {"image_size": 32, "per_class": PER_CLASS},
        "cells": CELLS,
        "train_on": ["leaves-gan_a"],
        "patch_sizes": [32, 16],
        "model": {"name": "test_resnet"},
        "training": {"epochs": 2, "batch_size": 8, "patches_per_epoch": 30},
        "variants": {"short": {"training": {"epochs": 1}}},
    }
    (work / "tiny.yaml").write_text(yaml.safe_dump(content), "utf-8")
    return work


@pytest.fixture
def packed(tiny, capsys):
    """That study with its cells packed."""
    assert run(capsys, "pack", "--study", "tiny")[0] == 0
    return tiny


def edit(tiny, key: str, value: object) -> None:
    """Gives the study another section."""
    content = {**yaml.safe_load((tiny / "tiny.yaml").read_text("utf-8")), key: value}
    (tiny / "tiny.yaml").write_text(yaml.safe_dump(content), "utf-8")


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    status = __main__.main(arguments)
    said = capsys.readouterr()
    return status, said.out, said.err


def test_a_cell_is_packed_once(tiny, capsys):
    packed = "26 images of 32 px in data/packed/tiny/leaves-gan_a\n"
    assert run(capsys, "pack", *CELL) == (0, f"packed: {packed}", "")
    assert run(capsys, "pack", *CELL) == (0, f"found: {packed}", "")


def test_all_cells_are_packed_if_none_is_named(tiny, capsys):
    edit(tiny, "cells", {**CELLS, "stones-gan_a": STONES})
    status, said, _ = run(capsys, "pack", "--study", "tiny")
    assert (status, said.splitlines()) == (
        0,
        [
            "packed: 26 images of 32 px in data/packed/tiny/leaves-gan_a",
            "packed: 8 images of 32 px in data/packed/tiny/leaves_blur-gan_a",
            "packed: 8 images of 32 px in data/packed/tiny/stones-gan_a",
        ],
    )
    again = run(capsys, "pack", "--study", "tiny")[1]
    assert again == said.replace("packed:", "found:")


def test_what_was_packed_before_a_mistake_is_said(tiny, capsys):
    edit(tiny, "cells", {**CELLS, "stones-gan_a": STONES})
    for file in (tiny / "data" / "stones").iterdir():
        file.unlink()
    status, said, error = run(capsys, "pack", "--study", "tiny")
    assert (status, said.count("\n")) == (1, 2)
    assert "stones: no PNG, JPEG or WebP picture in it" in error
    assert (paths.packed("tiny", "leaves-gan_a") / "packed.json").is_file()


def test_a_cell_to_train_on_that_the_study_only_tests_on_is_packed_whole_if_asked(tiny, capsys):
    edit(tiny, "cells", {**CELLS, "stones-gan_a": STONES})
    stones = [*CELL[:3], "stones", *CELL[4:]]
    assert run(capsys, "pack", *stones)[1].startswith("packed: 8 images")
    assert "26 images" in run(capsys, "pack", *stones, "--train")[1]
    assert run(capsys, "pack", *stones)[1].startswith("found: 26 images")


def test_an_altered_cell_is_packed_with_the_cell_that_it_alters(tiny, capsys):
    blurred = [*CELL[:3], "leaves_blur", *CELL[4:]]
    status, said, _ = run(capsys, "pack", *blurred)
    assert status == 0
    assert said == "packed: 8 images of 32 px in data/packed/tiny/leaves_blur-gan_a\n"
    assert (paths.packed("tiny", "leaves-gan_a") / "packed.json").is_file()


def test_a_network_is_trained_and_scores_every_cell(packed, capsys):
    status, said, _ = run(capsys, "train", *NETWORK, "--seed", "3")
    made = reading.run("tiny", "leaves", "gan_a", 16, seed=3)
    first, second, last = said.splitlines()  # a line an epoch, and what came out
    assert status == 0 and first.startswith("epoch 1 of 2: loss ") and "epoch 2 of 2" in second
    assert last.startswith(f"{made.summary} · ")
    best = margins.history(made)["validation_accuracy"].max()
    assert f"{100 * best:.1f} % of validation patches" in said
    assert said.endswith("in results/tiny/runs/leaves-gan_a/plain/p016/seed3\n")
    for cell in made.study.cells:
        epochs = 1 if cell in made.study.altered() else 2
        assert margins.load(made, cell).margins.shape == (epochs, 8, 4)


def test_a_variant_is_trained_apart(packed, capsys):
    status, said, _ = run(capsys, "train", *NETWORK, "--variant", "short")
    assert status == 0 and "runs/leaves-gan_a/short/p016/seed0" in said
    assert len(margins.history(reading.run("tiny", "leaves", "gan_a", 16, variant="short"))) == 1


def missing_pictures(work) -> None:
    for file in (work / "data" / "gan_a").iterdir():
        file.unlink()


def too_few_pictures(work) -> None:
    (work / "data" / "gan_a" / "0.png").unlink()


def unknown_kind(work) -> None:
    changed = {**CELLS["leaves-gan_a"], "real": {"kind": "filse", "path": "leaves"}}
    edit(work, "cells", {**CELLS, "leaves-gan_a": changed})


def unknown_alteration(work) -> None:
    edit(
        work,
        "cells",
        {**CELLS, "leaves_blur-gan_a": {"test_images_of": "leaves-gan_a", "blurr": 1}},
    )


def as_it_is(work) -> None:
    pass


@pytest.mark.parametrize(
    ("arguments", "spoil", "expected"),
    [
        (["pack", "--study", "tinny", *CELL[2:]], as_it_is, "study: no study 'tinny'"),
        (["pack", "--study", "tinny"], as_it_is, "study: no study 'tinny'"),
        (["pack", *CELL], unknown_kind, "cells.leaves-gan_a.real"),
        (["pack", *CELL], unknown_alteration, "cells.leaves_blur-gan_a.blurr"),
        (["pack", *CELL[:5], "gan_b"], as_it_is, "has no cell 'leaves-gan_b'"),
        (["pack", *CELL], missing_pictures, "no PNG, JPEG or WebP picture in it"),
        (["pack", *CELL], too_few_pictures, "13 usable images are asked for, 12"),
        (["train", *CELL, "--patch-size", "24"], as_it_is, "24 does not divide"),
        (["train", *NETWORK, "--variant", "long"], as_it_is, "has no 'long'"),
        (
            ["train", *CELL[:3], "leaves_blur", *CELL[4:], "--patch-size", "16"],
            as_it_is,
            "it is only tested on",
        ),
    ],
)
def test_a_mistake_is_one_message_and_no_traceback(tiny, capsys, arguments, spoil, expected):
    spoil(tiny)
    status, said, error = run(capsys, *arguments)
    assert (status, said) == (1, "")
    assert expected in error and "Traceback" not in error


def test_training_makes_no_packed_data_and_says_what_does(tiny, capsys):
    status, said, error = run(capsys, "train", *NETWORK)
    assert (status, said) == (1, "") and "Traceback" not in error
    assert "python -m lib pack --study tiny --dataset leaves --gan gan_a" in error
    assert not paths.packed("tiny", "leaves-gan_a").exists()


def test_what_a_cell_to_train_on_lacks_is_packed_by_the_command_that_is_named(tiny, capsys):
    edit(tiny, "cells", {**CELLS, "stones-gan_a": STONES})
    assert run(capsys, "pack", "--study", "tiny")[0] == 0
    stones = [*NETWORK[:3], "stones", *NETWORK[4:]]
    status, _, error = run(capsys, "train", *stones, "--variant", "short")
    (command,) = [line.strip() for line in error.splitlines() if "python -m lib" in line]
    assert status == 1 and command.endswith(" --train")
    assert run(capsys, *command.split()[3:])[0] == 0
    assert run(capsys, "train", *stones, "--variant", "short")[0] == 0


def test_training_refuses_data_packed_otherwise(packed, capsys):
    data = {"image_size": 32, "per_class": {**PER_CLASS, "test": 3}}
    edit(packed, "data", data)
    status, said, error = run(capsys, "train", *NETWORK)
    assert (status, said) == (1, "") and "per_class" in error


def test_an_unknown_model_is_named_before_the_data_are_looked_at(tiny, capsys):
    edit(tiny, "model", {"name": "test_resnat"})
    status, said, error = run(capsys, "train", *NETWORK)
    assert (status, said) == (1, "") and "test_resnat" in error and "model.name" in error


def test_a_run_with_other_parameters_is_refused(packed, capsys):
    assert run(capsys, "train", *NETWORK)[0] == 0
    edit(packed, "training", {"epochs": 2, "batch_size": 4, "patches_per_epoch": 30})
    status, _, error = run(capsys, "train", *NETWORK)
    assert status == 1 and "training.batch_size is 8 there, 4 here" in error


def test_a_diverged_training_is_named(tiny, capsys, monkeypatch):
    def diverge(run, watch, code):
        raise DivergedError("the loss is nan in epoch 0")

    monkeypatch.setattr(training, "train", diverge)
    assert run(capsys, "train", *NETWORK) == (1, "", "the loss is nan in epoch 0\n")


def test_the_death_of_a_process_that_reads_counts_as_a_kill(tiny, capsys, monkeypatch):
    """Which a batch tries again, with more memory."""
    dead = Future()
    dead.set_exception(BrokenProcessPool())
    pool = Mock(submit=Mock(return_value=dead))
    monkeypatch.setattr(workers, "ProcessPoolExecutor", Mock(return_value=pool))
    monkeypatch.setattr(workers.Workers, "_worthwhile", lambda self: True)
    status, said, why = run(capsys, "pack", *CELL)
    assert status == 137 and said == "" and "a process that read pictures died" in why


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "x.npy"), "x.npy: No space left on device. Free"),
        (OSError(122, "Disk quota exceeded"), "No space left on device. Free some, or set PATCH"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), "device. Free some"),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied\n"),
        (MemoryError("Unable to allocate 3 TiB"), "not enough memory: Unable to allocate 3 TiB"),
    ],
)
def test_what_the_system_refuses_is_one_sentence(tiny, capsys, monkeypatch, error, said):
    def refuse(run, watch, code):
        raise error

    monkeypatch.setattr(training, "train", refuse)
    status, printed, told = run(capsys, "train", *NETWORK)
    assert (status, printed) == (1, "") and said in told and told.count("\n") == 1


def test_any_other_error_is_not_hidden(tiny, monkeypatch):
    monkeypatch.setattr(training, "train", lambda run, watch, code: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        __main__.main(["train", *NETWORK])


@pytest.mark.parametrize(
    "arguments",
    [[], ["pack"], ["pack", *CELL[:4]], ["pack", *CELL[:2], *CELL[4:]], ["train", *CELL[:2]]]
    + [["train", *CELL], ["vote", *CELL]],
)
def test_what_is_missing_or_unknown_shows_the_usage(arguments, capsys):
    with pytest.raises(SystemExit) as exit:
        __main__.main(arguments)
    assert exit.value.code == 2
    assert "usage: python -m lib" in capsys.readouterr().err


def test_it_is_a_command_of_its_own_and_packing_needs_no_torch(work):
    """As the batch runs it: the status tells, the message goes to standard error."""
    command = [sys.executable, "-X", "importtime", "-m", "lib", "pack", "--study", "none"]
    done = subprocess.run([*command, *CELL[2:]], cwd=paths.ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (1, "")
    assert "study: no study 'none'" in done.stderr and "Traceback" not in done.stderr
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "lib.data.packing.pack" in imported and "torch" not in imported


@pytest.fixture
def trained(packed, capsys):
    """That study with one network."""
    assert run(capsys, "train", *NETWORK)[0] == 0
    return reading.run("tiny", "leaves", "gan_a", patch_size=16, seed=0).folder


def test_a_finished_run_judges_pictures(trained, packed, capsys, tmp_path):
    out = tmp_path / "judged"
    asked = "judge", str(packed / "data" / "stones"), "--network", str(trained), "--out", str(out)
    status, said, _ = run(capsys, *asked)
    lines = said.splitlines()
    # Three validation images of a class tell no 5 %, so that nothing is said of any picture.
    assert status == 0 and len(lines) == 15 and lines[-2] == "0 fake, 0 real, 13 cannot tell"
    assert "stones/0.png: cannot tell · P(fake) 0." in lines[0]
    names = {"judged.csv", "judged.html", "margins.safetensors", "network.json", "parts"}
    assert {path.name for path in out.iterdir()} == names
    status, again, _ = run(capsys, *asked)
    assert status == 0 and again.splitlines() == lines[-2:]


def test_a_part_is_judged_alone_and_the_whole_joins(trained, packed, capsys, tmp_path):
    asked = "judge", str(packed / "data" / "stones"), "--network", str(trained)
    asked += "--out", str(tmp_path / "judged")
    status, said, _ = run(capsys, *asked, "--part", "2/3")
    assert status == 0 and said.count(".png: ") == 4 and "joins all" in said.splitlines()[-1]
    assert not (tmp_path / "judged" / "judged.csv").exists()
    status, said, _ = run(capsys, *asked)
    assert status == 0 and said.count(".png: ") == 9 and (tmp_path / "judged/judged.csv").exists()
    for wrong in ("0/3", "4/3", "half"):
        with pytest.raises(SystemExit):
            __main__.main((*asked, "--part", wrong))
        assert "write K/N, such as 1/4" in capsys.readouterr().err


def test_a_network_that_was_kept_judges_as_its_run_does(trained, packed, capsys, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", packed)
    monkeypatch.setattr(sys, "argv", ["keep_network", str(trained), "mine", "--note", "Our own."])
    assert keep_network.main() == 0
    kept, of_run = runs.load(packed / "networks" / "mine"), runs.load(trained)
    assert kept.card.notes == ["Our own."] and kept.card.scores == of_run.card.scores
    cells = [(m.cell, m.about) for m in kept.card.measured]
    assert cells == [
        ("leaves-gan_a", "images like those it learned from"),
        ("leaves_blur-gan_a", "the same images, blur 1 px"),
    ]
    for there, here in zip(kept.card.measured, of_run.card.measured, strict=True):
        assert there.real == here.real and there.auc == here.auc
        assert here.kept_real is None and there.kept_real.images == 4 and len(there.flips) == 4
    images = np.random.default_rng(1).integers(0, 256, (3, 32, 32, 3), np.uint8)
    np.testing.assert_array_equal(kept.margins(images), of_run.margins(images))


def test_what_cannot_judge_or_be_judged_is_one_message(trained, packed, capsys, tmp_path):
    shutil.copytree(trained, tmp_path / "copy")
    (tmp_path / "empty").mkdir()
    picture = str(packed / "data" / "stones" / "0.png")
    for arguments, message in (
        (["nowhere.jpg"], "nowhere.jpg: there is no such file or folder"),
        ([str(tmp_path / "empty")], "no picture; looked for .png"),
        ([picture, "--network", str(tmp_path / "empty")], "holds no network"),
        ([picture, "--network", str(tmp_path / "copy")], "a copy of a run"),
        ([picture, "--out", str(packed / "data")], "holds other files"),
    ):
        status, said, error = run(capsys, "judge", *arguments)
        assert status == 1 and message in error and "Traceback" not in error
