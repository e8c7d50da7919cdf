"""Figures of the Forgotten page: what they hold, and that a very large or empty case is drawn too."""

import numpy as np
import pytest
import torch

from analysis.forgetting.calibration import reliability
from analysis.forgetting.classes import class_changes
from analysis.forgetting.exemplars import consensus, difficulty
from analysis.forgetting.margins import errors, margins
from analysis.forgetting.robustness import Point
from analysis.measure.quality import Interval
from analysis.tasks import ACCURACY, R2
from tests.forgetting.answered import noisy, said, valued
from ui.forgotten import exemplar_figures, forgotten_figures
from ui.theme import DARK, LIGHT


@pytest.fixture(scope="module")
def pair():
    return noisy(500, 4, seed=1), noisy(500, 4, seed=2)


def named(figure):
    return {trace.name: trace for trace in figure.data}


def test_changes_are_sorted_into_lost_gained_and_noise():
    targets = [0] * 30 + [1] * 30 + [2] * 4
    before = said([0] * 30 + [2] * 30 + [2] * 4, targets, 3)
    after = said([1] * 30 + [1] * 30 + [2, 2, 2, 1], targets, 3)
    figure = forgotten_figures.class_change(["a", "b", "c"], class_changes(before, after), LIGHT)
    found = {name: (list(trace.y), list(trace.x)) for name, trace in named(figure).items()}
    assert found == {"lost": (["a"], [-100]), "gained": (["b"], [100]), "within noise": (["c"], [-25])}
    assert named(figure)["lost"].marker.color == LIGHT.lost
    assert named(figure)["gained"].marker.color == LIGHT.kept


def test_a_new_confusion_and_a_lost_right_answer_have_the_colour_of_loss():
    difference = np.array([[-2, 1, 1], [0, 3, -3], [0, 0, 0]])
    figure = forgotten_figures.confusion_difference(difference, ["a", "b", "c"], LIGHT)
    trace, written = figure.data
    assert np.asarray(trace.z).tolist() == [[-2, -1, -1], [0, 3, 3], [0, 0, 0]]
    assert list(zip(written.y, written.x, written.text, strict=True)) == [
        ("a", "a", "-2"), ("a", "b", "+1"), ("a", "c", "+1"), ("b", "b", "+3"), ("b", "c", "-3"),
    ]  # fmt: skip
    assert figure.layout.xaxis.tickangle == 0
    assert (trace.zmin, trace.zmax) == (-3, 3)


def test_nothing_changed_and_long_names_are_drawn_too():
    figure = forgotten_figures.confusion_difference(np.zeros((2, 2), dtype=int), ["Ankle boot", "Bag"], DARK)
    assert not figure.data[1].text and figure.layout.xaxis.tickangle < 0


def test_the_cumulative_share_is_counted():
    values = np.random.default_rng(0).uniform(size=5000)
    figure = forgotten_figures.cumulative(values, values**2, DARK, of="the answer")
    for name, given in (("before", values), ("after", values**2)):
        trace = named(figure)[name]
        assert len(trace.x) <= 400
        for x, y in zip(trace.x, trace.y, strict=True):
            assert y == pytest.approx(100 * (100 * given <= x).mean())
        assert trace.y[-1] == 100


def test_points_of_a_scatter_are_the_margins_of_their_examples(pair):
    found = margins(*pair)
    shown = np.arange(0, 500, 3)
    figure = forgotten_figures.margin_scatter(found, shown, [f"example {i}" for i in range(500)], LIGHT)
    drawn = [
        (row[0], row[1], x, y)
        for trace in figure.data[1:]
        for row, x, y in zip(trace.customdata, trace.x, trace.y, strict=True)
    ]
    assert sorted(index for index, *_ in drawn) == shown.tolist()
    for index, text, x, y in drawn:
        assert text == f"example {index}"
        assert (x, y) == (float(found.before[index]), float(found.after[index]))


def test_reliability_has_a_point_for_each_bin(pair):
    figure = forgotten_figures.reliability(reliability(pair[0]), reliability(pair[1]), LIGHT)
    for trace, evaluation in zip(figure.data[1:], pair, strict=True):
        bins = reliability(evaluation)
        assert list(trace.y) == pytest.approx([100 * b.accuracy.value for b in bins])
        assert [row[0] for row in trace.customdata] == [b.count for b in bins]


def test_errors_are_told_apart():
    found = errors(valued([1.0, 5.0, 2.0], [1.0, 2.0, 4.0]), valued([2.0, 2.0, 6.0], [1.0, 2.0, 4.0]))
    figure = forgotten_figures.error_scatter(found, "mpg", LIGHT)
    assert [trace.name for trace in figure.data[1:]] == [
        "larger after: 1",
        "smaller after: 1",
        "equal after: 1",
    ]


def test_dissent_counts_every_example_that_somebody_disagrees_on():
    dense = torch.tensor([0, 0, 0, 1])
    members = [torch.tensor(row) for row in ([0, 1, 1, 1], [0, 0, 1, 1], [0, 0, 1, 2])]
    figure = exemplar_figures.dissent(consensus(dense, members), LIGHT)
    assert {name: trace.y.tolist() for name, trace in named(figure).items()} == {
        "modal answer as before": [2, 0, 0],
        "modal answer changed": [0, 0, 1],
    }


def test_difficulty_leaves_out_what_nobody_is_in(pair):
    everybody = torch.ones(500, dtype=torch.bool)
    figure = exemplar_figures.difficulty(
        difficulty(everybody, pair[0]), difficulty(everybody, pair[1]), LIGHT, chosen="changed"
    )
    assert [list(trace.y) for trace in figure.data] == [["changed"], ["changed"]]


@pytest.mark.parametrize(("metric", "scale"), [(ACCURACY, 100), (R2, 1)])
@pytest.mark.parametrize("names", [["noise"], ["noise", "blur", "contrast", "occlusion", "shift"]])
def test_every_corruption_has_its_own_axes(metric, scale, names):
    curves = {
        name: [Point(name, s, Interval(0.8, 0.7, 0.9), Interval(0.7 - s, 0.6 - s, 0.8 - s), Interval(-s, -s, -s))
               for s in (0.0, 0.5)]
        for name in names
    }  # fmt: skip
    figure = exemplar_figures.robustness(curves, metric, LIGHT, columns=3)
    lines = [trace for trace in figure.data if trace.name == "after"]
    assert len(lines) == len(names)
    assert len({trace.xaxis for trace in lines}) == len(names)
    assert all(list(trace.y) == pytest.approx([0.7 * scale, 0.2 * scale]) for trace in lines)
    titles = [figure.layout[axis].title.text for axis in figure.layout if axis.startswith("xaxis")]
    assert sum(bool(title) for title in titles) == len(names)
