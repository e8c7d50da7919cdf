"""Uniform: every target loses the same share, as most libraries prune out of the box."""

from __future__ import annotations

from analysis.allocation.path import Path
from analysis.allocation.problem import Problem

STEPS = 1000


def uniform(problem: Problem) -> Path:
    """At step k every free target is cut by ``k / STEPS``, up to its limit."""
    return Path(STEPS, lambda k: problem.counts(dict.fromkeys(problem.free, k / STEPS)))
