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
class Measurement:
    """What was measured of one network.

    `change` is against the dense network on the same examples, empty for the dense network itself.
    `dense_latency` is the dense network's, timed in turn with this one.
    """

    network: Network
    evaluation: Evaluation
    quality: Mapping[str, Interval]
    change: Mapping[str, Interval]
    cost: Cost
    size: Size
    latency: Latency
    dense_latency: Latency

    @property
    def headline(self) -> Interval:
        """Accuracy or R² with its interval."""
        return self.quality[self.evaluation.task.headline.key]


def measure(network: Network, split: Split, task: Task, *, dense: Measurement | None = None) -> Measurement:
    """Measure quality on `split`, cost, size and latency.

    Raises
    ------
    DataError, NetworkError
        As :func:`analysis.measure.quality.evaluate`.
    """
    evaluation = evaluate(network, split, task)
    own, *others = latencies([network, dense.network] if dense else [network], budget=0.1)
    return Measurement(
        network=network,
        evaluation=evaluation,
        quality=quality(evaluation),
        change=change(evaluation, dense.evaluation) if dense else {},
        cost=cost(network),
        size=size(network),
        latency=own,
        dense_latency=others[0] if others else own,
    )
