"""Plotly figures of weights, importance and trials: pure functions of analysis results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import torch

from analysis.measure.quality import Interval
from analysis.tasks import Metric
from analysis.weights import Histogram
from ui.theme import Palette

MAX_CELLS = 96  # of a heatmap's side; more are binned by their mean
CONFIG = {"displayModeBar": False}


def base(palette: Palette, *, height: int, x: str, y: str) -> go.Figure:
    """An empty figure with axis titles and the house's margins."""
    figure = go.Figure()
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": palette.text, "size": 13},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 1, "xanchor": "right"},
        hoverlabel={"font": {"size": 13}},
        bargap=0.04,
    )
    axis = {"gridcolor": palette.grid, "zerolinecolor": palette.grid, "automargin": True}
    figure.update_xaxes(title=x, **axis)
    figure.update_yaxes(title=y, **axis)
    return figure


def weight_histogram(
    histogram: Histogram, palette: Palette, *, threshold: float | None = None, log: bool = False
) -> go.Figure:
    """Kept and removed weights stacked, with the threshold as two dashed lines."""
    figure = base(palette, height=340, x="weight", y="connections (log)" if log else "connections")
    centres = ((histogram.edges[1:] + histogram.edges[:-1]) / 2).numpy()
    width = float(histogram.edges[1] - histogram.edges[0])
    for label, values, colour in (
        ("kept", histogram.kept, palette.kept),
        ("removed", histogram.removed, palette.removed),
    ):
        if label == "kept" or int(histogram.removed.sum()):
            figure.add_bar(
                x=centres,
                y=values.numpy(),
                width=width * 0.96,
                name=label,
                marker={"color": colour, "line": {"width": 0}},
                hovertemplate=f"weight %{{x:.3f}}<br>%{{y:,}} {label}<extra></extra>",
            )
    figure.update_layout(barmode="stack")
    if log:
        figure.update_yaxes(type="log", dtick=1)
    if threshold:
        for edge in (-threshold, threshold):
            figure.add_vline(x=edge, line={"color": palette.lost, "dash": "dash", "width": 2})
    return figure


def ridgelines(
    histograms: Mapping[str, Histogram], palette: Palette, *, log: bool = False, x: str = "weight"
) -> go.Figure:
    """All distributions side by side, one row each, every row scaled to its own peak."""
    figure = base(palette, height=max(220, 52 * len(histograms) + 60), x=x, y="")
    names = list(histograms)
    for row, (name, histogram) in enumerate(reversed(list(histograms.items()))):
        centres = ((histogram.edges[1:] + histogram.edges[:-1]) / 2).numpy()
        total = (histogram.kept + histogram.removed).double().numpy()
        counts = (total, histogram.removed.double().numpy())
        heights = [np.log1p(c) if log else c for c in counts]
        peak = max(float(heights[0].max()), 1e-12)
        for height, colour, label in (
            (heights[0], palette.kept, "kept"),
            (heights[1], palette.removed, "removed"),
        ):
            if label == "removed" and not histogram.removed.sum():
                continue
            figure.add_scatter(
                x=centres,
                y=np.full_like(centres, row),
                mode="lines",
                line={"width": 0},
                showlegend=False,
                hoverinfo="skip",
            )
            figure.add_scatter(
                x=centres,
                y=row + 0.88 * height / peak,
                mode="lines",
                fill="tonexty",
                fillcolor=_transparent(colour, 0.55 if label == "kept" else 0.95),
                line={"color": colour, "width": 1.2},
                name=label,
                showlegend=row == 0 and bool(histogram.removed.sum()),
                customdata=np.stack([total, counts[1]], axis=1),
                hovertemplate=f"{name}<br>weight %{{x:.3f}}<br>%{{customdata[0]:,}} connections, "
                "%{customdata[1]:,} removed<extra></extra>",
            )
    figure.update_layout(legend_traceorder="reversed")
    figure.update_yaxes(
        tickvals=list(range(len(names))), ticktext=names[::-1], showgrid=False, range=[-0.1, len(names)]
    )
    return figure


