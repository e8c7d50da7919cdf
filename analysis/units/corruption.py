"""Robustness of the dense and the pruned network: a part for each corruption and strength."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analysis.forgetting.robustness import Point, robustness
from analysis.measure.quality import Interval
from analysis.units import Case, Message, Say


def to_data(point: Point) -> Message:
    """A point as plain data."""
    return asdict(point)


def from_data(data: Mapping[str, Any]) -> Point:
    """The point of :func:`to_data`."""
    intervals = {key: Interval(**data[key]) for key in ("before", "after", "change")}
    return Point(corruption=data["corruption"], strength=data["strength"], **intervals)


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Measure the points that are not `known`; the parameter ``seed`` draws the corruption."""
    points = robustness(
        case.network,
        case.pruned,
        case.dataset,
        case.split,
        seed=parameters["seed"],
        known=[(part["corruption"], part["strength"]) for part in known],
        progress=say,
    )
    yield from map(to_data, points)
