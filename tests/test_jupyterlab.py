"""What a newcomer does: opens a fresh copy of the project in JupyterLab and runs every notebook.

The notebooks are opened and executed over the server's own interfaces, as its page does: the
contents and sessions over HTTP, the cells over a kernel's websocket.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
import websocket
from notebook_helpers import NOTEBOOKS, ROOT, environment

TOKEN = uuid.uuid4().hex
STARTS_WITHIN, CELL_WITHIN = 90, 300  # seconds


class Lab:
    """A running JupyterLab server, by its address."""

    def __init__(self, url: str):
        self.url = url

    def get_page(self, path: str) -> str:
        request = Request(self.url + path, headers={"Authorization": f"token {TOKEN}"})
        with urlopen(request, timeout=60) as reply:
            return reply.read().decode()

    def call(self, method: str, path: str, content: object = None) -> dict | None:
        """One request to the REST interface: the answer, if it has one."""
        headers = {"Authorization": f"token {TOKEN}", "Content-Type": "application/json"}
        body = None if content is None else json.dumps(content).encode()
        request = Request(f"{self.url}api/{path}", method=method, data=body, headers=headers)
        with urlopen(request, timeout=60) as reply:
            return json.loads(reply.read() or "null")

    def run(self, notebook: str) -> None:
        """Opens a notebook and executes its code cells in a session of its own.

        Raises:
            AssertionError: a cell failed; with its source and traceback. The session is left to
                the server's end.
        """
        cells = self.call("GET", f"contents/{notebook}")["content"]["cells"]
        wanted = {"path": notebook, "name": notebook, "type": "notebook"}
        session = self.call("POST", "sessions", {**wanted, "kernel": {"name": "python3"}})
        kernel = self.connect(session["kernel"]["id"])
        for source in (cell["source"] for cell in cells if cell["cell_type"] == "code"):
            error = execute(kernel, source)
            assert error is None, f"{notebook}\n{source}\n\n{error}"
        kernel.close()
        self.call("DELETE", f"sessions/{session['id']}")

    def connect(self, kernel_id: str) -> websocket.WebSocket:
        return websocket.create_connection(
            f"{self.url.replace('http', 'ws', 1)}api/kernels/{kernel_id}/channels",
            header=[f"Authorization: token {TOKEN}"],
            timeout=60,  # for each frame; the server's pings come twice a minute
        )


def execute(kernel: websocket.WebSocket, source: str) -> str | None:
    """Executes one cell and waits until the kernel has answered and is idle again.

    Returns:
        None, or the traceback.
    """
    asked = uuid.uuid4().hex
    header = {"msg_id": asked, "msg_type": "execute_request", "version": "5.3"}
    header |= {"session": TOKEN, "username": "newcomer", "date": ""}
    content = {"code": source, "silent": False, "store_history": True, "allow_stdin": False}
    rest = {"parent_header": {}, "metadata": {}, "channel": "shell", "buffers": []}
    kernel.send(json.dumps({"header": header, "content": content, **rest}))
    awaited, reply = {"reply", "idle"}, {}
    deadline = time.monotonic() + CELL_WITHIN
    while awaited:
        message = receive(kernel, deadline)
        state = message.get("content", {}).get("execution_state")
        assert state not in ("restarting", "dead"), f"the kernel died of\n{source}"
        if message.get("parent_header", {}).get("msg_id") != asked:
            continue
        if message["msg_type"] == "execute_reply":
            reply = message["content"]
            awaited.discard("reply")
        elif state == "idle":
            awaited.discard("idle")
    return None if reply["status"] == "ok" else "\n".join(reply.get("traceback", [str(reply)]))


def receive(kernel: websocket.WebSocket, deadline: float) -> dict:
    """The next message; an empty one for a ping, so that pings cannot keep a wait alive."""
    if time.monotonic() > deadline:
        raise TimeoutError(f"the cell did not end within {CELL_WITHIN} s")
    kind, data = kernel.recv_data(control_frame=True)
    assert kind != websocket.ABNF.OPCODE_CLOSE, "the server closed the connection"
    return json.loads(data) if kind == websocket.ABNF.OPCODE_TEXT else {}


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A copy of the project as it would be cloned, with what is not committed yet."""
    if not (ROOT / ".git").exists():
        pytest.skip("only a git checkout knows which files belong to the project")
    command = ["git", "ls-files", "-z", "-co", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():  # a file deleted but not yet committed is still listed
            target = tmp_path / "patchwise" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target)
    return tmp_path / "patchwise"


@pytest.fixture
def lab(checkout, tmp_path):
    """JupyterLab on a free port, serving the copy; stopped at the end, come what may."""
    env = environment(tmp_path / "settings", PYTHONPATH=checkout)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += ["--ServerApp.ip=127.0.0.1", "--ServerApp.port=0"]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={checkout}"]
    log = tmp_path / "lab.log"
    with log.open("w") as file:
        server = subprocess.Popen(
            command, cwd=checkout, env=env, stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield started(server, Path(env["JUPYTER_RUNTIME_DIR"]), log)
    finally:
        stop(server)


def started(server: subprocess.Popen, runtime: Path, log: Path) -> Lab:
    """Waits until the server answers; it writes its address to `runtime`."""
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and server.poll() is None:
        try:
            address = json.loads((runtime / f"jpserver-{server.pid}.json").read_text())
            found = Lab(address["url"])
            found.call("GET", "status")
            return found
        except (OSError, URLError, json.JSONDecodeError):
            time.sleep(0.5)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()}")


def stop(server: subprocess.Popen) -> None:
    """Lets the server end its kernels, which end by themselves when it is killed."""
    server.terminate()
    try:
        server.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(20)


@pytest.mark.timeout(1200)
def test_every_notebook_runs_in_a_fresh_jupyterlab(lab, checkout):
    assert "JupyterLab" in lab.get_page("lab")
    for path in NOTEBOOKS:
        lab.run(f"notebooks/{path.name}")
    assert (checkout / "reports/smoke/index.html").is_file()
