"""The figures of a report, each readable in print and with a hundred rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from markupsafe import Markup
from matplotlib.ticker import FuncFormatter, MaxNLocator

from analysis.forgetting.classes import ClassChange
from analysis.look import LIGHT, count
from analysis.measure.quality import Interval
from analysis.report.svg import FONT, Canvas, shortened
from analysis.tasks import Metric

ROWS = 45  # of one figure, so that it fits a printed page
CLASSES = 45  # that are drawn at most
_LABEL = 26  # signs of a row's label
_SIGN = 0.56  # a sign's width as a share of the font's size
_EDGE = 85  # percent, beyond which there is no room for words on the right
_NEAR = 0.03  # ratios nearer than this are written as one


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
    canvas.axes.set_xlim(-2, 102)
    canvas.titles("accuracy (%)")
    return canvas.markup()


def quality_against_cost(name: str, points: Sequence[Point], metric: Metric, cost: str) -> Markup:
    """Every network, with the 95% interval of its quality; up and to the left is better."""
    scale = 100 if metric.percent else 1
    canvas = Canvas(name, f"{metric.label} against {cost}", height=250, left=64)
    at = canvas.axes
    for point in points:
        value, low, high = (scale * v for v in (point.quality.value, point.quality.low, point.quality.high))
        colour, tip = LIGHT.muted if point.is_dense else LIGHT.kept, canvas.tip(point.tip)
        at.plot([point.cost] * 2, [low, high], color=colour, linewidth=1.4, gid=tip)
        _dot(canvas, point.cost, value, LIGHT.surface if point.is_dense else colour, colour, tip)
        side = -1 if point.cost > _EDGE else 1  # beside the dot, where there is room
        at.annotate(
            point.label, (point.cost, value), (7 * side, 5), textcoords="offset points", color=LIGHT.text,
            fontsize=FONT, ha="left" if side > 0 else "right",
        )  # fmt: skip
    at.set_xlim(0, max(104.0, 1.04 * max(point.cost for point in points)))
    at.margins(y=0.12)
    at.yaxis.set_major_locator(MaxNLocator(6))
    canvas.titles(f"{cost} (% of the dense network's)", f"{metric.label}{' (%)' if metric.percent else ''}")
    return canvas.markup()


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
                100 * ratio, place, words, ha="center", va="center", color=LIGHT.kept, fontsize=FONT,
                fontweight="bold", gid=tip,
            )  # fmt: skip
    canvas.axes.set_xlim(-8, 103)  # letters at nothing stand clear of the labels
    canvas.titles("removed (%)")
    return canvas.markup()


def _written(ratios: Sequence[float], letters: Sequence[str]) -> list[tuple[float, str]]:
    """The letters at each ratio; those too near to be told apart together."""
    found = []
    pairs = sorted(zip(ratios, letters, strict=True))
    for _, near in groupby(pairs, key=lambda pair: round(pair[0] / _NEAR)):
        together = list(near)
        found.append((sum(r for r, _ in together) / len(together), "".join(letter for _, letter in together)))
    return found


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
