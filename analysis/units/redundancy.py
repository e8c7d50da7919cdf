"""What could go whole: a part for each block, with its influence and the headline metric without it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from analysis.inside.blocks import Block
from analysis.inside.redundancy import Skip, skips
from analysis.measure.quality import Interval
from analysis.units import Case, Message, Say


def to_data(found: Skip) -> Message:
    """A skipped block as plain data."""
    data = asdict(found)
    data["block"]["layers"] = list(found.block.layers)
    return data


def from_data(data: Mapping[str, Any]) -> Skip:
    """The skipped block of :func:`to_data`."""
    block = Block(**{**data["block"], "layers": tuple(data["block"]["layers"])})
    intervals = {
        key: None if data[key] is None else Interval(**data[key])
        for key in ("influence", "quality", "change")
    }
    return Skip(block, **intervals, reason=data["reason"])


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Skip each block of the dense network that is not `known`."""
    names = [part["block"]["name"] for part in known]
    yield from map(to_data, skips(case.network, case.split, case.dataset.task, known=names, progress=say))
