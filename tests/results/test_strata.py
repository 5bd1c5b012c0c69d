"""Groups that names tell of: each against all of the other class, over seeds and folds."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from vote_helpers import vote

from lib.data import packed
from lib.results.accuracies import Family
from lib.results.strata import by_stratum

LABELS = [0, 0, 1, 1, 1]
NAMES = ["real/a_1", "real/b_1", "fake/c_1", "fake/c_2", "fake/sub/d_1"]
MARGINS = np.array([[-3, -1, -2, 3, 4], [-1, 2, 1, 1, 3]], np.float32)  # of two seeds
DATA = {"image_size": 16, "folds": 2, "most_per_class": 50, "strata": r"([a-d])_\d"}


@pytest.fixture
def family(make_run, finish, monkeypatch):
    manifest = pd.DataFrame({"image_id": NAMES})
    monkeypatch.setattr(packed, "load", lambda *_: SimpleNamespace(manifest=manifest))
    for seed, margins in enumerate(MARGINS):
        run = make_run(8, seed=seed, data=DATA, patch_sizes=[8])
        finish(run, margins[None, :, None].repeat(2, axis=2), LABELS, [0.5])
        vote(run)
    return Family(run.study, run.train)


def test_each_group_is_ranked_against_all_of_the_other_class(family):
    rows = by_stratum(family, 8).set_index(["class", "stratum"])
    assert rows.index.tolist() == [("real", "a"), ("real", "b"), ("fake", "c"), ("fake", "d")]
    assert rows["images"].tolist() == [2, 2, 4, 2]  # of both folds
    assert rows["right"].tolist() == [1, 0.5, 0.75, 1]
    assert rows["auc"].tolist() == [1, (2 / 3 + 1 / 3) / 2, (3 / 4 + 1 / 2) / 2, 1]
    assert rows[["low", "high"]].isna().all(axis=None)  # two networks tell too little
