"""Working copies of notebooks, and reports that are kept."""

import json
import os
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lib.results import tables
from lib.study import paths
from tools import keep, verify, working_copies


def notebook(file: Path, source: str, output: str = "") -> Path:
    outputs = [{"output_type": "stream", "name": "stdout", "text": output}]
    cell = {"cell_type": "code", "source": source.splitlines(keepends=True), "metadata": {}}
    cell |= {"outputs": outputs if output else [], "execution_count": 1 if output else None}
    new = {"metadata": {}, "nbformat": 4, "nbformat_minor": 4}
    content = json.loads(file.read_text("utf-8")) if file.is_file() else new
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({**content, "cells": [cell]}), "utf-8")
    return file


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setenv("PATCHWISE_WORK", str(tmp_path))
    return tmp_path


def sources(file: Path) -> list[str]:
    return ["".join(cell["source"]) for cell in json.loads(file.read_text("utf-8"))["cells"]]


def test_a_copy_follows_until_it_is_changed(root):
    original, copy = notebook(root / "notebooks/a.ipynb", "1\n2"), root / "my_notebooks/a.ipynb"
    assert working_copies.refresh(original, copy) is None
    assert sources(copy) == ["1\n2"]

    notebook(copy, "1\n2", output="42")  # it was run
    before = copy.read_bytes()
    assert working_copies.refresh(original, copy) is None
    assert copy.read_bytes() == before

    notebook(original, "3")  # the project's changed, the copy was only run
    assert working_copies.refresh(original, copy) is None
    assert sources(copy) == ["3"]

    notebook(copy, "mine")
    assert working_copies.refresh(original, copy) is None  # the project's is as it was
    notebook(original, "4")
    assert "my_notebooks/a.ipynb is left as you changed it" in working_copies.refresh(
        original, copy
    )
    assert sources(copy) == ["mine"]


def test_a_file_of_ones_own_under_the_same_name_is_left(root):
    original, own = notebook(root / "notebooks/a.ipynb", "1"), root / "my_notebooks/a.ipynb"
    notebook(own, "mine")
    assert working_copies.refresh(original, own)
    assert sources(own) == ["mine"]


def test_a_report_is_kept_with_what_there_is(root):
    report = root / "reports" / "published_record"
    report.mkdir(parents=True)
    (report / "index.html").write_text("new", "utf-8")
    kept = root / "reports" / "kept" / "published_record"
    kept.mkdir(parents=True)
    for name in ("index.html", "claims.csv", "cost.csv"):
        (kept / name).write_text("old", "utf-8")
    assert keep.keep("published_record") == [kept / "index.html"]
    assert (kept / "index.html").read_text("utf-8") == "new"
    assert sorted(os.listdir(kept)) == ["cost.csv", "index.html"]  # no claims of an older one


def test_all_tables_are_kept_in_one_file(root, monkeypatch):
    (root / "reports" / "smoke").mkdir(parents=True)
    (root / "reports" / "smoke" / "index.html").write_text("new", "utf-8")
    (root / "results" / "smoke" / "tables").mkdir(parents=True)
    every = pd.DataFrame({"experiment": [1, 2], "value": [0.1, 0.2]})
    monkeypatch.setattr(keep.tables, "read", lambda study: (every, ["cell x, 8 px"]))
    files = keep.keep("smoke")
    assert [file.name for file in files] == ["index.html", "tables.csv"]
    assert pd.read_csv(files[-1]).equals(every)


def test_notebooks_are_kept_as_pages_that_load_nothing(root, monkeypatch):
    (root / "reports" / "smoke").mkdir(parents=True)
    (root / "reports" / "smoke" / "index.html").write_text("new", "utf-8")
    executed, kept = root / "results" / "smoke" / "notebooks", root / "reports" / "kept" / "smoke"
    notebook(executed / "00_data__a-b.ipynb", "'other'")
    notebook(executed / "00_data__sim_faces-sim_stylegan2.ipynb", "'trained'")
    stem = "02_grid_vote__sim_faces-sim_stylegan2__x"
    for name in ("plain__p064", "plain__p032", "quirk__p016"):
        notebook(executed / f"{stem}__{name}__seed0.ipynb", f"'{name}'", "42")
    notebook(executed / "06_report.ipynb", "1")
    keep.keep("smoke")
    assert os.listdir(kept) == ["index.html"]
    files = keep.keep("smoke", notebooks=True)
    assert [file.name for file in files] == ["index.html", "00_data.html", "02_grid_vote.html"]
    pages = [file.read_text("utf-8") for file in files[1:]]
    assert "trained" in pages[0] and "plain__p032" in pages[1] and "42" in pages[1]
    for page in pages:
        sources = re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="(?!data:|")', page)
        assert sources == []
    keep.keep("smoke")
    assert os.listdir(kept) == ["index.html"]  # what was kept before goes


def test_a_report_that_is_not_there_is_named_with_its_command(root):
    with pytest.raises(FileNotFoundError, match="make study STUDY=published makes it"):
        keep.keep("published_record")
    assert not (root / "reports" / "kept").exists()


