"""score(seed=): other examples, other random numbers, and nothing else."""

import pytest
import torch

from analysis.importance import CRITERIA, score
from tests.networks import ConvNet, dataset, load, randomise


@pytest.fixture(scope="module")
def net():
    return load(randomise(ConvNet()), (2, 5, 5))


def equal(one, other):
    return all(torch.equal(values, other.values[layer]) for layer, values in one.values.items())


@pytest.mark.parametrize("criterion", CRITERIA)
def test_criteria_that_vary_and_those_that_do_not(net, criterion):
    data = dataset((2, 5, 5), 4, 600)
    first, again, other = (score(net, criterion, data, seed=seed) for seed in (1, 1, 2))
    assert equal(first, again)
    assert equal(first, other) != CRITERIA[criterion].varies
    assert equal(score(net, criterion, data), score(net, criterion, data, seed=0))
    if CRITERIA[criterion].needs_data:
        drawn = data.calibration.sample(CRITERIA[criterion].examples, seed=2)
        assert other.origin == drawn.origin


def test_what_varies(net):
    assert [name for name, c in CRITERIA.items() if not c.varies] == ["l1", "l2", "bn-scale"]
