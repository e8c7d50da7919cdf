"""Shapley values by their definition: every subset of the players."""

from collections.abc import Callable
from itertools import combinations
from math import factorial

import torch
from torch import Tensor


def exact_shapley(players: int, worth: Callable[[tuple[int, ...]], float]) -> Tensor:
    """What each player adds to a coalition, weighted by how many orders lead to it (Shapley 1953)."""
    shares = torch.zeros(players)
    for player in range(players):
        others = [other for other in range(players) if other != player]
        for size in range(players):
            weight = factorial(size) * factorial(players - size - 1) / factorial(players)
            for coalition in combinations(others, size):
                gained = worth(tuple(sorted((*coalition, player)))) - worth(coalition)
                shares[player] += weight * gained
    return shares
