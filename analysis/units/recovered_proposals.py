"""Proposals after the same recovery: a part for each, fine-tuned by one recipe and measured again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

from analysis.importance.registry import score
from analysis.measure.quality import Evaluation, Interval, evaluate, headline, headline_change
from analysis.pruning.plan import Plan
from analysis.pruning.plan_json import from_json, to_json
from analysis.pruning.prune import remove
from analysis.pruning.selection import select
from analysis.recovery.fine_tune import fine_tune
from analysis.recovery.pruned import begin
from analysis.recovery.recipe import Recipe
from analysis.recovery.recipe import from_data as recipe_from
from analysis.recovery.recipe import to_data as recipe_data
from analysis.recovery.training import TrainingError
from analysis.units import Case, Message, Say

RATE = 3e-3


@dataclass(frozen=True)
class Recovery:
    """What a proposal's network gets after recovery.

    `quality` and `change` (against the dense network) are on the evaluation examples, which recovery never saw.
    `epoch` of `epochs` was the best on the held-out calibration examples; 0 if none was better than the network
    as cut, which then stands. Training that runs away has fewer epochs than were asked for. `seconds` is what training took.
    """

    name: str
    quality: Interval
    change: Interval
    epoch: int
    epochs: int
    seconds: float


def recipe_for(epochs: int) -> Recipe:
    """The recipe for proposals: Adam at a rate that suits networks with and without normalisation."""
    return Recipe(epochs=epochs, optimiser="adam", learning_rate=RATE)


def parameters(plans: Mapping[str, Plan], recipe: Recipe) -> Message:
    """What the unit wants to know: plans by the names of their proposals, and the recipe for all of them."""
    return {
        "plans": {name: to_json(plan.as_pruned) for name, plan in plans.items()},
        "recipe": recipe_data(recipe),
    }


def from_data(data: Mapping[str, Any]) -> Recovery:
    """The recovery of a part."""
    intervals = {key: Interval(**data[key]) for key in ("quality", "change")}
    return Recovery(**{**data, **intervals})


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Recover the proposals that are not `known`, each from its plan and by the same recipe."""
    chosen, plans = recipe_from(parameters["recipe"]), parameters["plans"]
    names = {part["name"] for part in known}
    before = evaluate(case.network, case.split, case.dataset.task)
    for i, (name, text) in enumerate(plans.items()):

        def report(share: float, i: int = i) -> None:
            say((i + share) / len(plans))

        if name not in names:
            yield _part(case, name, from_json(text), chosen, before, report)
        report(1.0)


def _part(case: Case, name: str, plan: Plan, recipe: Recipe, before: Evaluation, report: Say) -> Message:
    scores = None if plan.is_dense else score(case.network, plan.criterion, case.dataset)
    selection = select(case.network, plan, scores)
    pruned = begin(case.network, remove(case.network, selection), selection, case.dataset, seed=recipe.seed)
    network, epoch, epochs, seconds = pruned.network, 0, 0, 0.0
    best = headline(evaluate(network, pruned.validation, pruned.task)).value
    with suppress(TrainingError):  # training that runs away ends there; what was best before stands
        for found in fine_tune(pruned, recipe, progress=report):
            epochs, seconds = found.number, found.seconds
            if found.network is not None and found.validation > best:
                network, epoch, best = found.network, found.number, found.validation
    after = evaluate(network, case.split, before.task)
    quality, change = headline(after), headline_change(after, before)
    return asdict(Recovery(name, quality, change, epoch, epochs, seconds))
