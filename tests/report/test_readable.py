"""Numbers as tables to read."""

import numpy as np
import pandas as pd
import pytest

from lib.report import experiments, readable
from lib.statistics import accuracy


@pytest.fixture
def rows() -> pd.DataFrame:
    """Two rules' statistics as tidy rows of one seed."""
    statistics = [*accuracy.EPOCH_STATISTICS, "auc", "tpr"]
    lines = [
        {"patch_size": 8, "seed": 0, "rule": rule, "statistic": statistic, "value": value}
        for rule, value in (("grid", 0.75), ("mean_margin", 0.5))
        for statistic in statistics
    ]
    return pd.DataFrame(lines).assign(low=0.5, high=1.0)


def test_a_table_to_read(rows):
    shown = readable.side_by_side(rows, ["rule"])
    assert list(shown.columns) == list(accuracy.EPOCH_STATISTICS)
    assert sorted(shown.index) == ["grid", "mean_margin"]
    assert shown.loc["grid", "validated"].startswith("75.0 [")
    rates = readable.side_by_side(rows, ["rule"], wanted=("auc", "tpr"))
    assert list(rates.columns) == ["auc", "tpr"]
    validated = rows.query("statistic == 'validated'")
    across = readable.side_by_side(
        validated, ["patch_size", "seed"], "rule", ("mean_margin", "grid")
    )
    assert across.index.names == ["patch_size"]  # a line of one seed does not name it
    assert list(across.columns) == ["mean_margin", "grid"]
    both = pd.concat([validated, validated.assign(seed=1)])
    seeds = readable.side_by_side(both, ["patch_size", "seed"], "rule", ("grid",))
    assert seeds.index.tolist() == [(8, 0), (8, 1)]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((0.98449,), "98.4"),
        ((1.0, 0.9, 1.0), "100.0 [90.0, 100.0]"),
        ((-0.0123, -0.05, 0.001), "-1.2 [-5.0, 0.1]"),
        ((np.nan,), "—"),
    ],
)
def test_per_cent(numbers, text):
    assert readable.percent(*numbers) == text


def test_ours_stands_beside_the_papers(rows, make_study):
    data = {"image_size": 256, "per_class": {"train": 3, "validation": 2, "test": 2}}
    study, rows = make_study(data=data), rows.assign(patch_size=32, experiment=2, leads=True)
    table = experiments.beside(study, rows, 2)
    assert list(table.columns.get_level_values(0).unique()) == ["paper", "here, seed 0"]
    assert table.index.tolist() == [128, 64, 32, 16]
    assert table.loc[32, ("paper", "average")] == "98.45"
    assert table.loc[32, ("here, seed 0", "validated")] == "75.0 [50.0, 100.0]"
    assert (table.loc[64, "here, seed 0"] == "—").all()
    folded = make_study(data={"image_size": 256, "folds": 3, "most_per_class": 9})
    assert "here" in experiments.beside(folded, rows, 2)


def test_points():
    assert readable.points(0.012, -0.003, 0.0271) == "+1.2 [-0.3, +2.7]"
