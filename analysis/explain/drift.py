"""Similarity against ratio: how attributions move while a network is pruned further and further.

How similar is similar is read off a floor: the dense network's maps against those of networks with random
weights, which look at nothing they have learned (Adebayo et al. 2018, "Sanity checks for saliency maps").
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from analysis.datasets import Split
from analysis.errors import PlanError
from analysis.explain.explainer import Explain
from analysis.explain.randomised import randomised
from analysis.explain.similarity import SIMILARITIES, similarities
from analysis.explain.stages import Progress, Stages
from analysis.importance.scores import Scores
from analysis.measure.quality import Evaluation, Interval, evaluate, headline, headline_change
from analysis.network import Network
from analysis.pruning.plan import Granularity, Plan, uniform_plan
from analysis.pruning.prune import prune
from analysis.tasks import Metric, Task

Family = Callable[[float], Plan]

RATIOS = (0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
EXAMPLES = 128  # explained at each ratio
SEEDS = 3  # networks with random weights
TOLERANCE = 0.01  # a loss of the headline metric that counts as none
_TELLING = 0.05  # a floor nearer to 1 leaves no room to move


@dataclass(frozen=True)
class Spread:
    """The median of one similarity over the examples, and their quartiles."""

    low: float
    median: float
    high: float


Similarities = Mapping[str, Mapping[str, Spread]]  # by method, then by measure


@dataclass(frozen=True)
class DriftPoint:
    """One ratio: the headline metric, its paired change from the dense network's, and how alike the maps are."""

    ratio: float
    quality: Interval
    change: Interval
    similarity: Similarities


@dataclass(frozen=True)
class Floor:
    """How alike the dense network's maps and those of `networks` with random weights are."""

    networks: int
    similarity: Similarities


@dataclass(frozen=True)
class Moved:
    """At which measured ratios the maps have moved although quality holds, and that in words.

    `ratios` are neighbours; they are empty if there are none.
    """

    ratios: tuple[float, ...]
    sentence: str


def alike(network: Network, criterion: str, granularity: Granularity) -> Family:
    """Plans that cut every target by the same ratio."""
    return lambda ratio: uniform_plan(network, criterion, granularity, ratio)


def scaled(plan: Plan) -> Family:
    """The cuts of `plan`, all multiplied by the same number, so that the largest is the ratio asked for.

    What was picked by hand stays as it is, except at 0, where nothing is removed. :func:`drift` leaves out a
    ratio at which that and the cuts would leave nothing of a group.

    Raises
    ------
    PlanError
        If the plan has no cut.
    """
    if not plan.cuts:
        raise PlanError("A plan without cuts cannot be scaled. Cut something, or cut every target alike.")
    largest = max(cut.ratio for cut in plan.cuts)

    def at(ratio: float) -> Plan:
        cuts = tuple(replace(cut, ratio=min(1.0, cut.ratio * ratio / largest)) for cut in plan.cuts)
        return replace(plan, cuts=cuts, picks=plan.picks if ratio > 0 else ())

    return at


def drift(
    network: Network,
    task: Task,
    split: Split,
    family: Family,
    scores: Scores | None,
    explain: Mapping[str, Explain],
    *,
    calibration: Tensor,
    ratios: Sequence[float] = RATIOS,
    examples: int = EXAMPLES,
    seeds: int = SEEDS,
    known: Collection[float] = (),
    floor_known: bool = False,
    progress: Progress = lambda share: None,
) -> Iterator[DriftPoint | Floor]:
    """Prune at each ratio; measure the headline metric and compare the maps with the dense network's.

    Nothing pruned comes first, then the floor, then the ratios as they are given.

    Parameters
    ----------
    split : Split
        Quality is measured on all of it, maps are computed for `examples` of it.
    family : callable
        The plan of a ratio: :func:`alike` or :func:`scaled`.
    scores : Scores or None
        Scores under the plans' criterion; may be None if that needs no data.
    explain : mapping
        By the names of methods, what gives the maps of a network.
    calibration : Tensor
        Inputs from which the networks with random weights take their normalisation's statistics.
    known, floor_known
        What is left out.
    """
    wanted = [ratio for ratio in dict.fromkeys((0.0, *ratios)) if ratio not in known]
    stage = Stages(progress, 1 + len(wanted) + (0 if floor_known else seeds))
    some = split.sample(examples)
    dense = evaluate(network, split, task)
    maps = _maps(network, task, some, explain, stage.report)
    stage.finish()
    if 0.0 in wanted:
        yield _point(0.0, dense, dense, _alike([(maps, maps)]))
        stage.finish()
    if not floor_known:
        pairs = []
        for seed in range(seeds):
            stranger = randomised(network, calibration, seed=seed)
            pairs.append((maps, _maps(stranger, task, some, explain, stage.report)))
            stage.finish()
        yield Floor(seeds, _alike(pairs))
    for ratio in wanted:
        if ratio > 0:
            plan = family(ratio)
            try:
                pruned = prune(network, plan, scores)
            except PlanError:
                if not plan.picks:
                    raise
                stage.finish()
                continue  # with what was picked by hand, a whole group would go: there is no such network
            after = evaluate(pruned, split, dense.task)
            yield _point(
                ratio, after, dense, _alike([(maps, _maps(pruned, task, some, explain, stage.report))])
            )
            stage.finish()


