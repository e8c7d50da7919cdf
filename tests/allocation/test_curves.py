"""Methods that read curves, against trying every combination."""

import heapq
import itertools
import math
from itertools import pairwise

import pytest

from analysis.allocation.losses import Losses
from analysis.allocation.methods.greedy import ORDERS, TOLERANCES, greedy
from analysis.allocation.methods.knapsack import knapsack, least_losses, unbeaten
from analysis.allocation.problem import make_problem
from analysis.errors import PrunescopeError
from analysis.importance.registry import score
from analysis.live import Gauge
from analysis.sensitivity import predict
from tests.allocation.problems import conv_gauge, mlp_gauge, problem_of, resnet_gauge
from tests.networks import Mlp, load, randomise, split


def loss_of(problem, counts):
    """The loss of an allocation by the app's own prediction of a plan (curves here never rise)."""
    gauge = problem.gauge
    value = predict(problem.curves, problem.ratios(counts), dense=gauge.dense_headline, floor=gauge.floor)
    return -math.log((value - gauge.floor) / (gauge.dense_headline - gauge.floor))


@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_losses_add_up_to_what_the_prediction_says(granularity):
    problem = problem_of(resnet_gauge(), granularity, cap=0.8)
    losses = Losses(problem)
    for share in (0.0, 0.15, 0.3, 0.5):
        counts = problem.counts({t: share * (0.5 + 0.1 * i) for i, t in enumerate(problem.free)})
        total = sum(losses(target, count) for target, count in counts.items())
        assert total == pytest.approx(loss_of(problem, counts), abs=1e-9)


def test_a_rise_of_a_curve_is_not_believed():
    problem = problem_of(mlp_gauge(), "weight", share=lambda i, r: {0.1: 1.1, 0.3: 0.5, 0.5: 0.8}.get(r, 0.4))
    losses = Losses(problem)
    assert losses("fc2", 4) == 0.0  # above the dense network: nothing is lost
    assert losses("fc2", 21) == losses("fc2", 13) == pytest.approx(-math.log(0.5), abs=0.02)
    found = [losses("fc2", count) for count in range(43)]
    assert found == sorted(found) and found[0] == 0 and math.isfinite(found[-1])


def test_greedy_on_separable_costs_is_the_best_of_all_allocations():
    """Weights of a tiny network: each saves one, and losses are convex, so no allocation of a size loses less."""
    problem = problem_of(mlp_gauge(), "weight", cap=0.3)
    losses, path = Losses(problem), greedy(problem, "parameters", "smallest-loss")
    best = {}
    for counts in itertools.product(*(range(limit + 1) for limit in problem.limits.values())):
        lost = sum(losses(t, c) for t, c in zip(problem.free, counts, strict=True))
        best[sum(counts)] = min(best.get(sum(counts), math.inf), lost)
    assert path.steps == sum(problem.limits.values())
    for step in range(path.steps + 1):
        counts = path.at(step)
        assert sum(counts.values()) == step
        assert sum(losses(t, c) for t, c in counts.items()) == pytest.approx(best[step], abs=1e-9)


@pytest.mark.parametrize("guide", ["macs", "parameters"])
@pytest.mark.parametrize("gauge", [conv_gauge, resnet_gauge])
def test_greedy_weighs_as_if_all_steps_were_weighed_anew(gauge, guide):
    problem = problem_of(gauge(), "channel")
    losses, counts = Losses(problem), dict.fromkeys(problem.free, 0)
    path = greedy(problem, guide, "smallest-loss")
    for step in range(1, path.steps + 1):
        whole = problem.burden(counts, guide)

        def weight(target, whole=whole):
            more = {**counts, target: counts[target] + 1}
            saving = whole - problem.burden(more, guide)
            lost = losses(target, more[target]) - losses(target, counts[target])
            return lost / saving, -saving, problem.free.index(target)

        able = [target for target in problem.free if counts[target] < problem.limits[target]]
        counts[heapq.nsmallest(1, able, key=weight)[0]] += 1
        assert path.at(step) == counts
    assert counts == problem.limits


@pytest.mark.parametrize("order", ["leaf-first", "by-layer"])
def test_an_order_goes_through_the_targets_in_rounds(order):
    problem = problem_of(resnet_gauge(), "channel")
    losses, path = Losses(problem), greedy(problem, "macs", order)
    names = problem.free[::-1] if order == "leaf-first" else problem.free
    expected = [dict.fromkeys(problem.free, 0)]
    for most in [*(-math.log(1 - tolerance) for tolerance in TOLERANCES), math.inf]:
        for target in names:
            while (now := expected[-1])[target] < problem.limits[target]:
                if losses(target, now[target] + 1) > most:
                    break
                expected.append({**now, target: now[target] + 1})
    assert [path.at(step) for step in range(path.steps + 1)] == expected


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("granularity", ["weight", "channel"])
def test_a_path_goes_from_nothing_to_the_limits_and_never_back(granularity, order):
    problem = problem_of(resnet_gauge(), granularity)
    path = greedy(problem, "macs", order)
    assert path.at(0) == dict.fromkeys(problem.free, 0) and path.at(path.steps) == problem.limits
    for step in range(path.steps):
        before, after = path.at(step), path.at(step + 1)
        assert sum(after[t] > before[t] for t in problem.free) == 1
        assert all(after[t] >= before[t] for t in problem.free)


