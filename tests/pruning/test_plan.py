"""Plans: what makes two equal, which are refused, and for which network."""

import itertools

import pytest
import torch

from analysis.errors import PlanError
from analysis.network import Group
from analysis.pruning.plan import (
    MAX_PICKS,
    Cut,
    Pick,
    Plan,
    check_left,
    check_plan,
    make_plan,
    recut,
    repick,
    rounded,
    targets,
    uniform_plan,
)
from analysis.pruning.selection import by_hand
from analysis.tracing import trace
from tests.networks import ConvNet, Mlp, architecture, load, randomise


@pytest.fixture(scope="module")
def net():
    return load(randomise(ConvNet()), (2, 5, 5), "conv")


def test_equality_and_hash_do_not_depend_on_the_order():
    cuts = [Cut("a", "channel", 0.5), Cut("b", "channel", 0.25), Cut("c", "channel", 0.75)]
    plans = [Plan("n", "l1", order) for order in itertools.permutations(cuts)]
    assert len(set(plans)) == 1
    assert all(plan == plans[0] and hash(plan) == hash(plans[0]) for plan in plans)
    assert [cut.target for cut in plans[-1].cuts] == ["a", "b", "c"]


def test_zero_cuts_are_dropped():
    plan = Plan("n", "l1", (Cut("a", "channel", 0.0), Cut("b", "channel", 0.25), Cut("c", "channel", 0)))
    assert plan == Plan("n", "l1", (Cut("b", "channel", 0.25),))
    assert hash(plan) == hash(Plan("n", "l1", (Cut("b", "channel", 0.25),)))
    assert plan.ratios == {"b": 0.25}
    assert plan.granularity == "channel"
    assert not plan.is_dense


def test_the_dense_plan():
    plan = Plan("n", "l1", (Cut("a", "weight", 0.0),))
    assert plan == Plan("n", "l1")
    assert plan.is_dense
    assert plan.granularity is None
    assert plan.ratios == {}


def test_plans_that_differ():
    plan = Plan("n", "l1", (Cut("a", "channel", 0.5),))
    others = [
        Plan("m", "l1", (Cut("a", "channel", 0.5),)),
        Plan("n", "l2", (Cut("a", "channel", 0.5),)),
        Plan("n", "l1", (Cut("b", "channel", 0.5),)),
        Plan("n", "l1", (Cut("a", "weight", 0.5),)),
        Plan("n", "l1", (Cut("a", "channel", 0.5000001),)),
    ]
    assert all(plan != other for other in others)
    assert len({plan, *others}) == 6


def test_plans_are_immutable():
    plan = Plan("n", "l1", (Cut("a", "channel", 0.5),))
    with pytest.raises(AttributeError):
        plan.cuts = ()
    with pytest.raises(AttributeError):
        plan.cuts[0].ratio = 0.1


@pytest.mark.parametrize("ratio", [-0.01, 1.01, 1.5, -1, float("nan"), float("inf"), -float("inf")])
def test_ratios_outside_zero_to_one(ratio):
    with pytest.raises(PlanError, match=r"conv1: the ratio removed is .* between 0 and 1"):
        Cut("conv1", "weight", ratio)


@pytest.mark.parametrize("ratio", [0, 0.0, 1, 1.0, 1e-300])
def test_ratios_within(ratio):
    assert Cut("conv1", "weight", ratio).ratio == ratio


@pytest.mark.parametrize("granularity", ["filter", "", "Weight", None])
def test_unknown_granularity(granularity):
    with pytest.raises(PlanError, match=r"conv1: granularity .* is unknown; use weight or channel"):
        Cut("conv1", granularity, 0.5)


def test_a_target_cut_twice():
    with pytest.raises(PlanError, match="cuts a, b twice"):
        Plan(
            "n", "l1", tuple(Cut(t, "weight", r) for t, r in [("b", 0.1), ("a", 0.1), ("b", 0.2), ("a", 0.1)])
        )


