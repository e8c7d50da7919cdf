"""Training for sparsity: a part for each epoch, and one for each curve of quality against ratio, before and after."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from analysis.errors import PrunescopeError
from analysis.importance.registry import score
from analysis.measure.quality import Interval, evaluate, headline
from analysis.network import Network
from analysis.pruning.plan import make_plan
from analysis.pruning.prune import prune
from analysis.pruning.selection import Selection
from analysis.recovery import recipe as recipes
from analysis.recovery.keep import Keep, keep_here
from analysis.recovery.penalties import PENALTIES, Penalty
from analysis.recovery.recipe import Recipe
from analysis.recovery.recovered import Step, recovered_from, restore
from analysis.recovery.sparse_training import SparseEpoch, train_for_sparsity
from analysis.sensitivity import rankable
from analysis.units import Case, Message, Say

RATIOS = (0.0, 0.3, 0.5, 0.7)
_CURVES = 0.2  # of the progress


@dataclass(frozen=True)
class Stage:
    """An epoch as :class:`~analysis.recovery.sparse_training.SparseEpoch`, with the digest its weights are kept by.

    The network as it was has none.
    """

    number: int
    train_loss: float | None
    validation_loss: float
    validation: float
    near_zero: float
    counts: tuple[int, ...]
    seconds: float
    strength: float
    digest: str


@dataclass(frozen=True)
class Curve:
    """Quality of the network when every target is cut alike, by ratio; `trained` or as it was."""

    trained: bool
    quality: Mapping[float, Interval]


def parameters(penalty: str, pull: float, recipe: Recipe) -> Message:
    """What the unit wants to know; all as :func:`~analysis.recovery.sparse_training.train_for_sparsity`."""
    return {"penalty": penalty, "pull": pull, "recipe": recipes.to_data(recipe)}


def to_data(part: Stage | Curve) -> Message:
    """A part as plain data."""
    if isinstance(part, Stage):
        return {**asdict(part), "counts": list(part.counts)}
    points = [{"ratio": ratio, **asdict(value)} for ratio, value in part.quality.items()]
    return {"trained": part.trained, "points": points}


def from_data(data: Mapping[str, Any]) -> Stage | Curve:
    """The part of :func:`to_data`."""
    if "number" in data:
        return Stage(**{**data, "counts": tuple(data["counts"])})
    quality = {p["ratio"]: Interval(p["value"], p["low"], p["high"]) for p in data["points"]}
    return Curve(data["trained"], quality)


def run(case: Case, parameters: Mapping[str, Any], known: Sequence[Message], say: Say) -> Iterator[Message]:
    """Train on after the epochs that are `known`, and measure the curves that are not."""
    penalty = PENALTIES[parameters["penalty"]]
    recipe = recipes.from_data(parameters["recipe"])
    keep = keep_here()
    found = [from_data(part) for part in known]
    stages = sorted((p for p in found if isinstance(p, Stage)), key=lambda stage: stage.number)
    whole = [stage.number for stage in stages] == list(range(len(stages)))  # else it begins anew
    done = [stage for stage in stages if stage.number] if whole else []
    reached = _reached(case.network, done)
    if reached is None:
        done = []
    network = reached
    if len(done) < recipe.epochs:
        for epoch in train_for_sparsity(
            case.network,
            case.dataset,
            penalty,
            parameters["pull"],
            recipe,
            known=[(stage.validation_loss, stage.validation) for stage in done],
            reached=reached,
            progress=lambda share: say((1 - _CURVES) * share),
        ):
            network = epoch.network
            yield to_data(_stage(epoch, penalty, keep))
    assert network is not None  # a recipe has an epoch
    measured = {part.trained for part in found if isinstance(part, Curve)}
    for i, (trained, judged) in enumerate(((False, case.network), (True, network))):
        if trained not in measured:
            yield to_data(Curve(trained, curve(case, judged, penalty)))
        say(1 - _CURVES + _CURVES * (i + 1) / 2)


def curve(case: Case, network: Network, penalty: Penalty) -> dict[float, Interval]:
    """The headline metric at each of `RATIOS`, every target cut alike that the penalty's criterion can rank."""
    scores = score(network, penalty.criterion, case.dataset)
    targets = rankable(network, scores, penalty.unit)
    quality = {}
    for ratio in RATIOS:
        plan = make_plan(network, penalty.criterion, penalty.unit, dict.fromkeys(targets, ratio))
        quality[ratio] = headline(evaluate(prune(network, plan, scores), case.split, case.dataset.task))
    return quality


def trained(network: Network, digest: str) -> Network:
    """The trained network of a stage, with its groups; `network` is the one it was trained from.

    Raises
    ------
    PrunescopeError
        If its weights are not kept any more.
    """
    found = restore(network, keep_here().get(digest))
    return replace(found, groups=network.groups)  # training changes no shape


def _stage(epoch: SparseEpoch, penalty: Penalty, keep: Keep) -> Stage:
    digest = ""
    if epoch.number:
        settings = {"penalty": penalty.name, "strength": epoch.strength, "epochs": epoch.number}
        step = Step("trained for sparsity", settings, epoch.seconds)
        digest = keep.put(recovered_from(epoch.network, Selection(), (step,)))
    said = {field.name: getattr(epoch, field.name) for field in fields(Stage) if field.name != "digest"}
    return Stage(**said, digest=digest)


def _reached(network: Network, done: Sequence[Stage]) -> Network | None:
    """What the epochs came to; None if there are none or their weights have gone, so that training begins anew."""
    try:
        return trained(network, done[-1].digest) if done else None
    except PrunescopeError:
        return None
