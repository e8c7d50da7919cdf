"""Schedules against their formulas by hand; the last step is the plan, and no target ever gets back."""

from __future__ import annotations

import math

import pytest

from analysis.errors import PlanError
from analysis.pruning.plan import Cut, Pick, Plan, make_plan
from analysis.recovery.levels import MAX_STEPS, SCHEDULES, in_order, levels, step_count
from tests.networks import ConvNet, Mlp, architecture, load, randomise


@pytest.fixture(scope="module")
def net():
    return load(randomise(Mlp()), (5,), "mlp")


def ratios(found, target):
    return [next((cut.ratio for cut in cuts if cut.target == target), 0.0) for cuts in found]


@pytest.mark.parametrize(
    ("schedule", "final", "expected"),
    [
        ("one-shot", 0.8, [0.8]),
        ("linear", 0.8, [0.2, 0.4, 0.6, 0.8]),
        ("cubic", 0.8, [0.8 * 37 / 64, 0.7, 0.8 * 63 / 64, 0.8]),  # 1 - (3/4)^3 = 37/64
        ("constant-rate", 15 / 16, [1 / 2, 3 / 4, 7 / 8, 15 / 16]),  # half of what is left
        ("constant-rate", 1.0, [1.0, 1.0, 1.0, 1.0]),
        ("exponential", 0.5, [0.5 * part / (1 + 1 / math.e + math.e**-2 + math.e**-3) for part in
                              (1, 1 + 1 / math.e, 1 + 1 / math.e + math.e**-2,
                               1 + 1 / math.e + math.e**-2 + math.e**-3)]),
    ],
)  # fmt: skip
def test_ratios_are_those_of_the_formula(net, schedule, final, expected):
    plan = make_plan(net, "l1", "weight", {"fc1": final, "fc2": final / 2})
    found = levels(schedule, net, plan, 4)
    assert ratios(found, "fc1") == pytest.approx(expected, abs=1e-12)
    assert len(found) == step_count(schedule, plan, 4)


@pytest.mark.parametrize("schedule", sorted(SCHEDULES))
@pytest.mark.parametrize("steps", [1, 2, 3, 7, MAX_STEPS])
def test_no_target_gets_back_and_the_last_step_is_the_plan(schedule, steps):
    _, network = architecture("resnet")
    groups = [group for group in network.groups if group.is_prunable]
    cuts = [Cut(group.name, "channel", 0.3 + 0.1 * (i % 6)) for i, group in enumerate(groups)]
    cuts += [Cut(layer.name, "weight", 0.97 - 0.13 * (i % 5)) for i, layer in enumerate(network.layers)]
    plan = Plan(network.name, "l1", tuple(cuts))
    found = levels(schedule, network, plan, steps)
    assert len(found) == step_count(schedule, plan, steps) <= steps
    assert found[-1] == plan.cuts
    before: dict = {}
    for made in found:
        now = {(cut.target, cut.granularity): cut.ratio for cut in made}
        assert all(now.get(key, 0) >= ratio for key, ratio in before.items())
        assert now != before, "a step removes something"
        before = now


def test_layer_by_layer_one_target_after_another_is_done(net):
    plan = make_plan(net, "l1", "weight", {"fc1": 0.5, "fc2": 0.6, "head": 0.7})
    done = [{cut.target: cut.ratio for cut in cuts} for cuts in levels("bottom-up", net, plan, 9)]
    assert done == [{"fc1": 0.5}, {"fc1": 0.5, "fc2": 0.6}, {"fc1": 0.5, "fc2": 0.6, "head": 0.7}]
    done = [{cut.target for cut in cuts} for cuts in levels("top-down", net, plan, 9)]
    assert done == [{"head"}, {"head", "fc2"}, {"head", "fc2", "fc1"}]
    done = [{cut.target for cut in cuts} for cuts in levels("bottom-up", net, plan, 2)]
    assert done == [{"fc1", "fc2"}, {"fc1", "fc2", "head"}], "three targets in two steps: two, then one"


def test_the_order_is_that_of_the_first_layer_called():
    network = load(randomise(ConvNet()), (2, 5, 5))
    plan = Plan(network.name, "l1", tuple(Cut(name, "weight", 0.5) for name in ("head", "conv2", "conv1")))
    assert in_order(network, plan) == ["conv1", "conv2", "head"]
    _, network = architecture("resnet")
    names = [group.name for group in network.groups if group.is_prunable]
    plan = Plan(network.name, "l1", tuple(Cut(name, "channel", 0.5) for name in names))
    found = in_order(network, plan)
    place = [layer.name for layer in network.layers]
    firsts = [min(map(place.index, network.group(name).members)) for name in found]
    assert firsts == sorted(firsts) and sorted(found) == sorted(names)


def test_refusals_name_the_remedy(net):
    plan = make_plan(net, "l1", "weight", {"fc1": 0.5})
    with pytest.raises(PlanError, match=r"no schedule 'quick'.*cubic"):
        levels("quick", net, plan, 4)
    for steps in (0, MAX_STEPS + 1):
        with pytest.raises(PlanError, match=f"choose 1 to {MAX_STEPS}"):
            levels("cubic", net, plan, steps)
    with pytest.raises(PlanError, match="removes nothing"):
        levels("cubic", net, Plan(net.name, "l1"), 4)
    by_hand = Plan(net.name, "l1", picks=(Pick(net.groups[0].name, 0, True),))
    with pytest.raises(PlanError, match=r"by hand alone.*fine-tune"):
        levels("cubic", net, by_hand, 4)
