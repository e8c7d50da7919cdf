"""Gradual pruning: remove a little, recover a little, and again, until the plan is reached.

Each step scores the network as it is now, removes what the schedule asks for, and trains what is left. What is
gone stays gone (but see :mod:`analysis.recovery.soft`). The validation examples alone decide: which epoch of a step
is kept, and whether to stop.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch

from analysis.errors import PrunescopeError
from analysis.importance.registry import score
from analysis.importance.scores import Scores
from analysis.network import Network
from analysis.pruning.plan import Plan
from analysis.pruning.prune import remove
from analysis.pruning.selection import (
    Selection,
    left_order,
    removal_count,
    removed_weights,
    select,
    target_scores,
)
from analysis.recovery.distil import Distillation, learn
from analysis.recovery.levels import levels
from analysis.recovery.lifting import gone_first, lifted, lifted_scores
from analysis.recovery.pruned import Pruned
from analysis.recovery.recipe import MOST_SEED, Recipe
from analysis.recovery.rewinding import checkpoint
from analysis.recovery.soft import share_back, softly_zeroed
from analysis.recovery.training import Progress, best_of, judge


@dataclass(frozen=True)
class Course:
    """How a plan is reached.

    Parameters
    ----------
    schedule : str
        A name in :data:`analysis.recovery.levels.SCHEDULES`.
    steps : int
        Prune-and-recover turns; one shot takes one, layer by layer at most one a target.
    recipe : Recipe
        How each step recovers. Each draws its chance from a seed of its own.
    distillation : Distillation, optional
        Learn from the dense network's answers; from the true ones alone if None.
    last_epochs : int, optional
        Epochs of the last step, if other than the recipe's.
    rescore : bool
        True if each step scores the network as recovered so far; False if the dense network's scores are kept.
    soft : bool
        True if what is to go may grow back until the last step.
    rewind : int, optional
        After each cut, weights go back to the dense network's after so many epochs of training on; to the loaded
        ones for 0.
    floor : float, optional
        Stop before the headline metric on the validation examples falls below it.

    Raises
    ------
    PrunescopeError
        If a number is out of its range, or soft pruning is asked for together with rewinding (nothing could grow
        back) or a floor (nothing has gone before its end).
    """

    schedule: str = "cubic"
    steps: int = 8
    recipe: Recipe = field(default_factory=lambda: Recipe(epochs=2))
    distillation: Distillation | None = None
    last_epochs: int | None = None
    rescore: bool = True
    soft: bool = False
    rewind: int | None = None
    floor: float | None = None

    def __post_init__(self) -> None:
        if self.last_epochs is not None and self.last_epochs < 1:
            raise PrunescopeError("The last step takes at least 1 epoch.")
        if self.rewind is not None and self.rewind < 0:
            raise PrunescopeError("Weights are rewound to 0 epochs of training on, or more.")
        if self.floor is not None and not math.isfinite(self.floor):
            raise PrunescopeError("The floor is a number, or left out.")
        if self.soft and self.rewind is not None:
            raise PrunescopeError(
                "Soft pruning lets weights grow back, and rewinding takes back what has grown. Choose one of them."
            )
        if self.soft and self.floor is not None:
            raise PrunescopeError(
                "Soft pruning removes nothing before its last step, so it cannot stop on the way. Leave out the floor, "
                "or let nothing grow back."
            )


@dataclass(frozen=True, eq=False)
class Stage:
    """One step.

    Parameters
    ----------
    number : int
        From 1.
    plan : Plan
        With the cuts of this step.
    selection : Selection
        What is gone from the dense network. In a soft step, what is zero at its beginning.
    cut, network : Network
        Right after the cut, and recovered. In a soft step `cut` is what a final cut would give now, and `network`
        has the full shape.
    validation : float
        The recovered network's headline metric on the validation examples.
    back : float or None
        In soft pruning, the share of what the step before set to zero that has grown back since.
    is_soft : bool
        True if nothing has gone for good yet.
    holds : bool
        False if `validation` fell below the floor; no step follows then.
    seconds : float
        Of this step.
    """

    number: int
    plan: Plan
    selection: Selection
    cut: Network
    network: Network
    validation: float
    back: float | None
    is_soft: bool
    holds: bool
    seconds: float


@dataclass(frozen=True, eq=False)
class Reached:
    """Where to go on from: after step `number`, with what a :class:`Stage` says of it."""

    number: int
    selection: Selection
    network: Network
    is_soft: bool = False

    @property
    def gone(self) -> Selection:
        """What is gone for good."""
        return Selection() if self.is_soft else self.selection


def gradually(
    start: Pruned,
    plan: Plan,
    course: Course,
    *,
    reached: Reached | None = None,
    progress: Progress = lambda share: None,
) -> Iterator[Stage]:
    """Reach the plan step by step.

    Parameters
    ----------
    start : Pruned
        Gives the dense network, the examples and the task; data-driven criteria look at its `fit` examples.
    plan : Plan
        The end. Channels removed by hand go with the first step.
    reached : Reached, optional
        Go on behind that step: the steps that follow are the same as in one go.

    Raises
    ------
    PlanError
        If the plan has no cut, or the schedule is unknown.
    CriterionError
        If the plan's criterion cannot score a network on the way.
    TrainingError
        As :func:`analysis.recovery.training.train`.
    """
    steps = levels(course.schedule, start.dense, plan, course.steps)
    epochs = [course.recipe.epochs] * (len(steps) - 1) + [course.last_epochs or course.recipe.epochs]
    at = reached or Reached(0, Selection(), start.dense, is_soft=course.soft)
    done = course.rewind or 0  # epochs: what progress counts
    total = done + sum(epochs[at.number :])
    if at.number >= len(steps):
        return
    origin = None
    if course.rewind is not None:
        origin = checkpoint(start, course.recipe, course.rewind, progress=_part(progress, 0, done, total))
    first = None if course.rescore else _score(start, start.dense, plan)
    for number in range(at.number + 1, len(steps) + 1):
        level = replace(plan, cuts=steps[number - 1], recovered="")
        length = epochs[number - 1]
        recipe = replace(course.recipe, epochs=length, seed=(course.recipe.seed + number) % (MOST_SEED + 1))
        stage = _step(
            start, level, course, recipe, at, first, origin,
            is_soft=course.soft and number < len(steps), progress=_part(progress, done, length, total),
        )  # fmt: skip
        yield stage
        if not stage.holds:
            return
        at, done = Reached(number, stage.selection, stage.network, stage.is_soft), done + length


def _step(
    start: Pruned,
    level: Plan,
    course: Course,
    recipe: Recipe,
    at: Reached,
    first: Scores | None,
    origin: Network | None,
    *,
    is_soft: bool,
    progress: Progress,
) -> Stage:
    """Score (unless the `first` scores are kept), cut (from `origin` if weights are rewound), and recover."""
    began, dense = time.monotonic(), start.dense
    selection = _chosen(start, level, at, first)
    whole = origin or (at.network if at.is_soft else lifted(dense, at.network, at.gone))
    whole = replace(whole, groups=dense.groups)
    cut = remove(whole, selection)
    begun = replace(start, network=cut, selection=selection)
    if is_soft:  # nothing is locked
        begun = replace(start, network=softly_zeroed(whole, selection), selection=Selection())
    network, value = _recover(begun, course.distillation, recipe, progress)
    zeroed = at.is_soft and bool(at.selection.channels or at.selection.weights)
    return Stage(
        number=at.number + 1,
        plan=level,
        selection=selection,
        cut=cut,
        network=network,
        validation=value,
        back=share_back(at.selection, selection) if zeroed else None,
        is_soft=is_soft,
        holds=course.floor is None or value >= course.floor,
        seconds=time.monotonic() - began,
    )


def chosen(start: Pruned, plan: Plan, course: Course, at: Reached) -> Selection:
    """What the step behind `at` removes in all; in a soft step, what it sets to zero. Arguments as :func:`gradually`."""
    level = replace(
        plan, cuts=levels(course.schedule, start.dense, plan, course.steps)[at.number], recovered=""
    )
    return _chosen(start, level, at, None if course.rescore else _score(start, start.dense, plan))


def _chosen(start: Pruned, level: Plan, at: Reached, first: Scores | None) -> Selection:
    scores = first
    if scores is None:
        scores = lifted_scores(start.dense, at.gone, _score(start, at.network, level))
    return advance(start.dense, level, at.gone, scores)


def advance(dense: Network, plan: Plan, gone: Selection, scores: Scores) -> Selection:
    """What is gone by the plan if all of `gone` is gone already.

    What is gone counts as the least important. So it stays gone, and the rest is chosen as by
    :func:`analysis.pruning.selection.select`, which it equals if nothing is gone. A layer of which more is gone
    than its ratio asks for (channels took along what was left) loses no more.

    Parameters
    ----------
    scores : Scores
        In the dense shapes. Errors as `select`.
    """
    channels = select(dense, plan.only("channel"), gone_first(dense, gone, scores)).channels
    taken = removed_weights(dense, Selection(channels)) if channels else {}
    weights = {}
    for layer, ratio in plan.ratios_of("weight").items():
        values = target_scores(scores, dense, layer, "weight").double()
        before = gone.weights.get(layer)
        if before is not None:
            values = values.masked_fill(before.flatten(), -torch.inf)
        order = left_order(values.argsort(stable=True), taken.get(layer))
        already = 0 if before is None else int(before.flatten()[order].sum())
        mask = torch.zeros(len(values), dtype=torch.bool)
        mask[order[: max(already, removal_count(len(order), ratio, "weight"))]] = True
        weights[layer] = mask.reshape(dense.layer(layer).shape)
    return Selection(channels, weights)


def _recover(
    begun: Pruned, distillation: Distillation | None, recipe: Recipe, progress: Progress
) -> tuple[Network, float]:
    """The best of the network as cut and of each epoch's, by the validation examples, and its metric there."""
    start = judge(begun.network, begun.validation, begun.task)
    network, _, value = best_of(begun.network, start, learn(begun, recipe, distillation, progress=progress))
    return network, value


def _score(start: Pruned, network: Network, plan: Plan) -> Scores:
    return score(network, plan.criterion, replace(start.dataset, calibration=start.fit))


def _part(progress: Progress, done: int, size: int, total: int) -> Progress:
    """The progress of a part: `size` of `total` epochs, behind `done` others."""
    return lambda share: progress((done + size * share) / total)
