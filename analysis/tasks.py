"""What "quality" and "loss" mean for a task; everything that differs between tasks is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from analysis.errors import DataError

TOP = 5  # how many classes top-5 accuracy counts
_ROUNDING = 1e-3  # how far from 1 the sum of half-precision probabilities may be

_LEAST = torch.finfo(torch.float32).tiny  # probabilities below it count as it: a loss of 87


@dataclass(frozen=True)
class Metric:
    """How one number is named, shown and judged.

    ``percent`` metrics live in [0, 1] and are shown times 100, their changes in percentage points.
    ``sentence`` says in one line what it counts.
    """

    key: str
    label: str
    sentence: str
    percent: bool = False
    higher_is_better: bool = True


ACCURACY = Metric("accuracy", "Accuracy", "Share of the examples whose class is named right.", percent=True)
TOP_ACCURACY = Metric(
    "top5",
    f"Top-{TOP} accuracy",
    f"Share of the examples whose class is among the {TOP} likeliest answers.",
    percent=True,
)
BALANCED_ACCURACY = Metric(
    "balanced-accuracy",
    "Balanced accuracy",
    "Mean of the classes' own accuracies, so that rare classes count as much as common ones.",
    percent=True,
)
PRECISION = Metric(
    "precision",
    "Precision",
    "How often an answer is right, mean over the classes that occur (0 for one that is never answered).",
    percent=True,
)
RECALL = Metric(
    "recall",
    "Recall",
    "How many examples of a class are found, mean over the classes that occur: equal to balanced accuracy.",
    percent=True,
)
F1 = Metric(
    "f1", "F1", "Harmonic mean of precision and recall of a class, mean over the classes that occur.",
    percent=True,
)  # fmt: skip
LOSS = Metric(
    "loss",
    "Loss",
    "Mean cross-entropy: minus the logarithm of the probability given to the true class.",
    higher_is_better=False,
)
CALIBRATION_ERROR = Metric(
    "ece",
    "Calibration error",
    "How far confidence and accuracy are apart, in 15 bins of confidence (ECE, Guo et al. 2017).",
    percent=True,
    higher_is_better=False,
)
R2 = Metric("r2", "R²", "Share of the targets' variance that is explained; 0 is always saying the mean.")
RMSE = Metric("rmse", "RMSE", "Root of the mean squared error, in the target's unit.", higher_is_better=False)
MAE = Metric("mae", "MAE", "Mean size of the error, in the target's unit.", higher_is_better=False)
MSE = Metric("mse", "MSE", "Mean squared error: the loss.", higher_is_better=False)

Meaning = Literal["unknown", "logits", "probabilities"]


@dataclass(frozen=True)
class Task:
    """The kind of answer a network gives, with the metrics that judge it (the first is the headline).

    `companion` is the metric to show beside the headline where there is room for two.

    ``classification`` networks have an output for each class, ``binary`` ones a single output that speaks
    for class 1, ``regression`` ones a single output that is the value. `meaning` is what the outputs of a
    classifier are; :func:`settled` finds it out, and until then they are taken for logits.
    """

    name: Literal["classification", "binary", "regression"]
    metrics: tuple[Metric, ...]
    loss_name: str
    companion: Metric
    meaning: Meaning = "unknown"
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
        return self.name != "regression"

    @property
    def remark(self) -> str:
        """What was found out about the outputs, as a sentence; empty if there is nothing to say."""
        if self.meaning != "probabilities":
            return ""
        return "The network answers probabilities, and they are taken as such."

    def losses(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Loss of each example, shape (N,).

        Classification: cross-entropy of outputs (N, classes) and class indices (N,). Binary: the same of
        outputs (N, 1) or (N,), which is binary cross-entropy. Regression: squared error of (N, 1) or (N,)
        outputs and (N,) targets.
        """
        if self.is_classification:
            return F.cross_entropy(class_scores(self, outputs), targets, reduction="none")
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


