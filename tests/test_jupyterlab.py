"""What a newcomer does: clones the project, `make lab`, runs every notebook, and it saves itself.

The notebooks are opened, executed and saved over the server's own interfaces, as its page does: the
contents and sessions over HTTP, the cells over a kernel's websocket. Where there is a Chromium, the
slider of B1_own_pictures is moved in the page itself, too.
"""

import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import pytest
import websocket
from clone_helpers import READY, changed, clone, lone
from notebook_helpers import NOTEBOOKS
from playwright.sync_api import Page, expect, sync_playwright

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
        """Opens a notebook, executes its code cells in a session of its own, and saves it.

        Raises:
            AssertionError: a cell failed; with its source and traceback. The session is left to
                the server's end.
        """
        content = self.call("GET", f"contents/{notebook}")["content"]
        wanted = {"path": notebook, "name": notebook, "type": "notebook"}
        session = self.call("POST", "sessions", {**wanted, "kernel": {"name": "python3"}})
        kernel = self.connect(session["kernel"]["id"])
        cells = [cell for cell in content["cells"] if cell["cell_type"] == "code"]
        for number, cell in enumerate(cells, 100):
            error = execute(kernel, cell["source"])
            assert error is None, f"{notebook}\n{cell['source']}\n\n{error}"
            cell |= {"execution_count": number, "outputs": []}
        kernel.close()
        self.call("DELETE", f"sessions/{session['id']}")
        self.call("PUT", f"contents/{notebook}", {"type": "notebook", "content": content})
        self.call("POST", f"contents/{notebook}/checkpoints")

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


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    return clone(tmp_path_factory.mktemp("clone") / "patchwise")


@pytest.fixture(scope="module")
def lab(checkout, tmp_path_factory):
    """`make lab` on a free port, in the clone; stopped at the end, come what may."""
    folder = tmp_path_factory.mktemp("lab")
    env = lone(checkout, folder / "settings")
    server = {"open_browser": False, "allow_root": True, "ip": "127.0.0.1", "port": 0}
    settings = {"ServerApp": server, "IdentityProvider": {"token": TOKEN}}
    Path(env["JUPYTER_CONFIG_DIR"], "jupyter_server_config.json").write_text(json.dumps(settings))
    log = folder / "lab.log"
    with log.open("w") as file:
        make = subprocess.Popen(
            [*READY, "lab"], cwd=checkout, env=env, stdout=file, stderr=file, start_new_session=True
        )
    try:
        yield started(make, Path(env["JUPYTER_RUNTIME_DIR"]), log)
    finally:
        stop(make)


def started(make: subprocess.Popen, runtime: Path, log: Path) -> Lab:
    """Waits until the server answers; it writes its address to `runtime`."""
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and make.poll() is None:
        try:
            (address,) = runtime.glob("jpserver-*.json")
            lab = Lab(json.loads(address.read_text())["url"])
            lab.call("GET", "status")
            return lab
        except (OSError, URLError, ValueError):  # none yet, half written, or not listening
            time.sleep(0.5)
    raise AssertionError(f"JupyterLab did not start:\n{log.read_text()}")


def stop(make: subprocess.Popen) -> None:
    """Lets the server end its kernels, which end by themselves when it is killed."""
    os.killpg(make.pid, signal.SIGTERM)
    try:
        make.wait(20)
    except subprocess.TimeoutExpired:
        os.killpg(make.pid, signal.SIGKILL)
        make.wait(20)


@pytest.fixture
def browser() -> Iterator[Page]:
    """A page of a headless Chromium: this system's, or the one that Playwright installed."""
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
        found = shutil.which("chromium") or shutil.which("google-chrome") or own
        if not Path(found).exists():
            pytest.skip("no Chromium: apt-get install chromium, or playwright install chromium")
        flags = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"]
        with playwright.chromium.launch(executable_path=found, args=flags) as chromium:
            page = chromium.new_page()
            page.set_default_timeout(1000 * STARTS_WITHIN)
            yield page


@pytest.mark.timeout(1200)
def test_every_notebook_runs_in_a_fresh_jupyterlab_and_git_sees_nothing(lab, checkout):
    assert "JupyterLab" in lab.get_page("lab/tree/my_notebooks")
    in_reach = {entry["name"] for entry in lab.call("GET", "contents/")["content"]}
    assert {"README.md", "params", "reports", "my_notebooks"} <= in_reach
    for path in NOTEBOOKS:
        lab.run(f"my_notebooks/{path.name}")
        saved = json.loads((checkout / "my_notebooks" / path.name).read_text("utf-8"))
        assert any(cell.get("execution_count") == 100 for cell in saved["cells"])
    assert (checkout / "reports/smoke/index.html").is_file()
    assert changed(checkout) == ""


def test_a_slider_moved_in_a_browser_changes_the_verdict(lab, browser):
    browser.goto(f"{lab.url}lab/tree/my_notebooks/B1_own_pictures.ipynb?token={TOKEN}")
    browser.locator(".jp-Toolbar-kernelName", has_text="Python 3").wait_for()
    browser.locator(".lm-MenuBar-item", has_text="Run").click()
    browser.get_by_text("Run All Cells", exact=True).click()
    output = browser.locator(".jp-OutputArea-output .widget-vbox")
    verdict = output.locator(".widget-label", has_text="patches vote")
    expect(verdict).to_contain_text("vote, confident", timeout=1000 * CELL_WITHIN)
    before = verdict.text_content()
    output.locator(".noUi-handle").focus()
    for _ in range(3):  # θ from 0.6 to 0.9
        browser.keyboard.press("ArrowRight")
    expect(verdict).not_to_have_text(before)
    output.locator("select").nth(1).select_option("vote, grid")
    expect(verdict).to_contain_text("vote, grid: ")
