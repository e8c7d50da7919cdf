"""A server of our own and a browser to drive it, for the journeys and the screenshots."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse

from playwright.sync_api import Browser, Page, sync_playwright

ROOT = Path(__file__).parents[2]
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
SYSTEM_BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Server:
    """A running app: its URL and its process."""

    url: str
    process: subprocess.Popen[bytes]


@contextmanager
def server(*, history: Path | None = None, settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """The app on a free port of the loopback address, with a history of its own unless one is named."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    folder = tempfile.TemporaryDirectory()
    database = history or Path(folder.name) / "history.sqlite"
    command = [sys.executable, "-m", "streamlit", "run", "app.py"]
    command += ["--server.port", str(port), "--server.headless", "true"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    environment["PRUNESCOPE_DATABASE_URL"] = f"sqlite:///{database}"
    environment["PRUNESCOPE_UPLOADS"] = f"{folder.name}/uploads"
    environment["PRUNESCOPE_RECOVERED"] = f"{folder.name}/recovered"
    environment["PRUNESCOPE_EXPORTS"] = f"{folder.name}/exports"
    environment |= settings or {}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT
    )
    try:
        _wait_for(url + "/_stcore/health", process)
        yield Server(url, process)
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        folder.cleanup()


@contextmanager
def browser() -> Iterator[Browser]:
    """Headless Chromium: the system's if there is one, else Playwright's own."""
    path = next((found for name in SYSTEM_BROWSERS if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield chromium
        chromium.close()


def settle(page: Page, *, timeout: float = 60) -> None:
    """Wait until the app has run and drawn everything, and nothing failed."""
    page.wait_for_selector("[data-testid='stMainBlockContainer'] h1", timeout=timeout * 1000)
    deadline = time.monotonic() + timeout
    quiet = 0
    while quiet < 3:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{page.url} did not come to rest within {timeout} s")
        busy = page.locator(
            "[data-testid='stStatusWidget'], [data-testid='stSpinner'], [data-testid='stProgress'], "
            "[data-testid='stApp'][data-test-script-state='running'], [data-stale='true'], "
            ".pc[data-state='busy']"
        ).count()
        quiet = 0 if busy else quiet + 1
        page.wait_for_timeout(100)


def choose_view(page: Page, name: str) -> None:
    """Switch to another view of a page."""
    page.get_by_role("radiogroup", name="View").get_by_role("radio", name=name, exact=True).click()
    settle(page)


def tick(page: Page, row: int) -> None:
    """Tick a row of a table, which is drawn on a canvas: its box stands at the left of the row."""
    table = page.get_by_test_id("stDataFrame").first
    table.scroll_into_view_if_needed()
    box = table.bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 16, box["y"] + 34 + 33 * row + 16)
    settle(page)


def is_outside(url: str) -> bool:
    """True if `url` leaves this machine."""
    return urlparse(url).hostname not in (None, "127.0.0.1", "localhost")


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with exit code {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"{url} did not answer within 30 s")
