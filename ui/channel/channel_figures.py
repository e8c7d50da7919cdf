"""Plotly figures of one channel, and the marks that lead to it: pure functions of analysis results."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
import plotly.graph_objects as go
import torch
from torch import Tensor

from analysis.importance import CRITERIA
from analysis.inside.channel import Rank
from analysis.measure.quality import Interval
from ui.figures import base, channel_bars
from ui.theme import Palette

MAX_TILES = 64  # kernels drawn side by side; of more the strongest
MAX_BARS = 48
MAX_CLASSES = 40


def rank_strip(ranks: Sequence[Rank], palette: Palette, *, current: str, limit: int | None) -> go.Figure:
    """A dot for each criterion: the channel's rank, 1 the most important; `limit` is the last rank kept."""
    known = [found for found in ranks if found.rank is not None]
    size = known[0].size
    figure = base(
        palette, height=max(150, 26 * len(known) + 70), x=f"rank of {size:,} (1: the last to go)", y=""
    )
    names = [CRITERIA[found.criterion].label for found in known]
    for name in names:
        figure.add_scatter(
            x=[1, size], y=[name, name], mode="lines", line={"color": palette.grid, "width": 2},
            hoverinfo="skip", showlegend=False,
        )  # fmt: skip
    figure.add_scatter(
        x=[found.rank for found in known],
        y=names,
        mode="markers",
        marker={
            "size": [14 if found.criterion == current else 10 for found in known],
            "color": [palette.kept if found.criterion == current else palette.muted for found in known],
            "opacity": 1,
        },
        cliponaxis=False,
        hovertemplate=f"%{{y}}<br>rank %{{x}} of {size:,}<extra></extra>",
        showlegend=False,
    )
    if limit is not None and limit < size:
        figure.add_vrect(
            x0=limit + 0.5, x1=size + 0.5, fillcolor=palette.lost, opacity=0.12, line={"width": 0}
        )
    step = max(1, round(size / 5))
    ticks = [1, *range(step, size - step // 2, step), size] if step > 1 else list(range(1, size + 1))
    figure.update_xaxes(range=[0.5, size + 0.5], tickvals=ticks, tickangle=0, showgrid=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def strip(
    values: np.ndarray, palette: Palette, *, y: str, removed: Collection[int], current: int
) -> go.Figure:
    """All channels of a group by rank, clickable: kept, removed, and an arrow over the one looked at."""
    figure = clickable(channel_bars(values, palette, y=y, ranked=True, removed=set(removed), height=190))
    place = int(np.flatnonzero(np.argsort(-values, kind="stable") == current)[0])
    figure.add_annotation(
        x=place, y=float(values[current]), text=f"{current}", arrowhead=2, ax=0, ay=-22,
        arrowcolor=palette.text, font={"color": palette.text},
    )  # fmt: skip
    return figure


def activation_histogram(edges: Tensor, counts: Tensor, palette: Palette) -> go.Figure:
    """How often the channel says what, without exact zeros."""
    figure = base(palette, height=260, x="activation", y="values")
    low, high = edges[:-1].numpy(), edges[1:].numpy()
    figure.add_bar(
        x=(low + high) / 2,
        y=counts.numpy(),
        width=high - low,
        customdata=np.stack([low, high], axis=1),
        marker={"color": palette.kept, "line": {"width": 0}},
        hovertemplate="%{customdata[0]:.3g} to %{customdata[1]:.3g}<br>%{y:,} values<extra></extra>",
    )
    figure.update_xaxes(showgrid=False)
    return figure


def class_means(means: Sequence[Interval | None], names: Sequence[str], palette: Palette) -> go.Figure:
    """The mean activation on each class with its interval, the classes that excite it most on top."""
    known = [(name, mean) for name, mean in zip(names, means, strict=True) if mean is not None]
    known = sorted(known, key=lambda pair: -pair[1].value)[:MAX_CLASSES]
    figure = base(palette, height=max(220, 22 * len(known) + 70), x="mean activation", y="")
    finite = [math.isfinite(mean.low) for _, mean in known]
    figure.add_scatter(
        x=[mean.value for _, mean in known],
        y=[name for name, _ in known],
        mode="markers",
        marker={"size": 9, "color": palette.kept},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [m.high - m.value if f else 0 for (_, m), f in zip(known, finite, strict=True)],
            "arrayminus": [m.value - m.low if f else 0 for (_, m), f in zip(known, finite, strict=True)],
            "color": palette.muted,
            "thickness": 1.5,
            "width": 0,
        },
        customdata=[
            f"{m.low:.3g} to {m.high:.3g}" if f else "unknown: a single example"
            for (_, m), f in zip(known, finite, strict=True)
        ],
        hovertemplate="%{y}<br>mean %{x:.3g}<br>95% interval %{customdata}<extra></extra>",
    )
    figure.update_yaxes(type="category", autorange="reversed", showgrid=False)
    return figure


def against_target(means: Tensor, targets: Tensor, palette: Palette, *, unit: str) -> go.Figure:
    """Each example: the true value and how much the channel says of it."""
    figure = base(palette, height=260, x=f"true value{f' ({unit})' if unit else ''}", y="mean activation")
    figure.add_scatter(
        x=targets.numpy(),
        y=means.numpy(),
        mode="markers",
        customdata=np.arange(len(means)),
        marker={"size": 6, "color": palette.kept, "opacity": 0.6},
        hovertemplate="example %{customdata}<br>true %{x:.4g}<br>activation %{y:.3g}<extra></extra>",
    )
    return figure


def kernel_tiles(weights: Tensor, palette: Palette, *, names: Sequence[str]) -> go.Figure:
    """Kernels (inputs, height, width) side by side on one scale, the strongest first if they are many."""
    order = torch.arange(len(weights))
    if len(weights) > MAX_TILES:
        order = weights.flatten(1).norm(dim=1).argsort(descending=True, stable=True)[:MAX_TILES]
    tiles = weights[order].double().numpy()
    count, height, width = tiles.shape
    columns = min(count, max(1, round(math.sqrt(count * 2 * height / width))))
    rows = -(-count // columns)
    canvas = np.full((rows * (height + 1) - 1, columns * (width + 1) - 1), np.nan)
    labels = np.full(canvas.shape, "", dtype=object)
    for i, tile in enumerate(tiles):
        top, left = (i // columns) * (height + 1), (i % columns) * (width + 1)
        canvas[top : top + height, left : left + width] = tile
        labels[top : top + height, left : left + width] = names[int(order[i])]
    limit = float(np.nanmax(np.abs(canvas))) or 1.0
    figure = base(
        palette, height=int(min(420, max(160, 420 * canvas.shape[0] / canvas.shape[1] + 60))), x="", y=""
    )
    figure.add_heatmap(
        z=canvas,
        zmin=-limit,
        zmax=limit,
        customdata=labels,
        colorscale=palette.diverging,
        colorbar={"title": {"text": "weight", "side": "right"}, "thickness": 12, "outlinewidth": 0},
        hovertemplate="%{customdata}<br>weight %{z:.4g}<extra></extra>",
        hoverongaps=False,
        xgap=0.5,
        ygap=0.5,
    )
    title = "inputs, the strongest first" if len(weights) > MAX_TILES else "inputs in their order, row by row"
    figure.update_xaxes(title=title, showticklabels=False, showgrid=False, zeroline=False)
    figure.update_yaxes(
        autorange="reversed", showticklabels=False, showgrid=False, zeroline=False, scaleanchor="x"
    )
    return figure


def weight_bars(weights: Tensor, palette: Palette, *, names: Sequence[str]) -> go.Figure:
    """A bar for each input of a channel, the strongest first if they are many."""
    order = torch.arange(len(weights))
    if len(weights) > MAX_BARS:
        order = weights.abs().argsort(descending=True, stable=True)[:MAX_BARS]
    values = weights[order].double().numpy()
    title = "input, the strongest first" if len(weights) > MAX_BARS else "input"
    figure = base(palette, height=260, x=title, y="weight")
    figure.add_bar(
        x=[names[int(i)] for i in order],
        y=values,
        marker={"color": [palette.kept if v >= 0 else palette.lost for v in values], "line": {"width": 0}},
        hovertemplate="%{x}<br>weight %{y:.4g}<extra></extra>",
    )
    figure.update_xaxes(type="category", showgrid=False, showticklabels=len(values) <= 16)
    return figure


def weight_grid(weights: Tensor, palette: Palette, *, names: Sequence[str], x: str) -> go.Figure:
    """The weights (inputs, taps) of a channel as a heatmap, the strongest inputs if they are many."""
    order = torch.arange(len(weights))
    if len(weights) > MAX_TILES:
        order = weights.norm(dim=1).argsort(descending=True, stable=True)[:MAX_TILES]
    limit = float(weights.abs().max()) or 1.0
    figure = base(palette, height=min(420, max(180, 12 * len(order) + 80)), x=x, y="input")
    figure.add_heatmap(
        z=weights[order].double().numpy(),
        y=[names[int(i)] for i in order],
        zmin=-limit,
        zmax=limit,
        colorscale=palette.diverging,
        colorbar={"title": {"text": "weight", "side": "right"}, "thickness": 12, "outlinewidth": 0},
        hovertemplate="%{y}<br>" + x + " %{x}<br>weight %{z:.4g}<extra></extra>",
    )
    figure.update_yaxes(
        type="category", autorange="reversed", showgrid=False, showticklabels=len(order) <= 24
    )
    figure.update_xaxes(tickformat="d", showgrid=False)
    return figure


def with_row_marks(
    figure: go.Figure, channels: Sequence[int], palette: Palette, *, step: int, columns: int
) -> go.Figure:
    """A heatmap of channels with a mark before each row, which can be clicked: its customdata is the channel.

    Plotly reports no clicks on heatmaps. `channels` are those of the rows from the top; `step` rows are
    drawn as one, and lead to the first of them. The heatmap is `columns` wide.
    """
    rows = list(range(0, len(channels), step))
    figure.add_scatter(
        x=[-0.5 - 0.025 * columns] * len(rows),
        y=[row + (step - 1) / 2 for row in rows],
        mode="markers",
        customdata=[channels[row] for row in rows],
        marker={"symbol": "triangle-right", "size": 9, "color": palette.muted},
        hovertemplate="channel %{customdata}: why it stays or goes<extra></extra>",
        showlegend=False,
    )
    return clickable(figure)


def clickable(figure: go.Figure) -> go.Figure:
    """The figure, so that a click on a point or bar is reported."""
    figure.update_layout(clickmode="event+select", dragmode=False)
    return figure
