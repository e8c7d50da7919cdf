"""Distributions and statistics of a layer's weights."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.network import Network, by_output

NEAR_ZERO = 0.01  # of the layer's largest |w|


@dataclass(frozen=True)
class WeightStatistics:
    """Moments of one layer's weights.

    `kurtosis` is the excess (0 for a normal distribution; more means heavier tails and a sharper
    peak). `near_zero` is the share of weights below `NEAR_ZERO` of the largest in size; `zero` the
    share that is exactly 0.
    """

    count: int
    mean: float
    deviation: float
    kurtosis: float
    largest: float
    near_zero: float
    zero: float


@dataclass(frozen=True, eq=False)
class Histogram:
    """Counts between `edges` (bins + 1); `kept` + `removed` = all weights of the bin."""

    edges: Tensor
    kept: Tensor
    removed: Tensor


def statistics(weight: Tensor) -> WeightStatistics:
    """Moments of all values of a weight tensor."""
    values = weight.detach().double().flatten()
    centred = values - values.mean()
    variance = float(centred.square().mean())
    largest = float(values.abs().max())
    return WeightStatistics(
        count=values.numel(),
        mean=float(values.mean()),
        deviation=variance**0.5,
        kurtosis=float(centred.pow(4).mean()) / variance**2 - 3 if variance > 0 else float("nan"),
        largest=largest,
        near_zero=float((values.abs() < NEAR_ZERO * largest).double().mean()) if largest else 1.0,
        zero=float((values == 0).double().mean()),
    )


def histogram(
    weight: Tensor, *, removed: Tensor | None = None, bins: int = 81, limit: float | None = None
) -> Histogram:
    """Counts of a weight tensor in equal bins from -limit to limit (default: the largest |w|).

    `removed` is a mask of the weight's shape; values beyond the limit fall into the outer bins.
    """
    values = weight.detach().double().flatten()
    limit = limit or float(values.abs().max()) or 1.0
    edges = torch.linspace(-limit, limit, bins + 1, dtype=torch.float64)
    index = torch.bucketize(values, edges[1:-1])
    gone = torch.zeros_like(values, dtype=torch.bool) if removed is None else removed.flatten()
    return Histogram(
        edges,
        torch.bincount(index[~gone], minlength=bins),
        torch.bincount(index[gone], minlength=bins),
    )


def channel_norms(network: Network, layer: str) -> Tensor:
    """L2 norm of the weights of each output channel, shape (channels,)."""
    return by_output(network.module.get_submodule(layer), network.weight(layer)).flatten(1).norm(dim=1)
