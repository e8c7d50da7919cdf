"""From a plan to indices: counts by hand, order by Python's sort, thresholds by counting."""

import itertools
import math

import pytest
import torch

from analysis.errors import CriterionError, PlanError
from analysis.importance import Scores, score
from analysis.pruning.plan import Plan, make_plan
from analysis.pruning.selection import (
    ratio_below,
    ratio_below_relative,
    removal_count,
    removed_weights,
    select,
    target_scores,
    threshold_at,
)
from tests.networks import ConvNet, DepthwiseNet, FlatNet, architecture, dataset, load, randomise


@pytest.fixture(scope="module")
def net():
    return load(randomise(ConvNet()), (2, 5, 5), "conv")


@pytest.mark.parametrize(
    ("size", "ratio", "weights", "channels"),
    [
        (10, 0.0, 0, 0),
        (10, 0.04, 0, 0),
        (10, 0.06, 1, 1),
        (10, 0.5, 5, 5),
        (10, 0.94, 9, 9),
        (10, 0.96, 10, 9),
        (10, 1.0, 10, 9),
        (7, 0.5, 4, 4),  # 3.5 goes up
        (2, 0.25, 1, 1),  # 0.5 goes up
        (1, 1.0, 1, 0),
        (1, 0.49, 0, 0),
        (3, 1 / 3, 1, 1),
        (3, 2 / 3, 2, 2),
        (432, 0.125, 54, 54),
    ],
)
def test_removal_count(size, ratio, weights, channels):
    assert removal_count(size, ratio, "weight") == weights
    assert removal_count(size, ratio, "channel") == channels


