"""The order of a hidden layer's channels means nothing, so permuting them changes nothing."""

import copy
from functools import cache

import pytest
import torch

from analysis.importance import CRITERIA, score
from analysis.pruning.plan import make_plan
from analysis.pruning.prune import prune
from analysis.pruning.selection import select
from sample_models.architectures import ResNet, ResNetConfig
from tests.networks import ConvNet, FlatNet, dataset, load, randomise

# random scores belong to positions, so they alone may change
JUDGES = [name for name in CRITERIA if name != "random"]


@torch.no_grad()
def permuted(module, order, writers, readers, spread=1):
    """A copy whose channel k is channel order[k]; each is read as `spread` features."""
    twin = copy.deepcopy(module)
    for name in writers:
        child = twin.get_submodule(name)
        for attribute in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(child, attribute, None)
            if value is not None:
                value.copy_(value[order].clone())
    positions = [c * spread + i for c in order for i in range(spread)]
    for name in readers:
        weight = twin.get_submodule(name).weight
        weight.copy_(weight[:, positions].clone())
    return twin


CASES = {
    "conv": (ConvNet, (2, 5, 5), "conv1", ["conv1", "bn1"], ["conv2"], 1),
    "flattened": (FlatNet, (1, 7, 7), "conv", ["conv"], ["fc"], 25),
    "residual": (
        lambda: ResNet(ResNetConfig((6,), (1,), 3)),
        (1, 6, 6),
        "conv1",
        ["conv1", "bn1", "stage1.0.conv2", "stage1.0.bn2"],
        ["stage1.0.conv1", "head"],
        1,
    ),
}


@cache
def pair(case):
    """A network, the same with its group's channels in another order, and the order."""
    build, shape, group, writers, readers, spread = CASES[case]
    module = randomise(build(), seed=4)
    net = load(module, shape, "net")
    size = net.group(group).size
    order = torch.randperm(size, generator=torch.Generator().manual_seed(2)).tolist()
    assert order != list(range(size))
    return net, load(permuted(module, order, writers, readers, spread), shape, "net"), order


@pytest.mark.parametrize(
    ("case", "criterion"),
    [(case, c) for case in CASES for c in JUDGES if (case, c) != ("flattened", "bn-scale")],
)
def test_a_permutation_changes_nothing(case, criterion):
    _, shape, group, *_ = CASES[case]
    net, other, order = pair(case)
    data = dataset(shape, 3, 20)
    inputs = data.evaluation.inputs
    with torch.no_grad():
        torch.testing.assert_close(net.module(inputs), other.module(inputs), rtol=1e-5, atol=1e-5)
    scores, other_scores = score(net, criterion, data), score(other, criterion, data)
    for removed in (1, len(order) // 2, len(order) - 1):
        plan = make_plan(net, criterion, "channel", {group: removed / len(order)})
        gone = select(net, plan, scores).channels[group]
        other_gone = select(other, plan, other_scores).channels[group]
        assert {order[k] for k in other_gone} == set(gone)
        with torch.no_grad():
            one, two = (
                prune(net, plan, scores).module(inputs),
                prune(other, plan, other_scores).module(inputs),
            )
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)
