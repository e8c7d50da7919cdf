"""The combine view of the Allocate page: several plans of this network made one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from analysis.allocation.combine import RULES, Combined, criterion_of
from analysis.allocation.combine import combine as make_one
from analysis.errors import PrunescopeError
from analysis.history import Trial
from analysis.importance import CRITERIA
from analysis.pruning.plan import Plan
from ui import computed, figures, keeping, plans, theme, workspace
from ui.allocate import plan_figures
from ui.allocate.plan_words import plan_words, what_is_left

_AT_ONCE = 6  # plans, each with a mark of its own in the chart
_AT_FIRST = 3
_OFFERED = 200  # the newest


def combine() -> None:
    """Choose plans and a rule, see what would go of each target, and open that in the console."""
    st.caption(
        "Several plans of this network made one: what any of them removes, what all do, or what most do. The result is a "
        "plan like any other: a measurement says what it is worth."
    )
    trials = {trial.plan: trial for trial in keeping.trials(_OFFERED)}
    if len(trials) < 2:
        how_many = "One plan was" if trials else "No plan was"
        st.info(
            f"{how_many} tried for {workspace.title()} on these examples, and combining needs two. Every move of a slider "
            "on the Prune page tries one, and so does opening a proposal."
        )
        st.page_link("pages/prune.py", label="Go to Prune")
        return
    with st.container(border=True):
        chosen = _choose(trials)
        rule = st.segmented_control(
            "Rule", list(RULES), default=next(iter(RULES)), required=True, key="combine:rule",
            persist_state="session", format_func=lambda name: RULES[name].label,
        )  # fmt: skip
        st.caption(RULES[rule].sentence)
    if len(chosen) < 2:
        st.info("Choose at least two plans.")
        return
    try:
        found = _combined(chosen, rule)
        workspace.check_fits(found.plan)
    except PrunescopeError as error:
        st.error(theme.plain(str(error)))
        return
    _result(found, chosen, trials)


def _choose(trials: Mapping[Plan, Trial]) -> list[Plan]:
    metric = workspace.opened().dataset.task.headline
    known = list(trials)
    numbers = st.multiselect(
        "Plans", range(len(known)), default=_different(known)[-_AT_FIRST:], max_selections=_AT_ONCE,
        format_func=lambda i: f"{_name(i)}: {plan_words(known[i], trials[known[i]].measurement, metric)}",
        key=f"combine:plans:{workspace.network_name()}:{len(known)}",
        help=f"The plans that were measured on the examples chosen now, at most the newest {_OFFERED}.",
    )  # fmt: skip
    return [known[i] for i in numbers]


def _different(plans: Sequence[Plan]) -> list[int]:
    """The first of each that cuts the same, whatever recovery made of it."""
    found: dict[Plan, int] = {}
    for number, plan in enumerate(plans):
        found.setdefault(plan.as_pruned, number)
    return list(found.values())


def _name(number: int) -> str:
    return f"plan {number + 1}"


def _combined(chosen: Sequence[Plan], rule: str) -> Combined:
    criterion = criterion_of(chosen)
    workspace.run_with_progress(
        f"Scoring by {CRITERIA[criterion].label}…", lambda report: workspace.scores(criterion, report)
    )
    selections = [computed.selection(plan) for plan in chosen]
    return make_one(workspace.network(), chosen, selections, rule, workspace.scores(criterion))


def _result(found: Combined, chosen: Sequence[Plan], trials: Mapping[Plan, Trial]) -> None:
    if found.plan.is_dense:
        st.info("By this rule nothing goes: these plans have too little in common.")
        return
    left, right = st.columns([3, 1], vertical_alignment="center")
    left.markdown(f"Together: **{theme.plain(plan_words(found.plan))}.** " + " ".join(found.notes))
    with right:
        plans.console_button(found.plan, "combine:open")
    what_is_left(found.plan)
    known = list(trials)
    names = [_name(known.index(plan)) for plan in chosen]
    for granularity in ("channel", "weight"):
        entries = [entry for entry in found.joined if entry.granularity == granularity]
        if not entries:
            continue
        with st.container(border=True):
            st.subheader(f"{granularity.capitalize()}s that go", anchor=False)
            rows = [
                plan_figures.Row(
                    entry.target,
                    dict(zip(names, entry.given, strict=True)),
                    entry.share,
                    _spared_words(entry.spared),
                )
                for entry in entries
            ]
            figure = plan_figures.removed(rows, theme.palette(), after="combined")
            st.plotly_chart(figure, config=figures.CONFIG)
            st.caption(
                "Open marks: the share that each plan removes of a target. Filled: what the combined plan removes. A union "
                "may go beyond them all, because plans by different criteria remove different channels; an "
                "intersection stays below for the same reason."
                if granularity == "channel"
                else "Open marks: the ratio of each plan. Filled: that of the combined plan."
            )


def _spared_words(spared: Sequence[int]) -> str:
    if not spared:
        return ""
    return f"channel {', '.join(map(str, spared))} stays, because nothing would be left otherwise"
