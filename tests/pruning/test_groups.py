"""Which layers are coupled: the expected sets, written down by hand."""

import dataclasses

import pytest
import torch
from torch import nn

import sample_models
from analysis.network import Slice
from analysis.pruning.channels import remove_channels
from analysis.pruning.groups import find_groups, with_groups
from analysis.tracing import trace
from sample_models.architectures import LeNet, LeNetConfig, ResNet, ResNetConfig
from tests.networks import ConvNet, DepthwiseNet, FlatNet, Mlp, architecture, load, randomise, same, snapshot


def members(network):
    return {group.name: group.members for group in network.groups}


def single(size, factor=1):
    """Entries of a side on which channel c has the positions c * factor ... (c + 1) * factor - 1."""
    return tuple(tuple(range(c * factor, (c + 1) * factor)) for c in range(size))


RESNET = {
    "conv1": ("conv1", "stage1.0.conv2"),
    "stage1.0.conv1": ("stage1.0.conv1",),
    "stage2.0.conv1": ("stage2.0.conv1",),
    "stage2.0.conv2": ("stage2.0.conv2", "stage2.0.shortcut.conv"),
    "stage3.0.conv1": ("stage3.0.conv1",),
    "stage3.0.conv2": ("stage3.0.conv2", "stage3.0.shortcut.conv"),
    "head": ("head",),
}
MEMBERS = {
    "resnet": RESNET,
    "lenet": {n: (n,) for n in ("conv1", "conv2", "fc1", "fc2", "head")},
    "cnn": {n: (n,) for n in ("conv1", "conv2", "conv3", "head")},
    "mlp": {n: (n,) for n in ("hidden.fc1", "hidden.fc2", "head")},
}


@pytest.mark.parametrize("name", MEMBERS)
def test_members(name):
    expected = MEMBERS[name]
    _, net = architecture(name)
    assert members(net) == expected
    assert list(members(net)) == list(expected)  # in the order of the graph
    for group in net.groups:
        assert group.size == net.layer(group.name).shape[0]
        assert group.is_prunable is (group.name != "head")
        assert group.verdict == ("refused" if group.name == "head" else "exact")


@pytest.mark.parametrize("name", sample_models.names())
def test_every_sample_has_its_groups(name):
    net = sample_models.load(name).network
    layers = [layer.name for layer in net.layers]
    listed = [member for group in net.groups for member in group.members]
    assert sorted(listed) == sorted(layers)  # every layer in exactly one group
    assert [group.name for group in net.groups if group.verdict != "exact"] == ["head"]
    if name == "fashion-resnet":
        assert members(net) == RESNET


def test_the_answer_is_refused_with_its_reason():
    group = load(randomise(ConvNet(outputs=4)), (2, 5, 5)).group("head")
    assert group.verdict == "refused"
    assert not group.is_prunable
    assert group.reason == "the 4 outputs of head are the network's answer"
    assert group.slices == ()


def test_what_a_residual_group_loses_and_where():
    _, net = architecture("small resnet")
    assert set(net.group("conv1").slices) == {
        Slice(module, side, single(3))
        for module, side in (
            ("conv1", "out"),
            ("bn1", "out"),
            ("stage1.0.conv2", "out"),
            ("stage1.0.bn2", "out"),
            ("stage1.0.conv1", "in"),
            ("stage2.0.conv1", "in"),
            ("stage2.0.shortcut.conv", "in"),
        )
    }
    assert set(net.group("stage2.0.conv2").slices) == {
        Slice(module, side, single(4))
        for module, side in (
            ("stage2.0.conv2", "out"),
            ("stage2.0.bn2", "out"),
            ("stage2.0.shortcut.conv", "out"),
            ("stage2.0.shortcut.bn", "out"),
            ("head", "in"),
        )
    }


@pytest.mark.parametrize(
    ("module", "shape", "group", "reader", "channels"),
    [
        (FlatNet(), (1, 7, 7), "conv", "fc", 4),
        (LeNet(LeNetConfig(channels=(3, 5))), (1, 28, 28), "conv2", "fc1", 5),
    ],
    ids=["flat", "lenet"],
)
def test_a_flattened_channel_has_25_features(module, shape, group, reader, channels):
    net = load(randomise(module), shape)
    parts = {(part.module, part.side): part.entries for part in net.group(group).slices}
    assert parts == {(group, "out"): single(channels), (reader, "in"): single(channels, 25)}


