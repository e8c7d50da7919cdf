"""What the pages that compare before and after have in common: the way in, and the headline figures."""

from __future__ import annotations

import streamlit as st

from analysis.measure import Measurement
from analysis.recovery.pruned import LEAST
from ui import frame, keeping, plans, theme, workspace

_RATIO = 0.3  # of every group, for those who come without a plan


def needs_plan(what: str) -> None:
    """Stop the page if nothing is pruned, with a way to begin; `what` there would be to see."""
    plan = workspace.bench().plan
    if not workspace.removes_nothing():
        return
    reason = "Nothing is pruned yet" if plan.is_dense else "The plan in force is too small to remove anything"
    st.info(f"{reason}, so {what}. Move a slider on the Prune page, or start with this:")
    columns = st.columns([1, 1, 2])
    columns[0].button(
        f"Prune {_RATIO:.0%} of every group",
        type="primary",
        on_click=plans.prune_everything,
        args=(_RATIO,),
    )
    columns[1].page_link("pages/prune.py", label="Go to Prune")
    st.stop()


def needs_calibration(what: str) -> None:
    """Stop the page if there are too few calibration examples for `what` to learn from."""
    count = len(workspace.opened().dataset.calibration)
    if count < LEAST:
        st.info(
            f"{what} learns from calibration examples, and there are {count:,}: at least {LEAST} are needed. Open the "
            "network with more data."
        )
        st.stop()


def header(title: str, sentence: str) -> tuple[Measurement, Measurement]:
    """The heading, and the headline figures of the dense and the pruned network.

    Returns
    -------
    Measurement, Measurement
        Before and after; the page stops with a way to begin if nothing is pruned.
    """
    frame.heading(title, sentence)
    needs_plan("there is nothing to compare")
    with st.spinner("Measuring both networks…"):
        before, after = workspace.dense(), keeping.measured(workspace.bench().plan)
    cards(before, after)
    return before, after


def cards(before: Measurement, after: Measurement) -> None:
    """The headline figures of both networks, and a warning if the pruned one says the same to everything."""
    dataset = workspace.opened().dataset
    metric = dataset.task.headline
    columns = st.columns(4)
    columns[0].metric(
        f"{metric.label} before", theme.number(before.headline.value, metric), border=True, height="stretch"
    )
    columns[1].metric(
        f"{metric.label} after", theme.number(after.headline.value, metric), border=True, height="stretch",
        **theme.delta_look(after.change[metric.key], metric),
    )  # fmt: skip
    columns[2].metric(
        "Nonzero connections", theme.count(after.cost.nonzero_connections), border=True, height="stretch",
        **theme.saving_look(after.cost.nonzero_connections, before.cost.nonzero_connections),
    )  # fmt: skip
    if dataset.task.is_classification:
        changed = int((before.evaluation.answers != after.evaluation.answers).sum())
        columns[3].metric(
            "Answers changed",
            f"{changed:,} of {len(before.evaluation.split):,}",
            border=True,
            height="stretch",
        )
    else:
        moved = float((before.evaluation.answers - after.evaluation.answers).abs().mean())
        columns[3].metric(
            "Mean change of answer",
            f"{moved:.2f}",
            border=True,
            height="stretch",
            help=f"In {dataset.target_unit}.",
        )
    answers = after.evaluation.answers
    if len(answers) > 1 and bool((answers == answers[0]).all()):
        said = float(answers[0])
        name = (
            dataset.names_of(after.evaluation.classes)[int(said)]
            if after.evaluation.classes
            else f"{said:.3g}"
        )
        st.warning(
            f"The pruned network answers {theme.plain(name)} to every example: it has collapsed. What follows "
            "compares with that."
        )


def choose_view(names: tuple[str, ...]) -> str:
    """Which of a page's views is shown."""
    chosen = st.segmented_control(
        "View", names, default=names[0], required=True, label_visibility="collapsed",
        key=_view_key(names), persist_state="session",
    )  # fmt: skip
    assert chosen is not None
    return chosen


def show_view(names: tuple[str, ...], name: str) -> None:
    """Show another of a page's views, from a callback."""
    st.session_state[_view_key(names)] = name


def _view_key(names: tuple[str, ...]) -> str:
    return f"view:{':'.join(names)}"
