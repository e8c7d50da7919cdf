"""The controls of the Prune page: criterion, granularity, and a slider for each target."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import streamlit as st
from torch import Tensor

from analysis.errors import CriterionError, PrunescopeError
from analysis.importance import CRITERIA, suits
from analysis.network import Group, Network
from analysis.pruning.plan import GRANULARITIES, Granularity, from_json, targets
from analysis.pruning.selection import (
    ratio_below,
    ratio_below_relative,
    removal_count,
    target_scores,
    threshold_at,
)
from ui import theme, workspace
from ui.bench import dense_plan


@dataclass(frozen=True)
class Way:
    """One way to say how much goes: a slider's range and its two translations to the plan's ratio.

    A threshold is not `exact`: many of them stand for the same cut.
    """

    label: str
    to_ratio: Callable[[Tensor, float], float]
    from_ratio: Callable[[Tensor, float, Granularity], float]
    top: Callable[[Tensor], float]
    step: float | None
    format: str
    exact: bool = True


def _largest(values: Tensor) -> float:
    return float(values.max()) or 1.0


def _threshold(values: Tensor, ratio: float, granularity: Granularity) -> float:
    """The threshold that a ratio stands for; 0 where nothing goes."""
    if removal_count(len(values), ratio, granularity) == 0:
        return 0.0
    return min(threshold_at(values, ratio, granularity), _largest(values))


def _hundred(values: Tensor) -> float:
    return 100.0


_ALL_WAYS = (
    Way("Ratio removed", lambda v, x: x / 100, lambda v, r, g: 100 * r, _hundred, 1.0, "%d%%"),
    Way("Ratio kept", lambda v, x: 1 - x / 100, lambda v, r, g: 100 - 100 * r, _hundred, 1.0, "%d%%"),
    Way("Absolute threshold", ratio_below, _threshold, _largest, None, "%.3g", exact=False),
    Way(
        "Relative threshold",
        lambda v, x: ratio_below_relative(v, x / 100),
        lambda v, r, g: 100 * _threshold(v, r, g) / _largest(v),
        _hundred,
        0.5,
        "%.1f%% of the largest score",
        exact=False,
    ),
)
WAYS = {way.label: way for way in _ALL_WAYS}


def choices() -> Way:
    """Granularity, criterion and the way sliders speak; returns the way."""
    state = workspace.bench()
    key = workspace.control_key("granularity")
    st.segmented_control(
        "Remove", GRANULARITIES, default=state.granularity, key=key, required=True,
        on_change=_granularity_changed, args=(key,), format_func=lambda g: f"{g}s",
        help="Weights become zero one by one; channels are cut out, and the network gets smaller.",
    )  # fmt: skip
    left, right = st.columns(2)
    fitting = [
        c.name
        for c in CRITERIA.values()
        if (state.granularity == "channel" or c.unit == "weight") and suits(c, workspace.network())
    ]
    key = workspace.control_key("criterion", state.granularity)
    left.selectbox(
        "Criterion", fitting, index=fitting.index(state.criterion), key=key,
        on_change=_criterion_changed, args=(key,), format_func=lambda n: CRITERIA[n].label,
        help=CRITERIA[state.criterion].sentence,
    )  # fmt: skip
    workspace.keep(workspace.WAY)
    return WAYS[right.selectbox("Set each cut by", list(WAYS), key=workspace.WAY)]


def carry_over() -> None:
    """After a change of criterion, keep the ratios as far as it can rank the targets."""
    state = workspace.bench()
    if not state.plan.is_dense and state.plan.criterion != state.criterion:
        workspace.set_ratios(_rankable(state.plan.ratios), by="criterion")


def actions() -> None:
    """The slider for all targets, undo, redo and reset."""
    state = workspace.bench()
    key = workspace.control_key("all")
    st.slider(
        "All targets: ratio removed" + ("" if _is_uniform() else " (they differ now)"),
        0, 95, _common_percent(), key=key, format="%d%%",
        on_change=_all_changed, args=(key,),
    )  # fmt: skip
    columns = st.columns(3)
    columns[0].button("Undo", disabled=not state.done, on_click=state.undo, width="stretch")
    columns[1].button("Redo", disabled=not state.undone, on_click=state.redo, width="stretch")
    columns[2].button(
        "Reset", disabled=state.plan.is_dense, width="stretch",
        on_click=lambda: state.move(dense_plan(workspace.network_name())),
    )  # fmt: skip


def sliders(network: Network, way: Way) -> None:
    """A slider for each target, and the reason where there is none."""
    state = workspace.bench()
    scores = workspace.scores(state.criterion)
    for target in targets(network, state.granularity):
        try:
            values = target_scores(scores, network, target, state.granularity)
        except CriterionError as error:
            st.caption(f"**{_title(network, target, state.granularity)}** has no slider: {error}")
            continue
        _slider(network, target, values, way)
    if state.granularity == "channel":
        for group in network.groups:
            if not group.is_prunable:
                st.caption(f"**{_members(group)}** keeps its channels: {group.reason}.")


def plan_upload() -> None:
    """Load a plan from a file."""
    uploaded = st.file_uploader(
        "Load a plan (.json)", type="json", key=workspace.PLAN_FILE, max_upload_size=1
    )
    if uploaded is None:
        return
    try:
        plan = from_json(uploaded.getvalue())
        workspace.check_plan_fits(plan)
    except PrunescopeError as error:
        st.error(theme.plain(str(error)))
        return
    if workspace.is_new_upload(uploaded.file_id):
        workspace.bench().move(plan)
        st.rerun()


def _slider(network: Network, target: str, values: Tensor, way: Way) -> None:
    state = workspace.bench()
    ratio = state.plan.ratios.get(target, 0.0)
    top = way.top(values)
    key = workspace.control_key("cut", state.granularity, state.criterion, way.label, target)
    left = len(values) - removal_count(len(values), ratio, state.granularity)
    st.slider(
        f"{_title(network, target, state.granularity)}: {left:,} of {len(values):,} {state.granularity}s kept",
        0.0, top, min(top, max(0.0, way.from_ratio(values, ratio, state.granularity))),
        key=key, step=way.step or top / 500, format=way.format,
        on_change=_cut_changed, args=(target, key, way.label),
    )  # fmt: skip
    if left == 0:
        st.caption(f"{target} has no connection left: only its bias speaks.")


def _title(network: Network, target: str, granularity: Granularity) -> str:
    return _members(network.group(target)) if granularity == "channel" else target


def _members(group: Group) -> str:
    return " + ".join(group.members)


def _present_ratios() -> set[float]:
    """The ratios of all targets."""
    state = workspace.bench()
    return {state.plan.ratios.get(t, 0.0) for t in targets(workspace.network(), state.granularity)}


def _is_uniform() -> bool:
    return len(_present_ratios()) <= 1


def _common_percent() -> int:
    """The ratio all targets share, in percent; 0 if they differ."""
    ratios = _present_ratios()
    return min(95, round(100 * ratios.pop())) if len(ratios) == 1 else 0


def _cut_changed(target: str, key: str, way: str) -> None:
    if not workspace.is_current("cut", key):
        return
    state = workspace.bench()
    values = target_scores(workspace.scores(state.criterion), workspace.network(), target, state.granularity)
    present = state.plan.ratios.get(target, 0.0)
    ratio = min(1.0, max(0.0, round(WAYS[way].to_ratio(values, st.session_state[key]), 6)))
    counts = {removal_count(len(values), r, state.granularity) for r in (present, ratio)}
    if ratio != present and (len(counts) == 2 or WAYS[way].exact):
        workspace.set_ratios({**state.plan.ratios, target: ratio}, by="cut")


def _all_changed(key: str) -> None:
    if not workspace.is_current("all", key) or st.session_state[key] == _common_percent():
        return
    granularity = workspace.bench().granularity
    ratio = st.session_state[key] / 100
    workspace.set_ratios(_rankable(dict.fromkeys(targets(workspace.network(), granularity), ratio)), by="all")


def _rankable(ratios: dict[str, float]) -> dict[str, float]:
    """Those of `ratios` whose target the criterion in hand can rank; the others have no slider."""
    state = workspace.bench()
    network, scores = workspace.network(), workspace.scores(state.criterion)
    fitting = {}
    for target, ratio in ratios.items():
        try:
            target_scores(scores, network, target, state.granularity)
        except CriterionError:
            continue
        fitting[target] = ratio
    return fitting


def _granularity_changed(key: str) -> None:
    state = workspace.bench()
    chosen = st.session_state[key]
    if not workspace.is_current("granularity", key) or chosen == state.granularity:
        return
    state.move(dense_plan(workspace.network_name()), by="granularity")
    state.granularity = chosen
    if chosen == "weight" and CRITERIA[state.criterion].unit == "channel":
        state.criterion = "l1"


def _criterion_changed(key: str) -> None:
    if workspace.is_current("criterion", key):
        workspace.bench().criterion = st.session_state[key]
