"""A study's archive: an RO-Crate that its own library reads, whole, and without a picture."""

import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import yaml
from rocrate.rocrate import ROCrate
from vote_helpers import vote

from lib.study import paths, reading
from lib.study.schema import ParameterError
from tools.archive import archive

CELL = "leaves-gan_a"
STUDY = {
    "title": "Leaves & one generator",
    "data": {"image_size": 16, "per_class": {"train": 3, "validation": 2, "test": 4}},
    "cells": {CELL: {k: {"kind": "files", "path": k} for k in ("real", "fake")}},
    "train_on": [CELL],
    "patch_sizes": [16, 8],
    "bootstrap": {"resamples": 20},
    "variants": {"short": {"training": {"epochs": 1}}},
}
FIGURE = (
    '<figure><img src="data:image/{}" alt="a > b" width="9"><figcaption>So</figcaption></figure>'
)
PAGE = f"<h1>Page</h1>{FIGURE.format('webp;base64,AA==')}{FIGURE.format('png;base64,BB==')}"


@pytest.fixture
def study(work, monkeypatch, finish):
    """A study of two sizes and a variant, voted on, with a page that holds a picture."""
    monkeypatch.setattr(paths, "PARAMS", work)
    (work / "tiny.yaml").write_text(yaml.safe_dump(STUDY), "utf-8")
    z = np.random.default_rng(0).normal(size=(2, 8, 4))
    for variant, size in (("plain", 16), ("plain", 8), ("short", 8)):
        run = reading.run("tiny", "leaves", "gan_a", size, variant=variant)
        finish(run, z[..., :1] if size == 16 else z, [0] * 4 + [1] * 4, [0.5, 0.6])
        vote(run)
    page = paths.report("tiny")
    page.parent.mkdir(parents=True)
    page.write_text(PAGE, "utf-8")
    page.with_name("claims.csv").write_text("claim,finding\n", "utf-8")
    return work


def test_it_holds_what_came_out_and_of_what(study):
    file = archive("tiny")
    assert file == paths.report("tiny").with_name("tiny.zip")
    crate = ROCrate(file)
    assert (crate.name, crate.root_dataset["datePublished"][:2]) == (STUDY["title"], "20")
    assert "no pictures" in crate.description and "simulated" not in crate.description
    (program,) = crate.get_by_type("SoftwareApplication")
    assert program["softwareVersion"] == "0.1.0"
    assert crate.get("#made")["result"] == crate.root_dataset
    listed = {entity.id for entity in crate.data_entities}
    assert all((crate.source / name).is_file() for name in listed)
    assert all(crate.get(name)["description"] for name in listed)
    assert set(zipfile.ZipFile(file).namelist()) == {*listed, "ro-crate-metadata.json"}
    own = {name for name in listed if "/" not in name}
    assert own == {"index.html", "claims.csv", "tiny.yaml", "requirements.txt", "CITATION.cff"}
    kinds = pd.Series(sorted(listed - own)).str.partition("/")[0].value_counts()
    assert kinds.to_dict() == {"tables": 7, "verdicts": 7, "runs": 6}
    stored = crate.source / paths.run("tiny", CELL, "short", 8, 0).relative_to(
        paths.results("tiny")
    )
    assert json.loads((stored / "config.json").read_text("utf-8"))["training"]["epochs"] == 1


def test_it_holds_no_pictures(study):
    page = zipfile.ZipFile(archive("tiny")).read("index.html").decode()
    assert "webp" not in page and "an archive holds no pictures" in page
    assert "data:image/png;base64,BB==" in page and page.count("<figcaption>So") == 2


def test_what_was_made_otherwise_is_left_out_and_said(study, capsys):
    changed = {**STUDY, "variants": {"short": {"training": {"epochs": 2}}}}
    (study / "tiny.yaml").write_text(yaml.safe_dump(changed), "utf-8")
    names = zipfile.ZipFile(archive("tiny")).namelist()
    assert not [name for name in names if "short" in name]
    assert f"{CELL} on {CELL}, short, 8 px, seed 0" in capsys.readouterr().out


def test_what_is_missing_is_named_with_its_command(study):
    paths.report("tiny").unlink()
    with pytest.raises(FileNotFoundError, match="make study STUDY=tiny makes it"):
        archive("tiny")
    with pytest.raises(ParameterError, match="no study 'tinny'"):
        archive("tinny")
