"""Quality against ratio: each point is what pruning by hand measures."""

import copy
from itertools import pairwise

import pytest
import torch

import analysis.live
from analysis.datasets import Split
from analysis.errors import CriterionError
from analysis.importance.registry import score
from analysis.importance.scores import Scores
from analysis.inference import Layout
from analysis.live import Gauge
from analysis.measure.quality import Interval, evaluate, quality
from analysis.pruning.plan import make_plan, targets
from analysis.pruning.prune import prune
from analysis.sensitivity import missing_ratios, quality_against_ratio, rankable, sweep
from analysis.tasks import CLASSIFICATION, REGRESSION
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


@pytest.fixture
def small(monkeypatch):
    """A network that answers each class now and then, and a gauge whose split is seen whole at once."""
    monkeypatch.setattr(analysis.live, "calibrate", lambda *_: Layout(32))
    return gauge_of(100)


def gauge_of(count, wrong=0.0):
    """A gauge on random inputs; the targets are what the network answers, but for a share of them."""
    module = randomise(ConvNet(), seed=4)
    inputs = split((2, 5, 5), 4, count, seed=9).inputs
    with torch.no_grad():
        module.head.bias -= module(inputs).mean(0)
        right = module(inputs).argmax(1)
    right[: int(wrong * count)] += 1
    net = load(module, (2, 5, 5))
    return Gauge(net, Split(inputs, right % 4, "drawn"), CLASSIFICATION)


def by_hand(gauge, scores, granularity, target, ratio):
    plan = make_plan(gauge.network, scores.criterion, granularity, {target: ratio})
    evaluation = evaluate(prune(gauge.network, plan, scores), gauge.split, CLASSIFICATION)
    return int(evaluation.correct.sum()) / len(gauge.split)


@pytest.mark.parametrize("granularity", ["channel", "weight"])
@pytest.mark.parametrize("criterion", ["l1", "random"])
def test_every_point_of_a_sweep_is_what_pruning_by_hand_measures(small, criterion, granularity):
    before, scores = snapshot(small.network.module), score(small.network, criterion)
    points = list(sweep(small, scores, granularity))
    for point in points:
        exact = by_hand(small, scores, granularity, point.target, point.ratio)
        assert point.quality == Interval(exact, exact, exact) and point.examples == 100
    assert len({(point.target, point.ratio) for point in points}) == len(points)
    assert len({point.quality.value for point in points}) > 4
    assert same(before, snapshot(small.network.module))


BETWEEN = {(0.0, 0.3): (0.1, 0.2), (0.3, 0.5): (0.4,), (0.5, 0.7): (0.6,), (0.7, 0.9): (0.8,)}


def wanted(curve, dense):
    """The ratios that belong to a whole curve, coarse ones first."""
    at = {0.0: dense, **curve}
    fine = [r for (a, b), between in BETWEEN.items() if abs(at[a] - at[b]) > 0.02 for r in between]
    return [0.3, 0.5, 0.7, 0.9, *fine]


