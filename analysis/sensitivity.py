"""Quality against ratio: what happens when a network is pruned further and further."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from analysis.datasets import Dataset, Split
from analysis.errors import CriterionError
from analysis.importance.registry import score
from analysis.importance.scores import Scores
from analysis.live import Gauge
from analysis.measure.quality import Interval, evaluate, quality
from analysis.network import Network
from analysis.pruning.plan import Granularity, make_plan, targets, uniform_plan
from analysis.pruning.prune import prune
from analysis.pruning.selection import target_scores

COARSE = (0.3, 0.5, 0.7, 0.9)
FINE = (0.1, 0.2, 0.4, 0.6, 0.8)
STEEP = 0.02  # a larger change from one coarse ratio to the next is looked into
_SMALL_SHARE = 0.05  # less than this left says nothing about what comes back
MARGIN = 0.02  # how narrow a point's interval must be, to each side


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


@dataclass(frozen=True)
class Sensitivity:
    """The headline metric when one target alone is cut by `ratio`, with its 95% interval.

    `examples` were seen; the interval is a point if these were all.
    """

    target: str
    ratio: float
    quality: Interval
    examples: int


def sweep(
    gauge: Gauge,
    scores: Scores,
    granularity: Granularity,
    *,
    known: Sequence[Sensitivity] = (),
    margin: float = MARGIN,
    progress: Callable[[float], None] = lambda share: None,
) -> Iterator[Sensitivity]:
    """Measure how the headline metric falls as each target is cut further, one point at a time.

    Every target gets the `COARSE` ratios; where the metric changes by more than `STEEP` from one to the
    next, the `FINE` ratios between them too. A point is refined until it is known to +-`margin`. Targets
    that the criterion cannot rank are left out.

    Parameters
    ----------
    known : sequence of Sensitivity, optional
        Points measured before; they are not measured again.
    """
    chosen = rankable(gauge.network, scores, granularity)
    curves = curves_of(known)
    share = 0.0
    for i, target in enumerate(chosen):
        curve = curves.get(target, {})
        while missing := missing_ratios(curve, gauge.dense_headline):
            found = measure_point(gauge, scores, granularity, target, missing[0], margin=margin)
            curve[missing[0]] = found.quality.value
            part = len(curve) / len(COARSE + FINE) if missing_ratios(curve, gauge.dense_headline) else 1
            share = (i + part) / len(chosen)
            progress(share)
            yield found
    if share < 1:  # the last targets were known
        progress(1.0)


def measure_point(
    gauge: Gauge,
    scores: Scores,
    granularity: Granularity,
    target: str,
    ratio: float,
    *,
    margin: float = MARGIN,
) -> Sensitivity:
    """The headline metric when one target alone is cut by a ratio, refined until it is known to +-`margin`."""
    plan = make_plan(gauge.network, scores.criterion, granularity, {target: ratio})
    run = gauge.run(plan, scores, hand=target, single_look=True)
    reading = run.finish(lambda r: r.is_within(margin))
    return Sensitivity(target, ratio, reading.value, reading.examples)


def curves_of(points: Sequence[Sensitivity]) -> dict[str, dict[float, float]]:
    """{target: {ratio: value}} of measured points."""
    found: dict[str, dict[float, float]] = {}
    for point in points:
        found.setdefault(point.target, {})[point.ratio] = point.quality.value
    return found


def missing_ratios(curve: Mapping[float, float], dense: float) -> list[float]:
    """Which ratios a curve ({ratio: value}) still needs: coarse ones first, then fine ones where it bends."""
    coarse = [ratio for ratio in COARSE if ratio not in curve]
    if coarse:
        return coarse
    ends = [(0.0, dense), *((ratio, curve[ratio]) for ratio in COARSE)]
    steep = [(a, b) for (a, y), (b, z) in pairwise(ends) if abs(y - z) > STEEP]
    return [r for r in FINE if r not in curve and any(a < r < b for a, b in steep)]


def rankable(network: Network, scores: Scores, granularity: Granularity) -> tuple[str, ...]:
    """The targets whose weights or channels the criterion tells apart."""
    found = []
    for target in targets(network, granularity):
        try:
            target_scores(scores, network, target, granularity)
        except CriterionError:
            continue
        found.append(target)
    return tuple(found)


def predict(
    curves: Mapping[str, Mapping[float, float]],
    ratios: Mapping[str, float],
    *,
    dense: float,
    floor: float,
    anchor: tuple[Mapping[str, float], float] | None = None,
) -> float | None:
    """An estimate of the headline metric under a plan, from curves that were measured one target at a time.

    Each target keeps a share of the metric above `floor` (what guessing gets), read off its curve by linear
    interpolation; the shares are multiplied. With an `anchor`, a plan ({target: ratio}) with its measured
    value, only the change from there is estimated.

    Returns
    -------
    float or None
        None if a target that the plan cuts (or the anchor cut otherwise) has no curve yet, or if the dense
        network is no better than guessing.
    """
    if dense <= floor:
        return None
    start, value = anchor or ({}, dense)
    share = 1.0
    for target in {*ratios, *start}:
        now, before = ratios.get(target, 0.0), start.get(target, 0.0)
        if now == before:
            continue
        if not curves.get(target):
            return None
        kept = [_share_kept(curves[target], ratio, dense, floor) for ratio in (now, before)]
        share *= kept[0] / max(kept[1], _SMALL_SHARE)
    return min(max(dense, value), floor + (value - floor) * share)


def _share_kept(curve: Mapping[float, float], ratio: float, dense: float, floor: float) -> float:
    """How much of the metric above `floor` is left at `ratio`: 1 at nothing removed, 0 at everything."""
    points = sorted({0.0: dense, 1.0: floor, **curve}.items())
    right = next(i for i, (x, _) in enumerate(points) if x >= ratio)
    if right == 0:
        return 1.0
    (x0, y0), (x1, y1) = points[right - 1], points[right]
    value = y0 + (y1 - y0) * (ratio - x0) / (x1 - x0)
    return max(0.0, (value - floor) / (dense - floor))
