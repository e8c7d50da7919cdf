"""Quality against ratio: what happens when a network is pruned further and further."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from analysis.datasets import Dataset, Split
from analysis.importance.registry import score
from analysis.measure.quality import Interval, evaluate, quality
from analysis.network import Network
from analysis.pruning.plan import Granularity, uniform_plan
from analysis.pruning.prune import prune


@dataclass(frozen=True)
class Point:
    """The headline metric measured at one ratio."""

    ratio: float
    quality: Interval


def quality_against_ratio(
    network: Network,
    dataset: Dataset,
    split: Split,
    criterion: str,
    granularity: Granularity,
    ratios: Sequence[float],
    *,
    progress: Callable[[float], None] = lambda share: None,
) -> tuple[Point, ...]:
    """Prune every target at each ratio and measure the headline metric on `split`.

    Raises
    ------
    CriterionError
        If the criterion cannot rank the targets.
    """
    scores = score(network, criterion, dataset)
    points = []
    for i, ratio in enumerate(ratios):
        pruned = prune(network, uniform_plan(network, criterion, granularity, ratio), scores)
        measured = quality(evaluate(pruned, split, dataset.task))
        points.append(Point(ratio, measured[dataset.task.headline.key]))
        progress((i + 1) / len(ratios))
    return tuple(points)
