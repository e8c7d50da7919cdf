"""What recovery found, taken over: a recovered plan is put in force, or let go again."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from analysis.errors import PrunescopeError
from analysis.pruning.plan import Plan
from analysis.recovery.keep import keep_here
from analysis.recovery.recovered import Step
from ui import plans, theme, workspace


def use_button(plan: Plan, key: str, *, label: str = "Use it", is_best: bool = True) -> None:
    """A button that puts a recovered plan in force; it says so if that plan is in force already.

    The whole page is drawn anew, as the sidebar shows the plan in force and findings stand in a fragment.
    """
    if plan == workspace.bench().plan:
        st.button("In use", key=key, disabled=True)
    elif st.button(label, key=key, type="primary" if is_best else "secondary"):
        plans.put_in_force(plan)
        st.rerun()


def recovered(plan: Plan, digest: str) -> Plan:
    """The plan with the weights of a digest."""
    return replace(plan, recovered=digest)


def let_go() -> None:
    """Back to the plan in force as it was pruned."""
    state = workspace.bench()
    state.move(state.plan.as_pruned)


def as_pruned_words(subject: str) -> str:
    """That `subject` is about the plan as it was pruned; empty if the plan in force was not recovered."""
    if not workspace.bench().plan.recovered:
        return ""
    return (
        f"The plan in force was recovered. {subject} about it as it was pruned, with the weights as loaded."
    )


def history_words(plan: Plan) -> str:
    """The steps of recovery behind a plan, in words; says so if they are not kept any more."""
    try:
        steps = keep_here().get(plan.recovered).steps
    except PrunescopeError:
        return "its weights are not kept any more"
    return ", then ".join(map(_words, steps))


def _words(step: Step) -> str:
    return f"{step.method} ({theme.duration(step.seconds)})"
