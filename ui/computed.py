"""What is computed is kept in process-wide caches keyed by names and plans, never by weights.

Networks, scores and measurements are immutable, so all sessions share them.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import RLock

import torch
from cachetools import LRUCache, cached
from torch import Tensor

from analysis.datasets import Split
from analysis.explain.attribution import attribute
from analysis.importance import Scores, score
from analysis.live import Gauge, Run
from analysis.measure import Measurement, measure
from analysis.network import Network
from analysis.pruning.plan import Granularity, Plan
from analysis.pruning.prune import prune
from analysis.pruning.selection import removed_weights, select
from analysis.store import Subject, digests, subject
from ui import library, services
from ui.bench import dense_plan
from ui.console_data import ConsoleBase, base

Progress = Callable[[float], None]


_RUNS: LRUCache[tuple[Plan, int], Run] = LRUCache(64)
_RUNS_LOCK = RLock()


def silent(share: float) -> None:
    """Progress that nobody watches."""


@cached(LRUCache(16), lock=RLock())
def evaluation_split(name: str, images: int) -> Split:
    """`images` evaluation examples of a network, seeded and even over classes."""
    return library.load(name).dataset.evaluation.sample(images)


@cached(LRUCache(128), key=lambda name, criterion, progress=silent: (name, criterion), lock=RLock())
def scores(name: str, criterion: str, progress: Progress = silent) -> Scores:
    """Scores of a network under a criterion."""
    sample = library.load(name)
    return score(sample.network, criterion, sample.dataset, progress=progress)


@cached(LRUCache(32), lock=RLock())
def pruned(plan: Plan) -> Network:
    """The pruned network of a plan."""
    network = library.load(plan.network).network
    return prune(network, plan, None if plan.is_dense else scores(plan.network, plan.criterion))


@cached(LRUCache(32), lock=RLock())
def removed(plan: Plan) -> dict[str, Tensor]:
    """Per layer, the mask of weights that a plan removes; empty for the dense plan."""
    if plan.is_dense:
        return {}
    network = library.load(plan.network).network
    return removed_weights(network, select(network, plan, scores(plan.network, plan.criterion)))


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
    progress = run(plan, images)
    progress.finish()
    evaluation = progress.evaluation()
    dense = measurement(dense_plan(plan.network), images)
    return measure(pruned(plan), evaluation.split, evaluation.task, dense=dense, evaluation=evaluation)


@cached(LRUCache(64), lock=RLock())
def console_base(name: str, criterion: str, granularity: Granularity, beneath: Plan) -> ConsoleBase:
    """What the prune console shows of a network whatever is cut at a granularity.

    `beneath` are the channels that are cut already when weights are in hand; dense otherwise.
    """
    return base(
        library.load(name).network, scores(name, criterion), granularity, pruned(beneath), removed(beneath)
    )


@cached(LRUCache(64), lock=RLock())
def sweep_subject(name: str, images: int, criterion: str, granularity: Granularity) -> Subject:
    """What sensitivity points of a network are kept under."""
    return subject(library.load(name).network, evaluation_split(name, images), criterion, granularity)


@cached(LRUCache(64), lock=RLock())
def contents(name: str, images: int) -> tuple[str, str]:
    """Digests of a network's weights and of the examples it is measured on."""
    return digests(library.load(name).network, evaluation_split(name, images))


@cached(LRUCache(64), key=lambda *arguments: arguments[:5], lock=RLock())
def attributions(
    plan: Plan, method: str, layer: str | None, indices: tuple[int, ...], images: int, progress: Progress
) -> Tensor:
    """Attributions of some of the `images` evaluation examples by a plan's network."""
    dataset = library.load(plan.network).dataset
    split = evaluation_split(plan.network, images).take(torch.tensor(indices))
    return attribute(
        pruned(plan),
        method,
        split.inputs,
        split.targets if dataset.task.is_classification else None,
        baseline=dataset.baseline,
        layer=layer,
        progress=progress,
    )
