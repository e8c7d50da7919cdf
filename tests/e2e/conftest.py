"""One server and one browser for all journeys; each journey has a context of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.e2e import harness


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    with harness.server() as running:
        yield running.url


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with harness.browser() as browser:
        yield browser


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    """A page at 1280x800; the journey fails if it asks for anything outside this machine."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    page = context.new_page()
    outside: list[str] = []
    page.on(
        "request", lambda request: outside.append(request.url) if harness.is_outside(request.url) else None
    )
    yield page
    context.close()
    assert not outside
