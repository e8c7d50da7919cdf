"""Reductions of scores to channels, groups and layers, on numbers worked out by hand."""

import pytest
import torch
from torch import nn

from analysis.importance import Scores
from analysis.importance.scores import channel_scores, group_scores, layer_score, matrix, per_weight
from analysis.network import Group, Slice
from analysis.tracing import trace
from tests.networks import DepthwiseNet, FlatNet, architecture, load, randomise


def scores_of(**values):
    return Scores("by hand", "tiny", {k.replace("__", "."): torch.as_tensor(v) for k, v in values.items()})


@pytest.fixture
def conv():
    """Weight (2, 3, 1, 2)."""
    return trace(nn.Sequential(nn.Conv2d(3, 2, (1, 2))), torch.zeros(1, 3, 1, 2), "tiny")


@pytest.fixture
def up():
    """Weight (in 3, out 2, 2)."""
    return trace(nn.Sequential(nn.ConvTranspose1d(3, 2, 2)), torch.zeros(1, 3, 4), "tiny")


def test_channels_of_a_convolution(conv):
    weights = [[[[1.0, 2.0]], [[3.0, 4.0]], [[5.0, 6.0]]], [[[0.5, 0.0]], [[0.0, 10.0]], [[20.0, 0.0]]]]
    scores = Scores("by hand", "tiny", {"0": torch.tensor(weights)})
    assert per_weight(scores, conv, "0")
    assert channel_scores(scores, conv, "0").tolist() == [21.0, 30.5]
    assert matrix(scores, conv, "0").tolist() == [[3.0, 7.0, 11.0], [0.5, 10.0, 20.0]]
    assert layer_score(scores, "0") == pytest.approx(51.5 / 12)


def test_channels_of_a_transposed_convolution(up):
    weights = [[[1.0, 2.0], [10.0, 20.0]], [[3.0, 4.0], [30.0, 40.0]], [[5.0, 6.0], [50.0, 60.0]]]
    scores = Scores("by hand", "tiny", {"0": torch.tensor(weights)})
    assert channel_scores(scores, up, "0").tolist() == [21.0, 210.0]
    # rows are outputs, columns inputs
    assert matrix(scores, up, "0").tolist() == [[3.0, 7.0, 11.0], [30.0, 70.0, 110.0]]


def test_linear_and_channel_scores():
    net = trace(nn.Sequential(nn.Linear(2, 3)), torch.zeros(1, 2), "tiny")
    weights = Scores("by hand", "tiny", {"0": torch.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]])})
    assert channel_scores(weights, net, "0").tolist() == [3.0, 7.0, 12.0]
    assert matrix(weights, net, "0").tolist() == [[1.0, 2.0], [3.0, 4.0], [5.0, 7.0]]
    channels = Scores("by hand", "tiny", {"0": torch.tensor([4.0, 5.0, 9.0])})
    assert not per_weight(channels, net, "0")
    assert channel_scores(channels, net, "0").tolist() == [4.0, 5.0, 9.0]
    assert matrix(channels, net, "0").tolist() == [[4.0], [5.0], [9.0]]
    assert layer_score(channels, "0") == 6.0


def test_embedding_channels_are_its_columns():
    module = nn.Sequential(nn.Embedding(3, 2), nn.Flatten(), nn.Linear(4, 2))
    net = trace(module, torch.zeros(1, 2, dtype=torch.long), "tiny")
    scores = Scores("by hand", "tiny", {"0": torch.tensor([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])})
    assert channel_scores(scores, net, "0").tolist() == [7.0, 70.0]
    assert matrix(scores, net, "0").tolist() == [[1.0, 2.0, 4.0], [10.0, 20.0, 40.0]]


def test_a_coupled_group_sums_its_members():
    net = architecture("small resnet")[1]
    scores = scores_of(
        conv1=[1.0, 2.0, 3.0],
        stage1__0__conv1=[100.0, 100.0, 100.0],
        stage1__0__conv2=[10.0, 20.0, 40.0],
        stage2__0__conv2=[1.0, 2.0, 3.0, 4.0],
        stage2__0__shortcut__conv=[0.5, 0.25, 0.5, 0.25],
    )
    assert group_scores(scores, net, net.group("conv1")).tolist() == [11.0, 22.0, 43.0]
    assert group_scores(scores, net, net.group("stage1.0.conv1")).tolist() == [100.0] * 3
    assert group_scores(scores, net, net.group("stage2.0.conv2")).tolist() == [1.5, 2.25, 3.5, 4.25]


def test_a_coupled_group_sums_the_filters_of_its_members():
    net = architecture("small resnet")[1]
    generator = torch.Generator().manual_seed(1)
    members = ("conv1", "stage1.0.conv2")
    values = {name: torch.rand(net.layer(name).shape, generator=generator) for name in members}
    expected = [sum(sum(values[m][c].flatten().tolist()) for m in members) for c in range(3)]
    result = group_scores(Scores("by hand", "tiny", values), net, net.group("conv1"))
    assert result.tolist() == pytest.approx(expected, rel=1e-6)


def test_the_readers_of_a_group_do_not_count():
    net = load(randomise(FlatNet()), (1, 7, 7))
    scores = scores_of(conv=[1.0, 2.0, 3.0, 4.0], fc=torch.full((6, 100), 1000.0))
    assert group_scores(scores, net, net.group("conv")).tolist() == [1.0, 2.0, 3.0, 4.0]


def test_a_depthwise_convolution_counts_as_a_member():
    net = load(randomise(DepthwiseNet()), (1, 6, 6))
    stem, depthwise = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [10.0, 20.0, 30.0, 40.0, 50.0, 60.0]
    result = group_scores(scores_of(stem=stem, depthwise=depthwise), net, net.group("stem"))
    assert result.tolist() == [11.0, 22.0, 33.0, 44.0, 55.0, 66.0]


def test_a_layer_that_reads_its_own_group_counts_once():
    """x + f(x) with the same width: the layer's input columns belong to the group, but score nothing."""

    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.inner, self.head = nn.Linear(2, 3), nn.Linear(3, 3), nn.Linear(3, 2)

        def forward(self, x):
            x = self.first(x)
            return self.head(torch.relu(x + self.inner(torch.relu(x))))

    net = load(randomise(Loop()), (2,))
    group = net.group("first")
    assert group.members == ("first", "inner")
    assert {(part.module, part.side) for part in group.slices} >= {("inner", "in"), ("inner", "out")}
    scores = scores_of(first=[1.0, 2.0, 4.0], inner=[10.0, 20.0, 40.0], head=torch.full((2, 3), 1000.0))
    assert group_scores(scores, net, group).tolist() == [11.0, 22.0, 44.0]


def test_positions_of_one_channel_are_summed():
    net = trace(nn.Sequential(nn.Linear(2, 4)), torch.zeros(1, 2), "tiny")
    part = Slice("0", "out", ((0, 2), (1, 3)))
    group = Group("0", ("0",), 2, (part,))
    assert group_scores(
        Scores("h", "tiny", {"0": torch.tensor([1.0, 2.0, 4.0, 8.0])}), net, group
    ).tolist() == [
        5.0,
        10.0,
    ]
    assert part.positions((1,)) == {1, 3}
    assert part.positions(()) == set()


def test_no_group_score_without_every_member():
    net = architecture("small resnet")[1]
    assert group_scores(scores_of(conv1=[1.0, 2.0, 3.0]), net, net.group("conv1")) is None
