"""Criteria that need no data, against loops over the weights."""

import pytest
import torch
from torch import nn

from analysis.errors import CriterionError
from analysis.importance import CRITERIA, score, suits
from analysis.importance.magnitude import random
from analysis.tracing import trace
from sample_models.architectures import ResNet, ResNetConfig
from tests.networks import ConvNet, Mlp, randomise


def network(module, shape):
    return trace(module, torch.zeros(1, *shape), "tiny")


def weights_by_loop(module, layer, function):
    weight = module.get_submodule(layer).weight.detach()
    values = [function(w) for w in weight.flatten().tolist()]
    return torch.tensor(values).reshape(weight.shape)


@pytest.mark.parametrize(("criterion", "function"), [("l1", abs), ("l2", lambda w: w * w)])
@pytest.mark.parametrize(
    ("module", "shape"), [(ConvNet(), (2, 5, 5)), (Mlp(), (5,)), (nn.ConvTranspose1d(3, 4, 2), (3, 5))]
)
def test_magnitudes(criterion, function, module, shape):
    randomise(module)
    if isinstance(module, nn.ConvTranspose1d):
        module = nn.Sequential(module)
    scores = score(network(module, shape), criterion)
    layers = [
        n for n, m in module.named_modules() if isinstance(m, nn.Conv2d | nn.Linear | nn.ConvTranspose1d)
    ]
    assert list(scores.values) == layers
    for layer in layers:
        expected = weights_by_loop(module, layer, function)
        torch.testing.assert_close(scores.values[layer], expected, rtol=1e-6, atol=0)
        assert float(scores.values[layer].min()) >= 0
    assert scores.examples == 0
    assert scores.criterion == criterion
    assert scores.network == "tiny"


def test_random_is_seeded_and_uniform():
    module = nn.Sequential(nn.Linear(100, 200), nn.ReLU(), nn.Linear(200, 50))
    net = network(module, (100,))
    first, again, other = score(net, "random"), score(net, "random"), random(net, seed=1)
    for layer, shape in (("0", (200, 100)), ("2", (50, 200))):
        values = first.values[layer]
        assert values.shape == shape
        assert torch.equal(values, again.values[layer])
        assert not torch.equal(values, other[layer])
        assert 0 <= float(values.min()) < 0.001
        assert 0.999 < float(values.max()) < 1
        # each tenth of [0, 1) holds a tenth of the values, within 5 standard deviations
        counts = torch.histc(values, 10, 0, 1) / values.numel()
        assert float((counts - 0.1).abs().max()) < 5 * (0.09 / values.numel()) ** 0.5
    assert not torch.equal(first.values["0"].flatten()[:10000], first.values["2"].flatten())


def test_random_does_not_touch_the_global_generator():
    net = network(Mlp(), (5,))
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    score(net, "random")
    assert torch.equal(torch.rand(4), expected)


def test_batch_norm_scale_is_the_size_of_gamma():
    module = randomise(ConvNet())
    with torch.no_grad():
        module.bn1.weight[2] = -3.0
    scores = score(network(module, (2, 5, 5)), "bn-scale")
    assert set(scores.values) == {"conv1", "conv2"}
    for layer, norm in (("conv1", module.bn1), ("conv2", module.bn2)):
        expected = [abs(g) for g in norm.weight.tolist()]
        assert scores.values[layer].tolist() == expected
    assert float(scores.values["conv1"][2]) == 3.0


def test_batch_norm_scale_of_a_residual_network():
    module = randomise(ResNet(ResNetConfig(widths=(3, 4), blocks=(1, 1))))
    scores = score(network(module, (1, 8, 8)), "bn-scale")
    norms = {
        "conv1": "bn1",
        "stage1.0.conv1": "stage1.0.bn1",
        "stage1.0.conv2": "stage1.0.bn2",
        "stage2.0.conv1": "stage2.0.bn1",
        "stage2.0.conv2": "stage2.0.bn2",
        "stage2.0.shortcut.conv": "stage2.0.shortcut.bn",
    }
    assert set(scores.values) == set(norms)
    for layer, norm in norms.items():
        assert torch.equal(scores.values[layer], module.get_submodule(norm).weight.detach().abs())


@pytest.mark.parametrize(
    "module",
    [
        Mlp(),
        nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4, affine=False), nn.Linear(4, 2)),
        nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 2)),
    ],
    ids=["none", "no gamma", "after the activation"],
)
def test_batch_norm_scale_needs_batch_norm(module):
    net = network(randomise(module) if isinstance(module, Mlp) else module, (5,))
    assert not suits(CRITERIA["bn-scale"], net)
    with pytest.raises(CriterionError, match=r"BatchNorm scale cannot score tiny.*another criterion"):
        score(net, "bn-scale")


def test_others_suit_a_network_without_batch_norm():
    net = network(randomise(Mlp()), (5,))
    assert [name for name, c in CRITERIA.items() if not suits(c, net)] == ["bn-scale"]
