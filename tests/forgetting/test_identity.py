"""The same network twice, and a twin whose channels stand in another order, forgot nothing."""

import copy
import math

import pytest
import torch

from analysis.explain.examples import choose
from analysis.forgetting.calibration import confidence_shift, overconfidence_change
from analysis.forgetting.classes import class_changes, disparity
from analysis.forgetting.exemplars import consensus
from analysis.forgetting.margins import margins
from analysis.forgetting.robustness import robustness
from analysis.measure.quality import evaluate
from analysis.network import Network
from analysis.pruning.plan import uniform_plan
from analysis.pruning.prune import prune
from tests.networks import ConvNet, dataset, load, randomise

DATA = dataset((2, 5, 5), 4, 60)


def same_network() -> tuple[Network, Network]:
    network = load(randomise(ConvNet(), seed=4), (2, 5, 5))
    return network, prune(network, uniform_plan(network, "l1", "channel", 0.0))


@torch.no_grad()
def permuted_twin() -> tuple[Network, Network]:
    module = randomise(ConvNet(), seed=4)
    twin, order = copy.deepcopy(module), [3, 1, 5, 0, 2, 4]
    for name in ("conv1", "bn1"):
        child = twin.get_submodule(name)
        for attribute in ("weight", "bias", "running_mean", "running_var"):
            if (value := getattr(child, attribute, None)) is not None:
                value.copy_(value[order].clone())
    twin.conv2.weight.copy_(twin.conv2.weight[:, order].clone())
    assert not torch.equal(twin.conv1.weight, module.conv1.weight)
    return load(module, (2, 5, 5)), load(twin, (2, 5, 5))


@pytest.mark.parametrize("pair", [same_network, permuted_twin])
def test_nothing_was_forgotten(pair):
    one, two = pair()
    before = evaluate(one, DATA.evaluation, DATA.task)
    after = evaluate(two, DATA.evaluation, before.task)
    for change in class_changes(before, after):
        assert (change.gained, change.lost, change.change.value) == (0, 0, 0)
        assert change.p_value == change.adjusted == 1
    assert disparity(before, after).p_value == 1
    assert len(choose("changed", before, after)) == 0
    assert not consensus(before.answers, [after.answers]).exemplars.any()
    found = margins(before, after)
    assert found.counts["forgotten"] == found.counts["gained"] == 0
    torch.testing.assert_close(found.before, found.after, rtol=1e-4, atol=1e-4)
    shift = confidence_shift(before, after)
    for changed in (shift.answer_change, shift.truth_change, overconfidence_change(before, after)):
        assert math.isclose(changed.value, 0, abs_tol=1e-6)
    for point in robustness(one, two, DATA, DATA.evaluation):
        assert point.before == point.after
        assert point.change.value == 0
