"""Similarity against ratio: a part for each ratio, and one for the floor."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analysis.explain.drift import DriftPoint, Floor, Similarities, Spread, alike, drift, scaled
from analysis.explain.explainer import explainer
from analysis.importance.registry import score
from analysis.measure.quality import Interval
from analysis.units import Case, Message, Say


def parameters(
    methods: Sequence[str],
    examples: int,
    ratios: Sequence[float],
    *,
    criterion: str | None = None,
    granularity: str | None = None,
) -> Message:
    """What the unit wants to know.

    With a criterion and a granularity every target is cut alike, and the request needs no plan; without
    them the request's plan is scaled.
    """
    return {
        "methods": list(methods),
        "examples": examples,
        "ratios": list(ratios),
        "criterion": criterion,
        "granularity": granularity,
    }


def to_data(part: DriftPoint | Floor) -> Message:
    """A part as plain data."""
    return asdict(part)


def from_data(data: Mapping[str, Any]) -> DriftPoint | Floor:
    """The part of :func:`to_data`."""
    similarity: Similarities = {
        method: {measure: Spread(**spread) for measure, spread in measures.items()}
        for method, measures in data["similarity"].items()
    }
    if "ratio" not in data:
        return Floor(data["networks"], similarity)
    return DriftPoint(data["ratio"], Interval(**data["quality"]), Interval(**data["change"]), similarity)


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Measure the ratios that are not `known`."""
    found = [from_data(entry) for entry in known]
    if parameters["criterion"] is None:
        family, scores = scaled(case.plan), case.scores
    else:
        family = alike(case.network, parameters["criterion"], parameters["granularity"])
        scores = score(case.network, parameters["criterion"], case.dataset)
    parts = drift(
        case.network,
        case.dataset.task,
        case.split,
        family,
        scores,
        {method: explainer(method, case.dataset.baseline) for method in parameters["methods"]},
        calibration=case.dataset.calibration.inputs,
        ratios=parameters["ratios"],
        examples=parameters["examples"],
        known=[part.ratio for part in found if isinstance(part, DriftPoint)],
        floor_known=any(isinstance(part, Floor) for part in found),
        progress=say,
    )
    yield from map(to_data, parts)
