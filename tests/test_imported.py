"""Another detector's scores: what a CSV may say, and the run that it becomes."""

import json

import numpy as np
import pandas as pd
import pytest
import yaml
from vote_helpers import vote

from lib import __main__, imported, margins
from lib.data import packed
from lib.data.packing import pack
from lib.judge import runs as judged
from lib.judge.errors import NetworkError
from lib.report import certainty, families, provenance
from lib.results import claims, tables
from lib.study import paths, reading

CELL = "leaves-gan_a"
STUDY = {
    "title": "Leaves",
    "data": {"image_size": 16, "per_class": {"train": 3, "validation": 2, "test": 4}},
    "cells": {
        CELL: {"real": {"kind": "files", "path": "leaves"}, "fake": {"kind": "files", "path": "a"}},
        "stones-gan_a": {
            "real": {"kind": "files", "path": "stones"},
            "fake": {"kind": "files", "path": "a"},
        },
        "leaves_blur-gan_a": {"test_images_of": CELL, "blur": 1},
    },
    "train_on": [CELL],
    "patch_sizes": [16, 8],
    "voting": {"thetas": [1.0, 0.6]},
    "bootstrap": {"resamples": 20},
    "variants": {"short": {"training": {"epochs": 1}}},
}
FOLDS = {"data": {"image_size": 16, "folds": 3, "most_per_class": 8}}


@pytest.fixture
def make(work, monkeypatch, draw):
    """Writes the study's file and packs its cells."""
    monkeypatch.setattr(paths, "PARAMS", work)

    def write(**changes) -> None:
        (work / "tiny.yaml").write_text(yaml.safe_dump(STUDY | changes), "utf-8")
        draw("leaves", 12)
        draw("stones", 12)
        (work / "data/a").mkdir(exist_ok=True)
        for file in draw("b", 12):  # other pictures under other names
            file.rename(work / "data/a" / f"fake_{file.name}")
        for cell in STUDY["cells"]:
            pack.pack(reading.load("tiny"), cell)

    return write


@pytest.fixture
def scored(make):
    make()
    return table


def table(*splits: str, size: int = 16, cell: str = CELL, column: str = "score") -> pd.DataFrame:
    """Scores of a cell's images in some splits, all of them right by 1 + 0.01 × their place."""
    manifest = packed.load(reading.load("tiny"), cell).manifest
    manifest = manifest[manifest["split"].isin(splits or packed.SPLITS)]
    sign = 2.0 * manifest["label"] - 1
    if size == 16:
        return pd.DataFrame({"image": manifest["image_id"], column: sign})
    corners = [(0, 0), (0, 8), (8, 0), (8, 8)]
    parts = [
        pd.DataFrame({"image": manifest["image_id"], "row": r, "column": c, column: sign})
        for r, c in corners
    ]
    for place, part in enumerate(parts):
        part[column] *= 1 + 0.01 * place
    return pd.concat(parts[::-1], ignore_index=True)


def store(
    work, table: pd.DataFrame, name: str = "cue", dataset: str = "leaves", gan: str = "gan_a"
):
    table.to_csv(work / "scores.csv", index=False)
    return imported.store(work / "scores.csv", "tiny", dataset, gan, name)


def refused(work, table: pd.DataFrame, error=imported.ScoresError, **how) -> str:
    with pytest.raises(error) as caught:
        store(work, table, **how)
    assert not (paths.results("tiny") / "runs").exists()
    return str(caught.value)


