"""Proposals after the same recovery: a part for each, fine-tuned by one recipe and measured again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

from analysis.errors import PrunescopeError
from analysis.measure.quality import Evaluation, Interval, evaluate, headline, headline_change
from analysis.pruning.plan import Plan
from analysis.pruning.plan_json import from_json, to_json
from analysis.recovery.fine_tune import fine_tune
from analysis.recovery.keep import KeepError
from analysis.recovery.recipe import Recipe
from analysis.recovery.recipe import from_data as recipe_from
from analysis.recovery.recipe import to_data as recipe_data
from analysis.recovery.recovered import Step
from analysis.recovery.training import TrainingError, improves, judge
from analysis.units import Case, Message, Say
from analysis.units import fine_tune as training

RATE = 3e-3


@dataclass(frozen=True)
class Recovery:
    """What a proposal's network gets after recovery.

    `quality` and `change` (against the dense network) are on the evaluation examples, which recovery never saw.
    `epoch` of `epochs` was the best on the held-out calibration examples; 0 if none was better than the plan's
    network, which then stands. Training that runs away has fewer epochs than were asked for. `seconds` is what
    training took. `recovered` is the digest for the plan to name: of the kept weights, or the plan's own where its network
    stands. `refused` says why there was nothing to recover; `quality` and `change` are None then.
    """

    name: str
    quality: Interval | None = None
    change: Interval | None = None
    epoch: int = 0
    epochs: int = 0
    seconds: float = 0.0
    recovered: str = ""
    refused: str = ""


def recipe_for(epochs: int) -> Recipe:
    """The recipe for proposals: Adam at a rate that suits networks with and without normalisation."""
    return Recipe(epochs=epochs, optimiser="adam", learning_rate=RATE)


def parameters(plans: Mapping[str, Plan], recipe: Recipe) -> Message:
    """What the unit wants to know: plans by the names of their proposals, and the recipe for all of them."""
    return {
        "plans": {name: to_json(plan) for name, plan in plans.items()},
        "recipe": recipe_data(recipe),
    }


def from_data(data: Mapping[str, Any]) -> Recovery:
    """The recovery of a part."""
    intervals = {key: Interval(**data[key]) for key in ("quality", "change") if data[key] is not None}
    return Recovery(**{**data, **intervals})


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Recover the proposals that are not `known`, each from its plan's network and by the same recipe.

    That is the repaired network where the plan names its weights, and the network as cut else.

    Raises
    ------
    KeepError
        If recovered weights cannot be kept.
    """
    chosen, plans = recipe_from(parameters["recipe"]), parameters["plans"]
    names = {part["name"] for part in known}
    before = evaluate(case.network, case.split, case.dataset.task)
    for i, (name, text) in enumerate(plans.items()):

        def report(share: float, i: int = i) -> None:
            say((i + share) / len(plans))

        if name not in names:
            yield asdict(_recovery(replace(case, plan=from_json(text)), name, chosen, before, report))
        report(1.0)


def _recovery(case: Case, name: str, recipe: Recipe, before: Evaluation, report: Say) -> Recovery:
    try:
        return _recovered(case, name, recipe, before, report)
    except KeepError:
        raise
    except PrunescopeError as error:
        return Recovery(name, refused=str(error))


def _recovered(case: Case, name: str, recipe: Recipe, before: Evaluation, report: Say) -> Recovery:
    begun, digest = case.begin(), case.plan.recovered
    network, start = begun.network, judge(begun.network, begun.validation, begun.task)
    epoch, epochs, seconds = 0, 0, 0.0
    with suppress(TrainingError):  # training that runs away ends there; what was best before stands
        for found in fine_tune(begun, recipe, progress=report):
            epochs, seconds = found.number, found.seconds
            if improves(found, start):
                network, epoch = found.now, found.number
    after = evaluate(network, case.split, before.task)
    if epoch and not case.plan.is_dense:  # a plan that removes nothing names no weights
        settings = {training.PARENT: digest, "epoch": epoch, **training.parameters(recipe)}
        digest = case.keep(network, begun.selection, Step(training.METHODS[0], settings, seconds))
    quality, change = headline(after), headline_change(after, before)
    return Recovery(name, quality, change, epoch, epochs, seconds, digest)