@pytest.mark.parametrize("granularity", ["channel", "weight"])
def test_coarse_ratios_always_and_fine_ones_where_the_curve_is_steep(small, granularity):
    scores, fine = score(small.network, "l1"), set()
    points = list(sweep(small, scores, granularity))
    found = dict.fromkeys(point.target for point in points)
    assert tuple(found) == targets(small.network, granularity)
    for target in found:
        curve = {point.ratio: point.quality.value for point in points if point.target == target}
        assert list(curve) == wanted(curve, small.dense_headline)
        fine.update(list(curve)[4:])
    assert fine


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, [0.3, 0.5, 0.7, 0.9]),
        ({0.5: 0.9, 0.1: 0.9}, [0.3, 0.7, 0.9]),
        ({0.3: 0.9, 0.5: 0.9, 0.7: 0.9, 0.9: 0.9}, []),
        ({0.3: 0.89, 0.5: 0.875, 0.7: 0.86, 0.9: 0.845}, []),
        ({0.3: 0.9, 0.5: 0.9, 0.7: 0.9, 0.9: 0.1}, [0.8]),
        ({0.3: 0.5, 0.5: 0.5, 0.7: 0.6, 0.9: 0.6}, [0.1, 0.2, 0.6]),
        ({0.3: 0.5, 0.5: 0.5, 0.7: 0.6, 0.9: 0.6, 0.1: 0.8}, [0.2, 0.6]),
        ({0.3: 0.7, 0.5: 0.5, 0.7: 0.3, 0.9: 0.1}, [0.1, 0.2, 0.4, 0.6, 0.8]),
        ({0.3: 0.95, 0.5: 0.95, 0.7: 0.95, 0.9: 0.95}, [0.1, 0.2]),
    ],
)
def test_which_ratios_a_curve_still_needs(values, expected):
    assert missing_ratios(values, 0.9) == expected


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_what_is_known_is_not_measured_again(small, share, monkeypatch):
    scores = score(small.network, "l1")
    whole, runs, original = list(sweep(small, scores, "channel")), [], Gauge.run
    known = whole[:: 2 if share < 0.5 else 1][: int(share * len(whole))]

    def run(self, plan, *rest, **options):
        runs.append((plan.cuts[0].target, plan.cuts[0].ratio))
        return original(self, plan, *rest, **options)

    monkeypatch.setattr(Gauge, "run", run)
    rest = list(sweep(small, scores, "channel", known=known))
    assert [(point.target, point.ratio) for point in rest] == runs
    assert not {(point.target, point.ratio) for point in known} & set(runs)
    assert set(known) | set(rest) == set(whole)
    runs.clear()
    assert list(sweep(small, scores, "channel", known=whole)) == runs == []


@pytest.mark.parametrize("granularity", ["channel", "weight"])
def test_progress_rises_to_one(small, granularity):
    seen = []
    points = list(sweep(small, score(small.network, "l1"), granularity, progress=seen.append))
    assert len(seen) == len(points)
    assert all(0 < a < b for a, b in pairwise(seen)) and seen[-1] == 1


def test_progress_reaches_one_where_the_last_target_is_known(small):
    scores, seen = score(small.network, "l1"), []
    known = [point for point in sweep(small, scores, "channel") if point.target == "conv2"]
    list(sweep(small, scores, "channel", known=known, progress=seen.append))
    assert seen[-1] == 1


def test_targets_that_cannot_be_ranked_are_left_out(small):
    whole = score(small.network, "l1")
    values = {name: value for name, value in whole.values.items() if name != "conv1"}
    some = Scores("l1", small.network.name, values)
    assert rankable(small.network, whole, "weight") == ("conv1", "conv2", "head")
    assert rankable(small.network, some, "weight") == ("conv2", "head")
    assert rankable(small.network, some, "channel") == ("conv2",)
    assert {point.target for point in sweep(small, some, "weight")} == {"conv2", "head"}
    channels = Scores("activation-mean", small.network.name, {"conv1": torch.rand(6), "conv2": torch.rand(8)})
    assert rankable(small.network, channels, "channel") == ("conv1", "conv2")
    assert list(sweep(small, channels, "weight")) == []


def test_points_on_many_examples_are_known_to_their_margin(small):
    gauge = gauge_of(1500, wrong=0.1)
    scores, held = score(gauge.network, "l1"), []
    points = list(sweep(gauge, scores, "weight", margin=0.04))
    for point in points:
        exact = by_hand(gauge, scores, "weight", point.target, point.ratio)
        assert point.quality.high - point.quality.low <= 0.08
        assert 128 <= point.examples <= 1500 and point.examples % 32 in (0, 1500 % 32)
        held.append(point.quality.low <= exact <= point.quality.high)
    assert sum(held) >= 0.85 * len(held)
    assert min(point.examples for point in points) < 1500
    narrow = list(sweep(gauge, scores, "weight", margin=0.01))
    assert sum(p.examples for p in narrow) / len(narrow) > sum(p.examples for p in points) / len(points)
