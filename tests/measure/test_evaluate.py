"""evaluate(): the answers are those of a plain loop, bad input is refused, the network stays as it is."""

import math

import pytest
import torch
from torch import nn

from analysis.datasets import Split
from analysis.errors import DataError, NetworkError
from analysis.measure.quality import BATCH, evaluate, quality
from analysis.network import Network
from analysis.tasks import CLASSIFICATION, REGRESSION
from analysis.tracing import trace


def _network(outputs: int = 3) -> Network:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, outputs))
    module[1].running_mean.normal_()
    module[1].running_var.uniform_(0.5, 2)
    return trace(module, torch.zeros(1, 5), "little")


def _split(count: int, classes: int = 3) -> Split:
    torch.manual_seed(1)
    return Split(torch.randn(count, 5), torch.randint(classes, (count,)), "made up")


def test_accuracy_and_loss_are_those_of_a_python_loop():
    network, split = _network(), _split(2 * BATCH + 7)
    right, losses = 0, []
    for x, label in zip(split.inputs, split.targets.tolist(), strict=True):
        logits = network.module(x[None])[0].tolist()
        right += logits.index(max(logits)) == label
        losses.append(math.log(sum(math.exp(v) for v in logits)) - logits[label])
    evaluation = evaluate(network, split, CLASSIFICATION)
    found = quality(evaluation)
    assert found["accuracy"].value == right / len(split)
    assert found["loss"].value == pytest.approx(sum(losses) / len(losses), abs=1e-6)
    assert evaluation.losses.tolist() == pytest.approx(losses, abs=1e-5)
    assert 0 < right < len(split)


def test_outputs_stay_in_the_order_of_the_examples():
    network, split = _network(), _split(BATCH + 1)
    outputs = evaluate(network, split, CLASSIFICATION).outputs
    one_by_one = torch.cat([network.module(x[None]) for x in split.inputs])
    torch.testing.assert_close(outputs, one_by_one, atol=1e-6, rtol=0)


def test_regression_answers_are_the_single_output():
    network, inputs = _network(outputs=1), torch.randn(9, 5)
    split = Split(inputs, torch.arange(9.0), "made up")
    evaluation = evaluate(network, split, REGRESSION)
    expected = [network.module(x[None]).item() for x in inputs]
    assert evaluation.answers.tolist() == pytest.approx(expected, abs=1e-6)
    squares = [(e - t) ** 2 for e, t in zip(expected, range(9), strict=True)]
    assert evaluation.losses.tolist() == pytest.approx(squares, rel=1e-4)


def test_a_wrong_input_shape_names_both_shapes():
    split = Split(torch.zeros(4, 7, 2), torch.zeros(4, dtype=torch.long), "made up")
    with pytest.raises(DataError, match=r"\(5,\).*\(7, 2\)") as caught:
        evaluate(_network(), split, CLASSIFICATION)
    assert "little" in str(caught.value)


def test_empty_data_are_refused():
    with pytest.raises(DataError, match="no example"):
        evaluate(_network(), Split(torch.zeros(0, 5), torch.zeros(0, dtype=torch.long), ""), CLASSIFICATION)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_inputs_that_are_not_finite_are_counted_and_refused(bad):
    split = _split(6)
    split.inputs[2, 1] = bad
    split.inputs[4, 0] = bad
    with pytest.raises(DataError, match="2 of the inputs are NaN or infinite"):
        evaluate(_network(), split, CLASSIFICATION)


@pytest.mark.parametrize("label", [3, 99, -1])
def test_a_label_outside_the_outputs_is_refused(label):
    split = _split(6)
    split.targets[3] = label
    with pytest.raises(DataError, match=r"3 outputs \(labels 0 to 2\)") as caught:
        evaluate(_network(), split, CLASSIFICATION)
    assert str(label) in str(caught.value)


def test_outputs_that_are_not_finite_are_refused_with_their_number():
    module = nn.Sequential(nn.Linear(1, 2, bias=False))
    nn.init.constant_(module[0].weight, 1e38)
    network = trace(module, torch.zeros(1, 1), "overflowing")
    inputs = torch.tensor([[1.0], [1e5], [2.0], [1e6]])
    split = Split(inputs, torch.zeros(4, dtype=torch.long), "made up")
    with pytest.raises(NetworkError, match=r"overflowing answers NaN or infinity on 2 of 4 examples"):
        evaluate(network, split, CLASSIFICATION)


def test_evaluation_changes_neither_network_nor_data():
    network, split = _network(), _split(BATCH + 3)
    before = {name: value.clone() for name, value in network.module.state_dict().items()}
    inputs, targets = split.inputs.clone(), split.targets.clone()
    outputs = evaluate(network, split, CLASSIFICATION).outputs
    assert not outputs.requires_grad
    after = network.module.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before | after)
    assert all(parameter.grad is None for parameter in network.module.parameters())
    assert not any(module.training for module in network.module.modules())
    assert torch.equal(split.inputs, inputs) and torch.equal(split.targets, targets)
