"""Runs: what may not be mixed is refused by name, margins round trip, errors say what to do."""

import hashlib
import json
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open

from lib import margins
from lib.margins import Margins
from lib.study import paths
from lib.study.schema import ParameterError

Z = np.linspace(-2, 2, 2 * 4 * 4, dtype=np.float32).reshape(2, 4, 4)
LABELS = [0, 0, 1, 1]
HASHES = {"leaves-gan_a": {"test": "1a", "train": "2b"}}


def configure(run, hashes=HASHES, precision="fp32", device="CPU") -> dict:
    return margins.config(run, hashes, precision=precision, device=device)


def stored(run, **changes) -> dict:
    """Writes a config into the run's folder, and returns it."""
    config = {**configure(run), **changes}
    run.folder.mkdir(parents=True, exist_ok=True)
    (run.folder / "config.json").write_text(json.dumps(config), "utf-8")
    return config


def test_a_config_holds_all_that_the_results_depend_on(make_run):
    config = configure(make_run())
    assert (config["study"], config["train"], config["variant"]) == (
        "tiny",
        "leaves-gan_a",
        "plain",
    )
    assert (config["patch_size"], config["seed"], config["crops_per_image"]) == (8, 0, 5)
    assert config["data"] == {
        "seed": 0,
        "image_size": 16,
        "crop": "centre",
        "face_margin": 0.0,
        "resample": "lanczos",
        "jpeg_quality": None,
        "folds": None,
        "strata": None,
    }
    assert config["model"] == {"name": "legacy_xception", "pretrained": False}
    assert config["training"] == {
        "epochs": 50,
        "batch_size": 128,
        "learning_rate": 1e-3,
        "schedule": "constant",
        "patches_per_epoch": None,
        "min_patches_per_epoch": None,
        "origins": "grid",
        "flips": False,
    }
    assert config["quirks"] == {}
    assert config["packed"] == HASHES
    assert config["precision"] == "fp32"
    assert {"python", "torch", "timm", "numpy", "patchwise"} <= set(config["versions"])
    assert "git_commit" in config
    assert json.loads(json.dumps(config)) == config
    assert configure(make_run(patch_size=16))["crops_per_image"] is None


def test_the_same_run_goes_on(make_run, work):
    run = make_run()
    margins.refuse_mixing(run.folder, {**configure(run), **stored(run)})


@pytest.mark.parametrize(
    ("change", "key", "there", "here"),
    [
        ({"training": {"epochs": 3}}, "training.epochs", "50", "3"),
        ({"training": {"batch_size": 9}}, "training.batch_size", "128", "9"),
        ({"training": {"learning_rate": 0.1}}, "training.learning_rate", "0.001", "0.1"),
        ({"training": {"patches_per_epoch": 8}}, "training.patches_per_epoch", "None", "8"),
        ({"model": {"name": "other"}}, "model.name", "'legacy_xception'", "'other'"),
        ({"model": {"pretrained": True}}, "model.pretrained", "False", "True"),
        ({"voting": {"crops_per_image": 7}}, "crops_per_image", "5", "7"),
        ({"data": {"seed": 1}}, "data.seed", "0", "1"),
        ({"data": {"resample": "area"}}, "data.resample", "'lanczos'", "'area'"),
        ({"quirks": {"dense_xception": True}}, "quirks.dense_xception", "None", "True"),
        ({"quirks": {"scrambled_layout": True}}, "quirks.scrambled_layout", "None", "True"),
        ({"quirks": {"bgr_raw_values": True}}, "quirks.bgr_raw_values", "None", "True"),
        ({"quirks": {"strips": True}}, "quirks.strips", "None", "True"),
        ({"variant": "other"}, "variant", "'plain'", "'other'"),
    ],
)
def test_a_run_made_with_other_parameters_is_refused_by_name(
    make_run, work, change, key, there, here
):
    run = make_run()
    stored(run)
    if "data" in change:
        change = {"data": {**run.study.data.model_dump(), **change["data"]}}
    with pytest.raises(margins.RunError) as error:
        margins.refuse_mixing(run.folder, configure(make_run(**change)))
    assert f"made with other parameters: {key} is {there} there, {here} here." in str(error.value)
    assert str(run.folder) in str(error.value)


@pytest.mark.parametrize(
    ("wanted", "key"),
    [
        ({"hashes": {"leaves-gan_a": {"test": "XX", "train": "2b"}}}, "packed.leaves-gan_a.test"),
        ({"hashes": {"leaves-gan_a": {"test": "1a"}}}, "packed.leaves-gan_a.train"),
        ({"hashes": {**HASHES, "new-gan_a": {"test": "3c"}}}, "packed.new-gan_a.test"),
        ({"precision": "bf16"}, "precision"),
    ],
)
def test_other_packed_data_or_precision_are_refused(make_run, work, wanted, key):
    run = make_run()
    stored(run)
    with pytest.raises(margins.RunError, match=rf"parameters: {key} is"):
        margins.refuse_mixing(run.folder, configure(run, **wanted))


