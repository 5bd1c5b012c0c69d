"""Where crops fail: qualities by hand, combs that are there and not, seeds pooled."""

import numpy as np
import pandas as pd
import pytest
import yaml

from lib.results import crop_places
from lib.study import paths, reading

LABELS = np.array([0, 0, 1, 1], np.uint8)


def test_a_grid_is_displaced_by_half_a_patch_and_by_a_whole_one():
    assert crop_places.distances(128)[-3:] == [48, 64, 128]
    assert crop_places.distances(16) == [0, 1, 2, 4, 8, 12, 16]
    assert {0, 1, 2, 4, 8, 12, 16, 24, 32} <= set(crop_places.distances(64))


def test_qualities_are_the_votes_and_the_mean_margins():
    z = np.array([[-3.0, 1, 2], [-1, -1, -1], [2, 2, 2], [-2.5, 1, 0]])
    assert crop_places.quality(z, LABELS) == {
        "auc": 0.75,  # the last fake's mean lies below that of one real alone
        "accuracy": 0.5,
        "tpr": 0.5,
        "tnr": 0.5,
        "real_margin": -1,
        "fake_margin": 1.5,
    }


def test_a_drift_changes_the_rates_and_not_the_ranking():
    z = np.array([[-1.0], [-2], [2], [1]])
    drifted = crop_places.quality(z - 5, LABELS)
    assert (drifted["auc"], drifted["tpr"], drifted["tnr"], drifted["accuracy"]) == (1, 0, 1, 0.5)


def test_a_row_is_a_network_and_a_place(make_run):
    run = make_run(seed=3, training={"origins": "aligned"}, variant="moved")
    rows = crop_places.table([(run, {"tested": "grid"}, np.zeros((4, 2)), LABELS)])
    line = rows.iloc[0]
    assert line[["variant", "trained", "patch_size", "seed", "tested", "tpr"]].tolist() == [
        *("moved", "aligned", 8, 3, "grid", 0),
    ]


@pytest.mark.parametrize(("teeth", "expected"), [(0, 0), (0.06, 0.06)])
def test_a_comb_is_told_from_a_decay(teeth, expected):
    at = crop_places.distances(64)
    auc = [0.8 - 0.003 * d + teeth * (d % 8 == 0) for d in at]
    rows = pd.DataFrame({"patch_size": 64, "axes": "both", "seed": 0, "distance": at, "auc": auc})
    assert crop_places.comb(rows)["comb"].tolist() == pytest.approx([expected])
    assert crop_places.comb(rows[rows["distance"] < 12]).empty


def test_protocols_that_differ_in_origins_alone_belong_together(monkeypatch, tmp_path, make_study):
    content = make_study().model_dump(exclude={"name", "variant", "networks"}, mode="json")
    moved = {"aligned": {"training": {"origins": "aligned"}}, "alike": {"seeds": [0]}}
    moved["longer"] = {"training": {"origins": "anywhere", "epochs": 9}}
    moved["scrambled"] = {
        "training": {"origins": "anywhere"},
        "quirks": {"scrambled_layout": True},
    }
    monkeypatch.setattr(paths, "PARAMS", tmp_path)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump({**content, "variants": moved}), "utf-8")
    found = crop_places.by_origins(reading.load("tiny"))
    assert {origins: each.variant for origins, each in found.items()} == {
        "grid": "plain",
        "aligned": "aligned",
    }


def test_tables_are_kept_where_the_report_looks(make_study, work):
    rows = pd.DataFrame({"auc": [0.5]})
    (name,) = crop_places.save(make_study(), "leaves-gan_a", places=rows)
    assert name == "results/tiny/tables/a3/leaves-gan_a__places.csv"
    pd.testing.assert_frame_equal(crop_places.read(make_study(), "leaves-gan_a", "places"), rows)
    assert crop_places.read(make_study(), "leaves-gan_a", "displaced").empty
