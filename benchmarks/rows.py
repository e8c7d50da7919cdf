"""The form of every benchmark's results: a list of {what, value, unit, bar, met, conditions}."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

RESULTS = Path(__file__).parent / "results"
T = TypeVar("T")


@dataclass(frozen=True)
class Row:
    """One figure. `bar` is what it should reach (None: nobody said), `met` whether it does."""

    what: str
    value: float
    unit: str
    bar: float | None
    met: bool | None
    conditions: str


def at_least(what: str, value: float, unit: str, bar: float | None, conditions: str) -> Row:
    """A figure that should reach `bar`."""
    return Row(what, round(value, 3), unit, bar, None if bar is None else value >= bar, conditions)


def at_most(what: str, value: float, unit: str, bar: float | None, conditions: str) -> Row:
    """A figure that should stay under `bar`."""
    return Row(what, round(value, 3), unit, bar, None if bar is None else value <= bar, conditions)


def publish(rows: Sequence[Row], name: str) -> None:
    """Print the table and write benchmarks/results/NAME.json."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    for row in rows:
        bar = "" if row.bar is None else f"   bar {row.bar:g}: {'met' if row.met else 'MISSED'}"
        print(f"{row.what:78} {row.value:10.2f} {row.unit}{bar}")


def seconds(work: Callable[[], T]) -> tuple[float, T]:
    """How long a piece of work takes, and its result."""
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result
