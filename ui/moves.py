"""What the prune console's events do to the plan. Events come from a browser, so nothing is taken on trust."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from analysis.errors import PlanError, PrunescopeError
from analysis.importance import CRITERIA
from analysis.pruning.plan import GRANULARITIES, recut, targets
from analysis.pruning.selection import by_hand, ranking, removal_count
from analysis.sensitivity import rankable
from ui import plans, workspace
from ui.bench import dense_plan
from ui.ways import WAYS

Event = Mapping[str, Any]


def handle(events: Any) -> bool:
    """Carry out the console's events that are new; True if it asks for the page to be drawn anew."""
    state = workspace.bench()
    wants_page = False
    for event in sorted(_valid(events), key=lambda e: e["id"]):
        if event["id"] <= state.handled:
            continue
        state.handled = event["id"]
        kind = str(event.get("kind", ""))
        try:
            if kind in _ACTIONS:
                _ACTIONS[kind](event)
        except (PrunescopeError, AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            workspace.notice(
                str(error) if isinstance(error, PrunescopeError) else "That move was not understood."
            )
        wants_page |= kind in _DRAWN_ANEW
    return wants_page


def _valid(events: Any) -> list[Event]:
    if not isinstance(events, list):
        return []
    return [e for e in events if isinstance(e, Mapping) and isinstance(e.get("id"), int)]


def _move(event: Event) -> None:
    """Sliders: {"ratios": {target: ratio}, "hand": target, "gesture": name}."""
    known = set(targets(workspace.network(), workspace.bench().granularity))
    ratios = {str(t): _ratio(r) for t, r in event["ratios"].items() if t in known}
    hand = str(event["hand"]) if event.get("hand") in known else None
    plans.set_ratios(ratios, hand=hand, gesture=str(event.get("gesture", "")))


def _typed(event: Event) -> None:
    """A number typed into a row, in the words of the way in use: {"target": ..., "value": 0.1}."""
    state, target, way = workspace.bench(), str(event["target"]), WAYS[workspace.way()]
    values = plans.values_to_rank(target)
    value = float(event["value"])
    if not math.isfinite(value):
        raise PlanError(f"{target}: type a number.")
    ratio = min(1.0, max(0.0, round(way.to_ratio(values, value), 6)))
    plans.set_ratios({**state.plan.ratios_of(state.granularity), target: ratio}, hand=target)


def _lock(event: Event) -> None:
    if not isinstance(event["targets"], list):
        raise PlanError("Locks are a list of targets.")
    known = targets(workspace.network(), workspace.bench().granularity)
    workspace.bench().locked = {t for t in known if t in event["targets"]}


def _paste(event: Event) -> None:
    workspace.bench().move(plans.read_plan(str(event["text"])))


def _reset(event: Event) -> None:
    workspace.bench().move(dense_plan(workspace.network_name()))


def _open(event: Event) -> None:
    """To the Channel page, at the channel of a row that would go next: {"target": group}."""
    state, network = workspace.bench(), workspace.network()
    group = network.group(str(event["target"]))
    order = ranking(workspace.scores(state.criterion), network, group.name, "channel").tolist()
    really, gone = by_hand(order, state.plan.picks_of(group.name))
    ratio = state.plan.ratios_of("channel").get(group.name, 0.0)
    left = gone[removal_count(group.size, ratio, "channel", group.floor)]
    workspace.choose_channel(group.name, really[min(left, group.size - 1)])
    workspace.wish_for_channel()


def _ratio(value: Any) -> float:
    ratio = float(value)
    if not 0 <= ratio <= 1:
        raise PlanError(f"A ratio of {ratio} is not between 0 and 1.")
    return round(ratio, 6)


_ACTIONS: dict[str, Callable[[Event], None]] = {
    "move": _move,
    "typed": _typed,
    "undo": lambda event: workspace.bench().undo(),
    "redo": lambda event: workspace.bench().redo(),
    "reset": _reset,
    "lock": _lock,
    "paste": _paste,
    "open": _open,
}
_DRAWN_ANEW = ("settled", "paste", "undo", "redo", "reset")


def carry_over() -> bool:
    """After a change of criterion, keep the ratios as far as it can rank the targets.

    False if that changed the plan, which the sidebar shows; or the criterion, back to the one before: with what was
    picked by hand too little of a group would be left, and a notice says so.
    """
    state = workspace.bench()
    if not state.plan.is_dense and state.plan.criterion != state.criterion:
        plan, network = replace(state.plan, criterion=state.criterion), workspace.network()
        for granularity in GRANULARITIES:
            fitting = rankable(network, workspace.scores(state.criterion), granularity)
            kept = {t: r for t, r in plan.ratios_of(granularity).items() if t in fitting}
            plan = recut(plan, network, state.criterion, granularity, kept)
        try:
            plans.check_left(plan)
        except PlanError as error:
            label = CRITERIA[state.criterion].label
            state.criterion, state.refused = state.plan.criterion, state.refused + 1
            workspace.notice(f"{label} ranks other channels last. {error}")
            return False
        state.move(plan)
        return False
    return True
