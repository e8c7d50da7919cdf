"""Training the plan's network: fine-tuning or distillation, an epoch a part, the best weights kept on the way."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from analysis.network import Network
from analysis.recovery.distil import Distillation, learn
from analysis.recovery.keep import keep_here
from analysis.recovery.recipe import Recipe, from_data, to_data
from analysis.recovery.recovered import Step, restore
from analysis.recovery.training import Epoch, Judged, best_epoch, judge, leeway, merit
from analysis.units import Case, Message, Say

METHODS = ("fine-tuning", "distillation")  # what a step is called
START, BEST = 0, "best"
PARENT = "from"  # a step's setting: the digest that training began from; empty for the network as pruned

KEEP_SECONDS = 3.0  # between two files of weights


@dataclass(frozen=True)
class Curves:
    """What is known of a training.

    Parameters
    ----------
    start, dense : (float, float)
        Validation loss and metric of the network that training began from, and of the dense one.
    epochs : tuple of mapping
        The parts of the epochs done, in order: ``epoch``, ``train_loss``, ``validation_loss``, ``validation``,
        ``rate``, ``seconds``.
    kept, kept_epoch : str, int
        The digest of the best weights that are kept, and the epoch they are of; empty and 0 if none are yet.
    """

    start: Judged | None = None
    dense: Judged | None = None
    epochs: tuple[Message, ...] = ()
    kept: str = ""
    kept_epoch: int = 0

    @property
    def judged(self) -> list[Judged]:
        """Validation loss and metric of the epochs done."""
        return [(part["validation_loss"], part["validation"]) for part in self.epochs]

    @property
    def is_whole(self) -> bool:
        """True if no epoch is missing up to the last, and the one that is kept is among them."""
        numbers = [part["epoch"] for part in self.epochs]
        return numbers == list(range(1, len(numbers) + 1)) and self.kept_epoch <= len(numbers)

    @property
    def seconds(self) -> float:
        """How long training took until the kept weights."""
        return next((part["seconds"] for part in self.epochs if part["epoch"] == self.kept_epoch), 0.0)


def parameters(recipe: Recipe, distillation: Distillation | None = None) -> Message:
    """What the unit wants to know; it fine-tunes without a distillation."""
    return {
        "recipe": to_data(recipe),
        "distillation": {**asdict(distillation), "hints": list(distillation.hints)} if distillation else None,
    }


def curves(parts: Sequence[Message]) -> Curves:
    """The parts of a training, put together."""
    found = {part["epoch"]: part for part in parts}
    begun = found.pop(START, None)
    epochs = tuple(found[number] for number in sorted(key for key in found if key != BEST))
    kept = [(part["kept_epoch"], part["recovered"]) for part in found.values() if part.get("recovered")]
    number, digest = max(kept, default=(0, ""))
    if begun is None:
        return Curves(epochs=epochs, kept=digest, kept_epoch=number)
    return Curves(tuple(begun["start"]), tuple(begun["dense"]), epochs, digest, number)


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Train, and go on from the best weights so far if some are `known` and still kept.

    The optimiser begins afresh then. If none are kept, or an epoch is missing, training begins again: the same
    seed gives the same epochs. Weights are kept if they are better on the validation examples than those that training
    began from: the first at once, so that stopping early loses little.
    """
    recipe, distillation = from_parameters(parameters)
    begun, before = case.begin(), curves(known)
    if before.start is None:
        start, dense = (
            judge(network, begun.validation, begun.task) for network in (begun.network, case.network)
        )
        before = replace(before, start=start, dense=dense)
        yield {"epoch": START, "start": list(start), "dense": list(dense)}
    assert before.start is not None
    resumes = before.is_whole and bool(before.kept) and keep_here().holds(before.kept)
    judged = before.judged if resumes else []
    earlier = before.epochs[-1]["seconds"] if judged else 0.0
    if resumes:
        begun = replace(begun, network=restore(case.network, keep_here().get(before.kept)))
    # Of the epochs done, one may have been better, and its weights lost since: what counts is what is kept.
    counted = judged[: before.kept_epoch]
    method = METHODS[distillation is not None]
    best: tuple[Epoch, Network] | None = None  # not kept yet
    kept_at = -math.inf

    def keep(epoch: Epoch, network: Network) -> Message:
        settings = {PARENT: case.plan.recovered, "epoch": epoch.number, **parameters}
        step = Step(method, settings, earlier + epoch.seconds)
        return {"recovered": case.keep(network, begun.selection, step), "kept_epoch": epoch.number}

    for epoch in learn(begun, recipe, distillation, progress=say, known=judged):
        mine = (epoch.validation_loss, epoch.validation)
        counted.append(mine)
        within = leeway(begun.task, counted, len(begun.validation))
        if best_epoch(counted, within) == len(counted) and merit(mine) > merit(before.start):
            best = (epoch, epoch.now)
        part = {
            "epoch": epoch.number,
            "train_loss": epoch.train_loss,
            "validation_loss": epoch.validation_loss,
            "validation": epoch.validation,
            "rate": epoch.rate,
            "seconds": earlier + epoch.seconds,
        }
        if best is not None and time.monotonic() - kept_at >= KEEP_SECONDS:
            part |= keep(*best)
            best, kept_at = None, time.monotonic()
        yield part
    if best is not None:
        yield {"epoch": BEST, **keep(*best)}


def from_parameters(parameters: Mapping[str, Any]) -> tuple[Recipe, Distillation | None]:
    """What :func:`parameters` was given."""
    given = parameters["distillation"]
    distillation = Distillation(**{**given, "hints": tuple(given["hints"])}) if given else None
    return from_data(parameters["recipe"]), distillation
