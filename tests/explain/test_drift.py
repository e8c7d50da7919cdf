"""Similarity against ratio: each point against pruning and explaining by hand, the floor, and the reading."""

import numpy as np
import pytest
import torch
from torch import Tensor

from analysis.datasets import Split
from analysis.errors import PlanError
from analysis.explain.drift import (
    DriftPoint,
    Floor,
    Spread,
    alike,
    drift,
    moved_before_lost,
    scaled,
)
from analysis.explain.randomised import randomised
from analysis.explain.similarity import similarities
from analysis.importance.registry import score
from analysis.importance.scores import group_scores
from analysis.measure.quality import Interval, paired_proportions, wilson
from analysis.network import Network
from analysis.pruning.plan import Cut, Pick, Plan, make_plan, targets, uniform_plan
from analysis.pruning.prune import prune
from analysis.tasks import ACCURACY, BINARY, CLASSIFICATION, R2, REGRESSION
from tests.explain import nets
from tests.networks import ConvNet, Mlp, dataset, load, plant_dead, randomise, same, snapshot, split


def _gradients(network: Network, inputs: Tensor, targets: Tensor | None, progress=None) -> Tensor:
    return nets.gradients(network, inputs, targets)


def _shares(network: Network, inputs: Tensor, targets: Tensor | None, progress=None) -> Tensor:
    return inputs * nets.gradients(network, inputs, targets)


EXPLAIN = {"gradient": _gradients, "share": _shares}


def _conv() -> tuple[Network, Split]:
    return load(randomise(ConvNet()), (2, 5, 5)), split((2, 5, 5), 4, 60)


def _drift(network, task, some, family, **options):
    arguments = {"calibration": some.inputs, "ratios": (0.3, 0.6), "examples": 20, **options}
    return list(drift(network, task, some, family, None, EXPLAIN, **arguments))


@pytest.mark.parametrize("granularity", ["channel", "weight"])
def test_each_point_is_what_pruning_by_hand_gives(granularity):
    network, some = _conv()
    found = _drift(network, CLASSIFICATION, some, alike(network, "l1", granularity))
    points = [part for part in found if isinstance(part, DriftPoint)]
    assert [point.ratio for point in points] == [0, 0.3, 0.6]
    few = some.sample(20)
    right = network.module(some.inputs).argmax(dim=1) == some.targets
    for point in points[1:]:
        pruned = prune(network, uniform_plan(network, "l1", granularity, point.ratio))
        correct = pruned.module(some.inputs).argmax(dim=1) == some.targets
        assert point.quality == wilson(int(correct.sum()), 60)
        assert point.change == paired_proportions(correct, right)
        for name, explain in EXPLAIN.items():
            values = similarities(*(explain(n, few.inputs, few.targets) for n in (network, pruned)))
            assert set(point.similarity[name]) == set(values) == {"spearman", "cosine", "top-overlap", "ssim"}
            for measure, column in values.items():
                spread = point.similarity[name][measure]
                assert spread == Spread(*np.percentile(column, [25, 50, 75]).tolist())
    assert points[1].similarity != points[2].similarity


def test_nothing_pruned_is_alike_exactly():
    network, some = _conv()
    first = _drift(network, CLASSIFICATION, some, alike(network, "l1", "channel"))[0]
    assert first.ratio == 0 and (first.change.value, first.change.low <= 0 <= first.change.high) == (0, True)
    for measures in first.similarity.values():
        assert all(spread == Spread(1, 1, 1) for spread in measures.values())


def test_dead_channels_can_go_unnoticed():
    module = randomise(ConvNet())
    plant_dead(module, ("conv1", "bn1", "conv2", "bn2"), (0, 3))
    network, some = load(module, (2, 5, 5)), split((2, 5, 5), 4, 60)
    sizes = {name: network.group(name).size for name in targets(network, "channel")}
    plan = make_plan(network, "l1", "channel", {name: 2 / size for name, size in sizes.items()})
    assert sorted(sizes.values()) == [6, 8]
    largest = max(cut.ratio for cut in plan.cuts)
    point = _drift(network, CLASSIFICATION, some, scaled(plan), ratios=(largest,))[-1]
    assert point.change.value == 0
    for measures in point.similarity.values():
        assert measures["spearman"].low > 1 - 1e-4 and measures["cosine"].low > 1 - 1e-6


