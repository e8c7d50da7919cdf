"""Costs against hand counts."""

import copy
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analysis.measure.cost import cost
from analysis.tracing import trace
from sample_models.architectures import CNN, CNNConfig, LeNet, LeNetConfig


def _cost(module: nn.Module, *shape: int):
    return cost(trace(module, torch.zeros(1, *shape), "counted"))


@pytest.mark.parametrize(("m", "n", "k"), [(3, 5, 2), (7, 1, 4), (64, 256, 10)])
def test_an_mlp_is_counted_by_hand(m, n, k):
    found = _cost(nn.Sequential(nn.Linear(m, n), nn.ReLU(), nn.Linear(n, k)), m)
    assert found.connections == m * n + n * k
    assert found.parameters == m * n + n * k + n + k
    assert found.macs == m * n + n * k
    assert found.layer_macs == {"0": m * n, "2": n * k}


def test_costs_are_those_of_one_example_whatever_the_batch_given():
    module = nn.Sequential(nn.Linear(3, 5))
    assert cost(trace(module, torch.zeros(8, 3), "batch")).macs == 15


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"), [(3, 1, 1, 1), (5, 2, 0, 1), (1, 1, 0, 1), (3, 1, 2, 2)]
)
def test_a_convolution_follows_the_formula(kernel, stride, padding, dilation, groups):
    height, width, fan_in, fan_out = 11, 8, 4, 8
    conv = nn.Conv2d(fan_in, fan_out, kernel, stride, padding, dilation, groups)

    def side(size: int) -> int:
        return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1

    weights = fan_out * fan_in // groups * kernel**2
    found = _cost(nn.Sequential(conv), fan_in, height, width)
    assert found.macs == weights * side(height) * side(width)
    assert found.connections == weights
    assert found.parameters == weights + fan_out


