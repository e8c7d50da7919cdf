"""Back to the dense shapes: what was cut off again is the smaller network bit for bit; scores two ways."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch

from analysis.importance.registry import score
from analysis.pruning.plan import Plan, uniform_plan
from analysis.pruning.prune import masked_twin, remove
from analysis.pruning.selection import Selection, select
from analysis.recovery.lifting import gone_first, lifted, lifted_scores, outputs_gone
from tests.networks import ConvNet, load, randomise
from tests.recovery.test_recovered import case
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module


def same(one, other) -> bool:
    mine, theirs = one.module.state_dict(), other.module.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[key], theirs[key]) for key in mine)


@pytest.mark.parametrize("name", list(BY_NAME))
def test_what_is_lifted_and_cut_again_is_the_smaller_network(name):
    network = from_module(name)
    before = copy.deepcopy(network.module.state_dict())
    selection, trained = case(network)
    whole = lifted(network, trained, selection)
    assert same(remove(whole, Selection(selection.channels)), trained)
    assert [layer.shape for layer in whole.layers] == [layer.shape for layer in network.layers]
    assert whole.groups == network.groups
    after = network.module.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before), "the dense network was changed"


@pytest.mark.parametrize("name", list(BY_NAME))
def test_scores_lifted_are_scores_of_the_lifted_network(name):
    """Two ways: L1 of the smaller network lifted, and L1 of its masked twin in the dense shapes."""
    network = from_module(name)
    selection, trained = case(network)
    found = lifted_scores(network, selection, score(trained, "l1"))
    twin = masked_twin(lifted(network, trained, selection), Selection(selection.channels))
    for layer in network.layers:
        assert torch.equal(found.values[layer.name], twin.weight(layer.name).abs()), layer.name


def test_channel_scores_stand_where_their_channels_stood():
    network = load(randomise(ConvNet()), (2, 5, 5))
    groups = {group.members[0]: group.name for group in network.groups}
    selection = Selection({groups["conv1"]: (1, 4), groups["conv2"]: (0,)})
    smaller = remove(network, selection)
    found = lifted_scores(network, selection, score(smaller, "bn-scale")).values
    scale = network.module.bn1.weight.detach().abs().clone()
    scale[[1, 4]] = 0
    assert torch.equal(found["conv1"].float(), scale)
    assert found["conv2"][0] == 0 and torch.equal(
        found["conv2"][1:].float(), network.module.bn2.weight[1:].detach().abs()
    )


@pytest.mark.parametrize("criterion", ["l1", "bn-scale"])
def test_what_is_gone_is_the_least_important(criterion):
    network = load(randomise(ConvNet()), (2, 5, 5))
    group = network.groups[0]
    (layer,) = group.members
    gone = Selection({group.name: (0, 5)})
    scores = score(network, criterion)
    marked = gone_first(network, gone, scores)
    assert outputs_gone(network, gone, layer) == {0, 5}
    assert bool((marked.values[layer][[0, 5]] == -torch.inf).all())
    assert torch.equal(marked.values[layer][1:5], scores.values[layer][1:5])
    assert not bool((scores.values[layer] == -torch.inf).any()), "the scores given were changed"
    found = select(
        network,
        Plan(network.name, criterion, uniform_plan(network, criterion, "channel", 1 / 3).cuts),
        marked,
    )
    assert found.channels[group.name] == (0, 5)


def test_a_network_that_lost_nothing_is_lifted_to_itself():
    network = load(randomise(ConvNet()), (2, 5, 5))
    assert same(lifted(network, network, Selection()), network)
    scores = score(network, "l1")
    found = lifted_scores(network, Selection(), scores)
    assert all(torch.equal(found.values[name], values) for name, values in scores.values.items())
    assert gone_first(network, Selection(), replace(scores)).values == scores.values
