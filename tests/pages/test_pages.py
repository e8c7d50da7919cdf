"""Every page on every sample, with what a reader must find there."""

from __future__ import annotations

import json

import pytest
from streamlit.testing.v1 import AppTest

import sample_models
from analysis.measure.cost import cost
from tests.pages.conftest import APP, Open, metric, texts


@pytest.mark.parametrize("network", sample_models.names())
@pytest.mark.parametrize("page", ["model", "weights", "importance", "prune", "compare", "forgotten"])
def test_every_page_of_every_sample_draws_without_an_error(open_page: Open, page: str, network: str) -> None:
    app = open_page(page, network)
    assert not app.error
    assert app.title[0].value == (network if page == "model" else page.capitalize())


def test_model_page_shows_the_counts_of_the_network(open_page: Open) -> None:
    app = open_page("model", "auto-mpg-mlp")
    # 7-64-32-1: 7*64 + 64*32 + 32*1 connections, 64 + 32 + 1 biases
    assert metric(app, "Connections") == "2,528"
    assert metric(app, "Parameters") == "2,625"
    assert metric(app, "MACs") == "2,528"
    table = app.dataframe[0].value
    assert list(table["Layer"]) == ["hidden.fc1", "hidden.fc2", "head"]
    assert list(table["Parameters"]) == [512, 2080, 33]


def test_model_page_tells_the_card_and_marks_coupled_layers(open_page: Open) -> None:
    app = open_page("model", "fashion-resnet")
    card = sample_models.read_card("fashion-resnet")
    assert f"{card['test']['value']:.1%}" in texts(app)
    assert "python -m sample_models.train fashion-resnet" in texts(app)
    groups = app.table[0].value
    assert "conv1 + stage1.0.conv2" in list(groups.iloc[:, 0])
    assert "refused" in list(groups["Verdict"])
    graph = app.get("graphviz_chart")[0].proto.spec
    colour = '"#0f9488"'
    assert graph.count(colour) == 2, "conv1 and stage1.0.conv2 share a frame colour"


def test_regression_never_speaks_of_accuracy(open_page: Open) -> None:
    for page in ("model", "prune"):
        app = open_page(page, "auto-mpg-mlp")
        assert "R²" in [m.label for m in app.metric]
        assert "accuracy" not in texts(app).replace("accuracy, size and speed", "").lower()


def test_weights_page_counts_what_a_threshold_removes(open_page: Open) -> None:
    app = open_page("weights", "digits-mlp")
    layer = app.main.selectbox[0].value
    weight = sample_models.load("digits-mlp").network.weight(layer).abs().flatten()
    app.slider[0].set_value(20).run()
    removed = round(0.2 * len(weight))
    assert app.metric[0].value == f"{removed:,} of {len(weight):,}"
    app.segmented_control[0].set_value("Absolute").run()
    threshold = app.slider[0].value
    assert app.metric[0].value == f"{int((weight < threshold).sum()):,} of {len(weight):,}"


def test_weights_page_draws_the_removed_part_once_a_plan_is_in_force(open_page: Open) -> None:
    app = open_page("compare", "digits-mlp")
    next(b for b in app.button if b.label.startswith("Prune 30%")).click().run()
    app.switch_page("pages/weights.py").run()
    assert "removed" in _traces(app, 0)
    assert app.dataframe[0].value["Removed by plan"].max() > 0


def test_siblings_are_compared_only_where_there_are_some(open_page: Open) -> None:
    assert "one way only" in texts(open_page("weights", "digits-cnn"))
    app = open_page("weights", "digits-mlp")
    captions = " ".join(caption.value for caption in app.caption)
    assert all(name in captions for name in ("digits-mlp-l1", "digits-mlp-l2"))


def test_importance_page_says_how_many_images_it_used(open_page: Open) -> None:
    app = open_page("importance", "digits-cnn")
    assert "Needs no data" in texts(app)
    app.main.selectbox[0].set_value("taylor").run()
    assert "512 of the 1,077 digits training images" in texts(app)


def test_importance_page_says_why_a_layer_has_no_score(open_page: Open) -> None:
    app = open_page("importance", "digits-cnn")
    app.main.selectbox[0].set_value("bn-scale")
    app.main.selectbox[1].set_value("head").run()
    assert "gives head no score" in app.info[0].value
    app = open_page("importance", "digits-mlp")
    assert "bn-scale" not in app.main.selectbox[0].options, "there is no BatchNorm to score"


def test_importance_page_asks_for_two_criteria_to_compare(open_page: Open) -> None:
    app = open_page("importance", "digits-mlp")
    app.multiselect[0].set_value(["l1"]).run()
    assert "at least two" in app.info[0].value


def test_an_unknown_network_in_the_url_is_named_and_replaced() -> None:
    app = AppTest.from_file(str(APP), default_timeout=120)
    app.query_params["network"] = "no-such-network"
    app.run()
    assert "no-such-network" in app.error[0].value.replace("\\", "")
    assert app.title[0].value == sample_models.names()[0]


def test_an_error_in_a_page_becomes_a_sentence(open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("planted")

    app = open_page("weights", "digits-mlp")
    monkeypatch.setattr("analysis.weights.channel_norms", fail)
    app.run()
    assert "Something went wrong" in app.error[0].value
    assert not app.exception


def test_the_app_shows_nonzero_connections_that_the_engine_counts(open_page: Open) -> None:
    network = sample_models.load("auto-mpg-mlp").network
    app = open_page("prune", "auto-mpg-mlp")
    assert metric(app, "Nonzero connections") == f"{cost(network).nonzero_connections:,}"


def _traces(app: AppTest, chart: int) -> list[str]:
    return [trace.get("name", "") for trace in json.loads(app.get("plotly_chart")[chart].proto.spec)["data"]]
