"""The Recover page's view without training: measured, taken over, for any kind of network and data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import sample_models
from analysis import from_code
from analysis.measure.quality import evaluate, headline_change
from analysis.pruning.plan import Plan, uniform_plan
from analysis.recovery.keep import keep_here
from analysis.recovery.recovered import restore
from analysis.recovery.registry import CHAINS
from analysis.units import Case, Message, find_unit
from tests.pages.conftest import Open, charts, texts
from ui import library, studies, theme, workspace

pytestmark = pytest.mark.usefixtures("own_jobs")


def press(app: AppTest, label: str) -> AppTest:
    app = next(button for button in app.main.button if button.label.startswith(label)).click().run()
    assert not app.exception and not app.error
    return app


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies run within the page, each once."""
    known: dict[Plan, list[Message]] = {}

    def panel(study: studies.Study, draw: studies.Draw, **_: Any) -> None:
        opened = workspace.opened()
        split = opened.dataset.evaluation.sample(workspace.image_count())
        case = Case(opened.network, opened.dataset, split, study.plan or Plan(opened.network.name, "l1"))
        if case.plan not in known:
            known[case.plan] = list(find_unit(study.kind)(case, study.parameters, [], lambda share: None))
        draw(known[case.plan])

    monkeypatch.setattr(studies, "panel", panel)


def test_without_a_plan_there_is_nothing_to_recover(open_page: Open) -> None:
    app = open_page("recover", "digits-mlp")
    assert "nothing to recover" in app.info[0].value


def test_every_method_is_tried_and_one_is_taken_over(open_page: Open, at_once) -> None:
    app = press(open_page("recover", "digits-cnn"), "Prune 30%")
    (figure,) = charts(app)
    rows = figure["layout"]["yaxis"]["categoryarray"]
    assert sorted(rows) == sorted(", then ".join(chain).capitalize() for chain in CHAINS)
    assert len([b for b in app.main.button if b.label == "Use it"]) == len(CHAINS)
    opened = sample_models.load("digits-cnn")
    plan = uniform_plan(opened.network, "l1", "channel", 0.3)
    app = press(app, "Use it")
    state = app.session_state["benches"]["digits-cnn"]
    assert state.plan.as_pruned == plan and state.plan.recovered
    kept = keep_here().get(state.plan.recovered)
    best = ", then ".join(step.method for step in kept.steps).capitalize()
    assert best == rows[-1], "the first button is that of the largest gain"
    case = Case(opened.network, opened.dataset, opened.dataset.evaluation, plan)
    before, after = (
        evaluate(network, opened.dataset.evaluation, opened.dataset.task)
        for network in (case.pruned, restore(opened.network, kept))
    )
    gained = theme.delta(headline_change(after, before).value, opened.dataset.task.headline)
    assert f"Most so far: {best.lower()}, {gained}" in texts(app)
    assert [b.label for b in app.main.button if b.label in ("Use it", "In use")].count("In use") == 1


def test_methods_that_do_not_apply_say_why(open_page: Open, at_once) -> None:
    app = press(open_page("recover", "auto-mpg-mlp"), "Prune 30%")
    assert "Recalibration does not apply" in texts(app) and "no BatchNorm" in texts(app).replace("\\", "")
    assert charts(app)[0]["layout"]["xaxis"]["title"]["text"] == "R² gained"


@pytest.mark.parametrize("kind", ["text", "binary", "brightness", "series"])
def test_every_kind_of_network_and_data(open_page: Open, at_once, monkeypatch, kind: str) -> None:
    monkeypatch.setenv(from_code.MODEL, f"tests.pages.kinds:{kind}")
    monkeypatch.setenv(from_code.DATA, f"tests.pages.kinds:{kind}_data")
    monkeypatch.setenv(from_code.FOLDER, str(Path(__file__).parents[2]))
    library._opened_own.cache_clear()
    try:
        own = library.own_network()
        assert own is not None, library.own_problem()
        app = press(open_page("recover", own.network.name), "Prune 30%")
        rows = charts(app)[0]["layout"]["yaxis"]["categoryarray"]
        assert sorted(rows) == ["Bias compensation", "Merging", "Reconstruction"]
    finally:
        library._opened_own.cache_clear()
