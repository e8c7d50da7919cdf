"""Units, links and paths: counted by hand, found again by autograd, and tried out."""

import copy

import pytest
import torch
from torch import Tensor, nn

from analysis.importance.registry import score
from analysis.inside.paths import find_paths, links_of, weights_on
from analysis.inside.sources import find_sources
from analysis.inside.topology import State, Topology, link_states, topology
from analysis.network import Network
from analysis.pruning.groups import with_groups
from analysis.pruning.plan import uniform_plan
from analysis.pruning.prune import masked_twin, prune
from analysis.pruning.selection import Selection, select
from analysis.pruning.weights import zero_weights
from analysis.tracing import trace
from tests.networks import (
    ARCHITECTURES,
    ConvNet,
    DepthwiseNet,
    FlatNet,
    Mlp,
    architecture,
    load,
    randomise,
    same,
    snapshot,
)
from tests.zoo.networks import BY_NAME, ZOO
from tests.zoo.opened import from_module


def linear(weight: list[list[float]], bias: list[float] | None = None) -> nn.Linear:
    layer = nn.Linear(len(weight[0]), len(weight), bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        if bias is not None:
            layer.bias.copy_(torch.tensor(bias))
    return layer


def by_hand() -> Network:
    """Reads (2,). Unit 0 of the first layer hears nothing and says relu(0.5); unit 1 hears nothing and is silent;
    unit 2 is not heard; unit 3 works.
    """
    first = linear([[0, 0], [0, 0], [1, 2], [3, 0]], [0.5, -0.5, 0, 0])
    second = linear([[1, 1, 0, 1], [1, 1, 0, 0], [0, 0, 0, 1]], [0, 0, 0])
    head = linear([[1, 1, 0], [1, 0, 0]], [0, 0])
    module = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), head)
    return trace(module, torch.zeros(1, 2), "by-hand")


def masks(network: Network, share: float, seed: int = 0) -> dict[str, Tensor]:
    """A random share of each layer's weights."""
    generator = torch.Generator().manual_seed(seed)
    return {l.name: torch.rand(l.shape, generator=generator) < share for l in network.layers}  # noqa: E741


def pruned_at_random(network: Network, share: float, seed: int = 0) -> Selection:
    return Selection(weights=masks(network, share, seed))


def test_a_small_network_is_counted_as_by_hand() -> None:
    found = topology(by_hand())
    first, second, head = found.layers
    assert first.links_in.tolist() == first.weights_in.tolist() == [0, 0, 2, 1]
    assert second.links_in.tolist() == [3, 2, 1] and head.links_in.tolist() == [2, 1]
    assert first.links_out is not None and first.links_out.tolist() == [2, 2, 0, 2]
    assert second.links_out is not None and second.links_out.tolist() == [2, 1, 0]
    assert head.links_out is None
    assert first.deaf.tolist() == [True, True, False, False]
    assert first.unheard.tolist() == [False, False, True, False]
    assert first.constant.tolist() == [True, False, False, False]
    assert second.deaf.tolist() == [False, True, False], "all that it hears is deaf"
    assert second.unheard.tolist() == [False, False, True]
    assert [layer.nonzero for layer in found.layers] == [3, 6, 3]
    # first: the two of unit 2; second: 4 from deaf units and the one of unit 2; head: the one from unit 1
    assert [layer.stranded for layer in found.layers] == [2, 5, 1]
    assert [layer.constant_links for layer in found.layers] == [0, 2, 1]
    assert found.units == 9 and found.total("dead") == 3 + 2 and found.total("stranded") == 8


