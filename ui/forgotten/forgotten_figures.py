"""Plotly figures of what pruning forgot: classes, confusions, confidence, margins, errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from analysis.forgetting.calibration import Bin
from analysis.forgetting.classes import ClassChange
from analysis.forgetting.margins import FATES, Errors, Margins
from analysis.measure.quality import Interval
from ui import cells
from ui.figures import base
from ui.theme import Palette

BEFORE, AFTER = "before", "after"
_ROOM = 600  # pixels for all cells of a row
_FATE_LABELS = dict(
    zip(FATES, ("right in both", "right before only", "right after only", "wrong in both"), strict=True)
)


def looks(palette: Palette) -> tuple[tuple[str, str, str], tuple[str, str, str]]:
    """How before and after are drawn: (label, colour, symbol)."""
    return (BEFORE, palette.muted, "circle-open"), (AFTER, palette.kept, "circle")


def spread(values: Sequence[Interval], colour: str | list[str], scale: float = 100) -> dict[str, object]:
    """Error bars: 95% intervals, in percent unless another scale is given."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [scale * (v.high - v.value) for v in values],
        "arrayminus": [scale * (v.value - v.low) for v in values],
        "thickness": 1.2,
        "width": 0,
        "color": colour,
    }


def class_accuracy(
    names: Sequence[str],
    before: Sequence[Interval | None],
    after: Sequence[Interval | None],
    palette: Palette,
) -> go.Figure:
    """Accuracy of each class before and after, with 95% intervals."""
    figure = base(palette, height=max(260, 34 * len(names) + 80), x="accuracy (%)", y="")
    for (label, colour, symbol), values in zip(looks(palette), (before, after), strict=True):
        shown = [(name, v) for name, v in zip(names, values, strict=True) if v is not None]
        figure.add_scatter(
            x=[100 * v.value for _, v in shown],
            y=[name for name, _ in shown],
            mode="markers",
            name=label,
            marker={"color": colour, "size": 10, "symbol": symbol, "line": {"width": 2, "color": colour}},
            error_x=spread([v for _, v in shown], colour),
            hovertemplate=f"%{{y}}<br>{label} %{{x:.1f}}%<extra></extra>",
        )
    figure.update_yaxes(autorange="reversed", type="category")
    return figure


def class_change(names: Sequence[str], changes: Sequence[ClassChange], palette: Palette) -> go.Figure:
    """Change of each class's accuracy with its paired interval; filled where it is more than noise."""
    figure = base(
        palette, height=max(260, 34 * len(names) + 80), x="change of accuracy (percentage points)", y=""
    )
    figure.add_vline(x=0, line={"color": palette.muted, "width": 1, "dash": "dot"})
    kinds = (
        ("lost", palette.lost, "circle", [c.is_real and c.change.value < 0 for c in changes]),
        ("gained", palette.kept, "circle", [c.is_real and c.change.value > 0 for c in changes]),
        ("within noise", palette.muted, "circle-open", [not c.is_real for c in changes]),
    )
    for label, colour, symbol, mask in kinds:
        shown = [(n, c) for n, c, mine in zip(names, changes, mask, strict=True) if mine]
        if not shown:
            continue
        figure.add_scatter(
            x=[100 * c.change.value for _, c in shown],
            y=[name for name, _ in shown],
            mode="markers",
            name=label,
            marker={"color": colour, "size": 10, "symbol": symbol, "line": {"width": 2, "color": colour}},
            error_x=spread([c.change for _, c in shown], colour),
            customdata=[[c.lost, c.gained, c.examples, c.p_value, c.adjusted] for _, c in shown],
            hovertemplate="%{y}<br>%{x:+.1f} points<br>%{customdata[0]} lost, %{customdata[1]} gained of "
            "%{customdata[2]}<br>p %{customdata[3]:.2g}, all classes together %{customdata[4]:.2g}<extra></extra>",
        )
    figure.update_yaxes(
        autorange="reversed", type="category", categoryorder="array", categoryarray=list(names)
    )
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
        showscale=False,
        customdata=difference,
        hovertemplate="true %{y}<br>answered %{x}<br>%{customdata:+d} examples<extra></extra>",
        xgap=1,
        ygap=1,
    )
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category")
    figure.update_xaxes(showgrid=False, type="category", tickangle=cells.slant(names))
    text = [["" if v == 0 else f"{v:+d}" for v in row] for row in difference]
    cells.write(
        figure,
        text,
        good,
        rows=names,
        columns=names,
        scale=palette.diverging,
        limits=(-limit, limit),
        room=_ROOM,
    )
    return figure


def predicted_against_true(
    targets: np.ndarray, before: np.ndarray, after: np.ndarray, unit: str, palette: Palette
) -> go.Figure:
    """Predictions of both networks against the truth; on the diagonal they are right."""
    figure = base(palette, height=420, x=f"true {unit}", y=f"predicted {unit}")
    low, high = float(min(targets.min(), before.min(), after.min())), float(max(targets.max(), after.max()))
    _diagonal(figure, low, high, "exact", palette)
    for (label, colour, symbol), values in zip(looks(palette), (before, after), strict=True):
        figure.add_scatter(
            x=targets,
            y=values,
            mode="markers",
            name=label,
            marker={"color": colour, "symbol": symbol, "size": 7},
            hovertemplate=f"true %{{x:.1f}}<br>{label} %{{y:.1f}}<extra></extra>",
        )
    return figure


