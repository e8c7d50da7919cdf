"""A Plotly figure of the tree of trials."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Collection

import plotly.graph_objects as go

from analysis.history import Summary
from analysis.history.tree import Edge, Node, Tree
from analysis.tasks import Metric
from ui import theme
from ui.figures import base
from ui.theme import Palette

_LANE, _AROUND = 34, 130  # pixels
_LEAST = 0.01  # of the metric: changes below are no strong colour


def tree(
    drawn: Tree, palette: Palette, *, metric: Metric, title: Callable[[Summary], str], current: str,
    chosen: Collection[int],
) -> go.Figure:  # fmt: skip
    """Every drawn trial as a dot, from its root on the left, coloured by what it costs in quality.

    The trial with the key `current` is ringed and those with the ids `chosen` are large; a dotted line folds trials.
    """
    lanes = 1 + max(node.lane for node in drawn.nodes)
    figure = base(palette, height=_LANE * lanes + _AROUND, x="what grew from what, left to right", y="")
    for is_folded, dash in ((False, "solid"), (True, "dot")):
        edges = [edge for edge in drawn.edges if bool(edge.folded) == is_folded]
        xs, ys = _elbows(drawn, edges)
        figure.add_scatter(
            x=xs, y=ys, mode="lines", hoverinfo="skip", showlegend=False,
            line={"color": palette.muted if is_folded else palette.removed, "width": 1.5, "dash": dash},
        )  # fmt: skip
    folded = [edge for edge in drawn.edges if edge.folded]
    figure.add_scatter(
        x=[(drawn.nodes[edge.start].column + drawn.nodes[edge.end].column) / 2 for edge in folded],
        y=[drawn.nodes[edge.end].lane - 0.05 for edge in folded],
        mode="text", text=[f"+{edge.folded:,}" for edge in folded], textposition="top center",
        textfont={"color": palette.muted, "size": 11}, showlegend=False,
        customdata=[[f"{edge.folded:,} trials in a row"] for edge in folded],
        hovertemplate="%{customdata[0]}<extra></extra>",
    )  # fmt: skip
    changes = [_change(node.summary) for node in drawn.nodes]
    limit = max([_LEAST, *(abs(change) for change in changes if math.isfinite(change))])
    scale = 100 if metric.percent else 1
    figure.add_scatter(
        x=[node.column for node in drawn.nodes],
        y=[node.lane for node in drawn.nodes],
        mode="markers+text",
        text=[html.escape(_short(node.summary.label.name)) for node in drawn.nodes],
        textposition="bottom center",
        textfont={"size": 11},
        customdata=[[node.summary.id, _words(node, title, metric)] for node in drawn.nodes],
        hovertemplate="%{customdata[1]}<extra></extra>",
        showlegend=False,
        marker={
            "symbol": ["star" if node.summary.label.star else "circle" for node in drawn.nodes],
            "size": [_size(node.summary, chosen) for node in drawn.nodes],
            "color": [scale * change if math.isfinite(change) else 0.0 for change in changes],
            "colorscale": palette.diverging,
            "cmin": -scale * limit,
            "cmax": scale * limit,
            "line": {
                "color": palette.text,
                "width": [3 if node.summary.key == current else 1 for node in drawn.nodes],
            },
            "colorbar": {
                "title": {"text": "change,<br>points" if metric.percent else "change", "side": "top", "font": {"size": 12}},
                "thickness": 12, "outlinewidth": 0, "lenmode": "pixels", "len": min(220, _LANE * lanes + 90),
                "y": 1, "yanchor": "top",
            },
        },
        selected={"marker": {"opacity": 1}},
        unselected={"marker": {"opacity": 1}},
    )  # fmt: skip
    figure.update_layout(clickmode="event+select", dragmode=False)
    figure.update_xaxes(
        showticklabels=False, showgrid=False, zeroline=False,
        range=[-0.5, max(4, max(node.column for node in drawn.nodes)) + 0.5],
    )  # fmt: skip
    figure.update_yaxes(visible=False, range=[lanes - 0.3, -0.7])
    return figure


def _elbows(drawn: Tree, edges: Collection[Edge]) -> tuple[list[float | None], list[float | None]]:
    """Lines that go down where they start, then along the lane of their end."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    for edge in edges:
        start, end = drawn.nodes[edge.start], drawn.nodes[edge.end]
        xs += [start.column, start.column, end.column, None]
        ys += [start.lane, end.lane, end.lane, None]
    return xs, ys


def _words(node: Node, title: Callable[[Summary], str], metric: Metric) -> str:
    trial = node.summary
    change = "" if trial.change is None else f" ({theme.delta(trial.change.value, metric)})"
    name = title(trial)
    return "<br>".join(
        [
            f"<b>{html.escape(name)}</b>",
            f"{metric.label} {theme.number(trial.headline.value, metric)}{change}",
            f"{theme.count(trial.nonzero_connections)} nonzero connections, {theme.count(trial.parameters)} parameters",
            f"{theme.bytes_text(trial.best)} in the best encoding, {trial.latency:.2f} ms",
            f"step {node.steps:,} from its root",
        ]
    )


def _change(trial: Summary) -> float:
    return 0.0 if trial.change is None else trial.change.value


def _size(trial: Summary, chosen: Collection[int]) -> int:
    return (18 if trial.label.star else 13) + (6 if trial.id in chosen else 0)


def _short(name: str) -> str:
    return name if len(name) <= 24 else name[:23] + "…"
