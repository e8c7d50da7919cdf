"""What leaves the house: a pruned network, where it came from, and what was measured of both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from analysis.datasets import Dataset, Split
from analysis.measure.measurement import Numbers
from analysis.measure.quality import BATCH
from analysis.network import Network
from analysis.pruning.plan import Plan
from analysis.pruning.selection import Selection
from analysis.recovery.recovered import Recovered
from analysis.tasks import Task, settled

MOST_EXAMPLES = 10_000  # that an export is compared on


@dataclass(frozen=True, eq=False)
class Shipment:
    """A pruned network on its way out; neither network is ever modified.

    Parameters
    ----------
    dense, pruned : Network
        The loaded network, and what the plan (and recovery) made of it.
    plan : Plan
        What was asked for; dense plans ship, too.
    selection : Selection
        What exactly is gone: that of `recovered` if the plan names recovered weights.
    recovered : Recovered or None
        What recovery found, if the plan names it.
    dataset : Dataset
        The data's names and units.
    split : Split
        The examples that both were measured on, and exports are compared on.
    dense_numbers, numbers : Numbers
        What was measured on `split`: of the dense network, and of the pruned one beside it.
    """

    dense: Network
    pruned: Network
    plan: Plan
    selection: Selection
    recovered: Recovered | None
    dataset: Dataset
    split: Split
    dense_numbers: Numbers
    numbers: Numbers

    @cached_property
    def examples(self) -> Split:
        """The examples that exports are compared on: `split`, or `MOST_EXAMPLES` of it."""
        return self.split.sample(MOST_EXAMPLES)

    @cached_property
    def expected(self) -> Tensor:
        """What the pruned network answers to them, as it stands; every export is held to that."""
        return in_batches(self.pruned.module, self.examples.inputs)

    @cached_property
    def task(self) -> Task:
        """The dataset's task, settled by what the dense network answers."""
        if self.dataset.task.meaning != "unknown" or not self.dataset.task.is_classification:
            return self.dataset.task
        return settled(self.dataset.task, in_batches(self.dense.module, self.examples.inputs))


@torch.no_grad()
def in_batches(answer: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """What is answered to `inputs` (N, ...), batch by batch."""
    return torch.cat([answer(batch) for batch in inputs.split(BATCH)])
