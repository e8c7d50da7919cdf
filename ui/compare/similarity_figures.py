"""Plotly figures of how alike attributions are: of one plan, and against the ratio removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
import plotly.graph_objects as go

from analysis.explain.drift import DriftPoint, Floor
from analysis.tasks import Metric
from ui.figures import base
from ui.theme import Palette

_UPPER, _LOWER = (0.42, 1.0), (0.0, 0.32)  # of the height: similarity above, the headline metric below


def similarity_distributions(
    values: Mapping[str, np.ndarray], labels: Mapping[str, str], palette: Palette
) -> go.Figure:
    """One box a measure over all examples, its median written beside it."""
    figure = base(
        palette, height=80 * len(values) + 70, x="similarity of attributions before and after", y=""
    )
    for name, column in values.items():
        median = float(np.median(column))
        figure.add_box(
            x=column,
            name=f"{labels[name]}<br>median {median:.2f}",
            orientation="h",
            boxpoints="all",
            jitter=0.7,
            pointpos=0,
            marker={"color": palette.kept, "size": 3, "opacity": 0.35},
            line={"color": palette.text, "width": 1.5},
            fillcolor="rgba(0,0,0,0)",
            showlegend=False,
            hovertemplate="%{x:.3f}<extra></extra>",
        )
    figure.update_xaxes(range=[min(-0.05, *(float(v.min()) for v in values.values())) - 0.02, 1.04])
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def drift_chart(
    points: Sequence[DriftPoint],
    floor: Floor | None,
    palette: Palette,
    *,
    methods: Mapping[str, str],
    measure: str,
    measure_label: str,
    metric: Metric,
    x: str,
    marked: Sequence[float],
    mark: str,
) -> go.Figure:
    """Similarity against ratio above, the headline metric below, on one axis.

    Parameters
    ----------
    points : sequence of DriftPoint
        Sorted by ratio; at least one.
    methods : mapping
        Label of each method that is drawn, by its name.
    marked : sequence of float
        Neighbouring ratios that are shaded, up to half of the way to the next; `mark` is written there.
    """
    figure = base(palette, height=520, x=x, y="")
    ratios = [100 * point.ratio for point in points]
    looks = cycle(
        (
            (palette.kept, "solid", "circle"),
            (palette.text, "dash", "diamond"),
            (palette.muted, "dot", "square"),
        )
    )
    lowest = 0.0
    for (name, label), (colour, dash, symbol) in zip(methods.items(), looks, strict=False):
        spreads = [point.similarity[name][measure] for point in points]
        low, median, high = ([getattr(s, part) for s in spreads] for part in ("low", "median", "high"))
        lowest = min(lowest, *low)
        figure.add_trace(_band(ratios, low, high, colour, "y"))
        figure.add_scatter(
            x=ratios, y=median, mode="lines+markers", name=label, legendgroup=name,
            line={"color": colour, "dash": dash, "width": 2}, marker={"symbol": symbol, "size": 8},
            customdata=list(zip(low, high, strict=True)),
            hovertemplate=f"{label}<br>%{{x:.0f}}% removed<br>median %{{y:.2f}}, middle half "
            "%{customdata[0]:.2f} to %{customdata[1]:.2f}<extra></extra>",
        )  # fmt: skip
        if floor is not None:
            level = floor.similarity[name][measure].median
            lowest = min(lowest, level)
            figure.add_scatter(
                x=[0, 100], y=[level, level], mode="lines", name=f"{label}: random weights",
                legendgroup=name, line={"color": colour, "dash": "dot", "width": 1.2},
                hovertemplate=f"{label} of random weights<br>median {level:.2f}<extra></extra>",
            )  # fmt: skip
    scale = 100 if metric.percent else 1
    low, high = ([scale * getattr(p.quality, side) for p in points] for side in ("low", "high"))
    figure.add_trace(_band(ratios, low, high, palette.kept, "y2"))
    figure.add_scatter(
        x=ratios, y=[scale * point.quality.value for point in points], mode="lines+markers", yaxis="y2",
        showlegend=False, line={"color": palette.kept, "width": 2}, marker={"size": 8},
        customdata=list(zip(low, high, strict=True)),
        hovertemplate=f"{metric.label} %{{y:.3g}}<br>95% interval %{{customdata[0]:.3g}} to "
        "%{customdata[1]:.3g}<br>%{x:.0f}% removed<extra></extra>",
    )  # fmt: skip
    unit = " (%)" if metric.percent else ""
    figure.update_layout(
        xaxis={"anchor": "y2", "range": [-2, 100], "dtick": 10},
        yaxis={"domain": _UPPER, "title": f"similarity ({measure_label})", "range": [lowest - 0.06, 1.06]},
        yaxis2={
            "domain": _LOWER,
            "anchor": "x",
            "title": metric.label + unit,
            "gridcolor": palette.grid,
            "zerolinecolor": palette.grid,
            "automargin": True,
        },
    )
    if marked:
        start, end = _edges(ratios, [100 * ratio for ratio in marked])
        figure.add_shape(
            type="rect", xref="x", yref="paper", x0=start, x1=end, y0=0, y1=1, layer="below",
            fillcolor=palette.lost, opacity=0.14, line={"width": 0},
        )  # fmt: skip
        figure.add_annotation(
            x=(start + end) / 2, y=(_UPPER[0] + _LOWER[1]) / 2, yref="paper", yanchor="middle", text=mark,
            showarrow=False, font={"color": palette.lost, "size": 13},
        )  # fmt: skip
    return figure


def _band(x: list[float], low: Sequence[float], high: Sequence[float], colour: str, axis: str) -> go.Scatter:
    return go.Scatter(
        x=x + x[::-1], y=[*high, *reversed(low)], mode="lines", fill="toself", fillcolor=colour, opacity=0.15,
        line={"width": 0}, hoverinfo="skip", showlegend=False, yaxis=axis,
    )  # fmt: skip


def _edges(ratios: Sequence[float], marked: Sequence[float]) -> tuple[float, float]:
    """Half of the way from the marked ratios to the measured ones beside them."""
    before = [r for r in ratios if r < marked[0]]
    after = [r for r in ratios if r > marked[-1]]
    start = (before[-1] + marked[0]) / 2 if before else marked[0]
    return start, (after[0] + marked[-1]) / 2 if after else marked[-1]
