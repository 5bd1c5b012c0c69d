"""What the tests of the notebooks share: where they lie, and a clean environment to run them in."""

import os
from pathlib import Path

import nbformat
from nbformat import NotebookNode

ROOT = Path(__file__).resolve().parent.parent
# In the order of the work: the report comes last, after the studies beyond the five (A1_…).
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"), key=lambda p: (p.stem[:2] == "06", p.stem))
# What a surrounding kernel, make, test or study would lend to a notebook.
LENT = ("JPY_", "MAKE", "PATCHWISE_", "PYTEST_")


def code_cells(path: Path) -> list[NotebookNode]:
    """The code cells of a notebook, in order."""
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def tags(cell: NotebookNode) -> set[str]:
    """The tags of a cell."""
    return set(cell.metadata.get("tags", []))


def environment(settings: Path, **given: Path | str) -> dict[str, str]:
    """The environment for a process of its own, with the variables `given`.

    Args:
        settings: a folder for Jupyter's and IPython's settings, so that the user's own settings,
            kernels and history neither help nor get in the way.
        given: variables to set.
    """
    names = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(LENT)}
    apart = {name: str(settings / name.lower()) for name in names}
    for folder in apart.values():
        Path(folder).mkdir(parents=True, exist_ok=True)
    return {**kept, **apart, **{key: str(value) for key, value in given.items()}}
