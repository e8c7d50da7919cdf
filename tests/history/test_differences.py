"""What plans say differently: by hand, and against asking every plan of every target."""

import itertools
import random

import pytest

from analysis.history.differences import Difference, plan_differences
from analysis.pruning.plan import Cut, Pick, Plan

DIGEST = "0123456789abcdef" * 4


def plan(*cuts, criterion="l1", picks=(), recovered=""):
    return Plan("net", criterion, cuts, picks, recovered)


def test_cuts_by_hand():
    one = plan(Cut("a", "channel", 0.5), Cut("b", "channel", 0.25), Cut("a", "weight", 0.1))
    other = plan(Cut("a", "channel", 0.5), Cut("c", "channel", 0.75))
    assert plan_differences([one, other]) == (
        Difference("weight", "a", ratios=(0.1, 0.0)),
        Difference("channel", "b", ratios=(0.25, 0.0)),
        Difference("channel", "c", ratios=(0.0, 0.75)),
    )


def test_criterion_and_recovery_come_first():
    one = plan(Cut("a", "weight", 0.5), recovered=DIGEST)
    other = plan(Cut("a", "weight", 0.6), criterion="random")
    assert plan_differences([one, other]) == (
        Difference("criterion", names=("l1", "random")),
        Difference("recovery", names=(DIGEST, "")),
        Difference("weight", "a", ratios=(0.5, 0.6)),
    )


def test_a_plan_that_ranks_nothing_has_no_criterion_to_differ_in():
    dense, cut = plan(criterion="l1"), plan(Cut("a", "weight", 0.5), criterion="random")
    assert plan_differences([dense, cut]) == (Difference("weight", "a", ratios=(0.0, 0.5)),)
    third = plan(Cut("a", "weight", 0.5), criterion="l2")
    assert plan_differences([dense, cut, third])[0] == Difference("criterion", names=("", "random", "l2"))


def test_picks_that_all_plans_share_are_left_out():
    common, gone, stays = Pick("a", 0, True), Pick("a", 3, True), Pick("a", 3, False)
    other = Pick("b", 7, True)
    plans = [plan(picks=(common, gone)), plan(picks=(stays, other, common)), plan(picks=(common,))]
    assert plan_differences(plans) == (
        Difference("by hand", "a", picks=((gone,), (stays,), ())),
        Difference("by hand", "b", picks=((), (other,), ())),
    )


def test_equal_plans_one_plan_and_none_differ_in_nothing():
    one = plan(Cut("a", "channel", 0.5), picks=(Pick("a", 1, False),), recovered=DIGEST)
    assert plan_differences([one, one, one]) == plan_differences([one]) == plan_differences([]) == ()


@pytest.mark.parametrize("seed", range(25))
def test_against_asking_every_plan_of_every_target(seed):
    draw = random.Random(seed)
    targets, kinds, ratios = "abcd", ("weight", "channel"), (0.0, 0.25, 0.5)
    plans = [
        plan(*(Cut(t, g, draw.choice(ratios)) for t in targets for g in kinds if draw.random() < 0.6))
        for _ in range(draw.randrange(2, 5))
    ]
    asked = {}
    for target, granularity in itertools.product(targets, kinds):
        said = tuple(
            sum(c.ratio for c in p.cuts if (c.target, c.granularity) == (target, granularity)) for p in plans
        )
        if any(ratio != said[0] for ratio in said):
            asked[granularity, target] = said
    found = plan_differences(plans)
    assert {(d.aspect, d.target): d.ratios for d in found} == asked
    assert [(kinds.index(d.aspect), d.target) for d in found] == sorted(
        (kinds.index(granularity), target) for granularity, target in asked
    )
