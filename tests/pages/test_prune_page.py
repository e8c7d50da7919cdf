"""The Prune page: what a move does to the plan, the numbers and the history."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

import sample_models
from analysis.importance import score
from analysis.measure.cost import cost
from analysis.measure.quality import evaluate, quality
from analysis.pruning.plan import make_plan
from analysis.pruning.prune import prune
from tests.pages.conftest import Open, metric, texts
from ui.theme import count

NETWORK = "digits-mlp"


def slider(app: AppTest, label: str):
    return next(s for s in app.slider if s.label.startswith(label))


def button(app: AppTest, label: str):
    return next(b for b in app.button if b.label == label)


def benches(app: AppTest):
    return app.session_state["benches"][NETWORK]


def test_a_slider_gives_the_numbers_of_the_engine(open_page: Open) -> None:
    app = open_page("prune", NETWORK)
    slider(app, "hidden.fc2").set_value(60.0).run()
    sample = sample_models.load(NETWORK)
    plan = make_plan(sample.network, "l1", "channel", {"hidden.fc2": 0.6})
    pruned = prune(sample.network, plan)
    expected = quality(evaluate(pruned, sample.dataset.evaluation, sample.dataset.task))["accuracy"]
    assert metric(app, "Accuracy") == f"{expected.value:.1%}"
    assert metric(app, "Parameters") == count(cost(pruned).parameters)
    assert benches(app).plan == plan
    assert "102 of 256 channels kept" in slider(app, "hidden.fc2").label


def test_every_way_to_set_a_cut_sets_the_same_cut(open_page: Open) -> None:
    app = open_page("prune", NETWORK)
    for way, value in (("Ratio removed", 25.0), ("Ratio kept", 75.0)):
        app.selectbox(key="way").set_value(way).run()
        slider(app, "hidden.fc1").set_value(value).run()
        assert benches(app).plan.ratios == {"hidden.fc1": 0.25}
        button(app, "Reset").click().run()
    network = sample_models.load(NETWORK).network
    values = score(network, "l1").values["hidden.fc1"].sum(dim=1)
    for way, value, threshold in (
        ("Relative threshold", 90.0, 0.9 * float(values.max())),
        ("Absolute threshold", float(values.median()), float(values.median())),
    ):
        app.selectbox(key="way").set_value(way).run()
        slider(app, "hidden.fc1").set_value(value).run()
        expected = float((values < threshold).double().mean())
        assert 0 < expected < 1
        assert benches(app).plan.ratios["hidden.fc1"] == pytest.approx(expected, abs=1e-6)
        button(app, "Reset").click().run()


def test_set_all_undo_redo_and_reset(open_page: Open) -> None:
    app = open_page("prune", NETWORK)
    slider(app, "All targets").set_value(30).run()
    assert set(benches(app).plan.ratios.values()) == {0.3}
    assert len(benches(app).plan.ratios) == 4
    slider(app, "hidden.fc1").set_value(50.0).run()
    assert slider(app, "All targets").value == 0, "the targets differ now"
    button(app, "Undo").click().run()
    assert slider(app, "hidden.fc1").value == 30.0
    assert slider(app, "All targets").value == 30
    button(app, "Redo").click().run()
    assert slider(app, "hidden.fc1").value == 50.0
    button(app, "Reset").click().run()
    assert benches(app).plan.is_dense
    assert button(app, "Reset").disabled
    assert len(benches(app).trials) == 3, "dense, all 30%, and fc1 50%: every measured plan is kept"


def test_weights_have_sliders_for_every_layer_and_no_channel_criteria(open_page: Open) -> None:
    app = open_page("prune", NETWORK)
    app.segmented_control[0].set_value("weight").run()
    labels = [s.label.split(":")[0] for s in app.slider][1:]
    assert labels == [layer.name for layer in sample_models.load(NETWORK).network.layers]
    assert "activation-mean" not in next(s for s in app.selectbox if s.label == "Criterion").options
    slider(app, "hidden.fc1").set_value(100.0).run()
    assert "no connection left" in texts(app)
    assert not app.error


def test_a_change_of_criterion_keeps_the_ratios(open_page: Open) -> None:
    app = open_page("prune", NETWORK)
    slider(app, "hidden.fc1").set_value(40.0).run()
    next(s for s in app.selectbox if s.label == "Criterion").set_value("taylor").run()
    plan = benches(app).plan
    assert (plan.criterion, plan.ratios) == ("taylor", {"hidden.fc1": 0.4})
    assert slider(app, "hidden.fc1").value == 40.0


def test_the_answer_layer_has_no_channel_slider_and_says_why(open_page: Open) -> None:
    app = open_page("prune", NETWORK)
    assert not any(s.label.startswith("head") for s in app.slider)
    assert "**head** keeps its channels: the 10 outputs of head are the network's answer." in texts(app)


def test_the_plan_survives_a_page_switch_and_another_network(open_page: Open) -> None:
    app = open_page("prune", NETWORK)
    slider(app, "hidden.fc3").set_value(70.0).run()
    app.switch_page("pages/weights.py").run()
    app.sidebar.selectbox[0].set_value("auto-mpg-mlp").run()
    app.sidebar.selectbox[0].set_value(NETWORK).run()
    app.switch_page("pages/prune.py").run()
    assert slider(app, "hidden.fc3").value == 70.0


def test_callbacks_of_widgets_that_are_gone_change_nothing(open_page: Open) -> None:
    """Streamlit may call them after an interrupted run; they must not alter the plan."""
    app = open_page("prune", NETWORK)
    slider(app, "All targets").set_value(20).run()
    state = benches(app)
    stale = f"cut:{NETWORK}:0:channel:l1:Ratio removed:hidden.fc1"
    assert state.revision("cut") == 1, "the sliders drawn now carry another number than the stale key"
    app.session_state[stale] = 55.0
    app.run()
    assert set(benches(app).plan.ratios.values()) == {0.2}


def test_the_trade_off_chart_holds_every_plan_tried(open_page: Open) -> None:
    app = open_page("prune", NETWORK)
    for value in (20.0, 40.0):
        slider(app, "hidden.fc2").set_value(value).run()
    chart = json.loads(app.get("plotly_chart")[0].proto.spec)
    points = next(t for t in chart["data"] if t.get("name") == "plans tried")
    assert len(points["customdata"]) == 3
    assert sum(size > 10 for size in points["marker"]["size"]) == 1, "one point is the plan in force"
