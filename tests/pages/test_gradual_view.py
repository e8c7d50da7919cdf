"""Gradually: the levels before, the saw-tooth while it runs, what is put in force; for any kind of network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import sample_models
from analysis import from_code
from analysis.measure.quality import Interval, evaluate, headline
from analysis.pruning.plan import Cut, Pick, Plan, make_plan, uniform_plan
from analysis.recovery.keep import FOLDER, keep_here
from analysis.recovery.levels import levels
from analysis.recovery.recovered import restore
from analysis.tasks import ACCURACY, R2
from analysis.units import Case, find_unit
from analysis.units.gradual import Point
from tests.pages.conftest import Open, charts, follow, metric, texts
from ui import library, studies, theme, workspace
from ui.recover.gradual_figures import saw_tooth, schedule_levels

pytestmark = pytest.mark.usefixtures("own_jobs")

VIEW = "Gradually"


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path / "recovered"))


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies run within the page, for networks that no other process knows."""

    def panel(study: studies.Study, draw: studies.Draw, **_: Any) -> None:
        opened = workspace.opened()
        split = opened.dataset.evaluation.sample(workspace.image_count())
        assert study.plan is not None
        case = Case(opened.network, opened.dataset, split, study.plan)
        known = studies.parts(study)
        found = list(find_unit(study.kind)(case, study.parameters, known, lambda share: None))
        studies._keeper(study)(study.about, found)
        draw([*known, *found])

    monkeypatch.setattr(studies, "panel", panel)


def view(app: AppTest) -> AppTest:
    app = app.segmented_control[0].set_value(VIEW).run()
    assert not app.exception and not app.error
    return app


def put(app: AppTest, network: str, plan: Plan) -> AppTest:
    app.session_state["benches"][network].move(plan)
    return app.run()


def setting(app: AppTest, label: str) -> Any:
    return next(widget for widget in app.number_input if widget.label.startswith(label))


def press(app: AppTest, label: str) -> AppTest:
    app = next(button for button in app.main.button if button.label == label).click().run()
    assert not app.exception and not app.error
    return app


def short(app: AppTest, steps: int = 2) -> AppTest:
    """A course that takes seconds."""
    setting(app, "Steps").set_value(steps)
    setting(app, "Epochs a step").set_value(1)
    return setting(app, "Epochs of the last").set_value(1).run()


def test_without_a_plan_it_says_how_to_begin(open_page: Open) -> None:
    app = view(open_page("recover", "digits-mlp"))
    assert "there is nothing to reach step by step" in app.info[0].value
    press(app, "Prune 30% of every group")
    assert not app.info and [chart["layout"]["xaxis"]["title"]["text"] for chart in charts(app)] == ["step"]


def test_the_schedule_is_drawn_before_it_begins(open_page: Open) -> None:
    app = view(open_page("recover", "auto-mpg-mlp"))
    network = sample_models.load("auto-mpg-mlp").network
    ratios = {layer.name: 0.9 - 0.2 * i for i, layer in enumerate(network.layers[:2])}
    plan = make_plan(network, "l1", "weight", ratios)
    put(app, "auto-mpg-mlp", plan)
    setting(app, "Steps").set_value(5).run()
    (chart,) = charts(app)
    expected = [0.0] + [
        100 * sum(cut.ratio for cut in cuts) / 2 for cuts in levels("cubic", network, plan, 5)
    ]
    assert chart["data"][1]["y"] == pytest.approx(expected)
    assert "Prunes in 5 steps" in texts(app)
    next(box for box in app.selectbox if box.label == "Schedule").set_value("bottom-up").run()
    assert len(charts(app)[0]["data"][1]["x"]) == 3, "nothing, and a step for each of the two layers"
    next(box for box in app.selectbox if box.label == "Schedule").set_value("one-shot").run()
    assert "Prunes in 1 step " in texts(app) and setting(app, "Steps").disabled


