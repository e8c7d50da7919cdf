"""Plotly figures of whole layers: similarity of representations, and blocks that could go."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.inside.blocks import Block
from analysis.inside.redundancy import Skip
from analysis.measure.quality import Interval
from analysis.tasks import Metric
from ui import cells
from ui.figures import base
from ui.theme import Palette

_WRITTEN, _ROOM = 14, 280  # layers whose similarities are written into the cells; pixels for them
_TICKS, _TICKS_ACROSS = 40, 16  # names on an axis
_LABEL = 26  # letters of a name
_BESIDE = 40  # pixels for a value beside the longest bar
_ABOVE = 52  # pixels for a legend, and the name of a line under it
_LISTED = 3  # layers of a block that are named one by one


def similarity_matrix(
    matrix: np.ndarray, rows: Sequence[str], columns: Sequence[str], palette: Palette, *, y: str, x: str
) -> go.Figure:
    """CKA of every layer (rows) with every layer (columns), the diagonal framed; a dash where it is not defined.

    Where the values are written into the cells, no colour bar takes room beside them.
    """
    figure = base(palette, height=bounded(26 * len(rows) + 150, 340, 640), x=x, y=y)
    text = [["–" if np.isnan(v) else f"{v:.2f}" for v in row] for row in matrix]
    both = [[(row, column) for column in columns] for row in rows]
    values = np.clip(np.nan_to_num(matrix, nan=0.0), 0, 1)
    written = len(rows) <= _WRITTEN
    figure.add_heatmap(
        z=values,
        zmin=0,
        zmax=1,
        colorscale=palette.sequential,
        text=text,
        customdata=both,
        hovertemplate=f"{y}: %{{customdata[0]}}<br>{x}: %{{customdata[1]}}<br>CKA %{{text}}<extra></extra>",
        showscale=not written,
        colorbar={"title": {"text": "CKA", "side": "right"}, "thickness": 12, "outlinewidth": 0},
        xgap=1 if len(rows) <= _TICKS else 0,
        ygap=1 if len(rows) <= _TICKS else 0,
    )
    for place in range(min(len(rows), len(columns))):
        figure.add_shape(
            type="rect", x0=place - 0.5, x1=place + 0.5, y0=place - 0.5, y1=place + 0.5,
            line={"color": palette.text, "width": 1.5 if len(rows) <= _TICKS else 0.5},
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed", showgrid=False, **_ticks(rows))
    figure.update_xaxes(showgrid=False, tickangle=cells.slant(columns), **_ticks(columns, _TICKS_ACROSS))
    if written:
        cells.write(
            figure, text, values, rows=range(len(rows)), columns=range(len(columns)), scale=palette.sequential,
            limits=(0, 1), room=_ROOM,
        )  # fmt: skip
    return figure


def own_similarity(values: np.ndarray, names: Sequence[str], palette: Palette) -> go.Figure:
    """CKA of each layer with itself before pruning, one row a layer."""
    figure = base(palette, height=bounded(22 * len(names) + 80, 200, 640), x="CKA with itself before", y="")
    known = ~np.isnan(values)
    figure.add_bar(
        x=np.where(known, np.clip(values, 0, 1), 0),
        y=np.arange(len(names)),
        orientation="h",
        marker={"color": palette.kept, "line": {"width": 0}},
        text=[f"{v:.2f}" if ok else "–" for v, ok in zip(values, known, strict=True)],
        textposition="outside" if len(names) <= _TICKS else "none",
        cliponaxis=False,
        customdata=[
            (name, f"CKA {value:.3f}" if ok else "not defined: it says the same for every example")
            for name, value, ok in zip(names, values, known, strict=True)
        ],
        hovertemplate="%{customdata[0]}<br>%{customdata[1]}<extra></extra>",
    )
    figure.update_layout(bargap=0.25, margin_r=_BESIDE)
    figure.update_xaxes(range=[0, 1], tickvals=[0, 0.25, 0.5, 0.75, 1])
    figure.update_yaxes(autorange="reversed", showgrid=False, zeroline=False, **_ticks(names))
    return figure


def blocks(
    found: Sequence[Skip], dense: Interval, metric: Metric, palette: Palette, *, guessing: float | None = None
) -> go.Figure:
    """Influence of each block as a bar, and beside it the headline metric when it is skipped.

    `guessing` is what always giving one answer would get, drawn as a thin line if it is given.
    """
    scale, unit = (100, " (%)") if metric.percent else (1, "")
    shown = f"{metric.label} " + ("%{x:.1f}%" if metric.percent else "%{x:.3g}")
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04)
    plain = base(palette, height=bounded(30 * len(found) + 110, 220, 720), x="", y="")
    figure.update_layout(plain.layout)
    axis = {"gridcolor": palette.grid, "zerolinecolor": palette.grid, "automargin": True}
    figure.update_xaxes(title="block influence", row=1, col=1, **axis)
    figure.update_xaxes(title=f"{metric.label} without it{unit}", row=1, col=2, **axis)
    names = [block_name(skip.block) for skip in found]
    figure.add_bar(
        x=[skip.influence.value if skip.influence else 0 for skip in found],
        y=np.arange(len(found)),
        orientation="h",
        showlegend=False,
        marker={"color": palette.removed, "line": {"width": 0}},
        error_x=_errors([skip.influence for skip in found], 1, palette.muted),
        customdata=[_block_words(skip) for skip in found],
        hovertemplate="%{customdata}<extra></extra>",
        row=1,
        col=1,
    )
    measured = [(place, skip.quality) for place, skip in enumerate(found) if skip.quality is not None]
    figure.add_scatter(
        x=[quality.value * scale for _, quality in measured],
        y=[place for place, _ in measured],
        mode="markers",
        name="block skipped",
        marker={"color": palette.kept, "size": 10},
        error_x=_errors([quality for _, quality in measured], scale, palette.kept),
        customdata=[_block_words(found[place]) for place, _ in measured],
        hovertemplate=f"%{{customdata}}<br>{shown}<extra></extra>",
        row=1,
        col=2,
    )
    ends = [-0.5, len(found) - 0.5]
    figure.add_scatter(
        x=[dense.value * scale] * 2,
        y=ends,
        mode="lines",
        name="whole network",
        line={"color": palette.muted, "width": 2},
        hovertemplate=f"whole network<br>{shown}<extra></extra>",
        row=1,
        col=2,
    )
    if guessing is not None:
        figure.add_scatter(
            x=[guessing * scale] * 2,
            y=ends,
            mode="lines",
            name="guessing",
            showlegend=False,
            line={"color": palette.muted, "dash": "dot", "width": 1},
            hovertemplate=f"guessing<br>{shown}<extra></extra>",
            row=1,
            col=2,
        )
        figure.add_annotation(
            x=guessing * scale, xref="x2", y=1, yref="paper", yanchor="bottom", text="guessing", showarrow=False,
            font={"color": palette.muted, "size": 12},
        )  # fmt: skip
    figure.update_yaxes(
        range=[len(found) - 0.4, -0.6], showgrid=False, zeroline=False, automargin=True, **_ticks(names)
    )
    figure.update_layout(bargap=0.35, margin_t=_ABOVE, legend={"yref": "container", "y": 1, "yanchor": "top"})
    return figure


def block_name(block: Block) -> str:
    """A block's name with its layers in brackets, also if it is called by the module that holds only them."""
    module = re.sub(r" \(\d+\)$", "", block.name)  # the number that tells two of one name apart
    if len(block.layers) < 2 or not all(layer.startswith(f"{module}.") for layer in block.layers):
        return block.name
    within = [layer.removeprefix(f"{module}.") for layer in block.layers]
    listed = " + ".join(within) if len(within) <= _LISTED else f"{within[0]} … {within[-1]}"
    return f"{module} ({listed}){block.name.removeprefix(module)}"


