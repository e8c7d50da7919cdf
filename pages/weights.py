"""Weights: how each layer's weights are spread, and what a threshold would remove."""

import pandas as pd
import streamlit as st

from analysis import weights
from analysis.pruning.selection import ratio_below, threshold_at
from ui import computed, figures, frame, library, theme, workspace
from ui.recover import taking

network, plan = workspace.network(), workspace.bench().plan
palette = theme.palette()
removed = computed.removed(plan)
names = [layer.name for layer in network.layers]
largest = names.index(max(network.layers, key=lambda layer: layer.connections).name)
frame.heading(
    "Weights",
    "How each layer's weights are spread. Where most of them crowd around zero, there is something to remove.",
)

if note := taking.as_pruned_words("This page is"):
    st.caption(note)
one, every, table, siblings = st.tabs(["One layer", "All layers", "Statistics", "Siblings"])

with one:
    controls, chart = st.columns([1, 2], gap="medium")
    with controls:
        layer = st.selectbox("Layer", names, index=largest)
        size = network.weight(layer).abs().flatten()
        log = st.toggle("Logarithmic counts")
        way = st.segmented_control("Threshold as", ["Ratio", "Absolute"], default="Ratio") or "Ratio"
        if way == "Ratio":
            ratio = st.slider("Share of connections below", 0, 99, 50, format="%d%%") / 100
            threshold = threshold_at(size, ratio, "weight")
        else:
            top = float(size.max()) or 1.0
            threshold = st.slider("|weight| below", 0.0, top, top / 10, step=top / 200, format="%.4f")
        below = int((size < threshold).sum())
        st.metric(
            f"Connections with |weight| < {threshold:.4f}",
            f"{below:,} of {len(size):,}",
            f"{ratio_below(size, threshold):.1%} of the layer",
            delta_color="off",
            delta_arrow="off",
        )
    with chart, st.container(border=True):
        drawn = weights.histogram(network.weight(layer), removed=removed.get(layer))
        st.plotly_chart(
            figures.weight_histogram(drawn, palette, threshold=threshold, log=log), config=figures.CONFIG
        )
        st.caption(
            f"The weights of {layer} by size; the dashed lines mark the threshold. "
            + (
                "Grey is what the plan in force removes."
                if removed
                else "Prune, and the removed part turns grey here."
            )
        )
    with st.container(border=True):
        norms = weights.channel_norms(network, layer).numpy()
        gone = set(removed[layer].flatten(1).all(dim=1).nonzero().flatten().tolist()) if removed else set()
        st.plotly_chart(
            figures.channel_bars(norms, palette, y="L2 norm", removed=gone, ranked=True, height=230),
            config=figures.CONFIG,
        )
        st.caption(
            f"L2 norm of each output channel of {layer}. A long low tail on the right: channels the layer hardly uses."
        )

with every:
    log_all = st.toggle("Logarithmic counts", key="log_all_layers")
    with st.container(border=True):
        limit = max(float(network.weight(layer.name).abs().max()) for layer in network.layers)
        rows = {
            layer.name: weights.histogram(
                network.weight(layer.name), removed=removed.get(layer.name), limit=limit
            )
            for layer in network.layers
        }
        st.plotly_chart(figures.ridgelines(rows, palette, log=log_all), config=figures.CONFIG)
        st.caption(
            "All layers on one weight axis, each scaled to its own peak: compare widths and tails, not heights."
        )

with table:
    statistics = {layer.name: weights.statistics(network.weight(layer.name)) for layer in network.layers}
    frame_of = pd.DataFrame(
        {
            "Layer": list(statistics),
            "Connections": [s.count for s in statistics.values()],
            "Mean": [s.mean for s in statistics.values()],
            "Deviation": [s.deviation for s in statistics.values()],
            "Excess kurtosis": [s.kurtosis for s in statistics.values()],
            "Largest |w|": [s.largest for s in statistics.values()],
            "Near zero": [100 * s.near_zero for s in statistics.values()],
            "Removed by plan": [
                100 * float(removed[name].double().mean()) if removed else 0.0 for name in statistics
            ],
        }
    )
    st.dataframe(
        frame_of,
        hide_index=True,
        width="stretch",
        column_config={
            **{
                name: st.column_config.NumberColumn(format="%.4f")
                for name in ("Mean", "Deviation", "Largest |w|")
            },
            "Layer": st.column_config.TextColumn(width="medium"),
            "Connections": st.column_config.NumberColumn(format="localized"),
            "Excess kurtosis": st.column_config.NumberColumn(format="%.2f"),
            "Near zero": st.column_config.NumberColumn(format="%.1f%%"),
            "Removed by plan": st.column_config.ProgressColumn(format="%.0f%%", min_value=0, max_value=100),
        },
    )
    st.caption(
        f"Near zero: |w| below {weights.NEAR_ZERO:.0%} of the layer's largest. Excess kurtosis is 0 for a "
        "normal distribution; higher means a sharper peak with heavier tails, which prunes well."
    )

with siblings:
    family = workspace.opened().siblings
    if not family:
        st.info(
            "This network was trained one way only. Choose digits-mlp to compare training plainly, with L1 and with L2."
        )
    else:
        shared = st.selectbox("Layer", names, index=largest, key="sibling_layer")
        weight_of = {library.title(name): library.load(name).network.weight(shared) for name in family}
        limit = max(float(w.abs().max()) for w in weight_of.values())
        with st.container(border=True):
            rows = {name: weights.histogram(w, limit=limit, bins=121) for name, w in weight_of.items()}
            st.plotly_chart(figures.ridgelines(rows, palette, log=True), config=figures.CONFIG)
            facts = {name: weights.statistics(w) for name, w in weight_of.items()}
            st.caption(
                f"The same layer, {shared}, of the same architecture trained in different ways (logarithmic "
                "counts). L1 drives weights to zero one by one, L2 shrinks them all. Near zero: "
                + ", ".join(f"{name} {s.near_zero:.0%}" for name, s in facts.items())
                + ". The Prune page shows what it does to prunability."
            )
