"""How a batch executes notebooks: errors are one sentence, and a kernel ends with its batch."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
from notebook_helpers import ROOT, environment

SAID = """Input notebook does not contain a cell with tag 'parameters'
[IPKernelApp] WARNING | it talks over TCP
Traceback (most recent call last):
  File "papermill/execute.py", line 251, in raise_for_execution_errors
    raise error
papermill.exceptions.PapermillExecutionError:{space}
---------------------------------------------------------------------------
Exception encountered at "In [4]":
---------------------------------------------------------------------------
RunError                                  Traceback (most recent call last)
Cell In[4], line 4
----> 4 grid = margins.load(run, run.test)

RunError: no trained network. Train it first:
  papermill notebooks/01_patch_accuracy.ipynb

""".format(space=" ")
FULL = """Traceback (most recent call last):
  File "papermill/iorw.py", line 200, in write
    f.write(buf)
OSError: [Errno 28] No space left on device
"""
OTHER = """Traceback (most recent call last):
  File "nbclient/client.py", line 900, in _async_check_alive
nbclient.exceptions.DeadKernelError: Kernel died
"""


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ("a line\n", 0, "a line\n"),
        (
            SAID,
            3,
            "Input notebook does not contain a cell with tag 'parameters'\n"
            "RunError: no trained network. Train it first:\n"
            "  papermill notebooks/01_patch_accuracy.ipynb\n",
        ),
        (
            FULL,
            3,
            "OSError: [Errno 28] No space left on device\n"
            "Free some, or set PATCHWISE_WORK to a folder on a larger disk\n",
        ),
        (OTHER, 0, OTHER),
    ],
)
def test_of_a_notebooks_error_its_end_is_printed(given, status, said):
    """3 is for what another try would not mend."""
    done = subprocess.run(
        ["awk", "-f", "rules/said.awk"], cwd=ROOT, input=given, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (status, said)


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
