"""Faithfulness of maps before and after a plan: a part for each measure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analysis.explain.explainer import empty_input, explainer
from analysis.explain.faithfulness import Finding, MeanCurve, Side, faithfulness
from analysis.explain.methods import METHODS
from analysis.measure.quality import Interval
from analysis.units import Case, Message, Say


def parameters(method: str, layer: str | None, examples: int) -> Message:
    """What the unit wants to know, beside the plan: a method, the layer it looks at, how many examples."""
    return {"method": method, "layer": layer, "examples": examples}


def to_data(finding: Finding) -> Message:
    """A finding as plain data."""
    return asdict(finding)


def from_data(data: Mapping[str, Any]) -> Finding:
    """The finding of :func:`to_data`."""
    return Finding(
        data["measure"],
        data["examples"],
        _side(data["before"]),
        _side(data["after"]),
        _interval(data["change"]),
        _interval(data["margin_change"]),
        data["note"],
    )


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Judge by the measures that are not `known`."""
    method, baseline = parameters["method"], case.dataset.baseline
    findings = faithfulness(
        case.network,
        case.pruned,
        case.dataset.task,
        case.split.sample(parameters["examples"]),
        explainer(method, baseline, layer=parameters["layer"]),
        empty=empty_input(case.network, baseline),
        signed=METHODS[method].is_signed,
        local=METHODS[method].is_local,
        known=[entry["measure"] for entry in known],
        progress=say,
    )
    yield from map(to_data, findings)


def _side(data: Mapping[str, Any] | None) -> Side | None:
    if data is None:
        return None
    value = _interval(data["value"])
    assert value is not None
    return Side(
        value,
        _curve(data["curve"]),
        _curve(data["random"]),
        _interval(data["chance"]),
        _interval(data["margin"]),
    )


def _curve(data: Mapping[str, Any] | None) -> MeanCurve | None:
    if data is None:
        return None
    return MeanCurve(tuple(data["shares"]), tuple(Interval(**value) for value in data["values"]))


def _interval(data: Mapping[str, Any] | None) -> Interval | None:
    return None if data is None else Interval(**data)
