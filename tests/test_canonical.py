"""Whatever a forward pass looks like, the network in its one form answers as the module it came from.

The oracle is the module itself, on batches of other sizes than those that the rewriting ran.
"""

from __future__ import annotations

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analysis.errors import NetworkError
from analysis.modules import Values
from analysis.tracing import trace
from tests.written import IMAGE, SERIES, VECTOR, Written, answers_alike, brought, conv, holds


def add_read_later(self: Written, x: Tensor) -> Tensor:
    y = self.a(x)
    z = y
    y.add_(self.b(x))
    return self.c(z) * y


def chain_of_writes(self: Written, x: Tensor) -> Tensor:
    y = self.a(x)
    before = y * 1
    y.mul_(2).add_(1)
    y.clamp_(-1, 1)
    return self.c(y) + before


def iadd(self: Written, x: Tensor) -> Tensor:
    y = self.a(x)
    z = y
    y += self.b(x)
    return self.c(z) - z


def all_operators(self: Written, x: Tensor) -> Tensor:
    y = self.a(x)
    z = y
    y += self.b(x)
    y *= 2
    y -= 0.5
    y /= 3
    y **= 2
    return self.c(z) * z


def writes_into_input(self: Written, x: Tensor) -> Tensor:
    x.mul_(2)
    return self.a(x) + self.c(self.b(x))


def relu_into_input(self: Written, x: Tensor) -> Tensor:
    return self.a(F.relu(x, inplace=True)) + self.c(self.b(x))


def in_place_relu_read_later(self: Written, x: Tensor) -> Tensor:
    y = self.a(x)
    return self.c(torch.relu_(y)) * y


WRITING = [add_read_later, chain_of_writes, iadd, all_operators, writes_into_input, relu_into_input]


@pytest.mark.parametrize("way", [*WRITING, in_place_relu_read_later], ids=lambda way: way.__name__)
def test_writing_becomes_new_values(way):
    network = brought(Written(way, a=conv(), b=conv(), c=conv(4, 4)), IMAGE)
    for node in network.module.graph.nodes:
        assert not (node.op == "call_method" and node.target.endswith("_"))
        assert node.target not in (
            operator.iadd,
            operator.imul,
            operator.isub,
            operator.itruediv,
            operator.ipow,
        )


def view_add(self: Written, x: Tensor) -> Tensor:
    x = self.a(x)
    y = x[:, :2]
    y.add_(1)
    return self.c(x)


def view_relu(self: Written, x: Tensor) -> Tensor:
    x = self.a(x)
    F.relu(x[:, :2], inplace=True)
    return self.c(x)


def view_module(self: Written, x: Tensor) -> Tensor:
    x = self.a(x)
    self.act(x[:, 2:])
    return self.c(x)


def view_mul(self: Written, x: Tensor) -> Tensor:
    x = F.relu(self.a(x))
    first, _ = x.chunk(2, dim=1)
    first *= 3
    return self.c(x)


def view_reshaped(self: Written, x: Tensor) -> Tensor:
    x = self.a(x)
    x.view(x.shape[0], -1).sub_(1)
    return self.c(x)


def view_set(self: Written, x: Tensor) -> Tensor:
    x = self.a(x)
    x[:, 1] = 0
    return self.c(x)


def view_filled(self: Written, x: Tensor) -> Tensor:
    x = self.a(x)
    x[:, 1].zero_()
    return self.c(x)


VIEWS = [view_add, view_relu, view_module, view_mul, view_reshaped, view_set, view_filled]


