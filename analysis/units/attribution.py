"""Attributions of both networks: a part for every few examples."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.explain.attribution import Attribution
from analysis.explain.question import ask, from_data
from analysis.measure.quality import evaluate
from analysis.units import Case, Message, Say

EACH = 2  # examples in a part: few, so that the first are seen soon


def to_data(found: Attribution) -> Message:
    """An attribution as plain data."""
    return {
        "values": _packed(found.values),
        "shape": list(found.values.shape),
        "delta": None if found.delta is None else _packed(found.delta),
    }


def attribution_from_data(data: Mapping[str, Any]) -> Attribution:
    """The attribution of :func:`to_data`."""
    delta = None if data["delta"] is None else _unpacked(data["delta"])
    return Attribution(_unpacked(data["values"]).reshape(data["shape"]), delta)


def pair_from_parts(parts: Sequence[Message]) -> tuple[list[int], Attribution, Attribution]:
    """Which of the question's examples are known, by their place in it, and their attributions.

    Two sessions that ask the same at once may find a part twice: it counts once.
    """
    ordered = [part for _, part in sorted({part["first"]: part for part in parts}.items())]
    places = [part["first"] + i for part in ordered for i in range(part["before"]["shape"][0])]
    before, after = (
        _joined([attribution_from_data(part[side]) for part in ordered]) for side in ("before", "after")
    )
    return places, before, after


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Explain the examples that are not `known`; `parameters` are a question as plain data."""
    question = from_data(parameters)
    before = evaluate(case.network, case.split, case.dataset.task)
    done = {part["first"] for part in known}
    missing = [first for first in range(0, len(question.indices), EACH) if first not in done]
    for i, first in enumerate(missing):
        some = replace(question, indices=question.indices[first : first + EACH])
        part: Message = {"first": first}
        for half, (side, network) in enumerate((("before", case.network), ("after", case.pruned))):

            def tell(share: float, past: float = i + half / 2) -> None:
                say((past + share / 2) / len(missing))

            part[side] = to_data(ask(some, network, before, case.dataset.baseline, tell))
        yield part


def _joined(found: Sequence[Attribution]) -> Attribution:
    deltas = [one.delta for one in found if one.delta is not None]
    return Attribution(torch.cat([one.values for one in found]), torch.cat(deltas) if deltas else None)


def _packed(values: Tensor) -> str:
    return b64encode(values.float().contiguous().numpy().tobytes()).decode()


def _unpacked(text: str) -> Tensor:
    return torch.from_numpy(np.frombuffer(b64decode(text), dtype=np.float32).copy())