class Two(nn.Module):
    """Reads (1, 4, 4): a stem, a residual block, and a linear layer on the flattened maps."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv1, self.conv2 = (
            nn.Conv2d(1, 3, 3, padding=1),
            nn.Conv2d(3, 2, 3, padding=1),
            nn.Conv2d(2, 3, 1),
        )
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(3 * 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(x + self.conv2(torch.relu(self.conv1(x))))
        return self.head(torch.flatten(self.pool(x), 1))


def test_a_residual_convolutional_network_is_counted_as_by_hand() -> None:
    module = randomise(Two())
    with torch.no_grad():
        module.stem.weight[0] = 0  # deaf, but its channel is written by conv2 as well
        module.conv1.weight[0, 1] = 0
        module.conv1.weight[1, :, 1:] = 0  # links stay as long as one entry of the kernel does
        module.conv2.weight[2] = 0
        module.head.weight[:, 4:8] = 0  # nobody reads channel 1
        module.head.weight[1, 8] = 0
    found = topology(load(module, (1, 4, 4)))
    stem, conv1, conv2, head = (found.layer(name) for name in ("stem", "conv1", "conv2", "head"))
    assert stem.links_in.tolist() == [0, 1, 1] and stem.weights_in.tolist() == [0, 9, 9]
    assert conv1.links_in.tolist() == [2, 3] and conv1.weights_in.tolist() == [18, 9]
    assert head.links_in.tolist() == [8, 7]
    assert stem.links_out.tolist() == [2 + 8, 1 + 0, 2 + 7], "read by conv1, and past the sum by head"
    assert conv1.links_out.tolist() == [2, 2]
    assert conv2.links_out.tolist() == [8, 0, 7], "conv1 comes before it and does not read it"
    assert stem.deaf.tolist() == [True, False, False]
    assert stem.unheard.tolist() == [False, False, False], "conv1 hears channel 1"
    assert conv2.deaf.tolist() == [False, False, True]
    assert conv2.unheard.tolist() == [False, True, False]
    assert conv1.stranded == 9 + 3, "what conv1 reads of the deaf stem unit"
    assert conv2.stranded == 2 and stem.stranded == 0
    assert head.stranded == 0, "channel 0 varies thanks to conv2"


def test_grouped_layers_have_links_within_their_groups_only() -> None:
    found = topology(load(randomise(DepthwiseNet()), (1, 6, 6)))
    assert found.layer("depthwise").links_in.tolist() == [1] * 6
    assert found.layer("depthwise").weights_in.tolist() == [9] * 6
    assert found.layer("stem").links_out.tolist() == [1] * 6
    assert found.layer("depthwise").links_out.tolist() == [5] * 6
    transposed = nn.Sequential(nn.ConvTranspose2d(4, 6, 2, groups=2), nn.Flatten(), nn.Linear(6 * 9, 2))
    layer = topology(load(randomise(transposed), (4, 2, 2))).layer("0")
    assert layer.links_in.tolist() == [2] * 6 and layer.weights_in.tolist() == [8] * 6


def test_recurrent_units_hear_each_other() -> None:
    network = from_module("lstm")
    layer = topology(network).layer("recurrent")
    assert layer.links_in.tolist() == [6 + 10] * 10
    assert layer.weights_in.tolist() == [4 * 16] * 10
    assert layer.links_out is not None and layer.links_out.tolist() == [10 + 8] * 10
    weight = network.weight("recurrent")
    mask = torch.ones(4, 10, 16, dtype=torch.bool)
    mask[:, 0, :6] = False  # unit 0 reads the features, unit 1 reads unit 0, nobody else reads anything
    mask[:, 1, 6] = False
    found = topology(network, Selection(weights={"recurrent": mask.reshape(weight.shape)})).layer("recurrent")
    assert found.deaf.tolist() == [False, False] + [True] * 8


@pytest.mark.parametrize("network", list(ARCHITECTURES))
def test_a_dense_random_network_has_no_dead_units(network: str) -> None:
    _, opened = architecture(network)
    plan = uniform_plan(opened, "l1", "weight", 0.0)
    found = topology(opened, select(opened, plan, score(opened, "l1")))
    assert found.total("dead") == found.total("stranded") == found.total("removed") == 0
    assert found.total("nonzero") == sum(layer.connections for layer in opened.layers)


@pytest.mark.parametrize("network", [n.name for n in ZOO])
def test_every_unit_of_a_dense_network_of_the_zoo_is_alive(network: str) -> None:
    found = topology(from_module(network))
    assert {layer.name: int(layer.deaf.sum()) for layer in found.layers if layer.deaf.any()} == {}
    idle = {layer.name: int(layer.unheard.sum()) for layer in found.layers if layer.unheard.any()}
    assert idle == {}


class Straight(nn.Module):
    """The magnitudes of a network, without anything that bends: what autograd finds there are sums over paths."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.twin = copy.deepcopy(module).double()
        with torch.no_grad():
            for child in self.twin.modules():
                if isinstance(child, nn.BatchNorm2d):
                    child.running_mean.zero_()
                    child.running_var.fill_(1)
                if isinstance(child, nn.Linear | nn.Conv2d | nn.BatchNorm2d):
                    child.weight.abs_()
                    if child.bias is not None:
                        child.bias.zero_()

    def paths(self, layers: list[str], shape: tuple[int, ...]) -> dict[str, Tensor]:
        """True for the weights through which something of the input reaches the answer."""
        weights = {name: self.twin.get_submodule(name).weight for name in layers}
        answer = self.twin(torch.ones(1, *shape, dtype=torch.float64)).sum()
        found = torch.autograd.grad(answer, list(weights.values()), allow_unused=True)
        return {
            name: (weight != 0) & (0 if gradient is None else gradient > 0)
            for (name, weight), gradient in zip(weights.items(), found, strict=True)
        }


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (Mlp, (5,)),
        (ConvNet, (2, 5, 5)),
        (FlatNet, (1, 7, 7)),
        (DepthwiseNet, (1, 6, 6)),
        (ARCHITECTURES["small resnet"][0], (1, 6, 6)),
        (ARCHITECTURES["deep resnet"][0], (1, 6, 6)),
    ],
    ids=["mlp", "cnn", "flat", "depthwise", "resnet", "deep resnet"],
)
@pytest.mark.parametrize("share", [0.5, 0.8, 0.93])
def test_live_links_are_those_that_autograd_finds_on_a_path(make, shape, share: float) -> None:
    for seed in range(3):
        module = randomise(make(), seed)
        network = load(module, shape)
        cut = masks(network, share, seed)
        with torch.no_grad():
            for name, mask in cut.items():
                module.get_submodule(name).weight.masked_fill_(mask, 0)
        expected = Straight(module).paths(list(cut), shape)
        found = topology(network, Selection(weights=cut))
        for layer in found.layers:
            on_path = links_of(module.get_submodule(layer.name), expected[layer.name])
            live = link_states(network, Selection(weights=cut), layer) == State.LIVE
            assert torch.equal(live, on_path), layer.name


