"""Figures of the Layers page: what is drawn where, with few layers and with many."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import pytest
import torch

from analysis.inside.blocks import Block
from analysis.inside.redundancy import Skip
from analysis.inside.topology import LayerTopology, State
from analysis.measure.quality import Interval
from analysis.tasks import ACCURACY, R2
from ui.layers import layer_figures, topology_figures
from ui.theme import DARK, LIGHT

MANY = [f"stage{i // 50}.{i % 50}.a_rather_long_name.conv{i}" for i in range(150)]


def layer(units: int, inputs: int, **given) -> LayerTopology:
    no = torch.zeros(units, dtype=torch.bool)
    facts = {
        "links_in": torch.full((units,), inputs), "weights_in": torch.full((units,), inputs),
        "links_out": torch.ones(units, dtype=torch.int64), "gone": no, "deaf": no, "unheard": no, "constant": no,
        "nonzero": 1, "stranded": 0, "constant_links": 0, "removed": 0, "removed_live": 0, "removed_alone": 0,
        "varies": torch.ones(inputs, dtype=torch.bool), "heard": ~no,
    }  # fmt: skip
    return LayerTopology("layer", **(facts | given))


def titles(figure: go.Figure) -> list[str]:
    return [axis.title.text for axis in (*figure.select_xaxes(), *figure.select_yaxes()) if axis.title.text]


def test_similarities_are_written_into_few_cells_and_a_dash_where_there_is_none() -> None:
    matrix = np.array([[0.987, -0.02], [np.nan, 0.5]])
    figure = layer_figures.similarity_matrix(matrix, ["a", "b"], ["a", "b"], LIGHT, y="before", x="after")
    heatmap, written = figure.data
    assert [list(row) for row in heatmap.text] == [["0.99", "-0.02"], ["–", "0.50"]]
    assert heatmap.z.tolist() == [[0.987, 0.0], [0.0, 0.5]]
    assert list(zip(written.y, written.x, written.text, strict=True)) == [
        (0, 0, "0.99"), (0, 1, "-0.02"), (1, 0, "–"), (1, 1, "0.50"),
    ]  # fmt: skip
    assert written.hoverinfo == "skip", "the pointer finds the cells"
    assert len(figure.layout.shapes) == 2
    assert titles(figure) == ["after", "before"]
    assert figure.layout.xaxis.tickangle == 0


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_with_many_layers_names_are_thinned_and_the_height_is_bounded(palette) -> None:
    matrix = np.eye(150)
    figures = [
        layer_figures.similarity_matrix(matrix, MANY, MANY, palette, y="before", x="after"),
        layer_figures.own_similarity(matrix.diagonal(), MANY, palette),
    ]
    for figure in figures:
        assert figure.layout.height <= 720
        ticks = figure.layout.yaxis.ticktext
        assert len(ticks) <= 40 and all(len(name) <= 26 for name in ticks)
        assert len(set(ticks)) == len(ticks)
        places = figure.layout.yaxis.tickvals
        assert [MANY[place][-6:] for place in places] == [name[-6:] for name in ticks]
    assert [trace.type for trace in figures[0].data] == ["heatmap"] and figures[0].data[0].showscale
    assert len(figures[0].layout.xaxis.ticktext) <= 16 and figures[0].layout.xaxis.tickangle < 0
    assert {text for row in figures[0].data[0].customdata for _, text in row} == set(MANY), (
        "hover says whole names"
    )


def test_a_layer_without_similarity_has_a_dash_in_place_of_a_bar() -> None:
    bars = layer_figures.own_similarity(np.array([0.25, np.nan]), ["a", "b"], LIGHT).data[0]
    assert list(bars.text) == ["0.25", "–"] and list(bars.x) == [0.25, 0]
    assert "not defined" in bars.customdata[1][1]


def test_the_value_beside_the_longest_bar_has_room() -> None:
    figure = layer_figures.own_similarity(np.ones(3), ["a", "b", "c"], LIGHT)
    assert (
        figure.data[0].cliponaxis is False and figure.layout.margin.r >= 32
    )  # four letters of 13 pixels' height


def skip(name: str, value: float | None) -> Skip:
    block = Block(name, "residual", ("a", "b"), "add", "x", "relu", 10)
    if value is None:
        return Skip(block, None, None, None, "it answers NaN")
    measured = Interval(value, value - 0.1, value + 0.1)
    return Skip(block, Interval(0.2, 0.1, 0.3), measured, Interval(0, -1, 1))


@pytest.mark.parametrize(("metric", "scale"), [(ACCURACY, 100), (R2, 1)])
def test_blocks_stand_in_order_with_their_intervals(metric, scale: float) -> None:
    found = [skip("one", 0.5), skip("two", None), skip("three", 0.7)]
    figure = layer_figures.blocks(found, Interval(0.9, 0.8, 1.0), metric, LIGHT)
    bars, dots, line = figure.data
    assert figure.layout.yaxis.ticktext == ("one", "two", "three")
    assert list(bars.x) == [0.2, 0, 0.2] and list(dots.y) == [0, 2]
    assert list(dots.x) == pytest.approx([0.5 * scale, 0.7 * scale])
    assert list(dots.error_x.array) == pytest.approx([0.1 * scale] * 2)
    assert list(line.x) == pytest.approx([0.9 * scale] * 2)
    assert "it answers NaN" in bars.customdata[1]
    assert metric.label in " ".join(titles(figure)) and "block influence" in titles(figure)
    assert all(("%{x:.1f}%" in trace.hovertemplate) == metric.percent for trace in (dots, line))
    many = layer_figures.blocks([skip(name, 0.5) for name in MANY], Interval(1, 1, 1), metric, DARK)
    assert many.layout.height <= 720 and len(many.layout.yaxis.ticktext) <= 40


def test_guessing_is_a_line_of_its_own_with_its_name() -> None:
    found = [skip("one", 0.5)]
    figure = layer_figures.blocks(found, Interval(0.9, 0.8, 1.0), ACCURACY, LIGHT, guessing=0.25)
    whole, guessing = figure.data[2:]
    assert list(guessing.x) == [25, 25] and guessing.xaxis == whole.xaxis == "x2"
    assert guessing.line.dash == "dot" and guessing.line.width < whole.line.width
    assert [(a.text, a.x) for a in figure.layout.annotations] == [("guessing", 25)]
    assert not layer_figures.blocks(found, Interval(0.9, 0.8, 1.0), ACCURACY, LIGHT).layout.annotations


@pytest.mark.parametrize(
    ("name", "layers", "expected"),
    [
        ("stage1.0", ("stage1.0.conv1", "stage1.0.conv2"), "stage1.0 (conv1 + conv2)"),
        ("stage2.0 (conv1 + conv2)", ("stage2.0.conv1", "stage2.0.conv2"), "stage2.0 (conv1 + conv2)"),
        ("a.b (2)", ("a.b.0", "a.b.1"), "a.b (0 + 1) (2)"),
        ("body", tuple(f"body.{i}" for i in range(4)), "body (0 … 3)"),
        ("body.fc", ("body.fc",), "body.fc"),
        ("fc1 + fc2", ("fc1", "fc2"), "fc1 + fc2"),
    ],
)
def test_a_block_is_always_named_with_its_layers(name: str, layers: tuple[str, ...], expected: str) -> None:
    block = Block(name, "residual", layers, "add", "x", "relu", 10)
    assert layer_figures.block_name(block) == expected


@pytest.mark.parametrize("largest", [0, 5, 200])
def test_every_unit_is_counted_once(largest: int) -> None:
    before = np.random.default_rng(0).integers(0, largest + 1, 90)
    after = before[:40] // 2
    figure = topology_figures.degrees(before, after, LIGHT, x="links into a unit")
    assert [sum(trace.y) for trace in figure.data] == [90, 40]
    assert [trace.name for trace in figure.data] == ["before", "after"]
    alone = topology_figures.degrees(before, None, LIGHT, x="links into a unit")
    assert [trace.name for trace in alone.data] == ["before"]


def test_every_link_is_a_line_in_the_colour_of_its_state() -> None:
    states = np.array([[State.LIVE, State.REMOVED, State.ABSENT], [State.STRANDED, State.LIVE, State.LIVE]])
    mask = torch.tensor([False, True])
    figure = topology_figures.link_map(
        states, layer(2, 3, unheard=mask, varies=torch.tensor([True, False, True])), LIGHT
    )
    lines = {trace.name: trace for trace in figure.data if trace.mode == "lines"}
    assert set(lines) == {"removed (1)", "stranded (1)", "live (3)"}
    assert len(lines["live (3)"].x) == 3 * 3, "two ends and a gap each"
    assert lines["stranded (1)"].line.color == LIGHT.lost
    inputs, units = (trace for trace in figure.data if trace.mode == "markers")
    assert list(units.marker.symbol) == ["circle", "x"]
    assert "nothing on the way to the answer reads it" in units.customdata[1]
    assert "the same for every example" in inputs.customdata[1]


def test_units_say_what_became_of_them() -> None:
    yes, no = torch.tensor([True]), torch.tensor([False])
    states = np.array([[State.REMOVED]])
    for given, expected in (
        ({"gone": yes}, "removed"),
        ({"deaf": yes, "constant": yes}, "the same for every example"),
        ({"deaf": yes, "constant": no}, "says nothing of the input"),
        ({"links_out": None}, "1 links in"),
    ):
        units = topology_figures.link_map(states, layer(1, 1, **given), DARK).data[-1]
        assert expected in units.customdata[0]


def test_cells_have_the_colours_of_states() -> None:
    states = np.array([[0, 1], [2, 3]])
    figure = topology_figures.link_cells(states, LIGHT)
    assert figure.data[0].z.tolist() == states.tolist()
    assert figure.data[0].customdata.tolist() == [["no link", "removed"], ["stranded", "live"]]
    assert [trace.name for trace in figure.data[1:]] == ["removed (1)", "stranded (1)", "live (1)"]


def test_shares_count_the_links_that_can_be() -> None:
    states = np.zeros((200, 4), dtype=np.uint8)
    states[:, 0] = State.LIVE
    states[:, 1] = State.REMOVED
    states[::2, 2] = State.STRANDED
    states[1::2, 2] = State.LIVE
    heatmap = topology_figures.link_shares(states, LIGHT).data[0]
    assert heatmap.z.shape == (67, 4)  # three units a row
    assert heatmap.z[:, 0].tolist() == [100] * 67 and heatmap.z[:, 1].tolist() == [0] * 67
    assert np.isnan(heatmap.z[:, 3]).all(), "no link there"
    assert heatmap.z[0, 2] == pytest.approx(100 / 3)
