"""Journeys through History and Export in a real browser: what was tried is kept, and what leaves is what was shown."""

from __future__ import annotations

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

import sample_models
from analysis.export import save_pt2
from tests.e2e.harness import choose_view, is_outside, settle, tick

pytestmark = pytest.mark.e2e

NETWORK = "digits-cnn"


def card(page: Page, label: str) -> Locator:
    """The value of a metric card."""
    return (
        page.get_by_test_id("stMetric")
        .filter(has_text=re.compile(f"^{label}"))
        .get_by_test_id("stMetricValue")
        .first
    )


def save_as(page: Page, button: Locator, path: Path) -> Path:
    """Download what a button offers."""
    with page.expect_download(timeout=60_000) as waiting:
        button.click()
    waiting.value.save_as(path)
    return path


def open_files(page: Page, url: str, *files: Path) -> None:
    """A network and its data, dropped on the Open page."""
    page.goto(f"{url}/open")
    settle(page)
    for i, file in enumerate(files):
        page.locator("input[type=file]").nth(i).set_input_files(file)
        settle(page)
    page.get_by_test_id("stBaseButton-primary").click()
    settle(page, timeout=120)


def go(page: Page, name: str) -> None:
    """To another page by the sidebar."""
    page.get_by_role("link", name=name, exact=True).click()
    page.wait_for_url(f"**/{name.lower()}*")
    settle(page, timeout=180)


def test_prune_recover_star_compare_restore_export_and_find_the_same_elsewhere(
    page: Page, url: str, chromium: Browser, tmp_path: Path
) -> None:
    data = sample_models.load(NETWORK).dataset.evaluation
    examples = tmp_path / "data.npz"
    np.savez(examples, x=data.inputs.numpy(), y=data.targets.numpy())
    save_pt2(sample_models.load(NETWORK).network, tmp_path / "own.pt2")
    open_files(page, url, tmp_path / "own.pt2", examples)
    go(page, "Recover")
    page.get_by_role("button", name="Prune 30% of every group").click()
    settle(page)
    page.get_by_role("button", name="Try every method").click()
    settle(page, timeout=120)
    page.get_by_role("button", name="Use it").last.click()
    settle(page)
    go(page, "Prune")
    recovered = card(page, "Accuracy").inner_text()

    go(page, "History")
    tick(page, 0)  # the newest: the recovered one
    page.get_by_role("textbox", name="Name").fill("brought back")
    page.locator("label").filter(has_text=re.compile("^Star$")).click()
    page.get_by_role("button", name="Save", exact=True).click()
    settle(page)
    expect(page.get_by_role("heading", name="brought back")).to_be_visible()
    report = save_as(page, page.get_by_role("button", name="Report").first, tmp_path / "report.html")

    tick(page, 1)  # and the one it grew from, which comes first in the comparison
    page.get_by_role("button", name=re.compile("^Compare these")).click()
    settle(page)
    comparison = page.get_by_test_id("stMain")
    expect(comparison).to_contain_text("brought back")
    expect(comparison).to_contain_text("What the plans say differently")
    page.get_by_role("button", name="Measure the differences now").click()
    settle(page)
    page.get_by_role("button", name="Bring back A").click()
    settle(page)
    expect(page.get_by_test_id("stSidebar")).not_to_contain_text("Recovered: ")

    choose_view(page, "Table")
    page.get_by_text("Starred only").click()  # of the two that are ticked one is left
    settle(page)
    page.get_by_role("button", name="Bring back").click()
    settle(page)
    expect(page.get_by_test_id("stSidebar")).to_contain_text("Recovered: ")

    go(page, "Export")
    page.get_by_role("button", name="Make and check").click()
    settle(page, timeout=240)
    everything = save_as(page, page.get_by_role("button", name="Everything (.zip)"), tmp_path / "all.zip")
    with zipfile.ZipFile(everything) as archive:
        names = archive.namelist()
        assert {"plan.json", "MODEL_CARD.md"} <= set(names)
        assert recovered in archive.read("MODEL_CARD.md").decode()
        (inside,) = [name for name in names if name.endswith(".pt2")]
        exported = tmp_path / "exported.pt2"
        exported.write_bytes(archive.read(inside))

    fresh = chromium.new_context(viewport={"width": 1280, "height": 900}).new_page()
    open_files(fresh, url, exported, examples)
    go(fresh, "Prune")
    expect(card(fresh, "Accuracy")).to_have_text(recovered)
    fresh.context.close()

    asked: list[str] = []
    reader = chromium.new_page()
    reader.on("request", lambda request: asked.append(request.url))
    reader.goto(report.as_uri())
    expect(reader.get_by_text("brought back").first).to_be_visible()
    expect(reader.locator("svg").first).to_be_visible()
    assert asked == [report.as_uri()] and not is_outside(asked[0])
    reader.close()
