"""Which examples to look at: chosen by what the dense and the pruned network say of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.measure.quality import Evaluation
from analysis.tasks import confidences


@dataclass(frozen=True)
class Choice:
    """A way to choose examples: `rank` gives (N,) values, and those above 0 are shown, largest first."""

    name: str
    label: str
    rank: Callable[[Evaluation, Evaluation], Tensor]


def confidence_lost(before: Evaluation, after: Evaluation) -> Tensor:
    """Drop of the true class's probability from `before` to `after`, shape (N,)."""
    rows = torch.arange(len(before.split))
    targets = before.split.targets
    was, now = (confidences(one.task, one.outputs)[rows, targets] for one in (before, after))
    return was - now


def _rising(mask: Tensor, before: Evaluation, after: Evaluation) -> Tensor:
    """Those in `mask`, the largest loss of confidence first."""
    return mask * (2 + confidence_lost(before, after))


def _errors(evaluation: Evaluation) -> Tensor:
    return (evaluation.answers - evaluation.split.targets).abs()


CLASS_CHOICES: tuple[Choice, ...] = (
    Choice("all", "Any", lambda b, a: 1 + 0.5 / (1 + torch.arange(len(b.split)))),
    Choice("changed", "Answer changed", lambda b, a: _rising(b.answers != a.answers, b, a)),
    Choice("wrong-before", "Wrong before", lambda b, a: _rising(~b.correct, b, a)),
    Choice("wrong-after", "Wrong after", lambda b, a: _rising(~a.correct, b, a)),
    Choice("forgotten", "Right before, wrong after", lambda b, a: _rising(b.correct & ~a.correct, b, a)),
)
VALUE_CHOICES: tuple[Choice, ...] = (
    Choice("all", "Any", lambda b, a: 1 + 0.5 / (1 + torch.arange(len(b.split)))),
    Choice("changed", "Answer changed most", lambda b, a: (b.answers - a.answers).abs()),
    Choice("wrong-before", "Largest error before", lambda b, a: _errors(b)),
    Choice("wrong-after", "Largest error after", lambda b, a: _errors(a)),
)


def choices(evaluation: Evaluation) -> tuple[Choice, ...]:
    """The ways to choose that suit the task."""
    return CLASS_CHOICES if evaluation.task.is_classification else VALUE_CHOICES


def choose(choice: str, before: Evaluation, after: Evaluation, *, label: int | None = None) -> Tensor:
    """Indices of the chosen examples, most striking first; empty if none fits.

    `label` keeps one true class only.
    """
    entry = next(c for c in choices(before) if c.name == choice)
    rank = entry.rank(before, after).double()
    if label is not None:
        rank = rank * (before.split.targets == label)
    order = torch.argsort(rank, descending=True, stable=True)
    return order[rank[order] > 0]
