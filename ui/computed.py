"""What is computed is kept in process-wide caches keyed by names and plans, never by weights.

Networks, scores and measurements are immutable, so all sessions share them.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import RLock

import torch
from cachetools import LRUCache, cached
from torch import Tensor

import sample_models
from analysis.datasets import Split
from analysis.explain.attribution import attribute
from analysis.importance import Scores, score
from analysis.measure import Measurement, measure
from analysis.network import Network
from analysis.pruning.plan import Plan
from analysis.pruning.prune import prune
from analysis.pruning.selection import removed_weights, select
from ui.bench import dense_plan

Progress = Callable[[float], None]


def silent(share: float) -> None:
    """Progress that nobody watches."""


@cached(LRUCache(16), lock=RLock())
def evaluation_split(name: str, images: int) -> Split:
    """`images` evaluation examples of a network, seeded and even over classes."""
    return sample_models.load(name).dataset.evaluation.sample(images)


@cached(LRUCache(128), key=lambda name, criterion, progress=silent: (name, criterion), lock=RLock())
def scores(name: str, criterion: str, progress: Progress = silent) -> Scores:
    """Scores of a network under a criterion."""
    sample = sample_models.load(name)
    return score(sample.network, criterion, sample.dataset, progress=progress)


@cached(LRUCache(32), lock=RLock())
def pruned(plan: Plan) -> Network:
    """The pruned network of a plan."""
    network = sample_models.load(plan.network).network
    return prune(network, plan, None if plan.is_dense else scores(plan.network, plan.criterion))


@cached(LRUCache(32), lock=RLock())
def removed(plan: Plan) -> dict[str, Tensor]:
    """Per layer, the mask of weights that a plan removes; empty for the dense plan."""
    if plan.is_dense:
        return {}
    network = sample_models.load(plan.network).network
    return removed_weights(network, select(network, plan, scores(plan.network, plan.criterion)))


@cached(LRUCache(256), lock=RLock())
def measurement(plan: Plan, images: int) -> Measurement:
    """The measurement of a plan on `images` evaluation examples."""
    task = sample_models.load(plan.network).dataset.task
    dense = None if plan.is_dense else measurement(dense_plan(plan.network), images)
    return measure(pruned(plan), evaluation_split(plan.network, images), task, dense=dense)


@cached(LRUCache(64), key=lambda *arguments: arguments[:5], lock=RLock())
def attributions(
    plan: Plan, method: str, layer: str | None, indices: tuple[int, ...], images: int, progress: Progress
) -> Tensor:
    """Attributions of some of the `images` evaluation examples by a plan's network."""
    dataset = sample_models.load(plan.network).dataset
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
