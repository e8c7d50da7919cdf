"""Paths by one ranking over all targets: the lowest values go, wherever they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from analysis.allocation.path import Path
from analysis.allocation.problem import Counts, Problem

MAX_STEPS = 1000


def ranked(problem: Problem, values: Mapping[str, Tensor]) -> Path:
    """The path that removes what has the lowest value of all.

    Parameters
    ----------
    values : mapping
        For each free target, one value per weight or channel, in the order in which they go. A value below
        one before it counts as that one: within a target the criterion's order stands.

    Notes
    -----
    Ties go target by target, from the input on. What is beyond a target's limit is never removed.
    """
    lows = [values[t][:limit].cummax(0).values for t, limit in problem.limits.items() if limit]
    owners = [torch.full((limit,), i) for i, limit in enumerate(problem.limits.values())]
    order = torch.argsort(torch.cat(lows), stable=True) if lows else torch.zeros(0, dtype=torch.long)
    owner = torch.cat(owners)[order] if lows else order
    steps = min(MAX_STEPS, len(owner))

    def at(step: int) -> Counts:
        first = owner[: len(owner) * step // max(1, steps)]
        return dict(zip(problem.free, first.bincount(minlength=len(problem.free)).tolist(), strict=True))

    return Path(steps, at)


def by_values(problem: Problem, value: Callable[[Tensor], Tensor]) -> Path:
    """The ranked path of a function of each target's scores, which come in the order in which they go."""
    return ranked(problem, {target: value(problem.values(target)) for target in problem.free})
