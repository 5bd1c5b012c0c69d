"""Margins of patches elsewhere: the stored ones where they lie as trained, and others beside."""

import numpy as np
import pytest

from lib import margins
from lib.data.packing.pack import pack
from lib.networks import elsewhere, training

CELL = "leaves-gan_a"


@pytest.fixture
def run(make_run, draw):
    for name in ("leaves", "gan_a", "gan_b"):
        draw(name, 12, size=32)
    data = {"image_size": 32, "per_class": {"train": 4, "validation": 3, "test": 4}}
    small = {"epochs": 1, "batch_size": 8, "precision": "fp32"}
    made = make_run(
        16, data=data, model={"name": "test_resnet"}, training=small, patch_sizes=[32, 16]
    )
    for cell in made.study.cells:
        pack(made.study, cell)
    training.train(made)
    return made


def test_undisplaced_they_are_the_grids_without_its_last_row_and_column(run):
    stored = margins.load(run, run.test, epoch=0)
    found = {tuple(w.values()): (r, z, y) for r, w, z, y in elsewhere.displaced(run, [0, 5, 16])}
    assert set(found) == {(axes, d) for axes in ("down", "across", "both") for d in (0, 5, 16)}
    for axes, patches in (("down", [0, 1]), ("across", [0, 2]), ("both", [0])):
        own, z, labels = found[axes, 0]
        assert own is run
        np.testing.assert_array_equal(labels, stored.labels)
        np.testing.assert_allclose(z, stored.margins[0][:, patches], rtol=1e-4, atol=1e-5)
    for axes, patches in (("down", [2, 3]), ("across", [1, 3]), ("both", [3])):
        _, z, _ = found[axes, 16]
        np.testing.assert_allclose(z, stored.margins[0][:, patches], rtol=1e-4, atol=1e-5)
        assert np.abs(found[axes, 5][1] - found[axes, 0][1]).max() > 1e-4


def test_crops_are_the_stored_ones_and_aligned_ones_beside(run):
    kinds = {where["tested"]: z for _, where, z, _ in elsewhere.on_crops(run)}
    assert list(kinds) == ["grid", "aligned", "anywhere"]
    for name, kind in (("grid", "grid"), ("anywhere", "crops")):
        np.testing.assert_array_equal(kinds[name], margins.load(run, CELL, kind=kind).margins[0])
    assert kinds["aligned"].shape == kinds["anywhere"].shape
    assert np.abs(kinds["aligned"] - kinds["anywhere"]).max() > 1e-4
