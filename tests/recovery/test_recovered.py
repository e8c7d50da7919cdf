"""Recovered weights as a file: restored they answer alike, the dense network stays, damage is refused."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from analysis.errors import PlanError
from analysis.importance.registry import score
from analysis.pruning.plan import Cut, uniform_plan
from analysis.pruning.prune import prune
from analysis.pruning.selection import Selection, select
from analysis.recovery.recovered import Recovered, Step, from_bytes, recovered_from, restore, to_bytes
from tests.networks import ConvNet, Mlp, load, randomise
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module

STEPS = (Step("recalibrate", {}, 0.25), Step("fine-tune", {"epochs": 3, "rate": 0.05}, 12.5))


def case(network):
    """A network cut at both granularities with weights of its own, as training leaves it."""
    plan = uniform_plan(network, "l1", "channel", 0.4)
    weights = tuple(Cut(layer.name, "weight", 0.3) for layer in network.layers)
    plan = replace(plan, cuts=(*plan.cuts, *weights))
    scores = score(network, "l1")
    selection = select(network, plan, scores)
    pruned = prune(network, plan, scores)
    module = copy.deepcopy(pruned.module)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(1 + 0.1 * torch.rand(parameter.shape, generator=generator))
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.add_(0.5)
    return selection, replace(pruned, module=module)


@pytest.fixture(scope="module")
def net():
    return load(randomise(ConvNet()), (2, 5, 5), "conv")


@pytest.mark.parametrize("name", list(BY_NAME))
def test_restored_it_answers_bit_for_bit_alike(name):
    network = from_module(name)
    before = copy.deepcopy(network.module.state_dict())
    selection, trained = case(network)
    found = restore(network, from_bytes(to_bytes(recovered_from(trained, selection, STEPS))))
    inputs = network.example_input
    with torch.no_grad():
        assert torch.equal(found.module(inputs), trained.module(inputs))
    after = network.module.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before), "the dense network was changed"


def test_a_file_holds_all_of_it_and_is_equal_for_equal_contents(net):
    selection, trained = case(net)
    kept = recovered_from(trained, selection, STEPS)
    data = to_bytes(kept)
    read = from_bytes(data)
    assert read.steps == STEPS
    assert read.selection.channels == selection.channels
    assert read.selection.weights.keys() == selection.weights.keys()
    assert all(torch.equal(read.selection.weights[k], m) for k, m in selection.weights.items())
    assert to_bytes(read) == data


def test_what_is_kept_does_not_change_with_the_network(net):
    selection, trained = case(net)
    kept = recovered_from(trained, selection)
    before = to_bytes(kept)
    with torch.no_grad():
        trained.module.get_submodule("head").weight.zero_()
    assert to_bytes(kept) == before


def test_weights_of_another_network_are_refused(net):
    other = load(randomise(Mlp()), (5,), "mlp")
    selection, trained = case(other)
    with pytest.raises(PlanError, match="another network"):
        restore(net, recovered_from(trained, selection))
    with pytest.raises(PlanError, match="another network"):
        restore(net, Recovered(Selection({"conv9": (1,)}), {}))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:7],
        lambda data: data[: len(data) // 2],
        lambda data: b"\xff" * 8 + data[8:],
        lambda data: data.replace(b"prunescope-recovered-1", b"prunescope-recovered-9"),
        lambda data: data.replace(b'\\"channels\\"', b'\\"chann3ls\\"'),
        lambda data: b"\0" * len(data),
    ],
    ids=range(7),
)
def test_a_damaged_file_is_refused_in_words(net, damage):
    selection, trained = case(net)
    with pytest.raises(PlanError, match="damaged"):
        from_bytes(damage(to_bytes(recovered_from(trained, selection))))