def test_scores_of_patches_are_a_run_by_the_contract(work, scored):
    (run,), unknown = store(work, scored(size=8).sample(frac=1, random_state=0))
    assert unknown == [] and run.folder == paths.run("tiny", CELL, "cue", 8, 0)
    run = reading.run("tiny", "leaves", "gan_a", 8, variant="cue")  # as a notebook finds it
    assert run.is_finished and margins.validated(run) == 0
    grid, data = margins.load(run, CELL), packed.load(run.study, CELL)
    assert grid.margins.shape == (1, 8, 4) and grid.margins.dtype == np.float32
    assert grid.origins.tolist() == [[0, 0], [0, 8], [8, 0], [8, 8]]
    assert grid.epochs.tolist() == [0] and grid.image_index.dtype == np.int32
    labels = data.manifest["label"].to_numpy()
    assert grid.labels.tolist() == labels[grid.image_index].tolist()
    assert data.manifest["split"].iloc[grid.image_index].unique().tolist() == ["test"]
    expected = np.where(grid.labels == 1, 1, -1)[:, None] * np.array([1, 1.01, 1.02, 1.03])
    assert grid.margins[0] == pytest.approx(expected)
    assert margins.load(run, CELL, "validation").margins.shape == (1, 4, 4)
    config = margins.read_config(run.folder)
    assert config["imported"]["column"] == "score" and config["model"]["name"] == "imported"
    assert "training" not in config
    assert (run.folder / "scores.csv").read_bytes() == (work / "scores.csv").read_bytes()


def test_scores_of_images_are_the_whole_images(work, scored):
    (run,), _ = store(work, scored())
    assert run.is_whole_image and margins.load(run, CELL).margins.shape == (1, 8, 1)


def test_images_are_named_by_their_files_too_and_others_are_left_out(work, scored):
    rows = scored("test", "validation")
    rows["image"] = rows["image"].str.partition("/")[2]
    others = pd.DataFrame({"image": ["elsewhere.png", "train.png"], "score": 1.0})
    (run,), unknown = store(work, pd.concat([rows, others]))
    assert unknown == ["elsewhere.png", "train.png"]
    assert (margins.load(run, CELL).margins[0, :, 0] > 0).tolist() == [False] * 4 + [True] * 4


def test_a_probability_becomes_its_logit(work, scored):
    rows = scored(column="probability")
    rows["probability"] = np.where(rows["probability"] > 0, 0.75, 0.0)
    rows.loc[rows.index[-1], "probability"] = 1.0
    (run,), _ = store(work, rows)
    z = imported.read(work / "scores.csv", packed.load(run.study, CELL))[0][:, 0]
    assert np.unique(z) == pytest.approx([-37, np.log(3), 37])


def test_no_validation_images_are_none(work, scored):
    (run,), _ = store(work, scored("test", size=8))
    assert margins.load(run, CELL, "validation").margins.shape == (1, 0, 4)
    assert margins.validated(run) == 0
    vote(run)
    rows = tables.read(reading.load("tiny"))[0]
    assert "validated" in set(rows["statistic"])
    assert not {"validation_threshold", "test_threshold"} & set(rows["statistic"])
    (whole,), _ = store(work, scored("test"))
    vote(whole)
    (family,) = families.trained(reading.load("tiny"))
    assert family.sizes == family.learned == [16, 8]  # which nothing speaks against
    assert "not judged" in set(claims.table([family])["finding"])


def test_a_cell_that_is_only_tested_on_can_be_scored(work, scored):
    (run,), _ = store(work, scored("test", cell="stones-gan_a"), dataset="stones")
    assert run.train == "stones-gan_a" and margins.load(run, run.train).margins.shape == (1, 8, 1)


def test_an_altered_cell_cannot(work, scored):
    rows = scored("test", cell="leaves_blur-gan_a")
    assert "only tested on" in refused(work, rows, ValueError, dataset="leaves_blur")


def test_of_a_study_with_folds_each_fold_is_a_run(work, make):
    make(**FOLDS)
    runs, _ = store(work, table())
    assert [run.seed for run in runs] == [0, 1, 2]
    tested = [margins.load(run, CELL).image_index.tolist() for run in runs]
    assert sorted(sum(tested, [])) == list(range(16))
    assert reading.load("tiny", "cue").seeds == [0, 1, 2]


