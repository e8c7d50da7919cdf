"""Doubts about data: raised where something was planted, and nowhere else."""

import re

import pytest
import torch
from torch import nn

from analysis.datasets import Split
from analysis.loading.evaluation_set import finish, prepare
from analysis.loading.normalisation import NORMALISATIONS
from analysis.measure import plausibility
from analysis.measure.plausibility import chance_level, label_order, near_chance, try_normalisations
from analysis.measure.quality import Evaluation, Interval, assess, evaluate, quality, wilson
from analysis.network import Network
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION
from analysis.tracing import trace
from tests.loading.raws import raw

NAMES = ("ant", "bee", "cat", "dog", "eel")


def test_chance_is_the_most_common_class_or_the_mean():
    assert chance_level(CLASSIFICATION, torch.tensor([0, 2, 2, 1])) == 0.5
    assert chance_level(BINARY, torch.tensor([0, 0, 0, 1])) == 0.75
    assert chance_level(REGRESSION, torch.rand(4)) == 0


@pytest.mark.parametrize(
    ("low", "level", "near"),
    [(0.51, 0.5, False), (0.5, 0.5, True), (0.4, 0.5, True), (float("nan"), 0.0, True)],
)
def test_an_interval_must_clear_the_level(low, level, near):
    assert near_chance(Interval(0.9, low, 0.95), level) is near


def test_coin_tosses_are_near_chance_and_better_answers_are_not():
    """Half of 1,000 right is chance between two classes; 600 right is not."""
    assert near_chance(wilson(500, 1000), 0.5)
    assert not near_chance(wilson(600, 1000), 0.5)


def _answered(answers: torch.Tensor, targets: torch.Tensor, classes: int = 5) -> Evaluation:
    split = Split(torch.zeros(len(targets), 1), targets, "made up")
    return assess(CLASSIFICATION, split, 5.0 * nn.functional.one_hot(answers, classes).float())


def _targets(count: int = 500, classes: int = 5) -> torch.Tensor:
    return torch.randint(classes, (count,), generator=torch.Generator().manual_seed(0))


def _noisy(answers: torch.Tensor, share: float, classes: int = 5) -> torch.Tensor:
    """Answers of which a share is replaced at random."""
    generator = torch.Generator().manual_seed(1)
    wrong = torch.rand(len(answers), generator=generator) < share
    return torch.where(wrong, torch.randint(classes, answers.shape, generator=generator), answers)


def test_two_swapped_classes_are_named():
    order = torch.tensor([0, 3, 2, 1, 4])
    targets = _targets()
    found = label_order(_answered(order[targets], targets), NAMES)
    assert found.startswith("The classes seem to be numbered in another order than in training: ")
    assert "“bee” is answered “dog”, “dog” is answered “bee”. " in found
    shares = re.search(r"Renumbered so, 100% of the answers would be right instead of (\d+)%\.$", found)
    assert shares is not None and 50 < int(shares[1]) < 70  # three of five classes are where they were


def test_a_rotation_is_found_through_mistakes():
    """As when labels count from 1, or folders were sorted in another way."""
    targets = _targets()
    found = label_order(_answered(_noisy((targets + 1) % 5, 0.3), targets), NAMES)
    assert "“ant” is answered “bee”, “bee” is answered “cat”, “cat” is answered “dog” and 2 more" in found


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6])
def test_ordinary_mistakes_raise_no_doubt(share):
    targets = _targets()
    assert label_order(_answered(_noisy(targets, share), targets), NAMES) == ""


@pytest.mark.parametrize("classes", [2, 5, 50])
def test_random_answers_raise_no_doubt(classes):
    """The best renaming of few examples with many classes looks good on them, and on no others."""
    for seed in range(10):
        generator = torch.Generator().manual_seed(seed)
        answers, targets = (torch.randint(classes, (200,), generator=generator) for _ in range(2))
        assert label_order(_answered(answers, targets, classes), [str(i) for i in range(classes)]) == ""


