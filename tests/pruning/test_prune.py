"""prune(): a pure function whose shapes, zeros and shared modules are known in advance."""

import pytest
import torch
from torch import nn

from analysis.errors import CriterionError, NetworkError, PlanError
from analysis.importance import CRITERIA, Scores, score
from analysis.network import Group, Slice
from analysis.pruning.channels import mask_channels, remove_channels
from analysis.pruning.plan import Cut, Plan, make_plan, uniform_plan
from analysis.pruning.prune import masked_twin, prune, remove
from analysis.pruning.selection import Selection, select
from sample_models.architectures import ResNet, ResNetConfig
from tests.networks import ConvNet, DepthwiseNet, FlatNet, dataset, load, randomise, same, snapshot


@pytest.fixture(scope="module")
def net():
    return load(randomise(ConvNet()), (2, 5, 5), "conv")


@pytest.fixture(scope="module")
def residual():
    return load(randomise(ResNet(ResNetConfig((4, 6), (1, 1), 3))), (1, 6, 6), "res")


def shapes(network):
    return {name: tuple(value.shape) for name, value in network.module.named_parameters()}


def test_channels_give_smaller_shapes(net):
    pruned = prune(net, make_plan(net, "l1", "channel", {"conv1": 0.5, "conv2": 0.25}))
    assert shapes(pruned) == {
        "conv1.weight": (3, 2, 3, 3),
        "conv1.bias": (3,),
        "bn1.weight": (3,),
        "bn1.bias": (3,),
        "conv2.weight": (6, 3, 3, 3),
        "bn2.weight": (6,),
        "bn2.bias": (6,),
        "head.weight": (4, 6),
        "head.bias": (4,),
    }
    assert pruned.parameters() == 54 + 3 + 6 + 162 + 12 + 24 + 4
    assert [layer.shape for layer in pruned.layers] == [(3, 2, 3, 3), (6, 3, 3, 3), (4, 6)]
    assert [layer.output_shape for layer in pruned.layers] == [(3, 5, 5), (6, 5, 5), (4,)]
    conv, norm = pruned.module.conv2, pruned.module.bn2
    assert (conv.in_channels, conv.out_channels, norm.num_features, pruned.module.head.in_features) == (
        3,
        6,
        6,
        6,
    )
    assert norm.running_mean.shape == norm.running_var.shape == (6,)
    assert pruned.name == "conv"


def test_the_kept_values_are_the_dense_ones(net):
    weight = net.weight("conv1")
    norms = [float(weight[c].abs().sum()) for c in range(6)]
    keep = sorted(sorted(range(6), key=lambda c: norms[c])[2:])
    module = prune(net, make_plan(net, "l1", "channel", {"conv1": 2 / 6})).module
    dense = net.module
    assert torch.equal(module.conv1.weight, dense.conv1.weight[keep])
    assert torch.equal(module.conv1.bias, dense.conv1.bias[keep])
    assert torch.equal(module.conv2.weight, dense.conv2.weight[:, keep])
    for attribute in ("weight", "bias", "running_mean", "running_var"):
        assert torch.equal(getattr(module.bn1, attribute), getattr(dense.bn1, attribute)[keep])


def test_coupled_layers_lose_the_same_channels(residual):
    pruned = prune(residual, make_plan(residual, "l1", "channel", {"conv1": 0.5, "stage2.0.conv2": 1 / 3}))
    result = {
        name: shape
        for name, shape in shapes(pruned).items()
        if name.endswith("conv.weight") or ".conv" in name
    }
    assert result == {
        "stage1.0.conv1.weight": (4, 2, 3, 3),
        "stage1.0.conv2.weight": (2, 4, 3, 3),
        "stage2.0.conv1.weight": (6, 2, 3, 3),
        "stage2.0.conv2.weight": (4, 6, 3, 3),
        "stage2.0.shortcut.conv.weight": (4, 2, 1, 1),
    }
    assert shapes(pruned)["conv1.weight"] == (2, 1, 3, 3)
    assert shapes(pruned)["head.weight"] == (3, 4)


def test_depthwise_and_flattened_shapes():
    deep = load(randomise(DepthwiseNet()), (1, 6, 6))
    module = prune(deep, make_plan(deep, "l1", "channel", {"stem": 0.5})).module
    assert module.depthwise.weight.shape == (3, 1, 3, 3)
    assert module.depthwise.groups == module.depthwise.in_channels == module.depthwise.out_channels == 3
    assert module.point.weight.shape == (5, 3, 1, 1)
    flat = load(randomise(FlatNet()), (1, 7, 7))
    module = prune(flat, make_plan(flat, "l1", "channel", {"conv": 0.25})).module
    assert module.conv.weight.shape == (3, 1, 3, 3)
    assert module.fc.weight.shape == (6, 75)