def test_what_is_found_is_found_and_other_scores_are_refused(work, scored):
    rows = scored(size=8)
    (run,), _ = store(work, rows)
    before = (run.folder / "config.json").stat().st_mtime_ns
    store(work, rows)
    assert (run.folder / "config.json").stat().st_mtime_ns == before
    with pytest.raises(margins.RunError, match="imported.sha256 is .* delete that folder"):
        store(work, rows.assign(score=-rows["score"]))


def test_a_variant_is_known_while_it_is_stored(work, scored):
    (run,), _ = store(work, scored(size=8))
    store(work, scored())
    study = reading.load("tiny")
    assert list(study.variants) == ["cue", "short"]
    assert reading.load("tiny", "cue").patch_sizes == [8, 16]
    assert paths.imported("tiny") == [(CELL, "cue", 8, 0), (CELL, "cue", 16, 0)]
    run.folder.rename(paths.beside(run.folder))  # as a killed import leaves it
    assert paths.imported("tiny") == [(CELL, "cue", 16, 0)]


@pytest.mark.parametrize("name", ["plain", "short"])
def test_a_name_of_the_studys_own_is_refused(work, scored, name):
    said = refused(work, scored(), reading.ParameterError, name=name)
    assert said == f"name: study 'tiny' has {name!r} already; choose another"


def test_images_that_were_packed_anew_are_noticed(work, make):
    make()
    (run,), _ = store(work, table())
    assert imported.require(run) == run.folder
    side = paths.packed("tiny", CELL) / "packed.json"
    content = json.loads(side.read_text("utf-8"))
    content["hashes"]["test"] = "other"
    side.write_text(json.dumps(content), "utf-8")
    with pytest.raises(margins.RunError, match="packed.leaves-gan_a.test is"):
        imported.require(run)


def mistake(rows: pd.DataFrame, kind: str) -> pd.DataFrame:
    first = rows["image"] == rows["image"].iloc[0]
    match kind:
        case "missing":
            return rows[~first]
        case "misnamed":
            return rows.assign(image=rows["image"].mask(first, "nobody.png"))
        case "patch":
            return rows.drop(index=rows.index[first][1])
        case "twice":
            return pd.concat([rows, rows[first]])
        case "nan":
            return rows.assign(score=rows["score"].mask(first))
        case "infinite":
            return rows.assign(score=rows["score"].mask(first, 1e300))
        case "word":
            return rows.assign(score=rows["score"].astype(str).mask(first, "high"))
        case "uneven":
            return rows.assign(row=rows["row"].replace(8, 7))
        case "gap":
            return rows.assign(column=rows["column"] + 8)
        case "no row":
            return rows.drop(columns="row")
        case "no score":
            return rows.rename(columns={"score": "scores"})
        case "two":
            return rows.assign(probability=0.5)
        case "percent":
            return rows.rename(columns={"score": "probability"}).assign(probability=50)
        case "empty":
            return rows[:0]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("missing", "1 of 8 test images of leaves-gan_a lack a score of one of their 4 patches"),
        ("misnamed", "1 are unknown, such as nobody.png"),
        ("patch", "1 of 8 test images of leaves-gan_a lack a score of one of their 4 patches"),
        ("twice", "4 of 76 lines give a score that another one gave, such as real/"),
        ("nan", "4 of 72 lines lack a finite number, such as real/"),
        ("infinite", "4 of 72 lines lack a finite number, such as real/"),
        ("word", "8, 8, high"),
        ("uneven", "rows and columns are [0, 7, 8]; patches must cover the image, 16 px"),
        ("gap", "rows and columns are [0, 8, 16]"),
        ("no row", "has 72 lines of image, column, score; it needs image"),
        ("no score", "one of score, margin, probability and, of patches, row and column"),
        ("two", "has 72 lines of image, row, column, score, probability"),
        ("percent", "72 of 72 lines lack a finite number from 0 to 1"),
        ("empty", "has 0 lines of image"),
    ],
)
def test_mistakes_are_counted_and_named(work, scored, kind, said):
    assert said in refused(work, mistake(scored(size=8), kind))


