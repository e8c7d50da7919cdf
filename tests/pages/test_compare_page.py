"""The Compare page: nothing to compare, examples, similarity."""

from __future__ import annotations

import json
import math
import time

import pytest
from streamlit.testing.v1 import AppTest

import sample_models
from analysis.explain.attribution import METHODS
from analysis.explain.question import Question
from analysis.measure.quality import evaluate
from analysis.pruning.plan import make_plan, uniform_plan
from analysis.pruning.prune import prune
from analysis.tasks import CLASSIFICATION
from tests.pages.conftest import Open, texts
from ui import computed, services, workspace
from ui.compare import attribution_views


@pytest.fixture(autouse=True)
def nothing_explained() -> None:
    """Each test explains anew."""
    computed._ATTRIBUTIONS.clear()


@pytest.fixture
def pruned(open_page: Open) -> AppTest:
    app = open_page("compare", "digits-cnn")
    start(app)
    return app


def start(app: AppTest) -> None:
    next(b for b in app.button if b.label.startswith("Prune 30%")).click().run()


def select(app: AppTest, label: str):
    return next(s for s in app.main.selectbox if s.label == label)


def view(app: AppTest, name: str) -> None:
    app.segmented_control[0].set_value(name).run()


def test_without_a_plan_the_page_says_what_to_do(open_page: Open) -> None:
    app = open_page("compare", "digits-cnn")
    assert "Nothing is pruned yet" in app.info[0].value
    start(app)
    assert not app.info
    assert "Accuracy after" in [m.label for m in app.metric]


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer is waited for."""
    monkeypatch.setattr(attribution_views, "QUICK_SECONDS", math.inf)


def gallery(app: AppTest) -> str:
    return app.get("html")[0].proto.body


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_draws_a_gallery(pruned: AppTest, method: str) -> None:
    select(pruned, "Method").set_value(method).run()
    assert not pruned.error
    assert gallery(pruned).count("<img") == 6 * 4
    entry = METHODS[method]
    said = texts(pruned)
    assert (
        f"{entry.label} towards the true class" in said if entry.has_target else f"{entry.label}, at" in said
    )
    assert entry.sentence in said and entry.source in said
    assert {s.label for s in pruned.main.slider} >= {p.label for p in entry.parameters}


def test_gradcam_lets_a_layer_be_chosen_and_is_refused_without_convolutions(
    pruned: AppTest, open_page: Open
) -> None:
    select(pruned, "Method").set_value("grad-cam").run()
    assert select(pruned, "At layer").options == ["conv1", "conv2", "conv3"]
    mlp = open_page("compare", "digits-mlp")
    start(mlp)
    labels = select(mlp, "Method").options
    assert "Saliency · gradient" in labels and not any("layer" in label for label in labels)
    assert "needs a convolution" in select(mlp, "Method").help


@pytest.mark.parametrize(("method", "adds_up"), [("deep-lift", True), ("saliency", False)])
def test_how_well_values_add_up_is_said_of_methods_that_should(
    pruned: AppTest, method: str, adds_up: bool
) -> None:
    select(pruned, "Method").set_value(method).run()
    assert ("should add up to the change of the answer" in texts(pruned)) == adds_up
    assert ("at worst" in texts(pruned)) == adds_up


def test_the_answer_explained_can_be_chosen(pruned: AppTest) -> None:
    first = gallery(pruned)
    select(pruned, "Towards").set_value("predicted").run()
    assert "towards the class that the dense network answered" in texts(pruned)
    select(pruned, "Towards").set_value("chosen").run()
    select(pruned, "Class explained").set_value(3).run()
    assert not pruned.error and "towards 3" in texts(pruned)
    assert gallery(pruned) != first
    select(pruned, "Method").set_value("layer-activation").run()
    assert "Towards" not in [s.label for s in pruned.main.selectbox], "it is the same for every answer"


def test_more_examples_fit_on_a_page_and_the_input_shows_beneath(pruned: AppTest) -> None:
    alone = gallery(pruned)
    next(s for s in pruned.main.slider if s.label.startswith("Show the input")).set_value(60).run()
    assert gallery(pruned) != alone and gallery(pruned).count("<img") == 6 * 4
    next(c for c in pruned.segmented_control if c.label == "Per page").set_value(16).run()
    assert gallery(pruned).count("<img") == 16 * 4
    assert "for 16 images, before and after together" in texts(pruned)


def test_parameters_reach_the_method(pruned: AppTest, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Question] = []
    original = workspace.attributions
    monkeypatch.setattr(
        workspace, "attributions", lambda question, *rest: asked.append(question) or original(question, *rest)
    )
    select(pruned, "Method").set_value("integrated-gradients").run()
    assert asked[-1].parameters == (), "the defaults go without saying"
    next(s for s in pruned.main.slider if s.label == "Steps").set_value(8).run()
    assert asked[-1].parameters == (("steps", 8),) and asked[-1].method == "integrated-gradients"


def test_a_page_that_is_opened_again_explains_nothing_anew(
    pruned: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    select(pruned, "Method").set_value("deep-lift").run()
    first = gallery(pruned)
    pruned.switch_page("pages/weights.py").run()

    def refuse(*arguments: object) -> None:
        raise AssertionError("it was computed before")

    monkeypatch.setattr(computed, "ask", refuse)
    pruned.switch_page("pages/compare.py").run()
    assert not pruned.exception
    assert select(pruned, "Method").value == "deep-lift" and gallery(pruned) == first


def test_a_long_method_is_a_study_that_finds_what_the_page_would(
    pruned: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attribution_views, "QUICK_SECONDS", 0.0)
    try:
        select(pruned, "Method").set_value("feature-ablation").run()
        assert "Cancel" in [b.label for b in pruned.main.button]
        owner = pruned.session_state["history"]
        deadline = time.monotonic() + 60
        while any(job.is_live for job in services.jobs().of(owner)):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert [job.state for job in services.jobs().of(owner)] == ["done"]
        found = gallery(pruned.run())
        assert "Cancel" not in [b.label for b in pruned.main.button] and not pruned.error
        monkeypatch.setattr(attribution_views, "QUICK_SECONDS", math.inf)
        assert gallery(pruned.run()) == found, "a worker finds what the page itself does"
    finally:
        services.jobs().close()
        services.jobs.cache_clear()


def test_an_empty_choice_gets_a_sentence(open_page: Open) -> None:
    app = open_page("prune", "digits-cnn")
    plan = make_plan(sample_models.load("digits-cnn").network, "l1", "channel", {"conv3": 0.02})
    app.session_state["benches"]["digits-cnn"].move(plan)
    app.switch_page("pages/compare.py").run()
    select(app, "Which examples").set_value("forgotten")
    select(app, "Class").set_value(0).run()
    assert "No example fits" in app.info[0].value


def test_similarity_names_its_medians(pruned: AppTest) -> None:
    view(pruned, "Similarity")
    chart = json.loads(pruned.get("plotly_chart")[0].proto.spec)
    names = " ".join(trace["name"] for trace in chart["data"])
    assert all(word in names for word in ("Spearman", "Cosine", "Top 10% overlap", "SSIM", "median"))


def test_regression_compares_features(open_page: Open) -> None:
    app = open_page("compare", "auto-mpg-mlp")
    start(app)
    chart = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert chart["data"][0]["y"] == [
        "cylinders", "displacement", "horsepower", "weight", "acceleration", "model year", "origin",
    ]  # fmt: skip


def in_force(open_page: Open, page: str, ratio: float) -> AppTest:
    """A page with that share of conv3's channels gone."""
    app = open_page("model", "digits-cnn")
    plan = make_plan(sample_models.load("digits-cnn").network, "l1", "channel", {"conv3": ratio})
    app.switch_page("pages/prune.py").run()
    app.session_state["benches"]["digits-cnn"].move(plan)
    return app.switch_page(f"pages/{page}.py").run()


@pytest.mark.parametrize("page", ["compare", "forgotten"])
def test_a_plan_too_small_to_remove_anything_is_called_that(open_page: Open, page: str) -> None:
    app = in_force(open_page, page, 0.001)
    assert "too small to remove anything" in app.info[0].value and not app.metric


def test_a_network_that_says_the_same_to_everything_is_called_collapsed(open_page: Open) -> None:
    app = open_page("compare", "digits-cnn")
    network = sample_models.load("digits-cnn").network
    app.session_state["benches"]["digits-cnn"].move(uniform_plan(network, "l1", "channel", 0.95))
    app.run()
    answers = evaluate(
        prune(network, uniform_plan(network, "l1", "channel", 0.95)),
        sample_models.load("digits-cnn").dataset.evaluation,
        CLASSIFICATION,
    ).answers
    assert len(answers.unique()) == 1, "or the plan is no example of it"
    assert f"answers {int(answers[0])} to every example" in app.warning[0].value


def test_the_view_is_kept_over_a_page_switch(pruned: AppTest) -> None:
    view(pruned, "Similarity")
    pruned.switch_page("pages/model.py").run()
    pruned.switch_page("pages/compare.py").run()
    assert pruned.segmented_control[0].value == "Similarity"
