"""Quality against ratio: each point is what pruning by hand measures."""

import copy

import pytest
import torch

from analysis.errors import CriterionError
from analysis.measure.quality import evaluate, quality
from analysis.sensitivity import quality_against_ratio
from analysis.tasks import REGRESSION
from analysis.tracing import trace
from tests.networks import ConvNet, Mlp, dataset, load, randomise, same, snapshot, split

RATIOS = (0.0, 0.3, 0.6, 1.0)


@pytest.fixture(scope="module")
def net():
    return load(randomise(ConvNet()), (2, 5, 5))


def test_weights_against_zeroing_by_hand(net):
    data, other = dataset((2, 5, 5), 4, 30), split((2, 5, 5), 4, 50, seed=77)
    module = randomise(ConvNet())
    accuracies = []
    for point in quality_against_ratio(net, data, other, "l1", "weight", RATIOS):
        twin = copy.deepcopy(module)
        for name in ("conv1", "conv2", "head"):
            flat = twin.get_submodule(name).weight.data.view(-1)
            order = sorted(range(len(flat)), key=lambda i: abs(float(flat[i])))
            flat[order[: int(point.ratio * len(flat) + 0.5)]] = 0
        with torch.no_grad():
            answers = [int(twin(x[None]).argmax()) for x in other.inputs]
        right = sum(a == t for a, t in zip(answers, other.targets.tolist(), strict=True))
        assert point.quality.value == pytest.approx(right / 50)
        assert point.quality.low <= point.quality.value <= point.quality.high
        accuracies.append(right)
    assert len(set(accuracies)) > 1


@pytest.mark.parametrize("criterion", ["l1", "taylor", "activation-mean"])
def test_ratio_zero_is_the_dense_network(net, criterion):
    data = dataset((2, 5, 5), 4, 30)
    with torch.no_grad():  # the dense network is always right, so that pruning can only lose
        data.evaluation.targets[:] = net.module(data.evaluation.inputs).argmax(1)
    assert len(data.evaluation.targets.unique()) > 1
    points = quality_against_ratio(net, data, data.evaluation, criterion, "channel", RATIOS)
    assert tuple(point.ratio for point in points) == RATIOS
    dense = quality(evaluate(net, data.evaluation, data.task))["accuracy"]
    assert points[0].quality == dense
    assert dense.value == 1 > points[-1].quality.value


def test_ratios_keep_their_order_and_progress_reaches_one(net):
    data, seen = dataset((2, 5, 5), 4, 30), []
    points = quality_against_ratio(
        net, data, data.evaluation, "l2", "channel", (0.5, 0.0, 0.9, 0.5), progress=seen.append
    )
    assert [point.ratio for point in points] == [0.5, 0.0, 0.9, 0.5]
    assert points[0] == points[3]
    assert seen == [0.25, 0.5, 0.75, 1.0]


def test_regression_is_judged_by_r2():
    net = load(randomise(Mlp(outputs=1)), (5,))
    data = dataset((5,), 1, 30, task=REGRESSION)
    point = quality_against_ratio(net, data, data.evaluation, "l1", "channel", (0.5,))[0]
    with torch.no_grad():
        assert point.quality != quality(evaluate(net, data.evaluation, REGRESSION))["r2"]
    dense = quality_against_ratio(net, data, data.evaluation, "l1", "channel", (0.0,))[0].quality.value
    targets = data.evaluation.targets.tolist()
    with torch.no_grad():
        errors = [
            (float(net.module(x[None])) - t) ** 2
            for x, t in zip(data.evaluation.inputs, targets, strict=True)
        ]
    mean = sum(targets) / 30
    assert dense == pytest.approx(1 - sum(errors) / sum((t - mean) ** 2 for t in targets), rel=1e-5)


def test_no_ratios(net):
    data = dataset((2, 5, 5), 4, 30)
    assert quality_against_ratio(net, data, data.evaluation, "l1", "channel", ()) == ()


def test_the_network_is_left_as_it_is(net):
    data = dataset((2, 5, 5), 4, 30)
    before = snapshot(net.module)
    quality_against_ratio(net, data, data.evaluation, "fisher", "channel", RATIOS)
    quality_against_ratio(net, data, data.evaluation, "wanda", "weight", RATIOS)
    assert same(before, snapshot(net.module))


def test_a_criterion_that_cannot_rank():
    data = dataset((2, 5, 5), 4, 30)
    net = load(randomise(ConvNet()), (2, 5, 5))
    with pytest.raises(CriterionError, match="cannot rank the weights"):
        quality_against_ratio(net, data, data.evaluation, "activation-mean", "weight", RATIOS)
    plain = trace(randomise(Mlp()), torch.zeros(1, 5), "plain")
    with pytest.raises(CriterionError, match="BatchNorm scale"):
        quality_against_ratio(plain, dataset((5,), 3), split((5,), 3, 9), "bn-scale", "channel", RATIOS)
