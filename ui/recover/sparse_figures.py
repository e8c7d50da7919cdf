"""Figures of training for sparsity: epochs as they come, sizes before and after, quality against ratio."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go

from analysis.measure.quality import Interval
from analysis.recovery.penalties import NEAR_ZERO
from analysis.recovery.sparse_training import edges
from analysis.tasks import Metric
from analysis.units.sparse_training import Stage
from ui.figures import base
from ui.theme import Palette

_HEIGHT = 260
_MARKED = 25  # more epochs than that are a line without marks


def quality_over_epochs(stages: Sequence[Stage], metric: Metric, palette: Palette) -> go.Figure:
    """The headline metric on the validation examples after each epoch, with the network as it was as a line."""
    scale = 100 if metric.percent else 1
    title = f"{metric.label}, validation" + (" (%)" if metric.percent else "")
    figure = base(palette, height=_HEIGHT, x="epoch", y=title)
    _line(figure, stages, [stage.validation * scale for stage in stages], "in training", palette.kept)
    before = stages[0].validation * scale
    figure.add_hline(y=before, line={"color": palette.muted, "dash": "dot", "width": 1.5})
    figure.update_layout(showlegend=False)
    return _whole_epochs(figure)


def losses_over_epochs(stages: Sequence[Stage], loss_name: str, palette: Palette) -> go.Figure:
    """The mean loss on what is learned from, and on the validation examples."""
    figure = base(palette, height=_HEIGHT, x="epoch", y=loss_name)
    trained = [stage for stage in stages if stage.train_loss is not None]
    _line(figure, trained, [stage.train_loss for stage in trained], "training", palette.muted, dash="dash")
    _line(figure, stages, [stage.validation_loss for stage in stages], "validation", palette.kept)
    return _whole_epochs(figure)


def near_zero_over_epochs(stages: Sequence[Stage], unit: str, palette: Palette) -> go.Figure:
    """How many weights or channels are near zero after each epoch."""
    figure = base(palette, height=_HEIGHT, x="epoch", y=f"{unit}s near zero (%)")
    _line(figure, stages, [100 * stage.near_zero for stage in stages], f"{unit}s near zero", palette.kept)
    figure.update_layout(showlegend=False)
    figure.update_yaxes(rangemode="tozero")
    return _whole_epochs(figure)


def sizes(before: Sequence[int], after: Sequence[int] | None, unit: str, palette: Palette) -> go.Figure:
    """Histogram of sizes as shares of the target's largest, before as an outline and after filled."""
    figure = base(
        palette, height=320, x=f"size of a {unit}, as a share of the largest beside it", y=f"{unit}s (log)"
    )
    bounds = edges().numpy()
    centres, widths = np.sqrt(bounds[1:] * bounds[:-1]), np.diff(bounds)
    spans = [f"{low:.2g} to {high:.2g}" for low, high in pairwise(bounds)]
    spans[0] = f"up to {bounds[1]:.2g}"
    hover = f"%{{customdata}} of the largest<br>%{{y:,}} {unit}s %{{fullData.name}}<extra></extra>"
    if after is not None:
        figure.add_bar(
            x=centres,
            y=list(after),
            width=widths,
            name="after",
            customdata=spans,
            marker={"color": palette.kept, "line": {"width": 0}},
            hovertemplate=hover,
        )
    figure.add_scatter(
        x=centres,
        y=[count or None for count in before],
        mode="lines+markers",
        name="before",
        customdata=spans,
        connectgaps=False,
        line={"color": palette.muted, "width": 1.5, "shape": "hvh"},
        marker={"symbol": "circle-open", "size": 6, "color": palette.muted},
        hovertemplate=hover,
    )
    figure.add_vline(x=NEAR_ZERO, line={"color": palette.lost, "dash": "dash", "width": 1.5})
    figure.update_layout(barmode="overlay", bargap=0)
    figure.update_xaxes(type="log", range=[float(np.log10(bounds[0])), 0.02], dtick=1, tickformat=".3~%")
    figure.update_yaxes(type="log", dtick=1)
    return figure


def quality_against_ratio(
    before: Mapping[float, Interval],
    after: Mapping[float, Interval] | None,
    metric: Metric,
    unit: str,
    palette: Palette,
) -> go.Figure:
    """The headline metric of both networks, every target cut alike, with 95% intervals."""
    scale = 100 if metric.percent else 1
    title = metric.label + (" (%)" if metric.percent else "")
    figure = base(palette, height=320, x=f"{unit}s removed from every target (%)", y=title)
    for name, curve, colour, symbol in (
        ("as it was", before, palette.muted, "circle-open"),
        ("trained for sparsity", after, palette.kept, "circle"),
    ):
        if curve is None:
            continue
        found = sorted(curve.items())
        figure.add_scatter(
            x=[100 * ratio for ratio, _ in found],
            y=[value.value * scale for _, value in found],
            mode="lines+markers",
            name=name,
            customdata=[[value.low * scale, value.high * scale] for _, value in found],
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [(value.high - value.value) * scale for _, value in found],
                "arrayminus": [(value.value - value.low) * scale for _, value in found],
                "thickness": 1.5,
                "width": 3,
                "color": colour,
            },
            line={"color": colour, "width": 2},
            marker={"symbol": symbol, "size": 9, "color": colour},
            hovertemplate=f"{name}<br>%{{x:.0f}}% of the {unit}s removed<br>%{{y:.4g}}, 95% interval "
            "%{customdata[0]:.4g} to %{customdata[1]:.4g}<extra></extra>",
        )
    return figure


def _line(
    figure: go.Figure,
    stages: Sequence[Stage],
    values: Sequence[float | None],
    name: str,
    colour: str,
    *,
    dash: str = "solid",
) -> None:
    figure.add_scatter(
        x=[stage.number for stage in stages],
        y=list(values),
        mode="lines+markers" if len(stages) <= _MARKED else "lines",
        name=name,
        line={"color": colour, "width": 2, "dash": dash},
        marker={
            "size": 6,
            "color": colour,
            "symbol": ["circle" if s.number else "circle-open" for s in stages],
        },
        hovertemplate=f"epoch %{{x}}<br>{name}: %{{y:.4g}}<extra></extra>",
    )


def _whole_epochs(figure: go.Figure) -> go.Figure:
    figure.update_xaxes(tickformat="d", rangemode="tozero")
    return figure
