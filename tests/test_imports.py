"""What may import what: the contracts in pyproject.toml notice what breaks them."""

import ast
import pkgutil
import re
import shutil
import subprocess
import sys

import pytest

import lib
from lib.study import paths

MODULES = [m.name for m in pkgutil.walk_packages(lib.__path__, "lib.") if m.name != "lib.__main__"]
TORCH = ("lib.networks", "lib.data.simulated", "lib.judge")
# What is added to a module, and the contract that it breaks.
BREAKS = {
    "voting.rules": ("lib.results.tables", "From pixels to report"),
    "data.packed": ("lib.margins", "From pixels to report"),
    "statistics.bootstrap": ("lib.study.paths", "From pixels to report"),
    "report.page": ("lib.data.packing.journal", "Only the command line and judge pack"),
    "margins": ("torch", "Only networks, judge and simulated"),
    "report.figures": ("lib.networks.classifier", "Nothing else needs torch"),
    "voting.quirks": ("pickle", "lib knows nothing"),
}


@pytest.fixture(scope="module")
def linted(tmp_path_factory) -> dict[str, str]:
    """What `lint-imports` says of a copy with all of `BREAKS`, by the contracts broken."""
    copy = tmp_path_factory.mktemp("copy")
    shutil.copytree(paths.ROOT / "lib", copy / "lib")
    shutil.copy(paths.ROOT / "pyproject.toml", copy)
    for module, (added, _) in BREAKS.items():
        with (copy / "lib" / f"{module.replace('.', '/')}.py").open("a", encoding="utf-8") as file:
            file.write(f"\nimport {added}\n")
    (copy / "lib" / "elsewhere.py").write_text("", "utf-8")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(
        [*command, "--no-cache"], cwd=copy, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    said = done.stdout.partition("Broken contracts")[2]
    titles = re.split(r"\n(\S[^\n]+)\n-{9,}\n", said)
    return dict(zip(titles[1::2], titles[2::2], strict=True))


@pytest.mark.parametrize("module", BREAKS)
def test_a_forbidden_import_is_noticed(linted, module):
    added, contract = BREAKS[module]
    (said,) = [text for title, text in linted.items() if title.startswith(contract)]
    assert f"lib.{module} -> {added}" in said


def test_a_module_without_a_layer_is_noticed(linted):
    (said,) = [text for title, text in linted.items() if title.startswith("From pixels to report")]
    assert "lib.elsewhere" in said


def test_what_needs_no_torch_imports_none():
    """Also where an import is hidden in a call, which the contracts do not see."""
    free = [name for name in MODULES if not name.startswith(TORCH)]
    free += ["lib.judge.errors", "lib.judge.flags", "lib.judge.pictures"]
    assert len(free) > 30
    check = f"import sys, {', '.join(free)}; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_packages_hold_their_modules_and_nothing_else():
    """What a package's `__init__` imports, all that use one of its modules would depend on."""
    for file in (paths.ROOT / "lib").rglob("__init__.py"):
        tree = ast.parse(file.read_text("utf-8"))
        assert ast.get_docstring(tree), file
        assert file.parent.name == "lib" or len(tree.body) == 1, file


def test_no_module_is_long():
    lines = {
        file: file.read_text("utf-8").count("\n") for file in (paths.ROOT / "lib").rglob("*.py")
    }
    assert not {file: count for file, count in lines.items() if count > 250}
