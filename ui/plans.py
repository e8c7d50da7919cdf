"""What is done to the plan in force: ratios, channels picked by hand, plans from elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import streamlit as st
from torch import Tensor

from analysis.errors import CriterionError, PrunescopeError
from analysis.pruning.plan import Plan, recut, repick, rounded, targets
from analysis.pruning.plan_json import from_json
from analysis.pruning.selection import by_hand, ranking, select, target_scores
from analysis.sources import stem_of
from ui import computed, keeping, theme, workspace
from ui.bench import Bench


def set_ratios(ratios: Mapping[str, float], *, hand: str | None = None, gesture: str = "") -> None:
    """Put new ratios in force, with the criterion and granularity in hand; cuts of the other stay.

    Channels are kept in multiples of what was chosen.
    """
    state = workspace.bench()
    if state.granularity == "channel":
        multiple = st.session_state.get(workspace.MULTIPLE) or workspace.MULTIPLES[0]
        ratios = rounded(workspace.network(), ratios, multiple, _gone_by_hand(state))
    plan = recut(state.plan, workspace.network(), state.criterion, state.granularity, ratios)
    check_left(plan)
    if state.plan.recovered and plan != state.plan:
        workspace.notice(
            "What recovery had brought back belonged to the plan before: this one is as it was pruned. Undo goes back, "
            "Recover begins anew."
        )
    state.move(plan, hand=hand, gesture=gesture)


def pick(group: str, channel: int, removed: bool | None) -> None:
    """Remove a channel by hand (True), keep it by hand (False), or leave it to the plan's cut (None).

    Raises
    ------
    PrunescopeError
        If too little of its group would be left; the plan stays as it is then.
    """
    state = workspace.bench()
    plan = repick(state.plan, workspace.network(), group, channel, removed)
    if state.plan.is_dense:
        plan = replace(plan, criterion=state.criterion)
    check_left(plan)
    state.move(plan, hand=group)


def values_to_rank(target: str) -> Tensor:
    """Scores of a target's channels, or of the weights that the cut channels leave, flat."""
    state = workspace.bench()
    values = target_scores(workspace.scores(state.criterion), workspace.network(), target, state.granularity)
    gone = computed.removed(state.plan.only("channel")).get(target) if state.granularity == "weight" else None
    return values if gone is None else values[~gone.flatten()]


def prune_everything(ratio: float) -> None:
    """Cut every target of the granularity in hand alike."""
    set_ratios(dict.fromkeys(targets(workspace.network(), workspace.bench().granularity), ratio))


def console_button(plan: Plan, key: str) -> None:
    """A button that puts a plan in force and goes to the Prune page with it; a refusal becomes a sentence."""
    if not st.button("Open in the console", key=key, type="primary"):
        return
    try:
        workspace.check_fits(plan)
    except PrunescopeError as error:
        st.error(theme.plain(str(error)))
        return
    workspace.bench().move(plan)
    st.switch_page("pages/prune.py")


def bring_back(number: int) -> bool:
    """Put the plan of a kept trial in force; False, with a notice, if it cannot be."""
    try:
        plan = workspace.with_kept_weights(keeping.trial(number).plan)
    except PrunescopeError as error:
        workspace.notice(str(error))
        return False
    return put_in_force(plan)


def put_in_force(plan: Plan) -> bool:
    """Put a plan in force; False, with a notice, if the chosen network cannot carry it out."""
    try:
        workspace.check_fits(plan)
    except PrunescopeError as error:
        workspace.notice(str(error))
        return False
    workspace.bench().move(plan)
    return True


def read_plan(text: str | bytes) -> Plan:
    """The plan of a JSON text, if the chosen network can carry it out.

    A plan for another network is taken if this one is the same with other data, or has all its targets.

    Raises
    ------
    PrunescopeError
        If it is no plan, for another network, or its criterion cannot rank a target.
    """
    plan = from_json(text)
    chosen = workspace.network()
    has_all = all(cut.target in targets(chosen, cut.granularity) for cut in plan.cuts)
    has_all &= all(pick.target in targets(chosen, "channel") for pick in plan.picks)
    if (has_all and (plan.cuts or plan.picks)) or stem_of(plan.network) == stem_of(chosen.name):
        plan = _adopted(plan, chosen.name)
    plan = workspace.with_kept_weights(plan)
    workspace.check_fits(plan)
    return plan


def _adopted(plan: Plan, name: str) -> Plan:
    """The plan for a network of this name; recovered weights belong to the network that they were learned from."""
    if plan.recovered and plan.network != name:
        workspace.notice(
            f"This plan was recovered on {plan.network}, and its weights are that network's. Here it is as it was pruned: "
            "recover again, on the Recover page."
        )
        plan = plan.as_pruned
    return replace(plan, network=name)


def _gone_by_hand(state: Bench) -> dict[str, tuple[int, ...]]:
    """For groups with picks that the criterion ranks: how many channels go at each removal count."""
    found = {}
    for target in {pick.target for pick in state.plan.picks}:
        try:
            order = ranking(
                workspace.scores(state.criterion), workspace.network(), target, "channel"
            ).tolist()
        except CriterionError:
            continue
        found[target] = by_hand(order, state.plan.picks_of(target))[1]
    return found


def check_left(plan: Plan) -> None:
    """Refuse a plan that, with what was picked by hand, leaves too little of a group."""
    if plan.picks:
        select(workspace.network(), plan.only("channel"), workspace.scores(plan.criterion))
