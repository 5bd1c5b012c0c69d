"""Working copies of notebooks, and reports that are kept."""

import json
import os
from pathlib import Path

import pandas as pd
import pytest

from lib.study import paths
from tools import keep, working_copies


def notebook(file: Path, source: str, output: str = "") -> Path:
    outputs = [{"output_type": "stream", "name": "stdout", "text": output}]
    cell = {"cell_type": "code", "source": source.splitlines(keepends=True), "metadata": {}}
    cell |= {"outputs": outputs if output else [], "execution_count": 1 if output else None}
    content = json.loads(file.read_text("utf-8")) if file.is_file() else {"metadata": {}}
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


def test_a_report_that_is_not_there_is_named_with_its_command(root):
    with pytest.raises(FileNotFoundError, match="make study STUDY=published makes it"):
        keep.keep("published_record")
    assert not (root / "reports" / "kept").exists()
