"""Removed channels against an independent masking: the original nn.Module with hooks that zero them.

The hooks sit on the last module before the channels are read, named by hand for each architecture.
"""

from __future__ import annotations

import re

import pytest
import torch
from torch import Tensor, nn

import sample_models
from analysis.network import Network
from analysis.pruning.channels import mask_channels, remove_channels
from sample_models.architectures import CNN, MLP, LeNet, ResNet
from tests.networks import DepthwiseNet, FlatNet, Mlp, architecture, load, randomise, sample_module, silenced

CLOSE = 1e-5
RATIOS = (0.1, 0.5, 0.9)


def heard_in(module: nn.Module) -> dict[str, list[str]]:
    """For each group of a sample architecture, the modules whose output is all that is read of it."""
    match module:
        case MLP():
            names = [n for n, _ in module.named_modules() if re.fullmatch(r"hidden\.fc\d+", n)]
            return {name: [name.replace("fc", "relu")] for name in names}
        case CNN():
            return {f"conv{i}": [f"relu{i}"] for i in (1, 2, 3)}
        case LeNet():
            return {"conv1": ["relu1"], "conv2": ["relu2"], "fc1": ["relu3"], "fc2": ["relu4"]}
        case ResNet():  # one block a stage
            heard = {"conv1": ["relu", "stage1.0.relu2"], "stage1.0.conv1": ["stage1.0.relu1"]}
            for stage in range(2, module.stages + 1):
                heard |= {f"stage{stage}.0.conv{i}": [f"stage{stage}.0.relu{i}"] for i in (1, 2)}
            return heard
    raise AssertionError(type(module))


def drawn(size: int, ratio: float, seed: int) -> tuple[int, ...]:
    count = min(size - 1, max(1, round(ratio * size)))
    order = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    return tuple(sorted(order[:count].tolist()))


def check(module: nn.Module, net: Network, heard: dict[str, list[str]], inputs: Tensor, close: float) -> None:
    """Every group alone at several ratios, and all together."""
    assert {group.name for group in net.groups if group.is_prunable} == set(heard)
    with torch.no_grad():
        dense = net.module(inputs)
        assert float((dense - module.eval()(inputs)).abs().max()) <= close
        cases = [{name: drawn(net.group(name).size, r, i)} for i, r in enumerate(RATIOS) for name in heard]
        cases += [{name: drawn(net.group(name).size, r, 7) for name in heard} for r in RATIOS]
        changes = 0
        for chosen in cases:
            channels = [(net.group(name), gone) for name, gone in chosen.items()]
            removed, twin = remove_channels(net, channels), mask_channels(net, channels)
            assert removed.parameters() < twin.parameters() == net.parameters()
            dead = {place: gone for name, gone in chosen.items() for place in heard[name]}
            with silenced(module, dead) as masked:
                expected = masked(inputs)
            assert float((removed.module(inputs) - expected).abs().max()) <= close, chosen
            assert float((twin.module(inputs) - expected).abs().max()) <= close, chosen
            changes += float((expected - dense).abs().max()) > 1e-3
    assert changes > len(cases) / 2  # the masking does mask


@pytest.mark.parametrize("name", sample_models.names())
def test_every_group_of_every_sample(name):
    sample = sample_models.load(name)
    module = sample_module(name)
    assert all(group.verdict != "approximate" for group in sample.network.groups)
    check(module, sample.network, heard_in(module), sample.dataset.evaluation.inputs[:24], CLOSE)


@pytest.mark.parametrize("name", ["resnet", "lenet", "cnn", "mlp"])
def test_every_group_of_a_random_network(name):
    module, net = architecture(name)
    inputs = torch.randn((16, *net.example_input.shape[1:]), generator=torch.Generator().manual_seed(0))
    check(module, net, heard_in(module), inputs, CLOSE)


def test_three_blocks_in_a_stage():
    """A residual stream that is written four times."""
    module, net = architecture("deep resnet")
    heard = {"conv1": ["relu", *(f"stage1.{i}.relu2" for i in range(3))]}
    heard |= {f"stage1.{i}.conv1": [f"stage1.{i}.relu1"] for i in range(3)}
    assert net.group("conv1").members == ("conv1", *(f"stage1.{i}.conv2" for i in range(3)))
    inputs = torch.randn((16, 1, 6, 6), generator=torch.Generator().manual_seed(0))
    check(module, net, heard, inputs, CLOSE)


@pytest.mark.parametrize("activation", [nn.Sigmoid, nn.Softplus])
def test_activations_that_do_not_keep_zero(activation):
    """sigmoid(0) = 0.5 and softplus(0) = log 2: what reads a removed channel must not hear them."""
    module = randomise(Mlp(activation))
    inputs = torch.randn((16, 5), generator=torch.Generator().manual_seed(0))
    check(module, load(module, (5,)), {"fc1": ["act1"], "fc2": ["act2"]}, inputs, CLOSE)
    module = randomise(FlatNet(activation))
    inputs = torch.randn((16, 1, 7, 7), generator=torch.Generator().manual_seed(0))
    check(module, load(module, (1, 7, 7)), {"conv": ["act"], "fc": ["act2"]}, inputs, CLOSE)


def test_depthwise():
    module = randomise(DepthwiseNet())
    inputs = torch.randn((16, 1, 6, 6), generator=torch.Generator().manual_seed(0))
    check(module, load(module, (1, 6, 6)), {"stem": ["relu2"], "point": ["relu3"]}, inputs, CLOSE)
