"""Plans that name recovered weights: what keeps the name, what loses it, and who must not carry them out."""

from dataclasses import replace

import pytest
import torch

from analysis.datasets import Split
from analysis.errors import PlanError
from analysis.importance.registry import score
from analysis.live import Gauge
from analysis.pruning.plan import Plan, recut, repick, uniform_plan
from analysis.pruning.prune import prune
from analysis.pruning.selection import select
from analysis.tasks import CLASSIFICATION
from tests.networks import ConvNet, load, randomise

DIGEST = "ab" * 32


@pytest.fixture(scope="module")
def net():
    return load(randomise(ConvNet()), (2, 5, 5), "conv")


@pytest.fixture(scope="module")
def plan(net):
    return replace(uniform_plan(net, "l1", "channel", 0.5), recovered=DIGEST)


def test_recovered_plans_are_other_plans(plan):
    assert plan != plan.as_pruned and hash(plan) != hash(plan.as_pruned)
    assert plan.as_pruned.recovered == "" and plan.as_pruned.cuts == plan.cuts


def test_any_change_of_what_is_removed_loses_the_weights(net, plan):
    target = plan.cuts[0].target
    assert recut(plan, net, "l1", "channel", {target: 0.25}).recovered == ""
    assert recut(plan, net, "l1", "weight", {"head": 0.25}).recovered == ""
    assert repick(plan, net, target, 0, True).recovered == ""
    assert plan.only("channel").recovered == ""


def test_the_dense_network_has_nothing_to_recover():
    with pytest.raises(PlanError, match="removes nothing"):
        Plan("conv", "l1", recovered=DIGEST)


@pytest.mark.parametrize("digest", ["x", "AB" * 32, "../" * 20, DIGEST + "0"])
def test_what_is_no_digest(net, digest):
    with pytest.raises(PlanError, match="no digest"):
        replace(uniform_plan(net, "l1", "channel", 0.5), recovered=digest)


def test_nobody_prunes_by_it_and_forgets_the_weights(net, plan):
    scores = score(net, "l1")
    inputs = torch.zeros(8, 2, 5, 5)
    gauge = Gauge(net, Split(inputs, torch.arange(8) % 4, "zeros"), CLASSIFICATION)
    for carry_out in (select, prune, lambda network, p, s: gauge.run(p, s)):
        with pytest.raises(PlanError, match="recovered"):
            carry_out(net, plan, scores)
        carry_out(net, plan.as_pruned, scores)
