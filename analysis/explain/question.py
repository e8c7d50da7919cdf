"""What is asked of both networks: of which examples, towards which answer, by which method."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from analysis.explain.attribution import Attribution, attribute
from analysis.explain.targets import resolve_targets
from analysis.measure.quality import Evaluation
from analysis.network import Network

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Question:
    """Which attributions are wanted; hashable, so that answers can be kept under it.

    Parameters
    ----------
    indices : tuple of int
        Of the evaluation examples.
    layer : str or None
        For methods that look at one.
    target, chosen : str, int or None
        As in :func:`analysis.explain.targets.resolve_targets`.
    parameters : tuple of (key, value)
        Numbers of the method's own that are not the defaults.
    """

    method: str
    indices: tuple[int, ...]
    layer: str | None = None
    target: str = "true"
    chosen: int | None = None
    parameters: tuple[tuple[str, float], ...] = ()

    def to_data(self) -> dict[str, Any]:
        """The question as plain data."""
        return asdict(self)


def from_data(data: Mapping[str, Any]) -> Question:
    """The question of :meth:`Question.to_data`, also after a way through JSON."""
    return Question(
        method=data["method"],
        indices=tuple(data["indices"]),
        layer=data["layer"],
        target=data["target"],
        chosen=data["chosen"],
        parameters=tuple((key, value) for key, value in data["parameters"]),
    )


def ask(
    question: Question,
    network: Network,
    before: Evaluation,
    baseline: float | Tensor,
    progress: Progress = lambda share: None,
) -> Attribution:
    """The attributions of one network; errors as :func:`analysis.explain.attribution.attribute`.

    `before` is what the *dense* network answered to all evaluation examples, whichever `network` is asked.
    """
    indices = torch.tensor(question.indices, dtype=torch.long)
    return attribute(
        network,
        question.method,
        before.split.inputs[indices],
        resolve_targets(question.target, before, indices, question.chosen),
        baseline=baseline,
        layer=question.layer,
        parameters=dict(question.parameters),
        progress=progress,
    )
