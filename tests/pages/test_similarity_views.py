"""The Compare page's views of many examples: similarity, over ratios, faithfulness."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

import sample_models
from analysis.datasets import Dataset, Split
from analysis.explain.drift import RATIOS, Floor, alike, drift, scaled
from analysis.explain.explainer import explainer
from analysis.explain.faithfulness import faithfulness
from analysis.importance.registry import score
from analysis.pruning.groups import with_groups
from analysis.pruning.plan import Plan, uniform_plan
from analysis.pruning.prune import prune
from analysis.sources import Opened
from analysis.tasks import BINARY, CLASSIFICATION
from analysis.units import Case, find_unit
from analysis.units import drift as drift_unit
from analysis.units import faithfulness as faithfulness_unit
from tests.networks import Mlp, load, randomise
from tests.pages.conftest import Bring, Open, charts, follow, texts
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module
from ui import studies
from ui.compare import similarity_views

pytestmark = pytest.mark.usefixtures("own_jobs")


def opened_at(open_page: Open, view: str, network: str = "digits-cnn") -> AppTest:
    app = open_page("compare", network)
    next(b for b in app.button if b.label.startswith("Prune 30%")).click().run()
    app = app.segmented_control[0].set_value(view).run()
    assert not app.exception and not app.error
    return app


def select(app: AppTest, label: str) -> Any:
    return next(s for s in app.main.selectbox if s.label == label)


def press(app: AppTest, label: str) -> AppTest:
    """Press a button and let the job come to its end, looking again and again as the browser does."""
    return follow(next(b for b in app.button if b.label == label).click().run())


def traces(chart: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {trace["name"]: trace for trace in chart["data"] if "name" in trace}


def numbers(values: Any) -> list[float]:
    """What Plotly holds: a list, or packed."""
    if isinstance(values, dict):
        return np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"]).tolist()
    return list(values)


def dense_and_plan(name: str) -> tuple[Opened, Plan]:
    opened = sample_models.load(name)
    return opened, uniform_plan(opened.network, "l1", "channel", 0.3)


def test_similarity_names_its_medians(open_page: Open) -> None:
    app = opened_at(open_page, "Similarity")
    names = " ".join(trace["name"] for trace in charts(app)[0]["data"])
    assert all(word in names for word in ("Spearman", "Cosine", "Top 10% overlap", "SSIM", "median"))


def test_slow_maps_are_compared_in_a_study(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    quick = opened_at(open_page, "Similarity")
    expected = {name: numbers(trace["x"]) for name, trace in traces(charts(quick)[0]).items()}
    monkeypatch.setattr(similarity_views, "_WAITED_SECONDS", -1.0)
    monkeypatch.setattr(similarity_views, "SIMILARITY_EXAMPLES", 10)
    app = opened_at(open_page, "Similarity")
    assert not charts(app)
    (chart,) = charts(press(app, "Compare"))
    found = {name.split("<br>")[0]: numbers(trace["x"]) for name, trace in traces(chart).items()}
    assert {name.split("<br>")[0]: values[:10] for name, values in expected.items()} == {
        name: pytest.approx(values, abs=1e-6) for name, values in found.items()
    }


@pytest.mark.parametrize("network", ["digits-cnn", "auto-mpg-mlp"])
def test_over_ratios_draws_what_the_engine_measures(open_page: Open, network: str) -> None:
    app = opened_at(open_page, "Over ratios", network)
    select(app, "Ratios").set_value(6)
    noun = "images" if network == "digits-cnn" else "examples"
    select(app, f"Explained {noun}").set_value(32).run()
    assert "explains 32 of them" in texts(app)
    (chart,) = charts(press(app, "Measure 6 ratios"))
    opened, _ = dense_and_plan(network)
    methods = {"saliency": "Saliency", "grad-cam": "GradCAM"}
    if network == "auto-mpg-mlp":
        del methods["grad-cam"]
    found = list(
        drift(
            opened.network, opened.dataset.task, opened.dataset.evaluation.sample(1000),
            alike(opened.network, "l1", "channel"), score(opened.network, "l1"),
            {name: explainer(name, opened.dataset.baseline) for name in methods},
            calibration=opened.dataset.calibration.inputs, ratios=(0, 0.1, 0.3, 0.5, 0.7, 0.9), examples=32,
        )
    )  # fmt: skip
    (floor,) = [part for part in found if isinstance(part, Floor)]
    points = [part for part in found if not isinstance(part, Floor)]
    drawn = traces(chart)
    for name, label in methods.items():
        medians = [point.similarity[name]["spearman"].median for point in points]
        assert numbers(drawn[label]["y"]) == pytest.approx(medians, abs=1e-4)
        level = floor.similarity[name]["spearman"].median
        assert numbers(drawn[f"{label}: random weights"]["y"]) == pytest.approx([level] * 2, abs=1e-4)
    (below,) = [trace for trace in chart["data"] if trace.get("yaxis") == "y2" and "fill" not in trace]
    scale = 100 if opened.dataset.task.is_classification else 1
    assert numbers(below["y"]) == pytest.approx([scale * point.quality.value for point in points], abs=1e-4)
    assert len(app.dataframe[0].value) == len(points) + 1
    assert ("SSIM" in select(app, "Similarity").options) == (network == "digits-cnn")
    select(app, "Similarity").set_value("cosine").run()
    medians = [point.similarity["saliency"]["cosine"].median for point in points]
    assert numbers(traces(charts(app)[0])["Saliency"]["y"]) == pytest.approx(medians, abs=1e-4)


def test_the_plan_can_be_scaled_instead(open_page: Open) -> None:
    app = opened_at(open_page, "Over ratios", "digits-mlp")
    select(app, "Ratios").set_value(6)
    select(app, "Explained images").set_value(32)
    app.segmented_control[1].set_value("The plan, scaled").run()
    (chart,) = charts(press(app, "Measure 6 ratios"))
    assert "scaled plan" in chart["layout"]["xaxis"]["title"]["text"]
    opened, plan = dense_and_plan("digits-mlp")
    found = list(
        drift(
            opened.network, opened.dataset.task, opened.dataset.evaluation.sample(1000), scaled(plan),
            score(opened.network, "l1"), {"saliency": explainer("saliency", opened.dataset.baseline)},
            calibration=opened.dataset.calibration.inputs, ratios=(0.9,), examples=32,
        )
    )  # fmt: skip
    median = found[-1].similarity["saliency"]["spearman"].median
    assert numbers(traces(chart)["Saliency"]["y"])[-1] == pytest.approx(median, abs=1e-4)


def test_without_a_method_one_is_asked_for(open_page: Open) -> None:
    app = opened_at(open_page, "Over ratios")
    app.multiselect[0].set_value([]).run()
    assert "at least one method" in app.info[0].value
    assert not app.exception


@pytest.mark.parametrize("network", ["digits-cnn", "auto-mpg-mlp"])
def test_faithfulness_draws_what_the_engine_measures(open_page: Open, network: str) -> None:
    app = opened_at(open_page, "Faithfulness", network)
    noun = "images" if network == "digits-cnn" else "examples"
    select(app, f"Judged on {noun}").set_value(64).run()
    drawn = charts(press(app, "Judge the maps"))
    opened, plan = dense_and_plan(network)
    dataset = opened.dataset
    found = list(
        faithfulness(
            opened.network, prune(opened.network, plan), dataset.task,
            dataset.evaluation.sample(1000).sample(64), explainer("saliency", dataset.baseline),
            empty=dataset.baseline, signed=False, local=True,
        )
    )  # fmt: skip
    cards = {m.label: m.value for m in app.metric}
    for label, finding in zip(
        ("Deletion after, area", "Insertion after, area", "Infidelity after", "Max-sensitivity after"),
        found,
        strict=True,
    ):
        assert float(cards[label]) == pytest.approx(finding.after.value.value, rel=0.02)
    assert len(drawn) == 3
    for chart, finding in zip(drawn[:2], found[:2], strict=True):
        for name, side in (("before", finding.before), ("after", finding.after)):
            expected = [value.value for value in side.curve.values]
            assert numbers(traces(chart)[name]["y"]) == pytest.approx(expected, abs=1e-4)
            assert numbers(traces(chart)[f"{name}, random order"]["y"]) == pytest.approx(
                [value.value for value in side.random.values], abs=1e-4
            )
    assert "Paired changes" in texts(app)


def words() -> Opened:
    network = from_module("textcnn")
    split = Split(BY_NAME["textcnn"].inputs(60, seed=3), torch.arange(60) % 2, "60 sentences")
    data = Dataset("sentences", CLASSIFICATION, split, split.take(torch.arange(30)), ("ham", "spam"))
    return Opened(replace(network, name="tokens"), data)


def single() -> Opened:
    inputs = torch.randn((50, 5), generator=torch.Generator().manual_seed(4))
    split = Split(inputs, (inputs[:, 0] > 0).long(), "50 rows")
    network = load(randomise(Mlp(outputs=1)), (5,), "single")
    return Opened(network, Dataset("rows", BINARY, split, split, ("no", "yes")))


@pytest.mark.parametrize("make", [words, single])
def test_tokens_and_single_outputs_are_drawn(
    open_page: Open, monkeypatch: pytest.MonkeyPatch, brought: Bring, make: Any
) -> None:
    opened = make()
    opened = replace(opened, network=with_groups(opened.network)) if not opened.network.groups else opened
    name = brought(opened)
    network, dataset = opened.network, opened.dataset
    case = Case(network, dataset, dataset.evaluation, uniform_plan(network, "l1", "channel", 0.3))
    wanted = {
        "drift": drift_unit.parameters(["saliency"], 20, RATIOS[:4]),
        "faithfulness": faithfulness_unit.parameters("saliency", None, 20),
    }
    found = {
        kind: json.loads(json.dumps(list(find_unit(kind)(case, asked, [], lambda share: None))))
        for kind, asked in wanted.items()
    }
    monkeypatch.setattr(studies, "_kept", lambda study: [*found[study.kind], {studies._END: 0}])
    app = opened_at(open_page, "Over ratios", name)
    assert len(numbers(traces(charts(app)[0])["Saliency"]["y"])) == 4
    app.segmented_control[0].set_value("Faithfulness").run()
    assert not app.exception and not app.error
    assert len(charts(app)) == 3
    assert ("Tokens cannot be nudged" in texts(app)) == (make is words)
    app.segmented_control[0].set_value("Similarity").run()
    assert not app.exception and not app.error and len(charts(app)) == 1
