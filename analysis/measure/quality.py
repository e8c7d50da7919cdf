"""Quality on examples: each number with its 95% interval, and changes paired example by example."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.datasets import Split, check_split
from analysis.errors import DataError, NetworkError
from analysis.network import Network
from analysis.tasks import Task, predictions

BATCH = 64  # the fastest of 64, 128, 256 and 512 on a CPU core: activations stay in its cache
_Z = 1.959964  # 97.5% quantile of the normal distribution
_RESAMPLES = 1000


@dataclass(frozen=True)
class Interval:
    """A measured value with its 95% confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a network answered on a split.

    `outputs` (N, ...) are raw; `answers` (N,) are class indices or values; `losses` (N,).
    """

    task: Task
    split: Split
    outputs: Tensor
    answers: Tensor
    losses: Tensor

    @property
    def correct(self) -> Tensor:
        """True where the class is right, shape (N,)."""
        return self.answers == self.split.targets


@torch.no_grad()
def evaluate(network: Network, split: Split, task: Task) -> Evaluation:
    """Run the network on every example, in fp32, in batches of `BATCH`.

    Raises
    ------
    DataError
        If the data are empty, not finite, or do not fit the network.
    NetworkError
        If an output is NaN or infinite.
    """
    check_split(split, task)
    expected, given = tuple(network.example_input.shape[1:]), tuple(split.inputs.shape[1:])
    if expected != given:
        raise DataError(
            f"{network.name} reads inputs of shape {expected}, the data have {given}. Reshape the data "
            "or choose the network they belong to."
        )
    outputs = torch.cat([network.module(batch) for batch in split.inputs.split(BATCH)])
    if not torch.isfinite(outputs).all():
        bad = int((~torch.isfinite(outputs)).flatten(1).any(dim=1).sum())
        raise NetworkError(f"{network.name} answers NaN or infinity on {bad:,} of {len(split):,} examples.")
    if task.is_classification:
        check_split(split, task, classes=outputs.shape[1])
    return Evaluation(task, split, outputs, predictions(task, outputs), task.losses(outputs, split.targets))


def quality(evaluation: Evaluation) -> dict[str, Interval]:
    """Every metric of the task with its 95% interval.

    Accuracy: Wilson score interval (Wilson 1927). Loss: normal interval of the mean.
    R², MSE, RMSE: percentile bootstrap, 1,000 seeded resamples of the examples.
    """
    if evaluation.task.is_classification:
        return {
            "accuracy": wilson(int(evaluation.correct.sum()), len(evaluation.split)),
            "loss": mean_interval(evaluation.losses),
        }
    return {key: _bootstrap(function, evaluation) for key, function in _REGRESSION.items()}


def change(after: Evaluation, before: Evaluation) -> dict[str, Interval]:
    """Each metric's change from `before` to `after` on the same examples, with its paired 95% interval.

    Pairing cancels what makes an example hard for both networks, so the interval is much narrower
    than the two single ones suggest.

    Raises
    ------
    DataError
        If the two were not measured on the same examples.
    """
    if after.split is not before.split and not (
        torch.equal(after.split.targets, before.split.targets)
        and torch.equal(after.split.inputs, before.split.inputs)
    ):
        raise DataError("The two measurements used different examples, so their difference means nothing.")
    if after.task.is_classification:
        return {
            "accuracy": paired_proportions(after.correct, before.correct),
            "loss": mean_interval(after.losses.double() - before.losses.double()),
        }
    return {key: _bootstrap(f, after, before) for key, f in _REGRESSION.items()}


def wilson(successes: int, trials: int) -> Interval:
    """Wilson's score interval of a proportion, at 95%."""
    p, z2 = successes / trials, _Z**2
    centre = (p + z2 / (2 * trials)) / (1 + z2 / trials)
    half = _Z / (1 + z2 / trials) * math.sqrt(p * (1 - p) / trials + z2 / (4 * trials**2))
    return Interval(p, min(p, max(0.0, centre - half)), max(p, min(1.0, centre + half)))


def paired_proportions(after: Tensor, before: Tensor) -> Interval:
    """Change of a proportion between paired outcomes (N,) bool, with its 95% interval.

    Agresti & Min 2005: half an observation is added to each cell of the 2x2 table, so that two networks
    that never differed on these examples are not declared equal on all others.
    """
    count = len(after)
    gained, lost = int((after & ~before).sum()), int((~after & before).sum())
    value = (gained - lost) / count
    n, b, c = count + 2, gained + 0.5, lost + 0.5
    half = _Z * math.sqrt(b + c - (b - c) ** 2 / n) / n
    centre = (b - c) / n
    return Interval(value, max(-1.0, min(value, centre - half)), min(1.0, max(value, centre + half)))


def mean_interval(values: Tensor) -> Interval:
    """Mean of (N,) values with its normal 95% interval."""
    values = values.double()
    mean = float(values.mean())
    if len(values) < 2:
        return Interval(mean, -math.inf, math.inf)
    half = _Z * float(values.std()) / math.sqrt(len(values))
    return Interval(mean, mean - half, mean + half)


def per_class(evaluation: Evaluation, classes: int) -> list[Interval | None]:
    """Accuracy of each class with its interval; None for a class without examples."""
    result: list[Interval | None] = []
    for label in range(classes):
        members = evaluation.split.targets == label
        count = int(members.sum())
        result.append(wilson(int(evaluation.correct[members].sum()), count) if count else None)
    return result


def confusion(evaluation: Evaluation, classes: int) -> Tensor:
    """Counts (classes, classes): row is the true class, column the answer."""
    index = evaluation.split.targets * classes + evaluation.answers
    return torch.bincount(index, minlength=classes**2).reshape(classes, classes)


def _mse(answers: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return np.mean((answers - targets) ** 2, axis=-1)


def _rmse(answers: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return np.sqrt(_mse(answers, targets))


def _r2(answers: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """1 - residual over total variance (NaN where the targets do not vary)."""
    variance = np.var(targets, axis=-1)
    return 1 - _mse(answers, targets) / np.where(variance > 0, variance, np.nan)


_Statistic = Callable[[np.ndarray, np.ndarray], np.ndarray]
_REGRESSION: dict[str, _Statistic] = {"r2": _r2, "rmse": _rmse, "mse": _mse}


def _bootstrap(statistic: _Statistic, after: Evaluation, before: Evaluation | None = None) -> Interval:
    """Percentile interval of a statistic, or of its paired change if `before` is given."""
    targets = after.split.targets.double().numpy()
    answers = after.answers.double().numpy()
    earlier = before.answers.double().numpy() if before else None

    def value(rows: np.ndarray) -> np.ndarray:
        now = statistic(answers[rows], targets[rows])
        return now if earlier is None else now - statistic(earlier[rows], targets[rows])

    rows = np.random.default_rng(0).integers(len(targets), size=(_RESAMPLES, len(targets)))
    low, high = np.nanpercentile(value(rows), [2.5, 97.5])
    return Interval(float(value(np.arange(len(targets)))), float(low), float(high))