def channel_bars(
    values: np.ndarray,
    palette: Palette,
    *,
    y: str,
    removed: set[int] | None = None,
    ranked: bool = False,
    height: int = 260,
) -> go.Figure:
    """One bar a channel; removed ones in the removed colour."""
    figure = base(palette, height=height, x="channel, most important first" if ranked else "channel", y=y)
    order = np.argsort(-values, kind="stable") if ranked else np.arange(len(values))
    gone = np.isin(order, list(removed or ()))
    for label, mask, colour in (("kept", ~gone, palette.kept), ("removed", gone, palette.removed)):
        if mask.any():
            figure.add_bar(
                x=np.arange(len(order))[mask],
                y=values[order][mask],
                name=label,
                customdata=order[mask],
                marker={"color": colour, "line": {"width": 0}},
                hovertemplate=f"channel %{{customdata}} ({label})<br>{y} %{{y:.4g}}<extra></extra>",
                showlegend=bool(gone.any()),
            )
    figure.update_xaxes(tickformat="d", showgrid=False)
    return figure


def named_bars(values: Mapping[str, float], palette: Palette, *, x: str) -> go.Figure:
    """A horizontal bar for each name, first on top."""
    figure = base(palette, height=max(180, 30 * len(values) + 70), x=x, y="")
    figure.add_bar(
        x=list(values.values()),
        y=list(values),
        orientation="h",
        marker={"color": palette.kept},
        hovertemplate="%{y}<br>%{x:.4g}<extra></extra>",
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def importance_heatmap(
    matrix: torch.Tensor, palette: Palette, *, label: str, ranked: bool, whole_channels: bool = False
) -> go.Figure:
    """Output channel x input channel; sides above `MAX_CELLS` are binned by their mean."""
    values, rows, columns = binned(matrix.double())
    order = "by rank" if ranked else "in order"
    row_bins, column_bins = (f", means of {side}" if side > 1 else "" for side in (rows, columns))
    figure = base(
        palette,
        height=min(560, max(260, 14 * len(values) + 90)),
        x="the criterion scores whole output channels"
        if whole_channels
        else f"input channel, {order}{column_bins}",
        y=f"output channel, {order}{row_bins}",
    )
    figure.add_heatmap(
        z=values.numpy(),
        x0=(columns - 1) / 2,
        dx=columns,
        y0=(rows - 1) / 2,
        dy=rows,
        colorscale=palette.sequential,
        colorbar={"title": {"text": label, "side": "right"}, "thickness": 12, "outlinewidth": 0},
        hovertemplate="output %{y}<br>input %{x}<br>" + label + " %{z:.4g}<extra></extra>",
        xgap=0.5 if values.shape[1] <= 64 else 0,
        ygap=0.5 if values.shape[0] <= 64 else 0,
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, tickformat="d")
    figure.update_xaxes(showgrid=False, tickformat="d", showticklabels=matrix.shape[1] > 1)
    return figure


def binned(matrix: torch.Tensor) -> tuple[torch.Tensor, int, int]:
    """Means over equal blocks so that no side exceeds `MAX_CELLS`, with the block's sides."""
    rows, columns = (-(-side // MAX_CELLS) for side in matrix.shape)
    padded = torch.full(
        (-(-matrix.shape[0] // rows) * rows, -(-matrix.shape[1] // columns) * columns), torch.nan
    ).double()
    padded[: matrix.shape[0], : matrix.shape[1]] = matrix
    blocks = padded.reshape(padded.shape[0] // rows, rows, padded.shape[1] // columns, columns)
    return blocks.nanmean(dim=(1, 3)), rows, columns


def correlation_matrix(matrix: np.ndarray, labels: Sequence[str], palette: Palette) -> go.Figure:
    """Rank correlations between criteria, their values written in the cells."""
    figure = base(palette, height=max(300, 34 * len(labels) + 120), x="", y="")
    text = [["–" if np.isnan(v) else f"{v:.2f}" for v in row] for row in matrix]
    figure.add_heatmap(
        z=matrix,
        x=list(labels),
        y=list(labels),
        zmin=-1,
        zmax=1,
        colorscale=palette.diverging,
        text=text,
        texttemplate="%{text}",
        colorbar={"title": {"text": "rank correlation", "side": "right"}, "thickness": 12, "outlinewidth": 0},
        hovertemplate="%{y}<br>%{x}<br>rank correlation %{text}<extra></extra>",
        xgap=1,
        ygap=1,
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False, tickangle=-35)
    return figure


def trade_off(
    points: Sequence[tuple[float, Interval, str]],
    front: Sequence[int],
    current: int | None,
    palette: Palette,
    *,
    metric: Metric,
    cost_label: str,
) -> go.Figure:
    """Quality against cost of every trial, with the Pareto front; `points` are (cost, quality, text)."""
    scale = 100 if metric.percent else 1
    unit = " (%)" if metric.percent else ""
    figure = base(palette, height=330, x=cost_label, y=metric.label + unit)
    ordered = sorted(front, key=lambda i: points[i][0])
    figure.add_scatter(
        x=[points[i][0] for i in ordered],
        y=[points[i][1].value * scale for i in ordered],
        mode="lines",
        name="Pareto front",
        line={"color": palette.muted, "dash": "dot", "width": 1.5, "shape": "hv"},
        hoverinfo="skip",
    )
    colours = [palette.kept if i in set(front) else palette.removed for i in range(len(points))]
    figure.add_scatter(
        x=[p[0] for p in points],
        y=[p[1].value * scale for p in points],
        mode="markers",
        name="plans tried",
        showlegend=False,
        customdata=[[i, p[2]] for i, p in enumerate(points)],
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [(p[1].high - p[1].value) * scale for p in points],
            "arrayminus": [(p[1].value - p[1].low) * scale for p in points],
            "thickness": 1,
            "width": 0,
            "color": palette.removed,
        },
        marker={
            "color": colours,
            "size": [15 if i == current else 9 for i in range(len(points))],
            "line": {"color": palette.text, "width": [2 if i == current else 0 for i in range(len(points))]},
        },
        hovertemplate="%{customdata[1]}<extra></extra>",
    )
    figure.update_layout(clickmode="event+select", dragmode=False)
    costs = [p[0] for p in points]
    if costs and min(costs) == max(costs):  # Plotly would spread the one cost over thousandths
        figure.update_xaxes(range=[0.5 * costs[0], 1.5 * costs[0]])
    return figure


def quality_curves(
    curves: Mapping[str, Sequence[tuple[float, Interval]]], palette: Palette, metric: Metric
) -> go.Figure:
    """The headline metric against the ratio removed, one line a network, with 95% bands."""
    scale = 100 if metric.percent else 1
    unit = " (%)" if metric.percent else ""
    figure = base(palette, height=340, x="removed from every target (%)", y=metric.label + unit)
    looks = (
        (palette.kept, "solid"),
        (palette.lost, "dash"),
        (palette.muted, "dot"),
        (palette.text, "dashdot"),
    )
    for (name, curve), (colour, dash) in zip(curves.items(), looks, strict=False):
        x = [100 * ratio for ratio, _ in curve]
        low = [q.low * scale for _, q in curve]
        high = [q.high * scale for _, q in curve]
        figure.add_scatter(
            x=x + x[::-1], y=high + low[::-1], mode="lines", fill="toself", fillcolor=_transparent(colour, 0.12),
            line={"width": 0}, hoverinfo="skip", showlegend=False,
        )  # fmt: skip
        figure.add_scatter(
            x=x,
            y=[q.value * scale for _, q in curve],
            mode="lines+markers",
            name=name,
            line={"color": colour, "dash": dash},
            hovertemplate=f"{name}<br>%{{x:.0f}}% removed<br>%{{y:.3g}}<extra></extra>",
        )
    return figure


def _transparent(colour: str, alpha: float) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},{alpha})"
