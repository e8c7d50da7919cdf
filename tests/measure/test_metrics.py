"""Class metrics against scikit-learn, torchmetrics, hand counts and slow loops; their intervals by coverage."""

import time

import numpy as np
import pytest
import torch
from sklearn import metrics
from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from analysis.datasets import Split
from analysis.measure.quality import Evaluation, assess, change, quality
from analysis.tasks import BINARY, CLASSIFICATION

MACRO = ("balanced-accuracy", "precision", "recall", "f1")


def split_of(targets: Tensor) -> Split:
    return Split(torch.arange(float(len(targets)))[:, None], targets, "made up")


def planted(count: int, classes: int, *, sure: float = 1.5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Float64 logits that favour the true class by `sure`, and skewed classes."""
    generator = torch.Generator().manual_seed(seed)
    weights = 1 / torch.arange(1.0, classes + 1)
    targets = torch.multinomial(weights, count, replacement=True, generator=generator)
    outputs = torch.randn(count, classes, generator=generator, dtype=torch.float64)
    outputs[torch.arange(count), targets] += sure
    return outputs, targets


def planted_pair(count: int, classes: int, seed: int = 0) -> tuple[Evaluation, Evaluation]:
    """The same examples answered well (before) and less well (after)."""
    outputs, targets = planted(count, classes, seed=seed)
    noise = torch.randn(outputs.shape, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
    split = split_of(targets)
    return assess(CLASSIFICATION, split, outputs), assess(CLASSIFICATION, split, 0.8 * outputs + noise)


def values(evaluation: Evaluation) -> dict[str, float]:
    return {key: interval.value for key, interval in quality(evaluation).items()}


@pytest.mark.parametrize("classes", [2, 3, 7, 12])
def test_every_metric_is_that_of_torchmetrics_and_scikit_learn(classes):
    outputs, targets = planted(400, classes, seed=classes)
    assert len(targets.unique()) == classes
    found = values(assess(CLASSIFICATION, split_of(targets), outputs))
    answers = outputs.argmax(1)
    macro = {"num_classes": classes, "average": "macro"}
    expected = {
        "accuracy": multiclass_accuracy(answers, targets, num_classes=classes, average="micro"),
        "balanced-accuracy": metrics.balanced_accuracy_score(targets, answers),
        "precision": multiclass_precision(answers, targets, **macro),
        "recall": multiclass_recall(answers, targets, **macro),
        "f1": multiclass_f1_score(answers, targets, **macro),
        "loss": metrics.log_loss(targets, outputs.softmax(1), labels=range(classes)),
        "ece": multiclass_calibration_error(outputs.softmax(1), targets, num_classes=classes),
    }
    if classes > 5:
        expected["top5"] = metrics.top_k_accuracy_score(targets, outputs, k=5, labels=range(classes))
    assert found.keys() == expected.keys()
    assert found == pytest.approx({key: float(value) for key, value in expected.items()}, abs=2e-6)


def test_top_five_is_for_networks_of_more_than_five_classes():
    for classes, has in ((5, False), (6, True)):
        outputs, targets = planted(60, classes)
        evaluation = assess(CLASSIFICATION, split_of(targets), outputs)
        assert ("top5" in quality(evaluation)) == ("top5" in change(evaluation, evaluation)) == has
        assert [metric.key for metric in evaluation.metrics] == list(quality(evaluation))


def test_macro_metrics_are_over_the_classes_that_occur():
    """Class 2 never occurs but is answered, class 3 neither: five examples, counted by hand."""
    answers, targets = torch.tensor([0, 0, 1, 2, 1]), torch.tensor([0, 0, 0, 1, 1])
    outputs = torch.nn.functional.one_hot(answers, 4).double()
    found = values(assess(CLASSIFICATION, split_of(targets), outputs))
    assert found["recall"] == found["balanced-accuracy"] == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found["precision"] == pytest.approx((2 / 2 + 1 / 2) / 2)
    assert found["f1"] == pytest.approx((4 / 5 + 2 / 4) / 2)
    for name in ("precision", "recall", "f1"):
        scorer = getattr(metrics, f"{name}_score")
        assert found[name] == pytest.approx(
            scorer(targets, answers, labels=[0, 1], average="macro", zero_division=0)
        )


def test_a_class_that_is_never_answered_has_no_precision():
    targets = torch.tensor([0, 0, 1])
    found = values(assess(CLASSIFICATION, split_of(targets), torch.tensor([[1.0, 0]] * 3)))
    assert found["precision"] == pytest.approx((2 / 3 + 0) / 2)
    assert found["f1"] == pytest.approx((4 / 5 + 0) / 2)


def test_renaming_the_classes_changes_no_macro_metric():
    outputs, targets = planted(300, 6)
    order = torch.tensor([4, 2, 0, 5, 1, 3])
    renamed = torch.empty_like(outputs)
    renamed[:, order] = outputs
    one = quality(assess(CLASSIFICATION, split_of(targets), outputs))
    other = quality(assess(CLASSIFICATION, split_of(order[targets]), renamed))
    for key in (*MACRO, "ece", "accuracy", "top5", "loss"):
        for side in ("value", "low", "high"):
            assert getattr(one[key], side) == pytest.approx(getattr(other[key], side), abs=1e-9)


def slow_ece(shares: Tensor, targets: Tensor) -> float:
    """Bin by bin, as the paper has it."""
    sure, said = shares.max(1)
    total = 0.0
    for i in range(15):
        inside = [
            j for j, s in enumerate(sure.tolist()) if i / 15 <= s < (i + 1) / 15 or (i == 14 and s == 1)
        ]
        if inside:
            mean = sum(float(sure[j]) for j in inside) / len(inside)
            right = sum(bool(said[j] == targets[j]) for j in inside) / len(inside)
            total += len(inside) / len(targets) * abs(mean - right)
    return total


def test_calibration_error_is_that_of_a_slow_loop():
    outputs, targets = planted(250, 4, sure=0.5)
    found = values(assess(CLASSIFICATION, split_of(targets), 3 * outputs))["ece"]
    assert found == pytest.approx(slow_ece((3 * outputs).softmax(1), targets), abs=1e-12)
    assert found > 0.1


def test_a_network_that_knows_nothing_and_says_so_is_calibrated():
    targets = torch.arange(40) % 4
    evaluation = assess(CLASSIFICATION, split_of(targets), torch.zeros(40, 4))
    assert values(evaluation)["ece"] == pytest.approx(0, abs=1e-7)
    sure = assess(CLASSIFICATION, split_of(targets), torch.eye(4)[torch.zeros(40, dtype=torch.long)] * 50)
    assert values(sure)["ece"] == pytest.approx(0.75, abs=1e-6)


def slow_draws(evaluations: tuple[Evaluation, ...], key: str, count: int = 3000) -> np.ndarray:
    """A metric of resamples from another seed by scikit-learn, or its change if two are given."""
    targets = evaluations[0].split.targets
    rng, draws = np.random.default_rng(777), []
    for _ in range(count):
        rows = torch.from_numpy(rng.integers(len(targets), size=len(targets)))
        found = []
        for one in evaluations:
            if key == "ece":
                error = multiclass_calibration_error(
                    one.outputs[rows].softmax(1), targets[rows], one.outputs.shape[1], validate_args=False
                )
                found.append(float(error))
                continue
            truth, said = targets[rows].numpy(), one.answers[rows].numpy()
            table = np.zeros((one.classes, one.classes))
            np.add.at(table, (truth, said), 1)
            scores = []
            for label in np.unique(truth):
                hit, true, named = table[label, label], table[label].sum(), table[:, label].sum()
                scores.append(
                    {
                        "precision": hit / max(named, 1),
                        "recall": hit / true,
                        "balanced-accuracy": hit / true,
                        "f1": 2 * hit / (true + named),
                    }[key]
                )
            found.append(np.mean(scores))
        draws.append(found[0] if len(found) == 1 else found[1] - found[0])
    return np.array(draws)


@pytest.mark.parametrize("paired", [False, True])
@pytest.mark.parametrize("key", ["recall", "precision", "f1", "ece"])
def test_intervals_are_near_those_of_a_slow_bootstrap(key, paired):
    before, after = planted_pair(150, 4)
    found = change(after, before)[key] if paired else quality(after)[key]
    draws = slow_draws((before, after) if paired else (after,), key)
    low, high = np.quantile(draws, [0.025, 0.975])
    tolerance = 0.07 * (high - low)
    if key == "ece":
        low, high = min(low, 2 * found.value - high), max(high, 2 * found.value - low)
        low = low if paired else max(0.0, low)
    assert found.low == pytest.approx(min(low, found.value), abs=tolerance)
    assert found.high == pytest.approx(max(high, found.value), abs=tolerance)
    assert found.low <= found.value <= found.high


def test_intervals_narrow_with_the_root_of_the_examples():
    widths = []
    for count in (500, 2000):
        interval = quality(assess(CLASSIFICATION, split_of(planted(count, 4)[1]), planted(count, 4)[0]))["f1"]
        widths.append(interval.high - interval.low)
    assert widths[0] / widths[1] == pytest.approx(2, rel=0.15)


@pytest.mark.parametrize("excess", [0.02, 0.05, 0.1])
def test_the_interval_of_the_calibration_error_covers_the_truth(excess):
    """Two classes, answered with known confidence and right `excess` less often than that.

    The percentile interval alone covers the smallest of these in 28% of cases, the reversed one alone the
    second in 80%.
    """
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(120):
        sure = torch.from_numpy(rng.uniform(0.65, 0.98, 500))
        right = torch.from_numpy(rng.random(500)) < sure - excess
        outputs = torch.stack([torch.zeros(500), torch.logit(sure)], dim=1)
        found = quality(assess(CLASSIFICATION, split_of(right.long()), outputs))["ece"]
        covered += found.low <= excess <= found.high
    assert covered / 120 >= 0.87


def test_a_thousand_resamples_of_two_thousand_images_take_no_time_to_speak_of():
    before, after = planted_pair(2000, 10)
    start = time.perf_counter()
    quality(after)
    change(after, before)
    assert time.perf_counter() - start < 3  # about 0.1 on one core


@pytest.mark.parametrize("shape", [(300,), (300, 1)])
def test_one_logit_is_worth_two_of_which_the_first_is_zero(shape):
    outputs, targets = planted(300, 2)
    single = outputs[:, 1] - outputs[:, 0]
    worse = 0.3 * single + torch.sin(torch.arange(300.0))
    split, other = split_of(targets), split_of(targets)
    ones = [assess(BINARY, split, z.reshape(shape)) for z in (single, worse)]
    twos = [
        assess(CLASSIFICATION, other, torch.stack([torch.zeros_like(z), z], dim=1)) for z in (single, worse)
    ]
    assert quality(ones[0]) == quality(twos[0]) and quality(ones[1]) == quality(twos[1])
    assert change(ones[1], ones[0]) == change(twos[1], twos[0])
    assert 0.6 < quality(ones[0])["accuracy"].value < 1


def test_a_network_that_answers_probabilities_has_the_metrics_of_its_logits():
    outputs, targets = planted(300, 3)
    split = split_of(targets)
    wanted = quality(assess(CLASSIFICATION, split, outputs))
    for given in (outputs.softmax(1), outputs.log_softmax(1)):
        found = quality(assess(CLASSIFICATION, split, given))
        for key in wanted:
            assert found[key].value == pytest.approx(wanted[key].value, abs=1e-9)
            assert (found[key].low, found[key].high) == pytest.approx((wanted[key].low, wanted[key].high))
    logit = outputs[:, 1] - outputs[:, 0]
    halves = split_of((targets > 0).long())
    plain, sigmoid = (quality(assess(BINARY, halves, z)) for z in (logit, logit.sigmoid()))
    for key in plain:
        assert sigmoid[key].value == pytest.approx(plain[key].value, abs=1e-9)
