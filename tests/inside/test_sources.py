"""Who is heard where, against autograd: layers' outputs are made leaves, and gradients tell what depends on what."""

from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from analysis.importance.signals import output_channels
from analysis.inside.hearing import INPUT, Sources
from analysis.inside.sets import NOBODY, Sets
from analysis.inside.sources import find_sources, own_end
from analysis.modules import Recurrent
from analysis.network import LAYER_TYPES, Network
from analysis.tracing import trace
from tests.networks import load, randomise
from tests.zoo.networks import ZOO
from tests.zoo.opened import from_module

SEEDS = 24  # activations hide what is negative, pooling what is smaller: each seed shows another part


class Leaves(fx.Interpreter):
    """Runs the graph with a random tensor, that depends on nothing, in place of each layer's output."""

    def __init__(self, network: Network, seed: int) -> None:
        super().__init__(network.module)
        self.generator = torch.Generator().manual_seed(seed)
        self.leaves: list[tuple[str, Tensor]] = []
        self.read: list[tuple[str, Tensor]] = []

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n.op == "placeholder" and value.is_floating_point():
            value = torch.randn(value.shape, generator=self.generator).requires_grad_(True)
            self.leaves.append(("", value))
        return value

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        module = self.fetch_attr(str(target))
        if not isinstance(module, LAYER_TYPES):
            return super().call_module(target, args, kwargs)
        self.read.append((str(target), args[0]))
        with torch.no_grad():
            shape = module(*args).shape
        leaf = torch.randn(shape, generator=self.generator).requires_grad_(True)
        self.leaves.append((str(target), leaf))
        return leaf


def channel_dim(module: nn.Module, value: Tensor) -> int:
    if isinstance(module, nn.Linear | nn.Embedding | Recurrent):
        return value.dim() - 1
    return value.dim() + 1 - module.weight.dim()


def by_gradient(network: Network, first: dict[str, int], seed: int) -> dict[str, list[set[int]]]:
    """For each input channel of each layer, and for the answer (""), the units that gradients reach."""
    heard: dict[str, list[set[int]]] = {"": [set()]}
    run = Leaves(network, seed)
    with torch.enable_grad():
        result = run.run(network.example_input.clone())
    for name, value in run.read:
        module = network.module.get_submodule(name)
        if isinstance(module, nn.Embedding) or not value.requires_grad:
            continue
        slices = value.movedim(channel_dim(module, value), 0)
        places = heard.setdefault(name, [set() for _ in slices])
        for place, one in zip(places, slices, strict=True):
            place |= reached(network, run, one, first)
    if result.requires_grad:
        heard[""][0] |= reached(network, run, result, first)
    return heard


def reached(network: Network, run: Leaves, value: Tensor, first: dict[str, int]) -> set[int]:
    weights = torch.randn(value.shape, generator=run.generator)
    gradients = torch.autograd.grad(
        (value * weights).sum(), [leaf for _, leaf in run.leaves], retain_graph=True, allow_unused=True
    )
    units: set[int] = set()
    for (name, leaf), gradient in zip(run.leaves, gradients, strict=True):
        if gradient is None or not gradient.any():
            continue
        if not name:
            units.add(INPUT)
            continue
        dim = channel_dim(network.module.get_submodule(name), leaf)
        felt = gradient.movedim(dim, 0).flatten(1).any(dim=1)
        units |= {first[name] + int(unit) for unit in felt.nonzero()[:, 0]}
    return units


def said_of(network: Network, found: Sources, layer: str) -> list[set[int]]:
    """What was found for the same places."""
    if not layer:
        return [set(found.sets.members(found.answer))]
    module = network.module.get_submodule(layer)
    numbers = found.heard[layer][: module.input_size if isinstance(module, Recurrent) else None]
    return [set(found.sets.members(int(number))) for number in numbers.tolist()]


