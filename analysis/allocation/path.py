"""A path: how an allocation method goes from the dense network to as small as it may get."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from analysis.allocation.problem import Counts


@dataclass(frozen=True)
class Path:
    """Allocations of one method, each costing no more than the one before.

    ``at(0)`` removes nothing of a free target, ``at(steps)`` as much as is allowed of each.
    """

    steps: int
    at: Callable[[int], Counts]