@pytest.mark.parametrize("network", [n.name for n in ZOO])
def test_stranded_connections_can_go_and_the_answers_stay(network: str) -> None:
    """Whatever the operators: all that is called free is removed, and nothing changes."""
    opened, inputs = from_module(network), BY_NAME[network].inputs(5)
    for seed, share in enumerate((0.7, 0.9)):
        left = masked_twin(opened, pruned_at_random(opened, share, seed))
        paths = find_paths(left)
        free = {}
        for layer in opened.layers:
            links = ~(paths.live(layer.name) | paths.constant_links(layer.name))
            module = left.module.get_submodule(layer.name)
            free[layer.name] = weights_mask(module, left.weight(layer.name), links)
        with torch.no_grad():
            expected = left.module(inputs)
            found = zero_weights(left, free).module(inputs)
        assert torch.allclose(found, expected, atol=1e-6 * float(expected.abs().max().clamp_min(1))), (
            seed,
            share,
        )


def weights_mask(module: nn.Module, weight: Tensor, links: Tensor) -> Tensor:
    """The weights of a layer that lie on links, one by one: slow, and independent of how they are counted."""
    mask = torch.zeros(weight.shape, dtype=torch.bool)
    flat = mask.view(-1)
    for place in range(weight.numel()):
        one = torch.zeros(weight.numel(), dtype=torch.bool)
        one[place] = True
        flat[place] = weights_on(module, one.reshape(weight.shape), links) == 1
    return mask


