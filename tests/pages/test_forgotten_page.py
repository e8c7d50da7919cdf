"""The Forgotten page: classes, confidence, exemplars, robustness, for classes and for values."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest
from torch import Tensor, nn

import sample_models
from analysis.datasets import Dataset, Split
from analysis.explain.examples import choose
from analysis.forgetting.classes import class_changes, disparity
from analysis.forgetting.corruption import corruptions_for, strengths_of
from analysis.forgetting.exemplars import MEMBERS, consensus, population
from analysis.forgetting.margins import margins
from analysis.forgetting.robustness import robustness
from analysis.measure.quality import Evaluation, evaluate
from analysis.pruning.groups import with_groups
from analysis.pruning.plan import Plan, make_plan, uniform_plan
from analysis.pruning.prune import prune
from analysis.sources import Opened
from analysis.tasks import BINARY, CLASSIFICATION
from analysis.tracing import trace
from tests.networks import Mlp, load, randomise
from tests.networks import split as tiny_rows
from tests.pages.conftest import Bring, Open, charts, follow, metric, texts
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module
from ui.forgotten import forgotten_views

pytestmark = pytest.mark.usefixtures("own_jobs")


class Colour(nn.Module):
    """A convolution and a head; reads (3, 6, 6)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 8, 3), nn.ReLU()
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.conv(x)).mean((2, 3)))


@pytest.fixture
def pruned(open_page: Open) -> AppTest:
    return start(open_page("forgotten", "digits-cnn"))


def start(app: AppTest) -> AppTest:
    return next(b for b in app.button if b.label.startswith("Prune 30%")).click().run()


def view(app: AppTest, name: str) -> AppTest:
    app = app.segmented_control[0].set_value(name).run()
    assert not app.exception and not app.error
    return app


def select(app: AppTest, label: str) -> Any:
    return next(s for s in app.main.selectbox if s.label == label)


def html(app: AppTest) -> str:
    return "".join(element.proto.body for element in app.get("html"))


def plan_of(name: str) -> Plan:
    return uniform_plan(sample_models.load(name).network, "l1", "channel", 0.3)


def answered(name: str) -> tuple[Evaluation, Evaluation]:
    opened = sample_models.load(name)
    split = opened.dataset.evaluation.sample(1000)
    before = evaluate(opened.network, split, opened.dataset.task)
    return before, evaluate(prune(opened.network, plan_of(name)), split, before.task)


def test_without_a_plan_the_page_says_what_to_do(open_page: Open) -> None:
    app = open_page("forgotten", "digits-cnn")
    assert "Nothing is pruned yet" in app.info[0].value
    start(app)
    assert not app.info
    assert "Accuracy after" in [m.label for m in app.metric]
    assert app.segmented_control[0].options == ["Classes", "Confidence", "Exemplars", "Robustness"]


def test_classes_are_counted_and_the_worst_is_named(pruned: AppTest) -> None:
    assert [s.value for s in pruned.subheader] == [
        "Change per class",
        "Accuracy per class",
        "Confusions, after minus before",
        "All metrics",
    ]
    before, after = answered("digits-cnn")
    found = class_changes(before, after)
    lost = sum(change.is_real and change.change.value < 0 for change in found)
    assert metric(pruned, "Classes that lost") == f"{lost} of 10"
    assert metric(pruned, "Worst class") == str(disparity(before, after).worst)
    shown = {
        name: x for trace in charts(pruned)[0]["data"] for name, x in zip(trace["y"], trace["x"], strict=True)
    }
    assert shown == pytest.approx({str(c.label): 100 * c.change.value for c in found})


def test_of_many_classes_those_that_changed_most_are_drawn(
    open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgotten_views, "MAX_CLASSES", 4)
    app = start(open_page("forgotten", "digits-cnn"))
    found = [c for c in class_changes(*answered("digits-cnn")) if c]
    most = {str(c.label) for c in sorted(found, key=lambda c: -abs(c.change.value))[:4]}
    change, accuracy, confusions = charts(app)
    assert {name for points in change["data"] for name in points["y"]} == most
    assert set(accuracy["data"][0]["y"]) == most
    assert confusions["data"][0]["x"] == sorted(most)
    assert "The 4 of 10 classes that changed most." in texts(app)


def test_all_metrics_stand_in_a_table_with_their_changes(pruned: AppTest) -> None:
    table = html(pruned)
    for label in ("Accuracy", "Top-5 accuracy", "Balanced accuracy", "F1", "Loss", "Calibration error"):
        assert f">{label}</td>" in table
    assert table.count("<tr>") == 1 + 8 and table.count("95% interval") == 2 * 8
    assert "worse" in table.split("</style>")[1], "a third of the channels gone costs accuracy"
    assert metric(pruned, "Accuracy after") in table


