"""Journeys through long work in a real browser: it fills live, outlives its page, is shared, can be cancelled."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.harness import choose_view, settle

pytestmark = pytest.mark.e2e


def open_compared(page: Page, url: str, view: str, network: str = "digits-cnn") -> None:
    """The Compare page with 30% of every group gone, at one of its views."""
    page.goto(f"{url}/compare?network={network}")
    settle(page)
    page.get_by_role("button", name="Prune 30% of every group").click()
    settle(page)
    choose_view(page, view)


def test_curves_fill_live_outlive_the_page_and_are_there_for_the_next_one(
    page: Page, url: str, chromium: Browser
) -> None:
    network = "fashion-resnet"  # slow enough to be looked at
    open_compared(page, url, "Over ratios", network)
    page.get_by_role("button", name="Measure 12 ratios").click()
    cancel = page.get_by_test_id("stMain").get_by_role("button", name="Cancel")
    expect(cancel).to_be_visible()
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible(timeout=60_000)
    assert cancel.is_visible(), "the first points are drawn before the last one is measured"
    page.get_by_role("link", name="Weights", exact=True).click()
    page.wait_for_url("**/weights*")
    page.get_by_text(re.compile("Similarity against ratio.*: done")).wait_for(timeout=90_000)
    settle(page)
    page.get_by_role("link", name="Compare", exact=True).click()
    page.wait_for_url("**/compare*")
    settle(page)
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible()  # the view is kept, too
    expect(page.get_by_role("button", name=re.compile("^Measure"))).to_have_count(0)
    stranger = chromium.new_context(viewport={"width": 1280, "height": 800}).new_page()
    open_compared(stranger, url, "Over ratios", network)
    expect(stranger.get_by_test_id("stPlotlyChart").first).to_be_visible()
    stranger.context.close()


def test_a_cancelled_study_keeps_what_it_found_and_goes_on(page: Page, url: str) -> None:
    open_compared(page, url, "Faithfulness")
    page.get_by_role("button", name="Judge the maps").click()
    page.get_by_test_id("stMain").get_by_role("button", name="Cancel").click()
    again = page.get_by_role("button", name=re.compile("Judge the maps|Go on"))
    expect(again).to_be_visible(timeout=10_000)
    again.click()
    settle(page, timeout=120)
    expect(page.get_by_test_id("stPlotlyChart").first).to_be_visible()
    expect(page.get_by_role("button", name=re.compile("Judge the maps|Go on"))).to_have_count(0)
