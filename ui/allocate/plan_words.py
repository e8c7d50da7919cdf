"""Plans in a few words, and what they leave of a network, for the views that choose among plans."""

from __future__ import annotations

import streamlit as st

from analysis.importance.registry import criterion_label
from analysis.measure.cost import cost
from analysis.measure.measurement import Numbers
from analysis.pruning.plan import Plan
from analysis.tasks import Metric
from ui import computed, theme
from ui.bench import by_hand_words


def plan_words(plan: Plan, numbers: Numbers | None = None, metric: Metric | None = None) -> str:
    """What a plan cuts, and what was measured of it: channels by L1 |w|, 7 targets by 34% on average: 91.2%."""
    parts = []
    for granularity in ("channel", "weight"):
        ratios = plan.ratios_of(granularity)
        if ratios:
            targets = f"{len(ratios)} target{'s' if len(ratios) > 1 else ''}"
            mean = sum(ratios.values()) / len(ratios)
            parts.append(
                f"{granularity}s of {targets} by {mean:.0%}{' on average' if len(ratios) > 1 else ''}"
            )
    if picked := by_hand_words(plan):
        parts.append(picked)
    label = criterion_label(plan.criterion)
    words = f"{' and '.join(parts) or 'nothing'} ({label})" + (", recovered" if plan.recovered else "")
    if numbers is None or metric is None:
        return words
    return f"{words}: {theme.number(numbers.headline.value, metric)}, {theme.count(numbers.cost.parameters)} parameters"


def what_is_left(plan: Plan) -> None:
    """What a plan leaves of its network, counted on the network that it gives."""
    after, before = cost(computed.pruned(plan)), cost(computed.pruned(Plan(plan.network, plan.criterion)))
    counts = (
        ("Parameters", after.parameters, before.parameters),
        ("MACs", after.macs, before.macs),
        ("Nonzero connections", after.nonzero_connections, before.nonzero_connections),
    )
    for column, (label, value, whole) in zip(st.columns(3), counts, strict=True):
        column.metric(label, theme.count(value), border=True, **theme.saving_look(value, whole))
