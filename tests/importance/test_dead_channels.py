"""Channels planted dead: every criterion finds them first, and removing them changes nothing."""

from functools import cache

import pytest
import torch

from analysis.importance import CRITERIA, score
from analysis.importance.scores import group_scores
from analysis.measure.quality import change, evaluate
from analysis.pruning.plan import make_plan
from analysis.pruning.prune import prune
from analysis.pruning.selection import select
from analysis.tasks import CLASSIFICATION
from analysis.tracing import trace
from sample_models.architectures import ResNet, ResNetConfig
from tests.networks import ConvNet, dataset, load, plant_dead, randomise

# A signed criterion has its zero, what does nothing, in the midst of its scores: see test_learned.py.
JUDGES = [name for name, criterion in CRITERIA.items() if name != "random" and not criterion.signed]


def conv():
    return randomise(ConvNet(), seed=1), (2, 5, 5), 4


def resnet():
    return randomise(ResNet(ResNetConfig(widths=(6, 8), blocks=(1, 1), outputs=4)), seed=2), (1, 8, 8), 4


# group, everything that writes its channels, the dead ones, and how many channels there are
CASES = {
    "conv": (conv, "conv1", ["conv1", "bn1"], [0, 4, 5], 6),
    "conv-last": (conv, "conv2", ["conv2", "bn2"], [3, 6], 8),
    "residual": (resnet, "conv1", ["conv1", "bn1", "stage1.0.conv2", "stage1.0.bn2"], [1, 5], 6),
    "inside a block": (resnet, "stage1.0.conv1", ["stage1.0.conv1", "stage1.0.bn1"], [2, 3], 6),
    "projection": (
        resnet,
        "stage2.0.conv2",
        ["stage2.0.conv2", "stage2.0.bn2", "stage2.0.shortcut.conv", "stage2.0.shortcut.bn"],
        [0, 2, 7],
        8,
    ),
}


@pytest.fixture(params=CASES)
def case(request):
    return planted(request.param)


@cache
def planted(name):
    """The network with its dead channels; scoring and pruning do not change it."""
    build, group, writers, dead, size = CASES[name]
    module, shape, classes = build()
    plant_dead(module, writers, dead)
    net = load(module, shape)
    assert net.group(group).size == size
    return net, group, dead, dataset(shape, classes, 40)


@pytest.mark.parametrize("criterion", JUDGES)
def test_dead_channels_go_first(case, criterion):
    net, group, dead, data = case
    scores = score(net, criterion, data)
    values = group_scores(scores, net, net.group(group)).tolist()
    alive = [v for c, v in enumerate(values) if c not in dead]
    assert max(values[c] for c in dead) == 0 < min(alive)
    for removed in range(1, len(values)):
        plan = make_plan(net, criterion, "channel", {group: removed / len(values)})
        chosen = set(select(net, plan, scores).channels[group])
        assert len(chosen) == removed
        assert chosen <= set(dead) or chosen >= set(dead)


@pytest.mark.parametrize("criterion", JUDGES)
def test_removing_them_changes_nothing(case, criterion):
    net, group, dead, data = case
    plan = make_plan(net, criterion, "channel", {group: len(dead) / net.group(group).size})
    pruned = prune(net, plan, score(net, criterion, data))
    assert pruned.parameters() < net.parameters()
    with torch.no_grad():
        before, after = net.module(data.evaluation.inputs), pruned.module(data.evaluation.inputs)
    assert float(before.abs().max()) > 0.1
    assert float((before - after).abs().max()) <= 1e-6
    dense = evaluate(net, data.evaluation, CLASSIFICATION)
    assert change(evaluate(pruned, data.evaluation, CLASSIFICATION), dense)["accuracy"].value == 0


def test_removing_a_living_channel_changes_something():
    """The comparison above can fail: as many living channels make a difference."""
    module, shape, _ = conv()
    plant_dead(module, ["conv1", "bn1"], [0, 4, 5])
    net = load(module, shape)
    inputs = dataset(shape, 4, 40).evaluation.inputs
    plan = make_plan(net, "random", "channel", {"conv1": 4 / 6})
    with torch.no_grad():
        assert float((net.module(inputs) - prune(net, plan).module(inputs)).abs().max()) > 1e-3


def test_a_dead_weight_scores_zero_under_every_weight_criterion():
    module, shape, classes = conv()
    with torch.no_grad():
        module.conv2.weight[3, 2, 1, 1] = 0
        module.head.weight[1, 5] = 0
    net = trace(module, torch.zeros(1, *shape), "tiny")
    data = dataset(shape, classes, 20)
    for name, criterion in CRITERIA.items():
        if criterion.unit != "weight" or name not in JUDGES:
            continue
        scores = score(net, name, data)
        assert float(scores.values["conv2"][3, 2, 1, 1]) == 0
        assert int((scores.values["conv2"] == 0).sum()) == 1
        assert int((scores.values["head"] == 0).sum()) == 1
