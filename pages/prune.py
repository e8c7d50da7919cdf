"""Prune: a slider for each layer or group, and what each move measurably costs and saves."""

import streamlit as st

from analysis.errors import PrunescopeError
from analysis.importance import CRITERIA
from analysis.pruning.plan_json import to_json
from ui import (
    frame,
    keeping,
    live_console,
    moves,
    prune_controls,
    prune_results,
    report_button,
    theme,
    workspace,
)
from ui.bench import dense_plan
from ui.recover import taking

network = workspace.network()
palette = theme.palette()
frame.heading(
    "Prune",
    "Drag a slider: the estimate follows at once, the measured number right behind it, with an interval that "
    "narrows until it is exact. What a cut takes, Recover may bring back.",
)

prune_controls.choices()
state = workspace.bench()
criterion = CRITERIA[state.criterion]
workspace.run_with_progress(
    f"Scoring by {criterion.label}…", lambda report: workspace.scores(criterion.name, report)
)
if not moves.carry_over():
    st.rerun()
with st.spinner("Measuring the dense network…"):
    dense = keeping.measured(dense_plan(network.name))
prune_controls.sensitivity()
if state.plan.recovered:
    st.info(
        f"These numbers are of the recovered network ({taking.history_words(state.plan)}). A move of a slider begins again "
        "at the weights as loaded; Undo comes back here."
    )
live_console.draw()

with st.spinner("Measuring…"):
    try:
        now = keeping.measured(state.plan)
    except PrunescopeError as error:
        st.error(theme.plain(f"{error} Undo brings the last plan back."))
        st.stop()
left, right = st.columns([2, 3], gap="medium")
with left:
    prune_results.metric_cards(now, dense)
    scores = workspace.scores(criterion.name)
    if scores.examples:
        st.caption(theme.plain(f"{criterion.label} computed on {scores.origin}."))
    with st.expander("Save or load"):
        st.download_button(
            "Plan (.json)",
            to_json(state.plan),
            f"{network.name}-plan.json",
            "application/json",
            on_click="ignore",
        )
        st.page_link(
            "pages/export.py",
            label="Export the network",
            help="As .pt2, ONNX and other files, each checked before you get it.",
        )
        report_button.draw_in_force(key="prune:report")
        prune_controls.plan_upload()
with right:
    prune_results.trade_off(palette)
    if now.evaluation.task.is_classification and not state.plan.is_dense:
        with st.expander("Change per class"):
            prune_results.class_change(
                now, dense, workspace.opened().dataset.names_of(now.evaluation.classes), palette
            )
    prune_results.sibling_curves(palette)
