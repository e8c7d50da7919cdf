"""Whether data seem to be what a network was trained on, and what may be wrong if they do not."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from analysis.errors import NetworkError
from analysis.loading.evaluation_set import Prepared, finish
from analysis.loading.normalisation import usual
from analysis.measure.quality import Evaluation, Interval, confusion, evaluate, quality, wilson
from analysis.network import Network
from analysis.tasks import Task

TRIED = 500  # examples that each normalisation is tried on
CLEARLY = 0.2  # how much more accurate another order of the classes must be, to be spoken of
MAX_ORDERED = 2000  # classes whose order is doubted: the work grows with their cube
_SHOWN = 3  # renamed classes in a sentence


def chance_level(task: Task, targets: Tensor) -> float:
    """The headline metric of a network that has learned nothing but how common each answer is.

    Accuracy: always naming the most common class. R²: always saying the mean, which is 0.
    """
    if not task.is_classification:
        return 0.0
    return float(targets.bincount().max()) / len(targets)


def near_chance(headline: Interval, level: float) -> bool:
    """True if an interval of accuracy or R² does not clear :func:`chance_level`; also if it is unknown."""
    return not headline.low > level


def try_normalisations(network: Network, ready: Prepared) -> dict[str, Interval]:
    """The headline metric under each of the usual normalisations, by key, on up to `TRIED` examples.

    One under which the network answers NaN or infinity is left out.
    """
    ready = ready.sample(TRIED)
    found = {}
    for normalisation in usual(ready.inputs, ready.unit):
        dataset = finish(ready, normalisation)
        try:
            measured = evaluate(network, dataset.evaluation, dataset.task)
        except NetworkError:
            continue
        found[normalisation.key] = quality(measured)[dataset.task.headline.key]
    return found


def label_order(evaluation: Evaluation, class_names: Sequence[str]) -> str:
    """A sentence if the network tells the classes apart but they are numbered in another order; else empty.

    The best renaming (the assignment of classes to answers that agrees most often) is found on one half of
    the examples and judged on the other, where it gains nothing by chance.
    """
    if not 2 <= evaluation.classes <= MAX_ORDERED or len(evaluation.split) < 2:
        return ""
    order = torch.randperm(len(evaluation.split), generator=torch.Generator().manual_seed(0))
    half = len(order) // 2
    answer_of = _best_renaming(_part(evaluation, order[:half]))
    rest = _part(evaluation, order[half:])
    right = int((answer_of[rest.split.targets] == rest.answers).sum())
    renamed, given = wilson(right, len(rest.split)), wilson(int(rest.correct.sum()), len(rest.split))
    if renamed.low <= given.high or renamed.value - given.value < CLEARLY:
        return ""
    moved = [i for i in rest.split.targets.unique().tolist() if int(answer_of[i]) != i]
    named = [f"“{class_names[i]}” is answered “{class_names[int(answer_of[i])]}”" for i in moved[:_SHOWN]]
    more = f" and {len(moved) - _SHOWN:,} more" if len(moved) > _SHOWN else ""
    return (
        f"The classes seem to be numbered in another order than in training: {', '.join(named)}{more}. "
        f"Renumbered so, {renamed.value:.0%} of the answers would be right instead of {given.value:.0%}."
    )


def _best_renaming(evaluation: Evaluation) -> Tensor:
    """For each class the answer that it is assigned, (classes,)."""
    counts = confusion(evaluation, evaluation.classes).double()
    # Among equally good renamings, the one that leaves most classes as they are.
    counts += 0.5 / len(counts) * torch.eye(len(counts), dtype=torch.float64)
    _, answers = linear_sum_assignment(counts.numpy(), maximize=True)
    return torch.from_numpy(answers)


def _part(evaluation: Evaluation, positions: Tensor) -> Evaluation:
    return Evaluation(
        evaluation.task,
        evaluation.split.take(positions),
        evaluation.outputs[positions],
        evaluation.answers[positions],
        evaluation.losses[positions],
    )
