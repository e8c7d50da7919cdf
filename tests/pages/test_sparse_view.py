"""The Recover page, trained for sparsity: choices, what is drawn, and the way to a network of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from streamlit.testing.v1 import AppTest

import sample_models
from analysis.datasets import Dataset
from analysis.measure.quality import Interval
from analysis.pruning.plan import Plan
from analysis.recovery.keep import FOLDER
from analysis.recovery.penalties import PENALTIES, suits
from analysis.sources import Opened
from analysis.tasks import ACCURACY, CLASSIFICATION, REGRESSION
from analysis.units import Case, find_unit
from analysis.units.sparse_training import Stage, from_data, trained
from tests.networks import ConvNet, Mlp, load, randomise
from tests.networks import split as tiny_rows
from tests.pages.conftest import Bring, Open, charts, follow, metric, texts
from tests.pages.stand_ins import single, tokens
from ui import library, studies, workspace
from ui.recover import sparse_figures
from ui.theme import DARK, LIGHT

pytestmark = pytest.mark.usefixtures("own_jobs", "own_weights")


@pytest.fixture
def own_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.setenv(FOLDER, str(tmp_path / "recovered"))


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Studies run within the page, for networks that no other process knows; what they found."""
    found: list[dict[str, Any]] = []

    def panel(study: studies.Study, draw: studies.Draw, **_: Any) -> None:
        opened = workspace.opened()
        split = opened.dataset.evaluation.sample(workspace.image_count())
        case = Case(opened.network, opened.dataset, split, Plan(opened.network.name, "l1"))
        if not found:
            found.extend(find_unit(study.kind)(case, study.parameters, [], lambda share: None))
        draw(found)

    monkeypatch.setattr(studies, "panel", panel)
    return found


def view(app: AppTest, epochs: int | None = 2) -> AppTest:
    app = app.segmented_control[0].set_value("Train for sparsity").run()
    if epochs is not None:
        app.number_input[0].set_value(epochs).run()
    assert not app.exception and not app.error
    return app


def test_a_job_trains_and_the_result_becomes_a_network_of_its_own(open_page: Open) -> None:
    app = view(open_page("recover", "digits-mlp"))
    assert app.main.selectbox[0].options == ["L1", "L2", "Elastic net", "Group lasso"]
    assert "1,077 digits training images, a tenth of them held out" in texts(app)
    next(b for b in app.button if b.label == "Train").click().run()
    follow(app)
    assert metric(app, "Epochs") == "2 of 2"
    quality, losses, near, sizes, against = charts(app)
    assert [trace["x"] for trace in quality["data"]] == [[0, 1, 2]]
    assert [len(trace["x"]) for trace in losses["data"]] == [2, 3]
    assert near["layout"]["yaxis"]["title"]["text"] == "channels near zero (%)"
    assert sum(sizes["data"][0]["y"]) == sum(v or 0 for v in sizes["data"][1]["y"]) == 704
    assert [trace["name"] for trace in against["data"]] == ["as it was", "trained for sparsity"]
    next(b for b in app.button if b.label == "Add it to my networks").click().run()
    assert not app.exception and not app.error
    name = app.session_state[workspace.NETWORK]
    assert name.startswith("digits-mlp-group-lasso-") and f"{library.title(name)} is among" in texts(
        app
    ).replace("\\", "")
    grown, sample = library.load(name), sample_models.load("digits-mlp")
    assert grown.dataset.evaluation is sample.dataset.evaluation
    app.switch_page("pages/weights.py").run()
    assert not app.exception and not app.error
    app.switch_page("pages/prune.py").run()
    assert not app.exception and not app.error
    assert library.title(name) in texts(app)
    names = library.names(app.session_state["history"])
    next(b for b in app.button if b.label == "Remove").click().run()
    assert set(names) - set(library.names(app.session_state["history"])) == {name}


def test_the_network_that_is_kept_is_the_one_that_was_trained(
    open_page: Open, at_once: list[dict[str, Any]]
) -> None:
    app = view(open_page("recover", "auto-mpg-mlp"))
    stages = [p for part in at_once if isinstance(p := from_data(part), Stage)]
    expected = trained(sample_models.load("auto-mpg-mlp").network, stages[-1].digest)
    if stages[-1].number != 2:  # the first draw trained with the usual epochs
        app.number_input[0].set_value(stages[-1].number).run()
    next(b for b in app.button if b.label == "Add it to my networks").click().run()
    opened = library.load(app.session_state[workspace.NETWORK])
    inputs = opened.dataset.evaluation.inputs
    with torch.no_grad():
        assert torch.equal(opened.network.module(inputs), expected.module(inputs))


