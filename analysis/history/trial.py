"""What a history is made of: a trial in full, and the few numbers of it that a list of thousands shows."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.measure.measurement import Numbers
from analysis.measure.quality import Interval
from analysis.pruning.plan import Plan

MIXED = "mixed"  # a plan that cuts channels and weights


@dataclass(frozen=True, eq=False)
class Trial:
    """A plan with its measurement and the plan it grew from."""

    plan: Plan
    measurement: Numbers
    parent: Plan | None = None


@dataclass(frozen=True)
class Label:
    """What a person said of a trial."""

    name: str = ""
    note: str = ""
    star: bool = False
    tags: tuple[str, ...] = ()


@dataclass(frozen=True)
class Summary:
    """A kept trial in a list.

    Parameters
    ----------
    id : int
        Finds the trial in full again, in the store it came from.
    key, parent : str
        What tells its plan from all others, and the plan it grew from; an empty `parent` if it grew from none.
    images : int
        How many evaluation examples it was measured on.
    measured_at : float
        Seconds since the epoch.
    criterion : str
        What its cuts go by; empty if it has none: channels picked by hand, or the dense network.
    granularity : str
        Of its cuts; "mixed" for both, empty for none.
    headline, change : Interval
        Of the task's headline metric, and of its change against the dense network: None for the dense one itself.
    saved, best : int
        Bytes of the file, and of the best lossless encoding.
    latency, dense_latency : float
        Medians, in milliseconds.
    layers : tuple of int
        Nonzero connections of each layer, in the order of the network's layers.
    """

    id: int
    key: str
    parent: str
    images: int
    measured_at: float
    criterion: str
    granularity: str
    is_recovered: bool
    headline: Interval
    change: Interval | None
    parameters: int
    nonzero_connections: int
    macs: int
    saved: int
    best: int
    latency: float
    dense_latency: float
    layers: tuple[int, ...]
    label: Label = Label()

    @property
    def is_dense(self) -> bool:
        """True for the trial that removes nothing."""
        return self.change is None


def granularity_of(plan: Plan) -> str:
    """What a plan removes: "channel", "weight", "mixed" if both; empty if nothing."""
    return "" if plan.is_dense else plan.granularity or MIXED
