"""One network's state in a session: the plan in force, how it came about."""

from __future__ import annotations

from dataclasses import dataclass, field

from analysis.pruning.plan import Granularity, Plan


@dataclass
class Bench:
    """The plan in force with its undo history, and the choices in hand.

    A `gesture` is one drag of a slider: all its moves are undone together. `hand` is the target it moves.
    `handled` is the number of the console's last event that was carried out; events come again until the
    console hears that number, so that none is lost and none counts twice. `anchor` is the plan measured
    last, with its exact headline; `misses` are the errors of past predictions. `refused` counts criteria
    that could not be taken, so that their choice is drawn anew, and
    `kept_plan` is what the store has as the plan in force. `tried` are the trials that the store has: their
    plans' keys, and the numbers of examples.
    """

    plan: Plan
    criterion: str = "l1"
    refused: int = 0
    granularity: Granularity = "channel"
    done: list[Plan] = field(default_factory=list)
    undone: list[Plan] = field(default_factory=list)
    tried: set[tuple[str, int]] = field(default_factory=set)
    kept_plan: Plan | None = None
    locked: set[str] = field(default_factory=set)
    gesture: str = ""
    hand: str | None = None
    handled: int = 0
    anchor: tuple[Plan, float] | None = None
    misses: list[float] = field(default_factory=list)

    def move(self, plan: Plan, *, hand: str | None = None, gesture: str = "") -> None:
        """Put `plan` in force; undo brings back the one before, or the one before the gesture."""
        self.hand = hand
        if plan != self.plan:
            if not gesture or gesture != self.gesture:
                self.done.append(self.plan)
            self.undone.clear()
            self._adopt(plan)
        self.gesture = gesture

    def undo(self) -> None:
        """Back to the plan before."""
        if self.done:
            self.undone.append(self.plan)
            self._adopt(self.done.pop())
        self.gesture, self.hand = "", None

    def redo(self) -> None:
        """Forward again."""
        if self.undone:
            self.done.append(self.plan)
            self._adopt(self.undone.pop())
        self.gesture, self.hand = "", None

    def _adopt(self, plan: Plan) -> None:
        self.plan = plan
        if not plan.is_dense:
            self.criterion = plan.criterion
            self.granularity = plan.granularity or self.granularity


def cut_words(plan: Plan, granularity: Granularity) -> str:
    """How much of what is cut at a granularity; empty if nothing is."""
    ratios = plan.ratios_of(granularity).values()
    if not ratios:
        return ""
    targets = "layer" if granularity == "weight" else "group"
    plural = "s" if len(ratios) > 1 else ""
    span = f"{min(ratios):.0%}" if min(ratios) == max(ratios) else f"{min(ratios):.0%} to {max(ratios):.0%}"
    return f"{span} of the {granularity}s of {len(ratios)} {targets}{plural}"


def by_hand_words(plan: Plan) -> str:
    """How many channels were picked by hand: "2 channels removed and 1 kept by hand"; empty if none were."""
    removed = sum(pick.removed for pick in plan.picks)
    kept = len(plan.picks) - removed
    counts = [(count, way) for count, way in ((removed, "removed"), (kept, "kept")) if count]
    if not counts:
        return ""
    (first, way), *rest = counts
    words = f"{first:,} channel{'s' if first > 1 else ''} {way}"
    return words + "".join(f" and {count:,} {way}" for count, way in rest) + " by hand"


def other(granularity: Granularity) -> Granularity:
    """The granularity that is not in hand."""
    return "weight" if granularity == "channel" else "channel"


def dense_plan(network: str) -> Plan:
    """The plan that removes nothing."""
    return Plan(network, "l1")


def canonical(plan: Plan) -> Plan:
    """There is one dense network, whatever the criterion in hand."""
    return dense_plan(plan.network) if plan.is_dense else plan