def test_what_is_free_goes_first_and_zeros_do_not_block():
    """A target whose loss is nothing up to 90% goes before all others, even where it saves little."""
    problem = problem_of(resnet_gauge(), "channel", share=lambda i, r: 1.0 if i == 1 else 1 - r)
    path, target = greedy(problem, "macs", "smallest-loss"), problem.free[1]
    spared = int(0.9 * problem.sizes[target])
    counts = path.at(spared)
    assert counts == {**dict.fromkeys(problem.free, 0), target: spared}


def test_the_knapsack_is_exact_where_costs_add_up():
    """Every combination of every 5% of three layers: none loses less for what it saves."""
    problem = problem_of(mlp_gauge(), "weight", cap=0.6, share=lambda i, r: 1 - r ** (0.4 + 0.8 * i))
    losses = Losses(problem)
    options = [
        sorted({*(min(int(n / 20 * problem.sizes[t] + 0.5), limit) for n in range(21)), limit})
        for t, limit in problem.limits.items()
    ]
    every = [
        (sum(losses(t, c) for t, c in zip(problem.free, counts, strict=True)), sum(counts))
        for counts in itertools.product(*options)
    ]
    found = unbeaten(problem, "parameters", losses)
    reached = [sum(counts.values()) for counts in found]
    assert reached == sorted(set(reached)) and reached[-1] == sum(problem.limits.values())
    for saved in range(reached[-1] + 1):  # no saving could be had for less loss
        first = found[next(i for i, gone in enumerate(reached) if gone >= saved)]
        best = min(other for other, gone in every if gone >= saved)
        assert sum(losses(t, c) for t, c in first.items()) == pytest.approx(best, abs=1e-9)
    path = knapsack(problem, "parameters")
    steps = [path.at(step) for step in range(path.steps + 1)]
    assert all(counts in steps for counts in found)


def test_where_nothing_is_lost_the_knapsack_does_not_jump():
    """All cuts up to 90% are free, and still a goal of half leaves about half."""
    problem = problem_of(resnet_gauge(), "weight", share=lambda i, r: 1.0)
    path = knapsack(problem, "parameters")
    whole = problem.burden({}, "parameters")
    left = [problem.burden(path.at(step), "parameters") / whole for step in range(path.steps + 1)]
    assert max(a - b for a, b in pairwise(left)) < 0.025


def test_the_dynamic_program_rounds_savings_down():
    """With more than 1,000 units in all, a choice saves at least what its level says."""
    savings = [[0, 700, 1500, 2900], [0, 900, 1900, 2100]]
    losses = [[0.0, 0.2, 0.5, 2.0], [0.0, 0.1, 0.6, 0.7]]
    every = [(losses[0][a] + losses[1][b], savings[0][a] + savings[1][b]) for a in range(4) for b in range(4)]
    for a, b in least_losses(savings, losses):
        lost, saved = losses[0][a] + losses[1][b], savings[0][a] + savings[1][b]
        assert lost <= min((other for other, gone in every if gone >= saved + 10), default=math.inf)


@pytest.mark.parametrize("guide", ["macs", "parameters"])
@pytest.mark.parametrize("gauge", [conv_gauge, resnet_gauge])
def test_the_knapsack_gives_up_loss_only_for_cost(gauge, guide):
    problem = problem_of(gauge(), "channel")
    losses, path = Losses(problem), knapsack(problem, guide)
    front = unbeaten(problem, guide, losses)
    burdens = [problem.burden(counts, guide) for counts in front]
    lost = [sum(losses(t, c) for t, c in counts.items()) for counts in front]
    assert burdens == sorted(set(burdens), reverse=True) and lost == sorted(lost)
    found = [path.at(step) for step in range(path.steps + 1)]
    assert found[0] == dict.fromkeys(problem.free, 0) and found[-1] == problem.limits
    steps = [problem.burden(counts, guide) for counts in found]
    assert steps == sorted(steps, reverse=True)
    assert all(counts[t] <= limit for counts in found for t, limit in problem.limits.items())


@pytest.mark.parametrize(
    "make", [lambda p: greedy(p, "macs", "smallest-loss"), lambda p: knapsack(p, "macs")]
)
def test_without_curves_or_quality_there_is_nothing_to_weigh(make):
    gauge = mlp_gauge()
    without = make_problem(gauge, score(gauge.network, "l1"), "weight", curves={"fc1": {0.5: 0.5}})
    with pytest.raises(PrunescopeError, match="sensitivity of fc2 is not measured yet"):
        make(without)
    network = load(randomise(Mlp()), (5,))
    examples = split((5,), 3, 30)
    wrong = examples.inputs, (network.module(examples.inputs).argmax(1) + 1) % 3
    hopeless = Gauge(network, type(examples)(*wrong, "always wrong"), gauge.task)
    with pytest.raises(PrunescopeError, match="no better than guessing"):
        make(problem_of(hopeless, "weight"))
