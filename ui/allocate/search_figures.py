"""Plotly figures of a search: every trial with the front as it grows, and how much the front covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import plotly.graph_objects as go

from analysis.allocation.search import SEARCHED, Tried, front, hypervolume
from analysis.tasks import Metric
from ui import theme
from ui.figures import base
from ui.theme import Palette

_SYMBOLS = (
    "square-open", "diamond-open", "triangle-up-open", "triangle-down-open", "cross-open", "x-open", "star-open",
    "pentagon-open",
)  # fmt: skip
_MOST_NAMED = 8  # targets in a hover text


def trials(
    tried: Sequence[Tried],
    labels: Mapping[str, str],
    dense: float,
    palette: Palette,
    metric: Metric,
    *,
    cost: str,
    chosen: int | None,
) -> go.Figure:
    """Quality against what is left of the cost; a point's `customdata` begins with its number.

    Parameters
    ----------
    labels : mapping
        What the origins of trials are called; each has a mark of its own, in this order.
    dense : float
        The dense network's headline metric.
    chosen : int, optional
        The number of the trial that is looked at.
    """
    scale, unit = (100, " (%)") if metric.percent else (1, "")
    figure = base(palette, height=430, x=f"{cost} left (%)", y=metric.label + unit)
    stairs = front(tried)
    figure.add_scatter(
        x=[100 * t.share for t in stairs], y=[scale * t.quality.value for t in stairs], mode="lines",
        name="front", line={"color": palette.kept, "width": 2, "shape": "hv"}, hoverinfo="skip",
    )  # fmt: skip
    best = {trial.number for trial in stairs}
    marks = dict(zip((o for o in labels if o != SEARCHED), _SYMBOLS, strict=False))
    for origin, label in labels.items():
        own = [trial for trial in tried if trial.origin == origin]
        if not own:
            continue
        colours = [palette.kept if trial.number in best else palette.muted for trial in own]
        symbols = [marks.get(origin, "circle" if trial.number in best else "circle-open") for trial in own]
        figure.add_scatter(
            x=[100 * t.share for t in own], y=[scale * t.quality.value for t in own], mode="markers", name=label,
            customdata=[[t.number, _words(t, label, metric, cost)] for t in own],
            marker={
                "symbol": symbols, "color": colours, "size": 6 if origin == SEARCHED else 10,
                "line": {"width": 1.5, "color": colours},
            },
            hovertemplate="%{customdata[1]}<extra></extra>",
        )  # fmt: skip
    looked_at = [trial for trial in tried if trial.number == chosen]
    figure.add_scatter(
        x=[100 * t.share for t in looked_at], y=[scale * t.quality.value for t in looked_at], mode="markers",
        name="looked at", hoverinfo="skip", showlegend=bool(looked_at),
        marker={"symbol": "circle-open", "size": 19, "color": palette.text, "line": {"width": 2}},
    )  # fmt: skip
    figure.add_scatter(
        x=[100], y=[scale * dense], mode="markers", name="dense network",
        marker={"symbol": "circle", "size": 11, "color": palette.text},
        hovertemplate=f"dense network<br>{theme.number(dense, metric)}<extra></extra>",
    )  # fmt: skip
    figure.update_traces(
        unselected={"marker": {"opacity": 1}}, selector={"mode": "markers"}
    )  # a click dims nothing
    figure.update_layout(clickmode="event+select", dragmode=False, legend={"font": {"size": 12}})
    return figure


def coverage(
    tried: Sequence[Tried], labels: Mapping[str, str], dense: float, guess: float, palette: Palette
) -> go.Figure:
    """The share of the plane of saving and quality that the front covers, after each trial."""
    figure = base(palette, height=200, x="trials", y="covered (%)")
    areas = [100 * hypervolume(tried[: i + 1], dense, guess) for i in range(len(tried))]
    numbers = [trial.number + 1 for trial in tried]
    figure.add_scatter(
        x=numbers, y=areas, mode="lines", name="covered", showlegend=False,
        line={"color": palette.kept, "width": 2, "shape": "hv"},
        customdata=[labels.get(trial.origin, trial.origin) for trial in tried],
        hovertemplate="trial %{x} (%{customdata})<br>%{y:.1f}% covered<extra></extra>",
    )  # fmt: skip
    begun = next((t.number for t in tried if t.origin == SEARCHED), None)
    if begun:
        figure.add_vline(
            x=begun + 0.5, line={"color": palette.muted, "dash": "dot", "width": 1.5},
            annotation={"text": "search begins", "font": {"color": palette.muted, "size": 12}},
            annotation_position="bottom right",
        )  # fmt: skip
    figure.update_yaxes(rangemode="tozero")
    figure.update_xaxes(tickformat="d")
    return figure


def _words(trial: Tried, label: str, metric: Metric, cost: str) -> str:
    """A trial in a hover text."""
    known = f"{metric.label} {theme.number(trial.quality.value, metric)}"
    if not trial.is_exact:
        known += f" (95% interval {theme.interval(trial.quality, metric)}, beaten after {trial.examples:,} examples)"
    named = sorted(trial.ratios.items(), key=lambda item: -item[1])
    cuts = "".join(f"<br>{target} −{ratio:.0%}" for target, ratio in named[:_MOST_NAMED])
    more = f"<br>and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    head = f"<b>trial {trial.number + 1}: {label}</b><br>{known}<br>{trial.share:.1%} of the {cost} left"
    return head + (cuts + more if named else "<br>nothing is cut")
