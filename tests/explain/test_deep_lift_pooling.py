"""DeepLift through max-pooling adds up exactly, too.

Captum hooks the output of one module and the input of the next; where both are the same tensor (ReLU and
max-pooling next to each other) the first reads the plain gradient before the second has replaced it. A copy
of the tensor between the two modules keeps them apart.
"""

import pytest
import torch
from torch import nn

import sample_models
from analysis.network import Network
from analysis.tracing import trace
from tests.explain.nets import answer, convolutional, examples, values_of

POOLED = ("digits-cnn", "fashion-lenet")


def _assert_adds_up(network: Network, inputs: torch.Tensor, targets: torch.Tensor, baseline: float) -> None:
    found = values_of(network, "deep-lift", inputs, targets, baseline=baseline).flatten(1).sum(dim=1)
    empty = torch.full_like(inputs, baseline)
    expected = answer(network, inputs, targets) - answer(network, empty, targets)
    torch.testing.assert_close(found, expected, atol=1e-4 * float(expected.abs().max()), rtol=1e-3)
    assert expected.abs().max() > 0.05


@pytest.mark.parametrize("name", POOLED)
def test_deep_lift_adds_up_on_samples_with_max_pooling(name):
    sample = sample_models.load(name)
    assert any(isinstance(module, nn.MaxPool2d) for module in sample.network.module.modules())
    some = sample.dataset.evaluation.take(torch.arange(20))
    _assert_adds_up(sample.network, some.inputs, some.targets, sample.dataset.baseline)


@pytest.mark.parametrize("order", ["pool after ReLU", "ReLU after pool"])
@pytest.mark.parametrize("baseline", [0.0, 0.4])
def test_deep_lift_adds_up_whichever_comes_first(order, baseline):
    torch.manual_seed(0)
    pair = [nn.ReLU(), nn.MaxPool2d(2)]
    pair = pair if order == "pool after ReLU" else pair[::-1]
    module = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), *pair, nn.Flatten(), nn.Linear(144, 3))
    network = trace(module, torch.zeros(1, 2, 12, 12), order)
    _assert_adds_up(network, *examples(network, 30), baseline)


def test_deep_lift_adds_up_with_batch_norm_before_the_pair():
    network = convolutional()
    _assert_adds_up(network, *examples(network, 30), 0.4)
