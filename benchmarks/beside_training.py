"""What a training job does to another session, and how soon it can be cancelled: ``python -m benchmarks.beside_training``.

One browser drags sliders, alone and while another session of the same server fine-tunes; then that training is cancelled.
Writes benchmarks/results/beside_training.json.
"""

from __future__ import annotations

import re
import statistics
import time

from playwright.sync_api import Browser, Page, expect

from benchmarks.browser import drag_often, open_prune, p95
from benchmarks.rows import Row, at_most, publish
from tests.e2e.harness import Server, browser, choose_view, server, settle

NETWORK, IMAGES, MOVES = "fashion-resnet", 1000, 60
CANCELS = 5


def train(chromium: Browser, running: Server) -> Page:
    """A page on which a training of fashion-resnet with 30% of every group gone has begun, and drawn its first epoch."""
    page = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.goto(f"{running.url}/recover?network={NETWORK}")
    settle(page)
    page.get_by_role("button", name="Prune 30% of every group").click()
    settle(page)
    choose_view(page, "Fine-tune")
    page.get_by_test_id("stMain").get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible(timeout=120_000)
    return page


def cancel(page: Page) -> float:
    """Seconds from the click on *Cancel* until the page says so."""
    main = page.get_by_test_id("stMain")
    button = main.get_by_role("button", name="Cancel")
    button.wait_for(timeout=60_000)
    start = time.monotonic()
    button.click()
    expect(main.get_by_text(re.compile("^Cancelled"))).to_be_visible(timeout=10_000)
    return time.monotonic() - start


def rows() -> list[Row]:
    """All figures."""
    with server() as running, browser() as chromium:
        dragging = open_prune(chromium, running, NETWORK, IMAGES)
        alone = drag_often(dragging, MOVES)[0]
        training = train(chromium, running)
        beside = drag_often(dragging, MOVES)[0]
        waits = [cancel(training)]
        for _ in range(CANCELS - 1):
            again = training.get_by_test_id("stMain").get_by_role("button", name=re.compile("Train|Go on"))
            again.last.click()
            expect(training.get_by_text(re.compile("about .* s left|minutes left")).first).to_be_visible(
                timeout=60_000
            )
            waits.append(cancel(training))
    where = f"{NETWORK}, {IMAGES:,} images, server, browsers and the job on the same 2 cores"
    medians = f"median {statistics.median(alone):.0f} ms alone, {statistics.median(beside):.0f} ms beside"
    return [
        at_most("pointer release to a measured number, alone, p95", p95(alone), "ms", None, where),
        at_most("the same while another session fine-tunes, p95", p95(beside), "ms", None, where),
        at_most(
            "how many times slower that is",
            p95(beside) / p95(alone),
            "x",
            2,
            f"{MOVES} moves each, {medians}",
        ),
        at_most(f"click on Cancel until the page says so, slowest of {CANCELS}", max(waits), "s", 1, where),
    ]


if __name__ == "__main__":
    publish(rows(), "beside_training")
