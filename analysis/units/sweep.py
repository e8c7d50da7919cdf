"""The sensitivity of every target: a part for each measured point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analysis.importance.registry import score
from analysis.live import Gauge
from analysis.measure.quality import Interval
from analysis.sensitivity import Sensitivity, sweep
from analysis.units import Case, Message, Say, make_request


def request(network: str, images: int, criterion: str, granularity: str) -> Message:
    """The request for a sweep on `images` evaluation examples of a network."""
    return make_request(
        "sweep", network, images, parameters={"criterion": criterion, "granularity": granularity}
    )


def to_data(point: Sensitivity) -> Message:
    """A point as plain data."""
    return asdict(point)


def from_data(data: Mapping[str, Any]) -> Sensitivity:
    """The point of :func:`to_data`."""
    return Sensitivity(data["target"], data["ratio"], Interval(**data["quality"]), data["examples"])


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Measure the points that are not `known`, target by target."""
    scores = score(case.network, parameters["criterion"], case.dataset)
    gauge = Gauge(case.network, case.split, case.dataset.task)
    points = sweep(
        gauge, scores, parameters["granularity"], known=[from_data(entry) for entry in known], progress=say
    )
    yield from map(to_data, points)
