"""The table of trials as columns: built from arrays, because a history may hold ten thousand of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import streamlit as st

from analysis.history import Summary
from analysis.history.tree import NOBODY, ways
from analysis.tasks import Metric
from ui.history import words

_STEPS = 20  # on the way to a trial, itself among them


def columns(
    trials: Sequence[Summary], shown: Sequence[int], connections: Sequence[int], metric: Metric, current: str
) -> pa.Table:
    """The columns of the trials at the positions `shown`, in that order.

    `connections` are those of each layer of the dense network; `current` is the key of the plan in force.
    """
    rows = [trials[i] for i in shown]
    scale = 100 if metric.percent else 1
    labels, whole = [row.label for row in rows], sum(connections)
    content: dict[str, Any] = {
        "star": ["★" if label.star else "" for label in labels],
        "current": ["●" if row.key == current else "" for row in rows],
        "name": [words.called(row, whole) for row in rows],
        "headline": [scale * row.headline.value for row in rows],
        "change": [None if row.change is None else scale * row.change.value for row in rows],
        "way": _ways(trials, shown, scale),
        "layers": _layers(rows, connections),
        "nonzero": [row.nonzero_connections for row in rows],
        "parameters": [row.parameters for row in rows],
        "macs": [row.macs for row in rows],
        "saved": [row.saved for row in rows],
        "best": [row.best for row in rows],
        "latency": [row.latency for row in rows],
        "latency_share": [100 * row.latency / row.dense_latency for row in rows],
        "when": pa.array([round(1000 * row.measured_at) for row in rows], pa.timestamp("ms", "UTC")),
        "removes": [words.removes(row) + (", recovered" if row.is_recovered else "") for row in rows],
        "criterion": [words.criterion(row) for row in rows],
        "tags": pa.array([list(label.tags) for label in labels], pa.list_(pa.string())),
        "note": [label.note for label in labels],
    }
    return pa.table(content)


def column_config(trials: Sequence[Summary], metric: Metric) -> dict[str, Any]:
    """How the columns are shown."""
    kinds = st.column_config
    points = ", points" if metric.percent else ""
    values = [row.headline.value for row in trials if np.isfinite(row.headline.value)]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    air = max(
        0.05 * (high - low), 1e-3
    )  # a row that leaves the bounds, if only by rounding, is drawn on its own scale
    scale = 100 if metric.percent else 1
    return {
        "star": kinds.TextColumn("★", width=34, pinned=True, help="Starred trials"),
        "current": kinds.TextColumn("●", width=34, pinned=True, help="The plan in force"),
        "name": kinds.TextColumn("name", width=235, pinned=True),
        "headline": kinds.NumberColumn(metric.label, format="%.1f%%" if metric.percent else "%.3f"),
        "change": kinds.NumberColumn(
            f"change{points}", format="%+.1f" if metric.percent else "%+.3f",
            help="Against the dense network on the same examples.",
        ),
        "way": kinds.LineChartColumn(
            "on the way here", y_min=scale * (low - air), y_max=scale * (high + air),
            help=f"{metric.label} of up to {_STEPS} trials that led here, this one last; all rows on one scale.",
        ),
        "layers": kinds.BarChartColumn(
            "kept per layer", y_min=0, y_max=100,
            help="Share of each layer's connections that is left, from the input on.",
        ),
        "nonzero": kinds.NumberColumn("nonzero connections", format="localized"),
        "parameters": kinds.NumberColumn("parameters", format="localized"),
        "macs": kinds.NumberColumn("MACs", format="localized"),
        "saved": kinds.NumberColumn("bytes as saved", format="localized"),
        "best": kinds.NumberColumn("bytes, best encoding", format="localized"),
        "latency": kinds.NumberColumn("latency", format="%.2f ms"),
        "latency_share": kinds.NumberColumn(
            "latency, of dense", format="%.0f%%", help="Of the dense network's, timed in the same moments."
        ),
        "when": kinds.DatetimeColumn("measured", format="YYYY-MM-DD HH:mm", timezone=st.context.timezone,
            help=f"In the time zone of your browser: {st.context.timezone or 'UTC'}.",
        ),
        "removes": kinds.TextColumn("removes"),
        "criterion": kinds.TextColumn("criterion"),
        "tags": kinds.ListColumn("tags"),
        "note": kinds.TextColumn("note", width="large"),
    }  # fmt: skip


def _ways(trials: Sequence[Summary], shown: Sequence[int], scale: float) -> pa.Array:
    """The headline of the last trials on the way to each of those shown; those without a value are left out."""
    values = np.array([trial.headline.value for trial in trials], np.float32)
    way = ways(trials, _STEPS)[list(shown)]
    is_known = (way != NOBODY) & np.isfinite(values)[way]
    return _lists(is_known.sum(1), scale * values[way[is_known]])


def _layers(rows: Sequence[Summary], connections: Sequence[int]) -> pa.Array:
    """The whole percent of each layer's connections that are left; nothing for a trial of other layers."""
    fits = np.array([len(row.layers) == len(connections) for row in rows], bool)
    left = np.array([row.layers for row, own in zip(rows, fits, strict=True) if own], float)
    shares = 100 * left.reshape(-1, len(connections)) / np.maximum(connections, 1)
    return _lists(fits * len(connections), shares.round().astype(np.uint8).reshape(-1))


def _lists(lengths: np.ndarray, values: np.ndarray) -> pa.Array:
    """Lists of these lengths, one after the other out of `values`."""
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.ListArray.from_arrays(ends, pa.array(values))
