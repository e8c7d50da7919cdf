"""Journeys of a newcomer in a real browser."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser, Download, Locator, Page, TimeoutError, expect

import sample_models
from analysis.measure.cost import cost
from analysis.pruning.plan import make_plan, repick
from analysis.pruning.plan_json import from_json
from analysis.pruning.prune import prune
from tests.e2e import harness
from tests.e2e.harness import choose_view, settle
from tests.networks import sample_module

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


def kept(page: Page, target: str) -> str:
    """What the console says is left of a target."""
    return row(page, target).locator(".kept").text_content() or ""  # rows out of sight have no inner text


def row(page: Page, target: str) -> Locator:
    """The console's row of a target."""
    name = page.locator(".name", has_text=re.compile(rf"^{re.escape(target)}\b"))
    return page.locator(".pc .row").filter(has=name)


def figure(page: Page, label: str) -> str:
    """A number in the head of the console."""
    return page.locator(".pc .figure").filter(has_text=label).locator(".value").inner_text()


def choose(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).click()
    page.get_by_role("option", name=option, exact=True).click()
    settle(page)


def download(page: Page, button: str) -> Download:
    """Click until the file comes: a click in the moment in which the page is drawn anew is lost."""
    for _ in range(3):
        try:
            with page.expect_download(timeout=20_000) as coming:
                page.get_by_role("button", name=button).click()
            return coming.value
        except TimeoutError:
            settle(page)
    raise AssertionError(f"{button} gave no file")


def exported(page: Page, folder: Path) -> Path:
    """The network as .pt2, by the link of the open *Save or load* and back again; on disk."""
    page.get_by_role("link", name="Export the network").click()
    page.wait_for_url("**/export*")
    settle(page)
    others = page.get_by_test_id("stMain").get_by_role("checkbox")
    for i in range(1, others.count()):  # all but .pt2
        others.nth(i).uncheck(force=True)
        settle(page)
    page.get_by_role("button", name="Make and check").click()
    settle(page, timeout=120)
    saved = folder / "network.pt2"
    download(page, "Download").save_as(saved)
    go_to(page, "Prune")
    return saved


def test_first_run_to_a_pruned_network_in_hand(page: Page, url: str, tmp_path: Path) -> None:
    page.goto(url)
    settle(page)
    assert page.locator("h1").inner_text() == sample_models.names()[0]
    dense_parameters = metric(page, "Parameters")
    go_to(page, "Prune")
    press(page, "conv3", "ArrowRight", 10)
    assert kept(page, "conv3") == "58 of 64"
    assert figure(page, "Parameters") != dense_parameters
    page.get_by_text("examples: done").wait_for(timeout=60_000)  # the page is drawn anew when a job ends
    settle(page)
    page.get_by_text("Save or load").click()
    plan_file = download(page, "Plan (.json)")
    plan = from_json(plan_file.path().read_text())
    assert plan.ratios == {"conv3": 0.1}
    accuracy_shown = metric(page, "Accuracy")
    module = torch.export.load(exported(page, tmp_path)).module()
    sample = sample_models.load("digits-cnn")
    with torch.no_grad():
        answers = module(sample.dataset.evaluation.inputs).argmax(dim=1)
    accuracy = float((answers == sample.dataset.evaluation.targets).double().mean())
    assert metric(page, "Accuracy") == accuracy_shown == f"{accuracy:.1%}"


