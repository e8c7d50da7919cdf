"""Search, transfer and combine on the Allocate page, for any kind of network and data."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest

import sample_models
from analysis.allocation.combine import combine
from analysis.allocation.search import front
from analysis.allocation.transfer import transfer
from analysis.datasets import Dataset
from analysis.history import Trial
from analysis.importance.registry import score
from analysis.measure import measure
from analysis.pruning.plan import Plan, make_plan, targets, uniform_plan
from analysis.pruning.plan_json import to_json
from analysis.pruning.prune import prune
from analysis.pruning.selection import select
from analysis.sources import Opened
from analysis.tasks import CLASSIFICATION
from analysis.units import Case, find_unit
from analysis.units.search import trials_of
from tests.networks import load, randomise
from tests.networks import split as tiny_rows
from tests.pages.conftest import Bring, Open, charts, follow, texts
from tests.pages.test_layers_page import single, tokens, values, words
from ui import services, studies, workspace
from ui.allocate import search_view

pytestmark = pytest.mark.usefixtures("own_jobs")

HISTORY = "0123456789abcdef01234567"


def view(app: AppTest, name: str) -> AppTest:
    app = app.segmented_control[0].set_value(name).run()
    assert not app.exception and not app.error
    return app


def trace(chart: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in chart["data"] if one.get("name") == name)


def button(app: AppTest, label: str) -> Any:
    return next(b for b in app.button if b.label == label)


def select_box(app: AppTest, label: str) -> Any:
    return next(s for s in app.main.selectbox if s.label == label)


def plan_in_force(app: AppTest, network: str) -> Plan:
    return app.session_state["benches"][network].plan


def tried(network: str, *plans: Plan) -> None:
    """Plans that the history of the test has tried."""
    opened = sample_models.load(network)
    split = opened.dataset.evaluation.sample(1000)
    dense = measure(opened.network, split, opened.dataset.task)
    for plan in plans:
        pruned = prune(opened.network, plan, score(opened.network, plan.criterion))
        numbers = measure(pruned, split, opened.dataset.task, dense=dense).numbers()
        services.store().add_trial(HISTORY, len(split), Trial(plan, numbers))


@pytest.fixture
def found_at_once(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Searches run within the page, with few trials; what they find is kept here."""
    found: list[dict[str, Any]] = []

    def panel(study: studies.Study, draw: studies.Draw, **_: Any) -> None:
        if study.kind != "search":
            return
        if not found:
            opened = workspace.opened()
            split = opened.dataset.evaluation.sample(workspace.image_count())
            case = Case(opened.network, opened.dataset, split, Plan(opened.network.name, "l1"), study.hints)
            wanted = {**study.parameters, "trials": 40}
            found.extend(find_unit(study.kind)(case, wanted, [], lambda share: None))
        draw(json.loads(json.dumps(found)))

    monkeypatch.setattr(studies, "panel", panel)
    return found


def test_a_search_is_carried_out_by_a_job_and_its_front_is_drawn(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search_view, "_TRIALS", (10, 30))
    app = view(open_page("allocate", "auto-mpg-mlp"), "Search")
    assert "Searches over 2 ratios" in texts(app)
    button(app, "Search").click().run()
    follow(app)
    figure, covered, ratios = charts(app)
    drawn = [
        (x, y)
        for one in figure["data"]
        if one.get("mode") == "markers" and one["name"] not in ("looked at", "dense network")
        for x, y in zip(one["x"], one["y"], strict=True)
    ]
    assert len(drawn) == 30
    slow = sorted(
        {(x, y) for x, y in drawn if not any(a <= x and b >= y and (a, b) != (x, y) for a, b in drawn)}
    )
    line = trace(figure, "front")
    assert list(zip(line["x"], line["y"], strict=True)) == slow
    assert figure["layout"]["xaxis"]["title"]["text"] == "MACs left (%)"
    areas = covered["data"][0]["y"]
    assert len(areas) == 30 and areas == sorted(areas)
    network = sample_models.load("auto-mpg-mlp").network
    assert ratios["data"][-1]["y"] == list(targets(network, "channel"))
    again = view(open_page("allocate", "auto-mpg-mlp"), "Search")
    assert charts(again)[0]["data"] == figure["data"], "another visit finds it"


