"""Parameters: every study loads, every mistake is named, and notebooks ask for what they have."""

import ast
import io
import json
import pickle
import tokenize
from collections.abc import Mapping
from typing import Any

import pytest
import yaml

from lib.study import paths, reading
from lib.study.reading import ParameterError
from lib.study.schema import split_cell

NOTEBOOKS = sorted(file.stem for file in paths.NOTEBOOKS.glob("0?_*.ipynb"))
TINY = {
    "title": "Leaves",
    "data": {"image_size": 64, "per_class": {"train": 3, "validation": 2, "test": 4}},
    "cells": {
        "leaves-gan_a": {
            "real": {"kind": "files", "path": "leaves"},
            "fake": {"kind": "simulated", "content": "sim_faces", "generator": "sim_progan"},
        },
        "stones-gan_b": {
            "real": {"kind": "files", "path": "stones"},
            "fake": {"kind": "files", "path": "gan_b"},
        },
    },
    "train_on": ["leaves-gan_a"],
    "patch_sizes": [64, 32],
    "variants": {"short": {"training": {"epochs": 3}, "voting": {"thetas": [0.5]}}},
}
CELL = {"study": "tiny", "dataset": "leaves", "gan": "gan_a"}
RUN = {**CELL, "patch_size": 32, "seed": 0, "variant": "plain", "overrides": {}}


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """Writes `params/tiny.yaml`: TINY, but for changes given by path, `...` taking a key away."""
    monkeypatch.setattr(paths, "PARAMS", tmp_path)

    def write(changes: Mapping[str, Any] | None = None) -> None:
        content = json.loads(json.dumps(TINY))
        for path, value in (changes or {}).items():
            *sections, key = path.split("/")
            at = content
            for section in sections:
                at = at.setdefault(section, {})
            if value is ...:
                del at[key]
            else:
                at[key] = value
        (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(content), "utf-8")

    write()
    return write


def message(call, *args, **kwargs) -> str:
    with pytest.raises(ParameterError) as error:
        call(*args, **kwargs)
    return str(error.value)


@pytest.mark.parametrize("name", reading.studies())
def test_every_study_loads_in_every_variant(name):
    study = reading.load(name)
    assert (study.name, study.variant) == (name, "plain")
    for variant in study.variants:
        assert reading.load(name, variant).variant == variant
    for size in study.patch_sizes:
        for train in study.train_on:
            for test in study.cells:
                dataset, gan = train.split("-")
                other = dict(zip(("test_dataset", "test_gan"), test.split("-"), strict=True))
                run = reading.run(name, dataset, gan, size, **other)
                assert (run.train, run.test, run.variant) == (train, test, "plain")
                assert run.is_whole_image == (size == study.data.image_size)


def test_the_studies_that_the_readme_names_are_there():
    assert {"smoke", "demo", "paper"} <= set(reading.studies())


def test_a_study_as_its_file_says(tiny):
    study = reading.load("tiny")
    assert study.data.per_class.test == 4
    assert (study.data.crop, study.data.resample, study.data.max_skipped) == (
        "centre",
        "lanczos",
        0.01,
    )
    assert study.cells["leaves-gan_a"].fake.generator == "sim_progan"
    assert (study.training.epochs, study.training.batch_size) == (50, 128)
    assert study.voting.thetas == [1.0, 0.9, 0.8, 0.7, 0.6]
    assert study.simulated
    tiny({"cells/leaves-gan_a/fake": {"kind": "files", "path": "x"}})
    assert not reading.load("tiny").simulated


JPEG = {"test_images_of": "stones-gan_b", "jpeg_quality": 75}


def test_a_cell_may_be_the_altered_test_images_of_another(tiny):
    changes = {"jpeg_quality": 75}, {"scale": 0.5}, {"blur": 1}
    altered = {
        f"stones_{number}-gan_b": {"test_images_of": "stones-gan_b", **change}
        for number, change in enumerate(changes)
    }
    other = {"test_images_of": "leaves-gan_a", "blur": 0.5}
    tiny({"cells": {**TINY["cells"], **altered, "leaves_blur-gan_a": other}})
    study = reading.load("tiny")
    assert set(study.altered()) == {*altered, "leaves_blur-gan_a"}
    assert list(study.altered("stones-gan_b")) == list(altered)
    assert study.others("leaves-gan_a") == ["stones-gan_b"]
    assert [study.cells[cell].change for cell in altered] == list(changes)
    assert study.cells["leaves_blur-gan_a"].sources == ["the test images of leaves-gan_a, blur 0.5"]
    assert (study.base("stones_0-gan_b"), study.base("stones-gan_b")) == ("stones-gan_b",) * 2


