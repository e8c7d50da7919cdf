"""Plotly figures of several trials side by side: what their plans remove, and quality against cost."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from analysis.history.differences import Difference
from analysis.measure.quality import Interval
from analysis.tasks import Metric
from ui import theme
from ui.figures import base
from ui.theme import Palette

_MOST_TALL = 34  # rows at full height
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "star")
MOST = len(_SYMBOLS)  # trials that are told apart


@dataclass(frozen=True)
class Spot:
    """A trial in the chart of quality against cost."""

    name: str
    cost: float
    cost_text: str
    quality: Interval


def _colours(palette: Palette) -> tuple[str, ...]:
    """By trial; symbols tell them apart as well."""
    return (palette.text, palette.kept, palette.lost, palette.muted, palette.scale[2], palette.removed)


def dumbbells(differences: Sequence[Difference], names: Sequence[str], palette: Palette) -> go.Figure:
    """A row for each target that is not cut alike, in the order given, with a mark for each trial."""
    step = 26 if len(differences) <= _MOST_TALL else 14
    figure = base(palette, height=max(160, step * len(differences) + 100), x="removed (%)", y="target")
    targets = [difference.target for difference in differences]
    figure.add_scatter(
        x=[x for d in differences for x in (100 * min(d.ratios), 100 * max(d.ratios), None)],
        y=[y for target in targets for y in (target, target, None)],
        mode="lines", line={"color": palette.grid, "width": 4}, hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    for i, (name, colour, symbol) in enumerate(zip(names, _colours(palette), _SYMBOLS, strict=False)):
        shown = html.escape(name)
        figure.add_scatter(
            x=[100 * difference.ratios[i] for difference in differences], y=targets, mode="markers", name=shown,
            marker={"symbol": symbol, "size": 10, "color": colour, "line": {"width": 1, "color": palette.surface}},
            customdata=[[shown]] * len(targets),
            hovertemplate="%{y}<br>%{customdata[0]}: %{x:.1f}% removed<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(range=[-3, 103])
    figure.update_yaxes(
        type="category", categoryorder="array", categoryarray=targets[::-1],
        range=[-0.7, len(targets) - 0.3], dtick=1 if step > 14 else None,
    )  # fmt: skip
    return figure


def quality_and_cost(
    spots: Sequence[Spot],
    front: Sequence[tuple[float, float]],
    palette: Palette,
    *,
    metric: Metric,
    cost: str,
) -> go.Figure:
    """Quality against a cost, with intervals; `front` are (cost, quality) of trials that no other beats, by cost."""
    scale, unit = (100, " (%)") if metric.percent else (1, "")
    figure = base(palette, height=340, x=cost, y=metric.label + unit)
    figure.add_scatter(
        x=[x for x, _ in front], y=[scale * y for _, y in front], mode="lines", name="best of the history",
        line={"color": palette.muted, "dash": "dot", "width": 1.5, "shape": "hv"}, hoverinfo="skip",
    )  # fmt: skip
    for spot, colour, symbol in zip(spots, _colours(palette), _SYMBOLS, strict=False):
        shown = html.escape(spot.name)
        quality = spot.quality
        figure.add_scatter(
            x=[spot.cost], y=[scale * quality.value], mode="markers", name=shown,
            marker={"symbol": symbol, "size": 13, "color": colour, "line": {"width": 1, "color": palette.surface}},
            error_y={
                "type": "data", "symmetric": False, "color": colour, "thickness": 1.5, "width": 4,
                "array": [scale * (quality.high - quality.value)],
                "arrayminus": [scale * (quality.value - quality.low)],
            },
            customdata=[[shown, theme.number(quality.value, metric), theme.interval(quality, metric), spot.cost_text]],
            hovertemplate="<b>%{customdata[0]}</b><br>" + metric.label
            + " %{customdata[1]} (%{customdata[2]})<br>" + cost + ": %{customdata[3]}<extra></extra>",
        )  # fmt: skip
    return figure
