"""Figures of similarity and faithfulness: what is shaded, what stands where, and durations in words."""

import pytest

from analysis.explain.drift import DriftPoint, Floor, Spread
from analysis.explain.faithfulness import MeanCurve, Side
from analysis.measure.quality import Interval
from analysis.tasks import ACCURACY, R2
from ui import theme
from ui.compare.faithfulness_figures import paired_measures, removal_chart
from ui.compare.similarity_figures import drift_chart

POINTS = [
    DriftPoint(
        ratio,
        Interval(0.9 - ratio / 2, 0.8 - ratio / 2, 0.95 - ratio / 2),
        Interval(-ratio / 2, -ratio, 0),
        {"saliency": {"spearman": Spread(0.8 - ratio, 1 - ratio, 1.0)}},
    )
    for ratio in (0.0, 0.1, 0.3, 0.7)
]
FLOOR = Floor(3, {"saliency": {"spearman": Spread(0.0, 0.05, 0.1)}})


def _chart(points=POINTS, floor=FLOOR, marked=(), metric=ACCURACY):
    return drift_chart(
        points, floor, theme.LIGHT, methods={"saliency": "Saliency"}, measure="spearman",
        measure_label="Spearman", metric=metric, x="removed (%)", marked=marked, mark="moved",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("marked", "edges"),
    [((0.1,), (5, 20)), ((0.1, 0.3), (5, 50)), ((0.3, 0.7), (20, 70)), ((0.0,), (0, 5))],
)
def test_what_is_marked_is_shaded_up_to_half_of_the_way_to_its_neighbours(marked, edges):
    figure = _chart(marked=marked)
    (shape,) = figure.layout.shapes
    assert (shape.x0, shape.x1) == pytest.approx(edges)
    assert [note.text for note in figure.layout.annotations] == ["moved"]


def test_nothing_marked_is_not_shaded_and_a_floor_may_come_later():
    figure = _chart(floor=None)
    assert not figure.layout.shapes and not figure.layout.annotations
    assert all("random weights" not in (trace.name or "") for trace in figure.data)
    assert any("random weights" in (trace.name or "") for trace in _chart().data)


@pytest.mark.parametrize(("metric", "scale"), [(ACCURACY, 100), (R2, 1)])
def test_the_metric_stands_below_in_its_own_unit(metric, scale):
    figure = _chart(metric=metric)
    (below,) = [t for t in figure.data if t.yaxis == "y2" and t.fill is None]
    assert list(below.y) == pytest.approx([scale * point.quality.value for point in POINTS])
    assert figure.layout.yaxis2.title.text == metric.label + (" (%)" if scale == 100 else "")
    assert figure.layout.yaxis2.domain[1] < figure.layout.yaxis.domain[0]


def test_a_removal_chart_has_both_networks_and_their_random_orders():
    curves = [
        MeanCurve((0.0, 0.5, 1.0), tuple(Interval(v, v - 0.1, v + 0.1) for v in values))
        for values in ((1, 0.3, 0.1), (1, 0.6, 0.1))
    ]
    side = Side(Interval(0.4, 0.3, 0.5), *curves)
    figure = removal_chart(side, side, theme.DARK, x="emptied (%)", y="probability")
    named = {trace.name: list(trace.y) for trace in figure.data if trace.name}
    assert list(named) == ["before", "before, random order", "after", "after, random order"]
    assert named["after"] == [1, 0.3, 0.1] and named["after, random order"] == [1, 0.6, 0.1]


def test_paired_measures_have_an_axis_each_that_reaches_zero():
    pairs = [
        ("Gain", Interval(-0.2, -0.3, -0.1), Interval(0.1, 0.05, 0.2), "more"),
        ("Infidelity", Interval(0.4, 0.3, 0.5), Interval(0.6, 0.5, 0.7), "less"),
    ]
    figure = paired_measures(pairs, theme.LIGHT)
    assert [trace.x[0] for trace in figure.data] == [-0.2, 0.1, 0.4, 0.6]
    for axis, low, high in ((figure.layout.xaxis, -0.3, 0.2), (figure.layout.xaxis2, 0, 0.7)):
        assert axis.range[0] <= low and axis.range[1] >= high
    assert figure.layout.yaxis.ticktext == ("Gain",) and figure.layout.yaxis2.ticktext == ("Infidelity",)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "less than a second"), (12.4, "about 12 s"), (89, "about 89 s"), (150, "about 2 minutes")],
)
def test_durations_are_said_in_words(seconds, words):
    assert theme.duration(seconds) == words
