"""Journeys of a newcomer in a real browser."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Page, expect

import sample_models
from analysis.pruning.plan import from_json
from tests.e2e.harness import settle

pytestmark = pytest.mark.e2e


def go_to(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).click()
    page.wait_for_url(f"**/{name.lower()}*")
    settle(page)


def press(page: Page, slider: str, key: str, times: int) -> None:
    """Move a slider with the keyboard, as a hand would: quickly, without waiting."""
    page.get_by_role("slider", name=slider).focus()
    for _ in range(times):
        page.keyboard.press(key)
    settle(page)


def metric(page: Page, label: str) -> str:
    box = page.get_by_test_id("stMetric").filter(has_text=label).first
    return box.get_by_test_id("stMetricValue").inner_text()


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option, exact=True).click()
    settle(page)


def test_first_run_to_a_pruned_network_in_hand(page: Page, url: str, tmp_path: Path) -> None:
    page.goto(url)
    settle(page)
    assert page.locator("h1").inner_text() == sample_models.names()[0]
    dense_parameters = metric(page, "Parameters")
    go_to(page, "Prune")
    press(page, "conv3", "ArrowRight", 10)
    expect(page.get_by_text("conv3: 58 of 64 channels kept")).to_be_visible()
    assert metric(page, "Parameters") != dense_parameters
    page.get_by_text("Save or load").click()
    with page.expect_download() as plan_file:
        page.get_by_role("button", name="Plan (.json)").click()
    plan = from_json(plan_file.value.path().read_text())
    assert plan.ratios == {"conv3": 0.1}
    with page.expect_download() as network_file:
        page.get_by_role("button", name="Pruned network (.pt2)").click()
    saved = tmp_path / "pruned.pt2"
    network_file.value.save_as(saved)
    module = torch.export.load(saved).module()
    sample = sample_models.load("digits-cnn")
    with torch.no_grad():
        answers = module(sample.dataset.evaluation.inputs).argmax(dim=1)
    accuracy = float((answers == sample.dataset.evaluation.targets).double().mean())
    assert metric(page, "Accuracy") == f"{accuracy:.1%}"


def test_a_plan_leads_to_a_comparison(page: Page, url: str) -> None:
    page.goto(f"{url}/compare?network=digits-cnn")
    settle(page)
    expect(page.get_by_text("Nothing is pruned yet")).to_be_visible()
    page.get_by_role("button", name="Prune 30% of every group").click()
    settle(page)
    assert page.locator(".ps-gallery img").count() == 6 * 4
    choose(page, "Examples", "Answer changed")
    choose(page, "Method", "GradCAM")
    expect(page.get_by_role("combobox", name="At layer")).to_be_visible()
    page.get_by_role("radio", name="Similarity").or_(page.get_by_role("button", name="Similarity")).click()
    settle(page)
    expect(page.get_by_text("Spearman").first).to_be_visible()


def test_regression_sample(page: Page, url: str) -> None:
    page.goto(f"{url}/prune?network=auto-mpg-mlp")
    settle(page)
    before = metric(page, "R²")
    press(page, "All targets", "ArrowRight", 60)
    assert metric(page, "R²") != before
    assert page.get_by_test_id("stMetric").filter(has_text="Accuracy").count() == 0
    go_to(page, "Compare")
    expect(page.get_by_text("R² after")).to_be_visible()


def test_a_plan_comes_back_from_a_click_and_from_a_file(page: Page, url: str, tmp_path: Path) -> None:
    page.goto(f"{url}/prune?network=digits-mlp")
    settle(page)
    press(page, "All targets", "ArrowRight", 50)
    points = page.locator(".scatterlayer .trace .points path")
    assert points.count() >= 2
    # The dense network is the rightmost point: it has the most parameters.
    boxes = [points.nth(i).bounding_box() for i in range(points.count())]
    rightmost = max((box for box in boxes if box), key=lambda box: box["x"])
    page.mouse.click(rightmost["x"] + rightmost["width"] / 2, rightmost["y"] + rightmost["height"] / 2)
    settle(page)
    expect(page.get_by_text("Nothing removed: the dense network.")).to_be_visible()
    page.get_by_text("Save or load").click()
    plan = {"schema": 1, "network": "digits-mlp", "criterion": "l2", "cuts": []}
    plan["cuts"] = [{"target": "hidden.fc2", "granularity": "channel", "ratio": 0.5}]
    file = tmp_path / "plan.json"
    file.write_text(json.dumps(plan))
    page.locator("input[type=file]").set_input_files(file)
    expect(page.get_by_text("hidden.fc2: 128 of 256 channels kept")).to_be_visible()
    settle(page)
    plan["network"] = "digits-cnn"
    foreign = tmp_path / "foreign.json"
    foreign.write_text(json.dumps(plan))
    page.locator("input[type=file]").set_input_files(foreign)
    expect(page.get_by_text("This plan is for the network 'digits-cnn'")).to_be_visible()
    expect(page.get_by_text("hidden.fc2: 128 of 256 channels kept")).to_be_visible()


def test_hurried_keys_and_undo_leave_sliders_and_plan_in_step(page: Page, url: str) -> None:
    """Interrupted runs made Streamlit call callbacks of sliders that nobody had moved."""
    page.goto(f"{url}/prune?network=digits-cnn")
    settle(page)
    for _ in range(2):
        press(page, "All targets", "ArrowRight", 6)
    page.get_by_role("button", name="Undo").click()
    settle(page)
    values = {s.get_attribute("aria-valuetext") for s in page.get_by_role("slider").all()}
    assert len(values) == 1, values
    expect(page.get_by_text("of the channels of 3 groups")).to_be_visible()


def test_a_page_opened_first_by_its_url_and_an_unknown_network(page: Page, url: str) -> None:
    page.goto(f"{url}/weights?network=nothing-like-it")
    settle(page)
    expect(page.get_by_text("There is no sample network called 'nothing-like-it'")).to_be_visible()
    assert page.locator("h1").inner_text() == "Weights"
