"""Problems with planted curves: networks that answer their own examples right, and sensitivities made up for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch

from analysis.allocation.problem import Problem, make_problem
from analysis.datasets import Split
from analysis.importance.registry import score
from analysis.live import Gauge
from analysis.network import Network
from analysis.pruning.plan import Granularity, targets
from analysis.tasks import CLASSIFICATION, Task
from tests.networks import ConvNet, Mlp, architecture, load, randomise

RATIOS = (0.1, 0.3, 0.5, 0.7, 0.9)


def gauge_of(network: Network, inputs: torch.Tensor, task: Task = CLASSIFICATION) -> Gauge:
    """A gauge on examples that the network itself has labelled, so that it is always right."""
    with torch.no_grad():
        outputs = network.module(inputs)
    labels = outputs[:, 0] if not task.is_classification else outputs.argmax(1)
    return Gauge(network, Split(inputs, labels, "its own answers"), task)


def noise(shape: tuple[int, ...], count: int = 40, seed: int = 0) -> torch.Tensor:
    return torch.randn((count, *shape), generator=torch.Generator().manual_seed(seed))


def mlp_gauge() -> Gauge:
    return gauge_of(load(randomise(Mlp()), (5,)), noise((5,)))


def conv_gauge() -> Gauge:
    return gauge_of(load(randomise(ConvNet()), (2, 5, 5)), noise((2, 5, 5)))


def resnet_gauge() -> Gauge:
    network = architecture("resnet")[1]
    return gauge_of(network, noise(tuple(network.example_input.shape[1:])))


def planted(gauge: Gauge, share: Callable[[int, float], float], names: tuple[str, ...]) -> dict[str, Any]:
    """Curves ({target: {ratio: metric}}) of which target number i keeps ``share(i, ratio)`` above guessing."""
    dense, guess = gauge.dense_headline, gauge.floor
    return {
        name: {ratio: guess + (dense - guess) * share(i, ratio) for ratio in RATIOS}
        for i, name in enumerate(names)
    }


def concave(i: int, ratio: float) -> float:
    """Shares whose losses are convex, another for each target."""
    return 1 - ratio ** (1.5 + 0.7 * i)


def problem_of(
    gauge: Gauge,
    granularity: Granularity,
    criterion: str = "l1",
    share: Callable[[int, float], float] = concave,
    **options: Any,
) -> Problem:
    curves: Mapping[str, Any] = planted(gauge, share, targets(gauge.network, granularity))
    return make_problem(gauge, score(gauge.network, criterion), granularity, curves=curves, **options)
