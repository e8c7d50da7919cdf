"""Journeys from a target to a recovered network in a real browser."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.harness import choose_view, settle

pytestmark = pytest.mark.e2e


def prune_a_third(page: Page, url: str, network: str) -> None:
    """The Recover page of a network with 30% of every group gone."""
    page.goto(f"{url}/recover?network={network}")
    settle(page)
    page.get_by_role("button", name="Prune 30% of every group").click()
    settle(page)


def test_from_a_target_to_a_recovered_network_that_every_page_knows(page: Page, url: str) -> None:
    page.goto(f"{url}/allocate?network=digits-cnn")
    settle(page)
    page.get_by_role("button", name="Propose").click()
    settle(page, timeout=120)
    page.get_by_role("button", name="Open in the console").click()
    page.wait_for_url("**/prune*")
    settle(page)
    sidebar = page.get_by_test_id("stSidebar")
    expect(sidebar).to_contain_text("Recovered: recalibration")  # proposals are measured after a repair
    page.get_by_role("link", name="Recover", exact=True).click()
    page.wait_for_url("**/recover*")
    settle(page)
    page.get_by_role("button", name="Try every method").click()
    settle(page, timeout=120)
    page.get_by_role("button", name="Use it").last.click()
    settle(page)
    expect(page.get_by_role("button", name="In use")).to_be_visible()
    expect(sidebar).to_contain_text(re.compile("Recovered: "))
    used = sidebar.get_by_text(re.compile("Recovered: ")).inner_text()
    page.reload()
    settle(page)
    expect(sidebar).to_contain_text(used)
    page.get_by_role("link", name="Compare", exact=True).click()
    page.wait_for_url("**/compare*")
    settle(page)
    expect(sidebar).to_contain_text(used)
    sidebar.get_by_role("button", name="As it was pruned").click()
    settle(page)
    expect(sidebar).not_to_contain_text("Recovered: ")


def test_training_is_seen_live_cancelled_within_a_second_and_what_was_learned_is_kept(
    page: Page, url: str
) -> None:
    prune_a_third(page, url, "fashion-lenet")
    choose_view(page, "Fine-tune")
    main = page.get_by_test_id("stMain")
    main.get_by_role("button", name="Train", exact=True).click()
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible(timeout=60_000)
    best = main.get_by_role("button", name="Use the best so far")
    expect(best).to_be_visible(timeout=120_000)
    cancel = main.get_by_role("button", name="Cancel")
    start = time.monotonic()
    cancel.click()
    expect(main.get_by_text(re.compile("^Cancelled"))).to_be_visible(timeout=10_000)
    print(f"cancelled after {time.monotonic() - start:.2f} s")
    settle(page)
    main.get_by_role("button", name="Use it").click()
    settle(page)
    expect(page.get_by_test_id("stSidebar")).to_contain_text("Recovered: distillation")
    expect(main.get_by_role("button", name="Go on")).to_be_visible()
