"""Taylor and Fisher against plain autograd, one example at a time."""

import pytest
import torch
from torch import nn

from analysis.importance import score
from analysis.tasks import CLASSIFICATION, REGRESSION
from analysis.tracing import trace
from sample_models.architectures import ResNet, ResNetConfig
from tests.importance import oracles
from tests.networks import ConvNet, DepthwiseNet, Mlp, dataset, randomise

CASES = {
    "conv": (ConvNet, (2, 5, 5), 4, CLASSIFICATION),
    "mlp": (lambda: Mlp(nn.Tanh), (5,), 3, CLASSIFICATION),
    "depthwise": (DepthwiseNet, (1, 6, 6), 3, CLASSIFICATION),
    "residual": (lambda: ResNet(ResNetConfig((3, 4), (1, 1), 3)), (1, 6, 6), 3, CLASSIFICATION),
    "regression": (lambda: Mlp(outputs=1), (5,), 1, REGRESSION),
}


def case(name, count):
    build, shape, classes, task = CASES[name]
    module = randomise(build())
    net = trace(module, torch.zeros(1, *shape), "tiny")
    return module, net, dataset(shape, classes, count, task=task)


# 40 examples take more than one chunk
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("criterion", ["taylor", "fisher"])
def test_against_loops(name, criterion):
    module, net, data = case(name, 40 if name == "mlp" else 9)
    scores = score(net, criterion, data)
    assert set(scores.values) == {layer.name for layer in net.layers}
    for layer, values in scores.values.items():
        expected = getattr(oracles, criterion)(
            module, layer, data.calibration.inputs, data.calibration.targets
        )
        assert float(expected.max()) > 0
        assert values.shape == expected.shape
        torch.testing.assert_close(
            values.double(), expected, rtol=1e-4, atol=1e-5 * float(expected.max()), msg=layer
        )


def test_taylor_is_not_fisher_of_the_mean():
    """Gradients that cancel over examples: Taylor is 0, Fisher is not."""
    module = nn.Sequential(nn.Linear(1, 1, bias=False))
    module[0].weight.data.fill_(2.0)
    net = trace(module, torch.zeros(1, 1), "line")
    data = dataset((1,), 1, 2, task=REGRESSION)
    data.calibration.inputs[:] = torch.tensor([[1.0], [1.0]])
    data.calibration.targets[:] = torch.tensor([1.0, 3.0])  # residuals +1 and -1
    assert float(score(net, "taylor", data).values["0"]) == 0.0
    # loss (2x - t)²: gradients +2 and -2, so w² E[g²] = 4 * 4
    assert float(score(net, "fisher", data).values["0"]) == pytest.approx(16.0)


@pytest.mark.parametrize("criterion", ["taylor", "fisher"])
def test_only_the_sampled_examples_count(criterion):
    limit = {"taylor": 512, "fisher": 256}[criterion]
    module, net, data = case("regression", limit + 40)
    scores = score(net, criterion, data)
    used = data.calibration.sample(limit)
    assert scores.examples == limit == len(used.inputs)
    assert scores.origin == used.origin
    expected = getattr(oracles, criterion)(module, "fc2", used.inputs, used.targets)
    torch.testing.assert_close(scores.values["fc2"].double(), expected, rtol=1e-3, atol=1e-6)
