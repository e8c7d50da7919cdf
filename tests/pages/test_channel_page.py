"""The Channel page: the choice by hand, what it does to the plan and the numbers, and the ways there."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

import sample_models
from analysis.datasets import Dataset
from analysis.importance import CRITERIA, score
from analysis.inside.channel import rank
from analysis.inside.channel_activity import entries_of
from analysis.measure.cost import cost
from analysis.measure.quality import evaluate, quality
from analysis.pruning.plan import Pick, Plan, make_plan
from analysis.pruning.plan_json import key_of, to_json
from analysis.pruning.prune import prune
from analysis.pruning.selection import ranking, select
from analysis.sources import Opened
from analysis.tasks import BINARY
from tests.networks import Mlp, dataset, load, randomise
from tests.pages.conftest import Open, console, metric, texts
from tests.zoo.judged import task_of, tiny_split
from tests.zoo.opened import from_module
from ui import library, moves, services, theme, workspace
from ui.channel import channel_figures, channel_gallery

NETWORK = "digits-cnn"


def bench(app: AppTest, network: str = NETWORK):
    return app.session_state["benches"][network]


def sentence(app: AppTest) -> str:
    return next(m.value for m in app.markdown if m.value.startswith("#### ")).replace("\\", "")


def decide(app: AppTest, label: str) -> AppTest:
    control = next(c for c in app.segmented_control if c.label == "Decide")
    control.set_value(label).run()
    assert not app.exception
    return app


def choose(app: AppTest, group: str, channel: int) -> AppTest:
    next(s for s in app.selectbox if s.label == "Coupled layers").set_value(group).run()
    app.number_input[0].set_value(channel).run()
    assert not app.exception
    return app


def button(app: AppTest, label: str):
    return next(b for b in app.button if b.label.startswith(label))


def accuracy(network: str, plan: Plan) -> float:
    sample = sample_models.load(network)
    split = sample.dataset.evaluation.sample(1000)
    scores = None if not plan.cuts else score(sample.network, plan.criterion, sample.dataset)
    evaluation = evaluate(prune(sample.network, plan, scores), split, sample.dataset.task)
    return quality(evaluation)[sample.dataset.task.headline.key].value


@pytest.fixture
def inside(monkeypatch: pytest.MonkeyPatch):
    """Carry something out in the app's own run, as a callback does."""
    pending: list[Callable[[], Any]] = []
    original = workspace.note_presence

    def hear() -> None:
        original()
        if pending:
            pending.pop()()

    monkeypatch.setattr(workspace, "note_presence", hear)

    def run(app: AppTest, what: Callable[[], Any]) -> AppTest:
        pending.append(what)
        app.run()
        assert not app.exception and not pending
        return app

    return run


@pytest.mark.parametrize("network", [NETWORK, "fashion-resnet", "auto-mpg-mlp", "digits-mlp"])
def test_it_works_without_a_plan(open_page: Open, network: str) -> None:
    app = open_page("channel", network)
    assert not app.error
    assert sentence(app).startswith("#### Kept: the plan removes nothing yet; it ranks ")
    sample = sample_models.load(network)
    largest = max((g for g in sample.network.groups if g.is_prunable), key=lambda g: g.size)
    alone = Plan(network, "l1", (), (Pick(largest.name, 0, True),))
    assert metric(app, "Without it alone") == theme.number(
        accuracy(network, alone), sample.dataset.task.headline
    )
    smaller = cost(prune(sample.network, alone))
    lost = cost(sample.network).parameters - smaller.parameters
    assert metric(app, "Parameters with it") == f"{lost:,}"
    assert not any("of the plan" in m.label for m in app.metric)


def test_a_pick_changes_the_plan_the_numbers_and_the_sentence_and_can_be_undone(open_page: Open) -> None:
    app = choose(open_page("channel", NETWORK), "conv1", 5)
    before = sentence(app)
    decide(app, "Remove by hand")
    plan = Plan(NETWORK, "l1", (), (Pick("conv1", 5, True),))
    assert bench(app).plan == plan
    assert sentence(app).startswith("#### Removed by hand: it ranks ")
    assert "1 channel removed by hand." in texts(app)
    dense = accuracy(NETWORK, Plan(NETWORK, "l1"))
    assert metric(app, "Plan with it") == f"{dense:.1%}"
    decide(app, "Keep by hand")
    assert bench(app).plan == Plan(NETWORK, "l1", (), (Pick("conv1", 5, False),))
    assert sentence(app).startswith("#### Kept by hand") and "1 channel kept by hand." in texts(app)
    button(app, "Undo").click().run()
    assert bench(app).plan == plan and sentence(app).startswith("#### Removed by hand")
    decide(app, "As the plan says")
    assert bench(app).plan.picks == () and sentence(app) == before
    button(app, "Undo").click().run()
    button(app, "Undo").click().run()
    assert bench(app).plan.is_dense and bench(app).plan.picks == () and sentence(app) == before
    assert button(app, "Undo").disabled


