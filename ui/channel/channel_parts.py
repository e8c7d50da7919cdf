"""The views of what makes a channel: its weights, its values, what they go with, where it sits."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from analysis.inside.channel import Kernel, kernels, places
from analysis.inside.channel_activity import (
    class_means,
)
from analysis.measure.quality import Evaluation
from ui import figures, theme, workspace
from ui.channel import channel_figures
from ui.channel.channel_views import View

_POSITIONS = 6  # of a module's that are named


def weights(view: View) -> None:
    """What writes the channel."""
    network = workspace.network()
    st.subheader("Weights that write it", anchor=False)
    written = kernels(network, view.group, view.layer, view.channel)
    if not written:
        st.info(f"{theme.plain(view.layer)} does not write this {view.unit}. Choose another layer above.")
        return
    kernel = written[0]
    if len(written) > 1:
        labels = [f"output {one.output}" for one in written]
        kernel = written[labels.index(st.selectbox("Output", labels, label_visibility="collapsed"))]
    st.plotly_chart(_kernel_figure(kernel), config=figures.CONFIG)
    bias = "" if kernel.bias is None else f" Its bias is {kernel.bias:.3g}."
    st.caption(
        f"What {theme.plain(view.layer)} takes from each of its {len(kernel.weights):,} inputs for this {view.unit}, "
        f"on one scale: faint inputs hardly count.{bias}"
    )


def _kernel_figure(kernel: Kernel) -> figures.go.Figure:
    values, palette = kernel.weights, theme.palette()
    network, dataset = workspace.network(), workspace.opened().dataset
    names = [f"input {i}" for i in range(len(values))]
    first = kernel.layer == network.layers[0].name
    if first and len(dataset.feature_names) == len(values):
        names = list(dataset.feature_names)
    shape = tuple(network.example_input.shape[1:])
    if values.dim() == 1 and first and len(shape) == 3 and len(values) == np.prod(shape):
        colours = [f"colour {i}" for i in range(shape[0])]  # the layer reads the flattened picture
        return channel_figures.kernel_tiles(values.reshape(shape), palette, names=colours)
    if values.dim() == 1:
        return channel_figures.weight_bars(values, palette, names=names)
    if values.dim() == 2:
        type_ = network.layer(kernel.layer).type
        taps = "gate" if type_ == "Recurrent" else "position in the kernel"
        return channel_figures.weight_grid(values, palette, names=names, x=taps)
    repeated = [name for name in names for _ in range(int(np.prod(values.shape[1:-2])))]
    return channel_figures.kernel_tiles(values.flatten(0, -3), palette, names=repeated)


def activation(view: View) -> None:
    """How its values are spread."""
    st.subheader("What it says", anchor=False)
    heard = view.heard
    if heard is None:
        st.info(theme.plain(view.not_heard))
        return
    if not heard.written[view.channel]:
        st.info(f"{theme.plain(view.layer)} does not write this {view.unit}. Choose another layer above.")
        return
    zeros = float(heard.zeros[view.channel])
    if not heard.varies(view.channel):
        value = float(heard.edges[view.channel, 0])
        st.info(f"It says {value:.3g} on every example and everywhere: it tells nothing.")
        return
    figure = channel_figures.activation_histogram(
        heard.edges[view.channel], heard.counts[view.channel], theme.palette()
    )
    st.plotly_chart(figure, config=figures.CONFIG)
    many = f" Each {view.unit} here is {heard.outputs} outputs, counted alike." if heard.outputs > 1 else ""
    st.caption(
        f"Its values after the activation, over examples and positions; **{zeros:.1%}** are exactly zero and not "
        f"drawn. A channel that is nearly always zero is silent.{many}"
    )


def meaning(view: View, dense: Evaluation) -> None:
    """What it goes with: classes, or the value to be predicted."""
    dataset = workspace.opened().dataset
    heard = view.heard
    targets = dense.split.targets
    st.subheader("What it goes with", anchor=False)
    if heard is None or not heard.varies(view.channel):
        st.info(theme.plain(view.not_heard) or "It never varies, so it goes with nothing.")
    elif dataset.task.is_classification:
        names = workspace.opened().dataset.names_of(dense.classes)
        means = class_means(heard, view.channel, targets, len(names))
        figure = channel_figures.class_means(means, names, theme.palette())
        st.plotly_chart(figure, config=figures.CONFIG)
        shown = channel_figures.MAX_CLASSES
        more = f" The {shown} classes with the highest means are shown." if len(names) > shown else ""
        st.caption(
            "Its mean value on the examples of each true class, with the 95% interval. One class far from the "
            f"rest: the channel is about that class.{more}"
        )
    else:
        means_ = heard.means[:, view.channel]
        figure = channel_figures.against_target(means_, targets, theme.palette(), unit=dataset.target_unit)
        st.plotly_chart(figure, config=figures.CONFIG)
        st.caption(
            f"Each dot is an example.{_correlation_words(means_.numpy(), targets.double().numpy())} A clear slope: "
            "the channel carries the answer."
        )


def _correlation_words(values: np.ndarray, targets: np.ndarray) -> str:
    if values.std() == 0 or targets.std() == 0:
        return ""
    return f" Correlation with the true value: **{np.corrcoef(values, targets)[0, 1]:+.2f}**."


def map_of(view: View) -> None:
    """All modules that lose something with the channel."""
    st.subheader("Where it sits", anchor=False)
    found = places(workspace.network(), view.group, view.channel)
    if not found:
        st.info(theme.plain(f"It cannot be taken out: {view.group.reason}."))
        return
    table = {
        "Module": [place.module for place in found],
        "Type": [place.type for place in found],
        "What goes": [
            f"{'output' if place.side == 'out' else 'what it reads:'} {_positions(place.positions)}"
            for place in found
        ],
    }
    st.dataframe(pd.DataFrame(table), hide_index=True)
    st.caption(
        f"Everything that is cut when this {view.unit} goes: rows of the layers that write it, columns of those that "
        "read it, and what lies between."
    )


def _positions(positions: tuple[int, ...]) -> str:
    if len(positions) > 2 and positions == tuple(range(positions[0], positions[-1] + 1)):
        return f"{positions[0]:,} to {positions[-1]:,}"
    more = f" and {len(positions) - _POSITIONS:,} more" if len(positions) > _POSITIONS else ""
    return ", ".join(f"{p:,}" for p in positions[:_POSITIONS]) + more
