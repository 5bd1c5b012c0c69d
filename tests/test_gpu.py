"""What runs on a lent GPU, here on a CPU: what is trained, what comes back, and a kill."""

import tarfile

import numpy as np
import pandas as pd
import pytest
import yaml

from benchmarks import gpu
from lib import margins
from lib.data.packing.pack import pack
from lib.networks import training
from lib.study import paths, reading
from tools import bundle


@pytest.fixture
def study(make_study, draw, monkeypatch, tmp_path):
    """A small study in a file, and variants that train one more size, or nothing."""
    for name in ("leaves", "gan_a", "gan_b"):
        draw(name, 12, size=32)
    made = make_study(
        data={"image_size": 32, "per_class": {"train": 4, "validation": 3, "test": 4}},
        model={"name": "test_resnet"}, patch_sizes=[32, 16], seeds=[0, 1],
        training={"epochs": 2, "batch_size": 8, "precision": "fp32"},
    )  # fmt: skip
    content = made.model_dump(exclude={"name", "variant", "networks"}, mode="json")
    content["variants"] = {"small": {"patch_sizes": [8], "seeds": [0]}}
    content["variants"]["votes"] = {"voting": {"thetas": [0.5]}}
    folder = tmp_path / "params"
    folder.mkdir()
    (folder / "tiny.yaml").write_text(yaml.safe_dump(content), "utf-8")
    monkeypatch.setattr(paths, "PARAMS", folder)
    return reading.load("tiny")


def test_every_network_is_trained_once_those_of_the_first_seed_first(study):
    named = [(run.seed, run.patch_size) for run in gpu.networks("tiny")]
    assert named == [(0, 32), (0, 16), (0, 8), (1, 32), (1, 16)]


def test_what_comes_back_votes(study, tmp_path, monkeypatch):
    for cell in study.cells:
        pack(study, cell, train=cell in study.train_on)
    first, second = gpu.networks("tiny")[:2]
    training.train(first)
    training.train(second)
    gpu.displace("tiny")
    assert gpu.back("tiny", tmp_path / "out") == 0
    before = {run.patch_size: margins.load(run, run.train).margins for run in (first, second)}

    monkeypatch.setenv("PATCHWISE_WORK", str(tmp_path / "elsewhere"))
    assert gpu.join(sorted((tmp_path / "out").iterdir())) == 0
    for run in (first, second):
        np.testing.assert_array_equal(margins.load(run, run.train).margins, before[run.patch_size])
        (other,) = (cell for cell in study.cells if cell != run.train)
        assert margins.load(run, other).epochs.tolist() == [margins.validated(run)]
        assert not list(run.folder.glob("*.safetensors"))
    table = paths.results("tiny") / "tables" / "a3" / f"{first.train}__displaced.csv"
    assert set(pd.read_csv(table)["patch_size"]) == {16}


def test_a_killed_training_is_seen_to_end_as_an_unbroken_one(capsys, monkeypatch):
    monkeypatch.setenv("PATCHWISE_WORK", "")
    assert gpu.check() == 0
    assert "a killed training ends as an unbroken one" in capsys.readouterr().out


def test_pictures_travel_in_parts(study, monkeypatch, tmp_path):
    monkeypatch.setattr(bundle, "BUNDLE", tmp_path)
    monkeypatch.setattr(bundle, "PART", 10_000)
    parts, names = bundle.pictures("tiny"), []
    for part in parts:
        with tarfile.open(part) as archive:
            names += archive.getnames()
    assert len(parts) > 1 and len(names) == len(set(names)) == 36
    assert all((paths.data_root() / name).is_file() for name in names)
    monkeypatch.setenv("PATCHWISE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere.*DATA=<folder>"):
        bundle.pictures("tiny")
