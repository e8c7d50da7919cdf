"""The app under test without a browser: real pages, real samples."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from analysis.sources import Opened, stem_of
from ui import library, services

APP = Path(__file__).parents[2] / "app.py"
Open = Callable[..., AppTest]
Bring = Callable[[Opened], str]
_NUMBERS = count()


@pytest.fixture(autouse=True)
def entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    """Run every page through app.py, as a server does that has met ``st.navigation`` once.

    AppTest forgets that before each run, and would run the files in pages/ on their own.
    """
    original = PagesManager.__init__

    def initialise(self: PagesManager, *arguments: Any, **options: Any) -> None:
        original(self, *arguments, **options)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", initialise)


@pytest.fixture(autouse=True)
def own_history(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Each test has a history and uploads of its own, and sensitivities are measured on demand only."""
    monkeypatch.setenv(services.DATABASE_URL, f"sqlite:///{tmp_path / 'history.sqlite'}")
    monkeypatch.setenv(services.UPLOADS, str(tmp_path / "uploads"))
    monkeypatch.setenv(services.SWEEP, "ask")
    services._opened.cache_clear()
    services.shelf.cache_clear()
    yield
    services.store().close()
    services._opened.cache_clear()
    services.shelf.cache_clear()


@pytest.fixture
def own_jobs() -> Iterator[None]:
    """A job runner of its own, closed at the end."""
    yield
    services.jobs().close()
    services.jobs.cache_clear()


@pytest.fixture
def brought(monkeypatch: pytest.MonkeyPatch) -> Bring:
    """Put a network beside the samples, as if somebody had brought it; returns the name it got.

    Each has a name of its own, because process-wide caches go by names.
    """

    def bring(opened: Opened) -> str:
        names = library.names
        name = f"{stem_of(opened.network.name)}-{next(_NUMBERS):016x}"
        library._keep(name, replace(opened, network=replace(opened.network, name=name)))
        monkeypatch.setattr(library, "names", lambda history: (*names(history), name))
        monkeypatch.setattr(library, "source", lambda name: name)
        return name

    return bring


@pytest.fixture
def open_page() -> Open:
    """Open a page of the app on a sample network, through the entry point."""

    def open_one(page: str, network: str = "digits-mlp", **parameters: str) -> AppTest:
        app = AppTest.from_file(str(APP), default_timeout=120)
        app.query_params.update({"network": network, **parameters})
        app.run()
        if page != "model":
            app.switch_page(f"pages/{page}.py").run()
        assert not app.exception
        return app

    return open_one


def follow(app: AppTest) -> AppTest:
    """Let the session's jobs come to their end, looking again and again as the browser does."""
    deadline = time.monotonic() + 120
    while any(job.is_live for job in services.jobs().of(app.session_state["history"])):
        assert time.monotonic() < deadline
        time.sleep(0.2)
        app.run()
    app.run()
    assert not app.exception and not app.error
    return app


def texts(app: AppTest) -> str:
    """All that a reader can read outside of charts."""
    elements = [*app.main, *app.sidebar]
    return "\n".join(str(getattr(element, "value", "")) for element in elements)


def metric(app: AppTest, label: str) -> str:
    """The value of the metric called `label`."""
    return next(m.value for m in app.metric if m.label == label)


def charts(app: AppTest) -> list[dict[str, Any]]:
    """The Plotly charts of the page, as plain data."""
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def console(app: AppTest) -> dict[str, Any]:
    """What the prune console was given to draw."""
    return json.loads(app.get("bidi_component")[0].proto.json)
