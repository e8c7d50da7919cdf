"""The solver against looking at every step."""

import math

import pytest
import torch

from analysis.allocation import solve as solving
from analysis.allocation.costs import share
from analysis.allocation.goals import Goal
from analysis.allocation.methods.greedy import greedy
from analysis.allocation.methods.uniform import uniform
from analysis.allocation.path import Path
from analysis.allocation.solve import MARKS, solve
from analysis.measure.quality import evaluate, headline
from analysis.pruning.groups import with_groups
from analysis.pruning.prune import prune
from analysis.tracing import trace
from tests.allocation.problems import conv_gauge, gauge_of, mlp_gauge, noise, problem_of, resnet_gauge
from tests.networks import Shares, randomise

GAUGES = {"mlp": mlp_gauge, "conv": conv_gauge, "resnet": resnet_gauge}


@pytest.mark.parametrize("value", [0.2, 0.5, 0.81, 1.0])
@pytest.mark.parametrize(
    ("granularity", "kind"),
    [("channel", "macs"), ("channel", "parameters"), ("channel", "bytes"), ("weight", "connections")],
)
@pytest.mark.parametrize("name", GAUGES)
def test_the_first_step_that_meets_a_cost_is_found(name, granularity, kind, value):
    problem = problem_of(GAUGES[name](), granularity)
    path = greedy(problem, "macs", "smallest-loss")
    shares = [share(problem, kind, path.at(step)) for step in range(path.steps + 1)]
    first = next((step for step, left in enumerate(shares) if left <= value), None)
    solution = solve(problem, Goal(kind, value), path)
    if first is None:
        assert solution is None
        return
    assert solution is not None
    assert (solution.step, solution.counts, solution.value) == (first, path.at(first), shares[first])
    assert solution.looks <= 2 + path.steps.bit_length()


@pytest.mark.parametrize("floor", [0.3, 0.6, 0.9, 1.0])
@pytest.mark.parametrize("granularity", ["weight", "channel"])
@pytest.mark.parametrize("name", GAUGES)
def test_the_furthest_mark_that_keeps_the_quality_is_found(name, granularity, floor):
    problem = problem_of(GAUGES[name](), granularity)
    path = uniform(problem)

    def measured(step):
        network = prune(problem.network, problem.plan(path.at(step)), problem.scores)
        return headline(evaluate(network, problem.gauge.split, problem.gauge.task)).value

    solution = solve(problem, Goal("floor", floor), path)
    assert solution is not None
    assert measured(solution.step) >= floor - 1e-9
    assert solution.step == path.steps or measured(solution.step + 1) < floor
    marks = [round(path.steps * i / MARKS) for i in range(MARKS + 1)]
    assert all(measured(mark) < floor for mark in marks if mark > solution.step)


def test_what_cannot_be_kept_anywhere_is_not_found():
    """A locked layer is cut already: the path begins below what is asked."""
    first = problem_of(mlp_gauge(), "channel").free[0]
    problem = problem_of(mlp_gauge(), "channel", held={first: 1.0}, cap=1.0)
    path = Path(1, lambda step: problem.limits if step else dict.fromkeys(problem.free, 0))
    assert max(solving.headline_at(problem, path.at(step), 1.0) for step in (0, 1)) < 1
    assert solve(problem, Goal("floor", 1.0), path) is None


def test_a_timing_is_met_where_it_was_timed(monkeypatch):
    problem = problem_of(mlp_gauge(), "channel")
    path = uniform(problem)
    asked = []

    def timed(given, kind, counts):
        assert given is problem and kind == "latency"
        asked.append(1 - sum(counts.values()) / 20)
        return asked[-1]

    monkeypatch.setattr(solving, "share", timed)
    solution = solve(problem, Goal("latency", 0.8), path)
    assert solution is not None and solution.value <= 0.8 and solution.value in asked
    assert solution.looks == len(asked)


def test_progress_rises_to_one():
    told = []
    problem = problem_of(mlp_gauge(), "channel")
    solve(problem, Goal("macs", 0.5), uniform(problem), told.append)
    assert told == sorted(told) and told[-1] == 1 and len(told) > 2


def test_answers_that_are_no_numbers_lie_below_every_floor():
    module = randomise(Shares())
    with torch.no_grad():
        module.first.weight.abs_()
    gauge = gauge_of(with_groups(trace(module, torch.ones(1, 5), "shares")), noise((5,)).abs())
    problem = problem_of(gauge, "weight", cap=1.0)
    assert solving.headline_at(problem, {"first": 40}, 0.0) == -math.inf
    solution = solve(problem, Goal("floor", 0.0), uniform(problem))
    assert solution is not None and solution.counts["first"] < 40