def reliability(before: Sequence[Bin], after: Sequence[Bin], palette: Palette) -> go.Figure:
    """Accuracy against confidence, bin by bin, larger with more examples; on the diagonal it is as sure as it may be."""
    figure = base(palette, height=470, x="confidence (%)", y="accuracy (%)")
    _diagonal(figure, 0, 100, "as sure as right", palette)
    most = max(b.count for b in (*before, *after))
    for (label, colour, symbol), bins in zip(looks(palette), (before, after), strict=True):
        sizes = [6 + 14 * (b.count / most) ** 0.5 for b in bins]
        figure.add_scatter(
            x=[100 * b.confidence for b in bins],
            y=[100 * b.accuracy.value for b in bins],
            mode="markers",
            name=label,
            marker={"color": colour, "size": sizes, "symbol": symbol, "line": {"width": 2, "color": colour}},
            error_y=spread([b.accuracy for b in bins], colour),
            customdata=[[b.count, 100 * b.low, 100 * b.high] for b in bins],
            hovertemplate=f"{label}, confidence %{{customdata[1]:.0f}} to %{{customdata[2]:.0f}}%<br>mean confidence "
            "%{x:.1f}%<br>accuracy %{y:.1f}%<br>%{customdata[0]:,} examples<extra></extra>",
        )
    figure.update_layout(legend_itemsizing="constant")
    figure.update_yaxes(range=[-3, 103])
    return figure


def cumulative(before: np.ndarray, after: np.ndarray, palette: Palette, *, of: str) -> go.Figure:
    """The share of examples whose probability is at most so much, before and after."""
    figure = base(palette, height=400, x=f"probability of {of} (%)", y="examples with at most that (%)")
    for (label, colour, _), values in zip(looks(palette), (before, after), strict=True):
        x, y = _steps(100 * values)
        figure.add_scatter(
            x=x,
            y=y,
            mode="lines",
            name=label,
            line={"color": colour, "width": 2, "shape": "hv", "dash": "dot" if label == BEFORE else "solid"},
            hovertemplate=f"{label}: %{{y:.1f}}% of the examples<br>at most %{{x:.1f}}%<extra></extra>",
        )
    figure.update_xaxes(range=[-2, 102])
    figure.update_yaxes(range=[-2, 102])
    return figure


def margin_scatter(margins: Margins, shown: np.ndarray, texts: Sequence[str], palette: Palette) -> go.Figure:
    """The margin of each `shown` example after against before, coloured by what became of it."""
    figure = base(palette, height=460, x="margin before (log odds)", y="margin after (log odds)")
    before, after, fate = (v.numpy() for v in (margins.before, margins.after, margins.fate))
    colours = {
        "kept": (palette.kept, "circle-open"),
        "forgotten": (palette.lost, "circle"),
        "gained": (palette.kept, "diamond"),
        "wrong": (palette.removed, "circle-open"),
    }
    _diagonal(
        figure,
        float(min(before.min(), after.min())),
        float(max(before.max(), after.max())),
        "as before",
        palette,
    )
    for i, name in enumerate(FATES):
        mine = shown[fate[shown] == i]
        figure.add_scatter(
            x=before[mine],
            y=after[mine],
            mode="markers",
            name=f"{_FATE_LABELS[name]}: {margins.counts[name]:,}",
            marker={"color": colours[name][0], "symbol": colours[name][1], "size": 7, "opacity": 0.75},
            customdata=[[int(index), texts[index]] for index in mine],
            hovertemplate="#%{customdata[0]}, %{customdata[1]}<br>margin %{x:.2f} before, %{y:.2f} after<extra></extra>",
        )
    for add in (figure.add_hline, figure.add_vline):
        add(0, line={"color": palette.muted, "width": 1})
    return figure


def error_scatter(errors: Errors, unit: str, palette: Palette) -> go.Figure:
    """The size of each example's error after against before."""
    figure = base(palette, height=420, x=f"error before ({unit})", y=f"error after ({unit})")
    before, after = errors.before.numpy(), errors.after.numpy()
    _diagonal(figure, 0.0, float(max(before.max(), after.max())), "as before", palette)
    kinds = (
        ("larger", after > before, palette.lost, "circle"),
        ("smaller", after < before, palette.kept, "circle-open"),
        ("equal", after == before, palette.removed, "circle-open"),
    )
    for label, mask, colour, symbol in kinds:
        if mask.any():
            figure.add_scatter(
                x=before[mask],
                y=after[mask],
                mode="markers",
                name=f"{label} after: {int(mask.sum()):,}",
                marker={"color": colour, "symbol": symbol, "size": 7},
                customdata=np.flatnonzero(mask),
                hovertemplate="#%{customdata}<br>error %{x:.2f} before, %{y:.2f} after<extra></extra>",
            )
    return figure


def _diagonal(figure: go.Figure, low: float, high: float, name: str, palette: Palette) -> None:
    figure.add_scatter(
        x=[low, high], y=[low, high], mode="lines", name=name,
        line={"color": palette.muted, "dash": "dot"}, hoverinfo="skip",
    )  # fmt: skip


def _steps(values: np.ndarray, points: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """The cumulative distribution at no more than `points` of its steps."""
    ordered = np.sort(values)
    shares = 100 * np.arange(1, len(ordered) + 1) / len(ordered)
    kept = np.unique(np.linspace(0, len(ordered) - 1, points).round().astype(int))
    return ordered[kept], shares[kept]