def test_the_floor_is_what_random_weights_give():
    network, some = _conv()
    found = _drift(network, CLASSIFICATION, some, alike(network, "l1", "channel"), seeds=2)
    (floor,) = [part for part in found if isinstance(part, Floor)]
    assert found.index(floor) == 1 and floor.networks == 2
    few = some.sample(20)
    strangers = [randomised(network, some.inputs, seed=seed) for seed in (0, 1)]
    for name, explain in EXPLAIN.items():
        dense = explain(network, few.inputs, few.targets)
        both = [similarities(dense, explain(s, few.inputs, few.targets)) for s in strangers]
        for measure, spread in floor.similarity[name].items():
            column = np.concatenate([values[measure] for values in both])
            assert spread == Spread(*np.percentile(column, [25, 50, 75]).tolist())
        assert floor.similarity[name]["spearman"].median < 0.9


@pytest.mark.parametrize("task", [BINARY, REGRESSION])
def test_single_outputs_are_followed_too(task):
    network = load(randomise(Mlp(outputs=1)), (5,))
    some = split((5,), 2, 40, task=REGRESSION if task is REGRESSION else CLASSIFICATION)
    found = list(
        drift(
            network, task, some, alike(network, "l1", "weight"), None,
            {"gradient": lambda n, x, t, progress=None: nets.gradients(n, x, None)},
            calibration=some.inputs, ratios=(0.5,), examples=10,
        )
    )  # fmt: skip
    assert [getattr(part, "ratio", None) for part in found] == [0, None, 0.5]
    pruned = prune(network, uniform_plan(network, "l1", "weight", 0.5))
    outputs = pruned.module(some.inputs)[:, 0].detach()
    if task is BINARY:
        expected = float(((outputs > 0) == some.targets).double().mean())
    else:
        errors = ((outputs - some.targets) ** 2).double().mean()
        expected = float(1 - errors / some.targets.double().var(correction=0))
    assert found[2].quality.value == pytest.approx(expected, abs=1e-6)
    assert set(found[2].similarity["gradient"]) == {"spearman", "cosine", "top-overlap"}


def test_a_criterion_that_needs_data_is_given_its_scores():
    network, some = _conv()
    scores = score(network, "taylor", dataset((2, 5, 5), 4))
    family = alike(network, "taylor", "channel")
    found = list(
        drift(network, CLASSIFICATION, some, family, scores, EXPLAIN, calibration=some.inputs, ratios=(0.4,))
    )
    assert found[-1].ratio == 0.4


def test_what_is_known_is_left_out():
    network, some = _conv()
    family = alike(network, "l1", "channel")
    whole = _drift(network, CLASSIFICATION, some, family)
    assert _drift(network, CLASSIFICATION, some, family, known=[0, 0.3], floor_known=True) == whole[3:]
    assert _drift(network, CLASSIFICATION, some, family, known=[0.3]) == [whole[0], whole[1], whole[3]]


def test_nothing_is_modified_and_progress_may_end_it():
    network, some = _conv()
    before, given = snapshot(network.module), some.inputs.clone()
    generator = torch.get_rng_state()
    shares: list[float] = []
    _drift(network, CLASSIFICATION, some, alike(network, "l1", "channel"), progress=shares.append)
    assert same(before, snapshot(network.module))
    assert torch.equal(some.inputs, given)
    assert torch.equal(torch.get_rng_state(), generator)
    assert shares == sorted(shares) and shares[-1] == 1

    def stop(share: float) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        _drift(network, CLASSIFICATION, some, alike(network, "l1", "channel"), progress=stop)


def test_a_scaled_plan_keeps_its_proportions():
    plan = Plan("net", "l1", (Cut("a", "channel", 0.2), Cut("b", "channel", 0.5), Cut("b", "weight", 0.4)))
    family = scaled(plan)
    assert family(0.5) == plan
    assert family(0).is_dense
    halved = family(0.25)
    assert (halved.network, halved.criterion) == ("net", "l1")
    assert [(c.target, c.granularity) for c in halved.cuts] == [(c.target, c.granularity) for c in plan.cuts]
    assert [c.ratio for c in halved.cuts] == pytest.approx([0.1, 0.25, 0.2])
    assert max(c.ratio for c in family(1.0).cuts) == 1
    picks = (Pick("a", 0, True), Pick("b", 1, False))
    family = scaled(Plan("net", "l1", plan.cuts, picks))
    assert family(0.25) == Plan("net", "l1", halved.cuts, picks)
    assert family(0) == Plan("net", "l1")
    for bare in (Plan("net", "l1"), Plan("net", "l1", picks=picks)):
        with pytest.raises(PlanError, match="cannot be scaled"):
            scaled(bare)


