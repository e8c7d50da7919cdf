"""Every network of the zoo at work: weights zeroed, channels cut, measured, swept, explained."""

from __future__ import annotations

import copy
import math
from itertools import groupby

import pytest
import torch
from torch import nn

from analysis.explain.attribution import attribute
from analysis.importance.registry import score
from analysis.live import Gauge
from analysis.measure import measurement
from analysis.measure.quality import evaluate
from analysis.modules import Recurrent
from analysis.network import Network
from analysis.pruning.plan import Granularity, make_plan, targets, uniform_plan
from analysis.pruning.prune import prune
from analysis.sensitivity import COARSE, Sensitivity, sweep
from analysis.tasks import REGRESSION
from tests.zoo.judged import TOLERANCE, answers, deviation, headline, task_of, tiny_split
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module, module

NEVER_CALLED = "uncalled."  # the layer on the other branch of branch-on-shape
every = pytest.mark.parametrize("name", BY_NAME)


@every
def test_half_of_the_weights(name):
    network, split, task = from_module(name), tiny_split(name), task_of(name)
    pruned = prune(network, uniform_plan(network, "l1", "weight", 0.5))
    for layer in network.layers:
        dense, left = network.weight(layer.name), pruned.weight(layer.name)
        assert int(dense.count_nonzero()) == math.prod(layer.shape)
        kept = left != 0
        assert int((~kept).sum()) == int(math.prod(layer.shape) * 0.5 + 0.5), layer.name
        assert torch.equal(left[kept], dense[kept])
        assert dense[~kept].abs().max() <= dense[kept].abs().min()
    evaluation = evaluate(pruned, split, task)
    assert deviation(evaluation.outputs, answers(pruned, split.inputs)) <= TOLERANCE
    whole = measurement.measure(network, split, task)
    measured = measurement.measure(pruned, split, task, dense=whole)
    by_hand = {x.name: math.prod(x.shape) - int(math.prod(x.shape) * 0.5 + 0.5) for x in network.layers}
    assert dict(measured.cost.layer_nonzero) == by_hand
    assert measured.cost.nonzero_connections == sum(by_hand.values())
    assert whole.cost.nonzero_connections == sum(math.prod(x.shape) for x in network.layers)
    called = [p.numel() for key, p in module(name).named_parameters() if not key.startswith(NEVER_CALLED)]
    assert pruned.parameters() == network.parameters() == sum(called)
    assert measured.cost.macs == whole.cost.macs > 0
    assert whole.headline.value == pytest.approx(headline(name, answers(network, split.inputs), split))


def zeroed_by_hand(network: Network, layer: str, ratio: float) -> nn.Module:
    """A copy of the network's graph with the smallest weights of a layer set to zero, one by one."""
    twin = copy.deepcopy(network.module)
    owner = twin.get_submodule(layer)
    weight = owner.weight.detach().clone()
    flat = weight.view(-1)
    order = sorted(range(len(flat)), key=lambda i: abs(float(flat[i])))
    flat[order[: int(ratio * len(flat) + 0.5)]] = 0
    if isinstance(owner, Recurrent):
        for part, values in owner.parts(weight).items():
            getattr(owner, part).data.copy_(values)
    else:
        owner.weight.data.copy_(weight)
    return twin


def first_curves(name: str, granularity: Granularity, count: int = 2) -> dict[str, list[Sensitivity]]:
    """The sweep's points of the first targets; it is left there."""
    network = from_module(name)
    gauge = Gauge(network, tiny_split(name), task_of(name))
    points = sweep(gauge, score(network, "l1"), granularity)
    curves: dict[str, list[Sensitivity]] = {}
    for target, found in groupby(points, key=lambda point: point.target):
        if len(curves) == count:
            break
        curves[target] = list(found)
    return curves


@every
def test_a_sweep_over_weights(name):
    network, split = from_module(name), tiny_split(name)
    curves = first_curves(name, "weight")
    assert list(curves) == list(targets(network, "weight"))[:2]
    for target, points in curves.items():
        assert {point.ratio for point in points} >= set(COARSE)
        for point in points:
            with torch.no_grad():
                said = zeroed_by_hand(network, target, point.ratio)(split.inputs)
            assert point.quality.value == pytest.approx(headline(name, said, split), abs=1e-5), point
            assert point.examples == len(split)


@every
def test_a_sweep_over_channels(name):
    network, split = from_module(name), tiny_split(name)
    curves = first_curves(name, "channel")
    assert list(curves) == list(targets(network, "channel"))[:2]
    for target, points in curves.items():
        for point in points:
            pruned = prune(network, make_plan(network, "l1", "channel", {target: point.ratio}))
            value = headline(name, answers(pruned, split.inputs), split)
            assert point.quality.value == pytest.approx(value, abs=1e-5), point


@every
def test_half_of_the_channels(name):
    network, split, task = from_module(name), tiny_split(name), task_of(name)
    plan = uniform_plan(network, "l1", "channel", 0.5)
    pruned = prune(network, plan)
    measured = measurement.measure(pruned, split, task)
    counted = sum(p.numel() for p in pruned.module.parameters())
    assert measured.cost.parameters == counted
    if plan.is_dense:
        assert pruned is network
    else:
        assert counted < network.parameters()


@every
@pytest.mark.parametrize("method", ["saliency", "integrated-gradients"])
def test_it_is_explained(name, method):
    network, inputs = from_module(name), BY_NAME[name].inputs(3, seed=5)
    given = inputs.clone()
    chosen = None if task_of(name) is REGRESSION else answers(network, inputs).argmax(1)
    shares = attribute(network, method, inputs, chosen, baseline=0.0).values
    assert torch.equal(inputs, given)
    assert shares.shape == inputs.shape
    assert torch.isfinite(shares).all()
    assert (shares.flatten(1) != 0).any(dim=1).all()
    if method == "saliency" and inputs.is_floating_point():
        free = inputs.clone().requires_grad_(True)
        said = module(name)(free)
        heard = said[:, 0] if chosen is None else said.gather(1, chosen[:, None])[:, 0]
        (slope,) = torch.autograd.grad(heard.sum(), free)
        assert deviation(shares, slope.abs()) <= 1e-4
