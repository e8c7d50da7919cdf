"""Metrics, confusion and changes against scikit-learn, SciPy and slow loops."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics

from analysis.datasets import Split
from analysis.errors import DataError
from analysis.measure.quality import (
    Evaluation,
    change,
    confusion,
    headline,
    headline_change,
    per_class,
    quality,
)
from analysis.tasks import CLASSIFICATION, REGRESSION

ORACLES = {
    "r2": metrics.r2_score,
    "mse": metrics.mean_squared_error,
    "rmse": metrics.root_mean_squared_error,
    "mae": metrics.mean_absolute_error,
}


def _split(targets) -> Split:
    """Examples with `targets`; each has an input of its own."""
    targets = torch.as_tensor(targets)
    targets = targets.float() if targets.is_floating_point() else targets
    return Split(torch.arange(2.0 * len(targets)).reshape(-1, 2), targets, "made up")


def _classified(answers, split: Split) -> Evaluation:
    """An evaluation whose four logits favour `answers` by a seeded margin."""
    answers = torch.as_tensor(answers)
    margin = 1 + torch.rand(len(answers), generator=torch.Generator().manual_seed(len(answers)))
    outputs = torch.nn.functional.one_hot(answers, 4) * margin[:, None]
    pairs = zip(outputs, split.targets, strict=True)
    losses = torch.tensor([float(-torch.log_softmax(o, 0)[t]) for o, t in pairs])
    return Evaluation(CLASSIFICATION, split, outputs, answers, losses)


def _valued(answers: np.ndarray, split: Split) -> Evaluation:
    outputs = torch.from_numpy(answers).float()
    return Evaluation(REGRESSION, split, outputs[:, None], outputs, (outputs - split.targets) ** 2)


@pytest.fixture
def cars() -> tuple[Evaluation, Evaluation]:
    """The same 120 targets answered well (before) and less well (after)."""
    rng = np.random.default_rng(5)
    targets = rng.normal(20, 6, 120)
    split = _split(targets)
    return _valued(targets + rng.normal(0, 2, 120), split), _valued(targets + rng.normal(1, 3, 120), split)


@pytest.fixture
def digits() -> tuple[Evaluation, Evaluation]:
    rng = np.random.default_rng(6)
    targets = rng.choice([0, 1, 3], 90)  # class 2 has no example
    before = np.where(rng.random(90) < 0.8, targets, rng.integers(4, size=90))
    after = np.where(rng.random(90) < 0.6, targets, rng.integers(4, size=90))
    split = _split(targets)
    return _classified(before, split), _classified(after, split)


@pytest.mark.parametrize("key", ORACLES)
def test_regression_metrics_are_those_of_scikit_learn(cars, key):
    for evaluation in cars:
        expected = ORACLES[key](evaluation.split.targets.numpy(), evaluation.answers.numpy())
        assert quality(evaluation)[key].value == pytest.approx(expected, rel=1e-6)


@pytest.mark.filterwarnings("error")
def test_r2_is_unknown_where_the_targets_do_not_vary():
    for target in (3.0, 0.1, 0.0):
        found = quality(_valued(np.arange(12.0), _split(np.full(12, target))))
        assert all(math.isnan(v) for v in (found["r2"].value, found["r2"].low, found["r2"].high))
        assert found["mse"].value == pytest.approx(np.mean((np.arange(12.0) - target) ** 2))


def test_r2_survives_targets_that_are_far_from_zero(cars):
    """Years, say: their squares drown their variance unless they are centred first."""
    after = cars[1]
    years = _split(after.split.targets.double().numpy() / 8 + 2000)
    found = quality(_valued((after.answers.double().numpy() / 8 + 2000), years))["r2"]
    expected = metrics.r2_score(
        years.targets.double().numpy(),
        _valued(after.answers.double().numpy() / 8 + 2000, years).answers.double().numpy(),
    )
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert found.low == pytest.approx(quality(after)["r2"].low, abs=0.01)


def _slow_bootstrap(statistic, count: int) -> tuple[float, float, float]:
    """2.5% and 97.5% quantile of 4,000 resamples from another seed, and a tolerance that tells 90% from 95%."""
    rng = np.random.default_rng(12345)
    values = [statistic(rng.integers(count, size=count)) for _ in range(4000)]
    low, high = np.quantile(values, [0.025, 0.975])
    return low, high, 0.055 * (high - low)


@pytest.mark.parametrize("key", ORACLES)
def test_bootstrap_interval_is_near_that_of_a_slow_loop(cars, key):
    evaluation = cars[1]
    answers, targets = evaluation.answers.double().numpy(), evaluation.split.targets.double().numpy()

    def slow(rows: np.ndarray) -> float:
        error = ((answers[rows] - targets[rows]) ** 2).sum() / len(rows)
        variance = ((targets[rows] - targets[rows].sum() / len(rows)) ** 2).sum() / len(rows)
        size = abs(answers[rows] - targets[rows]).sum() / len(rows)
        return {"mse": error, "rmse": math.sqrt(error), "mae": size, "r2": 1 - error / variance}[key]

    low, high, tolerance = _slow_bootstrap(slow, len(targets))
    found = quality(evaluation)[key]
    assert found.low == pytest.approx(low, abs=tolerance)
    assert found.high == pytest.approx(high, abs=tolerance)
    assert found.low < found.value < found.high


def test_paired_bootstrap_interval_is_near_that_of_a_slow_loop(cars):
    before, after = cars
    gain = (after.losses.double() - before.losses.double()).numpy()  # MSE is a mean, so its change is one
    low, high, tolerance = _slow_bootstrap(lambda rows: gain[rows].sum() / len(rows), len(gain))
    found = change(after, before)["mse"]
    assert found.low == pytest.approx(low, abs=tolerance)
    assert found.high == pytest.approx(high, abs=tolerance)


def test_bootstrap_is_reproducible(cars):
    np.random.seed(1)
    first = quality(cars[0]), change(cars[1], cars[0])
    np.random.seed(2)
    torch.manual_seed(2)
    assert (quality(cars[0]), change(cars[1], cars[0])) == first


def test_change_is_the_difference_of_the_two_qualities(cars, digits):
    for before, after in (cars, digits):
        found, now, then = change(after, before), quality(after), quality(before)
        assert found.keys() == now.keys()
        for key, interval in found.items():
            assert interval.value == pytest.approx(now[key].value - then[key].value, abs=1e-9)
            assert interval.value != 0
            assert interval.low <= interval.value <= interval.high


def test_change_of_the_same_evaluation_is_exactly_zero(cars, digits):
    for evaluation in (cars[0], digits[0]):
        assert {key: i.value for key, i in change(evaluation, evaluation).items()} == dict.fromkeys(
            quality(evaluation), 0.0
        )
    assert all((i.low, i.high) == (0, 0) for i in change(cars[0], cars[0]).values())
    loss = change(digits[0], digits[0])["loss"]
    assert (loss.low, loss.high) == (0, 0)


def test_the_paired_interval_of_the_loss_is_that_of_the_differences(digits):
    before, after = digits
    differences = np.array(after.losses.tolist()) - np.array(before.losses.tolist())
    low, high = stats.norm.interval(0.95, differences.mean(), stats.sem(differences))
    found = change(after, before)["loss"]
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-5)


def test_changes_between_different_targets_are_refused(digits):
    split = digits[0].split
    other = _classified(digits[0].answers, Split(split.inputs, split.targets.roll(1), ""))
    shorter = _classified(digits[0].answers[:-1], Split(split.inputs[:-1], split.targets[:-1], ""))
    for wrong in (other, shorter):
        with pytest.raises(DataError, match="different examples"):
            change(wrong, digits[0])


def test_changes_between_different_inputs_with_equal_targets_are_refused(digits):
    """Two splits may well share their labels; they are different examples all the same."""
    split = digits[0].split
    elsewhere = Split(split.inputs + 1, split.targets, "other images of the same classes")
    with pytest.raises(DataError, match="different examples"):
        change(_classified(digits[1].answers, elsewhere), digits[0])


def test_confusion_is_that_of_scikit_learn(digits):
    for evaluation in digits:
        expected = metrics.confusion_matrix(
            evaluation.split.targets.numpy(), evaluation.answers.numpy(), labels=range(4)
        )
        assert confusion(evaluation, 4).tolist() == expected.tolist()


def test_accuracy_of_each_class_is_its_recall_with_a_wilson_interval(digits):
    evaluation = digits[1]
    truth, answers = evaluation.split.targets.numpy(), evaluation.answers.numpy()
    recall = metrics.recall_score(truth, answers, labels=range(4), average=None, zero_division=np.nan)
    found = per_class(evaluation, 4)
    assert [label for label in range(4) if found[label] is None] == [2]
    for label in (0, 1, 3):
        members = truth == label
        test = stats.binomtest(int((answers[members] == label).sum()), int(members.sum()))
        expected = test.proportion_ci(method="wilson")
        interval = found[label]
        assert interval is not None and interval.value == pytest.approx(recall[label])
        assert (interval.low, interval.high) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_guessing_is_the_best_answer_that_is_always_the_same():
    split = _split([0, 2, 2, 1, 2, 0])
    constant = [metrics.accuracy_score(split.targets, torch.full((6,), label)) for label in range(4)]
    assert _classified([0] * 6, split).guess == pytest.approx(max(constant))
    values = np.array([1.0, 4.0, 2.5])
    mean = np.full(3, values.mean())
    assert _valued(mean, _split(values)).guess == pytest.approx(metrics.r2_score(values, mean))


@pytest.mark.parametrize("classified", [True, False])
def test_the_headline_alone_is_that_of_all_metrics(classified):
    if classified:
        split = _split([0, 2, 2, 1, 2, 0])
        before, after = _classified([0, 2, 1, 1, 2, 3], split), _classified([0, 2, 2, 1, 0, 3], split)
    else:
        split = _split(np.array([1.0, 4.0, 2.5, 3.0]))
        before, after = (_valued(np.array(v), split) for v in ([1.1, 3.0, 2.0, 3.5], [2.0, 3.9, 2.5, 1.0]))
    key = before.task.headline.key
    assert headline(after) == quality(after)[key]
    assert headline_change(after, before) == change(after, before)[key]
    other = Split(split.inputs + 1, split.targets, "others")
    moved = _classified(before.answers, other) if classified else _valued(before.answers.numpy(), other)
    with pytest.raises(DataError, match="different examples"):
        headline_change(after, moved)