def test_what_a_cell_is_beside_the_training_cell(tiny):
    tiny({"cells/stones_75-gan_b": JPEG})
    study = reading.load("tiny")
    assert study.role("leaves-gan_a", "leaves-gan_a") == "matched"
    assert study.role("stones-gan_b", "leaves-gan_a") == "other"
    own = study.role("stones_75-gan_b", "stones-gan_b")
    assert own == "the training cell's test images, altered"
    assert study.role("stones_75-gan_b", "leaves-gan_a") == "stones-gan_b's test images, altered"


def test_an_altered_cell_is_simulated_where_its_base_is(tiny):
    tiny(
        {
            "cells/stones_75-gan_b": JPEG,
            "cells/leaves_75-gan_a": {**JPEG, "test_images_of": "leaves-gan_a"},
        }
    )
    study = reading.load("tiny")
    assert {cell: study.is_simulated(cell) for cell in study.cells} == {
        "leaves-gan_a": True,
        "stones-gan_b": False,
        "stones_75-gan_b": False,
        "leaves_75-gan_a": True,
    }


def test_a_cells_sources_in_words(tiny):
    assert reading.load("tiny").cells["leaves-gan_a"].sources == [
        "real: files leaves",
        "fake: simulated sim_faces sim_progan",
    ]


def test_a_sources_other_keys_are_kept_as_they_are(tiny):
    given = {"kind": "shelf", "path": "x", "rows": [1, 2], "label": None}
    tiny({"cells/stones-gan_b/real": given})
    source = reading.load("tiny").cells["stones-gan_b"].real
    assert (source.model_dump(), source.rows) == (given, [1, 2])
    assert pickle.loads(pickle.dumps(source)) == source  # noqa: S301 - packing's workers do so


def test_a_cells_name_in_two():
    assert split_cell("lsun_church-stylegan2") == ("lsun_church", "stylegan2")


def test_an_altered_cell_is_tested_on_and_never_trained_on(tiny):
    tiny({"cells/stones_75-gan_b": JPEG})
    other = {"test_dataset": "stones_75", "test_gan": "gan_b"}
    assert reading.run(**RUN, **other).test == "stones_75-gan_b"
    assert reading.cell("tiny", "stones_75", "gan_b") == (reading.load("tiny"), "stones_75-gan_b")
    trained = {**RUN, "dataset": "stones_75", "gan": "gan_b"}
    said = message(reading.run, **trained)
    assert "cell 'stones_75-gan_b' holds the altered test images of 'stones-gan_b'" in said
    tiny({"cells/stones_75-gan_b": JPEG, "train_on": ["stones_75-gan_b"]})
    assert "it is only tested on" in message(reading.load, "tiny")


def test_an_unknown_cell_is_named_with_those_that_are(tiny):
    assert message(reading.cell, "tiny", "leafs", "gan_a") == (
        "dataset, gan: study 'tiny' has no cell 'leafs-gan_a'; it has leaves-gan_a, stones-gan_b "
        "(did you mean leaves-gan_a?)"
    )


def test_a_variant_changes_its_sections_and_keeps_the_rest(tiny):
    short = reading.load("tiny", "short")
    assert (short.variant, short.training.epochs, short.voting.thetas) == ("short", 3, [0.5])
    plain = reading.load("tiny")
    assert short.training.batch_size == plain.training.batch_size
    assert (short.model, short.data, short.cells) == (plain.model, plain.data, plain.cells)
    assert plain.training.epochs == 50


def test_overrides_make_a_variant(tiny):
    named = reading.load("tiny", "small", {"model": {"name": "test_resnet"}})
    assert (named.variant, named.model.name, named.training.epochs) == ("small", "test_resnet", 50)


def test_a_variant_in_a_file_may_be_run_at_some_sizes_and_seeds_only(tiny):
    tiny({"seeds": [0, 1, 2], "variants/short/patch_sizes": [32], "variants/short/seeds": [1]})
    short, plain = reading.load("tiny", "short"), reading.load("tiny")
    assert (short.patch_sizes, short.seeds) == ([32], [1])
    assert (plain.patch_sizes, plain.seeds) == ([64, 32], [0, 1, 2])
    assert short.training.epochs == 3  # what else the variant changes holds too
    tiny({"variants/short/patch_sizes": [24]})
    assert "patch_size: 24 does not divide" in message(reading.load, "tiny", "short")
    tiny({"variants/short/seeds": [-1]})
    assert "seeds.0: got -1" in message(reading.load, "tiny", "short")