def test_an_own_network_is_opened_pruned_compared_and_taken_home(
    page: Page, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.goto(f"{url}/open")
    settle(page)
    lines = page.get_by_test_id("stCode").inner_text()
    split = sample_models.load("digits-cnn").dataset.evaluation
    monkeypatch.chdir(tmp_path)
    given = {"torch": torch, "np": np, "model": sample_module("digits-cnn"), "x": split.inputs[:2]}
    exec(lines, given | {"inputs": split.inputs.numpy(), "targets": split.targets.numpy()})  # the page's own
    for i, file in enumerate(("network.pt2", "data.npz")):
        page.locator("input[type=file]").nth(i).set_input_files(tmp_path / file)
        settle(page)
    page.get_by_test_id("stBaseButton-primary").click()
    page.get_by_role("link", name="Go to Prune").click(timeout=60_000)
    settle(page)
    dense = metric(page, "Accuracy")
    assert float(dense.rstrip("%")) > 95
    press(page, "conv3", "ArrowRight", 20)
    assert kept(page, "conv3") == "51 of 64"
    page.get_by_text("examples: done").wait_for(timeout=60_000)
    settle(page)
    page.get_by_text("Save or load").click()
    module = torch.export.load(exported(page, tmp_path)).module()
    assert module.get_parameter("conv3.weight").shape[0] == 51
    page.reload()
    settle(page)
    assert kept(page, "conv3") == "51 of 64", "files and plan come back after a refresh"
    go_to(page, "Compare")
    assert page.locator(".ps-gallery img").count() == 6 * 4
    stranger = page.context.new_page()
    stranger.goto(re.sub("history=[0-9a-f]+", "history=" + "0" * 32, page.url))
    settle(stranger)
    expect(stranger.get_by_text("There is no network called")).to_be_visible()


def test_a_plan_leads_to_a_comparison(page: Page, url: str) -> None:
    page.goto(f"{url}/compare?network=digits-cnn")
    settle(page)
    expect(page.get_by_text("Nothing is pruned yet")).to_be_visible()
    page.get_by_role("button", name="Prune 30% of every group").click()
    settle(page)
    assert page.locator(".ps-gallery img").count() == 6 * 4
    choose(page, "Which examples", "Answer changed")
    choose(page, "Method", "GradCAM · layer")
    expect(page.get_by_role("combobox", name="At layer")).to_be_visible()
    choose_view(page, "Similarity")
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
    page.locator(".js-plotly-plot .cartesianlayer .scatterlayer").first.scroll_into_view_if_needed()
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
    settle(page)
    assert kept(page, "hidden.fc2") == "128 of 256"
    plan["network"], plan["cuts"][0]["target"] = "digits-cnn", "conv3"
    foreign = tmp_path / "foreign.json"
    foreign.write_text(json.dumps(plan))
    page.locator("input[type=file]").set_input_files(foreign)
    expect(page.get_by_text("This plan is for the network 'digits-cnn'")).to_be_visible()
    assert kept(page, "hidden.fc2") == "128 of 256"


def test_hurried_keys_and_undo_leave_sliders_and_plan_in_step(page: Page, url: str) -> None:
    """Keys come faster than answers: none may be lost, none counted twice."""
    page.goto(f"{url}/prune?network=digits-cnn")
    settle(page)
    for _ in range(2):
        press(page, "All targets", "ArrowRight", 6)
    page.get_by_role("button", name="Undo").click()
    settle(page)
    values = {s.input_value() for s in page.get_by_role("slider").all()}
    assert values == {"6"}, "undo takes back one gesture of six keys"
    expect(page.get_by_text("of the channels of 3 groups")).to_be_visible()


def test_a_drag_is_estimated_at_once_and_measured_before_long(page: Page, url: str) -> None:
    page.goto(f"{url}/prune?network=fashion-lenet")
    settle(page)
    page.get_by_text("examples: done").wait_for(timeout=60_000)
    settle(page)
    status = page.locator(".pc .status")
    box = page.locator(".pc .row input[type=range]").nth(1).bounding_box()
    assert box
    seen = set()
    page.mouse.move(box["x"] + 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    for step in range(40):
        page.mouse.move(box["x"] + 8 + step * box["width"] / 60, box["y"] + box["height"] / 2)
        seen.add(status.inner_text().split(" ")[0])
    assert "estimate" in seen
    expect(status).to_have_text(re.compile("^measured"))
    page.mouse.up()
    settle(page)
    expect(status).to_have_text(re.compile("^measured, exact on these 1,000 test images"))
    assert metric(page, "Accuracy") == page.locator(".pc .main .value").inner_text()
    sample = sample_models.load("fashion-lenet")
    target = sample.network.groups[1].name
    ratio = int(page.locator(".pc .row input[type=range]").nth(1).input_value()) / 100
    counted = cost(prune(sample.network, make_plan(sample.network, "l1", "channel", {target: ratio})))
    titles = [page.locator(".pc .figure .small").nth(i).get_attribute("title") for i in (0, 1)]
    assert titles == [f"{counted.parameters:,}", f"{counted.macs:,}"], "the browser counts exactly"


def test_a_channel_picked_by_hand_is_counted_exactly_and_opens_from_its_row(page: Page, url: str) -> None:
    page.goto(f"{url}/prune?network=digits-cnn")
    settle(page)
    press(page, "conv2", "ArrowRight", 30)
    page.get_by_role("button", name="Channels of conv2").click()
    page.wait_for_url("**/channel*")
    settle(page)
    expect(page.get_by_text(re.compile("^Kept: it ranks 45 of 64 by L1 magnitude"))).to_be_visible()
    page.get_by_text("Remove by hand").click()
    expect(page.get_by_text(re.compile("^Removed by hand: it ranks 45 of 64"))).to_be_visible()
    channel = int(page.get_by_label("Channel (0 to 63)").input_value())
    settle(page)
    go_to(page, "Prune")
    assert kept(page, "conv2") == "44 of 64"
    assert "1 removed by hand" in row(page, "conv2").inner_text()
    press(page, "conv2", "ArrowRight", 20)
    network = sample_models.load("digits-cnn").network
    plan = repick(make_plan(network, "l1", "channel", {"conv2": 0.5}), network, "conv2", channel, True)
    counted = cost(prune(network, plan))
    titles = [page.locator(".pc .figure .small").nth(i).get_attribute("title") for i in (0, 1)]
    assert titles == [f"{counted.parameters:,}", f"{counted.macs:,}"]


def test_the_console_by_hand(page: Page, url: str) -> None:
    """Lock, filter, sort, type, reset a row, compare, undo."""
    page.goto(f"{url}/prune?network=digits-cnn")
    settle(page)
    dense = page.locator(".pc .main .value").inner_text()
    page.get_by_role("button", name="Lock conv1").click()
    press(page, "All targets", "ArrowRight", 20)
    assert [kept(page, f"conv{i}") for i in (1, 2, 3)] == ["32 of 32", "51 of 64", "51 of 64"]
    page.get_by_role("spinbutton", name="conv3").fill("50")
    page.keyboard.press("Enter")
    settle(page)
    assert kept(page, "conv3") == "32 of 64"
    page.get_by_role("slider", name="conv2").dblclick()
    settle(page)
    assert kept(page, "conv2") == "64 of 64"
    pruned = page.locator(".pc .main .value").inner_text()
    hold = page.get_by_role("button", name="Hold: dense").bounding_box()
    assert hold and pruned != dense
    page.mouse.move(hold["x"] + 5, hold["y"] + 5)
    page.mouse.down()
    expect(page.locator(".pc .main .value")).to_have_text(dense)
    page.mouse.up()
    expect(page.locator(".pc .main .value")).to_have_text(pruned)
    page.get_by_role("textbox", name="Filter").fill("conv2")
    assert page.locator(".pc .row:visible").count() == 1
    page.get_by_role("textbox", name="Filter").fill("")
    page.get_by_label("Sort rows by").select_option("size")
    tops = {i: row(page, f"conv{i}").bounding_box() for i in (1, 2, 3)}
    assert tops[3]["y"] < tops[2]["y"] < tops[1]["y"]
    page.get_by_role("button", name="Paste plan").click()
    page.get_by_role("textbox", name="Plan as JSON").fill("{")
    page.get_by_role("button", name="Use this plan").click()
    expect(page.get_by_test_id("stAlertContentError")).to_contain_text("not JSON")
    assert kept(page, "conv3") == "32 of 64"


def test_a_refresh_brings_back_plan_and_trials(page: Page, url: str) -> None:
    page.goto(f"{url}/prune?network=digits-mlp")
    settle(page)
    press(page, "hidden.fc1", "ArrowRight", 30)
    page.reload()
    settle(page)
    assert kept(page, "hidden.fc1") == "179 of 256"
    expect(page.get_by_text("Every plan tried in this history (2)")).to_be_visible()


def test_a_killed_server_loses_no_measured_point(chromium: Browser, tmp_path: Path) -> None:
    history = tmp_path / "history.sqlite"
    with harness.server(history=history) as running:
        page = chromium.new_page()
        page.goto(f"{running.url}/prune?network=fashion-resnet")
        page.locator(".pc .point").nth(3).wait_for(timeout=90_000, state="attached")
        running.process.kill()
        running.process.wait()
        page.close()
    with sqlite3.connect(history) as database:
        measured = database.execute("select count(*) from sensitivities").fetchone()[0]
    assert measured >= 4
    with harness.server(history=history, settings={"PRUNESCOPE_SWEEP": "ask"}) as running:
        page = chromium.new_page()
        page.goto(f"{running.url}/prune?network=fashion-resnet")
        settle(page)
        assert page.locator(".pc .point").count() == measured
        page.close()


def test_a_job_is_cancelled_and_begun_again(page: Page, url: str) -> None:
    page.goto(f"{url}/prune?network=fashion-resnet")
    page.get_by_role("button", name="Cancel").click(timeout=60_000)
    expect(page.get_by_text("examples: cancelled")).to_be_visible()
    page.get_by_role("button", name="Measure sensitivity").click()
    expect(page.get_by_role("button", name="Cancel")).to_be_visible()
    page.get_by_text("examples: done").wait_for(timeout=90_000)


def test_a_page_opened_first_by_its_url_and_an_unknown_network(page: Page, url: str) -> None:
    page.goto(f"{url}/weights?network=nothing-like-it")
    settle(page)
    expect(page.get_by_text("There is no network called 'nothing-like-it' here")).to_be_visible()
    assert page.locator("h1").inner_text() == "Weights"
