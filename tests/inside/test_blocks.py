"""Which blocks can be skipped, and that skipping gives the network one would write without them."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analysis.inside.blocks import Block, find_blocks, without
from analysis.network import Network
from analysis.tracing import trace
from tests.inside.nets import Chain, Residual
from tests.networks import ConvNet, Mlp, load, randomise, same, snapshot
from tests.zoo.networks import BY_NAME, ZOO
from tests.zoo.opened import from_module, module


def block(network: Network, name: str) -> Block:
    return next(found for found in find_blocks(network) if found.name == name)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_residual_blocks_are_what_is_added_to_the_shortcut() -> None:
    network = load(randomise(Residual()), (3,))
    found = find_blocks(network)
    assert [(b.kind, b.name, b.layers) for b in found] == [
        ("residual", "a1 + a2", ("a1", "a2")),
        ("residual", "b1 + b2", ("b1", "b2")),
    ]
    assert [b.connections for b in found] == [4 * 6 + 6 * 4, 4 * 5 + 5 * 4]
    exits = [network.module.get_submodule(node(network, b.exit).target) for b in found]
    assert all(isinstance(exit_, nn.ReLU) for exit_ in exits)


def node(network: Network, name: str):
    return next(n for n in network.module.graph.nodes if n.name == name)


@pytest.mark.parametrize(("name", "skipped"), [("a1 + a2", ("a",)), ("b1 + b2", ("b",))])
def test_a_skipped_residual_block_leaves_its_shortcut(name: str, skipped: tuple[str, ...]) -> None:
    network = load(randomise(Residual()), (3,))
    expected = Residual(skipped)
    expected.load_state_dict(randomise(Residual()).state_dict())
    found = without(network, block(network, name))
    inputs = normal(20, 3)
    assert torch.equal(found.module(inputs), expected(inputs))
    assert {layer.name for layer in found.layers} == {layer.name for layer in network.layers} - set(
        block(network, name).layers
    )
    assert found.parameters() < network.parameters()


@pytest.mark.parametrize(
    ("name", "layers", "skipped"),
    [("fc2", ("fc2",), "fc2"), ("down + up", ("down", "up"), "bottleneck")],
)
def test_a_stretch_hands_on_what_it_reads(name: str, layers: tuple[str, ...], skipped: str) -> None:
    network = load(randomise(Chain()), (3,))
    assert [(b.kind, b.name) for b in find_blocks(network)] == [("stretch", "fc2"), ("stretch", "down + up")]
    assert block(network, name).layers == layers
    expected = Chain(skipped)
    expected.load_state_dict(randomise(Chain()).state_dict())
    inputs = normal(20, 3)
    assert torch.equal(without(network, block(network, name)).module(inputs), expected(inputs))


def test_a_stretch_takes_its_batch_norm_and_activation_along() -> None:
    layers = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(),
        nn.Linear(4 * 16, 3),
    )  # fmt: skip
    network = load(randomise(layers), (1, 6, 6))
    (found,) = find_blocks(network)
    left = nn.Sequential(*layers[:2], *layers[5:])
    inputs = normal(5, 1, 6, 6)
    assert torch.equal(without(network, found).module(inputs), left(inputs))


def test_a_projection_shortcut_is_kept_in_place_of_the_longer_branch() -> None:
    network, inputs = from_module("resnet-projection"), BY_NAME["resnet-projection"].inputs(6)
    found = find_blocks(network)
    assert [b.name for b in found] == ["blocks.0", "blocks.1 (a.0 + b.0)", "blocks.2"]
    for place, one in enumerate(found):
        expected = copy.deepcopy(module("resnet-projection"))
        shortcut = expected.blocks[place].shortcut
        expected.blocks[place].forward = lambda x, shortcut=shortcut: F.relu(shortcut(x))
        assert torch.allclose(without(network, one).module(inputs), expected(inputs), atol=1e-6)


def test_attention_and_feedforward_of_a_transformer_are_blocks_of_their_own() -> None:
    network, inputs = from_module("vit-fused"), BY_NAME["vit-fused"].inputs(6)
    found = find_blocks(network)
    assert [b.name for b in found] == ["attentions.0", "mlps.0", "attentions.1", "mlps.1"]
    for one in found:
        expected = copy.deepcopy(module("vit-fused"))
        expected.get_submodule(one.name).forward = torch.zeros_like
        assert torch.allclose(without(network, one).module(inputs), expected(inputs), atol=1e-6)


@pytest.mark.parametrize(
    "name", ["mlp", "lenet-flatten", "densenet", "unet", "textcnn", "gru", "embedding-mean"]
)
def test_networks_without_a_block_say_so(name: str) -> None:
    assert find_blocks(from_module(name)) == ()


class Whole(nn.Module):
    """All its layers are in the one block."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.fc(x)


class Shifted(nn.Module):
    """Adds a constant, a part of another shape, a value to itself, and two branches as deep as each other."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.one, self.left, self.right = (nn.Linear(4, n) for n in (4, 1, 5, 5))
        self.place, self.head = nn.Parameter(torch.ones(4)), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.stem(x)) + self.place
        x = x + self.one(x)
        x = x + x
        return self.head(self.left(x) + self.right(x))


@pytest.mark.parametrize("make", [Whole, Shifted])
def test_a_sum_without_a_shortcut_is_no_block(make: type[nn.Module]) -> None:
    assert [b for b in find_blocks(load(randomise(make()), (4,))) if b.kind == "residual"] == []


def test_the_data_are_not_handed_on_in_place_of_a_first_layer() -> None:
    network = load(randomise(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))), (4,))
    assert find_blocks(network) == ()


def test_blocks_of_the_same_layer_are_told_apart() -> None:
    names = [b.name for b in find_blocks(from_module("shared-linear"))]
    assert names == ["middle (1)", "middle (2)"]


def test_a_layer_that_is_called_elsewhere_too_stays() -> None:
    network = from_module("shared-linear")
    first, second = find_blocks(network)
    original = module("shared-linear")
    inputs = BY_NAME["shared-linear"].inputs(5)
    once = original.head(torch.relu(original.middle(torch.relu(original.first(inputs)))))
    for one in (first, second):
        found = without(network, one)
        assert torch.allclose(found.module(inputs), once, atol=1e-6)
        assert {layer.name for layer in found.layers} == {"first", "middle", "head"}


@pytest.mark.parametrize("network", [n.name for n in ZOO])
def test_every_block_of_every_network_can_be_skipped(network: str) -> None:
    opened = from_module(network)
    inputs = BY_NAME[network].inputs(3)
    before = snapshot(opened.module)
    with torch.no_grad():
        answers = opened.module(inputs)
        for one in find_blocks(opened):
            found = without(opened, one)
            assert found.module(inputs).shape == answers.shape
            assert len(find_blocks(found)) < len(find_blocks(opened))
    assert same(before, snapshot(opened.module)) and torch.equal(opened.module(inputs), answers)


def test_plain_networks_keep_their_shapes_nowhere() -> None:
    assert find_blocks(load(randomise(Mlp()), (5,))) == ()
    assert find_blocks(load(randomise(ConvNet()), (2, 5, 5))) == ()


def test_the_skipped_network_shares_its_modules_with_the_loaded_one() -> None:
    network = trace(randomise(Residual()), torch.zeros(1, 3), "residual")
    found = without(network, find_blocks(network)[0])
    assert found.module.get_submodule("stem") is network.module.get_submodule("stem")
