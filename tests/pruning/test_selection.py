"""From a plan to indices: counts by hand, order by Python's sort, thresholds by counting."""

import itertools
import math
import random
from dataclasses import replace

import pytest
import torch

from analysis.errors import CriterionError, PlanError
from analysis.importance import Scores, score
from analysis.pruning.plan import Cut, Pick, Plan, make_plan, repick, targets
from analysis.pruning.selection import (
    Selection,
    by_hand,
    ranking,
    ratio_below,
    ratio_below_relative,
    removal_count,
    removed_weights,
    select,
    silent_outputs,
    target_scores,
    threshold_at,
)
from tests.networks import ConvNet, DepthwiseNet, FlatNet, Mlp, architecture, dataset, load, randomise
from tests.pruning.test_awkward_groups import Halves


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


def random_picks(draw, net):
    chosen = {}
    for target in targets(net, "channel"):
        for channel in draw.sample(range(net.group(target).size), min(3, net.group(target).size)):
            chosen[target, channel] = draw.random() < 0.5
    return tuple(Pick(*where, removed) for where, removed in chosen.items() if draw.random() < 0.8)


def test_by_hand_is_a_set_override():
    draw = random.Random(1)
    for _ in range(200):
        size = draw.randint(1, 9)
        order = draw.sample(range(size), size)
        picked = {c: draw.random() < 0.5 for c in draw.sample(range(size), draw.randint(0, size))}
        really, gone = by_hand(order, [Pick("g", c, removed) for c, removed in picked.items()])
        assert sorted(really) == list(range(size)) and len(gone) == size + 1
        for count in range(size + 1):
            expected = set(order[:count]) | {c for c, r in picked.items() if r}
            expected -= {c for c, r in picked.items() if not r}
            assert set(really[: gone[count]]) == expected and gone[count] == len(expected)


def test_picks_override_what_the_scores_say(net):
    scores = Scores("bn-scale", "conv", {"conv1": torch.arange(6.0), "conv2": torch.arange(8.0)})
    base = make_plan(net, "bn-scale", "channel", {"conv1": 0.5})  # 0, 1, 2 go
    cases = {
        ((), ()): (0, 1, 2),
        ((5,), ()): (0, 1, 2, 5),
        ((1,), ()): (0, 1, 2),
        ((), (1,)): (0, 2),
        ((), (5,)): (0, 1, 2),
        ((4, 5), (0, 2)): (1, 4, 5),
    }
    for (removed, kept), expected in cases.items():
        plan = base
        for channel, way in [*((c, True) for c in removed), *((c, False) for c in kept)]:
            plan = repick(plan, net, "conv1", channel, way)
        assert select(net, plan, scores).channels == {"conv1": expected}


def test_a_group_is_picked_without_a_cut_and_needs_no_scores(net):
    plan = Plan(
        "conv", "taylor", (), (Pick("conv2", 7, True), Pick("conv2", 1, True), Pick("conv1", 0, False))
    )
    assert select(net, plan, None).channels == {"conv2": (1, 7)}
    assert select(net, Plan("conv", "l1", (), (Pick("conv1", 0, False),)), None).channels == {}
    masks = removed_weights(net, select(net, plan, None))
    assert masks["head"].tolist() == [[c in (1, 7) for c in range(8)]] * 4
    with pytest.raises(PlanError, match="needs scores of conv"):
        select(net, Plan("conv", "l1", (Cut("conv1", "channel", 0.5),), plan.picks), None)
    with pytest.raises(PlanError, match="wants taylor scores"):
        select(net, plan, Scores("l1", "conv", {}))


@pytest.mark.parametrize("name", ["resnet", "cnn", "mlp"])
def test_toggling_a_channel_changes_that_channel_alone(name):
    net = architecture(name)[1]
    draw, scores = random.Random(name), score(net, "l1")
    for _ in range(30):
        ratios = {t: draw.choice((0.0, 0.2, 0.5, 0.7)) for t in targets(net, "channel")}
        plan = replace(make_plan(net, "l1", "channel", ratios), picks=())
        before = gone(net, plan, scores)
        target = draw.choice(targets(net, "channel"))
        channel = draw.randrange(net.group(target).size)
        for removed in (True, False):
            try:
                after = gone(net, repick(plan, net, target, channel, removed), scores)
            except PlanError:
                assert len(before.get(target, ())) == net.group(target).size - 1
                continue
            for other in targets(net, "channel"):
                expected = set(before.get(other, ()))
                if other == target:
                    expected = expected | {channel} if removed else expected - {channel}
                assert set(after.get(other, ())) == expected


def gone(net, plan, scores):
    return select(net, plan, scores).channels


def test_too_little_left_is_refused_by_name(net):
    scores = Scores("bn-scale", "conv", {"conv1": torch.arange(6.0)})
    plan = make_plan(net, "bn-scale", "channel", {"conv1": 1.0})  # all but channel 5
    with pytest.raises(PlanError, match=r"All 6 channels of conv1 would go.*Cut less of it, or pick fewer"):
        select(net, repick(plan, net, "conv1", 5, True), scores)
    kept = repick(repick(plan, net, "conv1", 5, True), net, "conv1", 0, False)
    assert select(net, kept, scores).channels == {"conv1": (1, 2, 3, 4, 5)}


def test_a_part_that_would_be_gone_is_refused_by_name():
    net = load(randomise(Halves(8)), (1, 9, 9), "halves")
    group = next(group for group in net.groups if group.parts)
    scores = score(net, "l1")
    part = group.parts[0]
    best = max(part, key=ranking(scores, net, group.name, "channel").tolist().index)
    plan = make_plan(net, "l1", "channel", {group.name: 1.0})
    assert best not in select(net, plan, scores).channels[group.name]
    with pytest.raises(PlanError, match=rf"The channels .* of {group.name} would all go.*pick fewer of them"):
        select(net, repick(plan, net, group.name, best, True), scores)


def test_weights_are_cut_from_what_picks_leave(net):
    scores = score(net, "l1")
    plan = Plan("conv", "l1", (Cut("conv2", "weight", 0.5),), (Pick("conv1", 2, True),))
    chosen = select(net, plan, scores)
    assert not bool(chosen.weights["conv2"][:, 2].any())
    assert int(chosen.weights["conv2"].sum()) == 8 * 5 * 9 // 2


@pytest.mark.parametrize("module", [ConvNet, Mlp])
def test_outputs_of_which_no_weight_is_left_are_the_channels_that_go(module):
    net = load(randomise(module()), (2, 5, 5) if module is ConvNet else (5,))
    for group in (group for group in net.groups if group.is_prunable):
        chosen = Selection({group.name: tuple(range(0, group.size - 1, 2))})
        masks = removed_weights(net, chosen)
        for part in group.slices:
            if part.module in group.members and part.side == "out":
                assert silent_outputs(net, masks, part.module) == part.positions(chosen.channels[group.name])
    assert silent_outputs(net, {}, net.layers[0].name) == set()
