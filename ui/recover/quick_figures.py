"""Figures of recovery without training: what each method brought."""

from __future__ import annotations

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from analysis.recovery.repairs import Gain
from analysis.tasks import Metric
from ui import theme
from ui.figures import base
from ui.theme import Palette

_ROW, _AROUND = 38, 90  # pixels
_MARGIN = 0.12  # of the width, for the names of the lines


def label(gain: Gain) -> str:
    """What a chain of methods is called."""
    return ", then ".join(gain.methods).capitalize()


def by_gain(gains: Sequence[Gain]) -> list[Gain]:
    """Those that apply, the largest gain first."""
    known = [gain for gain in gains if gain.change is not None and not math.isnan(gain.change.value)]
    return sorted(known, key=lambda gain: -gain.change.value if gain.change else 0.0)


def gains(found: Sequence[Gain], lost: float, metric: Metric, palette: Palette) -> go.Figure:
    """Points gained against the pruned network, with paired 95% intervals; a row for each chain, best on top.

    `lost` is what pruning took: where it is reached, the network is as good as the dense one.
    """
    scale = 100 if metric.percent else 1
    unit = " (points)" if metric.percent else ""
    shown = by_gain(found)
    figure = base(palette, height=_ROW * len(shown) + _AROUND, x=f"{metric.label} gained{unit}", y="")
    looks = {
        "better": ("brings something", palette.kept, "circle"),
        "": ("not beyond noise", palette.muted, "circle-open"),
        "worse": ("makes it worse", palette.lost, "x"),
    }
    for verdict, (name, colour, symbol) in looks.items():
        rows = [
            (label(g), g, g.change) for g in shown if g.change and theme.verdict(g.change, metric) == verdict
        ]
        if not rows:
            continue
        figure.add_scatter(
            x=[scale * change.value for _, _, change in rows],
            y=[text for text, _, _ in rows],
            mode="markers",
            name=name,
            marker={"color": colour, "size": 11, "symbol": symbol, "line": {"width": 2, "color": colour}},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [scale * (change.high - change.value) for _, _, change in rows],
                "arrayminus": [scale * (change.value - change.low) for _, _, change in rows],
                "color": colour,
                "thickness": 2,
                "width": 5,
            },
            customdata=[
                (
                    theme.delta(change.value, metric),
                    theme.change_interval(change, metric),
                    theme.number(gain.quality.value, metric) if gain.quality else "",
                    f"{gain.seconds:.2g}",
                )
                for _, gain, change in rows
            ],
            hovertemplate="%{y}<br>%{customdata[0]} (95% interval %{customdata[1]})<br>"
            f"{metric.label} %{{customdata[2]}}, in %{{customdata[3]}} s<extra></extra>",
        )
    lines = [(0.0, "as pruned", palette.muted), (scale * lost, "as dense", palette.text)]
    lines = sorted(line for line in lines if math.isfinite(line[0]))
    for (place, text, colour), side in zip(lines, ("left", "right"), strict=False):
        figure.add_vline(
            x=place, line={"color": colour, "width": 1.5, "dash": "dot"}, annotation_text=text,
            annotation_position=f"bottom {side}", annotation_font={"color": colour, "size": 12},
        )  # fmt: skip
    ends = [place for place, _, _ in lines]
    ends += [scale * end for g in shown if g.change for end in (g.change.low, g.change.high)]
    room = _MARGIN * ((max(ends) - min(ends)) or 1.0)
    figure.update_xaxes(range=[min(ends) - room, max(ends) + room])
    figure.update_yaxes(
        type="category", categoryorder="array", categoryarray=[label(gain) for gain in reversed(shown)],
        range=[-0.9, len(shown) - 0.4], showgrid=False,
    )  # fmt: skip
    return figure
