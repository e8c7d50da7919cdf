"""What may be cut, and the arithmetic of it, against counting the pruned network."""

import random

import pytest

from analysis.allocation.costs import dense_value, pruned, share
from analysis.allocation.goals import GOALS
from analysis.allocation.problem import make_problem
from analysis.errors import PlanError
from analysis.importance.registry import score
from analysis.measure.cost import cost
from analysis.measure.size import size
from analysis.pruning.plan import targets
from analysis.pruning.selection import select
from tests.allocation.problems import conv_gauge, gauge_of, mlp_gauge, noise, problem_of, resnet_gauge
from tests.networks import same, snapshot
from tests.zoo import opened
from tests.zoo.networks import BY_NAME

GAUGES = {"mlp": mlp_gauge, "conv": conv_gauge, "resnet": resnet_gauge}
COSTS = [name for name, kind in GOALS.items() if kind.is_cost and name != "latency"]


def by_hand(network, kind):
    return {
        "macs": lambda: cost(network).macs,
        "parameters": lambda: sum(p.numel() for p in network.module.parameters()),
        "connections": lambda: cost(network).nonzero_connections,
        "bytes": lambda: size(network).saved,
        "best-bytes": lambda: size(network).best,
    }[kind]()


@pytest.mark.parametrize("kind", COSTS)
@pytest.mark.parametrize("granularity", ["weight", "channel"])
@pytest.mark.parametrize("name", GAUGES)
def test_a_share_is_that_of_the_pruned_network(name, granularity, kind):
    problem = problem_of(GAUGES[name](), granularity)
    before, draw = snapshot(problem.network.module), random.Random(1)
    for _ in range(3):
        counts = {target: draw.randint(0, limit) for target, limit in problem.limits.items()}
        found = by_hand(pruned(problem, counts), kind) / by_hand(problem.network, kind)
        assert share(problem, kind, counts) == pytest.approx(found)
        assert share(problem, kind, counts) <= share(problem, kind, {}) == 1
    assert same(before, snapshot(problem.network.module))


@pytest.mark.parametrize("name", ["embedding-tied", "resnet-projection", "two-heads", "densenet", "lstm"])
def test_counting_weights_agrees_with_the_pruned_zoo(name):
    network = opened.from_module(name)
    problem = problem_of(gauge_of(network, BY_NAME[name].inputs(8)), "weight")
    counts = {target: limit // 2 for target, limit in problem.limits.items()}
    assert problem.connections(counts) == cost(pruned(problem, counts)).nonzero_connections
    assert problem.connections({}) == dense_value(network, "connections")


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_exactly_the_counts_go(granularity):
    problem = problem_of(resnet_gauge(), granularity)
    draw = random.Random(0)
    for _ in range(5):
        counts = {target: draw.randint(0, limit) for target, limit in problem.limits.items()}
        chosen = select(problem.network, problem.plan(counts), problem.scores)
        gone = {t: len(c) for t, c in chosen.channels.items()} | {
            t: int(mask.sum()) for t, mask in chosen.weights.items()
        }
        assert gone == {target: count for target, count in counts.items() if count}
        assert problem.counts(problem.ratios(counts)) == counts


@pytest.mark.parametrize("granularity", ["weight", "channel"])
@pytest.mark.parametrize("cap", [0.01, 0.5, 0.95, 1.0])
def test_no_limit_lets_more_go_than_the_cap_or_the_last_channel(granularity, cap):
    problem = problem_of(resnet_gauge(), granularity, cap=cap)
    for target, limit in problem.limits.items():
        floor = problem.network.group(target).floor if granularity == "channel" else 0
        assert limit <= min(cap * problem.sizes[target] + 1e-6, problem.sizes[target] - floor)
        assert limit + 1 > min(cap * problem.sizes[target] - 1e-6, problem.sizes[target] - floor)


def test_held_targets_stay_as_they_are():
    gauge = mlp_gauge()
    names = targets(gauge.network, "channel")
    problem = problem_of(gauge, "channel", held={names[0]: 0.4})
    assert problem.free == names[1:]
    assert problem.plan({names[1]: 3}).ratios == {names[0]: 0.4, names[1]: 0.5}
    assert problem.plan({}).ratios == {names[0]: 0.4}
    found = cost(pruned(problem, {names[1]: 3}))
    assert share(problem, "macs", {names[1]: 3}) == found.macs / cost(gauge.network).macs


def test_targets_that_take_no_part_say_why():
    problem = problem_of(conv_gauge(), "channel")
    refused = [group for group in problem.network.groups if not group.is_prunable]
    assert refused and problem.shut == {group.name: group.reason for group in refused}
    scored = make_problem(conv_gauge(), score(conv_gauge().network, "bn-scale"), "weight")
    assert not scored.limits and set(scored.shut) == {"conv1", "conv2", "head"}
    assert all("BatchNorm scale" in reason for reason in scored.shut.values())


def test_an_unknown_held_target_and_a_cap_of_nothing_are_refused():
    gauge = gauge_of(opened.from_module("mlp"), BY_NAME["mlp"].inputs(8))
    with pytest.raises(PlanError, match=r"no target called 'nothing' to hold"):
        problem_of(gauge, "channel", held={"nothing": 0.1})
    for cap in (0.0, -1.0, 1.5, float("nan")):
        with pytest.raises(PlanError, match="The cap is"):
            problem_of(gauge, "channel", cap=cap)


def test_the_order_of_scores_is_the_order_in_which_channels_go():
    problem = problem_of(gauge_of(conv_gauge().network, noise((2, 5, 5))), "channel")
    for target in problem.free:
        values = problem.values(target).tolist()
        assert values == sorted(values) and len(values) == problem.sizes[target]
