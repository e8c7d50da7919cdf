"""The choices of the Export page: which network leaves, and in which formats."""

from __future__ import annotations

import streamlit as st

from analysis.export.registry import FORMATS
from analysis.measure import Measurement
from analysis.pruning.plan import Plan
from ui import theme, workspace
from ui.bench import dense_plan
from ui.recover import taking


def network() -> Plan:
    """The plan of the network that leaves: the one in force, the same without its recovery, or the dense one."""
    plan, dense = workspace.bench().plan, dense_plan(workspace.network_name())
    if plan.is_dense:
        st.caption(
            "Nothing is pruned, so the dense network leaves. Move a slider on the Prune page to export a smaller one."
        )
        return dense
    ways = {"Recovered": plan, "As it was pruned": plan.as_pruned} if plan.recovered else {"Pruned": plan}
    ways["Dense"] = dense
    chosen = st.segmented_control(
        "Which network leaves", list(ways), default=next(iter(ways)), required=True,
        key=f"export:network:{workspace.network_name()}:{':'.join(ways)}", persist_state="session",
    )  # fmt: skip
    assert chosen is not None
    if ways[chosen].recovered:
        st.caption(f"Recovered: {taking.history_words(plan)}.")
    return ways[chosen]


def cards(now: Measurement, dense: Measurement) -> None:
    """The figures of the network that leaves, against the dense one."""
    metric = now.evaluation.task.headline
    figures = (
        ("Parameters", theme.count, now.cost.parameters, dense.cost.parameters),
        (
            "Nonzero connections",
            theme.count,
            now.cost.nonzero_connections,
            dense.cost.nonzero_connections,
        ),
        ("Bytes, best lossless", theme.bytes_text, now.size.best, dense.size.best),
    )
    columns = st.columns(1 + len(figures))
    columns[0].metric(
        metric.label, theme.number(now.headline.value, metric), border=True, height="stretch",
        help=theme.plain(f"95% interval {theme.interval(now.headline, metric)}, on {now.evaluation.split.origin}."),
        **(theme.delta_look(now.change[metric.key], metric) if now.change else {}),
    )  # fmt: skip
    for column, (label, text, value, whole) in zip(columns[1:], figures, strict=True):
        look = theme.saving_look(value, whole) if now.change else {}
        column.metric(label, text(value), border=True, height="stretch", **look)


def formats() -> list[str]:
    """The names of the formats that are ticked, each with a sentence on what it is for."""
    chosen = []
    with st.container(border=True):
        st.subheader("Formats", anchor=False)
        for entry in FORMATS.values():
            left, right = st.columns([1, 3], vertical_alignment="center")
            key = f"export:format:{entry.name}"
            if left.checkbox(entry.label, value=True, key=key, persist_state="session"):
                chosen.append(entry.name)
            right.caption(entry.sentence)
    return chosen