def test_all_changed_keys_are_named_at_once(make_run, work):
    run = make_run()
    stored(run)
    other = make_run(training={"epochs": 3}, model={"name": "other"})
    with pytest.raises(margins.RunError, match=r"model\.name .*; training\.epochs .*; precision "):
        margins.refuse_mixing(run.folder, configure(other, precision="bf16"))


@pytest.mark.parametrize(
    "recorded",
    [
        {"versions": {"torch": "0.1", "python": "2.7"}},
        {"git_commit": "0123"},
        {"device": "another GPU"},
        {"model": {"name": "legacy_xception", "pretrained": False, "parameters": 1}},
    ],
)
def test_what_is_only_recorded_forbids_nothing(make_run, work, recorded):
    run = make_run()
    stored(run, **recorded)
    margins.refuse_mixing(run.folder, configure(run))


@pytest.mark.parametrize(
    "change",
    [
        {"training": {"device": "cpu"}},
        {"voting": {"thetas": [0.5]}},
        {"bootstrap": {"resamples": 9}},
        {"seeds": [0, 1]},
        {"title": "Another"},
        {"patch_sizes": [16, 8, 4]},
        {"quirks": {"theta_reading": "range"}},
        {"quirks": {"fallback_counts_fake": True, "last_patch_only": True}},
        {"quirks": {"even_crops_ties_wrong": True}},
        {"variant": "votes_anew", "networks": "plain"},
    ],
)
def test_what_changes_no_margin_forbids_nothing(make_run, work, change):
    run = make_run()
    stored(run)
    margins.refuse_mixing(run.folder, configure(make_run(**change)))


def test_a_missing_run_names_the_command_that_trains_it(make_run, work):
    run = make_run(seed=3, variant="short")
    command = (
        "papermill notebooks/01_patch_accuracy.ipynb 01_patch_accuracy.out.ipynb -p study tiny "
        "-p dataset leaves -p gan gan_a -p patch_size 8 -p seed 3 -p variant short"
    )
    for ask in (margins.require, margins.history, lambda r: margins.load(r, r.train)):
        with pytest.raises(margins.RunError) as error:
            ask(run)
        assert str(error.value).endswith(command)
        assert str(run.folder) in str(error.value)
        assert "did not finish" not in str(error.value)
    paths.beside(run.folder).mkdir(parents=True)
    with pytest.raises(margins.RunError, match=r"\(it began and did not finish\)"):
        margins.require(run)


def test_a_finished_run_is_found(make_run, finish):
    run = make_run()
    finish(run, Z, LABELS, [0.5, 0.5])
    assert margins.require(run) == run.folder
    assert margins.read_config(run.folder)["study"] == "tiny"
    assert margins.history(run)["epoch"].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("change", "key"),
    [({"training": {"epochs": 3}}, "training.epochs"), ({"data": {"seed": 1}}, "data.seed")],
)
def test_margins_of_a_run_made_with_other_parameters_are_not_voted_on(
    make_run, finish, change, key
):
    """The contract: refused, naming the keys; never silently mixed. Notebooks 02 to 05 vote."""
    run = make_run()
    finish(run, Z, LABELS, [0.5, 0.5])
    if "data" in change:
        change = {"data": {**run.study.data.model_dump(), **change["data"]}}
    with pytest.raises(margins.RunError, match=key):
        margins.load(make_run(**change), run.train)


def test_a_variant_that_only_votes_anew_reads_the_plain_margins(make_run, finish):
    finish(make_run(), Z, LABELS, [0.5, 0.7])
    other = make_run(variant="anew", networks="plain", quirks={"last_patch_only": True})
    assert other.variant == "anew"
    assert margins.require(other) == make_run().folder
    np.testing.assert_array_equal(margins.load(other, other.train).margins, Z)
    assert margins.validated(other) == 1
    assert configure(other) == configure(make_run())


def test_a_variant_with_networks_of_its_own_does_not(make_run, finish):
    finish(make_run(), Z, LABELS, [0.5, 0.7])
    other = make_run(variant="anew", quirks={"strips": True})
    with pytest.raises(
        margins.RunError, match=r"(?s)no trained network in .*/anew/.* -p variant anew"
    ):
        margins.load(other, other.train)


@pytest.mark.parametrize(
    ("accuracies", "epoch"), [([0.5, 0.9, 0.7, 0.9], 1), ([0.5, 0.5, 0.5, 0.5], 0)]
)
def test_the_validated_epoch_is_the_earliest_of_the_best(make_run, finish, accuracies, epoch):
    run = make_run()
    finish(run, np.zeros((4, 4, 4)), LABELS, accuracies)
    assert margins.validated(run) == epoch


@pytest.mark.parametrize(("asked", "found"), [("auto", "bf16"), ("fp32", None)])
def test_a_run_keeps_to_the_precision_it_began_with(make_run, work, asked, found):
    run = make_run(training={"precision": asked})
    assert margins.stored_precision(run) is None
    draft = paths.beside(run.folder)
    draft.mkdir(parents=True)
    (draft / "config.json").write_text(json.dumps({"precision": "bf16"}))
    assert margins.stored_precision(run) == found


