"""The choices of the Prune page: what is removed, by which criterion, and plans from files."""

from __future__ import annotations

import streamlit as st

from analysis.errors import PrunescopeError
from analysis.importance import CRITERIA, suits
from analysis.pruning.plan import GRANULARITIES
from ui import plans, services, sweeps, workspace
from ui.ways import WAYS

_LONG_SECONDS = 120.0  # a sweep that may take longer does not start by itself


def choices() -> None:
    """Granularity, criterion and the way numbers are typed."""
    state = workspace.bench()
    left, middle, right, last = st.columns([2, 3, 3, 2], vertical_alignment="bottom")
    key = workspace.choice_key("granularity", state.granularity)
    left.segmented_control(
        "Remove", GRANULARITIES, default=state.granularity, key=key, required=True,
        on_change=_granularity_changed, args=(key,), format_func=lambda g: f"{g}s",
        help="Weights become zero one by one; channels are cut out, and the network gets smaller. Both can be "
        "done: cuts of weights take a share of what the channels have left.",
    )  # fmt: skip
    fitting = [
        c.name
        for c in CRITERIA.values()
        if (state.granularity == "channel" or c.unit == "weight") and suits(c, workspace.network())
    ]
    key = _criterion_key()
    middle.selectbox(
        "Criterion", fitting, index=fitting.index(state.criterion), key=key,
        on_change=_criterion_changed, args=(key,), format_func=lambda n: CRITERIA[n].label,
        help=CRITERIA[state.criterion].sentence,
    )  # fmt: skip
    workspace.keep(workspace.WAY)
    right.selectbox(
        "Type a cut as", list(WAYS), key=workspace.WAY,
        help="What the number beside each slider means. Sliders always show the ratio removed.",
    )  # fmt: skip
    workspace.keep(workspace.MULTIPLE)
    last.selectbox(
        "Keep channels in", workspace.MULTIPLES, key=workspace.MULTIPLE, disabled=state.granularity == "weight",
        format_func=lambda n: f"multiples of {n}" if n > 1 else "any number",
        help="Processors work in steps: 33 channels can take as long as 40. The next move keeps to it.",
    )  # fmt: skip


def sensitivity() -> None:
    """Begin the sensitivity sweep that estimates need, or offer to: a long one is for the user to begin."""
    missing = 0 if sweeps.current() else sweeps.missing()
    if not missing:
        return
    seconds = sweeps.seconds(missing)
    if services.sweeps_by_itself() and not sweeps.was_refused() and seconds <= _LONG_SECONDS:
        sweeps.start()
        return
    left, right = st.columns([1, 3], vertical_alignment="center")
    if left.button("Measure sensitivity", help="Cuts each target further and further, for the estimates."):
        sweeps.start()
        st.rerun()
    if seconds > _LONG_SECONDS:
        right.caption(
            f"Estimates while you drag need this once: up to {missing:,} measurements, at most about "
            f"{seconds / 60:.0f} minutes in the background. Moves are measured without it, too."
        )


def plan_upload() -> None:
    """Load a plan from a file."""
    uploaded = st.file_uploader(
        "Load a plan (.json)", type="json", key=workspace.PLAN_FILE, max_upload_size=1
    )
    if uploaded is None or not workspace.is_new_upload(uploaded.file_id):
        return
    try:
        workspace.bench().move(plans.read_plan(uploaded.getvalue()))
    except PrunescopeError as error:
        workspace.notice(str(error))
    st.rerun()


def _granularity_changed(key: str) -> None:
    state = workspace.bench()
    chosen = st.session_state.get(key)
    if key != workspace.choice_key("granularity", state.granularity) or chosen in (None, state.granularity):
        return
    state.granularity = chosen  # what was cut stays: channels first, then weights of what they leave
    if chosen == "weight" and CRITERIA[state.criterion].unit == "channel":
        state.criterion = "l1"


def _criterion_key() -> str:
    state = workspace.bench()
    return workspace.choice_key("criterion", f"{state.granularity}:{state.criterion}:{state.refused}")


def _criterion_changed(key: str) -> None:
    state = workspace.bench()
    if key == _criterion_key():
        state.criterion = st.session_state.get(key) or state.criterion