def test_a_job_prunes_and_its_network_is_put_in_force(open_page: Open) -> None:
    app = view(open_page("recover", "auto-mpg-mlp"))
    sample = sample_models.load("auto-mpg-mlp")
    plan = uniform_plan(sample.network, "l1", "channel", 0.5)
    short(put(app, "auto-mpg-mlp", plan))
    follow(press(app, "Prune and recover"))
    assert metric(app, "Step") == "2 of 2"
    press(app, "Use it")
    used = app.session_state["benches"]["auto-mpg-mlp"].plan
    assert used.as_pruned == plan and used.recovered
    found = restore(sample.network, keep_here().get(used.recovered))
    value = headline(evaluate(found, sample.dataset.evaluation, sample.dataset.task)).value
    assert metric(app, "Recovered") == theme.number(value, R2)
    assert next(button for button in app.main.button if button.label == "In use").disabled
    next(box for box in app.main.selectbox if box.label == "Network of step").set_value(1).run()
    assert "The cuts of this step become the plan" in texts(app)
    press(app, "Use it")
    first = app.session_state["benches"]["auto-mpg-mlp"].plan
    assert first.cuts == levels("cubic", sample.network, plan, 2)[0] and first.recovered
    assert metric(app, "Step") == "2 of 2", "the way to the whole plan is still shown"


def test_a_floor_that_no_step_holds_is_explained(open_page: Open, at_once: None) -> None:
    app = view(open_page("recover", "auto-mpg-mlp"))
    short(
        put(
            app,
            "auto-mpg-mlp",
            uniform_plan(sample_models.load("auto-mpg-mlp").network, "l1", "channel", 0.5),
        )
    )
    setting(app, "Stop below").set_value(2.0).run()
    assert "Even the first step falls below 2.000" in app.info[0].value
    assert "Stopped: step 1 came to" in texts(app)
    assert not any(button.label == "Use it" for button in app.main.button)
    assert "on the validation examples" in [trace.get("name") for trace in charts(app)[-1]["data"]]


def test_soft_pruning_has_no_floor_and_one_network(open_page: Open, at_once: None) -> None:
    app = view(open_page("recover", "auto-mpg-mlp"))
    short(
        put(
            app,
            "auto-mpg-mlp",
            uniform_plan(sample_models.load("auto-mpg-mlp").network, "l1", "channel", 0.5),
        )
    )
    next(c for c in app.segmented_control if c.label == "What is removed").set_value("May grow back").run()
    assert not app.exception and not app.error
    assert setting(app, "Stop below").disabled
    names = [trace.get("name") for trace in charts(app)[-1]["data"]]
    assert "if it were cut now" in names and "right after the cut" not in names
    assert next(b for b in app.main.selectbox if b.label == "Network of step").options[0].startswith("2 of 2")
    assert "grown back" in app.dataframe[0].value
    assert "nothing is gone for good" in texts(app)


def test_rewinding_and_scores_kept_are_asked_for(open_page: Open, at_once: None) -> None:
    app = view(open_page("recover", "auto-mpg-mlp"))
    short(
        put(
            app, "auto-mpg-mlp", uniform_plan(sample_models.load("auto-mpg-mlp").network, "l1", "weight", 0.5)
        )
    )
    next(c for c in app.segmented_control if c.label == "What is removed").set_value("Rest rewinds").run()
    setting(app, "Rewind to epoch").set_value(2)
    next(c for c in app.segmented_control if c.label == "Score").set_value("Once")
    next(c for c in app.segmented_control if c.label == "Learn from").set_value("The true answers").run()
    assert not app.exception and not app.error
    press(app, "Use it")
    plan = app.session_state["benches"]["auto-mpg-mlp"].plan
    (step,) = keep_here().get(plan.recovered).steps
    assert step.settings["rewind"] == 2 and step.settings["rescore"] is False
    assert step.settings["distillation"] is None and step.settings["soft"] is False


