"""The rehearsal's study and its pictures; it is run by hand, since it takes half an hour."""

import pytest

from benchmarks import contention, rehearsal
from lib.study import paths, reading


def test_the_study_takes_the_papers_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "PARAMS", tmp_path)
    rehearsal.write(28_000)
    study = reading.load(rehearsal.NAME)
    counts = study.data.per_class
    assert (counts.train, counts.validation, counts.test) == (22_000, 2_000, 4_000)
    # Two epochs go once through four patches of each training image.
    assert 2 * study.training.patches_per_epoch == 2 * 4 * 22_000
    with pytest.raises(FileExistsError):  # it may be someone's own
        rehearsal.write(28_000)


def test_there_are_as_many_pictures_as_the_study_needs(tmp_path, monkeypatch):
    monkeypatch.setattr(rehearsal, "PART", 4)
    rehearsal.pictures(tmp_path, 14)
    files = {}
    for cell, least in (("noise-gan", 14), ("other-gan", 2)):
        for side in ("real", "fake"):
            found = [path for path in (tmp_path / cell / side).rglob("*.jpg")]
            assert len(found) >= least
            files |= {path: path.read_bytes() for path in found}
    assert len(set(files.values())) == len(files)  # none is there twice


def test_a_batch_fills_the_cores_and_no_more():
    for cores in (1, 2, 3, 4, 8, 64):
        networks, environment = contention.settings(cores)["side by side, as in a batch"]
        assert cores / 2 < networks * int(environment["OMP_NUM_THREADS"]) <= cores
