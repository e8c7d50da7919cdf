"""How a network of the zoo is judged: its answers, tiny data for it, its headline written out."""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.datasets import Split
from analysis.network import Network
from analysis.tasks import CLASSIFICATION, REGRESSION, Task
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import module

TOLERANCE = 1e-5  # of the largest output


def deviation(answer: Tensor, expected: Tensor) -> float:
    """The largest difference, in units of the largest expected value."""
    assert answer.shape == expected.shape
    return float((answer - expected).abs().max() / expected.abs().max())


def answers(network: Network, inputs: Tensor) -> Tensor:
    with torch.no_grad():
        return network.module(inputs)


def task_of(name: str) -> Task:
    return REGRESSION if name == "regression" else CLASSIFICATION


def tiny_split(name: str, count: int = 16) -> Split:
    """Examples of which the dense network gets about three in four right."""
    inputs = BY_NAME[name].inputs(count, seed=3)
    with torch.no_grad():
        said = module(name)(inputs)
    if task_of(name) is REGRESSION:
        noise = torch.randn(count, generator=torch.Generator().manual_seed(1))
        return Split(inputs, said[:, 0] + 0.3 * noise, "noise")
    wrong = (torch.arange(count) % 4 == 0).long()
    return Split(inputs, (said.argmax(1) + wrong) % said.shape[1], "noise")


def headline(name: str, said: Tensor, split: Split) -> float:
    """Accuracy or R², written out."""
    if task_of(name) is CLASSIFICATION:
        rows = zip(said.tolist(), split.targets.tolist(), strict=True)
        return sum(row.index(max(row)) == target for row, target in rows) / len(split)
    mean = sum(split.targets.tolist()) / len(split)
    pairs = list(zip(said[:, 0].tolist(), split.targets.tolist(), strict=True))
    return 1 - sum((a - t) ** 2 for a, t in pairs) / sum((t - mean) ** 2 for _, t in pairs)
