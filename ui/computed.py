"""What is computed is kept in process-wide caches keyed by names and plans, never by weights.

Networks, scores and measurements are immutable, so all sessions share them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import RLock

from cachetools import LRUCache, cached
from torch import Tensor

from analysis.allocation.repaired_curves import repair
from analysis.datasets import Split
from analysis.explain import estimates
from analysis.explain.attribution import Attribution
from analysis.explain.question import Question, ask
from analysis.importance import Scores, score
from analysis.live import Gauge, Run
from analysis.measure import Measurement, measure
from analysis.network import Network
from analysis.pruning.plan import Granularity, Pick, Plan, targets, uniform_plan
from analysis.pruning.prune import prune
from analysis.pruning.selection import Selection, removed_weights, select
from analysis.recovery import defaults, distil
from analysis.recovery.distil import Distillation
from analysis.recovery.keep import keep_here
from analysis.recovery.pruned import Pruned, begin
from analysis.recovery.recipe import Recipe
from analysis.recovery.recovered import restore
from analysis.store import Subject, digests, subject
from ui import library, services
from ui.bench import dense_plan
from ui.console_data import ConsoleBase, base

Progress = Callable[[float], None]


_SCORES: LRUCache[tuple[str, str], Scores] = LRUCache(128)
_SCORES_LOCK = RLock()
_RUNS: LRUCache[tuple[Plan, int], Run] = LRUCache(64)
_RUNS_LOCK = RLock()
_ATTRIBUTIONS_BYTES = 2**28
_ATTRIBUTIONS: LRUCache[tuple[Plan, Question, int], Attribution] = LRUCache(
    _ATTRIBUTIONS_BYTES, getsizeof=lambda found: found.values.nbytes
)
_ATTRIBUTIONS_LOCK = RLock()
_TIMED = 8  # examples on which the way to an explanation is timed


def silent(share: float) -> None:
    """Progress that nobody watches."""


@cached(LRUCache(16), lock=RLock())
def evaluation_split(name: str, images: int) -> Split:
    """`images` evaluation examples of a network, seeded and even over classes."""
    return library.load(name).dataset.evaluation.sample(images)


@cached(_SCORES, key=lambda name, criterion, progress=silent: (name, criterion), lock=_SCORES_LOCK)
def scores(name: str, criterion: str, progress: Progress = silent) -> Scores:
    """Scores of a network under a criterion."""
    sample = library.load(name)
    return score(sample.network, criterion, sample.dataset, progress=progress)


def known_scores(name: str, criterion: str) -> Scores | None:
    """Scores that were computed already; None if they were not."""
    with _SCORES_LOCK:
        return _SCORES.get((name, criterion))


@cached(LRUCache(32), lock=RLock())
def pruned(plan: Plan) -> Network:
    """The pruned network of a plan, or what recovery made of it."""
    network = library.load(plan.network).network
    if plan.recovered:
        return restore(network, keep_here().get(plan.recovered))
    return prune(network, plan, None if plan.is_dense else scores(plan.network, plan.criterion))


@cached(LRUCache(32), lock=RLock())
def selection(plan: Plan) -> Selection:
    """What exactly goes by a plan; nothing by the dense one."""
    if plan.recovered:
        return keep_here().get(plan.recovered).selection
    ranking = scores(plan.network, plan.criterion) if plan.cuts else None
    return select(library.load(plan.network).network, plan, ranking)


@cached(LRUCache(32), lock=RLock())
def removed(plan: Plan) -> dict[str, Tensor]:
    """Per layer, the mask of weights that a plan removes; empty for the dense plan."""
    if plan.is_dense:
        return {}
    return removed_weights(library.load(plan.network).network, selection(plan))


@cached(LRUCache(16), lock=RLock())
def beginning(plan: Plan) -> Pruned:
    """A plan's network on its way to recovery; errors as :func:`analysis.recovery.pruned.begin`."""
    opened = library.load(plan.network)
    return begin(opened.network, pruned(plan), selection(plan), opened.dataset)


@cached(LRUCache(16), lock=RLock())
def default_recipe(plan: Plan) -> Recipe:
    """How a plan's network is trained if nobody chooses."""
    return defaults.recipe_for(beginning(plan))


@cached(LRUCache(16), lock=RLock())
def hint_layers(plan: Plan) -> tuple[str, ...]:
    """The layers from which distillation of a plan's network may take hints."""
    return distil.hint_layers(beginning(plan))


@cached(LRUCache(64), lock=RLock())
def epoch_seconds(plan: Plan, recipe: Recipe, distillation: Distillation | None) -> float:
    """How long an epoch of training takes a plan's network, from a few steps."""
    return defaults.seconds_per_epoch(beginning(plan), recipe, distillation)