def test_a_plan_of_the_front_opens_in_the_console(
    open_page: Open, found_at_once: list[dict[str, Any]]
) -> None:
    app = view(open_page("allocate", "digits-mlp"), "Search")
    best = front(trials_of(found_at_once))
    box = select_box(app, "A plan of the front, or the point that was clicked")
    assert len(box.options) == len(best)
    box.set_value(best[1].number).run()
    (ring,) = trace(charts(app)[0], "looked at")["x"]
    assert ring == pytest.approx(100 * best[1].share)
    button(app, "Open in the console").click().run()
    assert not app.exception
    network = sample_models.load("digits-mlp").network
    assert plan_in_force(app, "digits-mlp") == make_plan(network, "l1", "channel", best[1].ratios)


def test_locked_targets_stay_and_plans_tried_by_hand_begin_the_search(
    open_page: Open, found_at_once: list[dict[str, Any]]
) -> None:
    network = sample_models.load("digits-mlp").network
    first, second, *_ = targets(network, "channel")
    by_hand = make_plan(network, "l1", "channel", {first: 0.25, second: 0.125})
    tried("digits-mlp", by_hand)
    app = open_page("allocate", "digits-mlp", history=HISTORY)
    state = app.session_state["benches"]["digits-mlp"]
    state.move(by_hand)
    state.locked.add(first)
    view(app, "Search")
    assert "Locked on the Prune page" in texts(app)
    trials = trials_of(found_at_once)
    assert all(trial.ratios[first] == 0.25 for trial in trials)
    assert by_hand.ratios in [trial.ratios for trial in trials if trial.origin == "tried"]


def test_weights_are_searched_by_other_costs(open_page: Open, found_at_once: list[dict[str, Any]]) -> None:
    app = view(open_page("allocate", "digits-mlp"), "Search")
    found_at_once.clear()
    next(c for c in app.segmented_control if c.label == "Remove").set_value("weight").run()
    assert not app.exception
    assert select_box(app, "Cost to bring down").options == ["Nonzero connections", "Bytes, best encoding"]
    assert charts(app)[0]["layout"]["xaxis"]["title"]["text"] == "nonzero connections left (%)"


@pytest.mark.parametrize("make", [words, tokens, single, values])
def test_any_kind_of_network_and_data_can_be_searched(
    open_page: Open, brought: Bring, found_at_once: list[dict[str, Any]], make: Callable[[], Opened]
) -> None:
    app = view(open_page("allocate", brought(make())), "Search")
    assert charts(app) and all(chart["data"] for chart in charts(app))
    assert front(trials_of(found_at_once))


def test_where_nothing_can_be_cut_it_is_said(open_page: Open, brought: Bring) -> None:
    network, rows = load(randomise(torch.nn.Linear(3, 2)), (3,), "one"), tiny_rows((3,), 2, 40)
    data = Dataset("rows", CLASSIFICATION, rows, rows, class_names=("a", "b"))
    app = view(open_page("allocate", brought(Opened(network, data))), "Search")
    assert "There is nothing to search" in app.info[0].value and not charts(app)


def test_without_a_plan_of_another_network_transfer_says_what_to_do(open_page: Open) -> None:
    app = view(open_page("allocate", "digits-mlp"), "Transfer")
    assert select_box(app, "From").options == ["a plan file"]
    assert "No other network has a plan" in app.info[0].value and not charts(app)


def test_a_plan_of_a_sibling_goes_along_by_name_and_opens_in_the_console(open_page: Open) -> None:
    sibling = sample_models.load("digits-mlp-l1").network
    plan = uniform_plan(sibling, "l1", "weight", 0.4)
    services.store().put_plan(HISTORY, plan)
    app = view(open_page("allocate", "digits-mlp", history=HISTORY), "Transfer")
    assert select_box(app, "From").options == ["digits-mlp-l1", "a plan file"]
    assert "the same targets" in texts(app) and "All of it goes along" in texts(app)
    (chart,) = charts(app)
    assert set(trace(chart, "what goes here")["x"]) == {40}
    button(app, "Open in the console").click().run()
    assert not app.exception
    assert plan_in_force(app, "digits-mlp") == replace(plan, network="digits-mlp")


