"""What a notebook computes with: a hash of its code, and the modules of `lib` that it imports.

The batch re-runs a notebook when one of these changes, not when its outputs are saved.
"""

import ast
import hashlib
import json

from lib import paths


def code_cells(notebook: str) -> list[str]:
    """The sources of a notebook's code cells, its parameters' defaults left out."""
    content = json.loads((paths.NOTEBOOKS / f"{notebook}.ipynb").read_text("utf-8"))
    return [
        "".join(cell["source"])
        for cell in content["cells"]
        if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", [])
    ]


def digest(notebook: str) -> str:
    """A hash of a notebook's code cells."""
    return hashlib.sha256("\n".join(code_cells(notebook)).encode()).hexdigest()[:16]


def modules(start: str) -> list[str]:
    """The files of `lib` that a notebook or a module imports, directly or through others.

    A package is its `__init__.py`; that of `lib` itself, which holds the version, does not count.

    Args:
        start: a notebook's name such as `02_grid_vote`, or a module's such as `lib.training`.
    """
    named = {start} if start.startswith("lib.") else _imported("\n".join(code_cells(start)))
    waiting, found = named, set()
    while waiting:
        name = waiting.pop()
        place = paths.ROOT / name.replace(".", "/")
        for file in {place.with_name(f"{place.name}.py"), place / "__init__.py"} - found:
            if file.is_file():
                found.add(file)
                waiting |= _imported(file.read_text("utf-8"))
    return sorted(map(str, found))


def _imported(source: str) -> set[str]:
    """The modules named by a source's import statements, `from lib import x` as lib.x."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {name for name in names if name.startswith("lib.")}