def _block_words(skip: Skip) -> str:
    """A block in a hover text."""
    words = [
        f"<b>{block_name(skip.block)}</b>",
        f"{skip.block.connections:,} connections in {', '.join(_shortened(n) for n in skip.block.layers[:6])}"
        + (f" and {len(skip.block.layers) - 6} more" if len(skip.block.layers) > 6 else ""),
    ]
    if skip.influence is not None:
        words.append(f"influence {skip.influence.value:.3f}")
    if skip.reason:
        words.append(f"cannot be skipped: {skip.reason}")
    return "<br>".join(words)


def _errors(intervals: Sequence[Interval | None], scale: float, colour: str) -> Mapping[str, object]:
    """Plotly's error bars of intervals."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [(i.high - i.value) * scale if i else 0 for i in intervals],
        "arrayminus": [(i.value - i.low) * scale if i else 0 for i in intervals],
        "thickness": 1.2,
        "width": 0,
        "color": colour,
    }


def _ticks(names: Sequence[str], most: int = _TICKS) -> dict[str, object]:
    """Names at the places 0, 1, ... of an axis; only some if there are many."""
    step = max(1, -(-len(names) // most))
    places = list(range(0, len(names), step))
    return {"tickvals": places, "ticktext": [_shortened(names[place]) for place in places]}


def _shortened(name: str) -> str:
    """A name with its middle left out if it is long: its end tells layers apart."""
    return name if len(name) <= _LABEL else f"{name[:8]}…{name[8 + 1 - _LABEL :]}"


def bounded(height: int, low: int, high: int) -> int:
    """A height within bounds."""
    return max(low, min(high, height))
