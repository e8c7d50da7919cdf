"""Figures of proposals: what is drawn where, with and without recovery."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest

from analysis.measure.quality import Interval
from analysis.tasks import ACCURACY, R2
from ui.allocate import proposal_figures
from ui.allocate.proposal_figures import Row, folded
from ui.theme import DARK, LIGHT

ROWS = [
    Row("Uniform", Interval(0.7, 0.65, 0.74), 0.5, None, Interval(0.9, 0.88, 0.92)),
    Row("Greedy", Interval(0.8, 0.76, 0.83), 0.48, 0.9, None),
]


def named(figure: go.Figure, name: str) -> go.Scatter:
    return next(trace for trace in figure.data if trace.name == name)


def titles(figure: go.Figure) -> list[str]:
    return [axis.title.text for axis in (*figure.select_xaxes(), *figure.select_yaxes()) if axis.title.text]


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_before_is_open_after_is_filled_each_with_its_interval(palette) -> None:
    figure = proposal_figures.quality_and_cost(
        ROWS, 0.95, palette, ACCURACY, cost="MACs", limit=0.5, floor=None
    )
    before, after = named(figure, "before training"), named(figure, "after recovery")
    assert list(before.x) == pytest.approx([70, 80]) and list(before.y) == ["Uniform", "Greedy"]
    assert before.marker.symbol == "circle-open" and before.marker.color == palette.muted
    assert list(before.error_x.array) == pytest.approx([4, 3])
    assert list(before.error_x.arrayminus) == pytest.approx([5, 4])
    assert list(after.x) == [90] and list(after.y) == ["Uniform"]
    assert after.marker.symbol == "circle" and after.marker.color == palette.kept
    estimate = named(figure, "estimate from curves")
    assert list(estimate.x) == [90] and list(estimate.y) == ["Greedy"]
    bar = next(trace for trace in figure.data if trace.type == "bar")
    assert list(bar.x) == [50, 48] and list(bar.y) == ["Uniform", "Greedy"]
    lines = {(shape.line.dash, shape.x0, shape.xref) for shape in figure.layout.shapes}
    assert lines == {("dot", 95, "x"), ("dash", 50, "x2")}
    assert titles(figure) == ["Accuracy (%)", "MACs left (%)", "method"]


def test_a_floor_is_drawn_in_the_units_of_the_metric() -> None:
    rows = [Row("Uniform", Interval(0.8, 0.7, 0.9), 0.3)]
    figure = proposal_figures.quality_and_cost(rows, 0.86, LIGHT, R2, cost="MACs", limit=None, floor=0.81)
    assert {(shape.line.dash, shape.x0, shape.xref) for shape in figure.layout.shapes} == {
        ("dot", 0.86, "x"), ("dash", 0.81, "x"),
    }  # fmt: skip
    assert [trace.name for trace in figure.data if trace.type == "scatter" and len(trace.x)] == [
        "before training"
    ]
    assert titles(figure)[0] == "R²"


def test_a_row_a_target_and_a_column_a_proposal() -> None:
    plans = {"Uniform": {"a": 0.5, "b": 0.5}, "Greedy": {"b": 0.25}}
    figure = proposal_figures.ratios(plans, ["a", "b"], LIGHT)
    heatmap, written = figure.data
    assert heatmap.z.tolist() == [[0.5, 0.0], [0.5, 0.25]]
    assert [tuple(cell) for row in heatmap.customdata for cell in row] == [
        ("a", "Uniform"), ("a", "Greedy"), ("b", "Uniform"), ("b", "Greedy"),
    ]  # fmt: skip
    assert list(zip(written.y, written.x, written.text, strict=True)) == [
        (0, 0, "50"), (1, 0, "50"), (1, 1, "25"),
    ]  # fmt: skip
    assert figure.layout.yaxis.range == (1.5, -0.5) and list(figure.layout.yaxis.ticktext) == ["a", "b"]
    assert titles(figure) == ["method", "target"]


def test_many_targets_are_colours_alone_in_a_chart_of_bounded_height() -> None:
    targets = [f"layer{i}.with.a.long.name" for i in range(150)]
    figure = proposal_figures.ratios({"Uniform": dict.fromkeys(targets, 0.3)}, targets, DARK)
    assert len(figure.data) == 1 and figure.layout.height <= 900
    assert len(figure.data[0].z) == 150


def test_labels_of_several_words_are_folded_in_the_middle() -> None:
    assert folded("Uniform") == "Uniform"
    assert folded("Global, mean per target") == "Global, mean<br>per target"
