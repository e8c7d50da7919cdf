"""The Compare page: nothing to compare, examples, similarity, classes, predictions."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

import sample_models
from analysis.explain.attribution import METHODS
from analysis.pruning.plan import make_plan
from tests.pages.conftest import Open, metric, texts


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


@pytest.mark.parametrize("method", list(METHODS))
def test_every_method_draws_a_gallery(pruned: AppTest, method: str) -> None:
    select(pruned, "Method").set_value(method).run()
    assert not pruned.error
    gallery = pruned.get("html")[0].proto.body
    assert gallery.count("<img") == 6 * 4
    assert METHODS[method].label in texts(pruned)


def test_gradcam_lets_a_layer_be_chosen_and_is_refused_without_convolutions(
    pruned: AppTest, open_page: Open
) -> None:
    select(pruned, "Method").set_value("grad-cam").run()
    assert select(pruned, "At layer").options == ["conv1", "conv2", "conv3"]
    mlp = open_page("compare", "digits-mlp")
    start(mlp)
    assert "grad-cam" not in select(mlp, "Method").options
    assert "needs a convolution" in select(mlp, "Method").help


def test_an_empty_choice_gets_a_sentence(open_page: Open) -> None:
    app = open_page("prune", "digits-cnn")
    plan = make_plan(sample_models.load("digits-cnn").network, "l1", "channel", {"conv3": 0.02})
    app.session_state["benches"]["digits-cnn"].move(plan)
    app.switch_page("pages/compare.py").run()
    select(app, "Examples").set_value("forgotten")
    select(app, "Class").set_value("0").run()
    assert "No example fits" in app.info[0].value


def test_similarity_names_its_medians(pruned: AppTest) -> None:
    view(pruned, "Similarity")
    chart = json.loads(pruned.get("plotly_chart")[0].proto.spec)
    names = " ".join(trace["name"] for trace in chart["data"])
    assert all(word in names for word in ("Spearman", "Cosine", "Top 10% overlap", "SSIM", "median"))


def test_classes_show_both_charts(pruned: AppTest) -> None:
    view(pruned, "Classes")
    assert [s.value for s in pruned.subheader] == [
        "All metrics",
        "Accuracy per class",
        "Confusions, after minus before",
    ]


def test_all_metrics_stand_in_a_table_with_their_changes(pruned: AppTest) -> None:
    view(pruned, "Classes")
    table = pruned.get("html")[0].proto.body
    for label in ("Accuracy", "Top-5 accuracy", "Balanced accuracy", "F1", "Loss", "Calibration error"):
        assert f">{label}</td>" in table
    assert table.count("<tr>") == 1 + 8 and table.count("95% interval") == 2 * 8
    assert "worse" in table.split("</style>")[1], "a third of the channels gone costs accuracy"
    assert metric(pruned, "Accuracy after") in table


def test_regression_compares_predictions_and_features(open_page: Open) -> None:
    app = open_page("compare", "auto-mpg-mlp")
    start(app)
    chart = json.loads(app.get("plotly_chart")[0].proto.spec)
    assert chart["data"][0]["y"] == [
        "cylinders", "displacement", "horsepower", "weight", "acceleration", "model year", "origin",
    ]  # fmt: skip
    view(app, "Predictions")
    assert "dotted line" in texts(app)
    table = app.get("html")[0].proto.body
    assert all(f">{label}</td>" in table for label in ("R²", "RMSE", "MAE", "MSE"))
