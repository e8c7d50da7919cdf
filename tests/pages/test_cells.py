"""Values in the cells of heatmaps: legible on every colour of every scale."""

from __future__ import annotations

import numpy as np
import plotly.colors
import plotly.graph_objects as go
import pytest

from ui import cells
from ui.theme import DARK, LIGHT, Palette

WHITE, BLACK = "#ffffff", "#000000"


def luminance(colour: str) -> float:
    """WCAG 2.2's relative luminance of #rrggbb."""
    total = 0.0
    for part, weight in zip((1, 3, 5), (0.2126, 0.7152, 0.0722), strict=True):
        share = int(colour[part : part + 2], 16) / 255
        total += weight * (share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4)
    return total


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("palette", [LIGHT, DARK])
@pytest.mark.parametrize("name", ["sequential", "diverging"])
def test_every_value_can_be_read_on_its_colour(palette: Palette, name: str) -> None:
    scale = getattr(palette, name)
    values = np.linspace(-3, 5, 81).reshape(9, 9)
    texts = [[f"{value:.1f}" for value in row] for row in values]
    figure = go.Figure()
    cells.write(
        figure, texts, values, rows=range(9), columns=range(9), scale=scale, limits=(-3, 5), room=300
    )  # fmt: skip
    (trace,) = figure.data
    # Plotly's own reading of a colour scale, as a check on ours
    shares = ((values + 3) / 8).ravel().tolist()
    drawn = plotly.colors.sample_colorscale([list(step) for step in scale], shares, colortype="tuple")
    for colour, chosen in zip(drawn, trace.textfont.color, strict=True):
        cell = "#" + "".join(f"{round(255 * part):02x}" for part in colour)
        assert contrast(chosen, cell) >= 4.4  # 4.58 before the cell's colour is rounded
        assert contrast(chosen, cell) >= max(contrast(WHITE, cell), contrast(BLACK, cell)) - 0.1
    assert set(trace.textfont.color) == {WHITE, BLACK}


def test_empty_cells_get_no_text_and_the_axes_end_with_the_cells() -> None:
    figure = go.Figure()
    cells.write(
        figure, [["", "1", ""], ["2", "", "3"]], np.zeros((2, 3)), rows=["a", "b"], columns=["x", "y", "z"],
        scale=LIGHT.sequential, limits=(0, 1), room=500,
    )  # fmt: skip
    (trace,) = figure.data
    assert list(zip(trace.y, trace.x, trace.text, strict=True)) == [
        ("a", "y", "1"), ("b", "x", "2"), ("b", "z", "3"),
    ]  # fmt: skip
    assert figure.layout.xaxis.range == (-0.5, 2.5) and figure.layout.yaxis.range == (1.5, -0.5)


def test_letters_become_smaller_where_they_would_not_fit() -> None:
    sizes = []
    for columns in (3, 14, 30):
        figure = go.Figure()
        cells.write(
            figure, [["0.99"] * columns], np.ones((1, columns)), rows=[0], columns=range(columns),
            scale=DARK.sequential, limits=(0, 1), room=280,
        )  # fmt: skip
        sizes.append(figure.data[0].textfont.size)
    assert sizes == [12, 9, 8]


def test_short_names_stand_upright() -> None:
    assert cells.slant(["0", "10", "100"]) == cells.slant([]) == 0
    assert cells.slant(["0", "conv1"]) < 0