def test_a_channel_is_decided_against_the_cut(open_page: Open, inside) -> None:
    network = sample_models.load(NETWORK).network
    plan = make_plan(network, "l1", "channel", {"conv1": 0.5, "conv3": 0.3})
    scores = score(network, "l1")
    order = ranking(scores, network, "conv1", "channel").tolist()
    app = inside(open_page("channel", NETWORK), lambda: workspace.bench().move(plan))
    choose(app, "conv1", order[0])
    assert sentence(app).startswith(
        "#### Removed: it ranks 32 of 32 by L1 magnitude, and the plan takes the 16 least"
    )
    decide(app, "Keep by hand")
    assert sentence(app).startswith(
        "#### Kept by hand: it ranks 32 of 32 by L1 magnitude, and without that the plan would take it"
    )
    kept = bench(app).plan
    assert kept.cuts == plan.cuts
    assert set(select(network, plan, scores).channels["conv1"]) - set(
        select(network, kept, scores).channels["conv1"]
    ) == {order[0]}
    assert metric(app, "Plan without it") == f"{accuracy(NETWORK, plan):.1%}"
    choose(app, "conv1", order[-1])
    assert sentence(app).startswith(
        "#### Kept: it ranks 1 of 32 by L1 magnitude, and the plan takes only the 16 least"
    )


def test_what_cannot_be_removed_is_refused_and_the_choice_falls_back(open_page: Open, inside) -> None:
    network = sample_models.load(NETWORK).network
    order = ranking(score(network, "l1"), network, "conv1", "channel").tolist()
    plan = make_plan(network, "l1", "channel", {"conv1": 1.0})
    app = inside(open_page("channel", NETWORK), lambda: workspace.bench().move(plan))
    choose(app, "conv1", order[-1])
    assert "it is the best channel of this group, and one of them must stay" in sentence(app)
    assert any("All 32 channels of conv1 would go" in c.value.replace("\\", "") for c in app.caption)
    decide(app, "Remove by hand")
    assert bench(app).plan == plan
    assert "All 32 channels of conv1 would go" in app.error[0].value.replace("\\", "")
    assert next(c for c in app.segmented_control if c.label == "Decide").value == "As the plan says"


def test_a_refused_group_says_why_and_offers_no_choice(open_page: Open) -> None:
    app = choose(open_page("channel", NETWORK), "head", 3)
    assert "this group keeps its channels, as the 10 outputs of head are the network's answer" in sentence(
        app
    )
    assert not [c for c in app.segmented_control if c.label == "Decide"] and not app.metric and not app.error


def test_previous_next_and_the_most_alike(open_page: Open) -> None:
    app = choose(open_page("channel", NETWORK), "conv1", 0)
    button(app, "Previous").click().run()
    assert app.number_input[0].value == 31
    button(app, "Next").click().run()
    button(app, "Next").click().run()
    assert app.number_input[0].value == 1
    label = button(app, "Most ").label
    button(app, "Most ").click().run()
    assert f"channel {app.number_input[0].value} " in label and app.number_input[0].value != 1
    app.switch_page("pages/weights.py").run()
    here = app.session_state["channels"][NETWORK]
    app.switch_page("pages/channel.py").run()
    assert app.session_state["channels"][NETWORK] == here


def test_every_criterion_ranks_it_on_demand(open_page: Open) -> None:
    app = choose(open_page("channel", "auto-mpg-mlp"), "hidden.fc1", 7)
    button(app, "Rank by").click().run()
    assert not [b for b in app.button if b.label.startswith("Rank by")]
    sample = sample_models.load("auto-mpg-mlp")
    chart = json.loads(app.get("plotly_chart")[1].proto.spec)
    dots = next(t for t in chart["data"] if t["mode"] == "markers")
    shown = dict(zip(dots["y"], dots["x"], strict=True))
    for name, criterion in CRITERIA.items():
        if name == "bn-scale":
            assert criterion.label not in shown
            continue
        found = rank(score(sample.network, name, sample.dataset), sample.network, "hidden.fc1", 7)
        assert shown[criterion.label] == found.rank


