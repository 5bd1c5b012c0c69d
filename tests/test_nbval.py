"""Every notebook runs again, in order and from nothing, and gives the outputs stored in it."""

import re
import subprocess
import sys

import pytest
from notebook_helpers import NOTEBOOKS, ROOT, code_cells, environment

COMMAND = (
    *(sys.executable, "-m", "pytest", "--nbval", "--nbval-cell-timeout", "300"),
    # Not quiet, for the files' names: -v undoes pyproject's -q.
    *("-p", "no:cacheprovider", "-v", "--color=no"),
    *(f"notebooks/{path.name}" for path in NOTEBOOKS),
)


@pytest.mark.timeout(1500)
def test_notebooks_give_their_stored_outputs(tmp_path):
    env = environment(tmp_path / "settings", PATCHWISE_WORK=tmp_path / "work")
    done = subprocess.run(
        COMMAND, cwd=ROOT, env=env, capture_output=True, text=True, timeout=1400, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    counts = {word: int(n) for n, word in re.findall(r"(\d+) (passed|failed|skipped|error)", said)}
    assert counts == {"passed": sum(len(code_cells(path)) for path in NOTEBOOKS)}, said
    order = re.findall(r"^notebooks/(\w+)\.ipynb", done.stdout, re.MULTILINE)
    assert order == [path.stem for path in NOTEBOOKS], said
    for report in ("smoke", "published_record"):
        assert (tmp_path / "work/reports" / report / "index.html").is_file()
