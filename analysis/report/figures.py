"""The figures of a report, each readable in print and with a hundred rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.forgetting.classes import ClassChange
from analysis.look import LIGHT, count
from analysis.measure.quality import Interval
from analysis.report.placing import Mark, clusters, joined, lowered, placed
from analysis.report.svg import FONT, Canvas, shortened
from analysis.tasks import Metric

ROWS = 45  # of one figure, so that it fits a printed page
CLASSES = 45  # that are drawn at most
_LABEL = 26  # signs of a row's label
_SIGN = 0.56  # a sign's width as a share of the font's size
_NEAR = 0.04  # ratios nearer than this are written as one
_WIDE = 4  # signs of a name that can stand across an edge
_EDGE = 0.15  # a ratio nearer to nothing or all stands at an edge
_NARROWEST = 10.0  # points of accuracy that an axis spans at least, so that noise does not look large
_MARGIN = 16  # pixels beyond the drawing area that a name may take
_NAME_UP, _NAME_ASIDE = 5, 7  # pixels from a dot to its name


@dataclass(frozen=True)
class Bar:
    """A layer's row: what there was, what is left, and both in words."""

    label: str
    before: float
    after: float
    tip: str


@dataclass(frozen=True)
class Point:
    """A network in a chart of quality against cost: `cost` in percent of the dense one's."""

    label: str
    cost: float
    quality: Interval
    is_dense: bool
    tip: str


def bars(name: str, what: str, rows: Sequence[Bar], *, is_share: bool = False) -> list[Markup]:
    """What is left of each row beside what there was; several figures if there are many rows."""
    most = max((bar.before for bar in rows), default=0) or 1.0
    return [
        _bars(f"{name}-{start}", what, rows[start : start + ROWS], most, is_share)
        for start in range(0, len(rows), ROWS)
    ]


def _bars(name: str, what: str, rows: Sequence[Bar], most: float, is_share: bool) -> Markup:
    canvas = _rows(name, f"{what}, for each layer", [bar.label for bar in rows], end=True)
    for place, bar in enumerate(rows):
        canvas.axes.barh(place, bar.before, height=0.62, color=LIGHT.removed, gid=canvas.tip(bar.tip))
        canvas.axes.barh(place, bar.after, height=0.62, color=LIGHT.kept, gid=canvas.tip(bar.tip))
    canvas.axes.set_xlim(0, most)
    if not is_share:
        canvas.axes.xaxis.set_major_locator(MaxNLocator(4))
        canvas.axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value)))
    canvas.titles(what)
    return canvas.markup()


def class_changes(changes: Sequence[ClassChange], names: Sequence[str]) -> Markup:
    """Each class's accuracy before and after, in the order given."""
    canvas = _rows("classes", "accuracy of each class before and after", [names[c.label] for c in changes])
    for place, one in enumerate(changes):
        before, after = 100 * one.before.value, 100 * one.after.value
        colour = LIGHT.muted if not one.is_real else LIGHT.lost if after < before else LIGHT.kept
        tip = canvas.tip(
            f"{names[one.label]}: {before:.1f}% before, {after:.1f}% after; {one.lost:,} lost, {one.gained:,} gained "
            f"of {one.examples:,}"
        )
        at = canvas.axes
        at.plot([before, after], [place] * 2, color=colour, linewidth=2, gid=tip)
        _dot(canvas, before, place, LIGHT.surface, LIGHT.muted, tip)
        _dot(canvas, after, place, colour, colour, tip)
    low, high = _span([100 * value for one in changes for value in (one.before.value, one.after.value)])
    canvas.axes.set_xlim(low, high)
    canvas.axes.xaxis.set_major_locator(MaxNLocator(5))
    canvas.titles("accuracy (%)" if low <= 0 else "accuracy (%); the axis does not begin at 0")
    return canvas.markup()


