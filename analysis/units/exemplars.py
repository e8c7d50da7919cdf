"""A population of networks pruned alike: a part for each member, with the answers that it changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from analysis.forgetting.exemplars import Member, population
from analysis.measure.quality import evaluate
from analysis.units import Case, Message, Say


def to_data(member: Member, dense: Tensor) -> Message:
    """A member as plain data: where its answers differ from the dense network's (N,), and what they are."""
    places = (member.answers != dense).nonzero()[:, 0]
    return {"seed": member.seed, "places": places.tolist(), "answers": member.answers[places].tolist()}


def from_data(data: Mapping[str, Any], dense: Tensor) -> Member:
    """The member of :func:`to_data`."""
    answers = dense.clone()
    answers[torch.tensor(data["places"], dtype=torch.long)] = torch.tensor(data["answers"], dtype=torch.long)
    return Member(data["seed"], answers)


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Draw the members that are not `known`; the parameter ``members`` says how many there are in all."""
    dense = evaluate(case.network, case.split, case.dataset.task)
    found = {part["seed"] for part in known}
    members = population(
        case.network,
        case.plan,
        case.dataset,
        case.split,
        dense.task,
        seeds=[seed for seed in range(parameters["members"]) if seed not in found],
        progress=say,
    )
    for member in members:
        yield to_data(member, dense.answers)