def test_weights_and_channels_in_one_plan(net):
    plan = Plan("conv", "l1", (Cut("conv1", "weight", 0.5), Cut("conv1", "channel", 0.25)))
    assert plan.granularity is None and not plan.is_dense
    assert plan.ratios_of("weight") == {"conv1": 0.5} and plan.ratios_of("channel") == {"conv1": 0.25}
    assert plan.only("channel") == make_plan(net, "l1", "channel", {"conv1": 0.25})
    check_plan(plan, net)
    head = Plan("conv", "l1", (Cut("conv1", "weight", 0.5), Cut("head", "channel", 0.25)))
    with pytest.raises(PlanError, match="head keeps its channels"):
        check_plan(head, net)


def test_recut_replaces_one_granularity(net):
    plan = make_plan(net, "l1", "channel", {"conv1": 0.5})
    both = recut(plan, net, "l2", "weight", {"head": 0.3})
    assert both == Plan("conv", "l2", (Cut("conv1", "channel", 0.5), Cut("head", "weight", 0.3)))
    assert recut(both, net, "l2", "weight", {}) == Plan("conv", "l2", plan.cuts)
    assert recut(both, net, "l2", "channel", {"conv2": 0.2}).ratios_of("weight") == {"head": 0.3}


def test_rounded_keeps_multiples(net):
    # 6 and 8 channels: kept 4 of 6, and 4 of 8; a ratio of 0 stays, and what is too small is left alone
    assert rounded(net, {"conv1": 0.4, "conv2": 0.6}, 4) == {"conv1": pytest.approx(1 / 3), "conv2": 0.5}
    assert rounded(net, {"conv1": 0.0, "conv2": 0.99}, 4) == {"conv1": 0.0, "conv2": 0.5}
    assert rounded(net, {"conv1": 0.4}, 16) == {"conv1": 0.0}  # 6 channels cannot be kept in sixteens
    assert rounded(net, {"conv1": 0.4}, 1) == {"conv1": 0.4}


def test_targets(net):
    assert targets(net, "weight") == ("conv1", "conv2", "head")
    assert targets(net, "channel") == ("conv1", "conv2")  # the head's outputs are the answer


def test_make_and_uniform_plan(net):
    made = make_plan(net, "l2", "weight", {"head": 0.5, "conv1": 0.5, "conv2": 0.5})
    assert made == uniform_plan(net, "l2", "weight", 0.5)
    assert made.network == "conv"
    assert made.criterion == "l2"
    assert uniform_plan(net, "l1", "channel", 0.5).ratios == {"conv1": 0.5, "conv2": 0.5}
    assert uniform_plan(net, "l1", "channel", 0.0).is_dense


def test_a_plan_for_another_network(net):
    plan = Plan(
        "other", "l1", (Cut("fc1", "channel", 0.5), Cut("fc2", "channel", 0.5), Cut("conv1", "channel", 0.5))
    )
    with pytest.raises(PlanError) as caught:
        check_plan(plan, net)
    message = str(caught.value)
    assert "'other'" in message
    assert "'conv'" in message
    assert "fc1, fc2" in message
    assert "conv1" not in message  # the networks share it


def test_a_dense_plan_for_another_network(net):
    with pytest.raises(PlanError, match="for the network 'other', not for 'conv'"):
        check_plan(Plan("other", "l1"), net)
    check_plan(Plan("conv", "l1"), net)


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_unknown_targets_are_named_with_the_known(net, granularity):
    with pytest.raises(PlanError) as caught:
        make_plan(net, "l1", granularity, {"conv1": 0.5, "conv9": 0.5, "tail": 0.5})
    message = str(caught.value)
    assert "conv9, tail" in message
    assert all(name in message for name in targets(net, granularity))


def test_a_refused_group_is_named_with_its_reason(net):
    with pytest.raises(
        PlanError, match=r"head keeps its channels: .*4 outputs of head are the network's answer"
    ):
        make_plan(net, "l1", "channel", {"head": 0.5})
    check_plan(make_plan(net, "l1", "weight", {"head": 0.5}), net)