PLAIN_SERVES = [
    {"quirks": {"theta_reading": "range"}},
    {"quirks": {"fallback_counts_fake": True}},
    {"quirks": {"last_patch_only": True}},
    {"quirks": {"even_crops_ties_wrong": True}},
    {"quirks": {"strips": False}},
    {"voting": {"thetas": [0.5]}},
    {"voting": {"crops_per_image": None}},
    {"bootstrap": {"resamples": 9}},
    {"training": {"epochs": 50, "device": "cpu"}},
]
OWN_NETWORKS = [
    {"quirks": {"dense_xception": True}},
    {"quirks": {"scrambled_layout": True}},
    {"quirks": {"bgr_raw_values": True}},
    {"quirks": {"strips": True}},
    {"quirks": {"strips": True, "last_patch_only": True}},
    {"training": {"epochs": 3}},
    {"training": {"batch_size": 9}},
    {"training": {"learning_rate": 0.1}},
    {"training": {"patches_per_epoch": 8}},
    {"training": {"precision": "fp32"}},
    {"model": {"name": "test_resnet"}},
    {"model": {"name": "my_nets:Tiny"}},
    {"model": {"pretrained": True}},
    {"voting": {"crops_per_image": 7}},
]


def in_file(tiny, change: Mapping[str, Any]) -> reading.Run:
    tiny({"variants/other": {**change, "patch_sizes": [32], "seeds": [0]}})
    return reading.run(**{**RUN, "variant": "other"})


def in_overrides(tiny, change: Mapping[str, Any]) -> reading.Run:
    return reading.run(**{**RUN, "variant": "other", "overrides": change})


@pytest.mark.parametrize("given", [in_file, in_overrides])
@pytest.mark.parametrize("change", PLAIN_SERVES)
def test_a_variant_that_only_votes_anew_votes_with_the_plain_networks(tiny, given, change):
    plain, other = reading.run(**RUN), given(tiny, change)
    assert (other.study.variant, other.study.networks) == ("other", "plain")
    assert other.folder == plain.folder
    assert other.table(4) != plain.table(4)
    assert "other" in other.table(4).name


@pytest.mark.parametrize("given", [in_file, in_overrides])
@pytest.mark.parametrize("change", OWN_NETWORKS)
def test_a_variant_that_trains_or_scores_otherwise_has_networks_of_its_own(tiny, given, change):
    plain, other = reading.run(**RUN), given(tiny, change)
    assert other.study.networks == other.study.variant == "other"
    assert other.folder != plain.folder
    assert "other" in other.folder.parts


def test_a_variant_of_a_quirky_study_is_compared_with_that_study(tiny):
    """What the file says for all is plain there; a variant that takes it back trains anew."""
    tiny({"quirks/strips": True, "variants/other/quirks": {"strips": False}})
    assert reading.load("tiny").networks == "plain"
    assert reading.load("tiny", "other").networks == "other"
    tiny({"quirks/strips": True, "variants/other/quirks": {"strips": True}})
    assert reading.load("tiny", "other").networks == "plain"


def test_as_many_crops_as_there_are_anyway_change_nothing(tiny):
    """Two patch sizes, of which the smaller has 5 crops; the whole image would have 3."""
    for sizes, crops, networks in (([32], 5, "plain"), ([64, 32], 5, "other"), ([32], 7, "other")):
        tiny({"patch_sizes": sizes, "variants/other": {"voting": {"crops_per_image": crops}}})
        assert reading.load("tiny", "other").networks == networks


def test_a_run_under_a_variants_name_is_that_run_but_for_the_changes(tiny):
    plain = reading.run(**{**RUN, "seed": 3})
    named = reading.variant_of(plain, "mine", {"model": {"name": "test_resnet"}})
    assert named == reading.run(
        **{**RUN, "seed": 3, "variant": "mine", "overrides": {"model": {"name": "test_resnet"}}}
    )
    assert named.folder.relative_to(paths.results("tiny")).parts[2] == "mine"
    voted = reading.variant_of(plain, "mine", {"quirks": {"theta_reading": "range"}})
    assert voted.folder == plain.folder and voted.table(4) != plain.table(4)
    tested = reading.run(**RUN, test_dataset="stones", test_gan="gan_b")
    assert reading.variant_of(tested, "mine", {"model": {"pretrained": True}}).test == tested.test


def test_a_variants_own_changes_stay_under_a_further_name(tiny):
    tiny({"variants/short/patch_sizes": [32]})
    short = reading.run(**{**RUN, "variant": "short"})
    named = reading.variant_of(short, "other", {"training": {"batch_size": 9}})
    named = reading.variant_of(named, "mine", {"model": {"name": "test_resnet"}})
    assert (named.study.variant, named.study.model.name) == ("mine", "test_resnet")
    assert (named.study.training.epochs, named.study.training.batch_size) == (3, 9)
    again = json.loads(named.command("01").partition("-y ")[2].strip("'"))["overrides"]
    assert reading.run(**{**RUN, "variant": "mine", "overrides": again}) == named


