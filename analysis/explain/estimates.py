"""How long explaining takes, before it is begun."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache

import torch
from torch import Tensor, nn

from analysis.explain.attribution import attribute
from analysis.explain.methods import METHODS
from analysis.explain.methods.base import Cost
from analysis.network import Network
from analysis.tracing import trace

_TRIAL = {"samples": 100.0}  # of the toy on which drawing is timed


def cost(method: str, parameters: Mapping[str, float] | None, shape: tuple[int, ...]) -> Cost:
    """What explaining one example of `shape` takes.

    Raises
    ------
    AttributionError
        If a parameter is unknown or out of range.
    """
    entry = METHODS[method]
    return entry.cost(entry.complete(parameters), tuple(shape))


def passes(method: str, parameters: Mapping[str, float] | None, shape: tuple[int, ...]) -> float:
    """How many forward passes explaining one example of `shape` takes; a gradient counts as two more."""
    return cost(method, parameters, shape).passes


def estimated_seconds(
    method: str,
    parameters: Mapping[str, float] | None,
    shape: tuple[int, ...],
    seconds_per_pass: float,
    seconds_per_draw: float = 0.0,
) -> float:
    """About how long explaining inputs of `shape` (N, ...) takes.

    Parameters
    ----------
    seconds_per_pass : float
        How long one example takes the network, measured on a batch.
    seconds_per_draw : float
        How long making one changed input takes: :func:`draw_seconds`.
    """
    one = cost(method, parameters, shape[1:])
    return shape[0] * (one.passes * seconds_per_pass + one.drawn * seconds_per_draw)


def pass_seconds(network: Network, inputs: Tensor) -> float:
    """How long one example takes the network, measured on `inputs` (N, ...): the faster of two tries."""
    tries = []
    with torch.no_grad():
        for _ in range(2):
            start = time.perf_counter()
            network.module(inputs)
            tries.append(time.perf_counter() - start)
    return min(tries) / len(inputs)


@cache
def draw_seconds() -> float:
    """How long Captum takes to make one random input, on this machine: timed once, on a network of nothing."""
    network = _nothing()
    inputs = torch.ones(2, 4)
    attribute(network, "kernel-shap", inputs[:1], None)  # its imports and caches
    start = time.perf_counter()
    attribute(network, "kernel-shap", inputs, None, parameters=_TRIAL)
    return (time.perf_counter() - start) / (len(inputs) * _TRIAL["samples"])


def _nothing() -> Network:
    layer = nn.utils.skip_init(nn.Linear, 4, 1)  # the usual weights would be drawn at random
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return trace(nn.Sequential(layer), torch.zeros(1, 4), "nothing")
