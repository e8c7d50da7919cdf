"""Uniform cuts, thresholds and LAMP against sorting and summing by hand."""

from dataclasses import replace
from itertools import pairwise

import pytest
import torch

from analysis.allocation.goals import Goal
from analysis.allocation.methods.lamp import lamp, lamp_scores
from analysis.allocation.methods.ranked import ranked
from analysis.allocation.methods.threshold import normalised, plain
from analysis.allocation.methods.uniform import STEPS, uniform
from analysis.allocation.proposal import propose
from analysis.allocation.registry import METHODS
from analysis.allocation.search import make_seeds
from analysis.errors import PlanError
from analysis.importance.scores import group_scores
from analysis.pruning.plan import uniform_plan
from analysis.pruning.selection import select
from tests.allocation.problems import conv_gauge, gauge_of, mlp_gauge, problem_of, resnet_gauge
from tests.networks import same, snapshot
from tests.zoo import opened
from tests.zoo.networks import BY_NAME

GAUGES = {"mlp": mlp_gauge, "conv": conv_gauge, "resnet": resnet_gauge}


def scores_of(problem, target):
    if problem.granularity == "weight":
        return problem.scores.values[target].flatten().tolist()
    return group_scores(problem.scores, problem.network, problem.network.group(target)).tolist()


def lowest(problem, values, number):
    """How many of each target are among the lowest `number` values that may go, by one sort of all."""
    able = [
        (value, i, target)
        for i, target in enumerate(problem.free)
        for value in sorted(values[target])[: problem.limits[target]]
    ]
    chosen = [target for _, _, target in sorted(able)[:number]]
    return {target: chosen.count(target) for target in problem.free}


@pytest.mark.parametrize("granularity", ["weight", "channel"])
@pytest.mark.parametrize("name", GAUGES)
def test_uniform_is_the_uniform_plan(name, granularity):
    problem = problem_of(GAUGES[name](), granularity, cap=1.0)
    path = uniform(problem)
    for step in (0, 1, 130, 500, 777, 1000):
        plan = uniform_plan(problem.network, "l1", granularity, step / STEPS)
        expected = select(problem.network, plan, problem.scores)
        found = select(problem.network, problem.plan(path.at(step)), problem.scores)
        assert {t: c for t, c in expected.channels.items() if c} == dict(found.channels)
        assert all(
            torch.equal(mask, found.weights.get(target, torch.zeros_like(mask)))
            for target, mask in expected.weights.items()
        )


@pytest.mark.parametrize("way", ["plain", "mean"])
@pytest.mark.parametrize("granularity", ["weight", "channel"])
@pytest.mark.parametrize("name", GAUGES)
def test_a_threshold_is_a_sort_over_all_scores(name, granularity, way):
    problem = problem_of(GAUGES[name](), granularity)
    values = {target: scores_of(problem, target) for target in problem.free}
    if way == "mean":
        values = {t: [v / (sum(own) / len(own)) for v in own] for t, own in values.items()}
    path = plain(problem) if way == "plain" else normalised(problem)
    total = sum(problem.limits.values())
    for step in {0, 1, path.steps // 3, path.steps // 2, path.steps - 1, path.steps}:
        assert path.at(step) == lowest(problem, values, total * step // path.steps)
    assert path.at(path.steps) == problem.limits


def test_lamp_scores_are_the_papers():
    squares = (torch.randn(9, generator=torch.Generator().manual_seed(3)).double() ** 2).sort().values
    slow = []
    for u in range(9):
        left = 0.0
        for v in range(9):
            if v >= u:
                left += float(squares[v])
        slow.append(float(squares[u]) / left)
    assert lamp_scores(squares).tolist() == pytest.approx(slow)
    assert lamp_scores(squares)[-1] == 1
    assert lamp_scores(torch.zeros(3)).tolist() == [0, 0, 0]


@pytest.mark.parametrize("criterion", ["l1", "l2"])
@pytest.mark.parametrize("name", GAUGES)
def test_lamp_removes_what_the_paper_removes(name, criterion):
    problem = problem_of(GAUGES[name](), "weight", criterion)
    values = {}
    for target in problem.free:
        sizes = sorted(abs(float(w)) for w in problem.network.weight(target).flatten())
        values[target] = [w**2 / sum(v**2 for v in sizes[i:]) for i, w in enumerate(sizes)]
    path, total = lamp(problem), sum(problem.limits.values())
    for share in (0.1, 0.5, 0.9):
        step = round(path.steps * share)
        number = total * step // path.steps
        found, expected = path.at(step), lowest(problem, values, number)
        assert sum(found.values()) == number
        assert all(abs(found[t] - expected[t]) <= 1 for t in problem.free)  # rounding of sums at a tie


def test_a_channel_that_must_stay_holds_back_only_itself():
    """Of a group with parts the best of each part goes last, whatever it scores."""
    problem = problem_of(
        gauge_of(opened.from_module("shufflenet-v2"), BY_NAME["shufflenet-v2"].inputs(8)), "channel"
    )
    path = plain(problem)
    found = [path.at(step) for step in range(path.steps + 1)]
    for before, after in pairwise(found):
        assert all(before[t] <= after[t] <= problem.limits[t] for t in problem.free)


def test_a_later_lower_value_counts_as_the_one_before():
    problem = problem_of(mlp_gauge(), "channel")
    first, second = problem.free
    values = {first: torch.tensor([5.0, 1.0, 1.0, 9, 9, 9, 9]), second: torch.tensor([2.0, 3, 4, 6, 7, 8])}
    path = ranked(problem, values)
    order = [(path.at(step)[first], path.at(step)[second]) for step in range(7)]
    assert order == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 3), (2, 3), (3, 3)]


@pytest.mark.parametrize("make", [uniform, plain, normalised, lamp])
def test_nothing_is_modified(make):
    problem = problem_of(resnet_gauge(), "weight")
    before = snapshot(problem.network.module)
    scores = {name: values.clone() for name, values in problem.scores.values.items()}
    make(problem).at(3)
    assert same(before, snapshot(problem.network.module))
    assert all(torch.equal(values, problem.scores.values[name]) for name, values in scores.items())


@pytest.mark.parametrize("method", ["lamp", "global-mean"])
def test_scores_below_zero_are_no_shares(method):
    """The methods that are named instead are those that find a plan."""
    problem = problem_of(mlp_gauge(), "weight")
    values = {name: value - 0.1 for name, value in problem.scores.values.items()}
    signed = replace(problem, scores=replace(problem.scores, values=values, criterion="movement"))
    with pytest.raises(PlanError, match="criterion movement gives some below 0") as refusal:
        METHODS[method].path(signed, "macs", "smallest-loss")
    for other in METHODS.values():
        assert (other.label in str(refusal.value).split(": ")[1]) == other.takes_signed
        if other.takes_signed:
            assert propose(signed, Goal("connections", 0.5), other.name).share <= 0.5
    assert method not in {seed.origin for seed in make_seeds(signed, "connections")}