def _span(percents: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis for dots, in percent: what they span, with some air."""
    low, high = min(percents, default=0.0), max(percents, default=100.0)
    low = max(0.0, min(low, high - _NARROWEST))
    high = min(100.0, max(high, low + _NARROWEST))
    air, edge = 0.06 * (high - low), 0.02 * (high - low)  # no more than a dot has to stand clear of 0 and 100
    return max(low - air, -edge), min(high + air, 100 + edge)


def quality_against_cost(name: str, points: Sequence[Point], metric: Metric, cost: str) -> Markup:
    """Every network, with the 95% interval of its quality; up and to the left is better.

    Plans at one place share a dot, and those of one cost stand side by side, each a few pixels from its place.
    """
    scale = 100 if metric.percent else 1
    canvas = Canvas(name, f"{metric.label} against {cost}", height=250, left=64)
    at = canvas.axes
    ends = [scale * value for point in points for value in _values(point.quality)]
    low, high = _aired([value for value in ends if np.isfinite(value)])
    high = min(high, 102.0) if metric.percent else high  # just so that a dot at 100 stands clear of the edge
    wide = max(104.0, 1.04 * max(point.cost for point in points))
    across, up = (
        canvas.width / wide,
        canvas.height / (high - low),
    )  # pixels to a percent of cost, and to a unit of quality
    marks = []
    for point in points:
        middle, bottom, top = (up * (scale * value - low) for value in _values(point.quality))
        marks.append(Mark(point.label, across * point.cost, middle, bottom, top, joins=not point.is_dense))
    names, places = [], []
    for found in placed(marks):
        first = points[found.members[0]]
        value, bottom, top = (scale * v for v in _values(first.quality))
        x = first.cost + found.aside / across
        colour = LIGHT.muted if first.is_dense else LIGHT.kept
        tip = canvas.tip("; ".join(points[i].tip for i in found.members))
        at.plot([x] * 2, [bottom, top], color=colour, linewidth=1.4, gid=tip)
        _dot(canvas, x, value, LIGHT.surface if first.is_dense else colour, colour, tip)
        names.append(found.name)
        places.append((across * x, up * (value - low), found.aside))
    _names(canvas, names, places)
    at.set_xlim(0, wide)
    at.set_ylim(low, high)
    ticks = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(low, high)
    at.set_yticks([tick for tick in ticks if low <= tick <= (100 if metric.percent else high)])
    canvas.titles(f"{cost} (% of the dense network's)", f"{metric.label}{' (%)' if metric.percent else ''}")
    return canvas.markup()


def _values(measured: Interval) -> tuple[float, float, float]:
    return measured.value, measured.low, measured.high


def _aired(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis that shows these values with some air."""
    low, high = min(values, default=0.0), max(values, default=1.0)
    air = 0.12 * (high - low) or max(0.05 * abs(high), 0.05)
    return low - air, high + air


def _names(canvas: Canvas, names: Sequence[str], places: Sequence[tuple[float, float, float]]) -> None:
    """Write the names of dots beside them; `places` are (pixels right, pixels up, pixels moved aside) of each."""
    boxes, sides = [], []
    for name, (x, y, aside) in zip(names, places, strict=True):
        wide = _SIGN * FONT * len(name)
        fits_right = x + _NAME_ASIDE + wide <= canvas.width + _MARGIN
        fits_left = x - _NAME_ASIDE - wide >= 0
        side = -1 if (aside < 0 or not fits_right) and fits_left else 1
        edge = x + side * _NAME_ASIDE
        boxes.append((min(edge, edge + side * wide), max(edge, edge + side * wide), y + _NAME_UP))
        sides.append(side)
    for name, (x, y, _), side, down in zip(names, places, sides, lowered(boxes, FONT), strict=True):
        canvas.axes.annotate(
            name, (x / canvas.width, y / canvas.height), xycoords="axes fraction", textcoords="offset points",
            xytext=(_NAME_ASIDE * side, _NAME_UP - down), color=LIGHT.text, fontsize=FONT,
            ha="left" if side > 0 else "right",
        )  # fmt: skip


def cuts(name: str, rows: Sequence[tuple[str, Sequence[float]]], letters: Sequence[str]) -> list[Markup]:
    """How much of each target each plan removes, by the plans' letters; several figures if there are many rows."""
    return [
        _cuts(f"{name}-{start}", rows[start : start + ROWS], letters) for start in range(0, len(rows), ROWS)
    ]


def _cuts(name: str, rows: Sequence[tuple[str, Sequence[float]]], letters: Sequence[str]) -> Markup:
    canvas = _rows(name, "ratio removed of each target by each plan", [label for label, _ in rows], end=True)
    for place, (label, ratios) in enumerate(rows):
        tip = canvas.tip(
            f"{label}: "
            + ", ".join(f"{letter} {ratio:.0%}" for letter, ratio in zip(letters, ratios, strict=True))
        )
        canvas.axes.plot(
            [100 * min(ratios), 100 * max(ratios)], [place] * 2, color=LIGHT.removed, linewidth=2, gid=tip
        )
        for ratio, words in _written(ratios, letters):
            canvas.axes.text(
                100 * ratio, place, words, ha=_side(ratio, words), va="center", color=LIGHT.kept, fontsize=FONT,
                fontweight="bold", gid=tip,
            )  # fmt: skip
    canvas.axes.set_xlim(-8, 103)  # letters at nothing stand clear of the labels
    canvas.titles("removed (%)")
    return canvas.markup()


def _side(ratio: float, words: str) -> str:
    """How letters stand about their ratio, so that long ones stay inside the figure."""
    if len(words) <= _WIDE or _EDGE <= ratio <= 1 - _EDGE:
        return "center"
    return "left" if ratio < _EDGE else "right"


def _written(ratios: Sequence[float], letters: Sequence[str]) -> list[tuple[float, str]]:
    """The letters at each ratio; those too near to be told apart together."""
    return [
        (sum(ratios[i] for i in found) / len(found), joined([letters[i] for i in found]))
        for found in clusters(ratios, _NEAR)
    ]


def _dot(canvas: Canvas, x: float, y: float, face: str, edge: str, tip: str) -> None:
    canvas.axes.plot(
        x, y, marker="o", markersize=7, markeredgewidth=1.6, color=face, markeredgecolor=edge, gid=tip
    )


def _rows(name: str, sentence: str, labels: Sequence[str], *, end: bool = False) -> Canvas:
    """A canvas with a labelled row for each of `labels`, the first on top."""
    shown = [shortened(label, _LABEL, end=end) for label in labels]
    font = FONT - 1 if len(labels) <= ROWS // 2 else FONT - 2
    left = max(40.0, 14 + _SIGN * font * max(map(len, shown), default=0))
    canvas = Canvas(name, sentence, height=(20 if len(labels) <= ROWS // 2 else 15) * len(labels), left=left)
    canvas.axes.set_yticks(range(len(shown)), shown, fontsize=font)
    canvas.axes.set_ylim(len(shown) - 0.4, -0.6)
    canvas.axes.grid(axis="y", visible=False)
    return canvas
