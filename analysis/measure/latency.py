"""Latency: measured with a clock after warm-up, never inferred from MACs."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from analysis.network import Network


@dataclass(frozen=True)
class Latency:
    """Milliseconds for one forward pass: median and the middle half of the runs."""

    median: float
    low: float
    high: float
    batch: int
    threads: int
    runs: int

    def overlaps(self, other: Latency) -> bool:
        """True if the middle halves overlap: the difference may be noise."""
        return self.low <= other.high and other.low <= self.high


def latency(network: Network, *, batch: int = 1, budget: float = 0.15, runs: int = 200) -> Latency:
    """The latency of one network; parameters as :func:`latencies`."""
    return latencies([network], batch=batch, budget=budget, runs=runs)[0]


@torch.no_grad()
def latencies(
    networks: Sequence[Network], *, batch: int = 1, budget: float = 0.15, runs: int = 200
) -> list[Latency]:
    """Time forward passes on copies of the example input, the networks in turn.

    A machine is busier at one moment than at another: only networks timed in the same moments compare.

    Parameters
    ----------
    batch : int
        Examples a pass.
    budget : float
        Seconds after which it stops, warm-up (a quarter) included; at least 5 passes each are timed.
    runs : int
        Passes of each network at most.
    """
    example = networks[0].example_input
    inputs = example.repeat(batch, *[1] * (example.dim() - 1))
    start = time.perf_counter()
    warm = False
    while not warm:
        for network in networks:
            network.module(inputs)
        warm = time.perf_counter() - start >= budget / 4
    times: list[list[float]] = [[] for _ in networks]
    while len(times[0]) < 5 or (len(times[0]) < runs and time.perf_counter() - start < budget):
        for network, taken in zip(networks, times, strict=True):
            before = time.perf_counter()
            network.module(inputs)
            taken.append((time.perf_counter() - before) * 1000)
    result = []
    for taken in times:
        low, median, high = statistics.quantiles(taken, n=4)
        result.append(Latency(median, low, high, batch, torch.get_num_threads(), len(taken)))
    return result
