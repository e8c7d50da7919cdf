"""What "quality" and "loss" mean for a task; everything that differs between tasks is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Metric:
    """How one number is named, shown and judged.

    ``percent`` metrics live in [0, 1] and are shown times 100, their changes in percentage points.
    """

    key: str
    label: str
    percent: bool = False
    higher_is_better: bool = True


ACCURACY = Metric("accuracy", "Accuracy", percent=True)
R2 = Metric("r2", "R²")
MSE = Metric("mse", "MSE", higher_is_better=False)
RMSE = Metric("rmse", "RMSE", higher_is_better=False)
LOSS = Metric("loss", "Loss", higher_is_better=False)


@dataclass(frozen=True)
class Task:
    """The kind of answer a network gives, with the metrics that judge it (the first is the headline)."""

    name: Literal["classification", "regression"]
    metrics: tuple[Metric, ...]
    loss_name: str
    by_key: Mapping[str, Metric] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_key", {metric.key: metric for metric in self.metrics})

    @property
    def headline(self) -> Metric:
        """The metric that sliders, charts and tables follow."""
        return self.metrics[0]

    @property
    def is_classification(self) -> bool:
        """True if the answers are classes."""
        return self.name == "classification"

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each example, shape (N,).

        Classification: cross-entropy of logits (N, classes) and class indices (N,).
        Regression: squared error of (N, 1) or (N,) outputs and (N,) targets.
        """
        if self.is_classification:
            return F.cross_entropy(outputs, targets, reduction="none")
        return (predictions(self, outputs) - targets) ** 2

    def merits(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """What each example contributes to the headline metric, shape (N,): its mean decides the metric.

        Classification: 1 if the class is right, else 0. Regression: the squared error.
        """
        if self.is_classification:
            return (predictions(self, outputs) == targets).double()
        return self.losses(outputs, targets).double()

    def headline_of(self, mean_merit: float, targets: Tensor) -> float:
        """The headline metric that belongs to a mean of :meth:`merits`: the accuracy, or R²."""
        if self.is_classification:
            return mean_merit
        variance = float(targets.double().var(correction=0))
        return 1 - mean_merit / variance if variance > 0 else float("nan")


CLASSIFICATION = Task("classification", (ACCURACY, LOSS), "cross-entropy")
REGRESSION = Task("regression", (R2, RMSE, MSE), "squared error")


def predictions(task: Task, outputs: Tensor) -> Tensor:
    """The answer in the targets' terms, shape (N,): class index, or the predicted value."""
    if task.is_classification:
        return outputs.argmax(dim=1)
    return outputs.reshape(len(outputs), -1)[:, 0]


def confidences(outputs: Tensor) -> Tensor:
    """Class probabilities (N, classes) of logits, by softmax."""
    return torch.softmax(outputs, dim=1)