def test_ratios_at_which_nothing_of_a_group_would_be_left_are_left_out():
    network, some = _conv()
    group = next(group for group in network.groups if group.is_prunable)
    best = int(group_scores(score(network, "l1"), network, group).argmax())
    plan = Plan(network.name, "l1", (Cut(group.name, "channel", 0.5),), (Pick(group.name, best, True),))
    parts = _drift(network, CLASSIFICATION, some, scaled(plan), ratios=(0.1, 0.5, 1.0))
    assert [part.ratio for part in parts if isinstance(part, DriftPoint)] == [0.0, 0.1, 0.5]


def test_cutting_alike_cuts_every_target():
    network, _ = _conv()
    plan = alike(network, "l2", "channel")(0.4)
    assert plan.criterion == "l2"
    assert plan.ratios == dict.fromkeys(targets(network, "channel"), 0.4)


def _points(*rows: tuple[float, float, float]) -> list[DriftPoint]:
    """(ratio, change of accuracy, median similarity); intervals of +-0.5 points."""
    return [
        DriftPoint(
            ratio,
            Interval(0.9 + gain, 0, 1),
            Interval(gain, gain - 0.005, gain + 0.005),
            {"saliency": {"spearman": Spread(median - 0.1, median, median + 0.1)}},
        )
        for ratio, gain, median in rows
    ]


def _floor(median: float) -> Floor:
    return Floor(3, {"saliency": {"spearman": Spread(median, median, median)}})


def _moved(points, floor, metric=ACCURACY, **options):
    return moved_before_lost(points, floor, method="saliency", measure="spearman", metric=metric, **options)


def test_the_range_where_maps_moved_and_accuracy_holds():
    points = _points((0, 0, 1), (0.1, 0, 0.8), (0.2, -0.004, 0.6), (0.3, -0.01, 0.5), (0.4, -0.1, 0.3))
    found = _moved(points, _floor(0.2))  # half of the way is 0.6
    assert found.ratios == (0.2, 0.3)
    assert found.sentence.startswith("Accuracy holds from 20% to 30% removed, but the maps")
    assert _moved(points, _floor(0.1)).ratios == (0.3,)
    assert "at 30% removed" in _moved(points, _floor(0.1)).sentence
    assert _moved(points, _floor(0.2), tolerance=0.2).ratios == (0.2, 0.3, 0.4)
    assert _moved(list(reversed(points)), _floor(0.2)) == found


def test_a_loss_that_cannot_be_told_from_none_counts_as_none():
    wide = Interval(-0.03, -0.07, 0.001)
    narrow = Interval(-0.03, -0.05, -0.01)
    for change, expected in ((wide, (0.5,)), (narrow, ())):
        (point,) = _points((0.5, 0, 0.1))
        point = DriftPoint(point.ratio, point.quality, change, point.similarity)
        assert _moved([*_points((0, 0, 1)), point], _floor(0.2)).ratios == expected


def test_only_neighbouring_ratios_are_one_range():
    points = _points((0, 0, 1), (0.1, 0, 0.3), (0.2, 0, 0.9), (0.3, 0, 0.3), (0.4, 0, 0.3))
    assert _moved(points, _floor(0)).ratios == (0.1,)


def test_accuracy_lost_first_and_maps_that_stay_are_said_in_words():
    lost = _moved(_points((0, 0, 1), (0.1, -0.2, 0.9), (0.2, -0.3, 0.1)), _floor(0))
    assert lost.ratios == () and lost.sentence == (
        "The maps have gone half of the way to those of random weights at 20% removed; Accuracy has fallen by then "
        "(-20.0 points at 10%)."
    )
    together = _moved(_points((0, 0, 1), (0.1, -0.2, 0.1)), _floor(0))
    assert together.sentence.endswith("at 10% removed; Accuracy has fallen there, too (-20.0 points at 10%).")
    still = _moved(_points((0, 0, 1), (0.1, 0, 0.9)), _floor(0))
    assert still.ratios == () and still.sentence.startswith("Up to 10% removed, the maps have not")


def test_a_floor_that_leaves_no_room_or_is_not_known_marks_nothing():
    points = _points((0, 0, 1), (0.1, 0, 0.9))
    assert "choose another similarity" in _moved(points, _floor(0.97)).sentence
    assert _moved(points, None) == _moved([], _floor(0))
    assert _moved(points, None).sentence == ""


def test_other_metrics_are_named():
    points = _points((0, 0, 1), (0.1, 0, 0.1))
    assert _moved(points, _floor(0), metric=R2).sentence.startswith("R² holds at 10% removed")
