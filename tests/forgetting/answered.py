"""Evaluations with outputs that are written down, for networks that need not exist."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from analysis.datasets import Split
from analysis.measure.quality import Evaluation, assess
from analysis.tasks import BINARY, CLASSIFICATION, REGRESSION, Task


def classified(outputs: Tensor, targets: Tensor, task: Task = CLASSIFICATION) -> Evaluation:
    """What a classifier with these outputs is judged as."""
    return assess(task, Split(torch.zeros(len(targets), 1), targets, "written down"), outputs)


def said(answers: Sequence[int], targets: Sequence[int], classes: int) -> Evaluation:
    """A classifier that gives these answers, each with logit 2 against 0."""
    outputs = 2.0 * torch.nn.functional.one_hot(torch.tensor(answers), classes).float()
    return classified(outputs, torch.tensor(targets))


def noisy(
    count: int, classes: int, *, seed: int, scale: float = 2.0, task: Task = CLASSIFICATION
) -> Evaluation:
    """Random logits and random labels: the same labels for every seed."""
    targets = torch.randint(classes, (count,), generator=torch.Generator().manual_seed(99))
    shape = (count, 1) if task is BINARY else (count, classes)
    outputs = scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    return classified(outputs, targets, task)


def valued(outputs: Sequence[float], targets: Sequence[float]) -> Evaluation:
    """A regression with these answers."""
    values = torch.tensor(targets)
    split = Split(torch.zeros(len(values), 1), values, "written down")
    return assess(REGRESSION, split, torch.tensor(outputs)[:, None])
