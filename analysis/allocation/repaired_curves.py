"""Sensitivity after repair: what a cut costs once the quick damage is mended, as training would mend it first.

Behind removed channels every later BatchNorm is off, so that curves measured right after the cut fall early and look
alike. What recovery cannot bring back shows only behind a repair (Li et al. 2020, "EagleEye", rank whole plans
that way).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from analysis.datasets import Dataset, Split
from analysis.errors import PrunescopeError
from analysis.importance.scores import Scores
from analysis.measure.quality import evaluate, headline
from analysis.network import Network, has_batch_norm
from analysis.pruning.plan import Granularity, make_plan
from analysis.pruning.selection import select
from analysis.recovery.pruned import Pruned, begin_whole
from analysis.recovery.registry import METHODS
from analysis.sensitivity import COARSE, FINE, Sensitivity, curves_of, missing_ratios, rankable

Progress = Callable[[float], None]


def repaired_sweep(
    network: Network,
    scores: Scores,
    granularity: Granularity,
    dataset: Dataset,
    split: Split,
    *,
    known: Sequence[Sensitivity] = (),
    progress: Progress = lambda share: None,
) -> Iterator[Sensitivity]:
    """Measure the headline metric on `split` as each target is cut further and repaired, one point at a time.

    The repair (:func:`usual_repair`) looks at calibration examples alone. Ratios are those of
    :func:`analysis.sensitivity.sweep`; points that are `known` are not measured again.
    """
    dense = headline(evaluate(network, split, dataset.task)).value
    start = begin_whole(network, dataset)
    chosen = rankable(network, scores, granularity)
    curves = curves_of(known)
    for i, target in enumerate(chosen):
        curve = curves.get(target, {})
        while missing := missing_ratios(curve, dense):
            ratio = missing[0]
            selection = select(
                network, make_plan(network, scores.criterion, granularity, {target: ratio}), scores
            )
            quality = headline(evaluate(repair(start.without(selection)), split, dataset.task))
            curve[ratio] = quality.value
            part = len(curve) / len(COARSE + FINE) if missing_ratios(curve, dense) else 1.0
            progress((i + part) / len(chosen))
            yield Sensitivity(target, ratio, quality, len(split))
    progress(1.0)


def usual_repair(network: Network) -> str:
    """The method of :data:`analysis.recovery.registry.METHODS` that mends most for its time.

    That is recalibration for networks with BatchNorm. For others it is reconstruction: biases alone make some of them
    worse.
    """
    return "recalibration" if has_batch_norm(network) else "reconstruction"


def repair(pruned: Pruned) -> Network:
    """The pruned network after its usual repair; as it is where nothing can be mended."""
    try:
        return METHODS[usual_repair(pruned.network)].run(pruned, lambda share: None).network
    except PrunescopeError:
        return pruned.network
