"""Linear CKA between all layers before and all after: a part for each minibatch, to be summed by the reader."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import count
from typing import Any

import numpy as np
import torch
from torch import Tensor

from analysis.inside.representation import MOST, Minibatch, minibatches
from analysis.units import Case, Message, Say


def to_data(part: Minibatch, number: int = 0) -> Message:
    """A minibatch and its number as plain data; None where a layer has no value."""
    sides = {key: _to_list(getattr(part, key)) for key in ("cross", "before", "after")}
    return {"number": number, "examples": part.examples, **sides}


def from_data(data: Mapping[str, Any]) -> Minibatch:
    """The minibatch of :func:`to_data`."""
    return Minibatch(data["examples"], *(_to_tensor(data[key]) for key in ("cross", "before", "after")))


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Compare the dense network with the plan's, or with itself for the dense plan; without `known` minibatches."""
    inputs = case.split.sample(MOST).inputs
    numbers = {part["number"] for part in known}
    first = next(number for number in count() if number not in numbers)
    parts = minibatches(case.network, case.pruned, inputs, known=first, progress=say)
    for number, part in enumerate(parts, start=first):
        yield to_data(part, number)


def _to_list(values: Tensor) -> list[Any]:
    if values.dim() > 1:
        return [_to_list(row) for row in values]
    return [None if math.isnan(value) else value for value in values.tolist()]


def _to_tensor(values: Sequence[Any]) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float64))  # None becomes NaN
