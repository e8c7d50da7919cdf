"""Robustness curves: each point measured by hand, clean points the measurement's own, cancelled at once."""

import dataclasses

import pytest
import torch

from analysis.datasets import Split
from analysis.forgetting.corruption import CORRUPTIONS, corrupt, corruptions_for, ground_of, strengths_of
from analysis.forgetting.robustness import robustness
from analysis.measure.quality import change, evaluate, quality
from analysis.pruning.plan import uniform_plan
from analysis.pruning.prune import prune
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION
from tests.networks import ConvNet, Mlp, dataset, load, randomise, same, snapshot

CASES = {
    "images": (lambda: ConvNet(4), (2, 5, 5), 4, CLASSIFICATION),
    "table": (lambda: Mlp(outputs=3), (5,), 3, CLASSIFICATION),
    "binary": (lambda: Mlp(outputs=1), (5,), 2, BINARY),
    "values": (lambda: Mlp(outputs=1), (5,), 1, REGRESSION),
}


def case(name):
    build, shape, classes, task = CASES[name]
    network = load(randomise(build()), shape)
    data = dataset(shape, classes, 40, task=task)
    return network, prune(network, uniform_plan(network, "l1", "channel", 0.4)), data


@pytest.mark.parametrize("name", CASES)
def test_every_point_is_a_measurement_of_both_on_the_same_examples(name):
    network, pruned, data = case(name)
    split, key = data.evaluation, data.task.headline.key
    ground = ground_of(data, network)
    points = list(robustness(network, pruned, data, split, seed=3))
    expected = [
        (entry.name, strength)
        for entry in corruptions_for(ground.kind)
        for strength in strengths_of(entry, split.inputs.shape)
    ]
    assert [(p.corruption, p.strength) for p in points] == expected
    for point in points:
        given = Split(
            corrupt(split.inputs, point.corruption, point.strength, ground, seed=3), split.targets, "by hand"
        )
        before, after = (evaluate(one, given, data.task) for one in (network, pruned))
        assert point.before == quality(before)[key]
        assert point.after == quality(after)[key]
        assert point.change == change(after, before)[key]
    clean = {(p.before, p.after, p.change) for p in points if p.strength == 0}
    assert len(clean) == 1


def test_known_points_are_left_out():
    network, pruned, data = case("table")
    points = list(robustness(network, pruned, data, data.evaluation))
    known = [(p.corruption, p.strength) for p in points[:5]]
    assert list(robustness(network, pruned, data, data.evaluation, known=known)) == points[5:]


def test_the_meaning_of_outputs_is_that_of_the_clean_examples():
    """A binary network's logits that happen to lie in [0, 1] on corrupted data are still logits."""
    network, _, data = case("binary")
    loud = dataclasses.replace(data, evaluation=Split(
        1e-3 * data.evaluation.inputs, data.evaluation.targets, "quiet"
    ))  # fmt: skip
    task = evaluate(network, loud.evaluation, data.task).task
    for point in robustness(network, network, loud, loud.evaluation):
        changed = corrupt(loud.evaluation.inputs, point.corruption, point.strength, ground_of(loud, network))
        expected = evaluate(network, Split(changed, loud.evaluation.targets, ""), task)
        assert point.before.value == float(expected.correct.double().mean())


def test_progress_grows_to_one_and_can_end_the_work():
    network, pruned, data = case("images")
    seen = []
    points = list(robustness(network, pruned, data, data.evaluation, progress=seen.append))
    assert seen == sorted(seen)
    assert len(seen) == len(points)
    assert seen[-1] == 1

    def stop(share):
        raise KeyboardInterrupt

    begun = robustness(network, pruned, data, data.evaluation, progress=stop)
    next(begun)
    with pytest.raises(KeyboardInterrupt):
        next(begun)


def test_nothing_is_modified():
    network, pruned, data = case("images")
    states = [snapshot(one.module) for one in (network, pruned)]
    inputs = data.evaluation.inputs.clone()
    list(robustness(network, pruned, data, data.evaluation))
    assert torch.equal(inputs, data.evaluation.inputs)
    assert all(same(s, snapshot(n.module)) for s, n in zip(states, (network, pruned), strict=True))
    assert {c for entry in CORRUPTIONS.values() for c in entry.kinds} == {"image", "table", "tokens"}
