"""Every method on every kind of network: a plan that meets the goal, or a sentence why not."""

from dataclasses import replace

import pytest
import torch

from analysis.allocation import proposal
from analysis.allocation.costs import share
from analysis.allocation.feasibility import Feasibility, feasibility
from analysis.allocation.goals import GOALS, Goal
from analysis.allocation.problem import make_problem
from analysis.allocation.proposal import TimingError, propose
from analysis.allocation.registry import METHODS, find_method
from analysis.datasets import Split
from analysis.errors import PlanError, PrunescopeError
from analysis.importance.registry import score
from analysis.live import Gauge
from analysis.measure.quality import evaluate, headline
from analysis.pruning.prune import prune
from analysis.sensitivity import predict
from analysis.tasks import CLASSIFICATION, REGRESSION
from tests.allocation.problems import conv_gauge, gauge_of, mlp_gauge, noise, problem_of, resnet_gauge
from tests.networks import Mlp, load, randomise, same, snapshot
from tests.zoo import opened
from tests.zoo.networks import BY_NAME

ZOO = (
    "mlp-batchnorm", "two-heads", "hard-coded-view", "resnet-projection", "mobilenet-v2", "shufflenet-v1",
    "shufflenet-v2", "vit-module", "lstm-bidirectional", "embedding-tied", "embedding-masked", "resnext", "unet",
)  # fmt: skip


def regression_gauge():
    return gauge_of(load(randomise(Mlp(outputs=1)), (5,)), noise((5,), 60), REGRESSION)


def zoo_gauge(name):
    task = REGRESSION if name == "regression" else CLASSIFICATION
    return gauge_of(opened.from_module(name), BY_NAME[name].inputs(12), task)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", [*ZOO, "regression"])
@pytest.mark.parametrize(("granularity", "kind"), [("channel", "macs"), ("weight", "connections")])
def test_every_method_meets_a_goal_halfway_to_the_smallest_network(granularity, kind, name, method):
    problem = problem_of(zoo_gauge(name), granularity)
    before = snapshot(problem.network.module)
    if not problem.limits:
        assert name == "shufflenet-v1" and granularity == "channel"
        judged = feasibility(problem, Goal(kind, 0.5))
        assert not judged.is_met and "Nothing may be cut" in judged.sentence
        with pytest.raises(PlanError, match="Nothing may be cut"):
            propose(problem, Goal(kind, 0.5), method)
        return
    least = share(problem, kind, problem.limits)
    goal = Goal(kind, (1 + least) / 2)
    found = propose(problem, goal, method)
    assert found.share is not None and found.share <= goal.value
    assert found.share == pytest.approx(share(problem, kind, problem.counts(found.plan.ratios)))
    assert found.plan.criterion == "l1" and found.plan.granularity == granularity
    assert same(before, snapshot(problem.network.module))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("granularity", ["channel", "weight"])
@pytest.mark.parametrize("gauge", [resnet_gauge, conv_gauge, regression_gauge])
def test_every_method_keeps_a_quality(gauge, granularity, method):
    problem = problem_of(gauge(), granularity)
    found = propose(problem, Goal("floor", 0.7), method)
    network = prune(problem.network, found.plan, problem.scores)
    measured = headline(evaluate(network, problem.gauge.split, problem.gauge.task)).value
    assert measured >= 0.7 - 1e-6 and found.share is None


@pytest.mark.parametrize("kind", ["parameters", "connections", "bytes", "best-bytes"])
def test_channels_meet_every_counted_goal(kind):
    problem = problem_of(resnet_gauge(), "channel")
    found = propose(problem, Goal(kind, 0.6), "global-mean")
    assert found.share is not None and found.share <= 0.6


def test_the_prediction_is_that_of_the_curves():
    problem = problem_of(resnet_gauge(), "channel")
    found = propose(problem, Goal("macs", 0.5), "greedy")
    gauge = problem.gauge
    expected = predict(problem.curves, found.plan.ratios, dense=gauge.dense_headline, floor=gauge.floor)
    assert found.predicted == expected is not None
    bare = replace(problem, curves={})
    assert propose(bare, Goal("macs", 0.5), "uniform").predicted is None


