"""A Plotly figure of what plans remove of each target, before and after they are carried over or combined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from ui.figures import base
from ui.theme import Palette

_MOST_TALL = 34  # rows at full height


@dataclass(frozen=True)
class Row:
    """What goes of one target.

    `given` are the shares that the plans it was made of remove, by what they are called; `share` what
    the new plan removes. `note` is added to the hover text, and `lost` marks a target that takes no part.
    """

    target: str
    given: Mapping[str, float]
    share: float
    note: str = ""
    lost: bool = False


def removed(rows: Sequence[Row], palette: Palette, *, after: str) -> go.Figure:
    """A row for each target, from the input on: open marks for what was given, a filled dot for what goes now."""
    step = 24 if len(rows) <= _MOST_TALL else 14
    figure = base(palette, height=max(180, step * len(rows) + 100), x="removed (%)", y="target")
    names = [row.target for row in rows]
    spans = [(row.target, [*row.given.values(), row.share]) for row in rows if row.given]
    figure.add_scatter(
        x=[x for _, shares in spans for x in (100 * min(shares), 100 * max(shares), None)],
        y=[y for target, _ in spans for y in (target, target, None)],
        mode="lines", line={"color": palette.grid, "width": 3}, hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    symbols = ("circle-open", "square-open", "diamond-open", "triangle-up-open", "cross-open", "x-open")
    for i, name in enumerate(dict.fromkeys(name for row in rows for name in row.given)):
        own = [row for row in rows if name in row.given]
        figure.add_scatter(
            x=[100 * row.given[name] for row in own], y=[row.target for row in own], mode="markers", name=name,
            marker={"symbol": symbols[i % len(symbols)], "size": 10, "color": palette.muted, "line": {"width": 1.5}},
            hovertemplate=f"%{{y}}<br>{name}: %{{x:.1f}}% removed<extra></extra>",
        )  # fmt: skip
    for label, colour, symbol, own in (
        (after, palette.kept, "circle", [row for row in rows if not row.lost]),
        ("takes no part", palette.lost, "x", [row for row in rows if row.lost]),
    ):
        if own:
            figure.add_scatter(
                x=[100 * row.share for row in own], y=[row.target for row in own], mode="markers", name=label,
                marker={"symbol": symbol, "size": 8, "color": colour},
                customdata=[_wrapped(row.note) for row in own],
                hovertemplate=f"%{{y}}<br>{label}: %{{x:.1f}}% removed%{{customdata}}<extra></extra>",
            )  # fmt: skip
    figure.update_xaxes(range=[-3, 103])
    figure.update_yaxes(
        categoryorder="array",
        categoryarray=names[::-1],
        range=[-0.7, len(names) - 0.3],
        dtick=1 if step > 14 else None,
    )
    return figure


def _wrapped(note: str, width: int = 70) -> str:
    """A note in lines that fit into a hover text."""
    lines = [""]
    for word in note.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] += " " * bool(lines[-1]) + word
    return "".join(f"<br>{line}" for line in lines if line)
