"""Importance: what a criterion makes of each layer, and how far criteria agree."""

import streamlit as st
import torch

from analysis.importance import CRITERIA, suits
from analysis.importance.agreement import rank_correlation
from analysis.importance.scores import channel_scores, layer_score, matrix
from analysis.inside.channel import find
from analysis.pruning.selection import silent_outputs
from ui import computed, figures, frame, theme, workspace
from ui.channel import channel_figures
from ui.recover import taking


def _cell_caption(whole_channels: bool, dimensions: int) -> str:
    if whole_channels:
        return "Each row is one output channel: this criterion scores channels as a whole."
    cell = "weight" if dimensions == 2 else "kernel (its weights summed)"
    return (
        f"Each cell is one {cell}: what an output channel takes from an input channel. "
        "Layers too large to draw are shown in means, as the axes say."
    )


def _open_clicked(key: str, layer: str) -> None:
    """To the Channel page, if a mark or bar was clicked: its customdata is an output of the layer."""
    points = st.session_state[key].selection.points if key in st.session_state else []
    if points and "customdata" in points[0]:
        clicked = points[0]["customdata"]
        output = int(clicked[0] if isinstance(clicked, list) else clicked)
        workspace.choose_channel(*find(workspace.network(), layer, output), layer)
        st.switch_page("pages/channel.py")


network = workspace.network()
palette = theme.palette()
names = [layer.name for layer in network.layers]
largest = names.index(max(network.layers, key=lambda layer: layer.connections).name)
frame.heading(
    "Importance",
    "What each part of the network is worth, by a criterion of your choice. Faint cells and short bars are the first to go.",
)
if note := taking.as_pruned_words("This page is"):
    st.caption(note)
fitting = [c.name for c in CRITERIA.values() if suits(c, network)]
controls = st.columns([2, 2, 1], vertical_alignment="bottom")
name = controls[0].selectbox(
    "Criterion",
    fitting,
    index=fitting.index("l1"),
    format_func=lambda n: CRITERIA[n].label,
    key=f"importance:criterion:{network.name}",
    persist_state="session",
)
criterion = CRITERIA[name]
workspace.run_with_progress(f"Scoring by {criterion.label}…", lambda report: workspace.scores(name, report))
scores = workspace.scores(name)
layer = controls[1].selectbox(
    "Layer", names, index=largest, key=f"importance:layer:{network.name}", persist_state="session"
)
ranked = controls[2].toggle("Sort by rank")
source = f"Computed on {scores.origin}." if scores.examples else "Needs no data."
st.caption(f"{criterion.sentence} {source}")

if layer not in scores.values:
    st.info(
        f"{criterion.label} gives {layer} no score: no BatchNorm follows it. Choose another layer or criterion."
    )
else:
    ranking = channel_scores(scores, network, layer)
    cells = matrix(scores, network, layer)
    rows = ranking.argsort(descending=True, stable=True) if ranked else torch.arange(len(ranking))
    if ranked:
        cells = cells[rows]
        cells = cells[:, cells.sum(dim=0).argsort(descending=True, stable=True)]
    gone = silent_outputs(network, computed.removed(workspace.bench().plan), layer)
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True):
        st.subheader(f"{layer}, cell by cell", anchor=False)
        heatmap = figures.importance_heatmap(
            cells,
            palette,
            label=criterion.label,
            ranked=ranked,
            whole_channels=criterion.unit == "channel",
        )
        step = figures.binned(cells)[1]
        key = workspace.choice_key("rows", f"{name}:{layer}:{ranked}")
        st.plotly_chart(
            channel_figures.with_row_marks(
                heatmap, rows.tolist(), palette, step=step, columns=cells.shape[1]
            ),
            key=key, config=figures.CONFIG, on_select="rerun", selection_mode="points",
        )  # fmt: skip
        _open_clicked(key, layer)
        st.caption(
            _cell_caption(criterion.unit == "channel", len(network.layer(layer).shape))
            + " Click the mark before a row to see why its channel stays or goes."
        )
    with right:
        with st.container(border=True):
            st.subheader("Channel ranking", anchor=False)
            key = workspace.choice_key("ranking", f"{name}:{layer}")
            st.plotly_chart(
                channel_figures.clickable(
                    figures.channel_bars(
                        ranking.numpy(), palette, y=criterion.label, ranked=True, removed=gone
                    )
                ),
                key=key, config=figures.CONFIG, on_select="rerun", selection_mode="points",
            )  # fmt: skip
            _open_clicked(key, layer)
            st.caption(
                "The scores of the output channels from the most to the least important"
                + ("; grey ones go by the plan in force" if gone else "")
                + ". Click a bar to see why its channel stays or goes."
            )
        with st.container(border=True):
            st.subheader("Layers", anchor=False)
            means = {entry: layer_score(scores, entry) for entry in scores.values}
            unit = "weight" if criterion.unit == "weight" else "channel"
            st.plotly_chart(
                figures.named_bars(means, palette, x=f"mean {criterion.label} per {unit}"),
                config=figures.CONFIG,
            )
            st.caption(f"How important the average {unit} of each layer is.")

with st.container(border=True):
    st.subheader("Do the criteria agree?", anchor=False)
    chosen = st.multiselect(
        "Criteria", fitting, default=["random", "l1", "l2", "taylor", "activation-mean", "wanda"],
        format_func=lambda n: CRITERIA[n].label,
    )  # fmt: skip
    if len(chosen) < 2:
        st.info("Choose at least two criteria to compare.")
        st.stop()
    known = []
    for entry in chosen:
        try:
            known.append(workspace.scores(entry))
        except ValueError as error:
            st.caption(f"{CRITERIA[entry].label} is left out: {error}")
    labels = [CRITERIA[s.criterion].label for s in known]
    st.plotly_chart(
        figures.correlation_matrix(rank_correlation(known, network, layer), labels, palette),
        config=figures.CONFIG,
    )
    st.caption(
        f"Spearman's rank correlation of the channels of {layer}: 1 means the same order, 0 no relation. "
        "A dash: the criterion gives this layer no score, or every channel the same."
    )