@pytest.mark.parametrize("kind", [k for k, goal in GOALS.items() if goal.unmoved])
def test_zeros_cannot_meet_what_they_do_not_move(kind):
    judged = feasibility(problem_of(mlp_gauge(), "weight"), Goal(kind, 0.5))
    assert not judged.is_met and "Cut channels" in judged.sentence


def test_what_is_out_of_reach_says_how_far_one_gets_and_what_stands_in_the_way():
    problem = problem_of(conv_gauge(), "channel", held={"conv1": 0.0})
    least = share(problem, "macs", problem.limits)
    judged = feasibility(problem, Goal("macs", 0.9 * least))
    assert not judged.is_met and judged.least == least
    assert f"{100 * least:.3g}% of the MACs are left" in judged.sentence
    assert "Locked: conv1." in judged.sentence and "head takes no part" in judged.sentence
    reached = feasibility(problem, Goal("macs", least + 1e-9))
    assert reached.is_met and "can be reached" in reached.sentence
    with pytest.raises(PlanError, match="out of reach"):
        propose(problem, Goal("macs", 0.9 * least), "uniform")


def test_a_criterion_that_cannot_rank_is_named():
    gauge = conv_gauge()
    problem = make_problem(gauge, score(gauge.network, "bn-scale"), "weight")
    judged = feasibility(problem, Goal("connections", 0.5))
    assert not judged.is_met and "BatchNorm scale" in judged.sentence


def test_a_floor_above_the_dense_network_is_out_of_reach():
    problem = problem_of(zoo_gauge("mlp"), "channel")
    object.__setattr__(problem.gauge, "dense_headline", 0.9)  # as if it were right less often
    judged = feasibility(problem, Goal("floor", 0.95))
    assert not judged.is_met and "90.0%" in judged.sentence and "95.0%" in judged.sentence
    assert feasibility(problem, Goal("floor", 0.85)).sentence.endswith("5.0 points to spend.")


def test_an_unknown_method_is_refused_with_those_there_are():
    with pytest.raises(PlanError, match="Known: uniform, global"):
        find_method("best")


def test_latency_is_met_by_a_timing():
    problem = problem_of(resnet_gauge(), "channel")
    found = propose(problem, Goal("latency", 1.0), "uniform")
    assert found.share is not None and found.share <= 1.0


def test_a_quality_without_a_value_cannot_be_kept():
    gauge = regression_gauge()
    constant = Split(gauge.split.inputs, torch.ones(len(gauge.split)), "all alike")
    problem = problem_of(Gauge(gauge.network, constant, REGRESSION), "weight", cap=0.9)
    judged = feasibility(problem, Goal("floor", 0.5))
    assert not judged.is_met and "has no value on these examples" in judged.sentence
    with pytest.raises(PrunescopeError, match="no better than guessing"):
        propose(problem, Goal("connections", 0.5), "greedy")


@pytest.mark.parametrize(("kind", "error"), [("latency", TimingError), ("macs", PlanError)])
def test_what_only_a_timing_missed_is_told_apart(kind, error, monkeypatch):
    problem = problem_of(mlp_gauge(), "channel")
    monkeypatch.setattr(proposal, "feasibility", lambda *_: Feasibility(True, ""))
    monkeypatch.setattr(proposal, "solve", lambda *_: None)
    with pytest.raises(PlanError, match="at the edge") as missed:
        propose(problem, Goal(kind, 0.5), "uniform")
    assert type(missed.value) is error
    monkeypatch.setattr(proposal, "feasibility", lambda *_: Feasibility(False, "out of reach"))
    with pytest.raises(PlanError, match="out of reach") as missed:
        propose(problem, Goal(kind, 0.5), "uniform")
    assert type(missed.value) is error
