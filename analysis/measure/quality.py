"""Quality on examples: each number with its 95% interval, and changes paired example by example."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from analysis.datasets import Split, check_split
from analysis.errors import DataError, NetworkError
from analysis.inference import Layout, answers, compile_network
from analysis.measure.metrics import Sums, sums_of
from analysis.network import Network
from analysis.tasks import (
    ACCURACY,
    CALIBRATION_ERROR,
    LOSS,
    TOP,
    TOP_ACCURACY,
    Metric,
    Task,
    check_outputs,
    class_scores,
    classes_of,
    predictions,
    settled,
)

BATCH = 64  # the fastest of 64, 128, 256 and 512 on a CPU core: activations stay in its cache
_Z = 1.959964  # 97.5% quantile of the normal distribution


@dataclass(frozen=True)
class Interval:
    """A measured value with its 95% confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What a network answered on a split; made by :func:`assess`.

    `task` knows what the outputs mean; `outputs` (N, ...) are raw; `answers` (N,) are class indices or
    values; `losses` (N,).
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

    @property
    def classes(self) -> int:
        """How many classes the network tells apart; 0 for regression."""
        return classes_of(self.task, self.outputs)

    @property
    def guess(self) -> float:
        """The headline metric of always naming the commonest class, or the mean."""
        if not self.task.is_classification:
            return 0.0
        return float(self.split.targets.bincount().max()) / len(self.split)

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """The task's metrics that mean something here: top-5 accuracy needs more than 5 classes."""
        return tuple(m for m in self.task.metrics if m is not TOP_ACCURACY or self.classes > TOP)


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
    layout = Layout(BATCH, channels_last=split.inputs.dim() == 4)
    outputs = answers(compile_network(network, layout), split.inputs)
    if not torch.isfinite(outputs).all():
        bad = int((~torch.isfinite(outputs)).flatten(1).any(dim=1).sum())
        raise NetworkError(f"{network.name} answers NaN or infinity on {bad:,} of {len(split):,} examples.")
    return assess(task, split, outputs)


def assess(task: Task, split: Split, outputs: Tensor) -> Evaluation:
    """What `outputs` (N, ...), in the order of the split, say of it.

    A task whose `meaning` is not known yet is settled here, by these outputs.

    Raises
    ------
    DataError
        If the outputs or the targets have a shape or labels that the task cannot read.
    """
    if split.targets.dim() != 1:
        raise DataError(
            f"The targets have shape {tuple(split.targets.shape)}; {task.name} reads one value an example, "
            f"shape ({len(split):,},). Keep one column."
        )
    check_outputs(task, outputs)
    task = settled(task, outputs)
    if task.is_classification:
        check_split(split, task, classes=classes_of(task, outputs))
    return Evaluation(task, split, outputs, predictions(task, outputs), task.losses(outputs, split.targets))


def quality(evaluation: Evaluation) -> dict[str, Interval]:
    """Every metric of the task that means something here, with its 95% interval.

    Accuracy, top-5 accuracy: Wilson score interval (Wilson 1927). Loss: normal interval of the mean. The
    others: bootstrap, 1,000 seeded resamples of the examples, percentile interval. In a finite sample the
    calibration error is too large, and in a resample of it twice so: its interval also spans the percentile
    interval reversed, which takes that back (Davison & Hinkley 1997, section 5.2).
    """
    sums = _sums(evaluation)
    found = _intervals(sums.exact(), sums.resampled())
    if evaluation.task.is_classification:
        count = len(evaluation.split)
        error = found[CALIBRATION_ERROR.key]
        found[CALIBRATION_ERROR.key] = Interval(error.value, max(0.0, error.low), min(1.0, error.high))
        found[ACCURACY.key] = wilson(int(evaluation.correct.sum()), count)
        found[TOP_ACCURACY.key] = wilson(int(_near(evaluation).sum()), count)
        found[LOSS.key] = mean_interval(evaluation.losses)
    return {metric.key: found[metric.key] for metric in evaluation.metrics}


def change(after: Evaluation, before: Evaluation) -> dict[str, Interval]:
    """Each metric's change from `before` to `after` on the same examples, with its paired 95% interval.

    Pairing cancels what makes an example hard for both networks, so the interval is much narrower
    than the two single ones suggest. Bootstrapped metrics are computed on the same resamples.

    Raises
    ------
    DataError
        If the two were not measured on the same examples.
    """
    check_same_examples(after, before)
    now, then = _sums(after), _sums(before)
    found = _intervals(
        _differences(now.exact(), then.exact()), _differences(now.resampled(), then.resampled())
    )
    if after.task.is_classification:
        found[ACCURACY.key] = paired_proportions(after.correct, before.correct)
        found[TOP_ACCURACY.key] = paired_proportions(_near(after), _near(before))
        found[LOSS.key] = mean_interval(after.losses.double() - before.losses.double())
    return {metric.key: found[metric.key] for metric in after.metrics}


def headline(evaluation: Evaluation) -> Interval:
    """The headline metric alone, as in :func:`quality`, without resampling for the others."""
    if evaluation.task.is_classification:
        return wilson(int(evaluation.correct.sum()), len(evaluation.split))
    return quality(evaluation)[evaluation.task.headline.key]


def headline_change(after: Evaluation, before: Evaluation) -> Interval:
    """The change of the headline metric alone, as in :func:`change`; errors as there."""
    if after.task.is_classification:
        check_same_examples(after, before)
        return paired_proportions(after.correct, before.correct)
    return change(after, before)[after.task.headline.key]


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


def check_same_examples(after: Evaluation, before: Evaluation) -> None:
    """Refuse to compare what was measured on different examples; errors as :func:`change`."""
    if after.split is not before.split and not (
        torch.equal(after.split.targets, before.split.targets)
        and torch.equal(after.split.inputs, before.split.inputs)
    ):
        raise DataError("The two measurements used different examples, so their difference means nothing.")


def _sums(evaluation: Evaluation) -> Sums:
    return sums_of(evaluation.task, evaluation.outputs, evaluation.answers, evaluation.split.targets)


def _near(evaluation: Evaluation) -> Tensor:
    """True where the class is among the likeliest `TOP`, shape (N,)."""
    scores = class_scores(evaluation.task, evaluation.outputs)
    likeliest = scores.topk(min(TOP, scores.shape[1]), dim=1).indices
    return (likeliest == evaluation.split.targets[:, None]).any(dim=1)


def _differences(after: dict[str, np.ndarray], before: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {key: after[key] - before[key] for key in after}


def _intervals(exact: dict[str, np.ndarray], resampled: dict[str, np.ndarray]) -> dict[str, Interval]:
    found = {}
    for key, (value,) in exact.items():
        draws = resampled[key][np.isfinite(resampled[key])]
        low, high = np.percentile(draws, [2.5, 97.5]) if len(draws) else (np.nan, np.nan)
        if key == CALIBRATION_ERROR.key:
            low, high = min(low, 2 * value - high), max(high, 2 * value - low)
        found[key] = Interval(float(value), float(min(low, value)), float(max(high, value)))
    return found
