"""The Layers page: the same as before, redundancy, topology, for any kind of network and data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest

import sample_models
from analysis.datasets import Dataset, Split
from analysis.importance.registry import score
from analysis.inside.blocks import find_blocks
from analysis.inside.representation import cka, minibatches
from analysis.inside.topology import topology
from analysis.measure.quality import evaluate
from analysis.pruning.plan import Plan, uniform_plan
from analysis.pruning.prune import prune
from analysis.pruning.selection import select
from analysis.sources import Opened
from analysis.tasks import CLASSIFICATION, REGRESSION
from analysis.units import Case, find_unit
from tests.inside.nets import Residual
from tests.networks import Mlp, load, randomise
from tests.networks import split as tiny_rows
from tests.pages.conftest import Bring, Open, charts, follow, metric, texts
from tests.pages.stand_ins import single, tokens
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module
from ui import studies, workspace

pytestmark = pytest.mark.usefixtures("own_jobs")

VIEWS = ["Same as before?", "Redundancy", "Topology"]


def start(app: AppTest) -> AppTest:
    return next(b for b in app.button if b.label.startswith("Prune 30%")).click().run()


def view(app: AppTest, name: str) -> AppTest:
    app = app.segmented_control[0].set_value(name).run()
    assert not app.exception and not app.error
    return app


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies run within the page, for networks that no other process knows."""

    def panel(study: studies.Study, draw: studies.Draw, **_: Any) -> None:
        opened = workspace.opened()
        split = opened.dataset.evaluation.sample(workspace.image_count())
        plan = study.plan or Plan(opened.network.name, "l1")
        case = Case(opened.network, opened.dataset, split, plan)
        draw(list(find_unit(study.kind)(case, study.parameters, [], lambda share: None)))

    monkeypatch.setattr(studies, "panel", panel)


def put(app: AppTest, network: str, plan: Plan) -> AppTest:
    app.session_state["benches"][network].move(plan)
    return app.run()


def test_without_a_plan_only_the_first_view_waits_for_one(open_page: Open) -> None:
    app = open_page("layers", "digits-mlp")
    assert app.segmented_control[0].options == VIEWS
    assert "Nothing is pruned yet" in app.info[0].value
    view(app, "Topology")
    assert not app.info and metric(app, "Dead units") == "0"
    view(app, VIEWS[0])
    start(app)
    assert not app.info


def test_layers_are_compared_before_and_after_by_a_job(open_page: Open) -> None:
    app = follow(start(open_page("layers", "digits-cnn")))
    opened = sample_models.load("digits-cnn")
    pruned = prune(opened.network, uniform_plan(opened.network, "l1", "channel", 0.3))
    expected = cka(list(minibatches(opened.network, pruned, opened.dataset.evaluation.sample(512).inputs)))
    heatmap, own = charts(app)
    names = [layer.name for layer in opened.network.layers]
    assert heatmap["layout"]["yaxis"]["ticktext"] == names == own["layout"]["yaxis"]["ticktext"]
    assert [s.value for s in app.subheader] == ["Every layer with every layer", "Each layer with itself"]
    shown = heatmap["data"][0]["text"]
    assert shown == [[f"{v:.2f}" for v in row] for row in expected.tolist()]
    worst = names[int(expected.diagonal().argmin())]
    assert f"Least alike: {worst}, {float(expected.diagonal().min()):.2f}" in texts(app)
    assert "450 images of the evaluation set" in texts(app)
    alike = sum(f"{v:.2f}" >= "0.90" for v in expected.diagonal().tolist())
    assert f"{alike} of {len(names)} layers have a CKA of 0.9 or more" in texts(app)
    task = opened.dataset.task
    for label, shown in (("before", opened.network), ("after", pruned)):
        accuracy = float(evaluate(shown, opened.dataset.evaluation, task).correct.double().mean())
        assert metric(app, f"Accuracy {label}") == f"{accuracy:.1%}"


