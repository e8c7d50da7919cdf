"""Which answer is explained: the true class, the one that the dense network gave, or one of the reader's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.errors import AttributionError
from analysis.measure.quality import Evaluation


@dataclass(frozen=True)
class TargetKind:
    """A way to choose the answer that is explained."""

    name: str
    label: str
    sentence: str


TARGET_KINDS: tuple[TargetKind, ...] = (
    TargetKind("true", "True class", "the true class"),
    TargetKind("predicted", "Answer before", "the class that the dense network answered"),
    TargetKind("chosen", "A class", "one class for all examples"),
)


def resolve_targets(
    kind: str, evaluation_before: Evaluation, indices: Tensor, chosen: int | None = None
) -> Tensor | None:
    """The class to explain of the examples at `indices`, (N,); None if the task knows no classes.

    Both networks are explained towards the same answer, or their difference would mean nothing. So
    *predicted* is always what `evaluation_before` says.

    Raises
    ------
    AttributionError
        If there is no such kind, or the chosen class is none of the network's.
    """
    names = [entry.name for entry in TARGET_KINDS]
    if kind not in names:
        raise AttributionError(f"There is no target {kind!r}. Known: {', '.join(names)}.")
    if not evaluation_before.task.is_classification:
        return None
    if kind == "true":
        return evaluation_before.split.targets[indices]
    if kind == "predicted":
        return evaluation_before.answers[indices]
    if chosen is None or not 0 <= chosen < evaluation_before.classes:
        raise AttributionError(
            f"There is no class {chosen}. Choose one from 0 to {evaluation_before.classes - 1}."
        )
    return torch.full((len(indices),), chosen)