def test_a_run_under_a_variants_name_is_checked_too(tiny):
    plain = reading.run(**RUN)
    assert "training.epoch: unknown key" in message(
        reading.variant_of, plain, "mine", {"training": {"epoch": 1}}
    )
    assert "give them a name" in message(
        reading.variant_of, plain, "plain", {"training": {"epochs": 1}}
    )
    assert "overrides: got 3" in message(reading.variant_of, plain, "mine", 3)


def test_whose_networks_vote_is_no_key_of_a_file(tiny):
    said = message(reading.load, "tiny", "mine", {"networks": "plain"})
    assert said.startswith("networks: a variant can change model, training, voting, quirks")
    tiny({"variants/other": {"networks": "plain", "training": {"epochs": 3}}})
    assert message(reading.load, "tiny", "other").startswith("networks: a variant can change")


def test_a_run_knows_its_cells(tiny):
    run = reading.run(**RUN)
    assert (run.train, run.test, run.variant, run.is_whole_image) == (
        *("leaves-gan_a", "leaves-gan_a"),
        *("plain", False),
    )
    other = reading.run(**RUN, test_dataset="stones", test_gan="gan_b")
    assert (other.train, other.test) == ("leaves-gan_a", "stones-gan_b")
    assert reading.run(**{**RUN, "patch_size": 64}).is_whole_image
    assert reading.run(**{**RUN, "dataset": "stones", "gan": "gan_b"}).train == "stones-gan_b"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"titel": 1}, ["titel: unknown key", "title, train_on", "did you mean title?"]),
        (
            {"training/epoch": 3},
            [
                "training.epoch: unknown key",
                "batch_size, device, devices, epochs",
                "did you mean epochs?",
            ],
        ),
        ({"data/per_class/tset": 3}, ["data.per_class.tset: unknown key", "test, train, valid"]),
        (
            {"data/size": 64},
            ["data.size: unknown key", "crop, face_margin, folds, image_size, jpeg_quality, max_"],
        ),
        (
            {"cells/leaves-gan_a/rael": {}},
            [
                "cells.leaves-gan_a.rael: unknown key; allowed: crop, fake, real, test, "
                "test_images_of (did you mean real?)"
            ],
        ),
        ({"data/per_class": ...}, ["data: got", "give per_class", "folds and most_per_class"]),
        ({"data/folds": 5}, ["data: got", "folds and per_class: with folds leave out that"]),
        ({"data/per_class": ..., "data/folds": 5}, ["data: got", "give per_class"]),
        ({"data/folds": 9}, ["data.folds: got 9", "less than or equal to 8"]),
        ({"data/strata": "("}, ["data.strata: got '('", "no regular expression: missing )"]),
        ({"title": ...}, ["title: missing"]),
        ({"data/image_size": ...}, ["data.image_size: missing"]),
        ({"cells/stones-gan_b/fake": ...}, ["cells.stones-gan_b.fake: missing"]),
        ({"cells/stones-gan_b": 3}, ["cells.stones-gan_b: got 3", "dictionary"]),
        ({"cells/stones-gan_b/fake/kind": ...}, ["cells.stones-gan_b.fake.kind: missing"]),
        ({"cells/stones-gan_b/fake/kind": 3}, ["cells.stones-gan_b.fake.kind: got 3", "string"]),
        ({"cells/stones-gan_b/fake": "gan_b"}, ["cells.stones-gan_b.fake: got 'gan_b'"]),
        (
            {"cells/stones-gan_b/crop": "face"},
            ["cells.stones-gan_b.crop: got 'face'", "'centre' or 'dlib'"],
        ),
        ({"cells/stones-gan_b/blur": 1}, ["cells.stones-gan_b.blur: unknown key; allowed: crop"]),
        (
            {"cells/stones_75-gan_b": {"test_image_of": "stones-gan_b", "jpeg_quality": 75}},
            ["stones_75-gan_b.test_image_of: unknown key", "(did you mean test_images_of?)"],
        ),
        (
            {"cells/stones-gan_b/test_images_of": "leaves-gan_a"},
            ["cells.stones-gan_b: got", "exactly one change", "got fake, real"],
        ),
        (
            {"cells/stones_75-gan_b": {"test_images_of": "stones-gan_b"}},
            ["cells.stones_75-gan_b: got", "exactly one change, as in jpeg_quality: 75; got none"],
        ),
        (
            {"cells/stones_75-gan_b": {**JPEG, "blur": 1}},
            ["cells.stones_75-gan_b: got", "exactly one change", "got blur, jpeg_quality"],
        ),
        (
            {"cells/stones_75-gan_b": {**JPEG, "jpeg_quality": "75"}},
            ["jpeg_quality: got '75'", "a number"],
        ),
        (
            {"cells/stones_75-gan_b": {**JPEG, "jpeg_quality": True}},
            ["jpeg_quality: got True", "a number"],
        ),
        (
            {"cells/stones_75-gan_b": {**JPEG, "test_images_of": 7}},
            ["cells.stones_75-gan_b.test_images_of: got 7", "valid string"],
        ),
        (
            {"cells/stones_75-gan_b": {**JPEG, "test_images_of": "stone-gan_b"}},
            ["test_images_of: 'stone-gan_b' is no cell", "['leaves-gan_a', 'stones-gan_b']"],
        ),
        (
            {
                "cells/stones_75-gan_b": JPEG,
                "cells/stones_50-gan_b": {**JPEG, "test_images_of": "stones_75-gan_b"},
            },
            ["test_images_of: 'stones_75-gan_b' is altered itself; it can be one of ['leaves-g"],
        ),
        ({"training/epochs": "many"}, ["training.epochs: got 'many'", "valid integer"]),
        ({"training/epochs": 2.5}, ["training.epochs: got 2.5", "valid integer"]),
        ({"training/epochs": 0}, ["training.epochs: got 0", "greater than or equal to 1"]),
        ({"training/epochs": True}, ["training.epochs: got True", "valid integer"]),
        ({"training": 3}, ["training: got 3", "dictionary"]),
        ({"training/learning_rate": 0}, ["training.learning_rate: got 0", "greater than 0"]),
        ({"training/precision": "fp16"}, ["training.precision: got 'fp16'", "'fp32' or 'bf16'"]),
        ({"data/resample": "best"}, ["data.resample: got 'best'", "'lanczos', 'bicubic'"]),
        ({"data/seed": -1}, ["data.seed: got -1", "greater than or equal to 0"]),
        ({"data/max_skipped": 2}, ["data.max_skipped: got 2", "less than or equal to 1"]),
        ({"patch_sizes": [64, 24]}, ["patch_size: 24 does not divide", "64", "[8, 16, 32, 64]"]),
        ({"patch_sizes": []}, ["patch_sizes: got []", "at least 1"]),
        ({"patch_sizes": [0]}, ["patch_sizes.0: got 0", "greater than or equal to 1"]),
        ({"voting/crops_per_image": 64}, ["voting.crops_per_image: got 64", "an odd number"]),
        ({"voting/crops_per_image": -1}, ["voting.crops_per_image: got -1"]),
        ({"voting/thetas": [1.0, 0]}, ["voting.thetas.1: got 0", "greater than 0"]),
        ({"voting/thetas": [1.01]}, ["voting.thetas.0: got 1.01", "less than or equal to 1"]),
        ({"voting/thetas": [float("nan")]}, ["voting.thetas.0: got nan"]),
        ({"voting/thetas": []}, ["voting.thetas: got []", "at least 1"]),
        (
            {"train_on": ["leaves-gan_b"]},
            ["train_on: ", "no cell 'leaves-gan_b'", "leaves-gan_a", "stones-gan_b"],
        ),
        ({"cells/Leaves-gan": TINY["cells"]["stones-gan_b"]}, ["cell 'Leaves-gan'", "lower-case"]),
        ({"cells/leaves": TINY["cells"]["stones-gan_b"]}, ["cell 'leaves'", "<dataset>-<gan>"]),
        ({"cells/a-b-c": TINY["cells"]["stones-gan_b"]}, ["cell 'a-b-c'", "<dataset>-<gan>"]),
        ({"cells/a__b-c": TINY["cells"]["stones-gan_b"]}, ["cell 'a__b-c'", "single underscores"]),
        ({"seeds": [0, -1]}, ["seeds.1: got -1"]),
        ({"model/name": 5}, ["model.name: got 5", "valid string"]),
        (
            {"quirks/strip": True},
            [
                "quirks.strip: unknown key; allowed: bgr_raw_values, dense_xception, "
                "even_crops_ties_wrong, fallback_counts_fake, first_patches, last_patch_only, "
                "scrambled_layout, strips, theta_reading (did you mean strips?)"
            ],
        ),
        ({"quirks/strips": "often"}, ["quirks.strips: got 'often'", "valid boolean"]),
        (
            {"quirks/theta_reading": "rank"},
            ["quirks.theta_reading: got 'rank'", "'share', 'range' or 'probability'"],
        ),
    ],
)
def test_a_mistake_in_a_study_is_named(tiny, changes, expected):
    tiny(changes)
    said = message(reading.load, "tiny")
    assert "params/tiny.yaml: " in said
    for part in expected:
        assert part in said


