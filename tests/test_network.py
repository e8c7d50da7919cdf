"""trace(): the same answers from one graph of modules, or a refusal in words."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from analysis.errors import NetworkError
from analysis.network import output_layers, replace_modules
from analysis.tracing import trace
from sample_models.architectures import CNN, CNNConfig, LeNet, LeNetConfig, ResNet, ResNetConfig
from tests.networks import ConvNet, FlatNet, Mlp, randomise, same, snapshot

SHAPES = {
    "conv": (ConvNet, (2, 5, 5)),
    "flat": (FlatNet, (1, 7, 7)),
    "cnn with dropout": (lambda: CNN(CNNConfig()), (1, 8, 8)),
    "lenet": (lambda: LeNet(LeNetConfig()), (1, 28, 28)),
    "resnet": (lambda: ResNet(ResNetConfig()), (1, 12, 12)),
}


class Activations(nn.Module):
    """Every way to write an activation, on 6 features."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.relu = nn.ReLU(inplace=True)
        self.block = nn.Sequential(nn.Linear(6, 6), self.relu)  # the same object again
        self.norm = nn.BatchNorm1d(6)

    def forward(self, x):
        x = self.relu(self.fc(x) + 0.1) - 0.4
        x = self.block(x) - 0.3
        x = F.relu(x) - 0.2
        x = F.relu(input=x, inplace=True) - 0.2
        x = torch.relu(x) - 0.2
        x = x.relu() - 0.1
        x = F.leaky_relu(x, 0.3)
        x = F.leaky_relu(x, negative_slope=0.2, inplace=True)
        x = F.leaky_relu(x)
        x = F.elu(x, alpha=0.7)
        x = F.gelu(x) + F.gelu(x, approximate="tanh")
        x = F.silu(self.norm(x)) + F.relu6(20 * x)
        return torch.sigmoid(x) + x.sigmoid() + F.sigmoid(x) + torch.tanh(x) + x.tanh() + F.tanh(x)


