"""What is asked for: a cost to come down to, or a quality to keep."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from analysis.errors import PlanError
from analysis.pruning.plan import Granularity

Guide = Literal["parameters", "macs"]


@dataclass(frozen=True)
class GoalKind:
    """Something that can be asked for.

    A kind with ``is_cost`` asks for a share of the dense network's cost; the other asks for a quality.
    `guide` is the count that stands in for it where a method weighs many cuts by arithmetic. `unmoved` says
    why setting weights to zero does not change it; it is empty if it does.
    """

    name: str
    label: str
    sentence: str
    guide: Guide
    is_cost: bool = True
    unmoved: str = ""


_REMEDY = "Cut channels, or ask for nonzero connections or bytes in the best encoding instead."

_ALL = (
    GoalKind(
        "macs", "MACs", "Multiply-accumulates of convolutions, linear layers and attention.", "macs",
        unmoved=f"A weight that is zero is still multiplied, so cutting weights leaves every MAC. {_REMEDY}",
    ),
    GoalKind(
        "parameters", "Parameters", "All trainable values, zeros too.", "parameters",
        unmoved=f"A weight that is zero is still a parameter, so cutting weights leaves all of them. {_REMEDY}",
    ),
    GoalKind(
        "connections", "Nonzero connections", "Weights that still carry a signal; biases are not counted.",
        "parameters",
    ),
    GoalKind(
        "bytes", "Bytes as saved", "The plain safetensors file, in which a zero takes as much room as any number.",
        "parameters", unmoved=f"A zero is saved like any number, so cutting weights leaves every byte. {_REMEDY}",
    ),
    GoalKind(
        "best-bytes", "Bytes, best encoding", "The smallest lossless encoding, which skips zeros.", "parameters",
    ),
    GoalKind(
        "latency", "Latency", "The measured median time of one example, against the dense network in turn.", "macs",
        unmoved="A weight that is zero is still multiplied, so cutting weights does not make a dense layer faster. "
        + _REMEDY,
    ),
    GoalKind(
        "floor", "Quality at least", "The headline metric must not fall below this; as much goes as that allows.",
        "macs", is_cost=False,
    ),
)  # fmt: skip

GOALS: Mapping[str, GoalKind] = {kind.name: kind for kind in _ALL}


@dataclass(frozen=True)
class Goal:
    """A target: the share of a cost that may be left, or the least headline metric.

    Parameters
    ----------
    kind : str
        A name in :data:`GOALS`.
    value : float
        For a cost, its share of the dense network's that may be left, above 0 and up to 1. For ``floor`` the
        least value of the headline metric (accuracy from 0 to 1, R² up to 1).

    Raises
    ------
    PlanError
        If the kind is unknown or the value means nothing.
    """

    kind: str
    value: float

    def __post_init__(self) -> None:
        if self.kind not in GOALS:
            raise PlanError(f"There is no goal {self.kind!r}. Known: {', '.join(GOALS)}.")
        if not math.isfinite(self.value):
            raise PlanError(f"The goal {self.kind} is {self.value}; give a number.")
        if self.about.is_cost and not 0 < self.value <= 1:
            raise PlanError(
                f"The goal {self.kind} is {self.value:g}; give the share that may be left, above 0 and up to 1 "
                f"({self.kind}=0.5 for half)."
            )
        if not self.about.is_cost and self.value > 1:
            raise PlanError(
                f"The goal {self.kind} is {self.value:g}; accuracy and R² are at most 1 (0.95 for 95%)."
            )
        object.__setattr__(self, "value", float(self.value))

    @property
    def about(self) -> GoalKind:
        """What it asks for."""
        return GOALS[self.kind]

    def unmoved_by(self, granularity: Granularity) -> str:
        """Why cuts of this granularity do not change what is asked for; empty if they do."""
        return self.about.unmoved if granularity == "weight" else ""

    def words(self) -> str:
        """The goal as part of a sentence: at most 50% of the MACs."""
        if not self.about.is_cost:
            return f"a headline metric of at least {self.value:.4g}"
        return f"at most {100 * self.value:.3g}% of the dense network's {in_words(self.kind)}"


def in_words(kind: str) -> str:
    """What a cost is called within a sentence: MACs, bytes in the best encoding."""
    label = GOALS[kind].label.replace(", ", " in the ")
    return label if label == "MACs" else label[0].lower() + label[1:]


def read_goal(text: str) -> Goal:
    """The goal of ``kind=value``: macs=0.5, floor=0.97.

    Raises
    ------
    PlanError
        If the text is no goal.
    """
    kind, _, value = text.partition("=")
    try:
        return Goal(kind.strip(), float(value))
    except ValueError as error:
        if isinstance(error, PlanError):
            raise
        raise PlanError(
            f"{text[:80]!r} is no goal. Write kind=value, such as macs=0.5 or floor=0.97; kinds: {', '.join(GOALS)}."
        ) from None
