"""The figures of searches and of plans carried over: pure functions of what was found."""

import math

import pytest

from analysis.allocation.search import SEARCHED, Tried
from analysis.measure.quality import Interval
from analysis.tasks import CLASSIFICATION, REGRESSION
from ui.allocate import plan_figures, search_figures
from ui.allocate.plan_figures import Row
from ui.theme import DARK, LIGHT

LABELS = {SEARCHED: "found by the search", "uniform": "Uniform", "lamp": "LAMP"}


def made(number: int, origin: str, share: float, value: float, *, exact: bool = True) -> Tried:
    interval = Interval(value, value - 0.02 * (not exact), value + 0.02 * (not exact))
    return Tried(number, origin, {"a": 0.5, "b": 0.25}, share, interval, 400, is_exact=exact)


TRIED = [
    made(0, "uniform", 0.5, 0.8),
    made(1, "lamp", 0.5, 0.7, exact=False),
    made(2, SEARCHED, 0.25, 0.6),
    made(3, SEARCHED, 0.75, 0.75),
    made(4, SEARCHED, 0.3, math.nan),
]


def named(figure, name: str):
    return next(trace for trace in figure.data if trace.name == name)


def drawn(chosen: int | None = 2, metric=CLASSIFICATION.headline, palette=LIGHT):
    return search_figures.trials(TRIED, LABELS, 0.9, palette, metric, cost="MACs", chosen=chosen)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
def test_every_trial_stands_at_its_cost_and_quality_and_the_front_is_kept_coloured(palette) -> None:
    figure = drawn(palette=palette)
    assert list(named(figure, "front").x) == [25, 50] and list(named(figure, "front").y) == [60, 80]
    assert list(named(figure, "found by the search").x) == [25, 75, 30]
    assert list(named(figure, "Uniform").marker.color) == [palette.kept]
    assert list(named(figure, "LAMP").marker.color) == [palette.muted]
    assert list(named(figure, "found by the search").marker.symbol) == [
        "circle",
        "circle-open",
        "circle-open",
    ]
    assert named(figure, "Uniform").marker.symbol != named(figure, "LAMP").marker.symbol
    assert (list(named(figure, "looked at").x), list(named(figure, "looked at").y)) == ([25], [60])
    assert list(named(figure, "dense network").y) == [90]
    assert figure.layout.xaxis.title.text == "MACs left (%)"
    assert figure.layout.yaxis.title.text == "Accuracy (%)"


def test_hover_texts_say_what_is_known_and_what_is_cut() -> None:
    figure = drawn()
    number, words = named(figure, "LAMP").customdata[0]
    assert number == 1 and "trial 2: LAMP" in words and "beaten after 400 examples" in words
    assert "a −50%" in words and "50.0% of the MACs left" in words
    assert "beaten" not in named(figure, "Uniform").customdata[0][1]
    assert "unknown" in named(figure, "found by the search").customdata[2][1]


def test_metrics_without_percent_are_drawn_as_they_are() -> None:
    figure = drawn(metric=REGRESSION.headline)
    assert list(named(figure, "front").y) == [0.6, 0.8]
    assert figure.layout.yaxis.title.text == "R²"


def test_nothing_is_marked_if_nothing_is_looked_at() -> None:
    ring = named(drawn(chosen=None), "looked at")
    assert not ring.x and not ring.showlegend


def test_the_front_is_said_to_cover_what_it_beats() -> None:
    """By hand: 0.5 x 0.7/0.8 after the first; then 0.25 x 0.5/0.8 more."""
    figure = search_figures.coverage(TRIED, LABELS, 0.9, 0.1, LIGHT)
    first, second = 100 * 0.5 * 0.7 / 0.8, 100 * (0.5 * 0.7 + 0.25 * 0.5) / 0.8
    assert list(figure.data[0].y) == pytest.approx([first, first, second, second, second])
    assert list(figure.data[0].x) == [1, 2, 3, 4, 5]
    assert figure.layout.shapes[0].x0 == 2.5, "two trials came before the search"


def test_plans_are_drawn_target_by_target_from_the_input_on() -> None:
    rows = [
        Row("first", {"one": 0.2, "two": 0.4}, 0.5, "a note " * 20),
        Row("last", {"one": 0.3, "two": 0.0}, 0.0, "it keeps its channels", lost=True),
    ]
    figure = plan_figures.removed(rows, LIGHT, after="combined")
    assert list(named(figure, "one").x) == [20, 30] and list(named(figure, "two").x) == [40, 0]
    assert list(named(figure, "combined").x) == [50] and list(named(figure, "combined").y) == ["first"]
    assert list(named(figure, "takes no part").y) == ["last"]
    assert named(figure, "takes no part").marker.color == LIGHT.lost
    assert named(figure, "combined").marker.color == LIGHT.kept
    assert list(figure.layout.yaxis.categoryarray) == ["last", "first"], "the first on top"
    assert named(figure, "one").marker.symbol != named(figure, "two").marker.symbol
    note = named(figure, "combined").customdata[0]
    assert (
        all(len(line) <= 80 for line in note.split("<br>"))
        and note.replace("<br>", " ").split() == ["a", "note"] * 20
    )


def test_many_targets_make_a_taller_figure_with_closer_rows() -> None:
    heights = [
        plan_figures.removed([Row(f"t{i}", {}, 0.1) for i in range(count)], LIGHT, after="x").layout.height
        for count in (3, 30, 150)
    ]
    assert heights == sorted(heights) and heights[-1] < 150 * 24