def test_members_of_a_group_are_heard_one_by_one(open_page: Open) -> None:
    app = choose(open_page("channel", "fashion-resnet"), "conv1", 2)
    layers = next(s for s in app.selectbox if s.label == "Heard behind")
    assert layers.options == ["conv1", "stage1.0.conv2"]
    layers.set_value("stage1.0.conv2").run()
    assert not app.exception and not app.error
    assert "What stage1.0.conv2 takes from each of its 16 inputs" in texts(app).replace("\\", "")
    assert app.number_input[0].value == 2


# ---- networks of every kind


@pytest.mark.parametrize(
    "name",
    ["gru-tokens", "textcnn", "regression", "binary", "vit-separate", "transformer-encoder", "resnet-padded",
     "conv3d", "conv1d", "glu-module", "lstm-bidirectional", "shared-linear", "stacked-maximum"],
)  # fmt: skip
def test_every_kind_of_network_and_layer_is_shown(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    own = own_network(name)
    monkeypatch.setattr(library, "_own", lambda: (own, ""))
    app = open_page("channel", own.network.name)
    for group in own.network.groups:
        for layer in group.members:
            for channel in (0, len(entries_of(own.network, group, layer)) - 1):
                app.session_state["channels"] = {own.network.name: (group.name, channel, layer)}
                app.run()
                assert not app.exception and not app.error, [e.value for e in app.error]
                assert sentence(app)
                assert len(app.subheader) == 6


def own_network(name: str) -> Opened:
    """A network of the zoo, or a binary one, with tiny data; of a name of its own, as caches outlive a test."""
    if name == "binary":
        network = load(randomise(Mlp(outputs=1)), (5,), "channel-page-binary")
        made = dataset((5,), 2, 40, task=BINARY)
        return Opened(network, made)
    network = replace(from_module(name), name=f"channel-page-{name}")
    data = Dataset("tiny", task_of(name), evaluation=tiny_split(name), calibration=tiny_split(name))
    return Opened(network, data)


# ---- the ways there, and what others show of picks


def test_a_row_of_the_console_leads_to_its_marginal_channel(open_page: Open, inside) -> None:
    network = sample_models.load(NETWORK).network
    order = ranking(score(network, "l1"), network, "conv2", "channel").tolist()
    cuts = make_plan(network, "l1", "channel", {"conv2": 0.5}).cuts
    cases = [
        (Plan(NETWORK, "l1"), order[0]),
        (Plan(NETWORK, "l1", cuts), order[32]),
        (Plan(NETWORK, "l1", cuts, (Pick("conv2", order[32], True),)), order[33]),
        (Plan(NETWORK, "l1", (), (Pick("conv2", order[0], False),)), order[1]),
    ]
    for plan, expected in cases:
        app = inside(open_page("prune", NETWORK), lambda plan=plan: workspace.bench().move(plan))
        inside(app, lambda: moves.handle([{"id": 1, "kind": "open", "target": "conv2"}]))
        assert app.session_state["channels"][NETWORK] == ("conv2", expected, "conv2")
        assert app.title[0].value == "Channel"


@pytest.mark.parametrize("event", [{"target": "nothing"}, {}, {"target": None}])
def test_a_row_that_is_not_there_leads_nowhere(open_page: Open, inside, event: dict[str, Any]) -> None:
    app = inside(open_page("prune", NETWORK), lambda: moves.handle([{"id": 1, "kind": "open", **event}]))
    assert app.title[0].value == "Prune"
    assert app.error[0].value == theme.plain("That move was not understood.")


def browser_counts(data: dict[str, Any], ratios: dict[str, float]) -> tuple[int, int, dict[str, int]]:
    """Parameters, MACs and channels left, as console.js counts them from what it was sent."""
    gone = {}
    for row in data["rows"]:
        cut = min(int(ratios.get(row["target"], 0) * row["size"] + 0.5), row["size"] - row["floor"])
        gone[row["target"]] = row["gone"][cut] if row["gone"] else cut
    ledger = data["ledger"]
    parameters, macs = ledger["parameters"], ledger["macs"]
    for entry in ledger["entries"]:
        left = {"out": entry["outputs"], "in": entry["inputs"]}
        for t in entry["takings"]:
            left[t["side"]] -= t["table"][gone[t["group"]]] if t["table"] else t["each"] * gone[t["group"]]
        pairs, squares = left["out"] * left["in"], left["out"] ** 2
        parameters += (
            entry["pair_parameters"] * pairs
            + entry["output_parameters"] * left["out"]
            + entry["square_parameters"] * squares
        )
        macs += (
            entry["pair_macs"] * pairs + entry["output_macs"] * left["out"] + entry["square_macs"] * squares
        )
    for target, taken in ledger["products"].items():
        macs -= taken[gone[target]]
    return parameters, macs, {row["target"]: row["size"] - gone[row["target"]] for row in data["rows"]}


@pytest.mark.parametrize("name", [NETWORK, "fashion-resnet"])
def test_the_console_counts_plans_with_picks_exactly(open_page: Open, inside, name: str) -> None:
    network = sample_models.load(name).network
    scores = score(network, "l1")
    order = ranking(scores, network, "conv1", "channel").tolist()
    picks = (Pick("conv1", order[0], False), Pick("conv1", order[-1], True), Pick("conv1", order[2], True))
    app = inside(open_page("prune", name), lambda: workspace.bench().move(Plan(name, "l1", (), picks)))
    data = console(app)
    assert data["state"]["picked"] and data["state"]["ratios"] == {}
    rows = {row["target"]: row for row in data["rows"]}
    assert rows["conv1"]["by_hand"] == "2 removed, 1 kept by hand"
    assert all(not row["by_hand"] and row["gone"] is None for t, row in rows.items() if t != "conv1")
    for conv1, others in ((0.0, 0.0), (0.1, 0.3), (0.5, 0.0), (0.75, 0.5)):
        ratios = {t: conv1 if t == "conv1" else others for t in rows}
        plan = Plan(name, "l1", make_plan(network, "l1", "channel", ratios).cuts, picks)
        smaller = prune(network, plan, scores)
        parameters, macs, left = browser_counts(data, ratios)
        assert (parameters, macs) == (cost(smaller).parameters, cost(smaller).macs)
        assert left["conv1"] == smaller.layer("conv1").shape[0]
    app.run()
    assert console(app)["reading"]["exact"]
    assert console(app)["reading"]["value"] == pytest.approx(accuracy(name, Plan(name, "l1", (), picks)))


def test_sliders_criterion_reset_paste_and_refresh_carry_picks(open_page: Open, inside) -> None:
    network = sample_models.load(NETWORK).network
    picks = (Pick("conv1", 3, True), Pick("conv2", 4, False))
    app = inside(open_page("prune", NETWORK), lambda: workspace.bench().move(Plan(NETWORK, "l1", (), picks)))
    drag = {"id": 1, "kind": "move", "ratios": {"conv2": 0.5}, "hand": "conv2"}
    inside(app, lambda: moves.handle([drag]))
    moved = Plan(NETWORK, "l1", make_plan(network, "l1", "channel", {"conv2": 0.5}).cuts, picks)
    assert bench(app).plan == moved
    app.run()
    words = "50% of the channels of 1 group, by L1 magnitude; 1 channel removed and 1 kept by hand."
    assert words in texts(app)
    next(s for s in app.selectbox if s.label == "Criterion").set_value("taylor").run()
    assert bench(app).plan == Plan(NETWORK, "taylor", moved.cuts, picks)
    app.run()  # a plan is stored with the next run, or once its reading is exact
    again = open_page("prune", NETWORK, history=app.session_state["history"])
    assert bench(again).plan == bench(app).plan
    kept = services.store().summaries(app.session_state["history"], NETWORK)
    assert key_of(moved) in [trial.key for trial in kept]
    inside(app, lambda: moves.handle([{"id": 2, "kind": "reset"}]))
    assert bench(app).plan == Plan(NETWORK, "l1")
    inside(app, lambda: moves.handle([{"id": 3, "kind": "undo"}]))
    assert bench(app).plan.picks == picks
    inside(app, lambda: moves.handle([{"id": 4, "kind": "paste", "text": to_json(moved)}]))
    assert bench(app).plan == moved


def test_a_move_that_leaves_nothing_with_what_was_picked_is_refused(open_page: Open, inside) -> None:
    network = sample_models.load(NETWORK).network
    best = ranking(score(network, "l1"), network, "conv1", "channel").tolist()[-1]
    start = Plan(NETWORK, "l1", (), (Pick("conv1", best, True),))
    app = inside(open_page("prune", NETWORK), lambda: workspace.bench().move(start))
    inside(app, lambda: moves.handle([{"id": 1, "kind": "move", "ratios": {"conv1": 1.0}, "hand": "conv1"}]))
    assert bench(app).plan == start
    assert any("All 32 channels of conv1 would go" in e.value.replace("\\", "") for e in app.error)


def test_multiples_count_what_was_picked(open_page: Open, inside) -> None:
    network = sample_models.load(NETWORK).network
    order = ranking(score(network, "l1"), network, "conv2", "channel").tolist()
    picks = tuple(Pick("conv2", c, True) for c in order[-3:])
    app = inside(open_page("prune", NETWORK), lambda: workspace.bench().move(Plan(NETWORK, "l1", (), picks)))
    app.selectbox(key="multiple").set_value(8).run()
    inside(app, lambda: moves.handle([{"id": 1, "kind": "move", "ratios": {"conv2": 0.4}, "hand": "conv2"}]))
    left = prune(network, bench(app).plan).layer("conv2").shape[0]
    assert left % 8 == 0 and abs(left - (0.6 * 64 - 3)) <= 5


def test_clicks_on_the_importance_page_lead_to_the_channel(open_page: Open) -> None:
    app = open_page("importance", NETWORK)
    charts = [json.loads(c.proto.spec) for c in app.get("plotly_chart")]
    network = sample_models.load(NETWORK).network
    values = score(network, "l1").values["conv3"].flatten(1).sum(1)
    marks = next(t for t in charts[0]["data"] if t["type"] == "scatter")
    assert marks["customdata"] == list(range(64)) and marks["y"] == list(range(64))
    app.toggle[0].set_value(True).run()
    chart = json.loads(app.get("plotly_chart")[0].proto.spec)
    marks = next(t for t in chart["data"] if t["type"] == "scatter")
    assert marks["customdata"] == values.argsort(descending=True, stable=True).tolist()


# ---- figures


def test_row_marks_lead_to_the_first_of_the_rows_drawn_as_one() -> None:
    order = list(range(200, 0, -1))
    figure = channel_figures.with_row_marks(
        channel_figures.go.Figure(), order, theme.LIGHT, step=3, columns=9
    )
    marks = figure.data[0]
    assert list(marks.customdata) == order[::3] and list(marks.y)[:3] == [1, 4, 7]
    assert figure.layout.clickmode == "event+select"


def test_kernels_are_laid_out_side_by_side() -> None:
    weights = torch.randn(5, 3, 3)
    figure = channel_figures.kernel_tiles(weights, theme.DARK, names=[f"i{n}" for n in range(5)])
    canvas, labels = np.array(figure.data[0].z), np.array(figure.data[0].customdata)
    for i in range(5):
        assert sorted(canvas[labels == f"i{i}"]) == pytest.approx(sorted(weights[i].flatten().tolist()))
    assert int(np.isfinite(canvas).sum()) == 45
    many = torch.randn(100, 2, 2)
    figure = channel_figures.kernel_tiles(many, theme.LIGHT, names=[f"i{n}" for n in range(100)])
    shown = set(np.array(figure.data[0].customdata).ravel()) - {""}
    strongest = many.flatten(1).norm(dim=1).topk(64).indices.tolist()
    assert shown == {f"i{n}" for n in strongest}


def test_bars_show_the_strongest_of_many_inputs() -> None:
    few = channel_figures.weight_bars(torch.tensor([1.0, -2.0]), theme.LIGHT, names=["a", "b"])
    assert list(few.data[0].x) == ["a", "b"] and list(few.data[0].y) == [1, -2]
    values = torch.linspace(-1, 0.9, 100)
    many = channel_figures.weight_bars(values, theme.LIGHT, names=[str(i) for i in range(100)])
    assert set(many.data[0].x) == {str(i) for i in values.abs().topk(48).indices.tolist()}


def test_a_picture_is_tinted_where_the_channel_speaks() -> None:
    picture, where = np.full((2, 2, 3), 0.5), np.array([[0.0, 2.0], [-3.0, 1.0]])
    tinted = channel_gallery.overlaid(picture, where, 2.0, (0, 255, 0))
    assert tinted[0, 0] == pytest.approx(0.5) and tinted[1, 0] == pytest.approx(0.5)  # silent, and below 0
    assert tinted[0, 1] == pytest.approx([0.125, 0.875, 0.125])
    assert tinted[1, 1] == pytest.approx([0.5 * 0.625, 0.5 * 0.625 + 0.375, 0.5 * 0.625])
    text = channel_gallery.channel_gallery(
        [channel_gallery.Picture("<b>", "a & b", picture, None)], theme.LIGHT
    )
    assert "&lt;b&gt;" in text and "a &amp; b" in text and text.count("<img") == 1