def moved_before_lost(
    points: Sequence[DriftPoint],
    floor: Floor | None,
    *,
    method: str,
    measure: str,
    metric: Metric,
    tolerance: float = TOLERANCE,
) -> Moved:
    """Where attributions of `method` have moved, by `measure`, while the headline metric still holds.

    The metric holds where it lost at most `tolerance`, or a loss that cannot be told from none (the paired
    interval reaches 0). Maps have moved where their median similarity lost at least half of its way from 1
    to the floor. Of several such ranges the first is given.
    """
    known = sorted(points, key=lambda point: point.ratio)
    spreads = [p.similarity.get(method, {}).get(measure) for p in known]
    if floor is None or not known or any(spread is None for spread in spreads):
        return Moved((), "")
    lowest = floor.similarity[method][measure].median
    if lowest > 1 - _TELLING:
        return Moved(
            (),
            f"Even random weights give maps that are this alike ({lowest:.2f}): choose another similarity.",
        )
    half = (1 + lowest) / 2
    moved = [spread is not None and spread.median <= half for spread in spreads]
    holds = [_holds(point, metric, tolerance) for point in known]
    both = [a and b for a, b in zip(moved, holds, strict=True)]
    if True in both:
        first = both.index(True)
        last = both.index(False, first) if False in both[first:] else len(both)
        ratios = tuple(point.ratio for point in known[first:last])
        where = f"from {ratios[0]:.0%} to {ratios[-1]:.0%}" if len(ratios) > 1 else f"at {ratios[0]:.0%}"
        return Moved(
            ratios,
            f"{metric.label} holds {where} removed, but the maps have gone at least half of the way to those "
            "of random weights.",
        )
    if True in moved:
        lost = known[holds.index(False)]
        when = "by then" if lost.ratio < known[moved.index(True)].ratio else "there, too"
        return Moved(
            (),
            f"The maps have gone half of the way to those of random weights at {known[moved.index(True)].ratio:.0%} "
            f"removed; {metric.label} has fallen {when} ({_amount(lost.change.value, metric)} at {lost.ratio:.0%}).",
        )
    return Moved(
        (),
        f"Up to {known[-1].ratio:.0%} removed, the maps have not gone half of the way to those of random weights.",
    )


def _holds(point: DriftPoint, metric: Metric, tolerance: float) -> bool:
    sign = 1 if metric.higher_is_better else -1
    gain, best = sign * point.change.value, max(sign * point.change.low, sign * point.change.high)
    return gain >= -tolerance or best >= 0


def _amount(change: float, metric: Metric) -> str:
    return f"{100 * change:+.1f} points" if metric.percent else f"{change:+.3f}"


def _maps(
    network: Network, task: Task, split: Split, explain: Mapping[str, Explain], progress: Progress
) -> dict[str, Tensor]:
    targets = split.targets if task.is_classification else None
    stage, found = Stages(progress, len(explain)), {}
    for method, compute in explain.items():
        found[method] = compute(network, split.inputs, targets, stage.report)
        stage.finish()
    return found


def _alike(pairs: Sequence[tuple[Mapping[str, Tensor], Mapping[str, Tensor]]]) -> Similarities:
    """The spread of every measure over all examples of all pairs of maps, by method."""
    found: dict[str, dict[str, Spread]] = {}
    for method in pairs[0][0]:
        values = [similarities(before[method], after[method]) for before, after in pairs]
        found[method] = {
            entry.name: _spread(np.concatenate([one[entry.name] for one in values]))
            for entry in SIMILARITIES
            if entry.name in values[0]
        }
    return found


def _spread(values: np.ndarray) -> Spread:
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return Spread(low, median, high)


def _point(ratio: float, after: Evaluation, dense: Evaluation, similarity: Similarities) -> DriftPoint:
    return DriftPoint(ratio, headline(after), headline_change(after, dense), similarity)
