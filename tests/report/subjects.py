"""Networks of every kind with trials of them, measured once a process; for reading only."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import replace
from functools import cache

import torch
from torch import nn

import sample_models
from analysis.datasets import Dataset
from analysis.importance.registry import score
from analysis.measure.measurement import Measurement, measure
from analysis.pruning.plan import Granularity, Plan, uniform_plan
from analysis.pruning.prune import prune
from analysis.report import Reported, Subject
from analysis.sources import Opened
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION
from tests.networks import ConvNet, Mlp, load, randomise, split
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module

MADE_AT = 1_764_119_460.0  # 2025-11-26 01:11 UTC


def _tiny(name: str) -> Opened:
    if name == "binary":
        rows = split((5,), 2, 60, task=BINARY)
        network, task, names = load(randomise(Mlp(outputs=1)), (5,), name), BINARY, ("no", "yes")
    elif name == "values":
        rows = split((5,), 0, 60, task=REGRESSION)
        network, task, names = load(randomise(Mlp(outputs=1)), (5,), name), REGRESSION, ()
    elif name == "pair":
        rows = split((2, 5, 5), 4, 2)
        network, task, names = load(randomise(ConvNet()), (2, 5, 5), name), CLASSIFICATION, ()
    elif name == "tokens":
        entry = BY_NAME["gru-tokens"]
        rows = replace(split((1,), 4, 30), inputs=entry.inputs(30))
        network = replace(from_module("gru-tokens"), name=name)
        task, names = CLASSIFICATION, ("a", "b", "c", "d")
    else:
        rows = split((2, 5, 5), 4, 60)
        network, task, names = load(randomise(ConvNet()), (2, 5, 5), name), CLASSIFICATION, ()
    return Opened(network, Dataset("noise", task, rows, rows, class_names=names, target_unit="miles"))


@cache
def opened(name: str) -> Opened:
    """A sample, or a tiny network: "binary", "values" (regression), "tokens", "pair" (2 examples), "images"."""
    return sample_models.load(name) if name in sample_models.names() else _tiny(name)


@cache
def subject(name: str) -> Subject:
    """The network on at most 300 examples."""
    found = opened(name)
    rows = found.dataset.evaluation.sample(300)
    return Subject(
        f"The {name}",
        found.dataset,
        measure(found.network, rows, found.dataset.task),
        MADE_AT,
        {"torch": "1"},
    )


@cache
def trial(name: str, granularity: Granularity = "channel", ratio: float = 0.4) -> Reported:
    """Every target cut alike, by L1 magnitude."""
    network = opened(name).network
    plan = uniform_plan(network, "l1", granularity, ratio)
    return Reported(plan, measured(name, plan))


@cache
def measured(name: str, plan: Plan) -> Measurement:
    """The measurement of a plan."""
    found, dense = opened(name), subject(name).dense
    if plan.is_dense:
        return dense
    pruned = prune(found.network, plan, score(found.network, plan.criterion, found.dataset))
    return measure(pruned, dense.evaluation.split, dense.evaluation.task, dense=dense)


def deep(layers: int) -> Opened:
    """A network of many layers."""
    parts = [nn.Linear(5, 4), *(nn.Linear(4, 4) for _ in range(layers - 2)), nn.Linear(4, 3)]
    torch.manual_seed(0)
    rows = split((5,), 3, 20)
    module = nn.Sequential(OrderedDict((f"layer{i}", part) for i, part in enumerate(parts)))
    return Opened(load(module, (5,), "deep"), Dataset("noise", CLASSIFICATION, rows, rows))