@pytest.mark.parametrize(
    ("conv", "shape", "expected"),
    [
        (nn.Conv1d(3, 5, 4), (3, 10), 5 * 3 * 4 * 7),
        (nn.Conv3d(2, 3, 2), (2, 4, 5, 6), 3 * 2 * 8 * 3 * 4 * 5),
        # each input value meets every kernel value of each output channel of its group
        (nn.ConvTranspose1d(4, 6, 3), (4, 5), 4 * 5 * 6 * 3),
        (nn.ConvTranspose2d(4, 6, 3, stride=2), (4, 5, 5), 4 * 25 * 6 * 9),
        (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, groups=2), (4, 5, 5), 4 * 25 * 3 * 9),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_other_convolutions_are_counted_by_hand(conv, shape, expected):
    found = _cost(nn.Sequential(conv), *shape)
    assert found.macs == expected
    assert found.layer_macs == {"0": expected}


def test_lenet_is_counted_by_hand():
    found = _cost(LeNet(LeNetConfig()), 1, 28, 28)
    layers = {
        "conv1": 16 * 25 * 28 * 28,
        "conv2": 32 * 16 * 25 * 10 * 10,
        "fc1": 800 * 120,
        "fc2": 120 * 84,
        "head": 840,
    }
    assert found.layer_macs == layers
    assert found.macs == sum(layers.values())
    weights = 16 * 25 + 32 * 16 * 25 + 800 * 120 + 120 * 84 + 840
    assert found.connections == weights
    assert found.parameters == weights + 16 + 32 + 120 + 84 + 10


def test_batch_norm_counts_as_parameters_but_not_as_macs_or_connections():
    found = _cost(CNN(CNNConfig()), 1, 8, 8)
    convolutions = 32 * 9, 64 * 32 * 9, 64 * 64 * 9
    assert found.connections == sum(convolutions) + 640
    assert found.macs == convolutions[0] * 64 + convolutions[1] * 64 + convolutions[2] * 16 + 640
    assert found.parameters == sum(convolutions) + 640 + 10 + 2 * (32 + 64 + 64)


class _Block(nn.Module):
    """ResNet for CIFAR with parameter-free shortcuts (He et al. 2016, option A)."""

    def __init__(self, fan_in: int, fan_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(fan_in, fan_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(fan_out)
        self.conv2 = nn.Conv2d(fan_out, fan_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(fan_out)
        self.new = fan_out - fan_in

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.new:
            x = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.new // 2, self.new // 2))
        return F.relu(x + y)


def test_resnet_20_costs_the_known_figures():
    widths = [16, *[16] * 3, *[32] * 3, *[64] * 3]
    blocks = [_Block(a, b, 1 + (a != b)) for a, b in pairwise(widths)]
    stem = [nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]
    found = _cost(nn.Sequential(*stem, *blocks, *head), 3, 32, 32)
    assert found.macs == 40_551_040
    assert found.parameters == 269_722
    assert sum(found.layer_macs.values()) == found.macs


def test_a_layer_called_twice_costs_twice():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared, self.head = nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.shared(self.shared(x)))

    found = _cost(Twice(), 8)
    assert found.layer_macs == {"shared": 2 * 64, "head": 24}
    assert found.macs == 2 * 64 + 24
    assert found.connections == 64 + 24


class _Attention(nn.Module):
    """Five tokens of 8 features and two heads, averaged."""

    def __init__(self, need_weights: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)
        self.need_weights = need_weights

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.attention(x, x, x, need_weights=self.need_weights)[0].mean(1))


class _FusedAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.project, self.head = nn.Linear(8, 24), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.project(x).unflatten(2, (6, 4)).transpose(1, 2).chunk(3, dim=1)  # (N, 2, 5, 4)
        return self.head(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2).mean(1))


PROJECTION, PRODUCTS, HEAD = 5 * 8 * 24, 2 * 5 * 5 * 8, 8 * 3


@pytest.mark.parametrize("need_weights", [True, False])
def test_multihead_attention_is_counted_with_its_two_products(need_weights):
    found = _cost(_Attention(need_weights), 5, 8)
    assert found.macs == PROJECTION + PRODUCTS + 5 * 8 * 8 + HEAD
    own = {"attention.in_proj": PROJECTION, "attention.out_proj": 5 * 8 * 8}
    assert found.layer_macs == own | {"head": HEAD}


def test_fused_attention_is_counted():
    found = _cost(_FusedAttention(), 5, 8)
    assert found.layer_macs == {"project": PROJECTION, "head": HEAD}
    assert found.macs == PROJECTION + PRODUCTS + HEAD


def test_zeroed_weights_are_no_longer_counted_as_connections():
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2))
    nn.init.ones_(module[0].weight)
    nn.init.ones_(module[3].weight)
    dense = _cost(module, 1, 4, 4)
    sparse = copy.deepcopy(module)
    with torch.no_grad():
        sparse[0].weight[1] = 0
        sparse[3].weight[:, :5] = 0
        sparse[3].weight[0, 15] = -0.0
        sparse[3].bias.zero_()  # a bias is no connection
    found = _cost(sparse, 1, 4, 4)
    assert dense.nonzero_connections == dense.connections == 36 + 32
    assert found.layer_nonzero == {"0": 27, "3": 32 - 10 - 1}
    assert found.nonzero_connections == 27 + 21
    assert (found.connections, found.macs, found.parameters) == (
        dense.connections, dense.macs, dense.parameters
    )  # fmt: skip


def test_an_embedding_is_a_table_without_macs():
    network = trace(
        nn.Sequential(nn.Embedding(10, 4), nn.Flatten(), nn.Linear(12, 2)), torch.tensor([[1, 2, 9]]), "words"
    )
    found = cost(network)
    assert found.layer_macs == {"0": 0, "2": 24}
    assert found.connections == 40 + 24


def test_counting_changes_nothing():
    torch.manual_seed(0)
    network = trace(CNN(CNNConfig()), torch.randn(1, 1, 8, 8), "cnn")
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    with torch.no_grad():
        counted = cost(network)
        assert not torch.is_grad_enabled()
    assert counted.macs > 0
    assert all(torch.equal(value, before[name]) for name, value in network.module.state_dict().items())
    assert all(parameter.grad is None for parameter in network.module.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.module.modules())
