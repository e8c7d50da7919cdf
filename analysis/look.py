"""How findings are shown wherever they are shown: colours by meaning, and numbers in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.measure.quality import Interval
from analysis.tasks import Metric

_SMALLEST = 1e-6  # below it a value is rounding
_PICKS = 20  # channels that are listed one by one


@dataclass(frozen=True)
class Palette:
    """Colours by meaning; each pair is told apart by lightness too, for colour-blind eyes."""

    kept: str
    lost: str
    removed: str
    text: str
    muted: str
    grid: str
    surface: str
    zero: str
    scale: tuple[str, ...]

    @property
    def sequential(self) -> list[tuple[float, str]]:
        """Plotly colour scale from unimportant to important."""
        last = len(self.scale) - 1
        return [(i / last, colour) for i, colour in enumerate(self.scale)]

    @property
    def diverging(self) -> list[tuple[float, str]]:
        """Plotly colour scale from lost through nothing to kept."""
        return [(0.0, self.lost), (0.5, self.zero), (1.0, self.kept)]


LIGHT = Palette(
    kept="#0f766e",
    lost="#c2410c",
    removed="#b3bdbf",
    text="#1b2a2f",
    muted="#5b6b70",
    grid="#e5eaea",
    surface="#ffffff",
    zero="#f4f6f6",
    scale=("#f0fbf9", "#a7e8dc", "#4fbfb0", "#0f766e", "#0b3b39"),
)
DARK = Palette(
    kept="#2dd4bf",
    lost="#fb8a5b",
    removed="#56676b",
    text="#e4eceb",
    muted="#9db0b3",
    grid="#2a3a3d",
    surface="#0f1719",
    zero="#1d2a2d",
    scale=("#142225", "#155e57", "#1a9c8d", "#5fe3d1", "#e2fffa"),
)


def number(value: float, metric: Metric) -> str:
    """A metric's value: 98.2% or 0.861; "unknown" if it has none."""
    if math.isnan(value):
        return "unknown"
    return f"{value:.1%}" if metric.percent else _significant(value)


def delta(value: float, metric: Metric) -> str:
    """A signed change: -1.2 points or +0.013."""
    if math.isnan(value):
        return "unknown"
    if metric.percent:
        return f"{100 * value:+.1f} points"
    return ("-" if value < 0 else "+") + _significant(abs(value))


def change_interval(change: Interval, metric: Metric) -> str:
    """The 95% interval of a change: -2.0 to +0.4 points."""
    if math.isnan(change.low):
        return "unknown"
    if metric.percent:
        return f"{100 * change.low:+.1f} to {100 * change.high:+.1f} points"
    return f"{delta(change.low, metric)} to {delta(change.high, metric)}"


def verdict(change: Interval, metric: Metric) -> Literal["better", "worse", ""]:
    """What a change is worth: empty if it is shown as zero or its interval does not leave out zero."""
    if is_nothing(delta(change.value, metric)) or not (change.low > 0 or change.high < 0):
        return ""
    return "better" if (change.value > 0) == metric.higher_is_better else "worse"


def interval(measured: Interval, metric: Metric) -> str:
    """The 95% interval: 95% CI 96.5 to 99.1%."""
    if math.isnan(measured.low):
        return "unknown"
    if metric.percent:
        return f"{100 * measured.low:.1f} to {100 * measured.high:.1f}%"
    return f"{_significant(measured.low)} to {_significant(measured.high)}"


def count(value: float) -> str:
    """A count in at most four figures: 1,024, 23.5 k, 1.79 M."""
    if value < 10_000:
        return f"{value:,.0f}"
    if value < 1_000_000:
        return f"{value / 1000:.1f} k"
    if value < 1_000_000_000:
        return f"{value / 1_000_000:.2f} M"
    return f"{value / 1_000_000_000:.2f} G"


def bytes_text(value: float) -> str:
    """Bytes in KiB or MiB: 1,002 B, 12.5 KiB."""
    if value < 1024:
        return f"{value:,.0f} B"
    return f"{value / 1024:.1f} KiB" if value < 1024**2 else f"{value / 1024**2:.2f} MiB"


def saving(value: float, whole: float) -> str:
    """What is left of a cost against the whole: -60%; never shown as -100% if something is left."""
    share = 100 * (value / whole - 1) if whole else 0.0
    text = f"{share:+.1f}%" if share > -100 and round(share) == -100 else f"{share:+.0f}%"
    return "+0%" if text == "-0%" else text


def duration(seconds: float) -> str:
    """About how long something takes, in words."""
    if seconds < 1:
        return "less than a second"
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} minutes"


def counted(number: int, noun: str) -> str:
    """So many things: 1 thread, 4 threads."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def channel_list(numbers: Sequence[int]) -> str:
    """Channels in a list; of many the first."""
    more = f" and {len(numbers) - _PICKS:,} more" if len(numbers) > _PICKS else ""
    return ", ".join(map(str, numbers[:_PICKS])) + more


def is_nothing(text: str) -> bool:
    """True if a change is shown as zero, or is not known."""
    return not any(digit in text for digit in "123456789")


def _significant(value: float) -> str:
    """Three decimals; fewer for large values, more for values too small to show in three."""
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.1f}"
    return f"{value:.3f}" if size >= 0.01 or size < _SMALLEST else f"{value:.2g}"
