"""Examples of every kind on the Compare page: texts, tables, coloured images, series; classes and values."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from analysis import from_code
from analysis.explain.attribution import METHODS, refusal
from tests.pages.conftest import Open, texts
from ui import library
from ui.compare import attribution_views


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every answer is waited for."""
    monkeypatch.setattr(attribution_views, "QUICK_SECONDS", math.inf)


@pytest.fixture
def compare(open_page: Open, monkeypatch: pytest.MonkeyPatch):
    """The Compare page of one of the networks in ``kinds``, a third of it pruned."""

    def open_kind(kind: str) -> AppTest:
        monkeypatch.setenv(from_code.MODEL, f"tests.pages.kinds:{kind}")
        monkeypatch.setenv(from_code.DATA, f"tests.pages.kinds:{kind}_data")
        monkeypatch.setenv(from_code.FOLDER, str(Path(__file__).parents[2]))
        library._opened_own.cache_clear()
        own = library.own_network()
        assert own is not None, library.own_problem()
        app = open_page("compare", own.network.name)
        next(b for b in app.button if b.label.startswith("Prune 30%")).click().run()
        return app

    yield open_kind
    library._opened_own.cache_clear()


def choose(app: AppTest, method: str) -> None:
    next(s for s in app.main.selectbox if s.label == "Method").set_value(method).run()
    assert not app.exception and not app.error


def bars(app: AppTest) -> list[dict]:
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


@pytest.mark.parametrize("method", ["saliency", "integrated-gradients", "occlusion", "kernel-shap"])
def test_every_token_of_a_text_has_a_colour(compare, method: str) -> None:
    app = compare("text")
    choose(app, method)
    html = app.get("html")[0].proto.body
    assert html.count("<i title=") == 6 * 2 * 9
    assert "Each number is a token" in texts(
        app
    ) and f"{METHODS[method].label} towards the true class" in texts(app)
    assert not any(s.label in ("Patch size", "Show the input beneath") for s in app.main.slider)


def test_a_table_of_many_features_shows_those_that_weigh_most(compare) -> None:
    app = compare("binary")
    choose(app, "deep-lift")
    assert len(bars(app)) == 6
    for chart in bars(app):
        names = chart["data"][0]["y"]
        assert len(names) == 20 and names == sorted(names, key=lambda name: int(name.split()[1]))
    assert len({tuple(chart["layout"]["xaxis"]["range"]) for chart in bars(app)}) == 1, "one scale"
    assert "Of 30 features, the 20 that weigh most" in texts(app)
    next(s for s in app.main.selectbox if s.label == "Towards").set_value("chosen").run()
    assert next(s for s in app.main.selectbox if s.label == "Class explained").options == ["0", "1"]


def test_images_with_a_value_have_no_classes_and_keep_their_colours(compare) -> None:
    app = compare("brightness")
    choose(app, "grad-cam")
    assert not {"Class", "Towards"} & {s.label for s in app.main.selectbox}
    html = app.get("html")[0].proto.body
    assert html.count("<img") == 6 * 4 and "✗" not in html and "true 0." in html
    assert "GradCAM towards the predicted value" in texts(app)


def test_a_series_is_shown_value_by_value(compare) -> None:
    app = compare("series")
    choose(app, "integrated-gradients")
    names = bars(app)[0]["data"][0]["y"]
    assert names == [f"value {i + 1}" for i in range(20)]
    assert "Of 20" not in texts(app)


@pytest.mark.parametrize("kind", ["text", "binary", "brightness", "series"])
def test_every_method_that_is_offered_draws(compare, kind: str) -> None:
    app = compare(kind)
    offered = [name for name in METHODS if not refusal(name, library.own_network().network)]
    assert len(next(s for s in app.main.selectbox if s.label == "Method").options) == len(offered) >= 6
    for method in offered:
        choose(app, method)
        assert METHODS[method].sentence in texts(app)
        assert app.get("html") or app.get("plotly_chart")
