"""Measured values that stand on one line: all with the same decimals."""

from __future__ import annotations

import math
from collections.abc import Iterable

from analysis.look import change_interval, delta, interval, number
from analysis.measure.latency import Latency
from analysis.measure.quality import Interval
from analysis.tasks import Metric

_MOST = 9  # decimals


def measured(value: Interval, metric: Metric, decimals: int) -> str:
    """A metric with its 95% interval: 98.2% (96.5 to 99.1%), or 3.521 (3.100 to 4.018)."""
    if metric.percent or math.isnan(value.value):
        return f"{number(value.value, metric)} ({interval(value, metric)})"
    return _with_range(value, decimals)


def changed(change: Interval, metric: Metric, decimals: int) -> str:
    """A paired change with its 95% interval, signed."""
    if metric.percent or math.isnan(change.value):
        return f"{delta(change.value, metric)} ({change_interval(change, metric)})"
    return _with_range(change, decimals, sign="+")


def time(latency: Latency, decimals: int) -> str:
    """The median with the middle half, in milliseconds."""
    low, high = (_fixed(value, decimals) for value in (latency.low, latency.high))
    return f"{_fixed(latency.median, decimals)} ms ({low} to {high})"


def metric_decimals(values: Iterable[float]) -> int:
    """What a line of metrics needs, so that each of these has as many as the screen shows of it."""
    return max((_on_screen(abs(value)) for value in values if math.isfinite(value) and value), default=3)


def time_decimals(values: Iterable[float]) -> int:
    """What a line of times above 0 needs for three figures of the smallest."""
    return min(_MOST, max(0, 2 - math.floor(math.log10(min(values)))))


def _on_screen(size: float) -> int:
    if size >= 10:
        return 0 if size >= 1000 else 1
    return 3 if size >= 0.01 else min(_MOST, 1 - math.floor(math.log10(size)))


def _with_range(value: Interval, decimals: int, sign: str = "") -> str:
    middle, low, high = (_fixed(v, decimals, sign) for v in (value.value, value.low, value.high))
    return f"{middle} (unknown)" if math.isnan(value.low) else f"{middle} ({low} to {high})"


def _fixed(value: float, decimals: int, sign: str = "") -> str:
    return f"{value:{sign},.{decimals}f}"