def test_blocks_are_skipped_on_the_dense_network_by_a_job(open_page: Open) -> None:
    app = view(open_page("layers", "digits-mlp"), "Redundancy")
    follow(app)
    if not charts(app)[1:]:
        next(b for b in app.button if b.label == "Skip each block").click().run()
        follow(app)
    opened = sample_models.load("digits-mlp")
    (block,) = find_blocks(opened.network)
    blocks = charts(app)[1]
    assert blocks["layout"]["yaxis"]["ticktext"] == [block.name] == ["hidden.fc2"]
    dense = evaluate(opened.network, opened.dataset.evaluation, opened.dataset.task)
    line = next(trace for trace in blocks["data"] if trace.get("name") == "whole network")
    assert line["x"][0] == pytest.approx(100 * float(dense.correct.double().mean()))
    assert "changes the network beyond noise" in texts(app)
    guessing = next(trace for trace in blocks["data"] if trace.get("name") == "guessing")
    targets = opened.dataset.evaluation.targets.tolist()
    assert guessing["x"][0] == pytest.approx(100 * max(map(targets.count, targets)) / len(targets))
    assert "always naming the commonest class" in texts(app)


def test_a_network_without_blocks_says_so(open_page: Open) -> None:
    app = view(open_page("layers", "fashion-lenet"), "Redundancy")
    assert any("No block of this network can be skipped" in info.value for info in app.info)


def test_topology_counts_what_a_weight_plan_leaves(open_page: Open) -> None:
    app = open_page("layers", "auto-mpg-mlp")
    network = sample_models.load("auto-mpg-mlp").network
    plan = uniform_plan(network, "l1", "weight", 0.9)
    put(app, "auto-mpg-mlp", plan)
    view(app, "Topology")
    found = topology(network, select(network, plan, score(network, "l1")))
    assert found.total("stranded") > 0
    assert metric(app, "Dead units") == f"{found.total('dead'):,}"
    assert metric(app, "Connections left") == f"{found.total('nonzero'):,}"
    assert metric(app, "Stranded") == f"{found.total('stranded') / found.total('nonzero'):.1%}"
    table = app.dataframe[0].value
    assert list(table["Layer"]) == [layer.name for layer in found.layers]
    assert list(table["Deaf"]) == [int(layer.deaf.sum()) for layer in found.layers]
    assert list(table["Removed"]) == [layer.removed for layer in found.layers]
    alone = [100 * layer.removed_alone / layer.removed for layer in found.layers]
    assert list(table["Back"]) == pytest.approx(alone)
    assert list(table["Out"].isna()) == [layer.links_out is None for layer in found.layers]
    most = max(found.layers, key=lambda layer: layer.stranded).name
    assert app.main.selectbox[0].value == most
    names = [trace.get("name", "") for trace in charts(app)[0]["data"]]
    stranded = found.layer(most).stranded  # in a linear layer every link is a weight
    assert f"stranded ({stranded:,})" in names
    app.segmented_control[1].set_value("Cells").run()
    assert charts(app)[0]["data"][0]["type"] == "heatmap"


@pytest.mark.parametrize("ratio", [None, 0.01])
def test_a_plan_that_removes_nothing_is_shown_as_the_dense_network(
    open_page: Open, ratio: float | None
) -> None:
    app = open_page("layers", "digits-cnn")
    if ratio:
        network = sample_models.load("digits-cnn").network
        plan = uniform_plan(network, "l1", "channel", ratio)
        plan = replace(plan, cuts=tuple(cut for cut in plan.cuts if cut.target == "conv1"))
        assert not any(select(network, plan, score(network, "l1")).channels.values())
        put(app, "digits-cnn", plan)
    view(app, "Topology")
    assert ("The plan removes nothing: this is the dense network" in texts(app)) == (ratio is not None)
    assert "connections removed" not in texts(app)
    assert not {"Removed", "Back"} & set(app.dataframe[0].value)
    assert [trace["name"] for trace in charts(app)[1]["data"]] == ["before"]


def test_units_that_had_only_zeros_are_no_connections_removed(open_page: Open, brought: Bring) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2))
    randomise(module)
    with torch.no_grad():
        module[0].weight[1] = 0
        module[2].weight[:, 1] = 0
    network, split = load(module, (3,), "zeros"), tiny_rows((3,), 2, 40)
    data = Dataset("rows", CLASSIFICATION, split, split, class_names=("a", "b"))
    name = brought(Opened(network, data))
    plan = replace(uniform_plan(network, "l1", "channel", 0.25), network=name)
    app = view(put(open_page("layers", name), name, plan), "Topology")
    assert metric(app, "Units left") == "5"
    assert "All connections of the units removed were zero before" in texts(app)
    assert list(app.dataframe[0].value["Removed"]) == [0, 0] and app.dataframe[0].value["Back"].isna().all()


