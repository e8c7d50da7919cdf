"""Plotly figures of training: loss and metric by epoch."""

from __future__ import annotations

import plotly.graph_objects as go

from analysis.tasks import Metric
from analysis.units.fine_tune import Curves
from ui.figures import base
from ui.theme import Palette

_EDGE = 0.03  # of the axis beyond its ends, so that no marker is cut


def losses(curves: Curves, epochs: int, palette: Palette, *, minimised: str, judged: str) -> go.Figure:
    """What is minimised on the training examples, and the task's loss on the validation examples, by epoch.

    `minimised` and `judged` are what the two losses are called.
    """
    figure = base(palette, height=300, x="epoch", y="loss")
    numbers = [part["epoch"] for part in curves.epochs]
    start = curves.start
    for name, key, colour, symbol, extra in (
        (f"training: {minimised}", "train_loss", palette.muted, "circle-open", []),
        (f"validation: {judged}", "validation_loss", palette.kept, "circle", [start[0]] if start else []),
    ):
        figure.add_scatter(
            x=[*([0] if extra else []), *numbers],
            y=[*extra, *(part[key] for part in curves.epochs)],
            mode="lines+markers",
            name=name,
            line={"color": colour, "width": 1.8},
            marker={"color": colour, "symbol": symbol, "size": 6},
            hovertemplate=f"{name}<br>epoch %{{x}}<br>%{{y:.4g}}<extra></extra>",
        )
    figure.update_xaxes(range=[-_EDGE * epochs, (1 + _EDGE) * epochs], tickformat="d")
    figure.update_yaxes(rangemode="tozero")
    return figure


def progress(curves: Curves, epochs: int, metric: Metric, palette: Palette) -> go.Figure:
    """The headline metric on the validation examples by epoch, with where it began and the dense network.

    The epoch whose weights are kept has a ring.
    """
    scale, unit = (100, " (%)") if metric.percent else (1, "")
    figure = base(palette, height=300, x="epoch", y=metric.label + unit)
    for name, judged, colour, dash in (
        ("dense network", curves.dense, palette.muted, "dash"),
        ("where training began", curves.start, palette.lost, "dot"),
    ):
        if judged is not None:
            figure.add_scatter(
                x=[0, epochs],
                y=[scale * judged[1]] * 2,
                mode="lines",
                name=name,
                line={"color": colour, "dash": dash, "width": 1.8},
                hovertemplate=f"{name}<br>{metric.label} %{{y:.4g}}<extra></extra>",
            )
    begun = [(0, curves.start[1], 0.0)] if curves.start is not None else []
    points = [*begun, *((part["epoch"], part["validation"], part["rate"]) for part in curves.epochs)]
    figure.add_scatter(
        x=[number for number, _, _ in points],
        y=[scale * value for _, value, _ in points],
        mode="lines+markers",
        name="in training",
        line={"color": palette.kept, "width": 2},
        marker={"color": palette.kept, "size": 6},
        customdata=[
            f"learning rate {rate:.3g}" if number else "not trained yet" for number, _, rate in points
        ],
        hovertemplate=f"epoch %{{x}}<br>{metric.label} %{{y:.4g}}<br>%{{customdata}}<extra></extra>",
    )
    kept = [(number, value) for number, value, _ in points if number and number == curves.kept_epoch]
    figure.add_scatter(
        x=[number for number, _ in kept],
        y=[scale * value for _, value in kept],
        mode="markers",
        name="weights kept",
        showlegend=bool(kept),
        marker={
            "color": "rgba(0,0,0,0)",
            "size": 16,
            "line": {"color": palette.text, "width": 2},
        },
        hovertemplate=f"weights kept, epoch %{{x}}<br>{metric.label} %{{y:.4g}}<extra></extra>",
    )
    figure.update_xaxes(range=[-_EDGE * epochs, (1 + _EDGE) * epochs], tickformat="d")
    return figure
