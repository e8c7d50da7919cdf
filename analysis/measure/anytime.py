"""Intervals that may be looked at while they narrow.

Examples come in a random order from a finite set, and what the dense network answered to each is known.
After some of them, the mean over all is known up to an interval; after the last, exactly.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from analysis.measure.quality import Interval

FIRST_LOOK = 128
SINGLE_LOOK = 1.959964  # the bound of an interval that is not looked at while it narrows
_LEVEL = 0.95
_NODES = 64


def looks(total: int) -> tuple[int, ...]:
    """After how many examples an interval is given: 128, 192, 256, 384, 512, ... and `total`."""
    found = []
    size = FIRST_LOOK
    while size < total:
        found += [size, size * 3 // 2]
        size *= 2
    return (*(n for n in found if n < total), total)


@cache
def critical_value(total: int) -> float:
    """The normal quantile that keeps 95% coverage over all :func:`looks` together.

    The constant boundary of Pocock 1977 for sampling without replacement, where the estimate after n of N
    examples has variance proportional to 1/n - 1/N: its inverse is the information of a look.
    """
    counts = np.array(looks(total)[:-1], dtype=float)
    if len(counts) == 0:
        return 0.0
    information = 1 / (1 / counts - 1 / total)
    return float(brentq(lambda bound: stay_probability(bound, information) - _LEVEL, 1.9, 4.0, xtol=1e-6))


def stay_probability(bound: float, information: np.ndarray) -> float:
    """The probability that a standardised Brownian motion stays within +-`bound` at every look.

    By the recursive integration of Armitage, McPherson & Rowe 1969, with Gauss-Legendre quadrature.
    """
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    nodes, weights = nodes * bound, weights * bound
    density = _normal(nodes)
    for before, now in pairwise(information):
        spread = np.sqrt(now - before)
        step = (nodes[:, None] * np.sqrt(now) - nodes[None, :] * np.sqrt(before)) / spread
        density = (_normal(step) * np.sqrt(now) / spread) @ (density * weights)
    return float(density @ weights)


def regression_mean(
    seen: Tensor, covariates: Tensor, bound: float, *, scale: float | None = None
) -> Interval:
    """The mean over all N examples, from the values of the first n and what is known of all of them.

    The regression estimator of survey sampling (Cochran 1977, chapter 7): the values are regressed on the
    covariates, lightly shrunk, and the fit is averaged over all N. What the dense network answered, and
    the classes, explain most of what a pruned network gets right, so far fewer examples are needed.

    Parameters
    ----------
    seen : Tensor
        Values of the first n examples in random order, shape (n,).
    covariates : Tensor
        Float64, shape (N, p), in the same order; see :func:`standardised`.
    bound : float
        Half width in standard errors: :func:`critical_value`, or `SINGLE_LOOK`.
    scale : float, optional
        How far one value can be off (1 for right or wrong); by default the largest residual. Two values
        off by it are added to the variance (as Agresti & Min 2005 do), so that few examples without a
        change are not taken for none at all.

    Returns
    -------
    Interval
        With the finite-population correction; a point if n = N.
    """
    values = seen.double()
    count, total = len(values), len(covariates)
    if count == total:
        value = float(values.mean())
        return Interval(value, value, value)
    x = covariates[:count]
    centre = values.mean()
    gram = x.T @ x
    shrunk = gram + torch.eye(x.shape[1], dtype=torch.float64)
    inverse = torch.linalg.inv(shrunk)
    slopes = inverse @ (x.T @ (values - centre))
    residuals = values - centre - x @ slopes
    value = float(centre + residuals.mean() + covariates.mean(dim=0) @ slopes)
    edge = float(residuals.abs().max()) if scale is None else scale
    freedom = count + 1 - float((inverse * gram).sum())
    variance = (float(residuals @ residuals) + 2 * edge**2) / max(1.0, freedom)
    half = bound * math.sqrt(variance * (1 / count - 1 / total))
    return Interval(value, value - half, value + half)


def standardised(columns: Sequence[Tensor]) -> Tensor:
    """Covariates (N, p) from columns (N,), each with mean 0 and variance 1; constant ones are dropped."""
    kept = [c.double() for c in columns if bool((c != c[:1]).any())]
    if not kept:
        return torch.zeros(len(columns[0]), 0, dtype=torch.float64)
    return torch.stack([(c - c.mean()) / c.std() for c in kept], dim=1)


def intersection(earlier: Interval, later: Interval) -> Interval:
    """What two looks of one sequence say together; `later` alone if they exclude each other."""
    low, high = max(earlier.low, later.low), min(earlier.high, later.high)
    if low > high:
        return later
    return Interval(min(high, max(low, later.value)), low, high)


def _normal(x: np.ndarray) -> np.ndarray:
    return np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi)
