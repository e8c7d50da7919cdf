"""Model: what the network is, how it is built, what each layer costs."""

import pandas as pd
import streamlit as st

from ui import architecture, frame, model_card, theme, workspace

opened = workspace.opened()
network, dataset = opened.network, opened.dataset
metric = dataset.task.headline
frame.heading(workspace.title(), model_card.summary(opened))

with st.spinner("Measuring the network…"):
    dense = workspace.dense()

columns = st.columns(5)
columns[0].metric(
    metric.label,
    theme.number(dense.headline.value, metric),
    help=f"95% interval {theme.interval(dense.headline, metric)}, on {dense.evaluation.split.origin}.",
    border=True,
)
columns[1].metric("Parameters", theme.count(dense.cost.parameters), border=True)
columns[2].metric(
    "Connections", theme.count(dense.cost.connections), border=True,
    help="Weights of convolution, linear and embedding layers; biases and BatchNorm are not counted.",
)  # fmt: skip
columns[3].metric(
    "MACs", theme.count(dense.cost.macs), border=True,
    help="Multiply-accumulates of convolutions, linear layers and attention, for one example.",
)  # fmt: skip
columns[4].metric(
    "Bytes as saved", theme.bytes_text(dense.size.saved), border=True,
    help=f"The safetensors file. Best lossless encoding: {theme.bytes_text(dense.size.best)} "
    f"({dense.size.best_encoding}).",
)  # fmt: skip

left, right = st.columns([2, 3], gap="medium")
with left, st.container(border=True):
    st.subheader("Architecture", anchor=False)
    st.caption(
        "From input to answer. Layers framed in the same colour are coupled: they lose channels together."
    )
    with st.container(height=620, border=False):
        st.graphviz_chart(architecture.dot(network, theme.palette()), width="content")

with right:
    with st.container(border=True):
        model_card.draw(opened, dense)
    with st.container(border=True):
        st.subheader("Coupled groups", anchor=False)
        st.caption(
            "Each group is checked: random channels are removed, and the outputs compared with the same "
            "channels silenced. Exact means no difference beyond rounding."
        )
        st.table(
            pd.DataFrame(
                {
                    "Layers that lose channels together": [" + ".join(g.members) for g in network.groups],
                    "Channels": [g.size for g in network.groups],
                    "Verdict": [g.verdict for g in network.groups],
                    "Why": [g.reason or f"largest difference {g.deviation:.1e}" for g in network.groups],
                }
            ),
            hide_index=True,
            width="stretch",
        )

with st.container(border=True):
    st.subheader("Layers", anchor=False)
    st.caption("Share is each layer's part of the network's MACs: where the time goes.")
    macs = dense.cost.layer_macs
    table = pd.DataFrame(
        {
            "Layer": [layer.name for layer in network.layers],
            "Type": [layer.type for layer in network.layers],
            "Weight shape": [" × ".join(map(str, layer.shape)) for layer in network.layers],
            "Output shape": [" × ".join(map(str, layer.output_shape)) for layer in network.layers],
            "Parameters": [layer.parameters for layer in network.layers],
            "Connections": [layer.connections for layer in network.layers],
            "MACs": [macs[layer.name] for layer in network.layers],
            "Share of MACs": [100 * macs[layer.name] / dense.cost.macs for layer in network.layers],
        }
    )
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        column_config={
            **{
                name: st.column_config.NumberColumn(format="localized")
                for name in ("Parameters", "Connections", "MACs")
            },
            "Share of MACs": st.column_config.ProgressColumn(format="%.1f%%", min_value=0, max_value=100),
        },
    )
    elsewhere = dense.cost.parameters - sum(layer.parameters for layer in network.layers)
    st.caption(
        f"In all {dense.cost.parameters:,} parameters"
        + (f" ({elsewhere:,} of them outside these layers)" if elsewhere else "")
        + f", {dense.cost.connections:,} connections, {dense.cost.macs:,} MACs an example, "
        f"{dense.size.saved:,} bytes as safetensors."
    )