def test_margins_round_trip_with_their_metadata(tmp_path):
    laid = Margins(
        np.asfortranarray(Z)[:, ::-1],  # not contiguous
        np.array(LABELS, np.uint8),
        np.arange(4 * 4 * 2, dtype=np.int32).reshape(4, 4, 2),
        np.array([3, 4], np.int32),
        np.array([9, 8, 7, 6], np.int32),
    )
    path = tmp_path / "margins" / "leaves-gan_a" / "test-crops.safetensors"
    margins.save(path, laid, packed_hash="1a", crops_seed=5)
    with safe_open(path, framework="numpy") as file:
        assert file.metadata() == {"packed_hash": "1a", "crops_seed": "5"}
        assert set(file.keys()) == {"margins", "labels", "origins", "epochs", "image_index"}
        types = {name: str(file.get_tensor(name).dtype) for name in file.keys()}  # noqa: SIM118
    assert types == {
        "margins": "float32",
        "labels": "uint8",
        "origins": "int32",
        "epochs": "int32",
        "image_index": "int32",
    }
    back = margins.read(path)
    for name, value in vars(laid).items():
        np.testing.assert_array_equal(getattr(back, name), value)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_margins_are_found_by_cell_split_and_kind(make_run, finish):
    run = make_run(test_gan="gan_b")
    finish(run, Z, LABELS, [0.5, 0.5])
    finish(run, -Z, LABELS, [0.5, 0.5], kind="crops")
    np.testing.assert_array_equal(margins.load(run, run.test).margins, Z)
    np.testing.assert_array_equal(margins.load(run, run.test, kind="crops").margins, -Z)
    available = "leaves-gan_b/test-crops.safetensors, leaves-gan_b/test-grid.safetensors"
    for missing in ({"cell": run.train}, {"cell": run.test, "split": "validation"}):
        with pytest.raises(margins.RunError, match="no such margins; the run has ") as error:
            margins.load(run, **missing)
        assert available in str(error.value)


def test_the_margins_of_one_epoch_are_read_alone(make_run, finish):
    run = make_run()
    whole = finish(run, Z, LABELS, [0.5, 0.5])
    for epoch in (0, 1):
        one = margins.load(run, run.train, epoch=epoch)
        np.testing.assert_array_equal(one.margins, Z[epoch : epoch + 1])
        assert one.margins.dtype == np.float32
        assert one.epochs.tolist() == [epoch]
        for name in ("labels", "origins", "image_index"):
            np.testing.assert_array_equal(getattr(one, name), getattr(whole, name))


def test_an_epoch_is_found_by_its_number_not_its_row(tmp_path):
    rest = (np.array(LABELS, np.uint8), np.zeros((4, 2), np.int32))
    laid = Margins(Z, *rest, np.array([3, 7], np.int32), np.arange(4, dtype=np.int32))
    path = tmp_path / "test-grid.safetensors"
    margins.save(path, laid, packed_hash="1a", crops_seed=5)
    np.testing.assert_array_equal(margins.read(path, 7).margins, Z[1:])
    assert margins.read(path, 7).epochs.tolist() == [7]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_margins_that_are_no_numbers_are_refused(make_run, finish, value):
    run, z = make_run(), Z.copy()
    z[1, 2, 3] = value
    finish(run, z, LABELS, [0.5, 0.5])
    with pytest.raises(margins.RunError, match=r"test-grid\.safetensors: .* not finite numbers"):
        margins.load(run, run.train)


def test_a_full_disk_leaves_no_margins(make_run, finish, monkeypatch):
    def full(tensors, path, metadata):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(margins, "save_file", full)
    run = make_run()
    with pytest.raises(OSError, match="No space left"):
        finish(run, Z, LABELS, [0.5, 0.5])
    assert list((run.folder / "margins").rglob("*.*")) == []


def test_the_source_of_a_network_of_ones_own_is_a_parameter(make_run, work, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", work)
    (work / "own_nets.py").write_text("class Net: pass\n")
    run = make_run(model={"name": "own_nets:Net"})
    config = stored(run)
    assert config["model"] == {
        "name": "own_nets:Net",
        "pretrained": False,
        "source": hashlib.sha256(b"class Net: pass\n").hexdigest(),
    }
    margins.refuse_mixing(run.folder, margins.protocol(run))
    (work / "own_nets.py").write_text("class Net: depth = 2\n")
    with pytest.raises(margins.RunError, match=r"made with other parameters: model\.source is "):
        margins.refuse_mixing(run.folder, margins.protocol(run))
    (work / "own_nets.py").unlink()
    with pytest.raises(ParameterError, match=r"model\.name: own_nets:Net: Python finds no module"):
        margins.protocol(run)


def test_nothing_needs_torch_and_nothing_of_ones_own_is_imported(tmp_path):
    (tmp_path / "own_nets.py").write_text("raise SystemExit('imported')\n")
    code = f"""
import sys
from lib import margins
from lib.study import own_code, paths
paths.ROOT = paths.Path({str(tmp_path)!r})
assert len(own_code.digest("own_nets:Net")) == 64
layers = ("torch", "timm", "lib.voting", "lib.data", "lib.networks", "own_nets")
print([name for name in sys.modules if name.startswith(layers)])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