def test_all_mistakes_are_named_at_once(tiny):
    tiny({"titel": 1, "training/epochs": "many"})
    assert len(message(reading.load, "tiny").splitlines()) == 2


@pytest.mark.parametrize("text", ["- title\n- data\n", "title: [a\ndata: 3\n", "smoke", ""])
def test_a_file_that_is_no_mapping_is_named(tiny, text):
    (paths.PARAMS / "tiny.yaml").write_text(text, "utf-8")
    assert "params/tiny.yaml" in message(reading.load, "tiny")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "title: a\ntraining: {epochs: 3}\ntraining: {epochs: 4}\n",
            "'training' stands there twice",
        ),
        ("title: a\ntraining:\n  epochs: 3\n  epochs: 3\n", "'epochs' stands there twice"),
        ("title: a\n5: b\n", "got '5' as a key"),
        ("title: a\n~: b\n", "as a key"),
        ("title: a\n[b]: c\n", "as a key"),
    ],
)
def test_keys_are_texts_that_stand_there_once(tiny, text, expected):
    (paths.PARAMS / "tiny.yaml").write_text(text, "utf-8")
    said = message(reading.load, "tiny")
    assert said.startswith("params/tiny.yaml: ") and expected in said and "line " in said


def test_a_file_of_an_editor_that_writes_utf_16_is_read(tiny):
    file = paths.PARAMS / "tiny.yaml"
    plain = reading.load("tiny")
    file.write_text(file.read_text("utf-8"), "utf-16")
    assert reading.load("tiny") == plain
    file.write_bytes(b"title: caf\xe9\n")
    assert "params/tiny.yaml: not YAML" in message(reading.load, "tiny")


