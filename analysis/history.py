"""Trials: every plan that was measured, and which of them no other beats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.measure.measurement import Numbers
from analysis.pruning.plan import Plan


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
    front: list[Trial] = []
    known = [trial for trial in trials if not math.isnan(quality_of(trial.measurement))]
    for trial in sorted(known, key=lambda t: (cost_of(t.measurement), -quality_of(t.measurement))):
        if not front or quality_of(trial.measurement) > quality_of(front[-1].measurement):
            front.append(trial)
    return tuple(front)