def test_the_last_channel_stays(net):
    pruned = prune(net, uniform_plan(net, "l1", "channel", 1.0))
    assert pruned.weight("conv1").shape == (1, 2, 3, 3)
    assert pruned.weight("conv2").shape == (1, 1, 3, 3)
    assert pruned.module(torch.zeros(2, 2, 5, 5)).shape == (2, 4)


@pytest.mark.parametrize(
    ("ratio", "zeros"), [(0.1, (11, 43, 3)), (0.5, (54, 216, 16)), (1.0, (108, 432, 32))]
)
def test_weights_give_exactly_that_many_zeros(net, ratio, zeros):
    pruned = prune(net, uniform_plan(net, "l2", "weight", ratio))
    assert shapes(pruned) == shapes(net)
    for name, count in zip(("conv1", "conv2", "head"), zeros, strict=True):
        dense, left = net.weight(name), pruned.weight(name)
        assert int((left == 0).sum()) == count
        assert torch.equal(left[left != 0], dense[left != 0])
        if count < left.numel():
            assert float(dense[left == 0].abs().max()) <= float(dense[left != 0].abs().min())
    for name, value in net.module.state_dict().items():
        if not name.endswith(("conv1.weight", "conv2.weight", "head.weight")):
            assert torch.equal(value, pruned.module.state_dict()[name])


@pytest.mark.parametrize(
    ("criterion", "granularity"),
    [(c, "channel") for c in CRITERIA] + [(n, "weight") for n, c in CRITERIA.items() if c.unit == "weight"],
)
def test_pure_and_deterministic(net, granularity, criterion):
    before = snapshot(net.module)
    plan = uniform_plan(net, criterion, granularity, 0.4)
    scores = score(net, criterion, dataset((2, 5, 5), 4))
    values = {layer: v.clone() for layer, v in scores.values.items()}
    first, again = prune(net, plan, scores), prune(net, plan, scores)
    masked_twin(net, select(net, plan, scores))
    assert same(before, snapshot(net.module))
    assert all(torch.equal(v, scores.values[layer]) for layer, v in values.items())
    one, two = first.module.state_dict(), again.module.state_dict()
    assert one.keys() == two.keys() == net.module.state_dict().keys()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert any(not torch.equal(one[key], before["state"][key]) for key in one)


def test_scores_are_computed_where_no_data_are_needed(net):
    for criterion in ("l1", "l2", "random"):
        plan = uniform_plan(net, criterion, "weight", 0.5)
        given, own = prune(net, plan, score(net, criterion)), prune(net, plan)
        assert torch.equal(given.weight("conv2"), own.weight("conv2"))


@pytest.mark.parametrize(
    ("granularity", "cuts", "changed"),
    [
        ("weight", {"conv2": 0.5}, {"conv2"}),
        ("channel", {"conv1": 0.5}, {"conv1", "bn1", "conv2"}),
        ("channel", {"conv2": 0.5}, {"conv2", "bn2", "head"}),
    ],
)
def test_untouched_modules_are_shared(net, granularity, cuts, changed):
    pruned = prune(net, make_plan(net, "l1", granularity, cuts))
    names = {"conv1", "bn1", "relu1", "conv2", "bn2", "relu2", "pool", "head"}
    assert {n for n in names if pruned.module.get_submodule(n) is not net.module.get_submodule(n)} == changed
    assert not pruned.module.training
    for name in changed:  # and what is changed has no memory in common
        own, dense = (n.module.get_submodule(name).weight for n in (pruned, net))
        assert own.data_ptr() != dense.data_ptr()


def test_the_dense_plan_gives_the_network_itself(net):
    assert prune(net, Plan("conv", "l1")) is net
    assert prune(net, make_plan(net, "taylor", "channel", {"conv1": 0.0})) is net


def test_a_ratio_that_rounds_to_nothing(net):
    pruned = prune(net, make_plan(net, "l1", "channel", {"conv1": 0.05}))
    assert shapes(pruned) == shapes(net)
    inputs = dataset((2, 5, 5), 4).evaluation.inputs
    assert torch.equal(pruned.module(inputs), net.module(inputs))