def test_what_was_got_is_cut_short(tiny):
    tiny({"training/epochs": "long" * 10_000})
    assert len(message(reading.load, "tiny")) < 500
    (paths.PARAMS / "tiny.yaml").write_text(
        "a: &a [x, x, x, x, x, x, x, x, x]\n"
        + "".join(
            f"{n}: &{n} [{', '.join([f'*{m}'] * 9)}]\n"
            for m, n in zip("abcdefg", "bcdefgh", strict=True)
        )
        + "title: *h\n",
        "utf-8",
    )
    assert len(message(reading.load, "tiny")) < 10_000


def test_a_mistake_in_a_variant_is_named_when_it_is_used(tiny):
    tiny({"variants/short/training/epoch": 3})
    assert "training.epoch: unknown key" in message(reading.load, "tiny", "short")
    tiny({"variants/short/data": {"seed": 2}})
    said = message(reading.load, "tiny", "short")
    assert (
        "data: a variant can change model, training, voting, quirks, bootstrap, patch_sizes, seeds;"
    ) in said
    assert "make a new study file" in said


@pytest.mark.parametrize("content", [None, [], "short", {"short": None}, {"short": 3}])
def test_ill_typed_variants_are_named(tiny, content):
    tiny({"variants": content})
    assert "variants" in message(reading.load, "tiny", "short")


def test_an_unknown_study_or_variant_is_named_with_those_that_are(tiny):
    assert message(reading.load, "tinny") == "study: no study 'tinny'; there are tiny"
    said = message(reading.load, "tiny", "long")
    assert said == "variant: study 'tiny' has no 'long'; it has plain, short"


@pytest.mark.parametrize("overrides", [{"training": {"epochs": 3}}, {"voting": {"thetas": [0.5]}}])
def test_overrides_need_a_variants_name(tiny, overrides):
    said = message(reading.load, "tiny", "plain", overrides)
    assert f"overrides: {overrides}" in said
    assert "give them a name" in said


def test_overrides_do_not_take_a_name_that_the_file_has(tiny):
    said = message(reading.load, "tiny", "short", {"training": {"batch_size": 9}})
    assert "variant: study 'tiny' has 'short' already" in said and "a name of their own" in said


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (
            {"data": {"seed": 1}},
            "data: a variant can change model, training, voting, quirks, bootstrap;",
        ),
        ({"trainin": {}}, "did you mean training?"),
        ({"patch_sizes": [32]}, "patch_sizes: a variant can change"),
        ({"seeds": [1]}, "seeds: a variant can change"),
        ({"quirks": {"strip": True}}, "quirks.strip: unknown key; allowed: bgr_raw_values, dense"),
        ({"training": {"epoch": 1}}, "training.epoch: unknown key"),
        ({"training": {"epochs": "x"}}, "training.epochs: got 'x'"),
        ({"voting": {"crops_per_image": 4}}, "voting.crops_per_image: got 4: an odd number"),
        ({"training": None}, "training: got None"),
    ],
)
def test_a_mistake_in_overrides_is_named(tiny, overrides, expected):
    assert expected in message(reading.load, "tiny", "mine", overrides)


