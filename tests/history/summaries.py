"""Summaries of trials that were never measured, by their number and their parent's."""

from __future__ import annotations

from typing import Any

from analysis.history import Label, Summary
from analysis.measure.quality import Interval


def summary(id: int, parent: int | None = None, **changes: Any) -> Summary:
    """Trial `id`, which grew from trial `parent`; its quality counts down with its number."""
    value = 1 - id / 100_000
    change = Interval(value - 1, value - 1.01, value - 0.99)
    content: dict[str, Any] = {
        "id": id, "key": f"key {id}", "parent": "" if parent is None else f"key {parent}", "images": 100,
        "measured_at": 1.7e9 + 60 * id, "criterion": "l1", "granularity": "channel", "is_recovered": False,
        "headline": Interval(value, value - 0.01, value + 0.01), "change": None if parent is None else change,
        "parameters": 1000 - id % 900, "nonzero_connections": 900 - id % 800, "macs": 5000 - id % 900,
        "saved": 4000 - id % 900, "best": 3000 - id % 900, "latency": 1.0, "dense_latency": 1.2,
        "layers": (600, 300), "label": Label(),
    }  # fmt: skip
    return Summary(**(content | changes))


def named(id: int, parent: int | None = None, **label: Any) -> Summary:
    """Trial `id` with something that a person said of it."""
    return summary(id, parent, label=Label(**label))
