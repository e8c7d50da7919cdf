"""Latency: measured with a clock after warm-up, never inferred from MACs."""

from __future__ import annotations

import statistics
import time
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


@torch.no_grad()
def latency(network: Network, *, batch: int = 1, budget: float = 0.15, runs: int = 200) -> Latency:
    """Time forward passes on copies of the example input.

    Parameters
    ----------
    batch : int
        Examples a pass.
    budget : float
        Seconds after which it stops, warm-up (a quarter) included; at least 5 passes are timed.
    runs : int
        Passes at most.
    """
    inputs = network.example_input.repeat(batch, *[1] * (network.example_input.dim() - 1))
    start = time.perf_counter()
    network.module(inputs)
    while time.perf_counter() - start < budget / 4:
        network.module(inputs)
    times: list[float] = []
    while len(times) < 5 or (len(times) < runs and time.perf_counter() - start < budget):
        before = time.perf_counter()
        network.module(inputs)
        times.append((time.perf_counter() - before) * 1000)
    low, median, high = statistics.quantiles(times, n=4)
    return Latency(median, low, high, batch, torch.get_num_threads(), len(times))
