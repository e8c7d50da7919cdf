"""The ledger's arithmetic against counting the pruned network itself."""

import random
from dataclasses import replace

import pytest

from analysis.errors import PlanError
from analysis.importance import score
from analysis.measure.cost import cost, layer_macs
from analysis.pruning.ledger import make_ledger
from analysis.pruning.plan import Pick, make_plan, targets
from analysis.pruning.prune import prune
from analysis.pruning.selection import ranking
from tests.networks import ARCHITECTURES, ConvNet, DepthwiseNet, FlatNet, architecture, load, randomise

NETWORKS = {
    **{name: lambda name=name: architecture(name)[1] for name in ARCHITECTURES},
    "conv": lambda: load(randomise(ConvNet()), (2, 5, 5)),
    "flattened maps": lambda: load(randomise(FlatNet()), (1, 7, 7)),
    "depthwise": lambda: load(randomise(DepthwiseNet()), (1, 6, 6)),
}


def ledger_of(net, scores, picks=()):
    orders = {t: tuple(ranking(scores, net, t, "channel").tolist()) for t in targets(net, "channel")}
    return make_ledger(net, orders, layer_macs(net), picks)


@pytest.mark.parametrize("criterion", ["l1", "random"])
@pytest.mark.parametrize("name", NETWORKS)
def test_counts_equal_those_of_the_pruned_network(name, criterion):
    net = NETWORKS[name]()
    assert targets(net, "channel")
    scores = score(net, criterion)
    ledger, draw = ledger_of(net, scores), random.Random(0)
    for share in (0.0, 0.4, 1.0, 1.0):
        ratios = {t: round(share * draw.random(), 2) for t in targets(net, "channel")}
        found = cost(prune(net, make_plan(net, criterion, "channel", ratios), scores))
        assert ledger.count(ratios) == (found.parameters, found.macs)


def test_nothing_removed_is_the_dense_network():
    net = architecture("resnet")[1]
    dense = cost(net)
    assert ledger_of(net, score(net, "l1")).count({}) == (dense.parameters, dense.macs)


@pytest.mark.parametrize("criterion", ["l1", "random"])
@pytest.mark.parametrize("name", NETWORKS)
def test_counts_with_picks_equal_those_of_the_pruned_network(name, criterion):
    net = NETWORKS[name]()
    scores, draw, counted = score(net, criterion), random.Random(7), 0
    for _ in range(6):
        picks = []
        for target in targets(net, "channel"):
            size = net.group(target).size
            chosen = draw.sample(range(size), draw.randint(0, min(4, size - 1)))
            picks += [Pick(target, channel, draw.random() < 0.5) for channel in chosen]
        ledger = ledger_of(net, scores, picks)
        for share in (0.0, 0.5, 1.0):
            ratios = {t: round(share * draw.random(), 2) for t in targets(net, "channel")}
            plan = replace(make_plan(net, criterion, "channel", ratios), picks=tuple(picks))
            try:
                found = cost(prune(net, plan, scores))
            except PlanError:
                continue  # a group would have no channel left
            assert ledger.count(ratios) == (found.parameters, found.macs)
            counted += 1
    assert counted > 6