def examples(*shape):
    return torch.randn((9, *shape), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", SHAPES)
def test_the_same_answers(name):
    build, shape = SHAPES[name]
    module = randomise(build())
    net = trace(module, torch.zeros(3, *shape), name)
    inputs = examples(*shape)
    with torch.no_grad():
        assert torch.equal(net.module(inputs), module(inputs))
    assert net.name == name
    assert net.example_input.shape == (1, *shape)
    assert not any(child.training for child in net.module.modules())


@pytest.mark.parametrize("training", [False, True])
def test_the_module_is_copied(training):
    module = randomise(Activations()).train(training)
    module.fc.weight.requires_grad_(False)
    example = examples(6)
    kept = example.clone()
    before = snapshot(module)
    net = trace(module, example, "net")
    assert same(before, snapshot(module))
    assert module.relu.inplace
    assert torch.equal(example, kept)
    own = {p.data_ptr() for p in net.module.parameters()} | {b.data_ptr() for b in net.module.buffers()}
    assert not own & {p.data_ptr() for p in module.parameters()}
    with torch.no_grad():
        expected = net.module(example).clone()
        module.fc.weight.zero_()
        example.zero_()
        assert torch.equal(net.module(kept), expected)
    assert torch.equal(net.example_input, kept[:1])


def test_one_module_per_activation_with_the_same_answers():
    module = randomise(Activations())
    net = trace(module, torch.zeros(1, 6), "net")
    inputs = examples(6)
    with torch.no_grad():
        torch.testing.assert_close(net.module(inputs), module(inputs), rtol=0, atol=1e-6)
    called = [n.target for n in net.module.graph.nodes if n.op == "call_module"]
    assert len(called) == len(set(called))
    used = [net.module.get_submodule(target) for target in called]
    assert len({id(m) for m in used}) == len(used)
    counts = {kind: sum(type(m) is kind for m in used) for kind in {type(m) for m in used}}
    assert counts == {
        nn.Linear: 2,
        nn.BatchNorm1d: 1,
        nn.ReLU: 6,
        nn.LeakyReLU: 3,
        nn.ELU: 1,
        nn.GELU: 2,
        nn.SiLU: 1,
        nn.ReLU6: 1,
        nn.Sigmoid: 3,
        nn.Tanh: 3,
    }
    assert not any(getattr(m, "inplace", False) for m in used)
    assert [m.negative_slope for m in used if isinstance(m, nn.LeakyReLU)] == [0.3, 0.2, 0.01]
    assert [m.approximate for m in used if isinstance(m, nn.GELU)] == ["none", "tanh"]
    left = {n.target for n in net.module.graph.nodes if n.op in ("call_function", "call_method")}
    assert not left & {F.relu, torch.relu, "relu", F.gelu, F.elu, torch.tanh, "tanh", "sigmoid"}


@pytest.mark.parametrize("call", [lambda x: x.relu_(), torch.relu_, F.relu_], ids=["method", "torch", "F"])
def test_activations_written_in_place_become_modules(call):
    class InPlace(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = nn.Linear(6, 5), nn.Linear(5, 2)

        def forward(self, x):
            return self.head(call(self.first(x)))

    module = randomise(InPlace())
    net = trace(module, torch.zeros(1, 6), "net")
    with torch.no_grad():
        assert torch.equal(net.module(examples(6)), module(examples(6)))
    assert sum(isinstance(m, nn.ReLU) for m in net.module.modules()) == 1


def test_an_activation_in_place_before_a_shortcut_keeps_its_answers():
    """relu overwrites x, so the shortcut hands on relu(x): the traced network must say the same."""

    class Shortcut(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.inner, self.head = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 2)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            x = self.stem(x)
            return self.head(self.inner(self.relu(x)) + x)

    module = randomise(Shortcut())
    with torch.no_grad():
        expected = module(examples(6))
        try:
            net = trace(module, torch.zeros(1, 6), "net")
        except NetworkError:
            return  # a refusal is honest too
        torch.testing.assert_close(net.module(examples(6)), expected, rtol=0, atol=1e-6)


def test_layers_by_hand():
    net = trace(randomise(ConvNet(outputs=4)), torch.zeros(1, 2, 5, 5), "net")
    assert [(x.name, x.type, x.shape, x.output_shape, x.parameters, x.connections) for x in net.layers] == [
        ("conv1", "Conv2d", (6, 2, 3, 3), (6, 5, 5), 114, 108),
        ("conv2", "Conv2d", (8, 6, 3, 3), (8, 5, 5), 432, 432),
        ("head", "Linear", (4, 8), (4,), 36, 32),
    ]
    assert net.parameters() == 114 + 12 + 432 + 16 + 36
    assert net.layer("conv2") is net.layers[1]
    with pytest.raises(KeyError, match="conv3"):
        net.layer("conv3")
    with pytest.raises(KeyError):
        net.group("conv1")
    assert not net.weight("conv1").requires_grad


def test_a_branch_on_values():
    class Branch(Mlp):
        def forward(self, x):
            return super().forward(x) if x.sum() > 0 else x

    with pytest.raises(NetworkError, match=r"picky cannot be drawn as a graph: .*must not branch"):
        trace(Branch(), torch.zeros(1, 5), "picky")


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize(
    ("key", "size"), [("conv2.weight", 432), ("head.bias", 4), ("bn1.running_var", 6), ("bn2.weight", 8)]
)
def test_weights_that_are_not_finite(key, size, value):
    module = randomise(ConvNet())
    module.state_dict()[key].view(-1)[[0, 2]] = value
    with pytest.raises(NetworkError) as caught:
        trace(module, torch.zeros(1, 2, 5, 5), "diverged")
    assert f"diverged: 2 of the {size} values of {key} are NaN or infinite" in str(caught.value)


@pytest.mark.parametrize("shape", [(3, 5, 5), (2,), (2, 5), ()])
def test_a_wrong_input_shape(shape):
    with pytest.raises(NetworkError) as caught:
        trace(randomise(ConvNet()), torch.zeros(1, *shape), "net")
    assert f"net does not run on an input of shape {(1, *shape)}" in str(caught.value)


def test_two_inputs():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(5, 2)

        def forward(self, x, y):
            return self.fc(x + y)

    with pytest.raises(NetworkError, match="two does not run"):
        trace(Two(), torch.zeros(1, 5), "two")


@pytest.mark.parametrize("module", [nn.Sequential(nn.ReLU()), nn.Sequential(nn.BatchNorm1d(5))])
def test_nothing_to_prune(module):
    with pytest.raises(NetworkError, match="plain has no convolution, linear or embedding layer"):
        trace(module, torch.zeros(1, 5), "plain")


def test_half_and_double_precision_become_single():
    for dtype in (torch.float64, torch.float16):
        net = trace(randomise(Mlp()).to(dtype), torch.zeros(1, 5), "net")
        assert {p.dtype for p in net.module.parameters()} == {torch.float32}


def test_output_layers():
    assert output_layers(trace(ConvNet(), torch.zeros(1, 2, 5, 5), "n").module) == {"head"}

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.a, self.b, self.c = (nn.Linear(5, 5) for _ in range(4))

        def forward(self, x):
            x = torch.relu(self.stem(x))
            return torch.relu(self.a(x)) + self.b(torch.relu(self.c(x)))

    assert output_layers(trace(Sum(), torch.zeros(1, 5), "n").module) == {"a", "b"}


def test_replaced_modules_are_new_and_the_rest_is_shared():
    class Scaled(Mlp):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.full((3,), 2.0))
            self.register_buffer("shift", torch.arange(3.0))

        def forward(self, x):
            return super().forward(x) * self.scale + self.shift

    net = trace(randomise(Scaled()), torch.zeros(1, 5), "net")
    before = snapshot(net.module)
    changed = nn.Linear(7, 6)
    other = replace_modules(net, {"fc2": changed})
    assert other.module.fc2 is changed
    for name in ("fc1", "act1", "act2", "head"):
        assert other.module.get_submodule(name) is net.module.get_submodule(name)
    assert other.module.scale is net.module.scale
    assert other.module.shift is net.module.shift
    assert same(before, snapshot(net.module))
    x = examples(5)
    with torch.no_grad():
        hidden = torch.relu(changed(torch.relu(net.module.fc1(x))))
        expected = net.module.head(hidden) * net.module.scale() + net.module.shift()
        assert torch.equal(other.module(x), expected)
        assert not torch.equal(net.module(x), expected)


def test_a_reused_activation_in_place_before_shortcuts_keeps_its_answers():
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.inner, self.head = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 2)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            x = self.stem(x)
            y = self.inner(self.relu(x)) + x
            return self.head(self.inner(self.relu(y)) + y)

    module = randomise(Twice())
    with torch.no_grad():
        expected = module(examples(6))
        net = trace(module, torch.zeros(1, 6), "net")
        torch.testing.assert_close(net.module(examples(6)), expected, rtol=0, atol=1e-6)
    assert sum(isinstance(m, nn.ReLU) for m in net.module.modules()) == 2