@cached(LRUCache(16), lock=RLock())
def repair_seconds(name: str) -> float:
    """About how long the usual repair of a pruned network takes: of one of which half of every target is gone."""
    network = library.load(name).network
    granularity: Granularity = "channel" if targets(network, "channel") else "weight"
    ready = beginning(uniform_plan(network, "l1", granularity, 0.5))
    start = time.perf_counter()
    repair(ready)
    return time.perf_counter() - start


@cached(LRUCache(8), lock=RLock())
def gauge(name: str, images: int) -> Gauge:
    """What measures plans of a network on `images` evaluation examples; shared by all sessions."""
    dense = measurement(dense_plan(name), images).evaluation
    network = library.load(name).network
    kept, turn = services.kept_values(), services.turn
    return Gauge(network, dense.split, dense.task, dense=dense, kept=kept, turn=turn)


@cached(LRUCache(64), lock=RLock())
def pass_seconds(name: str, images: int) -> float:
    """How long the dense network takes to answer `images` evaluation examples, from the first few."""
    measured = gauge(name, images)
    start = time.perf_counter()
    answered = len(measured.answer(0, measured.program, None))
    return (time.perf_counter() - start) * images / answered


@cached(_RUNS, key=lambda plan, images, hand=None, near=None: (plan, images), lock=_RUNS_LOCK)
def run(plan: Plan, images: int, hand: str | None = None, near: Plan | None = None) -> Run:
    """The measurement of a plan in progress, begun at the first call.

    `hand` is the target that is being moved, and `near` a similar plan: both only make it faster.
    """
    known = finished(near, images) if near is not None else None
    ranking = None if plan.is_dense else scores(plan.network, plan.criterion)
    return gauge(plan.network, images).run(
        plan, ranking, hand=hand, near=known.evaluation() if known else None
    )


def finished(plan: Plan, images: int) -> Run | None:
    """The run of a plan if it is exact already."""
    with _RUNS_LOCK:
        known = _RUNS.get((plan, images))
    return known if known is not None and known.reading is not None and known.reading.is_exact else None


@cached(LRUCache(256), lock=RLock())
def measurement(plan: Plan, images: int) -> Measurement:
    """The measurement of a plan on `images` evaluation examples."""
    if plan.is_dense:
        sample = library.load(plan.network)
        return measure(sample.network, evaluation_split(plan.network, images), sample.dataset.task)
    dense = measurement(dense_plan(plan.network), images)
    if plan.recovered:  # other weights: nothing that the gauge keeps is theirs
        return measure(pruned(plan), dense.evaluation.split, dense.evaluation.task, dense=dense)
    progress = run(plan, images)
    progress.finish()
    evaluation = progress.evaluation()
    return measure(pruned(plan), evaluation.split, evaluation.task, dense=dense, evaluation=evaluation)


@cached(LRUCache(64), lock=RLock())
def console_base(
    name: str, criterion: str, granularity: Granularity, beneath: Plan, picks: tuple[Pick, ...]
) -> ConsoleBase:
    """What the prune console shows of a network whatever is cut at a granularity.

    `beneath` are the channels that are cut already when weights are in hand; dense otherwise. `picks` are
    those removed or kept by hand when channels are.
    """
    network = library.load(name).network
    return base(network, scores(name, criterion), granularity, pruned(beneath), removed(beneath), picks)


@cached(LRUCache(64), lock=RLock())
def sweep_subject(name: str, images: int, criterion: str, granularity: Granularity) -> Subject:
    """What sensitivity points of a network are kept under."""
    return subject(library.load(name).network, evaluation_split(name, images), criterion, granularity)


@cached(LRUCache(64), lock=RLock())
def contents(name: str, images: int) -> tuple[str, str]:
    """Digests of a network's weights and of the examples it is measured on."""
    return digests(library.load(name).network, evaluation_split(name, images))


@cached(LRUCache(32), lock=RLock())
def explaining_pass_seconds(name: str) -> float:
    """How long one example takes a network on its way to an explanation."""
    return estimates.pass_seconds(library.load(name).network, evaluation_split(name, _TIMED).inputs)


@cached(
    _ATTRIBUTIONS,
    key=lambda plan, question, images, progress: (plan, question, images),
    lock=_ATTRIBUTIONS_LOCK,
)
def attributions(plan: Plan, question: Question, images: int, progress: Progress) -> Attribution:
    """Attributions of some of the `images` evaluation examples by a plan's network."""
    before = measurement(dense_plan(plan.network), images).evaluation
    return ask(question, pruned(plan), before, library.load(plan.network).dataset.baseline, progress)


def known_attributions(plan: Plan, question: Question, images: int) -> Attribution | None:
    """Attributions that were computed already; None if they were not."""
    with _ATTRIBUTIONS_LOCK:
        return _ATTRIBUTIONS.get((plan, question, images))
