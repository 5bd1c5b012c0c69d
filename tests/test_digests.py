"""What a job is run again for: the code that it runs, and not how that is written or saved."""

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from lib.study import paths
from rules import digests

TRAINING = "lib.networks.training"
VALUES = ("lib.study", "lib.progress")  # as rules/networks.smk has it


@pytest.fixture
def copy(tmp_path, monkeypatch) -> Path:
    """A copy of lib and the notebooks, in which files may be edited."""
    for name in ("lib", "notebooks"):
        shutil.copytree(paths.ROOT / name, tmp_path / name)
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    monkeypatch.setattr(paths, "NOTEBOOKS", tmp_path / "notebooks")
    return tmp_path


def substitute(pattern: str, new: str) -> Callable[[Path], None]:
    """An edit of the first place that matches."""

    def edit(file: Path) -> None:
        text, count = re.subn(pattern, new, file.read_text("utf-8"), count=1)
        assert count, f"{file.name}: nothing matches {pattern}"
        file.write_text(text, "utf-8")

    return edit


def add_code(file: Path) -> None:
    file.write_text(file.read_text("utf-8") + "\n\nADDED = 1\n", "utf-8")


def add_comment(file: Path) -> None:
    file.write_text(f"# A comment.\n\n{file.read_text('utf-8')}\n# Another.\n", "utf-8")


def touch(file: Path) -> None:
    os.utime(file, (2e9, 2e9))


def change_cells(**changes: object) -> Callable[[Path], None]:
    """An edit of all cells of a notebook."""

    def edit(file: Path) -> None:
        content = json.loads(file.read_text("utf-8"))
        for cell in content["cells"]:
            cell |= changes
        file.write_text(json.dumps(content), "utf-8")

    return edit


edit_docstring = substitute('"""', '"""Edited. ')
edit_error = substitute(r'(raise \w+\(\s*f?")', r"\1Edited: ")

TRAINS_NOTHING = {
    "a docstring of training": ("lib/networks/training.py", edit_docstring),
    "a comment in training": ("lib/networks/training.py", add_comment),
    "an error's text in training": ("lib/networks/training.py", edit_error),
    "training touched": ("lib/networks/training.py", touch),
    "the reader of CelebA": ("lib/data/sources/celeba.py", add_code),
    "the choice of images": ("lib/data/packing/selection.py", add_code),
    "a perturbation": ("lib/data/perturbations.py", add_code),
    "a figure": ("lib/report/figures.py", add_code),
    "a section of the report": ("lib/report/page.py", add_code),
    "a voting rule": ("lib/voting/rules.py", add_code),
    "a statistic": ("lib/statistics/bootstrap.py", add_code),
    "a claim": ("lib/results/claims.py", add_code),
    "a key of studies": ("lib/study/schema.py", add_code),
    "the version": ("lib/__init__.py", add_code),
    "the command line": ("lib/__main__.py", add_code),
}
TRAINS = {
    "the optimizer's step": (r"lib/networks/*.py", substitute(r"\.step\(", ".other_step(")),
    "the schedule": ("lib/networks/batches.py", substitute("np.cos", "np.sin")),
    "how patches are cut": ("lib/patches.py", substitute(r"return (.+)", r"return (\1, 1)")),
    "an import": ("lib/networks/training.py", substitute(r"\nfrom", "\nimport lib.voting\nfrom")),
    "an error's kind": ("lib/networks/training.py", substitute(r"raise \w+\(", "raise OSError(")),
    "the validated epoch": ("lib/margins.py", substitute("argmax", "argmin")),
    "how packed data are read": ("lib/data/packed.py", add_code),
}


def file_of(copy: Path, pattern: str, edit: Callable[[Path], None]) -> None:
    """Applies an edit to the first of some files in which it can be made."""
    for file in sorted(copy.glob(pattern)):
        try:
            return edit(file)
        except AssertionError:
            continue
    raise AssertionError(f"{pattern}: there is nothing to edit")