def values() -> Opened:
    split = tiny_rows((5,), 0, 50, task=REGRESSION)
    return Opened(
        load(randomise(Mlp(outputs=1)), (5,), "values"),
        Dataset("rows", REGRESSION, split, split, target_unit="km"),
    )


def images() -> Opened:
    split = tiny_rows((2, 5, 5), 4, 40)
    return Opened(
        load(randomise(ConvNet()), (2, 5, 5), "images"),
        Dataset("noise", CLASSIFICATION, split, split, class_names=("a", "b", "c", "d")),
    )


@pytest.mark.parametrize("make", [tokens, single, values, images])
def test_any_kind_of_network_and_data(
    open_page: Open, brought: Bring, at_once: list[dict[str, Any]], make: Callable[[], Opened]
) -> None:
    opened = make()
    app = view(open_page("recover", brought(opened)), epochs=None)
    assert len(charts(app)) == 5
    for chart in charts(app):
        assert chart["data"] and chart["layout"]["xaxis"]["title"]["text"]
        assert chart["layout"]["yaxis"]["title"]["text"]
    fitting = [p.label for p in PENALTIES.values() if suits(p, opened.network)]
    assert app.main.selectbox[0].options == fitting
    expected = "BatchNorm scale" if "BatchNorm scale" in fitting else "Group lasso"
    assert PENALTIES[app.main.selectbox[0].value].label == expected


def test_too_few_examples_get_a_sentence(open_page: Open, brought: Bring) -> None:
    split = tiny_rows((5,), 3, 6)
    data = Dataset("rows", CLASSIFICATION, tiny_rows((5,), 3, 20), split, class_names=("a", "b", "c"))
    name = brought(Opened(load(randomise(Mlp()), (5,), "few"), data))
    app = view(open_page("recover", name), epochs=None)
    assert "there are 6: at least 8 are needed" in app.info[0].value
    assert not any(b.label == "Train" for b in app.button)


def test_group_lasso_before_batch_norm_says_what_it_cannot_do(open_page: Open) -> None:
    app = view(open_page("recover", "digits-cnn"), epochs=None)
    assert "rescales what comes" not in texts(app)
    app.main.selectbox[0].set_value("group-lasso").run()
    assert "BatchNorm, which rescales what comes" in texts(app)


def stage(number: int, near: float = 0.1) -> Stage:
    counts = (3, *[0] * 38, 7)
    return Stage(number, None if number == 0 else 0.5, 0.4, 0.9, near, counts, 1.0, 1e-3, "")


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_figures_say_the_parts_they_are_given(palette: Any) -> None:
    stages = [stage(0), stage(1, 0.2), stage(2, 0.4)]
    near = sparse_figures.near_zero_over_epochs(stages, "channel", palette)
    assert list(near.data[0].y) == [10, 20, 40] and near.data[0].line.color == palette.kept
    quality = sparse_figures.quality_over_epochs(stages, ACCURACY, palette)
    assert list(quality.data[0].y) == [90, 90, 90] and quality.layout.yaxis.title.text.endswith("(%)")
    assert quality.layout.shapes[0].y0 == 90
    losses = sparse_figures.losses_over_epochs(stages, "cross-entropy", palette)
    assert [list(trace.x) for trace in losses.data] == [[1, 2], [0, 1, 2]]
    only = sparse_figures.sizes(stages[0].counts, None, "weight", palette)
    assert [trace.name for trace in only.data] == ["before"]
    both = sparse_figures.sizes(stages[0].counts, stages[1].counts, "weight", palette)
    assert [trace.name for trace in both.data] == ["after", "before"]
    assert both.data[1].marker.color == palette.muted and both.data[0].marker.color == palette.kept
    assert both.layout.shapes[0].x0 == 0.01 and both.layout.shapes[0].line.color == palette.lost


def test_quality_against_ratio_carries_its_intervals() -> None:
    curve = {0.5: Interval(0.8, 0.7, 0.85), 0.0: Interval(0.9, 0.88, 0.92)}
    figure = sparse_figures.quality_against_ratio(curve, None, ACCURACY, "channel", LIGHT)
    (trace,) = figure.data
    assert list(trace.x) == [0, 50] and trace.marker.symbol == "circle-open"
    assert list(trace.error_y.array) == pytest.approx([2, 5])
    assert list(trace.error_y.arrayminus) == pytest.approx([2, 10])
    both = sparse_figures.quality_against_ratio(curve, curve, ACCURACY, "channel", LIGHT)
    assert [t.marker.color for t in both.data] == [LIGHT.muted, LIGHT.kept]
