"""Trials: every plan that was measured, and which of them no other beats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from analysis.measure.measurement import Numbers
from analysis.pruning.plan import Plan

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Trial:
    """A plan with its measurement and the plan it grew from."""

    plan: Plan
    measurement: Numbers
    parent: Plan | None = None


def pareto_front(
    trials: Sequence[Trial],
    cost_of: Callable[[Numbers], float],
    quality_of: Callable[[Numbers], float],
) -> tuple[Trial, ...]:
    """Trials that no other beats: none is at least as cheap and as good, and better in one.

    Sorted by cost; `quality_of` must grow with quality, and trials where it is NaN are left out. Of
    equals the earliest is kept.
    """
    return undominated(trials, lambda t: cost_of(t.measurement), lambda t: quality_of(t.measurement))


def undominated(
    items: Sequence[T], cost_of: Callable[[T], float], quality_of: Callable[[T], float]
) -> tuple[T, ...]:
    """Items that no other beats, as :func:`pareto_front`, with cost and quality read off each item."""
    front: list[T] = []
    known = [item for item in items if not math.isnan(quality_of(item))]
    for item in sorted(known, key=lambda i: (cost_of(i), -quality_of(i))):
        if not front or quality_of(item) > quality_of(front[-1]):
            front.append(item)
    return tuple(front)
