"""Compare: what the pruned network looks at, forgets and confuses, beside the dense one."""

import streamlit as st

from ui import compare_views, frame, theme, workspace

network, plan = workspace.network(), workspace.bench().plan
dataset = workspace.opened().dataset
frame.heading(
    "Compare",
    "The dense network before, the pruned network after: the same examples, the same scale, side by side.",
)

if plan.is_dense:
    st.info(
        "Nothing is pruned yet, so there is nothing to compare. Move a slider on the Prune page, or start with this:"
    )
    columns = st.columns([1, 1, 2])
    columns[0].button(
        "Prune 30% of every group", type="primary", on_click=workspace.prune_everything, args=(0.3,)
    )
    columns[1].page_link("pages/prune.py", label="Go to Prune")
    st.stop()

with st.spinner("Measuring both networks…"):
    before, after = workspace.dense(), workspace.measured(plan)
metric = dataset.task.headline
columns = st.columns(4)
columns[0].metric(f"{metric.label} before", theme.number(before.headline.value, metric), border=True)
columns[1].metric(
    f"{metric.label} after", theme.number(after.headline.value, metric), border=True,
    **theme.delta_look(after.change[metric.key], metric),
)  # fmt: skip
columns[2].metric(
    "Nonzero connections", theme.count(after.cost.nonzero_connections), border=True,
    **theme.saving_look(after.cost.nonzero_connections, before.cost.nonzero_connections),
)  # fmt: skip
if dataset.task.is_classification:
    changed = int((before.evaluation.answers != after.evaluation.answers).sum())
    columns[3].metric("Answers changed", f"{changed:,} of {len(before.evaluation.split):,}", border=True)
else:
    moved = float((before.evaluation.answers - after.evaluation.answers).abs().mean())
    columns[3].metric("Mean change of answer", f"{moved:.2f}", border=True, help=f"In {dataset.target_unit}.")

views = {
    "Examples": compare_views.examples,
    "Similarity": compare_views.similarity,
    "Classes" if dataset.task.is_classification else "Predictions": (
        compare_views.classes if dataset.task.is_classification else compare_views.predictions
    ),
}
view = st.segmented_control(
    "View", list(views), default="Examples", required=True, label_visibility="collapsed"
)
views[view](before.evaluation, after.evaluation)
