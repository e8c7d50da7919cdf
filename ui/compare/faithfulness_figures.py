"""Plotly figures of faithfulness: insertion and deletion curves, and measures before and after."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.explain.faithfulness import MeanCurve, Side
from analysis.measure.quality import Interval
from ui.figures import base
from ui.theme import Palette

Pair = tuple[str, Interval, Interval, str]  # label, before, after, what is good


def removal_chart(before: Side, after: Side, palette: Palette, *, x: str, y: str) -> go.Figure:
    """Mean curves of both networks with 95% bands, and those of a random order of the same inputs."""
    figure = base(palette, height=360, x=x, y=y)
    for label, side, colour, symbol in (
        ("before", before, palette.muted, "circle-open"),
        ("after", after, palette.kept, "circle"),
    ):
        if side.curve is not None and side.random is not None:
            _add(figure, label, side.curve, colour, symbol)
            figure.add_scatter(
                x=[100 * share for share in side.random.shares],
                y=[value.value for value in side.random.values],
                mode="lines",
                name=f"{label}, random order",
                line={"color": colour, "dash": "dot", "width": 1.3},
                hovertemplate=f"{label}, random order<br>%{{x:.0f}}%: %{{y:.3f}}<extra></extra>",
            )
    figure.update_xaxes(range=[-2, 102], dtick=20)
    return figure


def paired_measures(pairs: Sequence[Pair], palette: Palette) -> go.Figure:
    """One row a measure, each on an axis of its own: before and after with 95% intervals."""
    figure = make_subplots(rows=len(pairs), cols=1, vertical_spacing=0.6 / len(pairs))
    looks = base(palette, height=96 * len(pairs) + 60, x="", y="").layout
    figure.update_layout(
        {key: looks[key] for key in ("height", "margin", "paper_bgcolor", "plot_bgcolor", "font", "legend")}
    )
    for row, (label, before, after, good) in enumerate(pairs, start=1):
        for name, value, colour, symbol, level in (
            ("before", before, palette.muted, "circle-open", 0.35),
            ("after", after, palette.kept, "circle", -0.35),
        ):
            figure.add_trace(
                go.Scatter(
                    x=[value.value],
                    y=[level],
                    mode="markers",
                    name=name,
                    legendgroup=name,
                    showlegend=row == 1,
                    marker={
                        "color": colour,
                        "size": 11,
                        "symbol": symbol,
                        "line": {"width": 2, "color": colour},
                    },
                    error_x={
                        "type": "data",
                        "symmetric": False,
                        "array": [value.high - value.value],
                        "arrayminus": [value.value - value.low],
                        "thickness": 1.4,
                        "width": 0,
                        "color": colour,
                    },
                    hovertemplate=f"{label}<br>{name} %{{x:.3f}} (95% interval {value.low:.3f} to "
                    f"{value.high:.3f})<extra></extra>",
                ),
                row=row,
                col=1,
            )
        figure.update_xaxes(
            gridcolor=palette.grid, zerolinecolor=palette.muted, automargin=True, nticks=6,
            title={"text": good, "standoff": 2}, range=_range(before, after), row=row, col=1,
        )  # fmt: skip
        figure.update_yaxes(
            range=[-1, 1], tickvals=[0], ticktext=[label], showgrid=False, zeroline=False, automargin=True,
            row=row, col=1,
        )  # fmt: skip
    return figure


def _add(figure: go.Figure, label: str, curve: MeanCurve, colour: str, symbol: str) -> None:
    x = [100 * share for share in curve.shares]
    low, high = [v.low for v in curve.values], [v.high for v in curve.values]
    figure.add_scatter(
        x=x + x[::-1], y=high + low[::-1], mode="lines", fill="toself", fillcolor=colour, opacity=0.15,
        line={"width": 0}, hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    figure.add_scatter(
        x=x, y=[v.value for v in curve.values], mode="lines+markers", name=label,
        line={"color": colour, "width": 2}, marker={"symbol": symbol, "size": 7},
        customdata=list(zip(low, high, strict=True)),
        hovertemplate=f"{label}<br>%{{x:.0f}}%: %{{y:.3f}} (95% interval %{{customdata[0]:.3f}} to "
        "%{customdata[1]:.3f})<extra></extra>",
    )  # fmt: skip


def _range(*values: Interval) -> list[float]:
    """From 0 to all of the intervals, with some room."""
    low, high = min(0.0, *(v.low for v in values)), max(0.0, *(v.high for v in values))
    room = 0.05 * (high - low or 1)
    return [low - room, high + room]
