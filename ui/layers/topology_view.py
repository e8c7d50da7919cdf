"""The topology of the network: units, links between them, and what leads nowhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st
from torch import Tensor

from analysis.inside.topology import LayerTopology, State, Topology
from analysis.pruning.plan import Plan
from ui import figures, theme, workspace
from ui.bench import dense_plan
from ui.layers import layer_facts, topology_figures

_FEW = 300  # links that can still be told apart as lines


def topology() -> None:
    """Units, links and what leads nowhere, of the plan's network or the dense one."""
    plan = workspace.bench().plan
    with st.spinner("Following the connections…"):
        before = layer_facts.topology_of(dense_plan(plan.network))
        after = layer_facts.topology_of(plan)
    changed = bool(after.total("removed") or after.total("gone"))
    _totals(before, after, plan, changed)
    names = [layer.name for layer in after.layers]
    most = max(after.layers, key=lambda layer: (layer.stranded, layer.nonzero)).name
    name = st.selectbox("Layer", names, index=names.index(most))
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True):
        _map(plan, after.layer(name))
    with right, st.container(border=True):
        _degrees(before.layer(name), after.layer(name), changed)
    with st.container(border=True):
        _table(after, changed)


def _totals(before: Topology, after: Topology, plan: Plan, changed: bool) -> None:
    """The network's sums as cards."""
    dense, left = before.total("nonzero"), after.total("nonzero")
    stranded, dead = after.total("stranded"), after.total("dead")
    removed, alone = after.total("removed"), after.total("removed_alone")
    columns = st.columns(5)
    columns[0].metric(
        "Units left", f"{after.units:,}", border=True,
        help=f"Output channels of all layers that are not removed as channels, of {before.units:,}.",
    )  # fmt: skip
    columns[1].metric(
        "Dead units", f"{dead:,}", border=True,
        help=f"Left, but at work for nothing: {after.total('deaf'):,} hear nothing of the input (directly or "
        f"through dead units), so that they say the same for every example ({after.total('constant'):,} of them "
        f"a constant that is not zero); {after.total('unheard'):,} are not heard in the answer.",
    )  # fmt: skip
    columns[2].metric("Connections left", theme.count(left), border=True, help=f"Of {dense:,} nonzero ones.")
    columns[3].metric(
        "Stranded", f"{_share(stranded, left)}", border=True,
        help=f"{stranded:,} of the connections left lie on no path from the input to the answer. "
        f"{stranded - after.total('constant_links'):,} of them can be removed and no answer changes; the others "
        "carry a constant, which has to be added to the next bias first.",
    )  # fmt: skip
    columns[4].metric(
        "At work", f"{_share(left - stranded, dense)}", border=True,
        help="Connections on a path from the input to the answer, of all those of the dense network: its "
        "effective density (Vysogorets & Kempe 2023).",
    )  # fmt: skip
    if not changed:
        what = "The dense network" if plan.is_dense else "The plan removes nothing: this is the dense network"
        st.caption(f"{what}. Prune, and what became dead or leads nowhere shows here.")
    elif not removed:
        st.caption("All connections of the units removed were zero before.")
    else:
        whole = ", as all do that go with whole channels" if after.total("gone") else ""
        st.caption(
            f"{_share(after.total('removed_live'), removed)} of the {removed:,} connections removed were on a path from "
            f"the input to the answer. {_share(alone, removed)} of them would be again if put back alone: the others "
            f"lost their path to other removals{whole}."
        )


def _map(plan: Plan, layer: LayerTopology) -> None:
    st.subheader(f"Links of {theme.plain(layer.name)}", anchor=False)
    states = layer_facts.states(plan, layer.name)
    palette = theme.palette()
    if max(states.shape) > topology_figures.MAX_LINKED:
        figure = topology_figures.link_shares(states, palette)
        words = "The share of links that are at work, by unit and input. Faint rows are units that hardly hear anything."
    else:
        few = int((states >= State.STRANDED).sum()) <= _FEW
        shape = st.segmented_control(
            "Drawn as", ["Lines", "Cells"], default="Lines" if few else "Cells", required=True,
            key=f"links:{layer.name}:{few}", label_visibility="collapsed",
        )  # fmt: skip
        if shape == "Lines":
            figure = topology_figures.link_map(states, layer, palette)
            words = "Left what the layer reads, right its units (a cross is a dead one); a line is a link."
        else:
            figure = topology_figures.link_cells(states, palette)
            words = "Each row is a unit, each column a channel that it may read."
        words += " Green is at work, orange is left but leads nowhere, grey is removed."
    st.plotly_chart(figure, config=figures.CONFIG)
    st.caption(words + (f" Paths are a bound: {theme.plain(layer.note)}." if layer.note else ""))


