"""Which examples to look at, against a Python loop over all of them."""

import math

import pytest
import torch

from analysis.datasets import Split
from analysis.explain.examples import CLASS_CHOICES, VALUE_CHOICES, choices, choose, confidence_lost
from analysis.measure.quality import Evaluation
from analysis.tasks import CLASSIFICATION, REGRESSION, predictions

COUNT = 60


def _classified(outputs: torch.Tensor, split: Split) -> Evaluation:
    answers = predictions(CLASSIFICATION, outputs)
    return Evaluation(CLASSIFICATION, split, outputs, answers, CLASSIFICATION.losses(outputs, split.targets))


@pytest.fixture
def digits() -> tuple[Evaluation, Evaluation]:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(3, (COUNT,), generator=generator)
    split = Split(torch.zeros(COUNT, 2), targets, "made up")
    before = torch.randn(COUNT, 4, generator=generator)
    before[torch.arange(COUNT), targets] += 1
    after = before + torch.randn(COUNT, 4, generator=generator)
    return _classified(before, split), _classified(after, split)


@pytest.fixture
def cars() -> tuple[Evaluation, Evaluation]:
    generator = torch.Generator().manual_seed(0)
    split = Split(torch.zeros(COUNT, 2), torch.randn(COUNT, generator=generator), "made up")
    first = split.targets + torch.randn(COUNT, generator=generator)
    second = first + torch.randn(COUNT, generator=generator)
    second[7] = first[7]
    return tuple(
        Evaluation(REGRESSION, split, v[:, None], v, (v - split.targets) ** 2) for v in (first, second)
    )


def _probability(evaluation: Evaluation, row: int) -> float:
    logits = evaluation.outputs[row].tolist()
    return math.exp(logits[int(evaluation.split.targets[row])]) / sum(math.exp(v) for v in logits)


def _lost(before: Evaluation, after: Evaluation, row: int) -> float:
    return _probability(before, row) - _probability(after, row)


FITS = {
    "all": lambda label, before, after: True,
    "changed": lambda label, before, after: before != after,
    "wrong-before": lambda label, before, after: before != label,
    "wrong-after": lambda label, before, after: after != label,
    "forgotten": lambda label, before, after: before == label != after,
}


def _rows(evaluations: tuple[Evaluation, Evaluation]) -> list[tuple[int, ...]]:
    before, after = evaluations
    lists = before.split.targets.tolist(), before.answers.tolist(), after.answers.tolist()
    return list(zip(*lists, strict=True))


def test_confidence_lost_is_the_drop_of_the_true_classs_probability(digits):
    expected = [_lost(*digits, row) for row in range(COUNT)]
    assert confidence_lost(*digits).tolist() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("label", [None, 1])
@pytest.mark.parametrize("choice", FITS)
def test_a_choice_finds_what_a_loop_finds(digits, choice, label):
    expected = {i for i, row in enumerate(_rows(digits)) if FITS[choice](*row) and label in (None, row[0])}
    found = choose(choice, *digits, label=label).tolist()
    assert set(found) == expected and len(found) == len(expected)
    assert len(expected) > 0 and (choice == "all" or len(expected) < COUNT)


@pytest.mark.parametrize("label", [None, 2])
@pytest.mark.parametrize("choice", [name for name in FITS if name != "all"])
def test_what_lost_the_most_confidence_comes_first(digits, choice, label):
    found = choose(choice, *digits, label=label).tolist()
    assert found == sorted(found, key=lambda row: -_lost(*digits, row))
    assert found != sorted(found)


@pytest.mark.parametrize("count", [COUNT, 50_000])
def test_any_keeps_the_order_of_the_data(count):
    split = Split(torch.zeros(count, 1), torch.arange(count) % 2, "made up")
    evaluation = _classified(torch.randn(count, 2), split)
    assert choose("all", evaluation, evaluation).tolist() == list(range(count))
    assert choose("all", evaluation, evaluation, label=1).tolist() == list(range(1, count, 2))


@pytest.mark.parametrize("choice", ["changed", "forgotten"])
def test_nothing_changed_gives_an_empty_choice(digits, choice):
    found = choose(choice, digits[0], digits[0])
    assert found.shape == (0,) and found.dtype == torch.int64


def test_a_class_without_examples_gives_an_empty_choice(digits):
    assert choose("all", *digits, label=3).tolist() == []


def test_confidence_lost_in_full_still_fits():
    """From certain to impossible and back: the largest and smallest loss there can be."""
    split = Split(torch.zeros(3, 1), torch.tensor([0, 0, 0]), "made up")
    sure, wrong = [100.0, 0, 0], [0.0, 100, 0]
    before = _classified(torch.tensor([sure, wrong, wrong]), split)
    after = _classified(torch.tensor([wrong, sure, wrong]), split)
    assert choose("changed", before, after).tolist() == [0, 1]
    assert choose("wrong-before", before, after).tolist() == [2, 1]
    assert choose("wrong-after", before, after).tolist() == [0, 2]


VALUES = {
    "changed": lambda target, before, after: abs(before - after),
    "wrong-before": lambda target, before, after: abs(before - target),
    "wrong-after": lambda target, before, after: abs(after - target),
}


@pytest.mark.parametrize("choice", VALUES)
def test_values_come_in_order_of_the_largest_difference(cars, choice):
    size = [VALUES[choice](*row) for row in _rows(cars)]
    expected = sorted((i for i in range(COUNT) if size[i] > 0), key=lambda i: -size[i])
    assert choose(choice, *cars).tolist() == expected
    assert (7 in expected) == (choice != "changed")


def test_any_value_keeps_the_order_of_the_data(cars):
    assert choose("all", *cars).tolist() == list(range(COUNT))


def test_choices_suit_the_task(digits, cars):
    assert choices(digits[0]) is CLASS_CHOICES
    assert choices(cars[0]) is VALUE_CHOICES
    assert [choice.name for choice in CLASS_CHOICES] == list(FITS)
    assert [choice.name for choice in VALUE_CHOICES] == ["all", *VALUES]