_CLASS_METRICS = (ACCURACY, TOP_ACCURACY, BALANCED_ACCURACY, PRECISION, RECALL, F1, LOSS, CALIBRATION_ERROR)
CLASSIFICATION = Task("classification", _CLASS_METRICS, "cross-entropy", LOSS)
BINARY = Task(
    "binary", tuple(m for m in _CLASS_METRICS if m is not TOP_ACCURACY), "binary cross-entropy", LOSS
)
REGRESSION = Task("regression", (R2, RMSE, MAE, MSE), "squared error", RMSE)
TASKS: Mapping[str, Task] = {task.name: task for task in (CLASSIFICATION, BINARY, REGRESSION)}


def check_outputs(task: Task, outputs: Tensor) -> None:
    """Refuse outputs that the task cannot read.

    Raises
    ------
    DataError
        If there are several values where the task reads one, or one where it reads a row of classes.
    """
    shape = tuple(outputs.shape[1:])
    said = f"The network answers each example with values of shape {shape}"
    if task.name == "classification":
        if len(shape) == 1 and shape[0] > 1:
            return
        if outputs[:1].numel() == 1:
            raise DataError(
                "The network has a single output, which cannot tell classes apart by itself. Choose the task "
                "binary (classes 0 and 1) or regression."
            )
        raise DataError(f"{said}; classification reads one row with a value for each class.")
    if shape not in ((), (1,)):
        remedy = (
            "Choose the task classification, or a network with one output."
            if task.name == "binary"
            else "Targets of several values are not supported: keep one output of the network."
        )
        raise DataError(f"{said}; {task.name} reads one value. {remedy}")


def settled(task: Task, outputs: Tensor) -> Task:
    """The task with its `meaning` decided from the dense network's outputs; unchanged if it is known.

    Outputs are probabilities if every one is at least 0 and every row sums to 1 (a network that ends in
    softmax), or, of a binary network, if none leaves [0, 1] (one that ends in a sigmoid). All others are
    logits; log-probabilities are logits, too. Ask once and keep the answer: what a pruned network says
    may look like the other kind.
    """
    if task.meaning != "unknown" or not task.is_classification:
        return task
    low = bool((outputs >= 0).all())
    if task.name == "binary":
        found = low and bool((outputs <= 1).all())
    else:
        found = low and bool(((outputs.sum(dim=1) - 1).abs() < _ROUNDING).all())
    return replace(task, meaning="probabilities" if found else "logits")


def classes_of(task: Task, outputs: Tensor) -> int:
    """How many classes the network tells apart: 2 for a binary one, 0 for regression."""
    if not task.is_classification:
        return 0
    return 2 if task.name == "binary" else outputs.shape[1]


def class_scores(task: Task, outputs: Tensor) -> Tensor:
    """Logits (N, classes) of a classifier's outputs: softmax of them gives its confidences.

    A binary network's logit z is that of (0, z). Works under :func:`torch.func.vmap`.
    """
    given = outputs
    if task.name == "binary":
        single = outputs.reshape(len(outputs))
        rest = 1 - single if task.meaning == "probabilities" else torch.zeros_like(single)
        given = torch.stack([rest, single], dim=1)
    if task.meaning == "probabilities":
        return given.clamp_min(max(_LEAST, torch.finfo(given.dtype).tiny)).log()
    return given


def predictions(task: Task, outputs: Tensor) -> Tensor:
    """The answer in the targets' terms, shape (N,): class index, or the predicted value."""
    if task.is_classification:
        return class_scores(task, outputs).argmax(dim=1)
    return outputs.reshape(len(outputs), -1)[:, 0]


def confidences(task: Task, outputs: Tensor) -> Tensor:
    """Class probabilities (N, classes) of a classifier's outputs."""
    return torch.softmax(class_scores(task, outputs), dim=1)


def true_outputs(task: Task, targets: Tensor) -> Tensor | None:
    """Which output speaks for the true class, (N,); None if the network has a single output."""
    return targets if task.name == "classification" else None