def test_channels_picked_by_hand_alone_have_no_steps(open_page: Open) -> None:
    app = view(open_page("recover", "digits-mlp"))
    network = sample_models.load("digits-mlp").network
    put(app, "digits-mlp", Plan(network.name, "l1", picks=(Pick(network.groups[0].name, 0, True),)))
    assert "by hand alone" in app.info[0].value and not charts(app)


@pytest.mark.parametrize("kind", ["text", "binary", "brightness", "series"])
def test_any_kind_of_network(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, at_once: None, kind: str
) -> None:
    monkeypatch.setenv(from_code.MODEL, f"tests.pages.kinds:{kind}")
    monkeypatch.setenv(from_code.DATA, f"tests.pages.kinds:{kind}_data")
    monkeypatch.setenv(from_code.FOLDER, str(Path(__file__).parents[2]))
    library._opened_own.cache_clear()
    own = library.own_network()
    assert own is not None, library.own_problem()
    app = open_page("recover", own.network.name)
    put(app, own.network.name, replace(uniform_plan(own.network, "l1", "channel", 0.4)))
    short(view(app))
    assert not app.exception and not app.error
    assert metric(app, "Step") == "2 of 2" and len(app.dataframe[0].value) == 2
    library._opened_own.cache_clear()


def point(step: int, removed: float, cut: float, after: float, **more: Any) -> Point:
    interval = Interval(after, after - 0.01, after + 0.02)
    plain = {
        "plan": Plan("n", "l1"), "change": interval, "validation": after, "parameters": 1, "macs": 1,
        "connections": 1, "back": None, "soft": False, "holds": True, "seconds": 1.0, "recovered": "",
    }  # fmt: skip
    cut_interval = Interval(cut, cut, cut)
    return Point(step=step, removed=removed, cut=cut_interval, after=interval, **{**plain, **more})


def test_the_saw_goes_down_with_each_cut_and_up_with_each_recovery() -> None:
    points = [point(1, 0.5, 0.8, 0.9), point(2, 0.75, 0.6, 0.85, holds=False, validation=0.83)]
    dense = Interval(0.95, 0.94, 0.96)
    figure = saw_tooth(points, dense, ACCURACY, theme.LIGHT, floor=0.84)
    saw, cut, recovered, judged = figure.data
    assert list(saw.x) == [0, 50, 50, 75, 75]
    assert list(saw.y) == pytest.approx([95, 80, 90, 60, 85])
    assert list(cut.y) == pytest.approx([80, 60]) and cut.marker.symbol == "circle-open"
    assert cut.marker.color == theme.LIGHT.muted and recovered.marker.color == theme.LIGHT.kept
    assert list(recovered.y) == pytest.approx([90, 85])
    assert list(recovered.error_y.array) == pytest.approx([2, 2])
    assert list(recovered.error_y.arrayminus) == pytest.approx([1, 1])
    assert list(judged.y) == pytest.approx([90, 83])
    assert list(judged.marker.color) == [theme.LIGHT.muted, theme.LIGHT.lost]
    assert sorted(line.y0 for line in figure.layout.shapes) == pytest.approx([84, 95])
    assert figure.layout.xaxis.title.text and figure.layout.yaxis.title.text == "Accuracy (%)"
    plain = saw_tooth(points, dense, R2, theme.DARK)
    assert list(plain.data[0].y) == pytest.approx([0.95, 0.8, 0.9, 0.6, 0.85])
    assert len(plain.data) == 3 and plain.layout.yaxis.title.text == "R²"


def test_levels_are_drawn_for_each_target_and_on_average() -> None:
    goal = (Cut("a", "channel", 0.8), Cut("b", "weight", 0.4))
    figure = schedule_levels(((Cut("a", "channel", 0.8),), goal), goal, theme.LIGHT)
    each, mean = figure.data
    assert list(each.y) == [0, 80, 80, None, 0, 0, 40, None]
    assert list(each.x) == [0, 1, 2, None, 0, 1, 2, None]
    assert list(mean.y) == [0, 40, 60]
    assert set(each.customdata) == {"a, channels", "b, weights"}
    assert figure.layout.xaxis.title.text == "step"
