"""Recovery without training: a part for each method and chain of methods, each with weights to take over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from analysis.measure.quality import Interval
from analysis.recovery.recovered import Step
from analysis.recovery.repairs import Gain, repairs
from analysis.units import Case, Message, Say


@dataclass(frozen=True)
class Repair:
    """What a chain of methods brought, and the digest of the weights it left; empty if it does not apply."""

    gain: Gain
    recovered: str = ""


def to_data(repair: Repair) -> Message:
    """A repair as plain data."""
    data = asdict(repair.gain)
    return {
        **data,
        "methods": list(data["methods"]),
        "times": list(data["times"]),
        "recovered": repair.recovered,
    }


def from_data(data: Mapping[str, Any]) -> Repair:
    """The repair of :func:`to_data`."""
    content = {key: value for key, value in data.items() if key != "recovered"}
    for key in ("quality", "change"):
        content[key] = None if content[key] is None else Interval(**content[key])
    content |= {key: tuple(content[key]) for key in ("methods", "times")}
    return Repair(Gain(**content), data["recovered"])


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Carry out and measure the chains that are not `known`."""
    begun = case.begin()
    found = [tuple(part["methods"]) for part in known]
    for gain, network in repairs(begun, case.split, known=found, progress=say):
        digest = ""
        if network is not None:
            steps = [Step(name, {}, spent) for name, spent in zip(gain.methods, gain.times, strict=True)]
            digest = case.keep(network, begun.selection, *steps)
        yield to_data(Repair(gain, digest))