@pytest.mark.parametrize("overrides", [[1], "epochs", 3])
def test_overrides_that_are_no_mapping_are_named(tiny, overrides):
    assert "overrides" in message(reading.load, "tiny", "mine", overrides)


@pytest.mark.parametrize("variant", ["My-Variant", "a__b", "", "a/b"])
def test_a_variants_name_is_checked(tiny, variant):
    said = message(reading.load, "tiny", variant, {"training": {"epochs": 3}})
    assert f"variant: got '{variant}'" in said


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"dataset": "leafs"}, "no cell 'leafs-gan_a'; it has leaves-gan_a, stones-gan_b"),
        ({"test_gan": "gan_b"}, "no cell 'leaves-gan_b'; it has leaves-gan_a, stones-gan_b"),
        ({"gan": "GAN"}, "gan: got 'GAN'"),
        ({"patch_size": 24}, "patch_size: 24 does not divide the image size 64"),
        ({"patch_size": 128}, "patch_size: 128 does not divide the image size 64"),
        ({"patch_size": 0}, "patch_size: got 0"),
        ({"patch_size": -32}, "patch_size: got -32"),
        ({"patch_size": "big"}, "patch_size: got 'big'"),
        ({"seed": -1}, "seed: got -1"),
        ({"seed": 0.5}, "seed: got 0.5"),
        ({"seed": "0"}, "seed: got '0'"),
        ({"study": "tinny"}, "study: no study 'tinny'"),
        ({"variant": "long"}, "variant: study 'tiny' has no 'long'"),
    ],
)
def test_a_mistake_in_a_runs_parameters_is_named(tiny, changes, expected):
    assert expected in message(reading.run, **{**RUN, **changes})


def injected(**given) -> dict[str, Any]:
    """A notebook's namespace after papermill injected `given`, as IPython keeps its history."""
    cell = "# Parameters\n" + "".join(f"{key} = {value!r}\n" for key, value in given.items())
    return {**RUN, **given, "In": ["", 'study = "smoke"', cell, "run = 1"]}


def test_what_papermill_injects_is_used(tiny):
    run = reading.from_notebook(injected(patch_size=64, seed=4))
    assert (run.patch_size, run.seed) == (64, 4)
    tested = injected(test_dataset="stones", test_gan="gan_b")
    assert reading.from_notebook(tested, also=reading.TEST_PARAMETERS).test == "stones-gan_b"
    assert reading.cell_from_notebook({**CELL, "In": ["# Parameters\nstudy = 'tiny'\n"]}) == (
        reading.load("tiny"),
        "leaves-gan_a",
    )
    assert reading.study_from_notebook({"study": "tiny"}) == reading.load("tiny")


def test_the_cell_trained_on_is_no_other_cell_to_test_on(tiny):
    same = injected(test_dataset=RUN["dataset"], test_gan=RUN["gan"])
    said = message(reading.from_notebook, same, also=reading.TEST_PARAMETERS)
    assert "is the cell trained on" in said and "stones-gan_b" in said


def test_a_parameter_that_the_notebook_does_not_have_is_refused(tiny):
    said = message(reading.from_notebook, injected(patchsize=16))
    assert said.startswith("patchsize: unknown parameter; allowed: study, dataset, gan, patch_size")
    assert "did you mean patch_size?" in said
    assert "test_gan: unknown" in message(reading.from_notebook, injected(test_gan="gan_b"))
    assert "seed: unknown" in message(reading.cell_from_notebook, injected(seed=1))
    assert "gan: unknown" in message(reading.study_from_notebook, injected(gan="gan_b"))


def test_other_cells_may_assign_what_they_like(tiny):
    namespace = {**RUN, "In": ["", "epochs = 3\n", "# parameters of mine\nlayers = 2\n"]}
    assert reading.from_notebook(namespace).patch_size == 32


def test_the_whole_image_is_refused_where_patches_vote(tiny):
    said = message(reading.from_notebook, injected(patch_size=64), votes=True)
    assert "patch_size: 64 px is the whole image" in said
    assert "[32]" in said
    assert reading.from_notebook(injected(patch_size=64)).is_whole_image
    assert reading.from_notebook(injected(patch_size=32), votes=True).patch_size == 32


class Recorder(dict):
    """A namespace that remembers which of its entries were asked for."""

    def __init__(self, content: Mapping[str, Any]) -> None:
        super().__init__(content)
        self.asked: list[str] = []

    def __getitem__(self, key: str) -> Any:
        self.asked.append(key)
        return super().__getitem__(key)


