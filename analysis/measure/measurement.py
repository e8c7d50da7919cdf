"""A measurement: quality and cost of one network, with the conditions they were taken under."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.datasets import Split
from analysis.measure.cost import Cost, cost
from analysis.measure.latency import Latency, latencies
from analysis.measure.quality import Evaluation, Interval, change, evaluate, quality
from analysis.measure.size import Size, size
from analysis.network import Network
from analysis.tasks import Task


@dataclass(frozen=True, eq=False)
class Numbers:
    """What was measured of one network, as numbers alone: what a history keeps.

    `quality` has the task's metrics, the headline first; `change` is against the dense network on the
    same examples, empty for the dense network itself. `dense_latency` is the dense network's, timed in
    turn with this one.
    """

    quality: Mapping[str, Interval]
    change: Mapping[str, Interval]
    cost: Cost
    size: Size
    latency: Latency
    dense_latency: Latency

    @property
    def headline(self) -> Interval:
        """Accuracy or R² with its interval."""
        return next(iter(self.quality.values()))


@dataclass(frozen=True, eq=False)
class Measurement(Numbers):
    """The numbers with the network and what it answered."""

    network: Network
    evaluation: Evaluation

    def numbers(self) -> Numbers:
        """The numbers alone."""
        return Numbers(self.quality, self.change, self.cost, self.size, self.latency, self.dense_latency)


def measure(
    network: Network,
    split: Split,
    task: Task,
    *,
    dense: Measurement | None = None,
    evaluation: Evaluation | None = None,
) -> Measurement:
    """Measure quality on `split`, cost, size and latency.

    Parameters
    ----------
    dense : Measurement, optional
        The dense network's, to compare with.
    evaluation : Evaluation, optional
        What the network answered on `split`, if that is known already.

    Raises
    ------
    DataError, NetworkError
        As :func:`analysis.measure.quality.evaluate`.
    """
    answered = evaluation or evaluate(network, split, dense.evaluation.task if dense else task)
    own, *others = latencies([network, dense.network] if dense else [network], budget=0.1)
    return Measurement(
        network=network,
        evaluation=answered,
        quality=quality(answered),
        change=change(answered, dense.evaluation) if dense else {},
        cost=cost(network),
        size=size(network),
        latency=own,
        dense_latency=others[0] if others else own,
    )