@pytest.mark.parametrize("way", VIEWS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("zeros", [False, True], ids=["random", "zeros"])
def test_writing_through_a_view_is_right_or_refused(way, zeros):
    parts = {"a": nn.Conv2d(3, 4, 3, padding=1, bias=False), "c": conv(4, 4), "act": nn.ReLU(inplace=True)}
    try:
        brought(Written(way, **parts), IMAGE, torch.zeros(1, *IMAGE) if zeros else None)
    except NetworkError as error:
        assert "net" in str(error)


def weights(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.randn(*shape) * 0.3)


FUNCTIONAL = {
    "linear": (
        lambda s, x: F.linear(F.linear(x, s.w, s.b), s.v),
        VECTOR,
        {"w": (4, 6), "b": (4,), "v": (3, 4)},
    ),
    "conv1d": (lambda s, x: F.conv1d(x, s.w, s.b, padding=1).mean(2), SERIES, {"w": (4, 5, 3), "b": (4,)}),
    "conv2d": (
        lambda s, x: F.conv2d(F.conv2d(x, weight=s.w, stride=2, padding=1), s.v, groups=2),
        IMAGE,
        {"w": (4, 3, 3, 3), "v": (6, 2, 1, 1)},
    ),
    "conv3d": (
        lambda s, x: F.conv3d(x.unsqueeze(1), s.w, padding=1).mean((2, 3, 4)),
        IMAGE,
        {"w": (4, 1, 3, 3, 3)},
    ),
    "transposed": (
        lambda s, x: F.conv_transpose2d(x, s.w, s.b, 2, 1, 1, 1, 2),
        IMAGE,
        {"w": (3, 4, 3, 3), "b": (4,)},
    ),
    "grouped-transposed": (
        lambda s, x: F.conv_transpose2d(F.conv2d(x, s.v), s.w, groups=2),
        IMAGE,
        {"v": (4, 3, 1, 1), "w": (4, 3, 3, 3)},
    ),
    "norms": (
        lambda s, x: F.group_norm(F.layer_norm(F.linear(x, s.w), (4,), s.g, s.b), 5, s.h, s.k).mean(1),
        SERIES,
        {"w": (4, 6), "g": (4,), "b": (4,), "h": (5,), "k": (5,)},
    ),
    "prelu": (lambda s, x: F.prelu(F.linear(x, s.w), s.p), VECTOR, {"w": (4, 6), "p": (4,)}),
}


@pytest.mark.parametrize("name", [n for n in FUNCTIONAL if n != "transposed"])
def test_functional_layers_become_layers(name):
    way, shape, parts = FUNCTIONAL[name]
    network = brought(Written(way, **{key: weights(*size) for key, size in parts.items()}), shape)
    assert all(node.op != "get_attr" for node in network.module.graph.nodes)
    assert not any(
        "conv" in str(n.target) or "linear" in str(n.target)
        for n in network.module.graph.nodes
        if n.op == "call_function"
    )
    assert network.parameters() == sum(torch.Size(size).numel() for size in parts.values())


def test_functional_batch_norm_uses_its_statistics():
    def way(self, x):
        return F.batch_norm(self.a(x), self.mean, self.var, self.g, self.b)

    module = Written(way, a=conv(), mean=torch.randn(4), var=torch.rand(4) + 0.5, g=weights(4), b=weights(4))
    assert holds(brought(module, IMAGE), Values) == set()


def test_functional_embedding():
    module = Written(lambda s, x: s.a(F.embedding(x, s.w)).mean(1), w=weights(7, 6), a=nn.Linear(6, 3)).eval()
    network = trace(module, torch.randint(0, 7, (1, 5)), "net")
    tokens = torch.randint(0, 7, (5, 5))
    torch.testing.assert_close(network.module(tokens), module(tokens))
    assert {type(network.module.get_submodule(layer.name)) for layer in network.layers} == {
        nn.Embedding,
        nn.Linear,
    }


ACTIVATIONS = {
    "relu": lambda x: F.relu(x),
    "method": lambda x: x.relu().sigmoid().tanh(),
    "torch": lambda x: torch.tanh(torch.sigmoid(torch.relu(x))),
    "leaky": lambda x: F.leaky_relu(F.leaky_relu(x, 0.3), negative_slope=0.2),
    "elu": lambda x: F.elu(F.celu(x, 0.7), alpha=0.5),
    "gelu": lambda x: F.gelu(x, approximate="tanh") + F.gelu(x),
    "hardtanh": lambda x: F.hardtanh(x, -0.5, max_val=0.25),
    "softplus": lambda x: F.softplus(x, 2, threshold=5),
    "others": lambda x: F.silu(F.mish(F.selu(F.hardswish(F.relu6(x) + F.hardsigmoid(x))))),
    "keyword": lambda x: F.relu(input=x),
    "in-place": lambda x: F.elu(x, 0.5, inplace=True),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_become_modules(name):
    network = brought(Written(lambda s, x: s.c(ACTIVATIONS[name](s.a(x))), a=conv(), c=conv(4, 4)), IMAGE)
    plain = {n.target for n in network.module.graph.nodes if n.op in ("call_function", "call_method")}
    assert plain <= {operator.add, torch.add}


def test_a_reused_activation_gets_one_module_per_call():
    module = Written(
        lambda s, x: s.act(s.c(s.act(s.a(x)))), a=conv(), c=conv(4, 4), act=nn.ReLU(inplace=True)
    )
    network = brought(module, IMAGE)
    called = [n.target for n in network.module.graph.nodes if n.op == "call_module"]
    assert len(called) == len(set(called)) == 4
    assert module.act.inplace


@pytest.mark.parametrize("drop", [F.dropout, F.alpha_dropout])
def test_dropout_calls_are_off(drop):
    module = Written(lambda s, x: s.c(drop(s.a(x), 0.5, s.training)), a=conv(), c=conv(4, 4))
    network = brought(module, IMAGE)
    assert all(n.target is not drop for n in network.module.graph.nodes)


def test_a_dropout_that_is_always_on_is_left_out():
    module = Written(lambda s, x: s.c(F.dropout(s.a(x))), a=conv(), c=conv(4, 4))
    network = trace(module, torch.randn(1, *IMAGE), "net")
    answers_alike(network, Written(lambda s, x: s.c(s.a(x)), a=module.a, c=module.c), IMAGE)


def test_layers_called_by_keyword():
    brought(Written(lambda s, x: s.c(input=s.a(input=x)), a=conv(), c=conv(4, 4)), IMAGE)


def test_parameters_and_buffers_as_values():
    def way(self, x):
        y = self.a(x) * self.scale + self.shift
        return self.c(y * self.scale - self.shift)

    module = Written(way, a=conv(), c=conv(4, 4), scale=weights(4, 1, 1), shift=torch.randn(4, 1, 1))
    network = brought(module, IMAGE)
    assert holds(network, Values) == {Values}
    assert all(node.op != "get_attr" for node in network.module.graph.nodes)
    assert network.parameters() == 4 * 27 + 4 + 4 * 36 + 4 + 4


def test_class_token():
    def way(self, x):
        token = self.token.expand(x.shape[0], -1, -1)
        return self.a(torch.cat([token, x], dim=1) + self.places)[:, 0]

    brought(Written(way, a=nn.Linear(6, 4), token=weights(1, 1, 6), places=weights(1, 6, 6)), SERIES)


class Tied(nn.Module):
    """An embedding and a linear layer with one weight, or two linear layers."""

    def __init__(self, bias: bool, embedding: bool) -> None:
        super().__init__()
        self.first = nn.Embedding(7, 6) if embedding else nn.Linear(6, 7)
        self.middle = nn.Linear(6 if embedding else 7, 6)
        self.last = nn.Linear(6, 7, bias=bias)
        self.last.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(torch.tanh(self.middle(self.first(x))))


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("embedding", [False, True])
def test_tied_layers_hold_one_weight(bias, embedding):
    module = Tied(bias, embedding).eval()
    count = sum(p.numel() for p in module.parameters())  # torch counts a shared weight once
    if embedding:
        network = trace(module, torch.randint(0, 7, (1, 5)), "net")
        tokens = torch.randint(0, 7, (5, 5))
        torch.testing.assert_close(network.module(tokens), module(tokens))
    else:
        network = brought(module, VECTOR)
    assert network.parameters() == count
    assert [layer.name for layer in network.layers] == ["first", "middle"]


def test_unused_parameters_do_not_count():
    module = Written(lambda s, x: s.a(x), a=conv(), unused=nn.Linear(50, 50), alone=weights(9))
    assert brought(module, IMAGE).parameters() == 4 * 27 + 4