def cells(notebook: str) -> list[dict[str, Any]]:
    content = json.loads((paths.NOTEBOOKS / f"{notebook}.ipynb").read_text("utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == "code"]


def parameters(notebook: str) -> str:
    """The source of the notebook's one `parameters` cell."""
    (tagged,) = [c for c in cells(notebook) if "parameters" in c["metadata"].get("tags", [])]
    return "".join(tagged["source"])


def assigned(notebook: str) -> dict[str, Any]:
    """The parameters and their values; fails for anything but an assignment of a literal."""
    values = {}
    for statement in ast.parse(parameters(notebook)).body:
        (target,) = statement.targets
        values[target.id] = ast.literal_eval(statement.value)
    return values


def asking(notebook: str) -> ast.Call:
    """The call by which the notebook reads its parameters."""
    source = "\n".join("".join(cell["source"]) for cell in cells(notebook))
    (call,) = [
        node
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("from_notebook")
    ]
    assert ast.unparse(call.args[0]) == "globals()"
    return call


def test_there_is_a_notebook_for_each_station():
    stations = ("data", "patch_accuracy", "grid_vote", "random_vote", "confident_vote")
    stations += ("generalization", "report")
    assert [f"{number:02d}_{name}" for number, name in enumerate(stations)] == NOTEBOOKS


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_a_notebook_reads_exactly_the_parameters_it_has(notebook):
    given = Recorder(assigned(notebook))
    eval(ast.unparse(asking(notebook)), {"reading": reading, "globals": lambda: given})  # noqa: S307
    assert sorted(set(given.asked)) == sorted(given)


@pytest.mark.parametrize("notebook", NOTEBOOKS[1:6])
def test_notebooks_have_the_contracts_parameters(notebook):
    expected = ["study", "dataset", "gan", "patch_size", "seed", "variant", "overrides"]
    if notebook.startswith("05"):
        expected += ["test_dataset", "test_gan"]
    assert list(assigned(notebook)) == expected


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_every_parameter_has_a_comment(notebook):
    source = parameters(notebook)
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    commented = {token.start[0] for token in tokens if token.type == tokenize.COMMENT}
    lines = {statement.lineno for statement in ast.parse(source).body}
    assert lines == set(range(1, len(source.splitlines()) + 1))
    assert commented == lines


@pytest.mark.parametrize("notebook", NOTEBOOKS)
def test_the_defaults_are_the_smoke_study(notebook):
    given, smoke = assigned(notebook), reading.load("smoke")
    assert given["study"] == "smoke"
    if "dataset" in given:
        assert f"{given['dataset']}-{given['gan']}" in smoke.train_on
    if "patch_size" in given:
        assert given["patch_size"] in smoke.patch_sizes
        assert given["seed"] in smoke.seeds
        assert (given["variant"], given["overrides"]) == ("plain", {})
    if "test_gan" in given:
        other = f"{given['test_dataset']}-{given['test_gan']}"
        assert other in smoke.cells
        assert other not in smoke.train_on


@pytest.mark.parametrize("notebook", ["02_grid_vote", "03_random_vote", "04_confident_vote"])
def test_notebooks_in_which_patches_vote_refuse_the_whole_image(notebook):
    whole = {**assigned(notebook), "patch_size": 64}
    with pytest.raises(ParameterError, match="64 px is the whole image"):
        eval(ast.unparse(asking(notebook)), {"reading": reading, "globals": lambda: whole})  # noqa: S307


FOLDS = {"data/per_class": ..., "data/folds": 3, "data/most_per_class": 50}


def test_with_folds_seeds_are_the_folds(tiny):
    tiny(FOLDS)
    assert reading.load("tiny").seeds == [0, 1, 2]
    tiny({**FOLDS, "seeds": [2]})
    assert reading.load("tiny").seeds == [2]
    tiny({**FOLDS, "seeds": [0, 3]})
    assert "seeds: got 3; seed k is tested on the k-th of data.folds = 3" in message(
        reading.load, "tiny"
    )
    tiny(FOLDS)
    assert "seed: got 3" in message(reading.run, **{**RUN, "seed": 3})


def test_only_cells_with_the_training_cells_photographs_are_tested_by_fold(tiny):
    more = {"leaves-gan_c": TINY["cells"]["leaves-gan_a"]}
    more["leaves_blur-gan_a"] = {"test_images_of": "leaves-gan_a", "blur": 1.0}
    more["stones_blur-gan_b"] = {"test_images_of": "stones-gan_b", "blur": 1.0}
    tiny({**FOLDS, "cells": {**TINY["cells"], **more}})
    run = reading.run(**{**RUN, "seed": 2})
    folds = {cell: run.fold(cell) for cell in run.study.cells}
    own = ("leaves-gan_a", "leaves-gan_c", "leaves_blur-gan_a")
    assert folds == {cell: 2 if cell in own else None for cell in run.study.cells}
    tiny()
    assert reading.run(**RUN).fold("leaves-gan_a") is None
