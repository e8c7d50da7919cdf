"""Values written into the cells of a heatmap so that they can be read on every colour, and names along its sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

_LARGEST, _SMALLEST = 12, 8  # letters, in pixels
_WIDTH = 0.55  # of a digit, of the letters' height
_UPRIGHT = 3  # letters of a name that fits under a column as it is
_SLANT = -38  # degrees

Scale = Sequence[tuple[float, str]]


def write(
    figure: go.Figure,
    texts: Sequence[Sequence[str]],
    values: np.ndarray,
    *,
    rows: Sequence[object],
    columns: Sequence[object],
    scale: Scale,
    limits: tuple[float, float],
    room: int,
) -> None:
    """Write `texts` over the cells of a heatmap, white or black, whichever is easier to read there.

    Plotly gives all texts of a heatmap one colour; so these are points of their own, which do not catch the pointer.
    The axes are set to end with the outermost cells, the first row on top.

    Parameters
    ----------
    values : ndarray
        (rows, columns), what the colours of the cells stand for.
    rows, columns : sequence
        Where the cells are on the axes.
    scale, limits
        The heatmap's colour scale, and the values at its ends.
    room : int
        Pixels that all columns together have at least: the letters become smaller where they would not fit.
    """
    shown = [(i, j) for i, row in enumerate(texts) for j, text in enumerate(row) if text]
    longest = max((len(texts[i][j]) for i, j in shown), default=1)
    size = int(np.clip(room / (len(columns) * _WIDTH * longest), _SMALLEST, _LARGEST))
    figure.add_scatter(
        x=[columns[j] for _, j in shown],
        y=[rows[i] for i, _ in shown],
        mode="text",
        text=[texts[i][j] for i, j in shown],
        textfont={
            "size": size,
            "color": [readable(colour_at(values[i, j], scale, limits)) for i, j in shown],
        },
        hoverinfo="skip",
        showlegend=False,
    )
    figure.update_yaxes(range=[len(rows) - 0.5, -0.5])
    figure.update_xaxes(range=[-0.5, len(columns) - 0.5])


def colour_at(value: float, scale: Scale, limits: tuple[float, float]) -> tuple[float, float, float]:
    """The red, green and blue (0 to 255) of a value, between those of the scale's places beside it."""
    low, high = limits
    place = (value - low) / (high - low)
    places = [where for where, _ in scale]
    parts = np.array([[int(colour[i : i + 2], 16) for i in (1, 3, 5)] for _, colour in scale])
    red, green, blue = (float(np.interp(place, places, part)) for part in parts.T)
    return red, green, blue


def readable(colour: tuple[float, float, float]) -> str:
    """White or black: what has the larger contrast with a colour, and so at least 4.5 (WCAG 2.2)."""
    parts = (part / 255 for part in colour)
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#ffffff" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "#000000"


def slant(names: Sequence[str]) -> int:
    """The angle of the names under columns: short ones stand upright."""
    return 0 if all(len(name) <= _UPRIGHT for name in names) else _SLANT
