"""Copies the notebooks to my_notebooks/, where `make lab` opens them: yours to run and to change.

    python tools/working_copies.py

A copy whose cells you have not changed (running them is no change) follows the project's notebook.
One that you have changed stays as it is, and a line says so where the project's has changed too.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from lib.study import paths

COPIES = paths.ROOT / "my_notebooks"


def refresh(original: Path, copy: Path) -> str | None:
    """Makes or renews a copy, unless it holds something of its user's; returns what to say of it.

    The copy's metadata tell which cells it was made of.
    """
    content = json.loads(original.read_text("utf-8"))
    current = digest(content)
    if copy.is_file():
        there = json.loads(copy.read_text("utf-8"))
        copied = there["metadata"].get("patchwise", {}).get("copied")
        if copied == current:
            return None
        if copied != digest(there):
            return (
                f"{copy.relative_to(paths.ROOT)} is left as you changed it; the project's has "
                "changed as well: to get that one, rename yours"
            )
    content["metadata"]["patchwise"] = {"copied": current}
    text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
    paths.write_whole(copy, lambda path: path.write_text(text, "utf-8"))
    return None


def digest(notebook: dict[str, Any]) -> str:
    """A hash of a notebook's cells without their outputs."""
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    return hashlib.sha256(json.dumps(cells).encode()).hexdigest()


if __name__ == "__main__":
    for path in sorted(paths.NOTEBOOKS.glob("*.ipynb")):
        if said := refresh(path, COPIES / path.name):
            print(said)
