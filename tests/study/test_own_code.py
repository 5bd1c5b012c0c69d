"""Code of one's own: found from the repository's root, and told apart from what it was."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from lib.study import own_code, paths
from lib.study.schema import ParameterError

BLOCK = """
def scaled(x, by=2):
    return x * by
class Block:
    def forward(self, x):
        return scaled(x)
"""
NET = """
SIZES = [3, 4]
class Base:
    width = 8
class Net(Base):
    depth = 2
    @property
    def size(self):
        return SIZES[0]
    def __init__(self):
        self.blocks = [Block() for _ in range(self.depth)]
"""
EDITS = {
    "a function that a part uses": (BLOCK.replace("x * by", "x + by"), NET),
    "a part that is used in a comprehension": (BLOCK.replace("scaled(x)", "scaled(x) + 1"), NET),
    "a value that is used": (BLOCK, NET.replace("[3, 4]", "[3, 5]")),
    "a class's value": (BLOCK, NET.replace("depth = 2", "depth = 3")),
    "a property": (BLOCK, NET.replace("SIZES[0]", "SIZES[1]")),
    "a base": (BLOCK, NET.replace("width = 8", "width = 9")),
    "which base": (BLOCK, NET.replace("class Net(Base)", "class Net(Block)")),
}
SAME = {
    "again": (BLOCK, NET),
    "something else": (BLOCK, NET + "other = 3\nclass Other:\n    def forward(self): return Net\n"),
    "in another order": (NET.partition("class Net")[0] + BLOCK, "class Net" + NET.split("Net")[1]),
}


def digests(cells: list[tuple[str, ...]], name: str = "__main__:Net") -> list[str]:
    """What each of some notebooks gives, or the error: cells run by IPython, as kernels do."""
    code = f"""
    import sys
    from IPython.core.interactiveshell import InteractiveShell
    from lib.study import own_code
    shell = InteractiveShell.instance(user_module=sys.modules["__main__"])
    shell.history_manager.enabled = False
    for cells in {cells!r}:
        for cell in cells:
            assert shell.run_cell(cell).success
        try:
            print(own_code.digest({name!r}))
        except own_code.ParameterError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def notebooks() -> dict[str, str]:
    given = {"as it was": (BLOCK, NET), **EDITS, **SAME}
    return dict(zip(given, digests(list(given.values())), strict=True))


def test_a_notebooks_class_is_known_by_its_source(notebooks):
    assert len(notebooks["as it was"]) == 64
    assert digests([(BLOCK, NET)]) == [notebooks["as it was"]]  # in another process


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_all_that_a_notebooks_class_uses_changes_the_digest(notebooks, edit):
    assert notebooks[edit] != notebooks["as it was"]
    assert len({notebooks[edit] for edit in EDITS}) == len(EDITS)


@pytest.mark.parametrize("edit", SAME)
def test_what_a_notebooks_class_does_not_use_changes_nothing(notebooks, edit):
    assert notebooks[edit] == notebooks["as it was"]


def test_what_a_function_closes_over_is_part_of_its_source():
    make = "def make(width):\n    def net(): return width\n    return net\nNet = make({})\n"
    first, second, again = digests([(make.format(width),) for width in (8, 16, 8)])
    assert first == again != second


def test_what_a_notebook_does_not_define_is_named():
    (missing,) = digests([("class Nett:\n    pass\n",)])
    assert missing == (
        "model.name: __main__:Net: the notebook defines no 'Net' (did you mean Nett?)"
    )
    (wrong,) = digests([("import functools\nNet = functools.partial(int)\n",)])
    assert wrong == "model.name: __main__:Net: it is no class or function of the notebook"


@pytest.fixture
def root(tmp_path, monkeypatch) -> Path:
    """A project's folder of the test's own."""
    monkeypatch.setattr(paths, "ROOT", tmp_path)
    return tmp_path


def test_a_modules_digest_is_its_files(root, monkeypatch):
    (root / "own_file.py").write_text("class Net: pass\n")
    before = own_code.digest("own_file:Net")
    monkeypatch.chdir("/")
    assert own_code.digest("own_file:Net") == own_code.digest("own_file:Other") == before
    (root / "own_file.py").write_text("class Net: pass  # edited\n")
    assert own_code.digest("own_file:Net") != before


def test_a_packages_digest_is_that_of_all_its_files(root):
    package = root / "own_package"
    package.mkdir()
    (package / "__init__.py").write_text("from own_package.part import Net\n")
    (package / "part.py").write_text("class Net: depth = 1\n")
    before = own_code.digest("own_package:Net")
    part = own_code.digest("own_package.part:Net")
    assert own_code.load("own_package:Net").depth == 1
    (package / ".ipynb_checkpoints").mkdir()
    (package / ".ipynb_checkpoints" / "part-checkpoint.py").write_text("class Net: depth = 3\n")
    assert own_code.digest("own_package:Net") == before
    (package / "part.py").write_text("class Net: depth = 22\n")
    assert own_code.digest("own_package:Net") != before
    assert own_code.digest("own_package.part:Net") != part
    assert own_code.load("own_package:Net").depth == 22


def test_the_import_path_is_left_as_it_was(root):
    before = list(sys.path)
    (root / "own_broken.py").write_text("1 / 0\n")
    with pytest.raises(ParameterError, match="importing it failed: ZeroDivisionError"):
        own_code.load("own_broken:Net")
    with pytest.raises(ParameterError, match="Python finds no module 'own_missing'"):
        own_code.load("own_missing:Net")
    assert sys.path == before