def test_a_plan_of_another_architecture_is_read_by_depth(open_page: Open) -> None:
    source = sample_models.load("digits-cnn").network
    plan = make_plan(
        source, "l1", "channel", dict(zip(targets(source, "channel"), (0.1, 0.3, 0.5), strict=True))
    )
    tried("digits-cnn", uniform_plan(source, "l1", "channel", 0.2), plan)
    app = view(open_page("allocate", "digits-mlp", history=HISTORY), "Transfer")
    network = sample_models.load("digits-mlp").network
    expected = transfer(plan, source, network, score(network, "l1"))
    assert len(select_box(app, "Its plans, the one in force first").options) == 2, "the newest first"
    (chart,) = charts(app)
    shown = dict(zip(trace(chart, "what goes here")["y"], trace(chart, "what goes here")["x"], strict=True))
    assert shown == pytest.approx({e.target: 100 * e.ratio for e in expected.taken if not e.reason})
    assert trace(chart, "takes no part")["y"] == ["head"]
    table = app.dataframe[0].value
    assert list(table["target"]) == [entry.target for entry in expected.taken]
    assert "keeps its channels" in table["why not"].iloc[-1]


def test_a_plan_file_is_read_and_what_cannot_be_is_refused(open_page: Open) -> None:
    app = view(open_page("allocate", "digits-mlp"), "Transfer")
    source = sample_models.load("digits-cnn").network

    def bring(text: str) -> AppTest:
        next(f for f in app.get("file_uploader")).set_value(
            ("plan.json", text.encode(), "application/json")
        ).run()
        assert not app.exception
        return app

    bring(to_json(uniform_plan(source, "l1", "channel", 0.5)))
    assert charts(app) and "relative depth" in texts(app)
    bring("nonsense")
    assert "not JSON" in app.error[0].value.replace("\\", "") and not charts(app)
    stranger = replace(uniform_plan(source, "l1", "channel", 0.5), network="somewhere-else")
    bring(to_json(stranger))
    assert "is not here" in app.error[0].value
    known = replace(
        uniform_plan(sample_models.load("digits-mlp").network, "l1", "channel", 0.5), network="unknown"
    )
    bring(to_json(known))
    assert not app.error and "All of it goes along" in texts(app)


def test_combining_needs_two_plans(open_page: Open) -> None:
    app = view(open_page("allocate", "digits-mlp"), "Combine")
    assert "No plan was tried" in app.info[0].value
    network = sample_models.load("digits-mlp").network
    tried("digits-mlp", uniform_plan(network, "l1", "channel", 0.3))
    app = view(open_page("allocate", "digits-mlp", history=HISTORY), "Combine")
    assert "One plan was tried" in app.info[0].value


def test_plans_are_combined_by_each_rule_and_open_in_the_console(open_page: Open) -> None:
    network = sample_models.load("digits-mlp").network
    plans = [uniform_plan(network, c, "channel", r) for c, r in (("l1", 0.3), ("random", 0.4), ("l2", 0.2))]
    tried("digits-mlp", *plans)
    app = view(open_page("allocate", "digits-mlp", history=HISTORY), "Combine")
    rules = next(c for c in app.segmented_control if c.label == "Rule")
    selections = [select(network, plan, score(network, plan.criterion)) for plan in plans]
    for rule, label in (("union", "Union"), ("intersection", "Intersection"), ("vote", "Vote")):
        rules.set_value(rule).run()
        assert not app.exception and not app.error and label in rules.options
        expected = combine(network, plans, selections, rule, score(network, "l1"))
        (chart,) = charts(app)
        assert trace(chart, "combined")["x"] == pytest.approx([100 * e.share for e in expected.joined])
        assert trace(chart, "plan 2")["x"] == pytest.approx([100 * e.given[1] for e in expected.joined])
        rules = next(c for c in app.segmented_control if c.label == "Rule")
    assert "picked by hand" in texts(app)
    button(app, "Open in the console").click().run()
    assert not app.exception and plan_in_force(app, "digits-mlp") == expected.plan


def test_plans_without_anything_in_common_give_a_sentence(open_page: Open) -> None:
    network = sample_models.load("digits-mlp").network
    first, second, *_ = targets(network, "channel")
    tried("digits-mlp", *(make_plan(network, "l1", "channel", {target: 0.5}) for target in (first, second)))
    app = view(open_page("allocate", "digits-mlp", history=HISTORY), "Combine")
    next(c for c in app.segmented_control if c.label == "Rule").set_value("intersection").run()
    assert "nothing goes" in app.info[0].value and not charts(app)
    app.multiselect[0].set_value([0]).run()
    assert "at least two" in app.info[0].value
