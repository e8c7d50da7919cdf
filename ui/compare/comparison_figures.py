"""Plotly figures of what pruning changed in attributions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from ui.figures import base
from ui.theme import Palette


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