def test_a_network_that_confuses_two_classes_raises_no_doubt():
    targets = _targets()
    answers = torch.where(targets == 1, torch.tensor(3), targets)
    assert label_order(_answered(answers, targets), NAMES) == ""


def test_binary_labels_the_wrong_way_round():
    targets = _targets(classes=2)
    split = Split(torch.zeros(len(targets), 1), targets, "made up")
    evaluation = assess(BINARY, split, 8.0 * (0.5 - targets[:, None].float()))
    assert "“no” is answered “yes”, “yes” is answered “no”" in label_order(evaluation, ("no", "yes"))


def test_there_is_no_order_of_values_nor_of_too_many_classes(monkeypatch):
    split = Split(torch.zeros(9, 1), torch.arange(9.0), "made up")
    assert label_order(assess(REGRESSION, split, torch.zeros(9, 1)), ()) == ""
    targets = _targets()
    swapped = _answered((targets + 1) % 5, targets)
    assert label_order(swapped, NAMES) != ""
    monkeypatch.setattr(plausibility, "MAX_ORDERED", 4)
    assert label_order(swapped, NAMES) == ""


def _judge(threshold: float) -> Network:
    """Answers class 1 where the mean of a picture, as it reads it, is above `threshold`."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
    with torch.no_grad():
        module[1].weight[:] = torch.stack([torch.zeros(16), torch.full((16,), 1 / 16)])
        module[1].bias[:] = torch.tensor([threshold, 0.0])
    return trace(module, torch.zeros(1, 1, 4, 4), "judge")


@pytest.mark.parametrize(
    ("key", "threshold"), [("as-they-are", 102.0), ("unit", 0.4), ("symmetric", -0.2), ("mnist", 0.87407)]
)
def test_the_normalisation_of_training_is_the_best(key, threshold):
    """Pictures of brightness 0.2 and 0.45 of white: told apart at 0.4 of white alone."""
    targets = [i % 2 for i in range(100)]
    pictures = torch.tensor([[51, 115][t] for t in targets], dtype=torch.uint8)[:, None, None, None]
    data = raw(pictures.expand(100, 1, 4, 4).clone(), targets)
    ready = prepare(data, CLASSIFICATION, input_shape=(1, 4, 4), classes=2)
    found = try_normalisations(_judge(threshold), ready)
    assert found[key].value == 1
    assert set(found) == {"as-they-are", "unit", "symmetric", "mnist", "fashion-mnist", "standardised"}
    assert min(interval.value for interval in found.values()) < 0.75
    for tried, interval in found.items():
        dataset = finish(ready, NORMALISATIONS[tried])
        assert (
            interval == quality(evaluate(_judge(threshold), dataset.evaluation, CLASSIFICATION))["accuracy"]
        )


def test_a_normalisation_that_the_network_cannot_stand_is_left_out():
    class Root(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(1, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(torch.sqrt(x.mean((1, 2, 3)))[:, None])  # NaN below 0

    network = trace(Root(), torch.ones(1, 1, 4, 4), "root")
    data = raw(torch.zeros(20, 1, 4, 4, dtype=torch.uint8), [i % 2 for i in range(20)])
    ready = prepare(data, CLASSIFICATION, input_shape=(1, 4, 4), classes=2)
    assert set(try_normalisations(network, ready)) == {"as-they-are", "unit", "standardised"}


def test_few_examples_are_tried(monkeypatch):
    seen = []
    monkeypatch.setattr(
        plausibility, "evaluate", lambda n, split, task: seen.append(len(split)) or evaluate(n, split, task)
    )
    data = raw(torch.zeros(1000, 1, 4, 4), [i % 2 for i in range(1000)])
    try_normalisations(_judge(0.5), prepare(data, CLASSIFICATION, input_shape=(1, 4, 4), classes=2))
    assert set(seen) == {plausibility.TRIED}