@pytest.mark.parametrize("size", [1, 2, 7, 997, 36864])
def test_a_share_of_whole_channels_removes_just_these(size):
    for count in {*range(0, size, max(1, size // 50)), size - 1}:
        assert removal_count(size, count / size, "weight") == count
        assert removal_count(size, count / size, "channel") == count


def lowest(values, count):
    """Positions of the lowest scores; of equals the first."""
    return sorted(sorted(range(len(values)), key=lambda i: (values[i], i))[:count])


TIED = [3.0, 1.0, 2.0, 1.0, 3.0, 1.0]


@pytest.mark.parametrize(
    "values", [TIED, [0.0] * 6, [6.0, 5.0, 4.0, 3.0, 2.0, 1.0], [-1.0, -5.0, 0, 2, 3, 4]]
)
@pytest.mark.parametrize("removed", range(1, 7))
def test_channels_with_the_lowest_scores_go(net, values, removed):
    scores = Scores("bn-scale", "conv", {"conv1": torch.tensor(values)})
    plan = make_plan(net, "bn-scale", "channel", {"conv1": removed / 6})
    chosen = select(net, plan, scores)
    assert chosen.channels == {"conv1": tuple(lowest(values, min(removed, 5)))}
    assert chosen.weights == {}


def test_ties_by_hand(net):
    scores = Scores("bn-scale", "conv", {"conv1": torch.tensor(TIED)})
    plan = make_plan(net, "bn-scale", "channel", {"conv1": 2 / 6})
    assert select(net, plan, scores).channels == {"conv1": (1, 3)}


@pytest.mark.parametrize("ratio", [0.01, 0.3, 0.5, 0.777, 1.0])
@pytest.mark.parametrize("levels", [3, 10**6])
def test_weights_with_the_lowest_scores_go(net, ratio, levels):
    generator = torch.Generator().manual_seed(int(ratio * 100))
    shape = net.layer("conv2").shape
    values = torch.randint(levels, shape, generator=generator).float()
    plan = make_plan(net, "l1", "weight", {"conv2": ratio})
    mask = select(net, plan, Scores("l1", "conv", {"conv2": values})).weights["conv2"]
    assert mask.shape == shape
    flat = values.flatten().tolist()
    assert mask.flatten().nonzero().flatten().tolist() == lowest(flat, math.floor(ratio * len(flat) + 0.5))


def test_the_dense_plan_selects_nothing(net):
    chosen = select(net, Plan("conv", "l1"), Scores("other", "other", {}))
    assert (chosen.channels, chosen.weights) == ({}, {})


def test_scores_of_another_network_or_criterion(net):
    plan = make_plan(net, "l1", "weight", {"head": 0.5})
    values = dict(score(net, "l1").values)
    with pytest.raises(PlanError, match="wants l1 scores of conv; these are l2 scores of conv"):
        select(net, plan, Scores("l2", "conv", values))
    with pytest.raises(PlanError, match="these are l1 scores of elsewhere"):
        select(net, plan, Scores("l1", "elsewhere", values))


def test_channel_scores_cannot_rank_weights(net):
    scores = score(net, "bn-scale")
    with pytest.raises(CriterionError, match=r"BatchNorm scale .* cannot rank the weights of conv1"):
        target_scores(scores, net, "conv1", "weight")
    with pytest.raises(CriterionError, match="no score to head"):
        target_scores(scores, net, "head", "weight")


def test_a_group_without_a_score_names_the_member():
    net = architecture("small resnet")[1]
    scores = Scores("bn-scale", net.name, {"conv1": torch.ones(3)})
    with pytest.raises(CriterionError, match=r"no score to stage1\.0\.conv2\."):
        target_scores(scores, net, "conv1", "channel")


def samples():
    generator = torch.Generator().manual_seed(4)
    yield torch.rand(997, generator=generator)
    yield torch.rand(16, generator=generator)
    yield torch.randint(5, (40,), generator=generator).float()  # many ties
    yield torch.rand(64, generator=generator).double() * 1e-9


@pytest.mark.parametrize("values", samples(), ids=["many", "few", "ties", "small"])
def test_a_threshold_removes_exactly_the_scores_below_it(values):
    plain = sorted(set(values.tolist()))
    between = [(a + b) / 2 for a, b in itertools.pairwise(plain)]
    for threshold in [*plain[:: len(plain) // 10 + 1], *between[:: len(plain) // 10 + 1], plain[-1], 0.0]:
        below = [i for i, v in enumerate(values.tolist()) if v < threshold]
        ratio = ratio_below(values, threshold)
        assert ratio == pytest.approx(len(below) / len(values), abs=1e-12)
        for granularity in ("weight", "channel"):
            assert lowest(values.tolist(), removal_count(len(values), ratio, granularity)) == below
        assert threshold_at(values, ratio, "weight") == min(v for v in values.tolist() if v >= threshold)


def test_a_threshold_above_all_scores():
    values = torch.tensor([1.0, 2.0, 4.0, 3.0])
    assert ratio_below(values, 5.0) == 1
    assert threshold_at(values, 1.0, "weight") == math.inf
    assert threshold_at(values, 1.0, "channel") == 4.0  # the last channel is kept


def test_threshold_at_by_hand():
    values = torch.tensor([5.0, 1.0, 4.0, 2.0])
    assert [threshold_at(values, r, "weight") for r in (0, 0.25, 0.5, 0.75)] == [1.0, 2.0, 4.0, 5.0]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5, 0.99, 1.0])
def test_relative_thresholds(share):
    values = torch.tensor([0.5, 8.0, 1.0, 2.0, 4.0, 7.99, 0.8])
    expected = sum(1 for v in values.tolist() if v < share * 8.0) / 7
    assert ratio_below_relative(values, share) == pytest.approx(expected)


def test_removed_weights_of_a_convolution(net):
    plan = make_plan(net, "bn-scale", "channel", {"conv1": 0.5, "conv2": 2 / 8})
    scores = Scores("bn-scale", "conv", {"conv1": torch.arange(6.0), "conv2": torch.arange(8.0, 0, -1)})
    masks = removed_weights(net, select(net, plan, scores))
    assert set(masks) == {"conv1", "conv2", "head"}
    for out in range(6):  # 0, 1, 2 go
        assert bool(masks["conv1"][out].all()) is bool(masks["conv1"][out].any()) is (out < 3)
    for out in range(8):  # 6, 7 go, and what reads 0, 1, 2
        for source in range(6):
            assert masks["conv2"][out, source].tolist() == [[out > 5 or source < 3] * 3] * 3
    assert masks["head"].tolist() == [[False] * 6 + [True] * 2] * 4


def test_removed_weights_of_flattened_and_depthwise_channels():
    flat = load(randomise(FlatNet()), (1, 7, 7), "flat")
    plan = make_plan(flat, "apoz", "channel", {"conv": 0.25})
    scores = Scores("apoz", "flat", {"conv": torch.tensor([1.0, 1.0, 0.0, 1.0])})
    masks = removed_weights(flat, select(flat, plan, scores))
    assert masks["fc"].tolist() == [[50 <= i < 75 for i in range(100)]] * 6
    assert not bool(masks["head"].any())

    deep = load(randomise(DepthwiseNet()), (1, 6, 6), "deep")
    scores = score(deep, "apoz", dataset((1, 6, 6), 3))
    chosen = select(deep, make_plan(deep, "apoz", "channel", {"stem": 1 / 3}), scores)
    gone = chosen.channels["stem"]
    masks = removed_weights(deep, chosen)
    for name in ("stem", "depthwise"):
        assert [bool(row.all()) for row in masks[name]] == [c in gone for c in range(6)]
        assert int(masks[name].sum()) == 2 * 9
    assert masks["point"][:, :, 0, 0].tolist() == [[c in gone for c in range(6)]] * 5


def test_removed_weights_of_single_weights(net):
    plan = make_plan(net, "l1", "weight", {"head": 0.5})
    chosen = select(net, plan, score(net, "l1"))
    masks = removed_weights(net, chosen)
    assert torch.equal(masks["head"], chosen.weights["head"])
    assert int(masks["head"].sum()) == 16
    assert not bool(masks["conv1"].any())
    masks["head"].fill_(False)  # a copy: the selection keeps its own
    assert int(chosen.weights["head"].sum()) == 16
