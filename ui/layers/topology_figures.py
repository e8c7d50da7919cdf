"""Plotly figures of the graph of units: how well connected they are, and the links of one layer."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go
import torch

from analysis.inside.topology import LayerTopology, State
from ui.figures import base, binned
from ui.layers.layer_figures import bounded
from ui.theme import Palette

MAX_LINKED = 64  # units or inputs that are joined by lines; more are drawn as shares
_BINS = 30
_STATES = {State.REMOVED: "removed", State.STRANDED: "stranded", State.LIVE: "live"}


def degrees(before: np.ndarray, after: np.ndarray | None, palette: Palette, *, x: str) -> go.Figure:
    """How many units have how many links, before and after."""
    figure = base(palette, height=260, x=x, y="units")
    largest = int(max(before.max(initial=0), 0 if after is None else after.max(initial=0)))
    width = max(1, -(-(largest + 1) // _BINS))
    edges = np.arange(0, largest + 1 + width, width)
    for label, values, marker in (
        ("before", before, {"color": "rgba(0,0,0,0)", "line": {"color": palette.muted, "width": 2}}),
        ("after", after, {"color": palette.kept, "line": {"width": 0}}),
    ):
        if values is None:
            continue
        counts, _ = np.histogram(values, bins=[*edges, edges[-1] + width])
        shown = counts > 0
        figure.add_bar(
            x=(edges + (width - 1) / 2)[shown],
            y=counts[shown].tolist(),
            width=width * 0.9,
            name=label,
            marker=marker,
            customdata=[_span(int(edge), width) for edge in edges[shown]],
            hovertemplate=f"%{{customdata}} links<br>%{{y:,}} units {label}<extra></extra>",
        )
    figure.update_layout(barmode="overlay")
    figure.update_xaxes(
        tickformat="d",
        range=[-0.6, edges[-1] + width - 0.4],
        showgrid=False,
        dtick=1 if largest <= 12 else None,
    )
    figure.update_yaxes(tickformat="d", rangemode="tozero")
    return figure


def link_map(states: np.ndarray, layer: LayerTopology, palette: Palette) -> go.Figure:
    """What a layer reads on the left, its units on the right, a line for each link in the colour of its state."""
    units, inputs = states.shape
    figure = base(palette, height=bounded(9 * max(units, inputs) + 90, 300, 600), x="", y="")
    left, right = np.linspace(1, 0, max(inputs, 2)), np.linspace(1, 0, max(units, 2))
    looks = {
        State.REMOVED: (palette.removed, 0.35, 0.8),
        State.STRANDED: (palette.lost, 0.9, 1.6),
        State.LIVE: (
            palette.kept,
            float(np.clip(120 / max(1, (states == State.LIVE).sum()), 0.25, 0.9)),
            1.2,
        ),
    }
    for state, (colour, opacity, width) in looks.items():
        unit, source = np.nonzero(states == state)
        if len(unit):
            gap = np.full(len(unit), np.nan)
            figure.add_scatter(
                x=np.stack([np.zeros(len(unit)), np.ones(len(unit)), gap], axis=1).ravel(),
                y=np.stack([left[source], right[unit], gap], axis=1).ravel(),
                mode="lines",
                name=f"{_STATES[state]} ({len(unit):,})",
                line={"color": colour, "width": width},
                opacity=opacity,
                hoverinfo="skip",
            )
    varies = layer.varies.numpy()
    figure.add_scatter(
        x=np.zeros(inputs), y=left[:inputs], mode="markers", showlegend=False,
        marker={"size": 8, "color": np.where(varies, palette.text, palette.removed).tolist()},
        customdata=[
            f"input {i}" + ("" if ok else ": the same for every example") for i, ok in enumerate(varies)
        ],
        hovertemplate="%{customdata}<extra></extra>",
    )  # fmt: skip
    words, colours, symbols = zip(*(_unit_look(layer, i, palette) for i in range(units)), strict=True)
    figure.add_scatter(
        x=np.ones(units), y=right[:units], mode="markers", showlegend=False,
        marker={"size": 9, "color": colours, "symbol": symbols, "line": {"width": 1.5, "color": colours}},
        customdata=words, hovertemplate="%{customdata}<extra></extra>",
    )  # fmt: skip
    for place, words_of in ((0, "what it reads"), (1, "its units")):
        figure.add_annotation(
            x=place, y=-0.02, yanchor="top", text=words_of, showarrow=False, font={"color": palette.muted}
        )
    figure.update_xaxes(visible=False, range=[-0.16, 1.16])
    figure.update_yaxes(visible=False, range=[-0.1, 1.03])
    return figure


def link_cells(states: np.ndarray, palette: Palette) -> go.Figure:
    """A cell for each unit (row) and input (column) in the colour of their link's state."""
    figure = base(palette, height=bounded(8 * len(states) + 110, 260, 600), x="input", y="unit")
    colours = [palette.zero, palette.removed, palette.lost, palette.kept]
    figure.add_heatmap(
        z=states,
        zmin=-0.5,
        zmax=3.5,
        colorscale=[(edge / 4, colour) for i, colour in enumerate(colours) for edge in (i, i + 1)],
        showscale=False,
        customdata=np.array(["no link", "removed", "stranded", "live"])[states],
        hovertemplate="unit %{y}<br>input %{x}<br>%{customdata}<extra></extra>",
        xgap=0.5,
        ygap=0.5,
    )
    for state, name in _STATES.items():
        count = int((states == state).sum())
        if count:
            figure.add_scatter(
                x=[None], y=[None], mode="markers", name=f"{name} ({count:,})",
                marker={"symbol": "square", "size": 11, "color": colours[state]},
            )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, tickformat="d")
    figure.update_xaxes(showgrid=False, tickformat="d")
    return figure


