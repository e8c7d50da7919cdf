"""Confidence: the diagram counted by hand, its error as torchmetrics and the measurement have it."""

import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from analysis.errors import DataError
from analysis.explain.examples import confidence_lost
from analysis.forgetting.calibration import (
    confidence_shift,
    overconfidence,
    overconfidence_change,
    reliability,
    true_class_confidence,
)
from analysis.measure.metrics import BINS
from analysis.measure.quality import mean_interval, quality, wilson
from analysis.tasks import BINARY, CLASSIFICATION
from tests.forgetting.answered import classified, noisy, valued

CASES = [(5, 3.0, CLASSIFICATION), (2, 1.0, CLASSIFICATION), (2, 2.0, BINARY), (4, 60.0, CLASSIFICATION)]


@pytest.mark.parametrize(("classes", "scale", "task"), CASES)
def test_the_diagram_holds_the_calibration_error(classes, scale, task):
    evaluation = noisy(300, classes, seed=3, scale=scale, task=task)
    bins = reliability(evaluation)
    assert sum(b.count for b in bins) == 300
    error = sum(b.count * abs(b.accuracy.value - b.confidence) for b in bins) / 300
    assert error == pytest.approx(quality(evaluation)["ece"].value, abs=1e-9)
    if task is CLASSIFICATION:
        shares = torch.softmax(evaluation.outputs.double(), dim=1)
        expected = multiclass_calibration_error(shares, evaluation.split.targets, classes, n_bins=BINS)
        assert error == pytest.approx(float(expected), abs=1e-6)


def test_bins_counted_by_hand():
    # probabilities 0.55, 0.56 (bin 8 of 15: 0.533 to 0.6), 0.95, and exactly 1
    shares = torch.tensor([[0.55, 0.45], [0.44, 0.56], [0.95, 0.05], [1.0, 0.0]])
    evaluation = classified(shares, torch.tensor([0, 0, 0, 0]))
    assert evaluation.task.meaning == "probabilities"
    low, high, sure = reliability(evaluation)
    assert (low.count, low.accuracy) == (2, wilson(1, 2))
    assert (low.low, low.high) == pytest.approx((8 / 15, 9 / 15))
    assert low.confidence == pytest.approx(0.555)
    assert (high.count, high.accuracy, high.confidence) == (1, wilson(1, 1), pytest.approx(0.95))
    assert (sure.low, sure.high, sure.count, sure.confidence) == (1, 1, 1, pytest.approx(1))
    assert overconfidence(evaluation).value == pytest.approx((0.55 + 0.56 + 0.95 + 1 - 3) / 4)


def test_shifts_are_paired():
    before, after = noisy(200, 4, seed=1), noisy(200, 4, seed=2, scale=1.0)
    shift = confidence_shift(before, after)
    was, now = (torch.softmax(one.outputs.double(), 1) for one in (before, after))
    rows, truth = torch.arange(200), before.split.targets
    torch.testing.assert_close(shift.answer_before, was.max(1).values)
    torch.testing.assert_close(shift.answer_after, now.max(1).values)
    torch.testing.assert_close(shift.truth_before, was[rows, truth])
    torch.testing.assert_close(shift.truth_after, now[rows, truth])
    assert shift.truth_change.value == pytest.approx(float((now - was)[rows, truth].mean()))
    assert shift.answer_change == mean_interval(shift.answer_after - shift.answer_before)
    torch.testing.assert_close(
        true_class_confidence(before) - true_class_confidence(after), confidence_lost(before, after).double(),
        rtol=0, atol=1e-6,
    )  # fmt: skip


def test_a_hotter_network_is_more_overconfident_by_the_change_of_its_confidence():
    """Scaling logits changes no answer, so all that changes is how sure they are."""
    cool = noisy(300, 3, seed=4, scale=0.5)
    hot = classified(4 * cool.outputs, cool.split.targets)
    assert torch.equal(cool.answers, hot.answers)
    change = overconfidence_change(cool, hot)
    assert change.value == pytest.approx(overconfidence(hot).value - overconfidence(cool).value)
    assert change.value == pytest.approx(confidence_shift(cool, hot).answer_change.value)
    assert change.low > 0


def test_values_have_no_confidence():
    values = valued([1.0, 2.0], [1.0, 3.0])
    for call in (reliability, overconfidence, true_class_confidence):
        with pytest.raises(DataError, match="Compare errors"):
            call(values)
    with pytest.raises(DataError, match="Compare errors"):
        confidence_shift(values, values)
