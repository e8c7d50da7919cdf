"""Recalibration against statistics by numpy, BatchNorm after BatchNorm, and against torch in training mode."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

from analysis.errors import PrunescopeError
from analysis.recovery.recalibrate import Recalibration, recalibrate
from tests.networks import ConvNet, Mlp, load, randomise
from tests.recovery.mending import group_of, heard, noise, on_its_way


@pytest.fixture(scope="module")
def pruned():
    network = load(randomise(ConvNet()), (2, 5, 5))
    return on_its_way(network, noise(80, 2, 5, 5), channels={group_of(network, "conv1"): (0, 3)})


def test_statistics_are_those_of_what_each_one_reads_behind_the_others(pruned):
    """The slow way: for each BatchNorm the whole network runs again, and numpy takes mean and variance."""
    module = copy.deepcopy(pruned.network.module).eval()
    for name in ("bn1", "bn2"):
        norm, read = module.get_submodule(name), []
        handle = norm.register_forward_hook(lambda _m, given, _s, read=read: read.append(given[0]))
        with torch.no_grad():
            module(pruned.fit.inputs)
        handle.remove()
        flat = read[0].movedim(1, -1).flatten(0, -2).double().numpy()
        norm.running_mean.copy_(torch.from_numpy(flat.mean(axis=0)))
        norm.running_var.copy_(torch.from_numpy(flat.var(axis=0, ddof=1)))
    found = recalibrate(pruned)
    assert found.layers == ("bn1", "bn2") and not found.left
    expected = module.state_dict()
    for key, value in found.network.module.state_dict().items():
        assert torch.allclose(value, expected[key], atol=1e-5), key


def test_the_first_one_is_as_torch_measures_it_in_training(pruned):
    """One batch of all examples, cumulative: the variance with n - 1."""
    read = heard(pruned.network, pruned.fit.inputs)["bn1"][0]
    norm = nn.BatchNorm2d(read.shape[1], momentum=None).train()
    norm(read)
    found = recalibrate(pruned).network.module.get_submodule("bn1")
    assert torch.allclose(found.running_mean, norm.running_mean, atol=1e-6)
    assert torch.allclose(found.running_var, norm.running_var, atol=1e-6)


def test_what_it_says_is_normal_again_and_weights_stay(pruned):
    found = recalibrate(pruned)
    norm = found.network.module.get_submodule("bn2")
    said = heard(found.network, pruned.fit.inputs)["bn2"][1]
    assert torch.allclose(said.mean((0, 2, 3)), norm.bias, atol=1e-4)
    assert torch.allclose(said.std((0, 2, 3)), norm.weight.abs(), atol=1e-3)
    for name, value in pruned.network.module.named_parameters():
        assert value is dict(found.network.module.named_parameters())[name]


def test_no_more_examples_are_looked_at_than_asked(pruned):
    read = heard(pruned.network, pruned.fit.inputs[:16])["bn1"][0]
    norm = recalibrate(pruned, Recalibration(examples=16)).network.module.get_submodule("bn1")
    assert np.allclose(norm.running_mean.numpy(), read.mean((0, 2, 3)).numpy(), atol=1e-6)


def test_rows_of_a_table_have_statistics_too():
    network = load(
        randomise(nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 2))), (4,)
    )
    pruned = on_its_way(network, noise(50, 4), channels={group_of(network, "0"): (1,)})
    read = heard(pruned.network, pruned.fit.inputs)["1"][0]
    norm = recalibrate(pruned).network.module.get_submodule("1")
    assert torch.allclose(norm.running_mean, read.mean(0), atol=1e-6)
    assert torch.allclose(norm.running_var, read.var(0), atol=1e-6)


def test_one_called_twice_stays_and_says_so():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.norm, self.other = (
                nn.Linear(4, 5),
                nn.Linear(5, 5),
                nn.BatchNorm1d(5),
                nn.BatchNorm1d(5),
            )
            self.head = nn.Linear(5, 2)

        def forward(self, x):
            return self.head(self.other(self.norm(self.b(self.norm(self.a(x))))))

    network = load(randomise(Twice()), (4,))
    mask = noise(5, 5) > 0
    found = recalibrate(on_its_way(network, noise(40, 4), weights={"b": mask}))
    assert found.layers == ("other",) and found.left == {"norm": "it is called several times"}


def test_a_network_without_batch_norm_is_refused_in_words():
    network = load(randomise(Mlp()), (5,))
    with pytest.raises(PrunescopeError, match="no BatchNorm"):
        recalibrate(on_its_way(network, noise(40, 5), channels={group_of(network, "fc1"): (1,)}))
