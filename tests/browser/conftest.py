"""JupyterLab and a real browser, once a session: Debian's Chromium, driven by playwright."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nbformat
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHROMIUM = os.environ.get("CDAO_CHROMIUM") or shutil.which("chromium") or ""
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
TOKEN = "t"
_IS_READY = """() => {
  const context = window.jupyterapp?.shell.currentWidget?.sessionContext;
  const kernel = context?.session?.kernel;
  return context?.isReady && kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("jupyter"))
            item.add_marker(pytest.mark.timeout(180))
            if not CHROMIUM:
                why = "no chromium: apt-get install chromium, or set CDAO_CHROMIUM to one"
                item.add_marker(pytest.mark.skip(reason=why))


@dataclass
class Lab:
    """A JupyterLab with a browser.

    Attributes:
        url: The server.
        folder: Its notebooks.
        page: The browser's page.
        shots: Where screenshots go.
    """

    url: str
    folder: Path
    page: Any
    shots: Path

    def write(self, name: str, *cells: str) -> Path:
        """Put a notebook of code cells into the folder."""
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
        path = self.folder / f"{name}.ipynb"
        nbformat.write(notebook, path)
        return path

    def open(self, name: str) -> None:
        """Show a notebook in a workspace of its own, its kernel idle."""
        workspace = f"{name}-{secrets.token_hex(3)}"
        self.page.goto(
            f"{self.url}/lab/workspaces/{workspace}/tree/{name}.ipynb?token={TOKEN}&reset"
        )
        self.wait_for_kernel()

    def wait_for_kernel(self) -> None:
        """Wait until the kernel is connected and idle: before, only the first cell would run."""
        self.page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=40_000)
        self.page.wait_for_function(_IS_READY, timeout=40_000)

    def command(self, name: str, arguments: dict[str, object] | None = None) -> None:
        """Run one of JupyterLab's commands, without waiting for what it starts."""
        script = "([name, args]) => { window.jupyterapp.commands.execute(name, args); }"
        self.page.evaluate(script, [name, arguments or {}])

    def run_all(self) -> None:
        """Run all cells."""
        self.command("notebook:run-all-cells")

    def save(self) -> None:
        """Save the notebook, and wait for it."""
        self.page.evaluate("() => window.jupyterapp.commands.execute('docmanager:save')")

    def theme(self, name: str) -> None:
        """Light or dark."""
        self.page.evaluate(
            "(theme) => window.jupyterapp.commands.execute('apputils:change-theme', {theme})", name
        )
        self.page.wait_for_timeout(1_500)  # its splash screen fades out

    def shoot(self, name: str) -> None:
        """Keep what the browser shows."""
        self.page.screenshot(path=str(self.shots / f"{name}.png"))


@pytest.fixture(scope="session")
def shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots go: CDAO_SCREENSHOTS, else a folder of pytest's."""
    chosen = os.environ.get("CDAO_SCREENSHOTS")
    folder = Path(chosen) if chosen else tmp_path_factory.mktemp("screenshots")
    folder.mkdir(parents=True, exist_ok=True)
    return folder.absolute()


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A Jupyter server of its own: its URL, and the folder of its notebooks."""
    root = tmp_path_factory.mktemp("jupyter")
    notebooks = root / "notebooks"
    settings = root / "settings" / "@jupyterlab" / "apputils-extension"
    for folder in (notebooks, settings):
        folder.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    private = {
        "JUPYTER_CONFIG_DIR": root / "config",
        "JUPYTER_DATA_DIR": root / "data",
        "JUPYTER_RUNTIME_DIR": root / "runtime",
        "JUPYTERLAB_SETTINGS_DIR": root / "settings",
        "JUPYTERLAB_WORKSPACES_DIR": root / "workspaces",
        "IPYTHONDIR": root / "ipython",
        "CDAO_STATE_DIR": root / "state",
    }
    foreign = ("AWS_", "CDAO_", "FLYTE", "JUPYTER")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(foreign)}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser"]
    command += ["--ip=127.0.0.1", f"--port={port}", f"--IdentityProvider.token={TOKEN}"]
    command += ["--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={notebooks}"]
    log = (root / "server.log").open("wb")
    environment = {**kept, **{key: str(value) for key, value in private.items()}}
    server = subprocess.Popen(command, stdout=log, stderr=log, env=environment, cwd=notebooks)
    url = f"http://127.0.0.1:{port}"
    try:
        _wait_for(url, server, root / "server.log")
        yield url, notebooks
    finally:
        server.terminate()
        server.wait(20)
        log.close()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + 60
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(  # noqa: S310 # our own server
                f"{url}/api/status?token={TOKEN}", timeout=5
            ) as answer:
                json.load(answer)
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-2000:]}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Any:
    """Keep what the browser showed when a test failed."""
    report = yield
    lab = getattr(item, "funcargs", {}).get("lab")
    if report.when == "call" and report.failed and lab is not None:
        lab.shoot(f"failed-{item.name}")
    return report


@pytest.fixture
def lab(jupyter: tuple[str, Path], shots: Path) -> Iterator[Lab]:
    """JupyterLab in a browser of the test's own: playwright leaves no thread its event loop."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        context = browser.new_context(viewport={"width": 1280, "height": 900})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.set_default_timeout(30_000)
        yield Lab(jupyter[0], jupyter[1], page, shots)
        browser.close()


@pytest.fixture
def page_of_file(lab: Lab) -> Callable[[Path], Any]:
    """Opens a file in a page of its own, without any server."""

    def show(path: Path) -> Any:
        page = lab.page.context.new_page()
        page.goto(path.as_uri())
        return page

    return show
