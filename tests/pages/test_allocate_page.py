"""The Allocate page's proposals: goals in words, what cannot be met, plans that go to the console."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from analysis.allocation.costs import dense_value
from analysis.allocation.goals import Goal
from analysis.allocation.registry import METHODS
from analysis.datasets import Dataset, Split
from analysis.pruning.plan import Plan
from analysis.sources import Opened
from analysis.tasks import CLASSIFICATION
from analysis.units import Case
from analysis.units import proposals as unit
from tests.pages.conftest import Bring, Open, charts, follow, texts
from tests.pages.stand_ins import single
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module
from ui import library, studies, theme

pytestmark = pytest.mark.usefixtures("own_jobs")


def choose(app: AppTest, label: str, value: Any) -> AppTest:
    widgets = [*app.main.selectbox, *app.main.slider, *app.get("button_group")]
    app = next(widget for widget in widgets if widget.label == label).set_value(value).run()
    assert not app.exception and not app.error
    return app


def only(app: AppTest, *methods: str) -> AppTest:
    return choose(app, "Methods", list(methods))


def press(app: AppTest, label: str) -> AppTest:
    return next(button for button in app.button if button.label == label).click().run()


def heat(figure: dict[str, Any]) -> list[list[float]]:
    """The values of a heatmap, row by row."""
    values = figure["data"][0]["z"]
    flat = np.frombuffer(base64.b64decode(values["bdata"]), np.dtype(values["dtype"]))
    return flat.reshape([int(side) for side in values["shape"].split(",")]).tolist()


def trace(figure: dict[str, Any], name: str) -> dict[str, Any]:
    return next(trace for trace in figure["data"] if trace.get("name") == name)


def test_the_goal_is_said_in_numbers_and_whether_it_can_be_met(open_page: Open) -> None:
    app = open_page("allocate", "digits-cnn")
    whole = dense_value(library.load("digits-cnn").network, "macs")
    assert f"At most {theme.count(whole / 2)} of {theme.count(whole)} MACs." in texts(app)
    assert "Can be met." in texts(app) and f"of {whole:,.0f}" in texts(app).replace("\\", "")
    app = choose(app, "MACs left of the dense network's (%)", 1)
    app = choose(app, "No target loses more than (%)", 50)
    assert "out of reach" in app.warning[0].value
    assert not [button for button in app.button if button.label == "Propose"]


def test_weights_leave_every_mac_and_the_page_says_what_to_ask_for(open_page: Open) -> None:
    app = choose(open_page("allocate", "digits-mlp"), "Remove", "weight")
    assert "leaves every MAC" in app.warning[0].value
    app = choose(app, "Goal", "connections")
    assert not app.warning and "Can be met." in texts(app)


def test_proposals_are_drawn_recovered_and_opened_in_the_console(open_page: Open) -> None:
    app = only(open_page("allocate", "auto-mpg-mlp"), "uniform", "greedy")
    app = follow(press(app, "Propose"))
    quality, ratios = charts(app)
    labels = [METHODS["uniform"].label, METHODS["greedy"].label]
    assert trace(quality, "before training")["y"] == labels
    left = next(data for data in quality["data"] if data["type"] == "bar")["x"]
    assert all(share <= 50 for share in left)
    assert ratios["data"][0]["type"] == "heatmap"
    table = app.dataframe[0].value
    assert list(table["method"]) == labels and table["estimate"].iloc[1] != "no curves"
    app = follow(press(choose(app, "Epochs for each", 1), "Recover them all"))
    after = trace(charts(app)[-1], "after recovery")
    assert after["y"] == labels and after["marker"]["symbol"] == "circle"
    assert list(app.dataframe[1].value["method"]) == labels
    app = press(choose(app, "Proposal", "greedy smallest-loss"), "Open in the console")
    plan = app.session_state["benches"]["auto-mpg-mlp"].plan
    ratios_of_greedy = [row[1] for row in heat(ratios)]
    assert [plan.ratios.get(target, 0.0) for target in ("hidden.fc1", "hidden.fc2")] == ratios_of_greedy


def test_a_quality_to_keep_shows_its_line_and_who_costs_least(open_page: Open) -> None:
    app = choose(open_page("allocate", "auto-mpg-mlp"), "Goal", "floor")
    assert "R² of at least 0.811" in texts(app)
    app = follow(press(only(app, "uniform", "erk"), "Propose"))
    assert "costs least" in texts(app)
    lines = [shape["x0"] for shape in charts(app)[0]["layout"]["shapes"] if shape["line"]["dash"] == "dash"]
    assert lines == [pytest.approx(0.8112, abs=1e-3)]


def test_locked_targets_are_left_alone(open_page: Open) -> None:
    app = open_page("allocate", "auto-mpg-mlp")
    app.session_state["benches"]["auto-mpg-mlp"].locked.add("hidden.fc1")
    app = only(app, "uniform")
    assert "Locked on the Prune page" in texts(app) and "fc1" in texts(app)
    app = choose(app, "MACs left of the dense network's (%)", 60)
    app = follow(press(app, "Propose"))
    (first,), (second,) = heat(charts(app)[1])
    assert first == 0 and second > 0


def test_without_a_method_there_is_nothing_to_ask(open_page: Open) -> None:
    app = only(open_page("allocate", "digits-mlp"))
    assert "Choose at least one method" in app.info[0].value


def words() -> Opened:
    """Tokens of two classes; the network tells two more apart, which have no name and no example."""
    network = from_module("textcnn")
    split = Split(BY_NAME["textcnn"].inputs(60, seed=3), torch.arange(60) % 2, "60 sentences")
    data = Dataset("sentences", CLASSIFICATION, split, split.take(torch.arange(30)), ("<i>ham</i>", "spam"))
    return Opened(replace(network, name="tokens"), data)


def refused() -> Opened:
    """Images of one class, to a network none of whose groups can be cut."""
    network = replace(from_module("shufflenet-v1"), name="refused")
    images = Split(BY_NAME["shufflenet-v1"].inputs(40), torch.zeros(40, dtype=torch.long), "40 pictures")
    return Opened(network, Dataset("pictures", CLASSIFICATION, images, images, ("a", "b", "c", "d")))


@pytest.mark.parametrize("granularity", ["channel", "weight"])
@pytest.mark.parametrize("make", [words, single, refused])
def test_every_kind_of_network_gets_proposals_or_a_sentence(
    open_page: Open,
    brought: Bring,
    monkeypatch: pytest.MonkeyPatch,
    make: Callable[[], Opened],
    granularity: str,
) -> None:
    given = make()
    name, data = brought(given), given.dataset
    network = library.load(name).network
    goal = Goal("connections", 0.5)
    parts: list[dict[str, Any]] = []
    if make is not refused or granularity == "weight":
        case = Case(network, data, data.evaluation, Plan(name, "l1"))
        wanted = unit.parameters(goal, granularity, "l1")
        parts = json.loads(json.dumps(list(unit.run(case, wanted, [], lambda share: None)), allow_nan=False))
    monkeypatch.setattr(studies, "parts", lambda study: parts if study.kind == "proposals" else [])
    monkeypatch.setattr(studies, "is_complete", lambda study: study.kind == "proposals" and bool(parts))
    app = choose(open_page("allocate", name), "Remove", granularity)
    app = choose(app, "Goal", "connections")
    if not parts:
        assert "Nothing may be cut" in app.warning[0].value and "takes no part" in app.warning[0].value
        return
    found = unit.proposals_of(parts)
    made = [METHODS[one.method].label for one in found if one.proposal is not None]
    assert len(made) >= len(METHODS) - 2
    assert trace(charts(app)[0], "before training")["y"] == made
    assert len([one for one in found if one.refused]) == texts(app).count("no better than guessing")
    assert [button for button in app.button if button.label == "Recover them all"]