def test_a_member_that_does_not_name_its_group():
    net = architecture("small resnet")[1]
    with pytest.raises(PlanError, match=r"no group of coupled layers called stage1\.0\.conv2.*conv1"):
        make_plan(net, "l1", "channel", {"stage1.0.conv2": 0.5})


def test_a_network_without_groups_offers_no_channels():
    net = trace(randomise(Mlp()), torch.zeros(1, 5), "mlp")
    with pytest.raises(PlanError, match=r"called fc1\. It has: none"):
        make_plan(net, "l1", "channel", {"fc1": 0.5})


def picks(target, removed=(), kept=()):
    return tuple(Pick(target, c, True) for c in removed) + tuple(Pick(target, c, False) for c in kept)


def test_picks_are_sorted_and_count_for_equality():
    chosen = picks("b", (3, 10, 2), (1,)) + picks("a", (7,))
    plans = [Plan("n", "l1", (), order) for order in itertools.permutations(chosen)]
    assert len(set(plans)) == 1
    assert [(p.target, p.channel) for p in plans[-1].picks] == [
        ("a", 7),
        ("b", 1),
        ("b", 2),
        ("b", 3),
        ("b", 10),
    ]
    others = [
        Plan("n", "l1", (), chosen[1:]),
        Plan("n", "l1", (), (*chosen[:-1], Pick("a", 7, False))),
        Plan("n", "l1", (), (*chosen[:-1], Pick("a", 8, True))),
        Plan("n", "l1", (), (*chosen[:-1], Pick("c", 7, True))),
        Plan("n", "l1", (Cut("a", "channel", 0.5),), chosen),
    ]
    assert len({plans[0], *others}) == 6
    with pytest.raises(AttributeError):
        plans[0].picks[0].removed = False


def test_what_a_plan_with_picks_is():
    kept, removed = Plan("n", "l1", (), picks("a", (), (1,))), Plan("n", "l1", (), picks("a", (1,), (2,)))
    assert kept.is_dense and kept.granularity is None  # it removes nothing
    assert not removed.is_dense and removed.granularity == "channel" and removed.ratios == {}
    weights = Plan("n", "l1", (Cut("a", "weight", 0.5),), removed.picks)
    assert weights.granularity is None and not weights.is_dense
    assert Plan("n", "l1", (Cut("a", "weight", 0.5),), kept.picks).granularity == "weight"
    assert weights.only("weight") == Plan("n", "l1", (Cut("a", "weight", 0.5),))
    assert weights.only("channel") == removed
    assert removed.picks_of("a") == removed.picks and removed.picks_of("b") == ()
    assert removed.pick_of("a", 1).removed and not removed.pick_of("a", 2).removed
    assert removed.pick_of("a", 3) is None and removed.pick_of("b", 1) is None


@pytest.mark.parametrize("channel", [True, False, -1, 1_000_000, 3.0, "3", None])
def test_what_is_no_channel(channel):
    with pytest.raises(PlanError, match=r"conv1: .* is no channel"):
        Pick("conv1", channel, True)


def test_a_channel_picked_twice():
    for one, other in itertools.product((True, False), repeat=2):
        with pytest.raises(PlanError, match="picks channel 3 of a twice"):
            Plan("n", "l1", (), (Pick("a", 3, one), Pick("b", 3, one), Pick("a", 3, other)))


def test_no_more_picks_than_a_file_may_hold():
    with pytest.raises(PlanError, match=f"at most {MAX_PICKS:,}"):
        Plan("n", "l1", (), picks("a", range(MAX_PICKS + 1)))


