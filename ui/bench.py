"""One network's state in a session: the plan in force, how it came about, what was tried."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Literal

from analysis.history import Trial
from analysis.pruning.plan import Granularity, Plan

Control = Literal["cut", "all", "criterion", "granularity", "chart", "other"]


@dataclass
class Bench:
    """The plan in force with its undo history, the choices in hand, and the trials.

    `moves` counts changes by the control that made them. A control's key carries the number of changes
    the others made: it keeps what the user set, and is drawn anew from the plan after any other change.
    Writing into a widget's state instead would race with the values the browser still sends.
    """

    plan: Plan
    criterion: str = "l1"
    granularity: Granularity = "channel"
    done: list[Plan] = field(default_factory=list)
    undone: list[Plan] = field(default_factory=list)
    trials: dict[tuple[Plan, int], Trial] = field(default_factory=dict)
    moves: Counter[Control] = field(default_factory=Counter)

    def move(self, plan: Plan, *, by: Control = "other") -> None:
        """Put `plan` in force; undo brings the present one back."""
        self.moves[by] += 1
        if plan != self.plan:
            self.done.append(self.plan)
            self.undone.clear()
            self._adopt(plan)

    def undo(self) -> None:
        """Back to the plan before."""
        if self.done:
            self.moves["other"] += 1
            self.undone.append(self.plan)
            self._adopt(self.done.pop())

    def redo(self) -> None:
        """Forward again."""
        if self.undone:
            self.moves["other"] += 1
            self.done.append(self.plan)
            self._adopt(self.undone.pop())

    def revision(self, control: Control) -> int:
        """How many changes other controls made."""
        return self.moves.total() - self.moves[control]

    def _adopt(self, plan: Plan) -> None:
        self.plan = plan
        if not plan.is_dense:
            self.criterion = plan.criterion
            self.granularity = plan.granularity or self.granularity


def dense_plan(network: str) -> Plan:
    """The plan that removes nothing."""
    return Plan(network, "l1")