@pytest.mark.parametrize("name", [n.name for n in ZOO])
def test_nothing_that_a_gradient_reaches_is_left_out(name: str) -> None:
    """And nothing more is said than what one reaches, unless channels are mixed: a layer's note says so then."""
    network = from_module(name)
    found = find_sources(network)
    unseen = set() if network.example_input.is_floating_point() else {INPUT}  # tokens have no gradient
    exact = not found.mixed and not found.tied
    missing: dict[str, list[set[int]]] = {}
    for seed in range(SEEDS if exact else 3):
        for layer, places in by_gradient(network, found.first, seed).items():
            left = missing.setdefault(layer, [units - unseen for units in said_of(network, found, layer)])
            for units, said, rest in zip(places, said_of(network, found, layer), left, strict=True):
                assert units <= said, layer
                rest -= units
        if not any(any(left) for left in missing.values()):
            break
    if exact:
        assert {layer: left for layer, left in missing.items() if any(left)} == {}


def test_a_unit_is_numbered_behind_those_of_the_layers_before() -> None:
    network = from_module("mlp")
    found = find_sources(network)
    assert list(found.first.values()) == [1, 13, 23]
    assert found.sets.members(found.answer) == frozenset(range(23, 27))
    assert [found.sets.members(int(n)) for n in found.heard["2"].tolist()] == [{1 + i} for i in range(12)]
    assert {found.sets.members(int(n)) for n in found.heard["0"].tolist()} == {frozenset({INPUT})}


def test_a_table_of_positions_counts_as_an_input() -> None:
    found = find_sources(from_module("gpt"))
    assert {found.sets.members(int(n)) for n in found.heard["places"].unique().tolist()} == {
        frozenset({INPUT})
    }


class Padded(nn.Module):
    """Half of what the second layer reads are zeros that nobody wrote."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 4), nn.Linear(8, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.first(x))
        return self.second(torch.cat([torch.zeros_like(x), x], dim=1))


def test_what_nobody_wrote_is_heard_from_nobody() -> None:
    found = find_sources(trace(randomise(Padded()), torch.ones(1, 3), "padded"))
    assert found.heard["second"][:4].tolist() == [NOBODY] * 4
    assert found.speaks["second"][:4].tolist() == [False] * 4
    assert NOBODY not in found.heard["second"][4:].tolist()


def test_a_layers_own_signal_ends_before_a_sum() -> None:
    network = from_module("resnet-projection")
    ends = {layer.name: own_end(network, layer.name) for layer in network.layers}
    assert type(network.module.get_submodule(str(ends["blocks.0.a.0"].target))) is nn.ReLU
    assert type(network.module.get_submodule(str(ends["blocks.0.b.0"].target))) is nn.BatchNorm2d
    assert ends["head"].target == "head"
    assert output_channels(network.module.get_submodule("head")) == 4


def test_says_is_whether_a_unit_is_silent_on_the_example() -> None:
    layers = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 2))
    with torch.no_grad():
        layers[0].weight.zero_()
        layers[0].bias.copy_(torch.tensor([0.5, -0.5, 0.0]))
    found = find_sources(load(layers, (2,)))
    assert found.says["0"].tolist() == [True, False, False] == found.speaks["2"].tolist()


def test_unions_of_sets() -> None:
    sets = Sets()
    a, b, ab = (sets.number(frozenset(members)) for members in ({1}, {2}, {1, 2}))
    assert sets.number(frozenset({1, 2})) == ab and sets.members(ab) == {1, 2}
    assert sets.united([a, b]) == ab == sets.united([b, ab, a, NOBODY])
    numbers = torch.tensor([[a, b], [a, NOBODY]], dtype=torch.float64)
    assert sets.along(numbers, 1).tolist() == [[ab], [a]]
    assert sets.along(numbers, 0).tolist() == [[a, b]]
    assert sets.whole(numbers) == ab
    spread = numbers[:, :, None].expand(2, 2, 5)
    assert sets.along(spread, -2).tolist() == [[[ab] * 5], [[a] * 5]]
    row = torch.tensor([b, NOBODY], dtype=torch.float64)
    assert sets.meet([numbers, row], (2, 2)).tolist() == [[ab, b], [ab, NOBODY]]