def test_constants_can_be_moved_into_the_bias() -> None:
    network = by_hand()
    head = network.module.get_submodule("2")
    moved = copy.deepcopy(network.module)
    with torch.no_grad():
        moved.get_submodule("2").bias += head.weight[:, 0] * 0.5  # what unit 0 always says
        moved.get_submodule("2").weight[:, :2] = 0
    inputs = torch.randn(6, 2, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(moved(inputs), network.module(inputs))


def test_removed_connections_are_told_apart_by_what_putting_one_back_would_do() -> None:
    """3-2-1: unit 1 of the hidden layer is cut off behind, so that what it read is stranded with it."""
    layers = nn.Sequential(linear([[1, 1, 1], [1, 1, 0]]), nn.ReLU(), linear([[1, 1]]))
    network = trace(layers, torch.zeros(1, 3), "small")
    cut = Selection(
        weights={
            "0": torch.tensor([[True, False, False], [True, False, True]]),
            "2": torch.tensor([[False, True]]),
        }
    )
    first, second = topology(network, cut).layers
    assert (first.removed, first.removed_live, first.removed_alone) == (2, 2, 1), "one was zero before"
    assert (second.removed, second.removed_live, second.removed_alone) == (1, 1, 1)
    assert (first.nonzero, first.stranded) == (3, 1)
    assert first.unheard.tolist() == [False, True]
    states = link_states(network, cut, first).tolist()
    assert states == [
        [State.REMOVED, State.LIVE, State.LIVE],
        [State.REMOVED, State.STRANDED, State.ABSENT],
    ]


def small_resnet() -> Network:
    return architecture("small resnet")[1]


def test_removed_channels_are_seen_in_place_and_the_rest_is_the_smaller_network() -> None:
    network = small_resnet()
    plan = uniform_plan(network, "l1", "channel", 0.5)
    scores = score(network, "l1")
    selection = select(network, plan, scores)
    whole, smaller = topology(network, selection), topology(prune(network, plan, scores))
    assert whole.total("gone") > 0 and whole.units == smaller.units
    for layer in whole.layers:
        left, other = ~layer.gone, smaller.layer(layer.name)
        assert layer.links_in[left].tolist() == other.links_in.tolist()
        assert layer.weights_in[left].tolist() == other.weights_in.tolist()
        if layer.links_out is not None and other.links_out is not None:
            assert layer.links_out[left].tolist() == other.links_out.tolist()
        assert not layer.dead[layer.gone].any()
        assert layer.dead[left].tolist() == other.dead.tolist()
        assert (layer.nonzero, layer.stranded) == (other.nonzero, other.stranded)
        assert layer.removed == network.layer(layer.name).connections - other.nonzero


def test_weights_and_channels_may_go_together() -> None:
    network = small_resnet()
    plan = uniform_plan(network, "l1", "channel", 0.4)
    selection = select(network, plan, score(network, "l1"))
    both = Selection(selection.channels, masks(network, 0.5))
    found = topology(network, both)
    for layer in found.layers:
        assert layer.nonzero + layer.removed == network.layer(layer.name).connections
        assert layer.stranded <= layer.nonzero and layer.removed_alone <= layer.removed_live <= layer.removed


def test_a_scale_of_zero_makes_a_channel_deaf() -> None:
    module = randomise(ConvNet())
    with torch.no_grad():
        module.bn1.weight[2] = 0
        module.bn1.bias[2] = 0.7
    found = topology(load(module, (2, 5, 5)))
    conv1, conv2 = found.layer("conv1"), found.layer("conv2")
    assert not conv1.deaf.any() and conv1.unheard.tolist() == [i == 2 for i in range(6)]
    assert conv2.stranded == conv2.constant_links == 8 * 9


def test_normalisations_and_products_make_paths_a_bound_and_say_so() -> None:
    found = topology(from_module("vit-fused"))
    assert "LayerNorm" in found.layer("attentions.0.project").note
    assert "product of two tensors" in found.layer("attentions.0.qkv").note
    assert found.layer("mlps.0.0").note == ""
    tied = topology(from_module("embedding-tied"), pruned_at_random(from_module("embedding-tied"), 0.9))
    assert "used elsewhere" in tied.layer("embed").note and tied.layer("embed").stranded == 0


class Sorted(nn.Module):
    """An operation without a rule."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(4, 5), nn.Linear(5, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(torch.sort(torch.relu(self.fc(x)), dim=1).values)


def test_an_unknown_operation_lets_everything_be_heard_and_is_named() -> None:
    network = trace(randomise(Sorted()), torch.zeros(1, 4), "sorted")
    cut = {"head": torch.tensor([[True] * 4 + [False]] * 2), "fc": torch.zeros(5, 4, dtype=torch.bool)}
    found = topology(network, Selection(weights=cut))
    assert found.total("stranded") == 0, "the largest may come from any unit"
    assert "the operation sort, which is not followed" in found.layer("fc").note


def test_a_normalisation_keeps_channels_apart_where_links_are_counted() -> None:
    network = from_module("layernorm-residual")
    apart, together = (find_sources(network, statistics=flag) for flag in (False, True))
    sizes = [{len(s.sets.members(int(n))) for n in s.heard["fc1"].tolist()} for s in (apart, together)]
    assert sizes == [{1}, {8}]
    stem = topology(network).layer("stem")
    assert stem.links_out is not None and stem.links_out.tolist() == [14 + 4] * 8


def test_nothing_is_modified() -> None:
    network = with_groups(trace(randomise(ConvNet()), torch.zeros(1, 2, 5, 5), "cnn"))
    before = snapshot(network.module)
    found: Topology = topology(
        network, select(network, uniform_plan(network, "l1", "channel", 0.5), score(network, "l1"))
    )
    link_states(network, None, found.layers[0])
    assert same(before, snapshot(network.module))


def test_an_unknown_layer_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        topology(by_hand()).layer("nothing")
