"""How a batch executes notebooks: a kernel ends with its batch."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from notebook_helpers import ROOT, environment


@pytest.fixture
def sleeping(tmp_path) -> Path:
    """A notebook that would take an hour, once it has made a file."""
    source = f"import pathlib, time\npathlib.Path({str(tmp_path / 'begun')!r}).touch()"
    cells = [nbformat.v4.new_code_cell(f"{source}\ntime.sleep(3600)")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, tmp_path / "sleeping.ipynb")
    return tmp_path / "sleeping.ipynb"


def test_notebooks_end_with_a_batch_that_is_killed(sleeping, tmp_path):
    batch = subprocess.Popen(["sleep", "3600"])
    given = environment(tmp_path, JUPYTER_PATH="rules", BATCH=str(batch.pid))
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", str(sleeping)]
    papermill = subprocess.Popen(
        [*command, str(tmp_path / "out.ipynb")], cwd=ROOT, env=given, stderr=subprocess.DEVNULL
    )
    try:
        while not (tmp_path / "begun").exists():
            assert papermill.poll() is None
            time.sleep(0.05)
        batch.kill()
        batch.wait()
        assert papermill.wait(60) == -signal.SIGTERM
    finally:
        batch.kill()
        papermill.kill()


def test_a_kernel_whose_papermill_is_gone_before_it_starts_ends(tmp_path):
    """ipykernel's own watch would wait for its parent to become process 1."""
    given = {**os.environ, "JPY_PARENT_PID": str(2**22), "BATCH": str(os.getpid())}
    command = [sys.executable, "rules/kernel.py", "-f", str(tmp_path / "connection.json")]
    assert subprocess.run(command, cwd=ROOT, env=given, timeout=60, check=False).returncode == 1
