"""Plotly figures of gradual pruning: the levels of a schedule, and quality over sparsity as a saw-tooth."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from analysis.measure.quality import Interval
from analysis.pruning.plan import Cut
from analysis.recovery.levels import Levels
from analysis.tasks import Metric
from analysis.units.gradual import Point
from ui.figures import base
from ui.forgotten.forgotten_figures import spread
from ui.theme import Palette


def schedule_levels(levels: Levels, goal: Sequence[Cut], palette: Palette) -> go.Figure:
    """How much of each target is gone after each step (thin), and of all targets on average (thick)."""
    figure = base(palette, height=220, x="step", y="removed of each target (%)")
    made = [{}, *({(cut.target, cut.granularity): 100 * cut.ratio for cut in cuts} for cuts in levels)]
    steps = list(range(len(made)))
    x: list[float | None] = []
    y: list[float | None] = []
    names: list[str] = []
    keys = [(cut.target, cut.granularity) for cut in goal]
    for key in keys:
        x += [*steps, None]
        y += [*(ratios.get(key, 0.0) for ratios in made), None]
        names += [f"{key[0]}, {key[1]}s"] * (len(steps) + 1)
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        name="each target",
        line={"color": palette.removed, "width": 1},
        customdata=names,
        hovertemplate="%{customdata}<br>step %{x}: %{y:.1f}% removed<extra></extra>",
    )
    figure.add_scatter(
        x=steps,
        y=[sum(ratios.get(key, 0.0) for key in keys) / len(keys) for ratios in made],
        mode="lines+markers",
        name="mean of the targets",
        line={"color": palette.kept, "width": 2},
        marker={"color": palette.kept, "size": 7},
        hovertemplate="step %{x}: %{y:.1f}% removed on average<extra></extra>",
    )
    figure.update_xaxes(dtick=1 if len(steps) <= 16 else None, showgrid=False)
    figure.update_yaxes(range=[0, 103])
    return figure


def saw_tooth(
    points: Sequence[Point], dense: Interval, metric: Metric, palette: Palette, *, floor: float | None = None
) -> go.Figure:
    """Quality over the share of connections removed: down with each cut, up with each recovery.

    `points` are ordered by their step. With a floor, it is drawn together with the validation values that it is
    compared with.
    """
    scale = 100 if metric.percent else 1
    unit = " (%)" if metric.percent else ""
    figure = base(palette, height=380, x="connections removed (%)", y=metric.label + unit)
    figure.add_hline(
        y=scale * dense.value, line={"color": palette.muted, "width": 1, "dash": "dot"},
        annotation={"text": "dense", "font": {"color": palette.muted}}, annotation_position="top right",
    )  # fmt: skip
    removed = [100 * point.removed for point in points]
    figure.add_scatter(
        x=[0, *(x for x in removed for _ in range(2))],
        y=[scale * v for v in (dense.value, *(v.value for p in points for v in (p.cut, p.after)))],
        mode="lines",
        line={"color": palette.removed, "width": 1.3},
        hoverinfo="skip",
        showlegend=False,
    )
    cut_label = "if it were cut now" if any(point.soft for point in points) else "right after the cut"
    for label, colour, symbol, values in (
        (cut_label, palette.muted, "circle-open", [point.cut for point in points]),
        ("recovered", palette.kept, "circle", [point.after for point in points]),
    ):
        figure.add_scatter(
            x=removed,
            y=[scale * value.value for value in values],
            mode="markers",
            name=label,
            marker={"color": colour, "symbol": symbol, "size": 9, "line": {"color": colour, "width": 1.8}},
            error_y=spread(values, colour, scale) if symbol == "circle" else None,
            customdata=[[p.step, _text(v, metric)] for p, v in zip(points, values, strict=True)],
            hovertemplate=f"step %{{customdata[0]}}, {label}<br>%{{x:.1f}}% removed<br>"
            f"{metric.label} %{{customdata[1]}}<extra></extra>",
        )
    if floor is not None:
        figure.add_hline(
            y=scale * floor, line={"color": palette.lost, "width": 1.2, "dash": "dash"},
            annotation={"text": "stop below", "font": {"color": palette.lost}}, annotation_position="bottom right",
        )  # fmt: skip
        figure.add_scatter(
            x=removed,
            y=[scale * point.validation for point in points],
            mode="markers",
            name="on the validation examples",
            marker={
                "color": [palette.muted if point.holds else palette.lost for point in points],
                "symbol": "x-thin-open",
                "size": 8,
                "line": {"width": 1.6},
            },
            customdata=[point.step for point in points],
            hovertemplate="step %{customdata}, validation<br>%{x:.1f}% removed<br>"
            f"{metric.label} %{{y:.4g}}<extra></extra>",
        )
    reach = max(1.0, *removed)
    figure.update_xaxes(range=[-0.03 * reach, 1.06 * reach])
    return figure


def _text(value: Interval, metric: Metric) -> str:
    scale, unit = (100, "%") if metric.percent else (1, "")
    return f"{scale * value.value:.4g}{unit} (95%: {scale * value.low:.4g} to {scale * value.high:.4g})"