def test_topology_of_removed_channels_keeps_the_dense_layers_shape(open_page: Open) -> None:
    app = view(start(open_page("layers", "digits-cnn")), "Topology")
    network = sample_models.load("digits-cnn").network
    plan = uniform_plan(network, "l1", "channel", 0.3)
    found = topology(network, select(network, plan, score(network, "l1")))
    assert metric(app, "Units left") == f"{found.units:,}"
    app.main.selectbox[0].set_value("conv1").run()
    assert not app.exception
    assert "grey is removed" in texts(app)
    before, after = charts(app)[1]["data"]
    assert sum(before["y"]) == 32 and sum(after["y"]) == int((~found.layer("conv1").gone).sum())


def test_a_large_layer_is_drawn_in_shares(open_page: Open) -> None:
    app = view(open_page("layers", "digits-mlp"), "Topology")
    app.main.selectbox[0].set_value("hidden.fc2").run()
    heatmap = charts(app)[0]["data"][0]
    assert (
        heatmap["type"] == "heatmap" and "shares of 3" in charts(app)[0]["layout"]["xaxis"]["title"]["text"]
    )
    app.main.selectbox[0].set_value("head").run()
    assert "Its units are the answer" in texts(app)


def words() -> Opened:
    network = from_module("vit-fused")
    split = Split(BY_NAME["vit-fused"].inputs(40), torch.arange(40) % 4, "40 pictures")
    data = Dataset("pictures", CLASSIFICATION, split, split, class_names=("a", "b", "c", "d"))
    return Opened(replace(network, name="transformer"), data)


def values() -> Opened:
    module = Residual()
    module.head = torch.nn.Linear(4, 1)
    network = load(randomise(module), (3,), "values")
    split = tiny_rows((3,), 0, 50, task=REGRESSION)
    return Opened(network, Dataset("rows", REGRESSION, split, split, target_unit="km"))


@pytest.mark.parametrize("make", [words, tokens, single, values])
def test_any_kind_of_network_and_data(
    open_page: Open, brought: Bring, at_once: None, make: Callable[[], Opened]
) -> None:
    opened = make()
    app = start(open_page("layers", brought(opened)))
    for name in VIEWS:
        view(app, name)
        assert charts(app)
        for chart in charts(app):
            assert chart["data"]
    said = texts(app).replace("\\", "")
    for layer in topology(opened.network).layers:
        assert not layer.note or f": {layer.note}." in said
    view(app, "Redundancy")
    assert len(charts(app)) == (2 if find_blocks(opened.network) else 1)


def test_too_few_examples_get_a_sentence(open_page: Open, brought: Bring, at_once: None) -> None:
    network, few = load(randomise(Mlp()), (5,), "few"), tiny_rows((5,), 3, 3)
    data = Dataset("rows", CLASSIFICATION, few, tiny_rows((5,), 3, 20), class_names=("a", "b", "c"))
    opened = Opened(network, data)
    app = start(open_page("layers", brought(opened)))
    assert "at least 4 examples, and there are 3" in app.info[0].value
    view(app, "Topology")
    assert charts(app)


def test_a_block_that_cannot_be_skipped_says_why(open_page: Open, brought: Bring, at_once: None) -> None:
    module = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Linear(2, 2), torch.nn.Linear(2, 2))
    randomise(module)
    with torch.no_grad():
        module[0].weight.fill_(1e30)
        module[1].weight.copy_(1e-30 * torch.eye(2))
        module[2].weight.copy_(1e30 * torch.eye(2))
        for layer in module:
            layer.bias.zero_()
    split = tiny_rows((3,), 2, 40)
    data = Dataset("rows", CLASSIFICATION, split, split, class_names=("a", "b"))
    opened = Opened(load(module, (3,), "huge"), data)
    app = view(open_page("layers", brought(opened)), "Redundancy")
    assert "cannot be skipped" in texts(app).replace("\\", "")
