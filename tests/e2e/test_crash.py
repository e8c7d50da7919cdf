"""The server is killed in the midst of work; the next one knows everything that the screen had shown."""

from __future__ import annotations

import os
import random
import re
import signal
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.e2e import crashing
from tests.e2e.crashing import Home

pytestmark = pytest.mark.e2e


def test_a_killed_server_loses_no_trial_and_leaves_no_process(chromium: Browser, tmp_path: Path) -> None:
    home, draw = Home(tmp_path), random.Random(5)
    with home.open() as running:
        page = crashing.open_console(chromium, running)
        crashing.train(chromium, running)
        while len(crashing.shown(page)) < 3 or not home.workers(running):
            crashing.move(page, draw, 1)
        crashing.move(page, draw, 2)
        left = crashing.kill(running, home)
        seen = crashing.shown(page)
        page.context.close()
    assert left == []
    assert seen and home.lost(seen) == set()
    with home.open() as running:
        page = crashing.open_console(chromium, running)
        assert crashing.errors(page) == []
        page.wait_for_function("n => window.shown.size >= n", arg=len(seen), timeout=30_000)
        assert seen <= crashing.shown(page), "and the screen shows them again"
        page.context.close()


def test_a_killed_worker_is_said_and_what_it_had_found_is_gone_on_from(
    chromium: Browser, tmp_path: Path
) -> None:
    home = Home(tmp_path)
    with home.open() as running:
        page = crashing.train(chromium, running)
        main = page.get_by_test_id("stMain")
        expect(main.get_by_role("button", name="Use the best so far")).to_be_visible(timeout=120_000)
        for worker in home.workers(running):
            os.kill(worker, signal.SIGKILL)
        expect(page.get_by_text(re.compile(crashing.KILLED_WORKER)).first).to_be_visible(timeout=30_000)
        assert home.recovered(), "the best weights so far"
        main.get_by_role("button", name="Go on").click()
        deadline = time.monotonic() + 30
        while not home.workers(running):
            assert time.monotonic() < deadline, "the training goes on"
            page.wait_for_timeout(100)
        page.context.close()
