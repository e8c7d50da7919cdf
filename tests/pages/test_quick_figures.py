"""The figure of recovery without training: order, colours, the two lines, odd numbers."""

import math

import pytest

from analysis.measure.quality import Interval
from analysis.recovery.repairs import Gain
from analysis.tasks import ACCURACY, R2
from ui.recover import quick_figures
from ui.theme import DARK, LIGHT


def gain(value: float, half: float, *methods: str) -> Gain:
    change = Interval(value, value - half, value + half)
    return Gain(methods, Interval(0.9, 0.8, 1.0), change, (0.5,) * len(methods), layers=2)


GAINS = [
    gain(0.02, 0.03, "merging"),
    gain(-0.3, 0.05, "bias compensation"),
    gain(0.2, 0.05, "reconstruction", "recalibration"),
    Gain(("recalibration",), reason="no BatchNorm"),
]


def test_the_largest_gain_stands_on_top_and_colours_say_what_it_is_worth():
    figure = quick_figures.gains(GAINS, 0.25, ACCURACY, LIGHT)
    assert list(figure.layout.yaxis.categoryarray) == [
        "Bias compensation", "Merging", "Reconstruction, then recalibration",
    ]  # fmt: skip
    found = {trace.name: (list(trace.y), list(trace.x), trace.marker.color) for trace in figure.data}
    assert found == {
        "brings something": (["Reconstruction, then recalibration"], [20], LIGHT.kept),
        "not beyond noise": (["Merging"], [2], LIGHT.muted),
        "makes it worse": (["Bias compensation"], [-30], LIGHT.lost),
    }
    assert figure.data[0].error_x.array == pytest.approx([5]) and figure.data[
        0
    ].error_x.arrayminus == pytest.approx([5])
    assert figure.data[0].customdata[0][0] == "+20.0 points" and figure.data[0].customdata[0][3] == "1"


@pytest.mark.parametrize(
    ("lost", "sides"),
    [(0.25, {"as pruned": "right", "as dense": "left"}), (-0.1, {"as pruned": "left", "as dense": "right"})],
)
def test_the_lines_of_both_networks_have_their_names_outside(lost, sides):
    """Plotly's xanchor: a name anchored at its right end stands left of the line."""
    figure = quick_figures.gains(GAINS, lost, ACCURACY, DARK)
    assert {note.text: note.xanchor for note in figure.layout.annotations} == sides
    assert sorted(shape.x0 for shape in figure.layout.shapes) == sorted([0, 100 * lost])
    low, high = figure.layout.xaxis.range
    assert low < min(-35, 100 * lost) and high > max(25, 100 * lost)


def test_other_metrics_have_their_own_unit_and_unknown_values_are_left_out():
    figure = quick_figures.gains([*GAINS, gain(math.nan, 0.1, "merging")], math.nan, R2, LIGHT)
    assert figure.layout.xaxis.title.text == "R² gained" and len(figure.layout.shapes) == 1
    assert sorted(x for trace in figure.data for x in trace.x) == [-0.3, 0.02, 0.2]


def test_nothing_changed_is_drawn_too():
    figure = quick_figures.gains([gain(0, 0, "merging")], 0, ACCURACY, LIGHT)
    low, high = figure.layout.xaxis.range
    assert low < 0 < high