def link_shares(states: np.ndarray, palette: Palette) -> go.Figure:
    """The share of links that work, in blocks of units and inputs."""
    there = torch.from_numpy((states != State.ABSENT).astype(float))
    live = torch.from_numpy((states == State.LIVE).astype(float))
    known, rows, columns = binned(there)
    shares = binned(live)[0] / known
    values = shares.numpy()
    figure = base(
        palette,
        height=bounded(14 * len(values) + 90, 260, 560),
        x="input" + (f", shares of {columns}" if columns > 1 else ""),
        y="unit" + (f", shares of {rows}" if rows > 1 else ""),
    )
    figure.add_heatmap(
        z=100 * values,
        x0=(columns - 1) / 2,
        dx=columns,
        y0=(rows - 1) / 2,
        dy=rows,
        zmin=0,
        zmax=float(np.nanmax(100 * values, initial=1)),
        colorscale=palette.sequential,
        colorbar={
            "title": {"text": "links at work (%)", "side": "right"}, "thickness": 12, "outlinewidth": 0,
        },
        hovertemplate="unit %{y}<br>input %{x}<br>%{z:.0f}% of the links are at work<extra></extra>",
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, tickformat="d")
    figure.update_xaxes(showgrid=False, tickformat="d")
    return figure


def _unit_look(layer: LayerTopology, unit: int, palette: Palette) -> tuple[str, str, str]:
    """Hover text, colour and symbol of a unit."""
    if layer.gone[unit]:
        return f"unit {unit}: removed", palette.removed, "circle-open"
    links = f"unit {unit}: {int(layer.links_in[unit]):,} links in"
    if layer.links_out is not None:
        links += f", {int(layer.links_out[unit]):,} out"
    if layer.deaf[unit]:
        what = "the same for every example" if layer.constant[unit] else "says nothing of the input"
        return f"{links}<br>dead: {what}", palette.lost, "x"
    if layer.unheard[unit]:
        return f"{links}<br>dead: nothing on the way to the answer reads it", palette.lost, "x"
    return links, palette.kept, "circle"


def _span(start: int, width: int) -> str:
    return f"{start:,}" if width == 1 else f"{start:,} to {start + width - 1:,}"