def test_validation_images_are_all_scored_or_none(work, scored):
    assert "2 of 4 validation images" in refused(work, scored().drop(index=[8, 9]))


def test_a_name_that_both_classes_have_is_refused(work, make, draw):
    make()
    for file in (work / "data/a").iterdir():
        file.rename(file.with_name(file.name.removeprefix("fake_")))
    (paths.packed("tiny", CELL) / "packed.json").unlink()
    pack.pack(reading.load("tiny"), CELL)
    rows = table()
    rows["image"] = rows["image"].str.partition("/")[2]
    assert "lines name two images (write as in real/00" in refused(work, rows)


def test_a_file_that_is_no_csv_is_named(work, make):
    make()
    for name, content in (("none.csv", None), ("empty.csv", b""), ("binary.csv", b"\xff\xfe\x00")):
        if content is not None:
            (work / name).write_bytes(content)
        with pytest.raises(imported.ScoresError, match=f"{name}: cannot be read as a CSV"):
            imported.store(work / name, "tiny", "leaves", "gan_a", "cue")


def test_the_command_says_what_it_stored_and_what_is_wrong(work, scored, capsys):
    rows = pd.concat([scored(), pd.DataFrame({"image": ["x.png"], "score": 1.0})])
    rows.to_csv(work / "scores.csv", index=False)
    given = [str(work / "scores.csv"), "--study", "tiny", "--dataset", "leaves", "--gan", "gan_a"]
    assert __main__.main(["import", *given, "--name", "cue"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0].startswith("Leaves · scores of leaves-gan_a · 16 px · imported · seed 0 · cue ·")
    assert "100.0 % of test patches" in said[0] and said[0].endswith("/cue/p016/seed0")
    assert said[1] == "Left out, images that the cell does not have: 1, such as x.png"
    assert __main__.main(["import", *given, "--name", "plain"]) == 1
    assert "choose another" in capsys.readouterr().err
    network = ["train", *given[1:], "--patch-size", "16", "--variant", "cue"]
    assert __main__.main(network) == 1
    assert "another detector's scores" in capsys.readouterr().err


def test_they_stand_beside_ours_in_tables_and_are_called_what_they_are(work, scored, finish):
    labels = [0] * 4 + [1] * 4
    ours = {size: reading.run("tiny", "leaves", "gan_a", size) for size in (16, 8)}
    for size, run in ours.items():
        finish(run, np.ones((2, 8, (16 // size) ** 2)), labels, [0.5, 0.6])  # all called fake
        vote(run)
    for size in (16, 8):
        vote(store(work, scored(size=size))[0][0])
    study = reading.load("tiny")
    rows, left_out = families.read(study)
    assert set(rows["variant"]) == {"plain", "cue"} and left_out == []
    by_family = families.by_family(study, rows)
    plain, cue = by_family
    assert plain.startswith("Trained on") and cue == f"Another detector’s scores of {CELL}, cue"
    runs = families.runs(study, by_family[cue])
    assert provenance.imported(runs)["column"].tolist() == ["score", "score"]
    assert provenance.imported(families.runs(study, by_family[plain])).empty
    own, other = families.trained(study)
    assert families.title(other) == cue and list(provenance.budgets([other])) == []
    assert other.learned == [16, 8]
    more = certainty.against(other, own)
    assert more.index.tolist() == [16, 8] and list(more) == ["16 px", "8 px"]
    assert set(more.to_numpy().ravel()) == {"+50.0 [+50.0, +50.0]"}


def test_a_run_without_a_network_judges_no_pictures(work, scored):
    (run,), _ = store(work, scored())
    with pytest.raises(NetworkError, match="another detector's scores, and no network"):
        judged.load(run.folder)
