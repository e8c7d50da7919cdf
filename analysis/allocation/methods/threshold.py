"""Global threshold: one bar for all scores of the network, plain or in units of each target's mean."""

from __future__ import annotations

from torch import Tensor

from analysis.allocation.methods.ranked import by_values
from analysis.allocation.path import Path
from analysis.allocation.problem import Problem


def plain(problem: Problem) -> Path:
    """Scores are compared as they are.

    For weights by magnitude this is global magnitude pruning (Han et al. 2015, "Learning both weights and
    connections"; Frankle & Carbin 2019). Scores of wide channels are sums over more weights, so that narrow
    layers lose more.
    """
    return by_values(problem, lambda values: values)


def normalised(problem: Problem) -> Path:
    """Scores are divided by their target's mean first, so that no target goes whole because it is small.

    The normalisation that torch-pruning's global pruning takes by default (Fang et al. 2023, "DepGraph").
    """
    return by_values(problem, _by_mean)


def _by_mean(values: Tensor) -> Tensor:
    mean = values.mean()
    return values / mean if mean > 0 else values
