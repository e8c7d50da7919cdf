"""What quality and loss mean for each task."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.func import grad, vmap

from analysis.errors import DataError
from analysis.tasks import (
    BINARY,
    CLASSIFICATION,
    REGRESSION,
    TASKS,
    check_outputs,
    class_scores,
    classes_of,
    confidences,
    predictions,
    settled,
    true_outputs,
)

LOGITS = torch.tensor([[2.0, -1, 0.5], [0, 3, -3], [1, 1.5, 1], [-2, -3, -1]])
LABELS = torch.tensor([0, 2, 1, 2])


def _softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(v) for v in row)
    return [math.exp(v) / total for v in row]


def test_the_headline_comes_first_and_metrics_are_found_by_key():
    macro = ["balanced-accuracy", "precision", "recall", "f1", "loss", "ece"]
    assert list(CLASSIFICATION.by_key) == ["accuracy", "top5", *macro]
    assert list(BINARY.by_key) == ["accuracy", *macro]
    assert list(REGRESSION.by_key) == ["r2", "rmse", "mae", "mse"]
    for task in TASKS.values():
        assert task.headline is task.metrics[0] and task.companion in task.metrics[1:]
        assert all(task.by_key[metric.key] is metric for metric in task.metrics)


def test_what_is_a_share_is_a_percentage_and_errors_should_fall():
    metrics = {m.key: m for task in TASKS.values() for m in task.metrics}
    numbers = {"loss", "r2", "rmse", "mae", "mse"}
    assert {key for key, m in metrics.items() if not m.percent} == numbers
    errors = {"loss", "ece", "rmse", "mae", "mse"}
    assert {key for key, m in metrics.items() if not m.higher_is_better} == errors
    sentences = [metric.sentence for metric in metrics.values()]
    assert len(set(sentences)) == len(sentences)
    assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in sentences)


def test_tasks_know_their_kind():
    assert CLASSIFICATION.is_classification and BINARY.is_classification
    assert not REGRESSION.is_classification
    assert {name: task.name for name, task in TASKS.items()} == {name: name for name in TASKS}


def test_class_losses_are_the_negative_log_of_the_true_class():
    expected = [-math.log(_softmax(row)[label]) for row, label in zip(LOGITS.tolist(), LABELS, strict=True)]
    assert CLASSIFICATION.losses(LOGITS, LABELS).tolist() == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("shape", [(4,), (4, 1)])
def test_value_losses_are_squared_errors_and_never_broadcast(shape):
    outputs, targets = torch.tensor([1.0, 2, 3, 4]).reshape(shape), torch.tensor([1.0, 0, 5, 4.5])
    assert REGRESSION.losses(outputs, targets).tolist() == [0, 4, 4, 0.25]
    assert predictions(REGRESSION, outputs).tolist() == [1, 2, 3, 4]


def test_the_predicted_class_has_the_largest_logit():
    assert predictions(CLASSIFICATION, LOGITS).tolist() == [0, 1, 1, 2]


def test_confidences_are_softmax_probabilities():
    expected = [_softmax(row) for row in LOGITS.tolist()]
    for found, row in zip(confidences(CLASSIFICATION, LOGITS).tolist(), expected, strict=True):
        assert found == pytest.approx(row, rel=1e-6)


def test_confidences_survive_large_logits():
    assert confidences(CLASSIFICATION, torch.tensor([[1000.0, 0.0]])).tolist() == [[1, 0]]


SINGLE = torch.tensor([-3.0, 0.5, 0.0, 40.0, -0.25, 2.0])
ZERO_ONE = torch.tensor([0, 1, 1, 0, 0, 1])


@pytest.mark.parametrize("shape", [(6,), (6, 1)])
def test_a_binary_networks_logit_speaks_for_class_one(shape):
    outputs = SINGLE.reshape(shape)
    assert predictions(BINARY, outputs).tolist() == [0, 1, 0, 1, 0, 1]
    shares = confidences(BINARY, outputs)
    for found, z in zip(shares.tolist(), SINGLE.tolist(), strict=True):
        assert found == pytest.approx([1 / (1 + math.exp(z)), 1 / (1 + math.exp(-z))], abs=1e-6)
    expected = F.binary_cross_entropy_with_logits(SINGLE, ZERO_ONE.float(), reduction="none")
    torch.testing.assert_close(BINARY.losses(outputs, ZERO_ONE), expected)
    assert BINARY.merits(outputs, ZERO_ONE).tolist() == [1, 1, 0, 0, 1, 1]
    assert BINARY.headline_of(4 / 6, ZERO_ONE) == 4 / 6


def test_a_binary_network_is_one_of_two_logits_of_which_the_first_is_zero():
    twin = torch.stack([torch.zeros(6), SINGLE], dim=1)
    assert torch.equal(class_scores(BINARY, SINGLE), twin)
    assert torch.equal(BINARY.losses(SINGLE, ZERO_ONE), CLASSIFICATION.losses(twin, ZERO_ONE))
    assert torch.equal(confidences(BINARY, SINGLE), confidences(CLASSIFICATION, twin))


@pytest.mark.parametrize(
    ("task", "outputs", "meaning"),
    [
        (CLASSIFICATION, LOGITS, "logits"),
        (CLASSIFICATION, LOGITS.softmax(1), "probabilities"),
        (CLASSIFICATION, LOGITS.softmax(1).half().float(), "probabilities"),
        (CLASSIFICATION, LOGITS.log_softmax(1), "logits"),
        (CLASSIFICATION, LOGITS.abs() / 9, "logits"),
        (CLASSIFICATION, LOGITS / LOGITS.sum(1, keepdim=True), "logits"),  # sums to 1, but with minus signs
        (BINARY, SINGLE, "logits"),
        (BINARY, SINGLE.sigmoid(), "probabilities"),
        (BINARY, SINGLE.sigmoid()[:, None], "probabilities"),
        (BINARY, SINGLE.abs(), "logits"),
        (REGRESSION, SINGLE.sigmoid(), "unknown"),
    ],
)
def test_what_outputs_mean_is_found_out_once(task, outputs, meaning):
    found = settled(task, outputs)
    assert (found.name, found.metrics, found.meaning) == (task.name, task.metrics, meaning)
    assert ("probabilities" in found.remark) == (meaning == "probabilities")
    for later in (LOGITS, LOGITS.softmax(1)):
        assert settled(found, later).meaning == (meaning if task.is_classification else "unknown")


@pytest.mark.parametrize("end", [lambda x: x, lambda x: x.softmax(1), lambda x: x.log_softmax(1)])
def test_softmax_and_log_softmax_at_the_end_change_no_answer_loss_or_confidence(end):
    task = settled(CLASSIFICATION, end(LOGITS))
    expected = [_softmax(row) for row in LOGITS.tolist()]
    torch.testing.assert_close(confidences(task, end(LOGITS)), torch.tensor(expected))
    losses = [-math.log(row[label]) for row, label in zip(expected, LABELS, strict=True)]
    assert task.losses(end(LOGITS), LABELS).tolist() == pytest.approx(losses, rel=1e-5)
    assert predictions(task, end(LOGITS)).tolist() == [0, 1, 1, 2]


def test_a_sigmoid_at_the_end_changes_no_answer_loss_or_confidence():
    outputs = SINGLE.double().clamp(max=8)
    task = settled(BINARY, outputs.sigmoid())
    assert predictions(task, outputs.sigmoid()).tolist() == predictions(BINARY, outputs).tolist()
    torch.testing.assert_close(task.losses(outputs.sigmoid(), ZERO_ONE), BINARY.losses(outputs, ZERO_ONE))
    torch.testing.assert_close(confidences(task, outputs.sigmoid()), confidences(BINARY, outputs))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_true_class_of_no_probability_has_a_large_but_finite_loss(kind):
    outputs = torch.tensor([[1.0, 0.0, 0.0]], dtype=kind, requires_grad=True)
    task = settled(CLASSIFICATION, outputs)
    (loss,) = task.losses(outputs, torch.tensor([2]))
    assert 80 < loss.item() < 100
    assert torch.isfinite(torch.autograd.grad(loss, outputs)[0]).all()


@pytest.mark.parametrize("end", [lambda z: z, torch.sigmoid])
def test_losses_of_single_examples_have_gradients_of_their_own(end):
    """As the Fisher criterion takes them: under vmap, which sees no values."""
    outputs = SINGLE.clamp(max=8)
    task = settled(BINARY, end(outputs))
    found = vmap(grad(lambda z, y: task.losses(end(z[None]), y[None]).sum()))(outputs, ZERO_ONE)
    torch.testing.assert_close(found, outputs.sigmoid() - ZERO_ONE)


@pytest.mark.parametrize(
    ("task", "shape"),
    [(CLASSIFICATION, (4, 2)), (BINARY, (4,)), (BINARY, (4, 1)), (REGRESSION, (4,)), (REGRESSION, (4, 1))],
)
def test_outputs_that_fit_the_task_are_taken(task, shape):
    check_outputs(task, torch.zeros(shape))


@pytest.mark.parametrize(
    ("task", "shape", "said"),
    [
        (CLASSIFICATION, (4,), "single output.*Choose the task binary"),
        (CLASSIFICATION, (4, 1), "single output.*Choose the task binary"),
        (CLASSIFICATION, (4, 3, 5, 5), r"shape \(3, 5, 5\).*one row"),
        (BINARY, (4, 2), r"shape \(2,\).*Choose the task classification"),
        (REGRESSION, (4, 3), r"shape \(3,\).*several values are not supported: keep one output"),
        (REGRESSION, (4, 1, 1), "regression reads one value"),
    ],
)
def test_outputs_that_do_not_fit_the_task_are_refused(task, shape, said):
    with pytest.raises(DataError, match=said):
        check_outputs(task, torch.zeros(shape))


def test_how_many_classes_there_are_and_which_output_speaks_for_each():
    assert classes_of(CLASSIFICATION, LOGITS) == 3
    assert classes_of(BINARY, SINGLE) == classes_of(BINARY, SINGLE[:, None]) == 2
    assert classes_of(REGRESSION, SINGLE) == 0
    assert true_outputs(CLASSIFICATION, LABELS) is LABELS
    assert true_outputs(BINARY, ZERO_ONE) is None and true_outputs(REGRESSION, SINGLE) is None
