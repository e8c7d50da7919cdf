"""Margins: by hand, free of what softmax ignores, with the fates counted one by one."""

import math

import pytest
import torch

from analysis.errors import DataError
from analysis.forgetting.margins import FATES, errors, margin, margins
from analysis.measure.quality import mean_interval
from analysis.tasks import BINARY
from tests.forgetting.answered import classified, noisy, said, valued


def test_margins_by_hand():
    outputs = torch.tensor([[3.0, 1.0, 0.5], [3.0, 1.0, 0.5], [-1.0, -4.0, -1.5]])
    found = margin(classified(outputs, torch.tensor([0, 2, 0])))
    torch.testing.assert_close(found, torch.tensor([2.0, -2.5, 0.5], dtype=torch.float64))


def test_a_margin_is_the_log_odds_against_the_best_other_class():
    evaluation = noisy(50, 4, seed=5)
    shares = torch.softmax(evaluation.outputs.double(), dim=1).tolist()
    for value, row, truth in zip(
        margin(evaluation).tolist(), shares, evaluation.split.targets.tolist(), strict=True
    ):
        best = max(p for label, p in enumerate(row) if label != truth)
        assert value == pytest.approx(math.log(row[truth] / best))


def test_probabilities_and_logits_have_the_same_margin():
    evaluation = noisy(60, 3, seed=6)
    shares = classified(torch.softmax(evaluation.outputs, dim=1), evaluation.split.targets)
    assert shares.task.meaning == "probabilities"
    torch.testing.assert_close(margin(shares), margin(evaluation), rtol=1e-4, atol=1e-4)


def test_a_single_output_speaks_for_class_one():
    outputs, targets = torch.tensor([[2.0], [2.0], [-3.0]]), torch.tensor([1, 0, 0])
    found = margin(classified(outputs, targets, BINARY))
    torch.testing.assert_close(found, torch.tensor([2.0, -2.0, 3.0], dtype=torch.float64))


def test_the_sign_says_whether_the_answer_is_right():
    evaluation = noisy(200, 5, seed=7)
    assert torch.equal(margin(evaluation) > 0, evaluation.correct)


def test_fates_counted_by_hand():
    targets = [0, 0, 1, 1, 2, 2, 2]
    before = said([0, 0, 1, 0, 1, 2, 0], targets, 3)
    after = said([0, 1, 1, 1, 0, 2, 0], targets, 3)
    found = margins(before, after)
    assert [FATES[i] for i in found.fate] == [
        "kept", "forgotten", "kept", "gained", "wrong", "kept", "wrong",
    ]  # fmt: skip
    assert found.counts == {"kept": 3, "forgotten": 1, "gained": 1, "wrong": 2}
    assert found.change == mean_interval(found.after - found.before)
    torch.testing.assert_close(found.before, margin(before))
    torch.testing.assert_close(found.after, margin(after))


def test_a_tie_is_what_the_answer_makes_of_it():
    tied = classified(torch.tensor([[1.0, 1.0], [1.0, 1.0]]), torch.tensor([0, 1]))
    found = margins(tied, tied)
    assert found.before.tolist() == [0, 0]
    assert [FATES[i] for i in found.fate] == ["kept", "wrong"]


def test_errors_of_a_regression():
    found = errors(
        valued([1.0, 5.0, 2.0, 0.0], [1.0, 2.0, 4.0, 1.0]), valued([2.0, 2.0, 6.0, 1.5], [1.0, 2.0, 4.0, 1.0])
    )
    assert found.before.tolist() == [0, 3, 2, 1]
    assert found.after.tolist() == [1, 0, 2, 0.5]
    assert found.counts == {"larger": 1, "smaller": 2, "equal": 1}
    assert found.change.value == pytest.approx(-2.5 / 4)


def test_each_is_for_its_own_task():
    values, classes = valued([1.0, 2.0], [1.0, 3.0]), noisy(4, 3, seed=1)
    with pytest.raises(DataError, match="Compare errors"):
        margins(values, values)
    with pytest.raises(DataError, match="Compare margins"):
        errors(classes, classes)