def test_depthwise_belongs_to_what_it_reads():
    net = load(randomise(DepthwiseNet()), (1, 6, 6))
    assert members(net) == {"stem": ("stem", "depthwise"), "point": ("point",), "head": ("head",)}
    assert net.group("stem").verdict == "exact"
    assert {part.module for part in net.group("stem").slices} == {"stem", "depthwise", "bn", "point"}


def normed(norm):
    module = nn.Sequential(
        nn.Conv2d(1, 4, 3), norm, nn.ReLU(), nn.Conv2d(4, 3, 1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 2)
    )
    net = load(randomise(module), (1, 6, 6))
    assert net.group("3").verdict == "exact"
    return net


def test_a_normalisation_with_positions_is_refused_with_its_reason():
    group = normed(nn.LayerNorm([4, 4, 4])).group("0")
    assert group.verdict == "refused"
    assert "1 normalises them together with positions" in group.reason


def test_a_group_normalisation_loses_whole_groups_exactly():
    net = normed(nn.GroupNorm(2, 4))
    group = net.group("0")
    assert (group.verdict, group.size) == ("exact", 2)
    assert {p.entries for p in group.slices if p.module in ("0", "1")} == {((0, 1), (2, 3))}
    assert remove_channels(net, [(group, (0,))]).module.get_submodule("1").num_groups == 1


def test_an_instance_normalisation_loses_channels_exactly():
    group = normed(nn.InstanceNorm2d(4, affine=True)).group("0")
    assert (group.verdict, group.size) == ("exact", 4)


def test_one_normalisation_over_all_channels_is_approximate():
    group = normed(nn.GroupNorm(1, 4)).group("0")
    assert (group.verdict, group.size) == ("approximate", 4)
    assert group.deviation > 0 and "1 normalises over the channels that are left" in group.reason


def test_a_single_channel_is_refused():
    net = load(randomise(nn.Sequential(nn.Linear(3, 1), nn.ReLU(), nn.Linear(1, 2))), (3,))
    assert net.group("0").verdict == "refused"
    assert "single channel" in net.group("0").reason


def test_a_hard_coded_shape_follows_its_channels():
    class Fixed(FlatNet):
        def forward(self, x):
            return self.head(self.act2(self.fc(self.act(self.conv(x)).view(-1, 100))))

    net = load(randomise(Fixed()), (1, 7, 7))
    assert net.group("conv").verdict == "exact"
    assert {p.entries for p in net.group("conv").slices if p.module == "view"} == {single(4, 25)}
    assert net.group("fc").verdict == "exact"


@pytest.mark.parametrize(("frozen", "grad"), [(False, False), (True, True)])
def test_the_network_is_left_as_it_is(frozen, grad):
    net = trace(
        randomise(ResNet(ResNetConfig((3, 4), (1, 1), 2))).requires_grad_(not frozen),
        torch.zeros(1, 1, 6, 6),
        "r",
    )
    net.module.conv1.weight.requires_grad_(frozen)  # one parameter unlike the others
    before, example = snapshot(net.module), net.example_input.clone()
    with torch.set_grad_enabled(grad):
        groups = find_groups(net)
        assert torch.is_grad_enabled() is grad
    assert all(group.verdict == "exact" for group in groups[:-1])
    assert same(before, snapshot(net.module))
    assert not any(module.training for module in net.module.modules())
    assert torch.equal(example, net.example_input)
    assert net.groups == ()


def test_the_verdict_does_not_depend_on_the_global_generator():
    net = trace(randomise(ConvNet()), torch.zeros(1, 2, 5, 5), "conv")
    torch.manual_seed(0)
    first = find_groups(net)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    assert find_groups(net) == first
    assert torch.equal(torch.get_rng_state(), state)


def test_two_networks_in_sequence_do_not_affect_each_other():
    first = trace(randomise(ResNet(ResNetConfig((3,), (1,), 2))), torch.zeros(1, 1, 6, 6), "one")
    second = trace(randomise(ResNet(ResNetConfig((5,), (2,), 2))), torch.zeros(1, 1, 6, 6), "two")
    alone = find_groups(second)
    before, with_one = snapshot(first.module), find_groups(first)
    assert find_groups(second) == alone
    assert find_groups(first) == with_one
    assert same(before, snapshot(first.module))
    assert [g.size for g in with_one] == [3, 3, 2]
    assert [g.size for g in alone] == [5, 5, 5, 2]


def test_with_groups_keeps_everything_else():
    net = trace(randomise(Mlp()), torch.zeros(1, 5), "mlp")
    result = with_groups(net)
    for field in dataclasses.fields(net):
        if field.name != "groups":
            assert getattr(result, field.name) is getattr(net, field.name)
    assert [group.name for group in result.groups] == ["fc1", "fc2", "head"]