def test_refusals(net):
    with pytest.raises(PlanError, match="'other'"):
        prune(net, Plan("other", "l1", (Cut("conv1", "channel", 0.5),)))
    with pytest.raises(PlanError, match="'other'"):
        prune(net, Plan("other", "l1"))
    with pytest.raises(CriterionError, match="needs calibration examples"):
        prune(net, uniform_plan(net, "taylor", "channel", 0.5))
    with pytest.raises(CriterionError, match="no criterion 'l9'"):
        prune(net, uniform_plan(net, "l9", "channel", 0.5))
    headless = {name: torch.rand(net.layer(name).shape) for name in ("conv1", "conv2")}
    with pytest.raises(CriterionError, match="no score to head"):
        prune(net, uniform_plan(net, "l1", "weight", 0.5), Scores("l1", "conv", headless))
    with pytest.raises(CriterionError, match="cannot rank the weights of conv1"):
        prune(net, make_plan(net, "bn-scale", "weight", {"conv1": 0.5}))


def test_all_channels_at_once_are_refused(net):
    with pytest.raises(NetworkError, match="nothing would be left of conv1"):
        remove(net, Selection(channels={"conv1": tuple(range(6))}))


def test_what_cannot_be_cut_is_refused():
    net = load(nn.Sequential(nn.Conv2d(1, 4, 1), nn.LocalResponseNorm(2), nn.Conv2d(4, 2, 1)), (1, 3, 3))
    group = Group("0", ("0",), 4, (Slice("1", "out", ((0,), (1,), (2,), (3,))),))
    with pytest.raises(NetworkError, match=r"1 \(LocalResponseNorm\) cannot be cut"):
        remove_channels(net, [(group, (0,))])


def test_masked_weights_are_the_pruned_weights(net):
    chosen = select(net, uniform_plan(net, "l1", "weight", 0.5), score(net, "l1"))
    one, two = remove(net, chosen).module.state_dict(), masked_twin(net, chosen).module.state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)


def test_the_masked_twin_is_silent_where_the_channels_are_written(net):
    twin = mask_channels(net, [(net.group("conv1"), (1, 4))]).module
    inputs = dataset((2, 5, 5), 4).evaluation.inputs
    with torch.no_grad():
        written, normalised = twin.conv1(inputs), twin.bn1(twin.conv1(inputs))
        dense = net.module.bn1(net.module.conv1(inputs))
    for value in (written, normalised):
        assert [bool((value[:, c] == 0).all()) for c in range(6)] == [c in (1, 4) for c in range(6)]
    assert torch.equal(normalised[:, [0, 2, 3, 5]], dense[:, [0, 2, 3, 5]])
    assert bool((twin.conv2.weight[:, [1, 4]] == 0).all())
    assert torch.equal(twin.conv2.weight[:, [0, 2, 3, 5]], net.weight("conv2")[:, [0, 2, 3, 5]])


def test_two_groups_that_share_a_module_lose_the_union(net):
    """conv2 loses its outputs with one group and its inputs with the other, in either order."""
    one, two = (net.group("conv1"), (0, 2)), (net.group("conv2"), (1,))
    first, second = remove_channels(net, [one, two]), remove_channels(net, [two, one])
    assert torch.equal(first.weight("conv2"), second.weight("conv2"))
    assert torch.equal(first.weight("conv2"), net.weight("conv2")[[0, 2, 3, 4, 5, 6, 7]][:, [1, 3, 4, 5]])
    twin = mask_channels(net, [one, two])
    assert int((twin.weight("conv2") == 0).sum()) == 432 - 7 * 4 * 9


def test_tied_weights_are_pruned_where_they_are_read():
    """A decoder that reads the encoder's weight: pruning the layer must not leave it dense."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder = nn.Linear(8, 4)

        def forward(self, x):
            return nn.functional.linear(torch.relu(self.encoder(x)), self.encoder.weight.t())

    net = load(randomise(Tied()), (8,))
    pruned = prune(net, make_plan(net, "l1", "weight", {"encoder": 0.5}))
    assert int((pruned.weight("encoder") == 0).sum()) == 16


def test_weights_go_from_what_the_channels_leave(net):
    """By hand: cut the channels, then rank what is left of each layer by the dense scores."""
    scores = score(net, "l2")
    cuts = (Cut("conv1", "channel", 0.5), Cut("conv2", "weight", 0.4), Cut("conv1", "weight", 0.25))
    plan = Plan("conv", "l2", cuts)
    before = snapshot(net.module)
    pruned, smaller = prune(net, plan, scores), prune(net, plan.only("channel"), scores)
    assert same(before, snapshot(net.module))
    for name, ratio in (("conv2", 0.4), ("conv1", 0.25), ("head", 0.0)):
        left = smaller.weight(name)
        count = int(ratio * left.numel() + 0.5)
        threshold = left.abs().flatten().sort().values[count]
        expected = torch.where(left.abs() < threshold, 0.0, left)
        assert torch.equal(pruned.weight(name), expected), name
    twin = masked_twin(net, select(net, plan, scores))
    inputs = torch.randn(6, 2, 5, 5, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        torch.testing.assert_close(pruned.module(inputs), twin.module(inputs))
