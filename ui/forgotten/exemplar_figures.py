"""Plotly figures of exemplars and robustness: how hard, how many disagree, quality against corruption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.forgetting.corruption import CORRUPTIONS
from analysis.forgetting.exemplars import Consensus, Difficulty
from analysis.forgetting.robustness import Point
from analysis.measure.quality import Interval
from analysis.tasks import Metric
from ui.figures import base
from ui.forgotten.forgotten_figures import looks, spread
from ui.theme import Palette


def difficulty(before: Difficulty, after: Difficulty, palette: Palette, *, chosen: str) -> go.Figure:
    """Accuracy of both networks on the chosen examples and on all others, with 95% intervals."""
    figure = base(palette, height=220, x="accuracy (%)", y="")
    for (label, colour, symbol), found in zip(looks(palette), (before, after), strict=True):
        rows = [(chosen, found.chosen), ("all others", found.others)]
        shown = [(name, value) for name, value in rows if value is not None]
        figure.add_scatter(
            x=[100 * v.value for _, v in shown],
            y=[name for name, _ in shown],
            mode="markers",
            name=label,
            marker={"color": colour, "size": 11, "symbol": symbol, "line": {"width": 2, "color": colour}},
            error_x=spread([v for _, v in shown], colour),
            hovertemplate=f"%{{y}}<br>{label} %{{x:.1f}}%<extra></extra>",
        )
    figure.update_xaxes(range=[-3, 103])
    figure.update_yaxes(autorange="reversed", type="category")
    return figure


def dissent(consensus: Consensus, palette: Palette) -> go.Figure:
    """How many examples have 1, 2, ... members that answer otherwise than the dense network."""
    members = consensus.members
    figure = base(palette, height=260, x=f"members of {members} that answer otherwise", y="examples")
    votes, exemplars = consensus.dissent.numpy(), consensus.exemplars.numpy()
    for label, mask, colour in (
        ("modal answer as before", ~exemplars, palette.removed),
        ("modal answer changed", exemplars, palette.lost),
    ):
        figure.add_bar(
            x=np.arange(1, members + 1),
            y=np.bincount(votes[mask], minlength=members + 1)[1:],
            name=label,
            marker={"color": colour, "line": {"width": 0}},
            hovertemplate=f"%{{x}} of {members} members<br>%{{y:,}} examples, {label}<extra></extra>",
        )
    figure.update_layout(barmode="stack")
    figure.update_xaxes(dtick=1 if members <= 12 else None, showgrid=False)
    return figure


def robustness(
    curves: Mapping[str, Sequence[Point]], metric: Metric, palette: Palette, *, columns: int
) -> go.Figure:
    """The headline metric against the strength of each corruption, before and after, with 95% bands.

    `columns` charts stand beside each other, also while there are fewer.
    """
    rows = -(-len(curves) // columns)
    figure = base(palette, height=290 * rows + 40, x="", y="")
    grid = make_subplots(
        rows, columns, figure=figure, shared_yaxes="all", horizontal_spacing=0.05,
        vertical_spacing=0.32 / rows if rows > 1 else 0.1,
    )  # fmt: skip
    scale = 100 if metric.percent else 1
    for i, (name, points) in enumerate(curves.items()):
        place = {"row": i // columns + 1, "col": i % columns + 1}
        x = [100 * point.strength for point in points]
        for (label, colour, symbol), values in zip(
            looks(palette), ([p.before for p in points], [p.after for p in points]), strict=True
        ):
            grid.add_scatter(
                x=x + x[::-1],
                y=[scale * v.high for v in values] + [scale * v.low for v in values[::-1]],
                fill="toself",
                fillcolor=_transparent(colour),
                line={"width": 0},
                mode="lines",
                hoverinfo="skip",
                showlegend=False,
                legendgroup=label,
                **place,
            )
            grid.add_scatter(
                x=x,
                y=[scale * v.value for v in values],
                mode="lines+markers",
                name=label,
                legendgroup=label,
                showlegend=i == 0,
                line={"color": colour, "width": 1.8},
                marker={
                    "color": colour,
                    "symbol": symbol,
                    "size": 7,
                    "line": {"width": 1.5, "color": colour},
                },
                customdata=[_hover(v, p.change, scale) for v, p in zip(values, points, strict=True)],
                hovertemplate=f"{label}, %{{x:.3g}}%<br>{metric.label} %{{customdata[0]}}<br>"
                "after minus before %{customdata[1]}<extra></extra>",
                **place,
            )
        grid.update_xaxes(title=f"{CORRUPTIONS[name].axis} (%)", **place)
    unit = " (%)" if metric.percent else ""
    for row in range(rows):
        grid.update_yaxes(title=metric.label + unit, row=row + 1, col=1)
    axis = {"gridcolor": palette.grid, "zerolinecolor": palette.grid, "automargin": True}
    grid.update_xaxes(**axis)
    grid.update_yaxes(**axis)
    return grid


def _hover(value: Interval, change: Interval, scale: int) -> tuple[str, str]:
    """A value and a change with their 95% intervals."""
    one, three = (scale * v for v in (value.low, value.high)), (change.value, change.low, change.high)
    low, high = one
    middle, least, most = (scale * v for v in three)
    return (
        f"{scale * value.value:.3g} ({low:.3g} to {high:.3g})",
        f"{middle:+.3g} ({least:+.3g} to {most:+.3g})",
    )


def _transparent(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.14)"
