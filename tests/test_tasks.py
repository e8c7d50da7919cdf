"""What quality and loss mean for each task."""

import math

import pytest
import torch

from analysis.tasks import CLASSIFICATION, REGRESSION, confidences, predictions

LOGITS = torch.tensor([[2.0, -1, 0.5], [0, 3, -3], [1, 1.5, 1], [-2, -3, -1]])
LABELS = torch.tensor([0, 2, 1, 2])


def _softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(v) for v in row)
    return [math.exp(v) / total for v in row]


def test_the_headline_comes_first_and_metrics_are_found_by_key():
    assert CLASSIFICATION.headline.key == "accuracy"
    assert REGRESSION.headline.key == "r2"
    assert list(CLASSIFICATION.by_key) == ["accuracy", "loss"]
    assert list(REGRESSION.by_key) == ["r2", "rmse", "mse"]
    assert CLASSIFICATION.by_key["loss"] is CLASSIFICATION.metrics[1]


def test_only_accuracy_is_a_percentage_and_only_scores_rise():
    metrics = {m.key: m for m in (*CLASSIFICATION.metrics, *REGRESSION.metrics)}
    assert {key for key, m in metrics.items() if m.percent} == {"accuracy"}
    assert {key for key, m in metrics.items() if m.higher_is_better} == {"accuracy", "r2"}


def test_tasks_know_their_kind():
    assert CLASSIFICATION.is_classification and not REGRESSION.is_classification


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
    for found, row in zip(confidences(LOGITS).tolist(), expected, strict=True):
        assert found == pytest.approx(row, rel=1e-6)


def test_confidences_survive_large_logits():
    assert confidences(torch.tensor([[1000.0, 0.0]])).tolist() == [[1, 0]]
