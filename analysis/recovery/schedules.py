"""How the learning rate goes: each schedule a pure function of how far training is.

All begin with a linear warm-up (Goyal et al. 2017): step t of w warm-up steps has (t + 1) / (w + 1) of the full
rate. Factors multiply the recipe's learning rate.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from analysis.recovery.recipe import Recipe

DROPS = 3  # parts of training that the step schedule has
DROP = 0.1  # what it multiplies the rate by after each part
PLATEAU_DROP = 0.3
PLATEAU_PATIENCE = 2  # epochs without a better loss that plateau waits
_BETTER = 1e-4  # relative: a loss must fall by more to be better


def factor(recipe: Recipe, step: int, total: int, losses: Sequence[float] = ()) -> float:
    """What multiplies the learning rate at `step` of `total` steps (counted from 0).

    Parameters
    ----------
    losses : sequence of float
        Validation losses of the epochs done so far; only the plateau schedule reads them.
    """
    warm = round(recipe.warm_up * total)
    if step < warm:
        return (step + 1) / (warm + 1)
    match recipe.schedule:
        case "cosine":
            return cosine(step - warm, total - warm)
        case "step":
            return falling(step - warm, total - warm)
        case "plateau":
            return plateau(losses)
        case "constant":
            return 1.0


def cosine(step: int, total: int) -> float:
    """Half a cosine from 1 at step 0 to 0 at step `total` (Loshchilov & Hutter 2017)."""
    return (1 + math.cos(math.pi * step / total)) / 2


def falling(step: int, total: int) -> float:
    """`DROP` times as much after each of `DROPS` parts of equal length."""
    return DROP ** (step // max(1, -(-total // DROPS)))


def plateau(losses: Sequence[float]) -> float:
    """`PLATEAU_DROP` times as much whenever `PLATEAU_PATIENCE` epochs in a row, and one more, brought no better loss."""
    best, waited, now = math.inf, 0, 1.0
    for loss in losses:
        if loss < best * (1 - _BETTER):
            best, waited = loss, 0
        else:
            waited += 1
        if waited > PLATEAU_PATIENCE:
            now, waited = now * PLATEAU_DROP, 0
    return now
