"""The History page: what it lists, the trial in full, labels, bringing back, the comparison, the tree."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from streamlit.testing.v1 import AppTest

import sample_models
from analysis.history import Label
from analysis.measure.quality import Interval, change
from analysis.pruning.plan import Cut, Pick, Plan, make_plan
from tests.pages.conftest import Bring, Open, charts, metric, texts
from tests.pages.stand_ins import single, tokens
from ui import computed, services, workspace
from ui.history import words
from ui.history.choosing import toggled

NETWORK = "digits-mlp"


def plan_of(network: str = NETWORK, **ratios: float) -> Plan:
    named = {f"hidden.{name}": ratio for name, ratio in ratios.items()}
    return make_plan(sample_models.load(network).network, "l1", "channel", named)


def bench(app: AppTest, network: str = NETWORK) -> Any:
    return app.session_state["benches"][network]


def button(app: AppTest, label: str):
    return next(b for b in app.button if b.label == label)


def tried(open_page: Open, *plans: Plan, network: str = NETWORK) -> AppTest:
    """A session in which these plans were measured one after the other, on its History page."""
    app = open_page("prune", network)
    for plan in plans:
        bench(app, network).move(plan)
        app.run()
        assert not app.exception
    return app.switch_page("pages/history.py").run()


def trials(app: AppTest, network: str = NETWORK):
    return services.store().summaries(app.session_state["history"], network)


def second_of(app: AppTest) -> tuple[int, Any]:
    """The number of examples of the second trial, and that trial in full."""
    found = trials(app)[1]
    return found.images, services.store().trial(app.session_state["history"], found.id)


def choose(app: AppTest, *numbers: int, network: str = NETWORK) -> AppTest:
    """Choose the trials with these places in the history, as ticks in the table do."""
    own = trials(app, network)
    app.session_state["chosen_trials"] = {network: tuple(own[i].id for i in numbers)}
    app.run()
    assert not app.exception and not app.error
    return app


def view(app: AppTest, name: str) -> AppTest:
    app.segmented_control[0].set_value(name).run()
    assert not app.exception and not app.error
    return app


def rows(app: AppTest) -> dict[str, list[Any]]:
    """The table as the browser gets it."""
    return pa.ipc.open_stream(app.dataframe[0].proto.arrow_data.data).read_all().to_pydict()


ONE, TWO = plan_of(fc1=0.5), plan_of(fc1=0.5, fc2=0.25)


@pytest.fixture
def three(open_page: Open) -> AppTest:
    """The dense network, a cut, and a second cut beside it."""
    return tried(open_page, ONE, TWO)


def test_without_trials_the_page_says_what_makes_one(open_page: Open) -> None:
    app = open_page("history", NETWORK)
    assert "There is no trial of this network yet" in app.info[0].value
    assert not app.dataframe and not app.get("plotly_chart")


def test_the_table_lists_the_newest_first_with_what_the_store_keeps(three: AppTest) -> None:
    known = trials(three)[::-1]
    table = rows(three)
    assert table["headline"] == pytest.approx([100 * trial.headline.value for trial in known])
    assert table["parameters"] == [trial.parameters for trial in known]
    assert table["change"][-1] is None
    assert table["current"] == ["●", "", ""]
    connections = [layer.connections for layer in sample_models.load(NETWORK).network.layers]
    wanted = [
        [round(100 * left / whole) for left, whole in zip(trial.layers, connections, strict=True)]
        for trial in known
    ]
    assert table["layers"] == wanted and wanted[0][0] == 50
    column = json.loads(three.dataframe[0].proto.columns)["way"]["type_config"]
    assert all(column["y_min"] < value < column["y_max"] for way in table["way"] for value in way)
    ways = [[trial.headline.value for trial in known[i:]][::-1] for i in range(3)]
    assert [len(way) for way in table["way"]] == [3, 2, 1]
    for shown, way in zip(table["way"], ways, strict=True):
        assert shown == pytest.approx([100 * value for value in way], rel=1e-6)


def test_a_label_is_kept_and_found_again(three: AppTest) -> None:
    choose(three, 1)
    next(t for t in three.text_input if t.label == "Name").set_value("  half of the first  ")
    next(t for t in three.toggle if t.label == "Star").set_value(True)
    three.text_area[0].set_value("kept <b>well</b>")
    button(three, "Save").click().run()
    assert trials(three)[1].label == Label("half of the first", "kept <b>well</b>", True, ())
    connections = sum(layer.connections for layer in sample_models.load(NETWORK).network.layers)
    unnamed = f"channels by L1 magnitude, {trials(three)[2].nonzero_connections / connections:.0%} left"
    assert rows(three)["name"] == [unnamed, "half of the first", "dense network"]
    assert rows(three)["star"] == ["", "★", ""]
    assert "half of the first" in [s.value for s in three.subheader]
    for text, found in (("WELL", ["half of the first"]), ("l1 magnitude", [unnamed])):
        next(t for t in three.text_input if t.label == "Find").set_value(text).run()
        assert rows(three)["name"] == found
    next(t for t in three.text_input if t.label == "Find").set_value("nowhere").run()
    assert "No trial fits" in three.info[0].value


def test_a_label_that_another_window_changed_is_not_undone(three: AppTest) -> None:
    choose(three, 1)
    number, session = trials(three)[1].id, three.session_state["history"]
    three.text_area[0].set_value("typed here")
    services.store().put_label(session, number, Label("said elsewhere", "and why", True))
    button(three, "Save").click().run()
    assert trials(three)[1].label == Label("said elsewhere", "and why", True)
    assert next(t for t in three.text_input if t.label == "Name").value == "said elsewhere"
    assert three.text_area[0].value == "and why"
    assert "changed in another window" in three.info[0].value
    three.text_area[0].set_value("why")
    button(three, "Save").click().run()
    assert trials(three)[1].label == Label("said elsewhere", "why", True) and not three.info


def test_a_label_that_is_too_long_is_refused_and_stays_in_its_fields(three: AppTest) -> None:
    choose(three, 1)
    next(t for t in three.text_input if t.label == "Name").set_value("n" * 81)
    three.text_area[0].set_value("o" * 2001)
    button(three, "Save").click().run()
    assert "at most 80 characters, and this one has 81" in three.error[0].value
    assert "at most 2,000 characters, and this one has 2,001" in three.error[0].value
    assert trials(three)[1].label == Label()
    assert three.text_area[0].value == "o" * 2001
    next(t for t in three.text_input if t.label == "Name").set_value("n" * 80)
    three.text_area[0].set_value("o" * 2000)
    button(three, "Save").click().run()
    assert trials(three)[1].label == Label("n" * 80, "o" * 2000)
    assert [toast.value for toast in three.toast] == ["Saved."]


def test_channels_picked_by_hand_go_by_no_criterion(open_page: Open) -> None:
    app = tried(open_page, Plan(NETWORK, "l1", (), (Pick("hidden.fc1", 3, True),)))
    assert rows(app)["criterion"] == ["picked by hand", ""]
    choose(app, 1)
    assert any(s.value.startswith("channels picked by hand, ") for s in app.subheader)


def test_stars_and_tags_filter(three: AppTest) -> None:
    own, store = trials(three), services.store()
    session = three.session_state["history"]
    store.put_label(session, own[0].id, Label("a", star=True, tags=("x", "y")))
    store.put_label(session, own[2].id, Label("b", tags=("x",)))
    three.run()
    next(m for m in three.multiselect if m.label == "Tags").set_value(["x"]).run()
    assert rows(three)["name"] == ["b", "a"]
    assert rows(three)["tags"] == [["x"], ["x", "y"]]
    next(t for t in three.toggle if t.label == "Starred only").set_value(True).run()
    assert rows(three)["name"] == ["a"]


def test_a_trial_in_full_tells_what_it_changed_and_where_it_came_from(three: AppTest) -> None:
    choose(three, 2)
    own = trials(three)
    assert metric(three, "Accuracy") == f"{own[2].headline.value:.1%}"
    assert metric(three, "Parameters") == f"{own[2].parameters / 1000:.1f} k"
    way = charts(three)[0]["data"][0]
    assert way["y"] == pytest.approx([100 * trial.headline.value for trial in own])
    changed = three.dataframe[-1].value
    assert changed.to_dict("records") == [
        {"target": "hidden.fc2", "what": "channels removed", "before": "–", "this trial": "25.0%"}
    ]


def test_bringing_back_puts_the_plan_in_force_and_undo_takes_it_back(three: AppTest) -> None:
    choose(three, 1)
    button(three, "Bring back").click().run()
    assert bench(three).plan == ONE
    assert rows(three)["current"] == ["", "●", ""]
    assert button(three, "In force").disabled
    bench(three).undo()
    three.run()
    assert bench(three).plan == TWO


def test_a_trial_whose_recovered_weights_are_gone_comes_back_as_it_was_pruned(
    three: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = replace(ONE, recovered="0123456789abcdef" * 4)
    images, known = second_of(three)
    services.store().add_trial(three.session_state["history"], images, replace(known, plan=gone))
    three.run()
    choose(three, 3)
    assert "its weights are not kept any more" in texts(three)
    button(three, "Bring back").click().run()
    assert bench(three).plan == ONE
    assert any("are not kept here" in error.value for error in three.error)


def test_a_plan_that_does_not_fit_is_refused_in_a_sentence(three: AppTest) -> None:
    strange = Plan(NETWORK, "l1", (Cut("elsewhere", "channel", 0.5),))
    session = three.session_state["history"]
    images, known = second_of(three)
    services.store().add_trial(session, images, replace(known, plan=strange))
    three.run()
    choose(three, 3)
    button(three, "Bring back").click().run()
    assert "has no group of coupled layers called elsewhere" in three.error[0].value.replace("\\", "")
    assert bench(three).plan == TWO


def test_trials_on_other_examples_are_counted_and_not_mixed(three: AppTest) -> None:
    session = three.session_state["history"]
    images, known = second_of(three)
    services.store().add_trial(session, images + 7, known)
    three.run()
    assert "1 more trial was measured on other numbers" in texts(three)
    assert len(rows(three)["name"]) == 3


def test_fewer_than_two_are_not_compared(three: AppTest) -> None:
    view(choose(three, 1), "Compare")
    assert "Choose two or more trials" in three.info[0].value
    button(three, "Go to the table").click().run()
    assert len(rows(three)["name"]) == 3


def test_the_comparison_shows_every_measure_and_what_the_plans_say_differently(three: AppTest) -> None:
    choose(three, 1, 2)
    button(three, "Compare these 2 trials").click().run()
    own = [services.store().trial(three.session_state["history"], t.id) for t in trials(three)]
    html = three.get("html")[0].proto.body
    for trial in own[1:]:
        assert f"{trial.measurement.headline.value:.1%}" in html
        assert f"{trial.measurement.cost.parameters:,}" in html
        assert trial.measurement.size.best_encoding in html
    assert "In every measure" in [s.value for s in three.subheader]
    dumbbells = next(c for c in charts(three) if c["layout"]["xaxis"]["title"]["text"] == "removed (%)")
    marks = [trace for trace in dumbbells["data"] if trace["mode"] == "markers"]
    assert [(trace["y"], trace["x"]) for trace in marks] == [
        (["hidden.fc2"], [0.0]),
        (["hidden.fc2"], [25.0]),
    ]
    assert three.dataframe[-1].value.to_dict("records") == [
        {"target": "hidden.fc2", "what": "channels removed", "A": "–", "B": "25.0%"}
    ]


def test_the_measures_have_one_style_and_latencies_no_difference(three: AppTest) -> None:
    view(choose(three, 1, 2), "Compare")
    lines = three.get("html")[0].proto.body.split("<tr><td>")[1:]
    named = {line.split("</td>")[0].replace("&#x27;", "'"): line for line in lines}
    assert {"Accuracy", "Parameters", "MACs", "Latency", "Latency, % of the dense network's"} <= named.keys()
    assert all(name[0].isupper() for name in named)
    assert "<small>" in named["Parameters"]
    own = services.store().trial(three.session_state["history"], trials(three)[2].id).measurement
    share = named["Latency, % of the dense network's"]
    assert f"{own.latency.median / own.dense_latency.median:.0%}" in share and "<small>" not in share


def test_a_moment_names_its_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 1_764_119_460.0  # 2025-11-26 01:11 UTC
    for zone, said in {
        None: "2025-11-26 01:11 UTC",
        "Europe/Berlin": "2025-11-26 02:11 CET",
        "America/Sao_Paulo": "2025-11-25 22:11 UTC-03",
        "nowhere": "2025-11-26 01:11 UTC",
    }.items():
        monkeypatch.setattr(words, "st", SimpleNamespace(context=SimpleNamespace(timezone=zone)))
        assert words.when(moment) == said


def test_a_difference_within_noise_is_said_in_plain_words(three: AppTest) -> None:
    session = three.session_state["history"]
    images, known = second_of(three)
    services.store().add_trial(session, images, replace(known, plan=replace(ONE, criterion="l2")))
    three.run()
    view(choose(three, 1, 3), "Compare")
    button(three, "Measure the differences now").click().run()
    assert "no difference beyond noise from A" in texts(three)


def test_the_paired_difference_is_that_of_both_networks_on_the_same_examples(three: AppTest) -> None:
    view(choose(three, 1, 2), "Compare")
    images = trials(three)[0].images
    button(three, "Measure the differences now").click().run()
    first, second = (computed.measurement(plan, images).evaluation for plan in (ONE, TWO))
    correct = (second.correct.float() - first.correct.float()).mean()
    assert change(second, first)["accuracy"].value == pytest.approx(float(correct))
    shown = next(m for m in three.metric if m.label.startswith("B "))
    assert shown.value == f"{100 * float(correct):+.1f} points"


def test_a_difference_that_cannot_be_measured_says_why(three: AppTest) -> None:
    session = three.session_state["history"]
    images, known = second_of(three)
    services.store().add_trial(session, images, replace(known, plan=replace(ONE, recovered="f" * 64)))
    three.run()
    view(choose(three, 1, 3), "Compare")
    button(three, "Measure the differences now").click().run()
    assert not three.exception and len(three.warning) == 1
    assert any(d["what"] == "recovery" for d in three.dataframe[-1].value.to_dict("records"))


def test_equal_plans_differ_in_nothing_but_picks_show(three: AppTest) -> None:
    session = three.session_state["history"]
    images, known = second_of(three)
    picked = replace(ONE, picks=(Pick("hidden.fc1", 3, True),))
    services.store().add_trial(session, images, replace(known, plan=picked))
    three.run()
    view(choose(three, 1, 3), "Compare")
    assert three.dataframe[-1].value.to_dict("records") == [
        {"target": "hidden.fc1", "what": "channels picked by hand", "A": "–", "B": "removed 3"}
    ]
    assert all(c["layout"]["xaxis"]["title"]["text"] != "removed (%)" for c in charts(three))


def test_the_tree_draws_what_grew_from_what(three: AppTest) -> None:
    button(choose(three, 0), "Bring back").click().run()
    beside = plan_of(fc2=0.5)
    three.switch_page("pages/prune.py").run()
    bench(three).move(beside)
    three.run().switch_page("pages/history.py").run()
    view(three, "Tree")
    own = trials(three)
    dots = charts(three)[0]["data"][-1]
    assert [entry[0] for entry in dots["customdata"]] == [own[0].id, own[2].id, own[3].id]
    assert dots["x"] == [0, 1, 1] and sorted(dots["y"]) == [0, 0, 1]
    changes = [0, *(100 * trial.change.value for trial in own[2:])]
    assert dots["marker"]["color"] == pytest.approx(changes)
    assert charts(three)[0]["data"][2]["text"] == ["+1"]


def test_a_click_chooses_and_a_second_lets_go() -> None:
    assert toggled((), [4]) == [4]
    assert toggled((4, 2), [7]) == [4, 2, 7]
    assert toggled((4, 2), [4]) == [2]
    assert toggled((4, 2), []) == [4, 2]


def test_markup_in_a_name_is_shown_as_text(three: AppTest) -> None:
    own, session = trials(three), three.session_state["history"]
    services.store().put_label(session, own[1].id, Label("<img src=x>", star=True))
    choose(three, 1, 2)
    view(three, "Compare")
    assert "<img" not in three.get("html")[0].proto.body
    assert "&lt;img" in three.get("html")[0].proto.body
    view(three, "Tree")
    assert all("<img" not in str(trace) for trace in charts(three)[0]["data"])


def test_regression_reads_in_its_own_unit(open_page: Open) -> None:
    network = "auto-mpg-mlp"
    group = next(g.name for g in sample_models.load(network).network.groups if g.is_prunable)
    plan = make_plan(sample_models.load(network).network, "l1", "channel", {group: 0.5})
    app = tried(open_page, plan, network=network)
    own = trials(app, network)
    assert rows(app)["headline"] == pytest.approx([t.headline.value for t in own[::-1]])
    choose(app, 0, 1, network=network)
    view(app, "Compare")
    assert "<td>R²</td>" in app.get("html")[0].proto.body.replace(" title=''", "")
    choose(view(app, "Tree"), 1, network=network)
    assert metric(app, "R²")


@pytest.mark.parametrize("kind", [tokens, single])
def test_every_kind_of_network_has_a_history(brought: Bring, open_page: Open, kind) -> None:
    name = brought(kind())
    app = open_page("prune", name)
    state = bench(app, name)
    group = next(g for g in kind().network.groups if g.is_prunable)
    state.move(Plan(name, "l1", (Cut(group.name, "channel", 0.5),)))
    app.run().switch_page("pages/history.py").run()
    assert len(rows(app)["name"]) == 2
    choose(app, 1, network=name)
    assert "How it came about" in [s.value for s in app.subheader]
    choose(view(app, "Tree"), 0, 1, network=name)
    view(app, "Compare")
    button(app, "Measure the differences now").click().run()
    assert not app.exception and not app.error


def test_the_chosen_trials_belong_to_their_network(three: AppTest) -> None:
    choose(three, 1)
    three.session_state[workspace.NETWORK] = "digits-cnn"
    three.run()
    assert not three.exception
    assert "There is no trial of this network yet" in three.info[0].value


def test_a_measure_that_is_unknown_has_no_difference(three: AppTest) -> None:
    session = three.session_state["history"]
    images, known = second_of(three)
    unknown = Interval(math.nan, math.nan, math.nan)
    numbers = replace(known.measurement, quality={**known.measurement.quality, "accuracy": unknown})
    services.store().add_trial(session, images, replace(known, plan=plan_of(fc3=0.5), measurement=numbers))
    three.run()
    view(choose(three, 1, 3), "Compare")
    row = three.get("html")[0].proto.body.split("<td>Accuracy</td>")[1].split("</tr>")[0]
    assert "unknown" in row and "<small>" not in row
