"""What a proposal really comes to: measured quality and cost, beside the dense network's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from analysis.measure.measurement import Measurement
from analysis.measure.quality import Interval


@dataclass(frozen=True)
class Appraisal:
    """Quality and cost of one network.

    `quality` is the headline metric with its 95% interval, `change` that against the dense network on the
    same examples (nothing for the dense network itself). `costs` are by the names of
    :data:`analysis.allocation.goals.GOALS`, latency in milliseconds; `shares` are those of the dense network's,
    latency against the dense network timed in turn.
    """

    quality: Interval
    change: Interval
    costs: Mapping[str, float]
    shares: Mapping[str, float]


def appraise(measurement: Measurement, dense: Measurement) -> Appraisal:
    """What was measured of a network, in the words of goals."""
    costs, whole = _costs(measurement), _costs(dense)
    whole["latency"] = measurement.dense_latency.median
    nothing = Interval(0.0, 0.0, 0.0)
    return Appraisal(
        quality=measurement.headline,
        change=next(iter(measurement.change.values()), nothing),
        costs=costs,
        shares={kind: value / whole[kind] if whole[kind] else 1.0 for kind, value in costs.items()},
    )


def _costs(measurement: Measurement) -> dict[str, float]:
    return {
        "macs": measurement.cost.macs,
        "parameters": measurement.cost.parameters,
        "connections": measurement.cost.nonzero_connections,
        "bytes": measurement.size.saved,
        "best-bytes": measurement.size.best,
        "latency": measurement.latency.median,
    }