def test_confidence_counts_the_fates_of_all_examples(pruned: AppTest) -> None:
    view(pruned, "Confidence")
    reliability, cumulative, scatter = charts(pruned)
    for points in reliability["data"][1:]:
        assert sum(row[0] for row in points["customdata"]) == 450
    assert "true class" in cumulative["layout"]["xaxis"]["title"]["text"]
    counts = margins(*answered("digits-cnn")).counts
    names = " ".join(points.get("name", "") for points in scatter["data"])
    assert f"right in both: {counts['kept']:,}" in names
    assert f"right before only: {counts['forgotten']:,}" in names
    control = next(c for c in pruned.segmented_control if c.label == "Probability of")
    control.set_value("the answer").run()
    assert "the answer" in charts(pruned)[1]["layout"]["xaxis"]["title"]["text"]


def test_exemplars_are_the_changed_answers_most_confidence_lost_first(pruned: AppTest) -> None:
    view(pruned, "Exemplars")
    found = choose("changed", *answered("digits-cnn")).tolist()
    shown = [int(i) for i in re.findall(r"<b>#(\d+) ", html(pruned))]
    assert shown == found[:24]
    assert html(pruned).count("<img") == 24
    (chart,) = charts(pruned)
    assert chart["data"][0]["y"] == ["answer changed", "all others"]


def test_exemplars_of_one_class_and_the_next_page(pruned: AppTest) -> None:
    view(pruned, "Exemplars")
    before, after = answered("digits-cnn")
    found = choose("changed", before, after)
    page = next(s for s in pruned.main.slider if s.label.startswith("Page"))
    page.set_value(2).run()
    assert [int(i) for i in re.findall(r"<b>#(\d+) ", html(pruned))] == found[24:48].tolist()
    select(pruned, "True class").set_value(9).run()
    mine = found[before.split.targets[found] == 9]
    shown = [int(i) for i in re.findall(r"<b>#(\d+) 9<", html(pruned))]
    assert shown == mine[:24].tolist()


def test_a_population_fills_live_and_names_its_exemplars(pruned: AppTest) -> None:
    view(pruned, "Exemplars")
    pruned.segmented_control[1].set_value("A population").run()
    assert "only one pruned network" in texts(pruned)
    select(pruned, "Rank by").set_value("random").run()
    next(b for b in pruned.button if b.label.startswith("Prune 10")).click().run()
    assert [b.label for b in pruned.main.button] == ["Cancel"]
    follow(pruned)
    opened = sample_models.load("digits-cnn")
    before, _ = answered("digits-cnn")
    plan = replace(plan_of("digits-cnn"), criterion="random")
    members = population(opened.network, plan, opened.dataset, before.split, before.task)
    found = consensus(before.answers, [member.answers for member in members])
    count = int(found.exemplars.sum())
    assert count > 0
    assert f"on {count} of 450 examples" in texts(pruned)
    bars = charts(pruned)[0]["data"]
    changed = next(bar for bar in bars if bar["name"] == "modal answer changed")
    assert sum(_numbers(changed["y"])) == count
    assert len(_numbers(changed["x"])) == MEMBERS
    assert f"of {MEMBERS} of the population disagree" in html(pruned)


def test_a_criterion_that_varies_ranks_its_own_population(open_page: Open) -> None:
    app = open_page("prune", "digits-cnn")
    plan = make_plan(sample_models.load("digits-cnn").network, "fisher", "channel", {"conv3": 0.5})
    app.session_state["benches"]["digits-cnn"].move(plan)
    app.switch_page("pages/forgotten.py").run()
    view(app, "Exemplars")
    app.segmented_control[1].set_value("A population").run()
    assert select(app, "Rank by").value == "fisher"
    assert "only one pruned network" not in texts(app)


def test_networks_that_answer_alike_have_no_exemplar(open_page: Open) -> None:
    app = open_page("prune", "digits-mlp")
    network = sample_models.load("digits-mlp").network
    plan = make_plan(network, "l1", "weight", {network.layers[0].name: 0.001})
    app.session_state["benches"]["digits-mlp"].move(plan)
    app.switch_page("pages/forgotten.py").run()
    assert metric(app, "Classes that lost") == "0 of 10"
    view(app, "Exemplars")
    assert "every example alike" in app.info[0].value


