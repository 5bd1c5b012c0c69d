"""What a notebook computes with: its hash and its modules; and what needs no torch."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lib import code, paths

TORCH_FREE = (
    *("lib.params", "lib.runs", "lib.tables", "lib.voting", "lib.metrics", "lib.plots"),
    *("lib.published", "lib.assembly", "lib.ablation", "lib.data.packing", "lib.audit"),
)
# The stations, pixels to report: each may import its own and those before it, never a later one.
STATIONS = (
    {"paths", "settings", "study", "params", "code", "progress"},
    {"data"},
    {"patches"},
    {"forms", "models", "fast", "stepping", "runs", "scoring", "checkpoints", "training"}
    | {"__main__"},
    {"voting", "quirks"},
    {"metrics", "curves"},
    {"cues", "metadata", "audit"},
    {"evidence", "dependence", "paired"},
    {"published", "epoch_logs", "tables", "claims", "judging", "ablation"},
    {
        "plots",
        "spectra_plots",
        "report",
        "audited",
        "provenance",
        "record",
        "assembly",
        "experiments",
        "findings",
        "reliability",
        "robustness",
        "wording",
    },
)


def dotted(file: Path) -> str:
    """A module's name with dots and without `lib.`; a package's is that of its folder."""
    parts = file.relative_to(paths.ROOT / "lib").with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def names(start: str) -> set[str]:
    """The modules of `lib` that are found from `start`."""
    return {dotted(Path(file)) for file in code.modules(start)}


def station(module: str) -> int:
    """Where a module stands in the flow of data; all of `lib.data` is one station."""
    name = module.partition(".")[0]
    (found,) = [number for number, modules in enumerate(STATIONS) if name in modules]
    return found


def every_module() -> list[str]:
    return sorted(filter(None, map(dotted, (paths.ROOT / "lib").rglob("*.py"))))


def file_of(module: str) -> Path:
    place = paths.ROOT / "lib" / module.replace(".", "/")
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def notebook(folder: Path, **changes) -> None:
    """A notebook of a title, a parameters cell and two code cells, the last with an output."""
    cell = {"cell_type": "code", "metadata": {}, "outputs": [], "execution_count": None}
    found = {"title": "# One", "parameters": "size = 3  # px\n", "first": "import lib.voting\n"}
    found |= {"last": ["from lib import metrics\n", "metrics.top"], "output": None} | changes
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": found["title"]},
        {**cell, "metadata": {"tags": ["parameters"]}, "source": found["parameters"]},
        {**cell, "source": found["first"]},
        {**cell, "source": found["last"]},
    ]
    if found["output"]:
        output = {"output_type": "stream", "name": "stdout", "text": found["output"]}
        cells[-1] |= {"execution_count": 7, "outputs": [output]}
    (folder / "07_test.ipynb").write_text(json.dumps({"cells": cells, "nbformat": 4}), "utf-8")


@pytest.fixture
def folder(monkeypatch, tmp_path):
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path)
    notebook(tmp_path)
    return tmp_path


def test_code_cells_leave_the_parameters_out(folder):
    assert code.code_cells("07_test") == [
        "import lib.voting\n",
        "from lib import metrics\nmetrics.top",
    ]


@pytest.mark.parametrize(
    "change",
    [{"output": "42\n"}, {"title": "# Another"}, {"parameters": "size = 4  # px\n"}],
)
def test_a_digest_does_not_change_with_what_is_no_code(folder, change):
    before = code.digest("07_test")
    notebook(folder, **change)
    assert code.digest("07_test") == before


@pytest.mark.parametrize("change", [{"first": "import lib.plots\n"}, {"last": "1 + 1"}])
def test_a_digest_changes_with_code(folder, change):
    before = code.digest("07_test")
    notebook(folder, **change)
    assert code.digest("07_test") != before


def test_the_modules_of_a_notebook_are_its_imports_and_theirs(folder):
    assert names("07_test") == {"voting", "metrics"}
    notebook(folder, first="def later():\n    from lib.data.sources import FileSource\n")
    found = names("07_test")
    assert {"metrics", "data.sources", "data.pictures", "paths", "settings", "data.demo"} <= found
    assert "voting" not in found
    notebook(folder, first="import numpy\n", last="from os import path")
    assert names("07_test") == set()


def test_a_package_is_its_init_and_what_that_imports(folder):
    notebook(folder, first="from lib.data.sources import open_source\n", last="1")
    found = code.modules("07_test")
    assert str(paths.ROOT / "lib" / "data" / "sources" / "__init__.py") in found
    assert {"data.sources.lsun", "data.sources.trees", "data.pictures"} <= names("07_test")
    notebook(folder, first="import lib\nfrom lib.data import scenes\n", last="1")
    assert {"data", "data.scenes"} <= names("07_test")
    assert str(paths.ROOT / "lib" / "__init__.py") not in code.modules("07_test")  # the version


def test_modules_are_files_in_a_fixed_order():
    found = code.modules("02_grid_vote")
    assert found == sorted(found)
    assert all(Path(file).is_file() for file in found)


def test_a_vote_trains_nothing_and_training_shows_nothing():
    vote, training = names("02_grid_vote"), names("lib.training")
    assert {"voting", "metrics", "tables", "params", "runs"} <= vote
    assert not {"training", "scoring", "models", "checkpoints"} & vote
    assert {"training", "scoring", "models", "patches", "data.packing", "study"} <= training
    assert not {"plots", "tables", "report", "assembly", "published", "voting"} & training
    assert not {"training", "models", "plots", "runs"} & names("lib.data.packing")


@pytest.mark.parametrize("module", every_module())
def test_imports_run_down_from_pixels_to_report(module):
    """Else what was computed is computed anew when a later station is edited: hours of training."""
    later = [name for name in names(f"lib.{module}") if station(name) > station(module)]
    assert later == []


@pytest.mark.parametrize("name", every_module())
def test_modules_know_nothing_of_what_runs_them(name):
    source = file_of(name).read_text("utf-8")
    imported = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add((node.module or "").partition(".")[0])
    assert not imported & {"papermill", "snakemake", "nbformat", "nbconvert", "IPython"}
    assert not imported & {"pickle", "joblib"}  # nothing is ever unpickled


def test_voting_and_reporting_need_no_torch():
    check = f"import sys, {', '.join(TORCH_FREE)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
