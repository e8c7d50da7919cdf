"""Fine-tune: train by a job, watch, take over; for any kind of network and data."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

import sample_models
from analysis.datasets import Dataset
from analysis.measure.quality import evaluate
from analysis.recovery.keep import keep_here
from analysis.recovery.recovered import restore
from analysis.sources import Opened
from analysis.tasks import ACCURACY, CLASSIFICATION, R2, REGRESSION
from analysis.units import Case, find_unit
from analysis.units.fine_tune import Curves
from tests.networks import Mlp, load, randomise
from tests.networks import split as tiny_rows
from tests.pages.conftest import Bring, Open, charts, metric, texts
from tests.pages.stand_ins import single, tokens
from ui import services, studies, workspace
from ui.recover import tune_figures
from ui.theme import DARK, LIGHT


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Studies run to their end when they are begun, in this process: for networks that no other knows, and faster."""

    def start(study: studies.Study) -> None:
        opened = workspace.opened()
        assert study.plan is not None
        case = Case(opened.network, opened.dataset, opened.dataset.evaluation, study.plan)
        found = list(find_unit(study.kind)(case, study.parameters, studies.parts(study), lambda share: None))
        services.store().add_findings(study.about, [*found, {studies._END: len(found)}])

    monkeypatch.setattr(studies, "start", start)


def tune(app: AppTest) -> AppTest:
    next(b for b in app.button if b.label.startswith("Prune 30%")).click().run()
    app.segmented_control[0].set_value("Fine-tune").run()
    assert not app.exception and not app.error
    return app


def button(app: AppTest, label: str):
    return next(b for b in app.button if b.label == label)


def epochs(app: AppTest, count: int) -> AppTest:
    return next(n for n in app.number_input if n.label == "Epochs").set_value(count).run()


def test_without_a_plan_there_is_a_way_to_begin(open_page: Open) -> None:
    app = open_page("recover", "digits-cnn")
    app.segmented_control[0].set_value("Fine-tune").run()
    assert "nothing to recover" in app.info[0].value


def test_training_is_drawn_measured_and_taken_over(open_page: Open, at_once: None) -> None:
    app = epochs(tune(open_page("recover", "digits-cnn")), 2)
    assert "969 images of the calibration set, 2 times over" in texts(app)
    button(app, "Train").click().run()
    app.run()
    assert not app.exception
    progress, losses = charts(app)
    lines = {trace["name"]: trace for trace in progress["data"]}
    assert lines["in training"]["x"] == [0, 1, 2]
    assert lines["dense network"]["y"] == [100.0, 100.0]  # of the calibration images, which it learned
    assert [len(trace["x"]) for trace in losses["data"]] == [2, 3]
    button(app, "Use it").click().run()
    plan = app.session_state["benches"]["digits-cnn"].plan
    opened = sample_models.load("digits-cnn")
    network = restore(opened.network, keep_here().get(plan.recovered))
    accuracy = float(evaluate(network, opened.dataset.evaluation, CLASSIFICATION).correct.double().mean())
    assert metric(app, "Accuracy after") == f"{accuracy:.1%}"
    assert charts(app)[0]["data"] == progress["data"], "the curves stay when the weights are in force"
    assert button(app, "In use").disabled
    begin = next(c for c in app.segmented_control if c.label == "Begin with the network")
    assert begin.options == ["as it was before its last training", "as it is now"]
    begin.set_value("as it is now").run()
    assert not app.exception
    assert button(app, "Train")


def test_options_say_which_layers_learn_and_what_does_not_apply_is_not_offered(open_page: Open) -> None:
    app = tune(open_page("recover", "digits-mlp"))
    labels = {s.label for s in app.slider} | {t.label for t in app.toggle}
    assert {"Shift", "Cut-out", "Noise", "Mirror half of the images", "Temperature"} <= labels
    last = next(s for s in app.slider if s.label == "Last layers that learn")
    last.set_value(1).run()
    assert "Learning: head." in texts(app)
    app = tune(open_page("recover", "auto-mpg-mlp"))
    labels = {s.label for s in app.slider} | {t.label for t in app.toggle}
    assert "Noise" in labels
    assert not {"Shift", "Cut-out", "Mirror half of the images", "Temperature"} & labels


def values() -> Opened:
    network = load(randomise(Mlp(outputs=1)), (5,), "values")
    split = tiny_rows((5,), 0, 50, task=REGRESSION)
    return Opened(network, Dataset("rows", REGRESSION, split, split, target_unit="km"))


@pytest.mark.parametrize("make", [tokens, single, values])
def test_any_kind_of_network_and_data(
    open_page: Open, brought: Bring, at_once: None, make: Callable[[], Opened]
) -> None:
    app = epochs(tune(open_page("recover", brought(make()))), 2)
    button(app, "Train").click().run()
    app.run()
    assert not app.exception and not app.error
    assert len(charts(app)) == 2
    assert all(len(trace["x"]) for trace in charts(app)[0]["data"] if trace["name"] == "in training")


def test_too_few_examples_get_a_sentence(open_page: Open, brought: Bring) -> None:
    network = load(randomise(Mlp()), (5,), "few")
    data = Dataset("rows", CLASSIFICATION, tiny_rows((5,), 3, 20), tiny_rows((5,), 3, 3))
    app = tune(open_page("recover", brought(Opened(network, data))))
    assert "at least 8 are needed" in app.info[0].value.replace("\\", "")


CURVES = Curves(
    (2.0, 0.25), (0.1, 0.9),
    (
        {"epoch": 1, "train_loss": 1.5, "validation_loss": 1.0, "validation": 0.5, "rate": 0.05, "seconds": 1.0},
        {"epoch": 2, "train_loss": 0.5, "validation_loss": 0.7, "validation": 0.75, "rate": 0.01, "seconds": 2.0},
    ), "a" * 64, 2,
)  # fmt: skip


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_the_metric_is_drawn_from_where_training_began(palette) -> None:
    figure = tune_figures.progress(CURVES, 5, ACCURACY, palette)
    dense, start, line, kept = figure.data
    assert (list(dense.y), dense.line.dash) == ([90, 90], "dash")
    assert (list(start.y), start.line.dash) == ([25, 25], "dot")
    assert (list(line.x), list(line.y)) == ([0, 1, 2], [25, 50, 75])
    assert line.customdata == ("not trained yet", "learning rate 0.05", "learning rate 0.01")
    assert (list(kept.x), list(kept.y)) == ([2], [75])
    assert figure.layout.xaxis.title.text == "epoch"
    assert figure.layout.yaxis.title.text == "Accuracy (%)"
    assert tune_figures.progress(CURVES, 5, R2, palette).data[0].y == (0.9, 0.9)


def test_losses_are_named_and_the_training_loss_begins_with_the_first_epoch() -> None:
    figure = tune_figures.losses(CURVES, 5, LIGHT, minimised="distance", judged="cross-entropy")
    training, validation = figure.data
    assert (list(training.x), list(training.y)) == ([1, 2], [1.5, 0.5])
    assert (list(validation.x), list(validation.y)) == ([0, 1, 2], [2.0, 1.0, 0.7])
    assert [training.name, validation.name] == ["training: distance", "validation: cross-entropy"]


def test_figures_of_a_training_that_has_just_begun_are_whole() -> None:
    begun = Curves((2.0, 0.25), (0.1, 0.9))
    line = tune_figures.progress(begun, 5, ACCURACY, LIGHT).data[2]
    assert list(line.y) == [25]
    assert [
        len(trace.x) for trace in tune_figures.losses(begun, 5, LIGHT, minimised="a", judged="b").data
    ] == [0, 1]