def test_recut_keeps_picks(net):
    plan = Plan("conv", "l1", (Cut("conv1", "channel", 0.5),), picks("conv2", (1,), (0,)))
    moved = recut(plan, net, "l2", "channel", {"conv2": 0.25})
    assert moved == Plan("conv", "l2", (Cut("conv2", "channel", 0.25),), plan.picks)
    assert recut(moved, net, "l2", "weight", {}).picks == plan.picks


def test_repick(net):
    plan = Plan("conv", "l1", (Cut("conv1", "channel", 0.5),))
    removed = repick(plan, net, "conv1", 3, True)
    assert removed == Plan("conv", "l1", plan.cuts, (Pick("conv1", 3, True),))
    kept = repick(repick(removed, net, "conv2", 3, False), net, "conv1", 3, False)
    assert kept.picks == (Pick("conv1", 3, False), Pick("conv2", 3, False))
    assert repick(kept, net, "conv1", 3, None).picks == (Pick("conv2", 3, False),)
    assert repick(plan, net, "conv1", 3, None) == plan
    with pytest.raises(PlanError, match="conv1 has 6 channels, counted from 0, and no channel 6"):
        repick(plan, net, "conv1", 6, False)
    assert plan.picks == ()


@pytest.mark.parametrize("removed", [True, False])
def test_picks_are_checked_against_the_network(net, removed):
    check_plan(Plan("conv", "l1", (), (Pick("conv1", 5, removed),)), net)
    with pytest.raises(PlanError, match="head keeps its channels"):
        check_plan(Plan("conv", "l1", (), (Pick("head", 0, removed),)), net)
    with pytest.raises(PlanError, match=r"no group of coupled layers called conv9\. It has: conv1, conv2"):
        check_plan(Plan("conv", "l1", (), (Pick("conv9", 0, removed),)), net)
    with pytest.raises(PlanError, match="no channel 8"):
        check_plan(Plan("conv", "l1", (), (Pick("conv2", 8, removed),)), net)
    with pytest.raises(PlanError, match=r"'other'.*fc1"):
        check_plan(Plan("other", "l1", (), (Pick("fc1", 0, removed),)), net)


def test_one_channel_stays(net):
    check_plan(Plan("conv", "l1", (), picks("conv1", range(5))), net)
    with pytest.raises(PlanError, match="All 6 channels of conv1 would go"):
        check_plan(Plan("conv", "l1", (), picks("conv1", range(6))), net)


def test_one_channel_of_each_part_stays():
    group = Group("g", ("g",), 6, parts=((0, 1, 2), (3, 4)))
    for gone in ((), (0, 1, 3, 5), (5, 1, 2, 4)):
        check_left(group, gone)
    with pytest.raises(PlanError, match="channels 3, 4 of g would all go"):
        check_left(group, (0, 3, 4))
    with pytest.raises(PlanError, match="channels 0, 1, 2 of g would all go"):
        check_left(group, (0, 1, 2, 3))


def test_rounded_counts_what_was_picked(net):
    for removed, kept in (((7,), ()), ((), (0, 1, 2)), ((7, 6), (0, 3)), ((0,), ())):
        _, gone = by_hand(range(8), picks("conv2", removed, kept))
        for asked in (0.1, 0.3, 0.5, 0.7, 0.9):
            ratio = rounded(net, {"conv2": asked}, 4, {"conv2": gone})["conv2"]
            count = round(ratio * 8)
            taken = (set(range(count)) | set(removed)) - set(kept)
            reachable = [
                k for k in range(8) if (8 - len((set(range(k)) | set(removed)) - set(kept))) in (4, 8)
            ]
            assert ratio == pytest.approx(count / 8) and (8 - len(taken)) % 4 == 0
            assert abs(count - asked * 8) == min(abs(k - asked * 8) for k in reachable)
    _, gone = by_hand(range(6), picks("conv1", (5,)))
    assert rounded(net, {"conv1": 0.5}, 16, {"conv1": gone}) == {"conv1": 0.0}
    assert rounded(net, {"conv1": 0.0}, 4, {"conv1": gone}) == {"conv1": 0.0}
