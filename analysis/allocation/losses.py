"""What a cut of one target costs in quality, read off its measured curve."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from itertools import accumulate

from analysis.allocation.problem import Problem
from analysis.errors import PrunescopeError

_LEAST = 1e-3  # of the metric above guessing; less is no better than nothing


class Losses:
    """The loss of each target at each cut: minus the logarithm of the share of the metric that is kept.

    The share is of the metric above guessing, and shares of several targets multiply (as
    :func:`analysis.sensitivity.predict` has it), so losses add up. Between measured ratios the share is
    interpolated linearly. Where a curve rises again the lower value stands: a rise is mostly noise, and a
    loss never falls when more goes.

    Raises
    ------
    PrunescopeError
        If a free target has no curve, or the dense network is no better than guessing.
    """

    def __init__(self, problem: Problem) -> None:
        dense, guess = problem.gauge.dense_headline, problem.gauge.floor
        if not dense > guess:  # nor if it has no value
            raise PrunescopeError(
                f"{problem.network.name} is no better than guessing on these examples, so there is no quality to "
                "weigh. Choose a method that needs no sensitivity curves, such as uniform."
            )
        missing = [target for target in problem.free if not problem.curves.get(target)]
        if missing:
            raise PrunescopeError(
                f"The sensitivity of {missing[0]} is not measured yet. Measure the sensitivity of every target "
                "first, or choose a method that needs no curves, such as uniform."
            )
        self._sizes = problem.sizes
        self._curves = {t: _falling(problem.curves[t], dense, guess) for t in problem.free}

    def __call__(self, target: str, count: int) -> float:
        """The loss when `count` of a target's weights or channels go; 0 for none."""
        ratios, shares = self._curves[target]
        ratio = count / self._sizes[target]
        right = max(1, bisect_left(ratios, ratio))
        x0, x1, y0, y1 = ratios[right - 1], ratios[right], shares[right - 1], shares[right]
        return -math.log(max(_LEAST, y0 + (y1 - y0) * (ratio - x0) / (x1 - x0)))


def _falling(curve: Mapping[float, float], dense: float, guess: float) -> tuple[list[float], list[float]]:
    """Ratios and the shares kept at them, from 1 at nothing removed to 0 at everything, never rising."""
    points = sorted({0.0: dense, 1.0: guess, **curve}.items())
    shares = [min(1.0, max(0.0, (value - guess) / (dense - guess))) for _, value in points]
    return [ratio for ratio, _ in points], list(accumulate(shares, min))
