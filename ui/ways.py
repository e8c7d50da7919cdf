"""The ways to say how much of a target goes, and their translations to the plan's ratio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from analysis.pruning.plan import Granularity
from analysis.pruning.selection import ratio_below, ratio_below_relative, removal_count, threshold_at


@dataclass(frozen=True)
class Way:
    """One way to say how much goes: a number's two translations and its unit."""

    label: str
    unit: str
    to_ratio: Callable[[Tensor, float], float]
    from_ratio: Callable[[Tensor, float, Granularity], float]


def _threshold(values: Tensor, ratio: float, granularity: Granularity) -> float:
    """The threshold that a ratio stands for; 0 where nothing goes."""
    if removal_count(len(values), ratio, granularity) == 0:
        return 0.0
    return min(threshold_at(values, ratio, granularity), _largest(values))


def _largest(values: Tensor) -> float:
    return float(values.max()) or 1.0


_ALL = (
    Way("Ratio removed", "% removed", lambda v, x: x / 100, lambda v, r, g: 100 * r),
    Way("Ratio kept", "% kept", lambda v, x: 1 - x / 100, lambda v, r, g: 100 - 100 * r),
    Way("Absolute threshold", "score", ratio_below, _threshold),
    Way(
        "Relative threshold",
        "% of max",
        lambda v, x: ratio_below_relative(v, x / 100),
        lambda v, r, g: 100 * _threshold(v, r, g) / _largest(v),
    ),
)
WAYS = {way.label: way for way in _ALL}
