"""What the crash journeys share: a home that outlives its servers, the trials that a screen has shown, orphans."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Browser, Page
from playwright.sync_api import Error as PlaywrightError

from analysis.history import Summary
from analysis.recovery.keep import Keep
from analysis.store import Store
from tests.e2e.harness import Server, choose_view, server, settle

NETWORK = "digits-cnn"
PRUNING, TRAINING = "a" * 32, "b" * 32  # the two histories
ORPHANS_END_WITHIN = 2.0
_CLICKS = 3
KILLED_WORKER = "the worker ended with code -9"
# All points that the trade-off chart has ever drawn: parameters and the headline in percent.
_WATCH = """() => {
  window.shown = window.shown || new Set();
  if (!window.watching) window.watching = setInterval(() => {
    for (const plot of document.querySelectorAll('.js-plotly-plot'))
      for (const trace of plot.data || [])
        if (trace.name === 'plans tried')
          Array.from(trace.x).forEach((x, i) => window.shown.add(JSON.stringify([x, trace.y[i]])));
  }, 20);
}"""


@dataclass(frozen=True)
class Home:
    """A folder with a history and all files, for one server after the other; the history may be in a named database."""

    folder: Path
    database: str = ""

    @property
    def url(self) -> str:
        """Of its database."""
        return self.database or f"sqlite:///{self.folder / 'history.sqlite'}"

    @contextmanager
    def open(self) -> Iterator[Server]:
        """The next server."""
        settings = {
            "PRUNESCOPE_DATABASE_URL": self.url,
            "PRUNESCOPE_RECOVERED": str(self.folder / "recovered"),
        }
        with server(settings=settings | {"PRUNESCOPE_SWEEP": "ask"}) as running:
            yield running

    def processes(self) -> list[int]:
        """Whatever runs with these files: the server and its workers."""
        mark, found = str(self.folder / "recovered").encode(), []
        for entry in Path("/proc").iterdir():
            with suppress(OSError):
                if entry.name.isdigit() and mark in (entry / "environ").read_bytes():
                    found.append(int(entry.name))
        return found

    def workers(self, running: Server) -> list[int]:
        """The worker processes of a server."""
        return [pid for pid in self.processes() if pid != running.process.pid]

    def kept(self, history: str = PRUNING) -> list[Summary]:
        """The trials of a history."""
        store = Store(self.url)
        found = store.summaries(history, NETWORK)
        store.close()
        return found

    def lost(self, shown: set[tuple[float, float]], history: str = PRUNING) -> set[tuple[float, float]]:
        """The points that a screen has shown and that no kept trial has."""
        return shown - {(t.parameters, round(100 * t.headline.value, 6)) for t in self.kept(history)}

    def recovered(self) -> list[str]:
        """The digests of all weights that kept plans and findings name; PlanError if one cannot be read."""
        with sqlite3.connect(self.folder / "history.sqlite") as database:
            texts = [
                text
                for (text,) in database.execute("SELECT plan FROM trials UNION SELECT content FROM findings")
            ]
        database.close()
        digests = sorted({json.loads(text).get("recovered") or "" for text in texts} - {""})
        keep = Keep(self.folder / "recovered")
        for digest in digests:
            keep.get(digest)
        return digests


def open_console(chromium: Browser, running: Server, history: str = PRUNING) -> Page:
    """A Prune page, watched."""
    page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(f"{running.url}/prune?network={NETWORK}&history={history}")
    settle(page, timeout=120)
    page.evaluate(_WATCH)
    return page


def errors(page: Page) -> list[str]:
    """What a page says went wrong, but for a worker that was killed: that is as it should be."""
    found = page.locator("[data-testid='stException'], [data-testid='stAlertContentError']").all_inner_texts()
    return [text for text in found if KILLED_WORKER not in text]


def train(chromium: Browser, running: Server) -> Page:
    """A page on which a training is on its way, from where the last one stopped."""
    page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(f"{running.url}/recover?network={NETWORK}&history={TRAINING}")
    settle(page, timeout=120)
    begin = page.get_by_role("button", name="Prune 30% of every group")
    if begin.count():
        begin.click()
        settle(page)
    choose_view(page, "Fine-tune")
    main = page.get_by_test_id("stMain")
    for name in ("Train", "Go on"):
        button = main.get_by_role("button", name=name, exact=True)
        if button.count() and button.first.is_enabled():
            button.first.click()
            break
    return page


def use_best(page: Page) -> None:
    """Put the best weights of a training in force, once there are any."""
    use = page.get_by_test_id("stMain").get_by_role(
        "button", name=re.compile("^(Use (the best so far|it)|In use)$")
    )
    recovered = page.get_by_test_id("stSidebar").get_by_text("Recovered: ").first
    for _ in range(
        _CLICKS
    ):  # one is lost if the training ends at that moment, and another button stands there
        use.first.wait_for(timeout=120_000)
        if use.first.inner_text() == "In use":
            return
        use.first.click()
        with suppress(PlaywrightError):
            recovered.wait_for(timeout=20_000)
            return
    raise AssertionError("the best weights were not put in force")


def move(page: Page, draw: random.Random, seconds: float) -> None:
    """Move sliders as a hand does, for a while."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        nudge(page, draw)
        page.wait_for_timeout(1000 * max(0.0, min(draw.uniform(0.3, 2.0), deadline - time.monotonic())))


def nudge(page: Page, draw: random.Random) -> None:
    """Move one slider a little."""
    sliders = page.locator(".pc .row input[type=range]")
    sliders.nth(draw.randrange(sliders.count())).focus()
    for _ in range(draw.randint(1, 4)):
        page.keyboard.press(draw.choice(["ArrowRight", "ArrowRight", "ArrowLeft"]))


def shown(page: Page) -> set[tuple[float, float]]:
    """Every trial that the page has shown so far, as (parameters, headline in percent)."""
    return {(x, round(y, 6)) for x, y in map(json.loads, page.evaluate("() => [...window.shown]"))}


def kill(running: Server, home: Home) -> list[int]:
    """Kill a server at once; returns which processes are left two seconds later."""
    os.kill(running.process.pid, signal.SIGKILL)
    running.process.wait()
    time.sleep(ORPHANS_END_WITHIN)
    return home.processes()
