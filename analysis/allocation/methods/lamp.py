"""LAMP: how much of what a target would keep hangs on one weight (Lee et al. 2021)."""

from __future__ import annotations

from torch import Tensor

from analysis.allocation.methods.ranked import by_values
from analysis.allocation.path import Path
from analysis.allocation.problem import Problem

_SQUARES = ("l2", "fisher", "activation-variance")  # criteria whose scores are squares already


def lamp(problem: Problem) -> Path:
    """The lowest LAMP scores of all targets go first.

    Lee, Park, Mo, Ahn & Shin 2021, "Layer-adaptive sparsity for the magnitude-based pruning": with a layer's
    weights sorted by magnitude, ``score(u) = w_u² / sum of w_v² over v >= u``. The last of a layer has score 1.

    The paper's w² is the square of the criterion's score (or the score, where that is a square already), so
    that L1 and L2 magnitude of weights give exactly the paper's; other criteria and channels follow alike.
    """
    square = problem.scores.criterion not in _SQUARES
    return by_values(problem, lambda values: lamp_scores(values**2 if square else values))


def lamp_scores(squares: Tensor) -> Tensor:
    """LAMP scores of squared magnitudes in the order in which they go; 0 where nothing but zeros is left."""
    left = squares.flip(0).cumsum(0).flip(0)
    return (squares / left).nan_to_num(0.0)
