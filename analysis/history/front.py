"""Which trials no other beats."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def pareto_front(
    items: Sequence[T], cost_of: Callable[[T], float], quality_of: Callable[[T], float]
) -> tuple[T, ...]:
    """Items that no other beats: none is at least as cheap and as good, and better in one.

    Sorted by cost; `quality_of` must grow with quality, and items where it is NaN are left out. Of
    equals the earliest is kept.
    """
    front: list[T] = []
    known = [item for item in items if not math.isnan(quality_of(item))]
    for item in sorted(known, key=lambda i: (cost_of(i), -quality_of(i))):
        if not front or quality_of(item) > quality_of(front[-1]):
            front.append(item)
    return tuple(front)
