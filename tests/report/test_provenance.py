"""Where a report's numbers come from: parameters, images, networks, budgets."""

import json

import pandas as pd

from lib.data import packed
from lib.data.packing import pack
from lib.report import families, provenance
from lib.study import paths

CELL, SISTER = "leaves-gan_a", "leaves-gan_b"


def test_every_parameter_stands_in_the_protocol(make_study):
    study = make_study(training={"epochs": 7}, deviations=["Leaves are no faces."])
    table = provenance.protocol(study)["value"]
    assert table["training.epochs"] == "7" and table["patch_sizes"] == "[16, 8]"
    assert table["data.per_class.train"] == "3" and table["bootstrap.resamples"] == "200"
    sections = ("data", "model", "training", "voting", "bootstrap")
    for section in sections:
        for key in getattr(study, section).model_dump(exclude={"per_class"}):
            assert f"{section}.{key}" in table


def test_the_packed_images_are_counted(make_study, draw):
    for folder in ("leaves", "gan_a", "gan_b"):
        draw(folder, 12)
    study = make_study()
    pack.pack(study, CELL)
    table = provenance.images(study)
    assert table.loc[CELL, ["train", "validation", "test"]].tolist() == [6, 4, 8]
    splits = packed.load(study, CELL).manifest["split"].value_counts()
    assert table.loc[CELL, list(splits.index)].tolist() == splits.tolist()
    assert table.loc[CELL, ["simulated", "format", "skipped"]].tolist() == ["no", "PNG", 0]
    assert table.loc[SISTER, "format"] == "not packed"
    pack.pack(study, SISTER)
    assert provenance.images(study).loc[SISTER, ["train", "test"]].tolist() == [0, 8]


def test_images_that_are_out_of_date_are_not_counted(make_study, draw):
    for folder in ("leaves", "gan_a"):
        draw(folder, 12)
    study = make_study()
    pack.pack(study, CELL)
    changed = study.model_copy(update={"data": study.data.model_copy(update={"resample": "area"})})
    line = provenance.images(changed).loc[CELL]
    assert line["format"] == "out of date: resample changed" and "test" not in line.dropna()


def test_altered_cells_are_no_images_of_their_own(make_study, work):
    study = make_study()
    jpeg = {"test_images_of": CELL, "jpeg_quality": 75}
    cells = {**study.model_dump()["cells"], "leaves_jpeg-gan_a": jpeg}
    assert provenance.images(make_study(cells=cells)).index.tolist() == [CELL, SISTER]


def test_simulated_cells_say_so(make_study, work):
    source = {"kind": "simulated", "content": "sim_faces"}
    table = provenance.images(make_study(cells={CELL: {"real": source, "fake": source}}))
    assert table.loc[CELL, "simulated"] == "yes"


def test_networks_are_what_their_runs_recorded(family):
    laid = family({128: [0.6, 0.8], 64: [0.7, 1.0]})
    networks = families.runs(laid.study, families.read(laid.study)[0])
    table = provenance.networks(networks)
    assert table.index.names == ["train", "variant", "patch_size", "seed"]
    assert table.index.tolist() == [
        (CELL, "plain", size, seed) for size in (128, 64) for seed in (0, 1)
    ]
    line = table.iloc[0]
    config = json.loads((networks[0].folder / "config.json").read_text("utf-8"))
    assert (line["parameters"], line["epochs"], line["validated epoch"]) == ("7", 2, 0)
    assert (line["training, s"], line["scoring, s"], line["precision"]) == (4, 2, "fp32")
    assert line["torch"] == config["versions"]["torch"]
    other = {"versions": {**config["versions"], "torch": "1.0"}, "device": "a GPU"}
    config["earlier"] = [other, {"git_commit": "abc"}, {"device": "another"}]
    (networks[0].folder / "config.json").write_text(json.dumps(config), "utf-8")
    line = provenance.networks(networks).iloc[0]
    assert line["torch"] == f"1.0, then {config['versions']['torch']}"
    assert line["device"] == f"a GPU, then another, then {config['device']}"
    assert line["python"] == config["versions"]["python"]


def test_curves_are_the_histories(family):
    laid = family({128: [0.6], 64: [0.7]})
    networks = families.runs(laid.study, families.read(laid.study)[0])
    table = provenance.curves(networks)
    assert set(table["quantity"]) == set(provenance.CURVES.values())
    assert set(table["network"]) == {"128 px", "64 px"} and set(table["seed"]) == {0}
    loss = table.query("quantity == 'training loss' and network == '64 px'")
    history = pd.read_csv(networks[1].folder / "history.csv")
    assert loss["value"].tolist() == history["loss"].tolist()
    assert loss["epoch"].tolist() == history["epoch"].tolist()


def test_budgets_by_hand(family):
    """Two epochs of 100 patches an image's worth, in batches of 32."""
    table = provenance.budgets([family({128: [0.6, 0.8], 64: [0.7, 1.0]})])
    assert table.index.tolist() == [(CELL, "plain", 128), (CELL, "plain", 64)]
    # 100 are 3 whole batches and one of 4, 400 are 12 and one of 16.
    assert table.to_numpy().tolist() == [
        ["100", "8", "60.0, 80.0", "60.0, 80.0"],
        ["400", "26", "70.0, 100.0", "70.0, 100.0"],
    ]


def test_what_was_not_voted_on_has_no_accuracy(family):
    laid = family({128: [0.6], 64: [0.7]})
    for file in (paths.results("tiny") / "verdicts" / "exp2").iterdir():
        file.unlink()
    table = provenance.budgets([laid])
    assert table["vote over the grid"].tolist() == ["60.0", "—"]


def test_budgets_of_nothing_is_no_table(work):
    assert provenance.budgets([]).empty


def test_sizes_trained_with_more_than_twofold_other_steps_are_told(family):
    budgets = provenance.budgets([family({128: [0.9], 64: [0.9]})])
    key = ("leaves-gan_a", "plain")
    few, many = budgets["steps"]
    said = provenance.uneven(budgets)
    assert said == {key: f"{few} training steps at 128 px and {many} at 64 px"}
    assert provenance.uneven(budgets.assign(steps=["1,000", "2,000"])) == {}
    assert provenance.uneven(budgets.iloc[:0]) == {}