def _degrees(before: LayerTopology, after: LayerTopology, changed: bool) -> None:
    st.subheader("How well connected are its units?", anchor=False)
    left = ~after.gone.numpy()
    sides = [("links into a unit", before.links_in, after.links_in)]
    if before.links_out is not None and after.links_out is not None:
        sides.append(("links that read a unit", before.links_out, after.links_out))
    for title, was, now in sides:
        kept = now.numpy()[left] if changed else None
        figure = topology_figures.degrees(was.numpy(), kept, theme.palette(), x=title)
        st.plotly_chart(figure, config=figures.CONFIG, key=f"degrees:{title}")
    st.caption(
        "How many units have so many links, before (outlined) and after (filled), removed units left out. A pile at 0: "
        "units that hear nothing or that nobody reads."
        + ("" if after.links_out is not None else " Its units are the answer, so that no layer reads them.")
    )


def _table(after: Topology, changed: bool) -> None:
    """A row for each layer; what was removed only if something was."""
    st.subheader("Layer by layer", anchor=False)
    layers = after.layers
    columns: dict[str, tuple[list[float | None], str, int, str]] = {
        "Units": ([int((~layer.gone).sum()) for layer in layers], "localized", 60, "Output channels that are left."),
        "Deaf": (
            [int(layer.deaf.sum()) for layer in layers], "localized", 60,
            "Dead units that hear nothing: no path leads to them from the input.",
        ),
        "Unheard": (
            [int(layer.unheard.sum()) for layer in layers], "localized", 78,
            "Dead units that are not heard: no path leads from them to the answer.",
        ),
        "Connections": ([layer.nonzero for layer in layers], "localized", 100, "Nonzero weights left."),
        "Stranded": (
            [_percent(layer.stranded, layer.nonzero) for layer in layers], "%.1f%%", 80,
            "Share of the connections on no path from the input to the answer.",
        ),
    }  # fmt: skip
    if changed:
        columns["Removed"] = (
            [layer.removed for layer in layers], "localized", 80, "Nonzero weights that the plan removes.",
        )  # fmt: skip
        columns["Back"] = (
            [_percent(layer.removed_alone, layer.removed) for layer in layers], "%.0f%%", 58,
            "Share of those removed that would be on a path if put back alone.",
        )  # fmt: skip
    columns["In"] = (
        [_median(layer.links_in, layer) for layer in layers], "localized", 54,
        "Links into a unit: channels that each reads, median over the units left.",
    )  # fmt: skip
    columns["Out"] = (
        [_median(layer.links_out, layer) for layer in layers], "localized", 54,
        "Links of other layers that read each unit, median over the units left; none reads the answer's.",
    )  # fmt: skip
    table = pd.DataFrame(
        {"Layer": [layer.name for layer in layers]}
        | {name: pd.Series(values, dtype="Float64") for name, (values, *_) in columns.items()}
    )
    st.dataframe(
        table,
        hide_index=True,
        width="stretch",
        placeholder="–",
        column_config={"Layer": st.column_config.TextColumn(width=180)}
        | {
            name: st.column_config.NumberColumn(format=shape, width=width, help=words)
            for name, (_, shape, width, words) in columns.items()
        },
    )
    st.caption(
        "A link joins an input channel and a unit if any weight between them is not zero. Stranded connections lie on no "
        "path from the input to the answer; point at a column's name for what it counts. –: does not apply."
    )
    for note in dict.fromkeys(layer.note for layer in layers if layer.note):
        names = [layer.name for layer in layers if layer.note == note]
        st.caption(theme.plain(f"Paths are a bound in {layer_facts.some(names)}: {note}."))


def _median(values: Tensor | None, layer: LayerTopology) -> float | None:
    """Over the units that are left; None for a layer that no layer reads."""
    if values is None or bool(layer.gone.all()):
        return None
    return float(np.median(values.numpy()[~layer.gone.numpy()]))


def _percent(part: int, whole: int) -> float | None:
    return 100 * part / whole if whole else None


def _share(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "none"
