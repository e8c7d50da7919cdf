"""What a report is about: one network with its data, and trials of it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from analysis.datasets import Dataset
from analysis.history.trial import Label
from analysis.importance.registry import criterion_label
from analysis.measure.measurement import Measurement, Numbers
from analysis.measure.quality import Evaluation
from analysis.pruning.plan import Plan
from analysis.recovery.recovered import Step


def versions() -> dict[str, str]:
    """What the numbers were measured with, here and now."""
    return {
        "Python": platform.python_version(),
        "PyTorch": torch.__version__,
        "NumPy": np.__version__,
        "processor": platform.machine(),
    }


@dataclass(frozen=True, eq=False)
class Subject:
    """The network and the conditions that all of a report shares.

    Parameters
    ----------
    title : str
        The network's name, for people.
    dense : Measurement
        Of the network as loaded.
    made_at : float
        Seconds since the epoch.
    versions : mapping
        Of what it was measured with.
    """

    title: str
    dataset: Dataset
    dense: Measurement
    made_at: float
    versions: Mapping[str, str] = field(default_factory=versions)


@dataclass(frozen=True, eq=False)
class Reported:
    """A trial as a report shows it.

    Parameters
    ----------
    numbers : Numbers
        A :class:`Measurement` where the network was measured for this report: only then are its answers known,
        and can be compared example by example. Else the kept numbers.
    steps : tuple of Step, optional
        How recovery went, if the plan names recovered weights; None if these are not kept any more.
    """

    plan: Plan
    numbers: Numbers
    steps: tuple[Step, ...] | None = ()
    label: Label = field(default_factory=Label)

    @property
    def evaluation(self) -> Evaluation | None:
        """What the network answered, if that is known."""
        return self.numbers.evaluation if isinstance(self.numbers, Measurement) else None

    @property
    def title(self) -> str:
        """What its owner calls it, or else its plan in words."""
        return self.label.name or plan_words(self.plan)


def plan_words(plan: Plan) -> str:
    """A plan in a few words: "channels by L1 magnitude, recovered"."""
    if plan.is_dense:
        return "dense"
    what = f"{plan.granularity}s" if plan.granularity else "channels and weights"
    how = f"by {criterion_label(plan.criterion)}" if plan.cuts else "picked by hand"
    return f"{what} {how}{', recovered' if plan.recovered else ''}"
