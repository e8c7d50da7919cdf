"""Plotly figures of what pruning changed: classes, confusions, similarity, predictions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from analysis.measure.quality import Interval
from ui.figures import base
from ui.theme import Palette


def class_accuracy(
    names: Sequence[str],
    before: Sequence[Interval | None],
    after: Sequence[Interval | None],
    palette: Palette,
) -> go.Figure:
    """Accuracy of each class before and after, with 95% intervals."""
    figure = base(palette, height=max(260, 34 * len(names) + 80), x="accuracy (%)", y="")
    for label, values, colour, symbol in (
        ("before", before, palette.muted, "circle-open"),
        ("after", after, palette.kept, "circle"),
    ):
        shown = [(name, v) for name, v in zip(names, values, strict=True) if v is not None]
        figure.add_scatter(
            x=[100 * v.value for _, v in shown],
            y=[name for name, _ in shown],
            mode="markers",
            name=label,
            marker={"color": colour, "size": 10, "symbol": symbol, "line": {"width": 2, "color": colour}},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [100 * (v.high - v.value) for _, v in shown],
                "arrayminus": [100 * (v.value - v.low) for _, v in shown],
                "thickness": 1.2,
                "width": 0,
                "color": colour,
            },
            hovertemplate=f"%{{y}}<br>{label} %{{x:.1f}}%<extra></extra>",
        )
    figure.update_yaxes(autorange="reversed", type="category")
    return figure


def confusion_difference(difference: np.ndarray, names: Sequence[str], palette: Palette) -> go.Figure:
    """After minus before: on the diagonal more is better, elsewhere more is a new confusion."""
    figure = base(palette, height=460, x="answer", y="true class")
    good = difference * np.where(np.eye(len(names), dtype=bool), 1, -1)
    limit = max(1, int(np.abs(difference).max()))
    figure.add_heatmap(
        z=good,
        x=list(names),
        y=list(names),
        zmin=-limit,
        zmax=limit,
        colorscale=palette.diverging,
        text=[["" if v == 0 else f"{v:+d}" for v in row] for row in difference],
        texttemplate="%{text}",
        showscale=False,
        customdata=difference,
        hovertemplate="true %{y}<br>answered %{x}<br>%{customdata:+d} examples<extra></extra>",
        xgap=1,
        ygap=1,
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category")
    figure.update_xaxes(showgrid=False, type="category", tickangle=-35)
    return figure


def similarity_distributions(
    values: Mapping[str, np.ndarray], labels: Mapping[str, str], palette: Palette
) -> go.Figure:
    """One box a measure over all examples, its median written beside it."""
    figure = base(
        palette, height=80 * len(values) + 70, x="similarity of attributions before and after", y=""
    )
    for name, column in values.items():
        median = float(np.median(column))
        figure.add_box(
            x=column,
            name=f"{labels[name]}<br>median {median:.2f}",
            orientation="h",
            boxpoints="all",
            jitter=0.7,
            pointpos=0,
            marker={"color": palette.kept, "size": 3, "opacity": 0.35},
            line={"color": palette.text, "width": 1.5},
            fillcolor="rgba(0,0,0,0)",
            showlegend=False,
            hovertemplate="%{x:.3f}<extra></extra>",
        )
    figure.update_xaxes(range=[min(-0.05, *(float(v.min()) for v in values.values())) - 0.02, 1.04])
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure


def predicted_against_true(
    targets: np.ndarray, before: np.ndarray, after: np.ndarray, unit: str, palette: Palette
) -> go.Figure:
    """Predictions of both networks against the truth; on the diagonal they are right."""
    figure = base(palette, height=420, x=f"true {unit}", y=f"predicted {unit}")
    low, high = float(min(targets.min(), before.min(), after.min())), float(max(targets.max(), after.max()))
    figure.add_scatter(
        x=[low, high], y=[low, high], mode="lines", name="exact",
        line={"color": palette.muted, "dash": "dot"}, hoverinfo="skip",
    )  # fmt: skip
    for label, values, colour, symbol in (
        ("before", before, palette.muted, "circle-open"),
        ("after", after, palette.kept, "circle"),
    ):
        figure.add_scatter(
            x=targets,
            y=values,
            mode="markers",
            name=label,
            marker={"color": colour, "symbol": symbol, "size": 7},
            hovertemplate=f"true %{{x:.1f}}<br>{label} %{{y:.1f}}<extra></extra>",
        )
    return figure


def paired_bars(
    names: Sequence[str],
    before: np.ndarray,
    after: np.ndarray,
    palette: Palette,
    *,
    limit: float,
    signed: bool,
) -> go.Figure:
    """Attribution of each feature before and after, for one example, on an axis up to `limit`."""
    figure = base(palette, height=38 * len(names) + 90, x="attribution", y="")
    for label, values, colour in (("before", before, palette.removed), ("after", after, palette.kept)):
        figure.add_bar(
            x=values,
            y=list(names),
            orientation="h",
            name=label,
            marker={"color": colour},
            hovertemplate=f"%{{y}}<br>{label} %{{x:.3g}}<extra></extra>",
        )
    figure.update_layout(barmode="group", bargap=0.3)
    figure.update_xaxes(range=[-limit if signed else 0, limit])
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return figure
