"""What a job computes with, as a hash: a job is run again when this changes, and not otherwise.

The hash is of what Python makes of the code, of a notebook or module and of all modules of `lib`
that it imports, directly or through others. Comments, docstrings, layout and the texts of errors
are not part of it, nor is when a file was saved, nor are a notebook's outputs and defaults.
"""

import ast
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from lib.study import paths


def digest(start: str, *data: Path, without: Sequence[str] = ()) -> str:
    """A hash of the code that `start` consists of.

    Args:
        start: a notebook's name such as `02_grid_vote`, or a module's such as `lib.margins`.
        data: files that the code reads, which count by their contents.
        without: modules and packages of `lib` that do not count, nor what only they import.
    """
    parts = {} if start.startswith("lib.") else {start: meaning(_code(start))}
    parts |= {str(file.relative_to(paths.ROOT)): _meaning(file) for file in modules(start, without)}
    parts |= {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in data}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def modules(start: str, without: Sequence[str] = ()) -> set[Path]:
    """The files of `lib` that `start` consists of or imports; see `digest`.

    That of `lib` itself, which holds the version, is not among them.
    """
    waiting = {start} if start.startswith("lib.") else set(_imported(_code(start)))
    seen, files = set(), set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        if any(f"{name}.".startswith(f"{left_out}.") for left_out in without):
            continue
        place = paths.ROOT / name.replace(".", "/")
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                files.add(file)
                waiting |= _imported(file.read_text("utf-8")) - seen
    return files


@cache
def meaning(source: str) -> str:
    """A source without comments, docstrings and the texts of errors, written out in one way."""
    return ast.unparse(_Meaning().visit(ast.parse(source)))


class _Meaning(ast.NodeTransformer):
    """Drops what changes no result."""

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        """Strings that stand by themselves: the docstrings of modules, functions, attributes."""
        value = node.value
        docstring = isinstance(value, ast.Constant) and isinstance(value.value, str)
        return None if docstring else self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> ast.AST:
        """What an error says; which error it is stays."""
        if isinstance(node.exc, ast.Call):
            node.exc.args, node.exc.keywords = [], []
        return self.generic_visit(node)


def _meaning(file: Path) -> str:
    return meaning(file.read_text("utf-8"))


def _code(notebook: str) -> str:
    """A notebook's code cells, one after another; its parameters' defaults are left out."""
    content = json.loads((paths.NOTEBOOKS / f"{notebook}.ipynb").read_text("utf-8"))
    return "\n".join(
        "".join(cell["source"])
        for cell in content["cells"]
        if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", [])
    )


@cache
def _imported(source: str) -> frozenset[str]:
    """The modules of `lib` that a source's import statements may name; `from lib import x` lib.x.

    Which of them are modules, and not what one defines, the files tell.
    """
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return frozenset(name for name in names if name.startswith("lib."))
