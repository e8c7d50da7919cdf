"""measure(): one call gives what its parts give, and changes only against a dense measurement."""

import pytest
import torch
from torch import nn

from analysis.datasets import Split
from analysis.errors import DataError
from analysis.measure import measure
from analysis.measure.cost import cost
from analysis.measure.quality import change, evaluate, quality
from analysis.measure.size import size
from analysis.tasks import CLASSIFICATION, REGRESSION
from analysis.tracing import trace


def _network(seed: int, outputs: int):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, outputs))
    return trace(module, torch.zeros(1, 4), f"network {seed}")


@pytest.fixture(params=["classification", "regression"])
def case(request):
    torch.manual_seed(9)
    inputs = torch.randn(40, 4)
    if request.param == "classification":
        return CLASSIFICATION, 3, Split(inputs, torch.randint(3, (40,)), "made up")
    return REGRESSION, 1, Split(inputs, torch.randn(40), "made up")


def test_a_measurement_holds_what_its_parts_give(case):
    task, outputs, split = case
    network = _network(0, outputs)
    found = measure(network, split, task)
    assert found.quality == quality(evaluate(network, split, task))
    assert found.cost == cost(network)
    assert found.size == size(network)
    assert found.change == {}
    assert found.latency.batch == 1
    assert found.evaluation.split is split


def test_the_headline_is_the_tasks_first_metric(case):
    task, outputs, split = case
    found = measure(_network(0, outputs), split, task)
    assert found.headline is found.quality[{"classification": "accuracy", "regression": "r2"}[task.name]]


def test_changes_are_against_the_dense_network(case):
    task, outputs, split = case
    first, second = _network(0, outputs), _network(1, outputs)
    dense = measure(first, split, task)
    found = measure(second, split, task, dense=dense)
    assert found.change == change(evaluate(second, split, task), evaluate(first, split, task))
    loss = "loss" if task is CLASSIFICATION else "mse"
    expected = found.quality[loss].value - dense.quality[loss].value
    assert found.change[loss].value == pytest.approx(expected, abs=1e-9)
    assert expected != 0


def test_another_split_than_the_dense_networks_is_refused(case):
    task, outputs, split = case
    dense = measure(_network(0, outputs), split, task)
    with pytest.raises(DataError, match="different examples"):
        measure(_network(1, outputs), split.take(torch.arange(20)), task, dense=dense)
