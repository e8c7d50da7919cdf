"""Bias compensation: constants are restored exactly, means are the dense network's, the formula by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from analysis.recovery.compensate import Compensation, compensate
from tests.networks import ConvNet, DepthwiseNet, Mlp, load, randomise
from tests.recovery.mending import group_of, heard, noise, on_its_way


@torch.no_grad()
def constant(layer: nn.Module, channel: int, value: float) -> None:
    """Make a channel say the same to everything."""
    layer.weight[channel] = 0
    layer.bias[channel] = value


@pytest.mark.parametrize(("module", "shape"), [
    (lambda: nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)), (5,)),
    (
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 3, 3), nn.Flatten(), nn.Linear(12, 3)
        ),
        (2, 6, 6),
    ),
    (
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3), nn.Sigmoid(), nn.ConvTranspose2d(6, 3, 1), nn.Flatten(), nn.Linear(48, 3)
        ),
        (2, 6, 6),
    ),
    (
        lambda: nn.Sequential(
            nn.Conv1d(2, 6, 3), nn.ReLU(), nn.Conv1d(6, 3, 1, bias=False), nn.BatchNorm1d(3), nn.Flatten(), nn.Linear(18, 3)
        ),
        (2, 8),
    ),
])  # fmt: skip
def test_a_constant_channel_is_restored_exactly(module, shape):
    built = randomise(module())
    constant(built[0], 2, 1.7)
    network = load(built, shape)
    pruned = on_its_way(network, noise(40, *shape), channels={group_of(network, "0"): (2,)})
    found = compensate(pruned)
    fresh = noise(20, *shape, seed=5)
    with torch.no_grad():
        wanted, before, after = (n.module(fresh) for n in (network, pruned.network, found.network))
    assert not torch.allclose(before, wanted, atol=1e-2), "there was something to restore"
    assert torch.allclose(after, wanted, atol=1e-5) and not found.left


def test_the_constant_is_the_mean_of_each_removed_input_times_its_weight():
    network = load(randomise(Mlp()), (5,))
    pruned = on_its_way(network, noise(100, 5), channels={group_of(network, "fc2"): (1, 4)})
    layer = compensate(pruned).network.module.get_submodule("head")
    read = heard(network, pruned.fit.inputs)["head"][0]
    lost = network.weight("head")[:, [1, 4]] @ read[:, [1, 4]].mean(0)
    assert torch.allclose(layer.bias, network.module.get_submodule("head").bias + lost, atol=1e-6)
    assert torch.equal(layer.weight, pruned.network.weight("head"))


def test_the_same_for_single_weights():
    network = load(randomise(Mlp()), (5,))
    mask = noise(3, 6, seed=2) > 0
    pruned = on_its_way(network, noise(100, 5), weights={"head": mask})
    layer = compensate(pruned).network.module.get_submodule("head")
    read = heard(network, pruned.fit.inputs)["head"][0]
    lost = (network.weight("head") * mask) @ read.mean(0)
    assert torch.allclose(layer.bias, network.module.get_submodule("head").bias + lost, atol=1e-6)


@pytest.mark.parametrize(("module", "shape"), [(ConvNet, (2, 5, 5)), (DepthwiseNet, (1, 6, 6))])
def test_every_layer_says_on_average_what_the_dense_one_says(module, shape):
    """By hooks, over examples and positions, borders included; with padding, without a bias, by filter groups."""
    network = load(randomise(module()), shape)
    channels = {group.name: (0, 2) for group in network.groups if group.is_prunable}
    pruned = on_its_way(network, noise(60, *shape), channels=channels)
    found = compensate(pruned)
    dense, here = (heard(n, pruned.fit.inputs) for n in (network, found.network))
    where = ["bn1", "bn2", "head"] if module is ConvNet else ["stem", "bn", "point", "head"]
    for name in where:
        wanted, answered = dense[name][1], here[name][1]
        if answered.shape[1] < wanted.shape[1]:
            wanted = wanted[:, [c for c in range(wanted.shape[1]) if c not in (0, 2)]]
        dims = [d for d in range(wanted.dim()) if d != 1]
        assert torch.allclose(wanted.mean(dims), answered.mean(dims), atol=1e-4), name


def test_a_layer_without_a_place_for_a_constant_stays_and_says_so():
    module = randomise(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2, bias=False)))
    network = load(module, (4,))
    found = compensate(on_its_way(network, noise(30, 4), channels={group_of(network, "0"): (1,)}))
    assert found.layers == () and "bias" in found.left["2"]


def test_a_layer_called_twice_stays_and_says_so():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.again, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 2)

        def forward(self, x):
            return self.head(torch.relu(self.again(torch.relu(self.again(torch.relu(self.first(x)))))))

    network = load(randomise(Twice()), (4,))
    mask = torch.zeros(4, 4, dtype=torch.bool)
    mask[0] = True
    found = compensate(on_its_way(network, noise(30, 4), weights={"again": mask}))
    assert found.left == {"again": "it is called several times"} and found.layers == ("head",)


def test_no_more_examples_are_looked_at_than_asked():
    network = load(randomise(Mlp()), (5,))
    pruned = on_its_way(network, noise(100, 5), channels={group_of(network, "fc2"): (1,)})
    layer = compensate(pruned, Compensation(examples=10)).network.module.get_submodule("head")
    read = heard(network, pruned.fit.inputs[:10])["head"][0]
    lost = network.weight("head")[:, 1] * read[:, 1].mean()
    assert torch.allclose(layer.bias, network.module.get_submodule("head").bias + lost, atol=1e-6)