@pytest.mark.parametrize("name", TRAINS_NOTHING)
def test_an_edit_that_changes_no_network_trains_nothing(copy, name):
    before = digests.digest(TRAINING, without=VALUES)
    file_of(copy, *TRAINS_NOTHING[name])
    assert digests.digest(TRAINING, without=VALUES) == before


@pytest.mark.parametrize("name", TRAINS)
def test_an_edit_of_what_training_computes_trains(copy, name):
    before = digests.digest(TRAINING, without=VALUES)
    file_of(copy, *TRAINS[name])
    assert digests.digest(TRAINING, without=VALUES) != before


@pytest.mark.parametrize(
    "change",
    [{"outputs": [{"output_type": "stream", "text": "42"}], "execution_count": 9}, {"id": "a1"}],
    ids=["outputs", "metadata"],
)
def test_a_saved_notebook_is_the_same(copy, change):
    before = digests.digest("02_grid_vote")
    change_cells(**change)(copy / "notebooks" / "02_grid_vote.ipynb")
    assert digests.digest("02_grid_vote") == before


def notebook(folder: Path, *sources: str, title: str = "# One", size: int = 3) -> None:
    """A notebook of a title, a parameters cell and code cells."""
    code = {"cell_type": "code", "outputs": [], "execution_count": None}
    cells = [
        {"cell_type": "markdown", "metadata": {}, "source": title},
        {**code, "metadata": {"tags": ["parameters"]}, "source": f"size = {size}  # px\n"},
        *({**code, "metadata": {}, "source": source} for source in sources),
    ]
    (folder / "notebooks" / "07_test.ipynb").write_text(json.dumps({"cells": cells}), "utf-8")


def names(start: str, without: tuple[str, ...] = ()) -> set[str]:
    """The modules that count, without `lib.`."""
    files = [file.relative_to(paths.ROOT / "lib") for file in digests.modules(start, without)]
    return {".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files}


def test_a_notebook_is_its_code(copy):
    notebook(copy, "import lib.patches\n", "lib.patches.cut")
    before = digests.digest("07_test")
    notebook(copy, "import lib.patches  # why\n", "lib.patches.cut", title="# Two", size=4)
    assert digests.digest("07_test") == before
    for last in ("lib.patches.grid", "lib.patches.cut\n1 + 1"):
        notebook(copy, "import lib.patches\n", last)
        assert digests.digest("07_test") != before


def test_a_notebooks_modules_are_its_imports_and_theirs(copy):
    notebook(copy, "def later():\n    from lib.results import tables\n")
    assert {"results.tables", "results", "margins", "study.paths", "voting.rules"} <= names(
        "07_test"
    )
    assert not {"report.figures", "data.packing.pack", "networks.training"} & names("07_test")
    notebook(copy, "import numpy\nimport lib", "from os import path")
    assert names("07_test") == set()


def test_what_is_left_out_brings_nothing_in(copy):
    notebook(copy, "import lib.patches\nfrom lib.data.packing import pack\n")
    whole = names("07_test")
    assert {"data.packing.pack", "data.packing.selection", "data.images"} <= whole
    assert names("07_test", ("lib.data",)) == {name for name in whole if name == "patches"}
    assert "patches" in names("07_test", ("lib.pat",))  # a module's whole name counts


def test_files_that_code_reads_count_by_their_contents(copy):
    file = copy / "page.j2"
    file.write_text("<p>", "utf-8")
    before = digests.digest("02_grid_vote", file)
    touch(file)
    assert digests.digest("02_grid_vote", file) == before != digests.digest("02_grid_vote")
    file.write_text("<b>", "utf-8")
    assert digests.digest("02_grid_vote", file) != before


def test_votes_need_no_networks_and_training_shows_nothing():
    vote, training = names("02_grid_vote"), names(TRAINING)
    assert {"voting.rules", "results.tables", "statistics.bootstrap", "margins"} <= vote
    assert not {name for name in vote if name.startswith(("networks", "data.packing"))}
    assert {"networks.training", "patches", "data.packed", "margins", "study.study"} <= training
    later = ("report", "results", "audit", "voting", "published", "statistics", "data.packing")
    assert not {name for name in training if name.startswith((*later, "data.sources"))}