CELL = "leaves-gan_a"
CLAIMS = pd.DataFrame(
    [["t", "plain", "C1", None, "auc", "undecided"]], columns=[*verify.FINDING, "finding"]
)


def rows(**values: tuple[float, float, float]) -> pd.DataFrame:
    """A table with a number and its interval for each statistic."""
    empty = {"experiment": 1, "patch_size": 8, "theta": np.nan, "seed": 0, "n_images": 40}
    texts = dict.fromkeys(tables.TEXT, "x") | {"train": CELL, "test": CELL}
    lines = [
        {**texts, **empty, "statistic": k, **dict(zip(verify.NUMBERS, v, strict=True))}
        for k, v in values.items()
    ]
    kinds = tables.TEXT | tables.WHOLE_NUMBERS
    return pd.DataFrame(lines, columns=tables.COLUMNS).astype(kinds)


def test_a_number_is_as_kept_within_both_intervals():
    kept = rows(a=(0.5, 0.4, 0.6), b=(0.5, 0.4, 0.6), c=(0.5, 0.4, 0.6), d=(0.5, 0.4, 0.6))
    made = rows(a=(0.55, 0.5, 0.6), b=(0.55, 0.51, 0.6), c=(0.7, 0.4, 0.8), e=(0.5, 0.4, 0.6))
    both = verify.numbers(kept, made).reset_index().set_index("statistic")["as_kept"]
    assert both.to_dict() == {"a": True, "b": False, "c": False, "d": False, "e": False}


def test_findings_that_changed_are_named():
    assert verify.findings(CLAIMS, CLAIMS).empty
    (line,) = verify.findings(CLAIMS, CLAIMS.assign(finding="supported"))["line"]
    assert line == "C1 as a whole, by auc, t, plain: undecided kept, supported here"


@pytest.mark.parametrize(
    ("was", "now", "turned"),
    [
        *(("undecided", "supported", False), ("contradicted", "undecided", False)),
        *(("supported", "contradicted", True), ("contradicted", "supported", True)),
        *(("undecided", "not tested", True), ("not judged", "undecided", True)),
    ],
)
def test_a_finding_that_is_undecided_in_one_of_the_two_did_not_turn(was, now, turned):
    sides = [CLAIMS.assign(finding=finding) for finding in (was, now)]
    assert verify.findings(*sides)["turned"].tolist() == [turned]
    assert verify.findings(CLAIMS, CLAIMS[:0])["turned"].tolist() == [True]


@pytest.fixture
def verified(root, monkeypatch, make_study):
    """Lays out a kept table, and gives what calls `verify` on another one."""

    def verify_(kept: pd.DataFrame, made: pd.DataFrame) -> int:
        for folder in ("reports/kept/demo", "reports/demo"):
            (root / folder).mkdir(parents=True, exist_ok=True)
            CLAIMS.to_csv(root / folder / "claims.csv", index=False)
        kept.to_csv(root / "reports/kept/demo/tables.csv", index=False)
        monkeypatch.setattr(verify.tables, "read", lambda study: (made, []))
        return verify.main()

    monkeypatch.setattr(verify.sys, "argv", ["verify", "demo"])
    monkeypatch.setattr(verify.reading, "load", lambda name: make_study())
    return verify_


def test_other_networks_verify_a_study_of_several_seeds_and_not_one_of_one(verified, capsys):
    """Each seed's number is outside the others' intervals, which know the images alone."""

    def seeds(*values: float) -> pd.DataFrame:
        each = [rows(a=(value, value - 0.01, value + 0.01)) for value in values]
        parts = [part.assign(seed=seed) for seed, part in enumerate(each)]
        return pd.concat(parts, ignore_index=True)

    assert verified(seeds(0.5, 0.6, 0.7), seeds(0.52, 0.72, 0.62)) == 0
    assert verified(seeds(0.5), seeds(0.52)) == 1
    said = capsys.readouterr().out
    assert "0.5 [0.49, 0.51] kept, 0.52 [0.51, 0.53] here" in said and "of one seed" in said
    assert verified(seeds(0.5, 0.51, 0.52), seeds(0.6, 0.61, 0.62)) == 1
    assert "of one seed" not in capsys.readouterr().out


def test_a_kept_study_is_verified_by_itself(verified, monkeypatch, capsys):
    table = rows(a=(0.5, 0.4, 0.6), b=(0.5, 0.4, 0.6))
    assert verify.main() == 1 and "make keep STUDY=demo" in capsys.readouterr().err
    assert verified(table, table) == 0
    assert "verified: 2 of 2 numbers" in capsys.readouterr().out
    other = table.assign(value=[0.9, 0.5])
    assert verified(table, other) == 1
    said = capsys.readouterr().out
    assert (
        "NOT verified: 1 of 2 numbers" in said
        and "0.5 [0.4, 0.6] kept, 0.9 [0.4, 0.6] here" in said
    )
