"""Tables as data: what stands in which cell. Templates only write them down."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.look import (
    bytes_text,
    change_interval,
    count,
    counted,
    delta,
    interval,
    is_nothing,
    number,
    saving,
    verdict,
)
from analysis.measure.latency import Latency
from analysis.measure.quality import Interval
from analysis.tasks import Metric

NOTHING = "–"
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Cell:
    """A cell: its text, what stands small behind it, whether that is "better" or "worse", what pointing says."""

    text: str
    small: str = ""
    look: str = ""
    tip: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row names it."""

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Card:
    """A headline figure with its change."""

    label: str
    value: str
    change: str = ""
    look: str = ""
    small: str = ""


def value_cell(measured: Interval, metric: Metric) -> Cell:
    """A metric with its 95% interval."""
    return Cell(number(measured.value, metric), interval(measured, metric))


def change_cell(change: Interval, metric: Metric) -> Cell:
    """A change with its interval, judged if it leaves out zero."""
    text = delta(change.value, metric)
    text = text.lstrip("+-") if is_nothing(text) else text  # 0.0 points: nothing has no direction
    return Cell(text, change_interval(change, metric), verdict(change, metric))


def metric_cell(metric: Metric) -> Cell:
    """The name of a metric, and what it counts."""
    return Cell(metric.label, tip=metric.sentence)


def count_cell(value: int, whole: int | None = None) -> Cell:
    """An exact count, and what is left of the whole."""
    return Cell(f"{value:,}", *_left(value, whole))


def latency_cell(latency: Latency, whole: Latency | None = None) -> Cell:
    """Milliseconds with the middle half of the runs; judged against another if the two do not overlap."""
    return Cell(
        f"{latency.median:.3f} ms", f"{latency.low:.3f} to {latency.high:.3f}", faster(latency, whole)
    )


def latency_card(latency: Latency, whole: Latency | None) -> Card:
    """Milliseconds against the dense network's, timed in turn with it; None for the dense network itself."""
    change = f"{latency.median - whole.median:+.3f} ms" if whole else ""
    if whole and is_nothing(change):
        change = "no difference"
    look = faster(latency, whole) if change != "no difference" else ""
    beside = f"batch {latency.batch}, {counted(latency.threads, 'thread')}"
    return Card("Latency", f"{latency.median:.3f} ms", change, look, beside)


def faster(latency: Latency, whole: Latency | None) -> str:
    """ "better" or "worse" than another latency, or neither if the difference may be noise."""
    if whole is None or latency.overlaps(whole):
        return ""
    return "better" if latency.median < whole.median else "worse"


def cost_card(label: str, value: float, whole: float | None, *, is_bytes: bool = False) -> Card:
    """A cost, against the dense network's."""
    text = bytes_text(value) if is_bytes else count(value)
    left, look = _left(value, whole)
    return Card(label, text, left, look)


def share(part: float, whole: float) -> str:
    """What is left in percent, to a tenth; "nothing" has no share."""
    if not whole:
        return NOTHING
    return "<0.1%" if 0 < part / whole < 0.0005 else f"{part / whole:.1%}"


def _left(value: float, whole: float | None) -> tuple[str, str]:
    """The change of a cost, and its look: less is better."""
    if whole is None:
        return "", ""
    text = saving(value, whole)
    return text, "" if text == "+0%" else "better" if value < whole else "worse"
