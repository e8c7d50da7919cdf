"""The Prune page: what a move does to the plan, the numbers and the history."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

import sample_models
from analysis.importance import CRITERIA, score
from analysis.importance.scores import group_scores
from analysis.measure.cost import cost
from analysis.measure.quality import Interval, evaluate, quality
from analysis.pruning.plan import Cut, Pick, Plan, make_plan
from analysis.pruning.plan_json import key_of, to_json
from analysis.pruning.prune import prune
from analysis.sensitivity import Sensitivity
from tests.pages.conftest import Open, console, metric, texts
from ui import computed, moves, services, sweeps, theme, workspace

NETWORK = "digits-mlp"


def button(app: AppTest, label: str):
    return next(b for b in app.button if b.label == label)


def bench(app: AppTest):
    return app.session_state["benches"][NETWORK]


def plan_of(**ratios: float) -> Plan:
    named = {f"hidden.{name}": ratio for name, ratio in ratios.items()}
    return make_plan(sample_models.load(NETWORK).network, "l1", "channel", named)


def put(app: AppTest, plan: Plan) -> None:
    """Put a plan in force as a move of the console does, and draw the page."""
    bench(app).move(plan)
    app.run()
    assert not app.exception


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch, open_page: Open):
    """Let the page carry out events of the console, as its callback does, and draw it again."""
    pending: list[Any] = []
    original = workspace.note_presence

    def hear() -> None:
        original()
        if pending:
            moves.handle(pending.pop())

    monkeypatch.setattr(workspace, "note_presence", hear)

    def run(app: AppTest, *events: dict[str, Any]) -> AppTest:
        pending.append(list(events))
        app.run()
        assert not app.exception and not pending
        return app

    return run


def move(number: int, ratios: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": number, "kind": "move", "ratios": ratios, "hand": next(iter(ratios), None), **more}


def test_a_plan_gives_the_numbers_of_the_engine(open_page: Open) -> None:
    app = open_page("prune")
    plan = plan_of(fc2=0.6)
    put(app, plan)
    sample = sample_models.load(NETWORK)
    pruned = prune(sample.network, plan)
    measured = quality(evaluate(pruned, sample.dataset.evaluation, sample.dataset.task))
    assert metric(app, "Accuracy") == f"{measured['accuracy'].value:.1%}"
    data, counted = console(app), cost(pruned)
    assert data["state"]["ratios"] == {"hidden.fc2": 0.6}
    assert data["dense"]["parameters"] == cost(sample.network).parameters > counted.parameters
    reading = data["reading"]
    assert reading["low"] <= measured["accuracy"].value <= reading["high"]
    app.run()
    assert console(app)["reading"]["exact"]
    assert console(app)["reading"]["value"] == pytest.approx(measured["accuracy"].value)


def test_rows_name_their_layers_and_the_answer_says_why_it_has_no_slider(open_page: Open) -> None:
    data = console(open_page("prune"))
    network = sample_models.load(NETWORK).network
    assert [row["target"] for row in data["rows"]] == [g.name for g in network.groups if g.is_prunable]
    assert [row["size"] for row in data["rows"]] == [256, 256, 128, 64]
    assert {row["target"]: row["reason"] for row in data["refused"]} == {
        "head": "keeps its channels: the 10 outputs of head are the network's answer."
    }
    shares = [row["share"] for row in data["rows"] + data["refused"]]
    assert sum(shares) == pytest.approx(1), "every parameter of this network is a layer's"


def test_events_count_once_and_a_gesture_is_one_step_back(open_page: Open, act) -> None:
    app = open_page("prune")
    drag = [move(i, {"hidden.fc1": i / 10}, gesture="g") for i in (1, 2, 3)]
    act(app, *drag)
    assert bench(app).plan == plan_of(fc1=0.3) and len(bench(app).done) == 1
    act(app, *drag, move(4, {"hidden.fc1": 0.4}, gesture="h"))
    assert bench(app).plan == plan_of(fc1=0.4) and len(bench(app).done) == 2
    assert console(app)["state"]["ack"] == 4
    act(app, {"id": 5, "kind": "undo"})
    assert bench(app).plan == plan_of(fc1=0.3)
    act(app, {"id": 5, "kind": "undo"})
    assert bench(app).plan == plan_of(fc1=0.3), "an event that comes again counts once"
    act(app, {"id": 6, "kind": "undo"}, {"id": 7, "kind": "redo"})
    assert bench(app).plan == plan_of(fc1=0.3)
    act(app, {"id": 8, "kind": "reset"})
    assert bench(app).plan.is_dense
    state = console(app)["state"]
    assert state["can_undo"] and not state["can_redo"]


@pytest.mark.parametrize(
    "event",
    [
        move(1, {"hidden.fc1": 1.5}),
        move(1, {"hidden.fc1": float("nan")}),
        move(1, {"hidden.fc1": "much"}),
        {"id": 1, "kind": "move", "ratios": 7},
        move(1, {"hidden.fc1": 10**400}),
        {"id": 1, "kind": "lock", "targets": "hidden.fc1"},
        {"id": 1, "kind": "typed", "target": "nothing", "value": 3},
        {"id": 1, "kind": "typed", "target": "hidden.fc1", "value": float("inf")},
        {"id": 1, "kind": "paste", "text": "{"},
        {"id": 1, "kind": "paste", "text": to_json(Plan("digits-cnn", "l1"))},
        {"id": 1, "kind": "lock"},
    ],
)
def test_a_bad_event_changes_nothing_and_says_so(open_page: Open, act, event: dict[str, Any]) -> None:
    app = open_page("prune")
    put(app, plan_of(fc3=0.2))
    act(app, event)
    assert bench(app).plan == plan_of(fc3=0.2)
    assert len(app.error) == 1 and "Something went wrong" not in app.error[0].value
    app.run()
    assert not app.error, "it is said once"


@pytest.mark.parametrize("events", [None, 3, "x", [1], [{"kind": "undo"}], [{"id": 1, "kind": "dance"}]])
def test_what_is_no_event_is_ignored(open_page: Open, act, events: Any) -> None:
    app = open_page("prune")
    put(app, plan_of(fc3=0.2))
    act(app, *(events if isinstance(events, list) else [events]))
    assert bench(app).plan == plan_of(fc3=0.2)


def test_unknown_targets_are_left_out_of_a_move(open_page: Open, act) -> None:
    app = open_page("prune")
    act(app, move(1, {"hidden.fc1": 0.5, "head": 0.5, "nothing": 0.5}))
    assert bench(app).plan == plan_of(fc1=0.5)


def test_a_pasted_plan_and_locks(open_page: Open, act) -> None:
    app = open_page("prune")
    act(app, {"id": 1, "kind": "paste", "text": to_json(plan_of(fc2=0.25))})
    assert bench(app).plan == plan_of(fc2=0.25)
    act(app, {"id": 2, "kind": "lock", "targets": ["hidden.fc1", "nothing"]})
    assert console(app)["state"]["locked"] == ["hidden.fc1"]


def test_a_pasted_plan_whose_recovered_weights_are_not_here_is_taken_as_pruned(open_page: Open, act) -> None:
    app = open_page("prune")
    act(app, {"id": 1, "kind": "paste", "text": to_json(replace(plan_of(fc2=0.25), recovered="0" * 64))})
    assert bench(app).plan == plan_of(fc2=0.25)
    assert "not kept here" in texts(app)


def test_every_way_to_type_a_cut_sets_the_same_cut(open_page: Open, act) -> None:
    app = open_page("prune")
    network = sample_models.load(NETWORK).network
    values = score(network, "l1").values["hidden.fc1"].sum(dim=1).double()
    low, middle = 0.9 * float(values.max()), float(values.median())
    cases = (
        ("Ratio removed", 25.0, 0.25),
        ("Ratio kept", 60.0, 0.4),
        ("Relative threshold", 90.0, float((values < low).double().mean())),
        ("Absolute threshold", middle, float((values < middle).double().mean())),
    )
    for number, (way, typed, ratio) in enumerate(cases, start=1):
        app.selectbox(key="way").set_value(way).run()
        act(app, {"id": number, "kind": "typed", "target": "hidden.fc1", "value": typed})
        assert 0 < ratio < 1
        assert bench(app).plan.ratios["hidden.fc1"] == pytest.approx(ratio, abs=1e-6)
        shown = console(app)["state"]["typed"]
        assert set(shown) == ({"hidden.fc1"} if "threshold" in way else set())


def test_weights_have_a_row_for_every_layer_and_no_channel_criteria(open_page: Open) -> None:
    app = open_page("prune")
    app.segmented_control[0].set_value("weight").run()
    network = sample_models.load(NETWORK).network
    data = console(app)
    assert [row["target"] for row in data["rows"]] == [layer.name for layer in network.layers]
    for row in data["rows"]:
        assert row["nonzero"][0] == int(network.weight(row["target"]).count_nonzero())
        assert row["nonzero"][100] == 0
    options = next(s for s in app.selectbox if s.label == "Criterion").options
    assert CRITERIA["activation-mean"].label not in options and CRITERIA["taylor"].label in options
    plan = make_plan(network, "l1", "weight", {"hidden.fc1": 0.37})
    put(app, plan)
    row = next(row for row in console(app)["rows"] if row["target"] == "hidden.fc1")
    assert row["nonzero"][37] == int(prune(network, plan).weight("hidden.fc1").count_nonzero())


def test_a_change_of_criterion_keeps_the_ratios(open_page: Open) -> None:
    app = open_page("prune")
    put(app, plan_of(fc1=0.4))
    next(s for s in app.selectbox if s.label == "Criterion").set_value("taylor").run()
    assert (bench(app).plan.criterion, bench(app).plan.ratios) == ("taylor", {"hidden.fc1": 0.4})
    assert console(app)["state"]["ratios"] == {"hidden.fc1": 0.4}
    assert any("by Taylor" in caption.value for caption in app.sidebar.caption)


def test_the_console_says_what_is_cut_beside_its_sliders(open_page: Open) -> None:
    app = open_page("prune")
    put(app, replace(plan_of(), cuts=(Cut("hidden.fc1", "weight", 0.5),)))
    assert console(app)["state"]["beside"] == ""
    app.segmented_control[0].set_value("channel").run()
    assert console(app)["state"]["ratios"] == {}
    assert console(app)["state"]["beside"] == "50% of the weights of 1 layer"


def test_no_download_draws_the_page_anew(open_page: Open) -> None:
    """The files of the page before would be gone when the next click asks for them."""
    buttons = open_page("prune").get("download_button")
    assert len(buttons) == 2 and all(button.proto.ignore_rerun for button in buttons)


def test_a_criterion_under_which_nothing_of_a_group_would_stay_is_not_taken(open_page: Open) -> None:
    app = open_page("prune")
    sample = sample_models.load(NETWORK)
    group = sample.network.groups[0]
    last = int(group_scores(score(sample.network, "random"), sample.network, group).argmax())
    plan = Plan(NETWORK, "l1", (Cut(group.name, "channel", 1.0),), (Pick(group.name, last, True),))
    put(app, plan)
    next(s for s in app.selectbox if s.label == "Criterion").set_value("random").run()
    assert bench(app).plan == plan
    assert "Random ranks other channels last" in app.error[0].value
    assert next(s for s in app.selectbox if s.label == "Criterion").value == "l1"


def test_weights_go_from_what_the_channels_leave(open_page: Open, act) -> None:
    app = open_page("prune")
    act(app, move(1, {"hidden.fc1": 0.5}))
    app.segmented_control[0].set_value("weight").run()
    network = sample_models.load(NETWORK).network
    smaller = prune(network, plan_of(fc1=0.5))
    rows = {row["target"]: row for row in console(app)["rows"]}
    for layer in smaller.layers:  # the sliders speak of the weights that are left
        assert rows[layer.name]["size"] == layer.connections
    assert console(app)["ledger"]["parameters"] == smaller.parameters()
    act(app, move(2, {"hidden.fc2": 0.37}))
    plan = bench(app).plan
    assert plan.ratios_of("channel") == {"hidden.fc1": 0.5} and plan.ratios_of("weight") == {
        "hidden.fc2": 0.37
    }
    both = prune(network, plan)
    assert rows["hidden.fc2"]["nonzero"][37] == int(both.weight("hidden.fc2").count_nonzero())
    assert metric(app, "Nonzero connections") == theme.count(cost(both).nonzero_connections)
    app.run()
    assert any(
        "of the channels of 1 group, then 37% of the weights of 1 layer" in c.value for c in app.caption
    )
    app.segmented_control[0].set_value("channel").run()
    assert console(app)["state"]["ratios"] == {"hidden.fc1": 0.5}


def test_kept_channels_are_held_to_a_multiple(open_page: Open, act) -> None:
    app = open_page("prune")
    app.selectbox(key="multiple").set_value(16).run()
    act(app, move(1, {"hidden.fc1": 0.3}))
    network = sample_models.load(NETWORK).network
    kept = prune(network, bench(app).plan).layer("hidden.fc1").shape[0]
    assert kept % 16 == 0 and abs(kept - 0.7 * network.layer("hidden.fc1").shape[0]) <= 8


def test_the_plan_survives_a_page_switch_and_another_network(open_page: Open) -> None:
    app = open_page("prune")
    put(app, plan_of(fc3=0.7))
    app.switch_page("pages/weights.py").run()
    app.sidebar.selectbox[0].set_value("auto-mpg-mlp").run()
    app.sidebar.selectbox[0].set_value(NETWORK).run()
    app.switch_page("pages/prune.py").run()
    assert console(app)["state"]["ratios"] == {"hidden.fc3": 0.7}


def test_the_trade_off_chart_holds_every_plan_tried_also_after_a_refresh(open_page: Open) -> None:
    app = open_page("prune")
    for ratio in (0.2, 0.4):
        put(app, plan_of(fc2=ratio))
    assert len(tried(app)["customdata"]) == 3
    assert sum(size > 10 for size in tried(app)["marker"]["size"]) == 1, "one point is the plan in force"
    again = open_page("prune", history=history_of(app))
    assert bench(again).plan == plan_of(fc2=0.4)
    assert tried(again) == tried(app)
    stranger = open_page("prune")
    assert bench(stranger).plan.is_dense and len(tried(stranger)["customdata"]) == 1


def test_each_trial_grew_from_the_last_that_was_measured(open_page: Open) -> None:
    app = open_page("prune")
    put(app, plan_of(fc2=0.2))
    bench(app).move(plan_of(fc2=0.3))  # moved on before it was measured
    put(app, plan_of(fc2=0.4))
    bench(app).undo()
    bench(app).undo()
    put(app, plan_of(fc3=0.5))
    kept = services.store().summaries(history_of(app), NETWORK)
    dense, first, second, branch = (
        Plan(NETWORK, "l1"),
        *(plan_of(**p) for p in ({"fc2": 0.2}, {"fc2": 0.4}, {"fc3": 0.5})),
    )
    assert [(t.key, t.parent) for t in kept] == [
        (key_of(dense), ""), (key_of(first), key_of(dense)), (key_of(second), key_of(first)), (key_of(branch), key_of(first)),
    ]  # fmt: skip


def test_a_refreshed_page_can_still_undo(open_page: Open) -> None:
    app = open_page("prune")
    for ratio in (0.2, 0.4):
        put(app, plan_of(fc2=ratio))
    again = open_page("prune", history=history_of(app))
    assert bench(again).done == [Plan(NETWORK, "l1"), plan_of(fc2=0.2)]


def history_of(app: AppTest) -> str:
    return app.session_state["history"]


def tried(app: AppTest) -> dict[str, Any]:
    chart = json.loads(app.get("plotly_chart")[0].proto.spec)
    return next(t for t in chart["data"] if t.get("name") == "plans tried")


def test_a_history_that_does_not_fit_is_named_and_the_page_still_draws(open_page: Open) -> None:
    services.store().put_plan("0123456789ab", Plan(NETWORK, "l1", plan_cut("hidden.fc9")))
    app = open_page("model", history="0123456789ab")
    assert "cannot be brought back" in app.error[0].value
    assert bench(app).plan.is_dense


@pytest.mark.parametrize("damaged", ["{", "{}", None])
def test_a_damaged_trial_is_named_and_the_page_still_draws(open_page: Open, damaged: str | None) -> None:
    app = open_page("prune")
    put(app, plan_of(fc2=0.2))
    put(app, plan_of(fc2=0.4))
    with services.store()._database.writing() as connection:
        connection.exec_driver_sql("update trials set numbers = ?", (damaged,))
    again = open_page("model", history=history_of(app))
    assert "damaged" in again.error[0].value
    again.switch_page("pages/prune.py").run()
    assert not again.error and console(again)["rows"]
    assert bench(again).plan == plan_of(fc2=0.4)


@pytest.mark.parametrize("criterion", ["no-such", "bn-scale"])
def test_a_stored_plan_with_a_criterion_that_does_not_fit_is_refused(open_page: Open, criterion: str) -> None:
    services.store().put_plan("0123456789ab", Plan(NETWORK, criterion, plan_cut("hidden.fc1")))
    app = open_page("model", history="0123456789ab")
    assert "cannot be brought back" in app.error[0].value
    app.switch_page("pages/prune.py").run()
    assert not app.error and bench(app).plan.is_dense


def plan_cut(target: str):
    cut = plan_of(fc1=0.5).cuts[0]
    return (type(cut)(target, cut.granularity, cut.ratio),)


def test_sensitivities_are_offered_until_they_are_known_and_drawn_then(open_page: Open) -> None:
    app = open_page("prune")
    assert button(app, "Measure sensitivity")
    assert console(app)["curves"] == {}
    about = computed.sweep_subject(NETWORK, 450, "l1", "channel")
    for row in console(app)["rows"]:
        for tenth in range(1, 10):
            value = 0.98 - tenth / 20
            point = Sensitivity(row["target"], tenth / 10, Interval(value, value - 0.01, value + 0.01), 300)
            services.store().add_sensitivity(about, point)
    app.run()
    assert not any(b.label == "Measure sensitivity" for b in app.button)
    assert console(app)["curves"]["hidden.fc1"][0] == pytest.approx([0.1, 0.93, 0.92, 0.94])


def test_past_predictions_are_judged_in_words(open_page: Open, act) -> None:
    app = open_page("prune")
    about = computed.sweep_subject(NETWORK, 450, "l1", "channel")
    for row in console(app)["rows"]:
        services.store().add_sensitivity(about, Sensitivity(row["target"], 0.5, Interval(0.9, 0.9, 0.9), 450))
    for i, ratio in enumerate((0.1, 0.2, 0.3, 0.4), start=1):
        act(app, move(i, {"hidden.fc3": ratio}))
        for _ in range(4):
            app.run()
    assert len(bench(app).misses) >= 3
    mean = 100 * sum(bench(app).misses) / len(bench(app).misses)
    assert f"off by {mean:.1f} points on average" in console(app)["prediction"]


def test_a_long_sweep_waits_for_the_user_and_says_how_long(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(services.SWEEP, "auto")
    submitted: list[str] = []
    monkeypatch.setattr(sweeps, "start", lambda: submitted.append("sweep"))
    monkeypatch.setattr(computed, "pass_seconds", lambda name, images: 10.0)
    app = open_page("prune")
    assert button(app, "Measure sensitivity") and not submitted
    # 4 groups of 9 points at 10 s each
    assert any("up to 36 measurements, at most about 6 minutes" in c.value for c in app.caption)
    monkeypatch.setattr(computed, "pass_seconds", lambda name, images: 0.1)
    app.run()
    assert submitted == ["sweep"]
    assert not any(b.label == "Measure sensitivity" for b in app.button)