def test_robustness_is_measured_in_a_job_and_drawn_for_every_corruption(open_page: Open) -> None:
    app = start(open_page("forgotten", "digits-mlp"))
    view(app, "Robustness")
    select(app, "Corruption").set_value("occlusion").run()
    shape = torch.Size((450, 1, 8, 8))
    occlusion = next(entry for entry in corruptions_for("image") if entry.name == "occlusion")
    assert html(app).count("<img") == len(strengths_of(occlusion, shape))
    next(b for b in app.button if b.label == "Measure robustness").click().run()
    follow(app)
    assert not any(b.label == "Measure robustness" for b in app.button)
    opened = sample_models.load("digits-mlp")
    points = robustness(
        opened.network,
        prune(opened.network, plan_of("digits-mlp")),
        opened.dataset,
        opened.dataset.evaluation.sample(1000),
    )
    expected: dict[str, list[float]] = {}
    for point in points:
        expected.setdefault(point.corruption, []).append(100 * point.after.value)
    (chart,) = charts(app)
    lines = [t for t in chart["data"] if t.get("name") == "after" and "markers" in t["mode"]]
    assert [t["y"] for t in lines] == [pytest.approx(values) for values in expected.values()]


def test_regression_compares_predictions_errors_and_rows(open_page: Open) -> None:
    app = start(open_page("forgotten", "auto-mpg-mlp"))
    assert app.segmented_control[0].options == ["Predictions", "Errors", "Exemplars", "Robustness"]
    assert "dotted line" in texts(app)
    assert all(f">{label}</td>" in html(app) for label in ("R²", "RMSE", "MAE", "MSE"))
    view(app, "Errors")
    assert "no confidence to compare" in texts(app)
    before, after = answered("auto-mpg-mlp")
    was, now = ((e.answers - e.split.targets).abs() for e in (before, after))
    names = " ".join(points["name"] for points in charts(app)[0]["data"])
    assert f"larger after: {int((now > was).sum())}" in names
    view(app, "Exemplars")
    table = app.dataframe[0].value
    worst = int((now - was).argmax())
    assert table["#"].iloc[0] == str(worst)
    assert "no population" in texts(app)
    assert "as the network reads them" in texts(app)
    view(app, "Robustness")
    assert list(select(app, "Corruption").options) == ["Noise", "Missing features"]
    assert "weight" in app.dataframe[0].value.columns


def words() -> Opened:
    """Tokens of two classes; the network tells two more apart, which have no name and no example."""
    network = from_module("textcnn")
    split = Split(BY_NAME["textcnn"].inputs(60, seed=3), torch.arange(60) % 2, "60 sentences")
    data = Dataset("sentences", CLASSIFICATION, split, split.take(torch.arange(30)), ("<i>ham</i>", "spam"))
    return Opened(replace(network, name="tokens"), data)


def colours() -> Opened:
    """Three-channel images that all belong to one of four classes."""
    network = trace(randomise(Colour()), torch.zeros(1, 3, 6, 6), "colours")
    inputs = torch.randn((40, 3, 6, 6), generator=torch.Generator().manual_seed(0))
    split = Split(inputs, torch.zeros(40, dtype=torch.long), "40 pictures")
    data = Dataset("pictures", CLASSIFICATION, split, split, ("a", "b", "c", "d"), offset=0.5, scale=0.25)
    return Opened(with_groups(network), data)


def single() -> Opened:
    """Rows that a network with a single output tells into two classes."""
    network = load(randomise(Mlp(outputs=1)), (5,), "single")
    split = tiny_rows((5,), 2, 60, task=BINARY)
    data = Dataset("rows", BINARY, split, split, ("no", "yes"), tuple("abcde"))
    return Opened(network, data)


@pytest.mark.parametrize("make", [words, colours, single])
def test_any_kind_of_data_and_labels(open_page: Open, brought: Bring, make: Callable[[], Opened]) -> None:
    opened = make()
    app = start(open_page("forgotten", brought(opened)))
    assert not app.exception and not app.error
    occurring = len(set(opened.dataset.evaluation.targets.tolist()))
    assert metric(app, "Classes that lost").endswith(f"of {occurring}")
    before = evaluate(opened.network, opened.dataset.evaluation, opened.dataset.task)
    named = list(opened.dataset.class_names)
    unnamed = [f"class {i}" for i in range(len(named), before.classes)]
    assert charts(app)[2]["data"][0]["x"] == named + unnamed
    view(app, "Confidence")
    assert "log odds" in texts(app)
    view(app, "Exemplars")
    if not app.info:
        shown = html(app) if opened.dataset.is_image else str(app.dataframe[0].value)
        assert "#" in shown
        assert "<i>ham</i>" not in html(app)
    app.segmented_control[1].set_value("A population").run()
    assert select(app, "Rank by").options[-1] == "Random"
    view(app, "Robustness")
    kinds = {"words": ["Missing words"], "single": ["Noise", "Missing features"]}
    images = ["Noise", "Blur", "Contrast", "Occlusion", "Shift"]
    assert list(select(app, "Corruption").options) == kinds.get(make.__name__, images)


def _numbers(values: Any) -> list[int]:
    """A chart's numbers, which Plotly sends as a list or as bytes."""
    if isinstance(values, dict):
        import base64

        import numpy as np

        return np.frombuffer(base64.b64decode(values["bdata"]), np.dtype(values["dtype"])).tolist()
    return list(values)
