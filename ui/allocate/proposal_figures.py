"""Plotly figures of proposals: what each keeps at which cost, and what it cuts where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from analysis.measure.quality import Interval
from analysis.tasks import Metric
from ui import cells
from ui.figures import base
from ui.forgotten.forgotten_figures import spread
from ui.theme import Palette

_MOST_WRITTEN = 40  # rows, above which no numbers are written into the cells


@dataclass(frozen=True)
class Row:
    """A proposal in a chart.

    `share` is what is left of the cost on the right-hand axis; `predicted` is the estimate from curves,
    `recovered` the quality after recovery, None where there is none.
    """

    label: str
    quality: Interval
    share: float
    predicted: float | None = None
    recovered: Interval | None = None


def quality_and_cost(
    rows: Sequence[Row],
    dense: float,
    palette: Palette,
    metric: Metric,
    *,
    cost: str,
    limit: float | None,
    floor: float | None,
) -> go.Figure:
    """For each proposal its quality as cut and after recovery, and beside it the cost that is left.

    The dense network's quality is a dotted line; what was asked for, `limit` of the cost or `floor` of the
    quality, a dashed one.
    """
    scale, unit = (100, " (%)") if metric.percent else (1, "")
    figure = make_subplots(
        1, 2, figure=base(palette, height=44 * len(rows) + 130, x="", y=""), shared_yaxes=True,
        column_widths=[0.68, 0.32], horizontal_spacing=0.03,
    )  # fmt: skip
    names = [row.label for row in rows]
    estimates = [(row.label, row.predicted) for row in rows if row.predicted is not None]
    figure.add_scatter(
        x=[scale * value for _, value in estimates], y=[name for name, _ in estimates], mode="markers",
        name="estimate from curves", row=1, col=1,
        marker={"symbol": "line-ns", "size": 13, "line": {"width": 2, "color": palette.removed}},
        hovertemplate="%{y}<br>estimate from curves %{x:.4g}<extra></extra>",
    )  # fmt: skip
    after = [(row.label, row.recovered) for row in rows if row.recovered is not None]
    for label, values, colour, symbol in (
        ("before training", [(row.label, row.quality) for row in rows], palette.muted, "circle-open"),
        ("after recovery", after, palette.kept, "circle"),
    ):
        if values:
            figure.add_scatter(
                x=[scale * value.value for _, value in values], y=[name for name, _ in values], mode="markers",
                name=label, row=1, col=1, error_x=spread([value for _, value in values], colour, scale),
                marker={"color": colour, "size": 12, "symbol": symbol, "line": {"width": 2, "color": colour}},
                customdata=[[scale * value.low, scale * value.high] for _, value in values],
                hovertemplate=f"%{{y}}<br>{label} %{{x:.4g}}{unit}<br>95% interval %{{customdata[0]:.4g}} to "
                "%{customdata[1]:.4g}<extra></extra>",
            )  # fmt: skip
    figure.add_bar(
        x=[100 * row.share for row in rows], y=names, orientation="h", row=1, col=2, showlegend=False,
        marker={"color": palette.kept, "line": {"width": 0}}, width=0.45,
        hovertemplate=f"%{{y}}<br>%{{x:.1f}}% of the {cost} left<extra></extra>",
    )  # fmt: skip
    figure.add_vline(
        x=scale * dense, line={"color": palette.muted, "dash": "dot", "width": 1.5}, row=1, col=1
    )
    asked = {"color": palette.lost, "dash": "dash", "width": 2}
    if floor is not None:
        figure.add_vline(x=scale * floor, line=asked, row=1, col=1)
    if limit is not None:
        figure.add_vline(x=100 * limit, line=asked, row=1, col=2)
    figure.update_xaxes(title=metric.label + unit, row=1, col=1)
    figure.update_xaxes(title=f"{cost} left (%)", range=[0, 102], row=1, col=2)
    figure.update_yaxes(
        title="", gridcolor=palette.grid, categoryorder="array", categoryarray=names[::-1], automargin=True
    )
    figure.update_yaxes(title="method", row=1, col=1)
    return figure


def ratios(plans: Mapping[str, Mapping[str, float]], targets: Sequence[str], palette: Palette) -> go.Figure:
    """What each proposal (a column) removes of each target (a row, from the input on), in percent."""
    values = np.array([[plan.get(target, 0.0) for plan in plans.values()] for target in targets])
    columns, rows = list(range(len(plans))), list(range(len(targets)))
    tall = len(targets) > _MOST_WRITTEN
    figure = base(
        palette, height=max(220, min(900, (12 if tall else 26) * len(targets) + 130)), x="method", y="target"
    )
    figure.add_heatmap(
        z=values, x=columns, y=rows, zmin=0, zmax=1, colorscale=palette.sequential, xgap=2, ygap=0 if tall else 2,
        customdata=[[[target, name] for name in plans] for target in targets],
        colorbar={"title": {"text": "share removed", "side": "right"}, "thickness": 12, "outlinewidth": 0,
                  "tickformat": ".0%"},
        hovertemplate="%{customdata[0]}<br>%{customdata[1]}<br>%{z:.1%} removed<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(
        tickvals=columns, ticktext=[folded(name) for name in plans], showgrid=False, tickangle=0
    )
    figure.update_yaxes(
        showgrid=False, range=[len(rows) - 0.5, -0.5],
        **({} if tall else {"tickvals": rows, "ticktext": list(targets)}),
    )  # fmt: skip
    if not tall:
        texts = [[f"{100 * value:.0f}" if value else "" for value in row] for row in values]
        cells.write(
            figure,
            texts,
            values,
            rows=rows,
            columns=columns,
            scale=palette.sequential,
            limits=(0, 1),
            room=600,
        )
    return figure


def folded(label: str) -> str:
    """A label on two lines of about the same length, if it has several words."""
    words = label.split()
    if len(words) < 2:
        return label
    breaks = [(" ".join(words[:i]), " ".join(words[i:])) for i in range(1, len(words))]
    return "<br>".join(min(breaks, key=lambda lines: max(map(len, lines))))
