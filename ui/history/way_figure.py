"""A Plotly figure of the trials that led to one."""

from __future__ import annotations

import html
from collections.abc import Sequence

import plotly.graph_objects as go

from analysis.history import Summary
from analysis.tasks import Metric
from ui import theme
from ui.figures import base
from ui.theme import Palette


def way(steps: Sequence[tuple[str, Summary]], palette: Palette, *, metric: Metric, before: int) -> go.Figure:
    """The headline metric of each step, with its interval; `steps` are (title, trial), after `before` others."""
    scale, unit = (100, " (%)") if metric.percent else (1, "")
    figure = base(palette, height=240, x="step", y=metric.label + unit)
    values = [trial.headline for _, trial in steps]
    figure.add_scatter(
        x=[before + i for i in range(len(steps))],
        y=[scale * value.value for value in values],
        mode="lines+markers",
        line={"color": palette.kept, "width": 1.5},
        marker={
            "color": palette.kept,
            "size": [14 if trial.label.star else 8 for _, trial in steps],
            "symbol": ["star" if trial.label.star else "circle" for _, trial in steps],
        },
        error_y={
            "type": "data", "symmetric": False, "thickness": 1, "width": 0, "color": palette.muted,
            "array": [scale * (value.high - value.value) for value in values],
            "arrayminus": [scale * (value.value - value.low) for value in values],
        },
        customdata=[
            [html.escape(title), theme.number(trial.headline.value, metric), theme.count(trial.nonzero_connections)]
            for title, trial in steps
        ],
        hovertemplate="<b>%{customdata[0]}</b><br>" + metric.label
        + " %{customdata[1]}<br>%{customdata[2]} nonzero connections<extra></extra>",
        showlegend=False,
    )  # fmt: skip
    figure.update_xaxes(tickformat="d", dtick=max(1, len(steps) // 10))
    return figure
