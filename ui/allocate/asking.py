"""What is asked of an allocation: the goal, what may be cut by which criterion, and how far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import RLock

import streamlit as st
from cachetools import LRUCache, cached

from analysis.allocation.costs import dense_value
from analysis.allocation.feasibility import Feasibility, feasibility
from analysis.allocation.goals import GOALS, Goal, in_words
from analysis.allocation.methods.greedy import ORDERS, Order
from analysis.allocation.problem import CAP, make_problem
from analysis.allocation.registry import METHODS
from analysis.allocation.repaired_curves import usual_repair
from analysis.importance import CRITERIA, suits
from analysis.pruning.plan import GRANULARITIES, Granularity, targets
from analysis.recovery.pruned import LEAST
from analysis.sensitivity import COARSE, FINE, Sensitivity, curves_of, missing_ratios, rankable
from ui import computed, services, theme, workspace

ORDER_LABELS: Mapping[Order, str] = {
    "smallest-loss": "smallest loss first",
    "leaf-first": "leaf first (from the output back)",
    "by-layer": "by layer (from the input on)",
}
_LEFT = 50  # % of a cost, at first
_POINTS = 2.0  # that may be lost, at first
_STEPS_OF_CHANGE = 0.01  # of a metric that is not in percent


@dataclass(frozen=True)
class Asked:
    """What the user asked for.

    `held` are the ratios of the targets that are locked in the Prune console; `repaired` says that all is measured
    after a quick repair.
    """

    goal: Goal
    granularity: Granularity
    criterion: str
    methods: tuple[str, ...]
    order: Order
    cap: float
    held: Mapping[str, float] = field(default_factory=dict)
    repaired: bool = False

    @property
    def subject(self) -> tuple[str, int, str, Granularity]:
        """What its sensitivity curves are kept under."""
        return workspace.network_name(), workspace.image_count(), self.criterion, self.granularity


def ask() -> Asked:
    """Draw the choices and return them."""
    with st.container(border=True):
        goal_side, cut_side = st.columns([3, 2], gap="large")
        with cut_side:
            granularity, criterion, cap = cuts()
        with goal_side:
            goal = _goal()
            methods, order = _methods()
        with cut_side:
            repaired = _repaired(goal)
    held = locked(granularity)
    show_locked(held)
    return Asked(goal, granularity, criterion, methods, order, cap, held, repaired)


def locked(granularity: Granularity) -> dict[str, float]:
    """The targets that are locked in the console, with their ratios in the plan in force."""
    state = workspace.bench()
    ratios = state.plan.ratios_of(granularity)
    return {t: ratios.get(t, 0.0) for t in targets(workspace.network(), granularity) if t in state.locked}


def show_locked(held: Mapping[str, float]) -> None:
    """Say which targets are left as they are, if there are any."""
    if held:
        names = ", ".join(theme.plain(name) for name in list(held)[:4]) + (" …" if len(held) > 4 else "")
        st.caption(f"Locked on the Prune page, and left as they are there: {names}.")


def judged(asked: Asked) -> Feasibility:
    """Whether the goal can be met at all, and why."""
    held = tuple(sorted(asked.held.items()))
    name, images = workspace.network_name(), workspace.image_count()
    return _judged(name, images, asked.goal, asked.granularity, asked.criterion, asked.cap, held)


def known_points(asked: Asked) -> list[Sensitivity]:
    """What is known of the targets' sensitivity as cut, from any session and page."""
    return services.store().sensitivities(computed.sweep_subject(*asked.subject))


def missing_points(asked: Asked) -> int:
    """How many points the methods that read curves still need, at most."""
    if not any(METHODS[name].needs_curves for name in asked.methods):
        return 0
    network, scores = workspace.network(), workspace.scores(asked.criterion)
    dense = computed.gauge(workspace.network_name(), workspace.image_count()).dense_headline
    curves = curves_of([] if asked.repaired else known_points(asked))
    return sum(
        len(COARSE + FINE) - len(curves.get(target, {}))
        for target in rankable(network, scores, asked.granularity)
        if missing_ratios(curves.get(target, {}), dense)
    )


@cached(LRUCache(64), lock=RLock())
def _judged(
    name: str,
    images: int,
    goal: Goal,
    granularity: Granularity,
    criterion: str,
    cap: float,
    held: tuple[tuple[str, float], ...],
) -> Feasibility:
    gauge, scores = computed.gauge(name, images), computed.scores(name, criterion)
    return feasibility(make_problem(gauge, scores, granularity, cap=cap, held=dict(held)), goal)


def _goal() -> Goal:
    metric = workspace.opened().dataset.task.headline
    labels = {
        kind: about.label if about.is_cost else f"{metric.label} at least" for kind, about in GOALS.items()
    }
    kind = st.selectbox(
        "Goal", list(GOALS), format_func=labels.__getitem__, key="allocate:goal", persist_state="session",
    )  # fmt: skip
    about = GOALS[kind]
    if about.is_cost:
        left = st.slider(
            f"{about.label} left of the dense network's (%)", 1, 100, _LEFT, key=f"allocate:left:{kind}",
            persist_state="session", help=about.sentence,
        )  # fmt: skip
        st.caption(_cost_words(kind, left / 100))
        return Goal(kind, left / 100)
    dense = workspace.dense().headline.value
    if metric.percent:
        lost = st.slider(
            f"Points of {metric.label.lower()} that may be lost", 0.0, 30.0, _POINTS, 0.5,
            key="allocate:points", persist_state="session", help=about.sentence,
        )  # fmt: skip
        floor = dense - lost / 100
    else:
        lost = st.slider(
            f"{metric.label} that may be lost", 0.0, 0.5, 5 * _STEPS_OF_CHANGE, _STEPS_OF_CHANGE,
            key="allocate:change", persist_state="session", help=about.sentence,
        )  # fmt: skip
        floor = dense - lost
    st.caption(
        f"{metric.label} of at least {theme.number(floor, metric)} (the dense network has {theme.number(dense, metric)}): "
        "each method goes as far as that allows."
    )
    return Goal(kind, floor)


def _cost_words(kind: str, share: float) -> str:
    if kind == "latency":
        now = workspace.dense().latency.median
        return f"At most {share * now:.2f} ms of {now:.2f} ms, timed against the dense network in the same moments."
    whole = dense_value(workspace.network(), kind)
    text = theme.bytes_text if kind.endswith("bytes") else theme.count
    unit = "" if kind.endswith("bytes") else f" {in_words(kind)}"
    return f"At most {text(share * whole)} of {text(whole)}{unit}."


def cuts() -> tuple[Granularity, str, float]:
    granularity: Granularity = st.segmented_control(
        "Remove", GRANULARITIES, default="channel", required=True, format_func=lambda g: f"{g}s",
        key="allocate:granularity", persist_state="session",
        help="Channels are cut out, and the network gets smaller and faster. Weights become zero one by one.",
    )  # fmt: skip
    fitting = [
        c.name
        for c in CRITERIA.values()
        if (granularity == "channel" or c.unit == "weight") and suits(c, workspace.network())
    ]
    criterion = st.selectbox(
        "Criterion", fitting, index=fitting.index("l1"), format_func=lambda n: CRITERIA[n].label,
        key=f"allocate:criterion:{workspace.network_name()}:{granularity}", persist_state="session",
        help="What goes first within a target. Its ranking is the same for every method.",
    )  # fmt: skip
    cap = st.slider(
        "No target loses more than (%)", 10, 99, round(100 * CAP), key="allocate:cap", persist_state="session",
        help="A layer that is cut almost whole lets nothing through.",
    )  # fmt: skip
    return granularity, criterion, cap / 100


def _repaired(goal: Goal) -> bool:
    """Whether cuts are repaired before they are measured; a quality to keep is one as cut."""
    repair = usual_repair(workspace.network())
    calibration = len(workspace.opened().dataset.calibration)
    if calibration < LEAST:
        st.caption(
            f"Measured as cut: a quick repair learns from calibration examples, and there are {calibration:,}."
        )
        return False
    chosen = st.toggle(
        "Measure after a quick repair", True, key="allocate:repaired", persist_state="session",
        disabled=not goal.about.is_cost,
        help=f"Right after a cut most networks look broken, and little of that is lost for good. With this, sensitivities and "
        f"proposals are measured after {repair}, which takes a second and no training: that says better what recovery "
        "cannot bring back. Plans are opened with the repaired weights.",
    )  # fmt: skip
    return bool(chosen) and goal.about.is_cost


def _methods() -> tuple[tuple[str, ...], Order]:
    methods = st.pills(
        "Methods", list(METHODS), selection_mode="multi", default=list(METHODS),
        format_func=lambda name: METHODS[name].label, key="allocate:methods", persist_state="session",
        wrap=True,
    )  # fmt: skip
    order: Order = st.selectbox(
        "Order of the greedy method", ORDERS, format_func=ORDER_LABELS.__getitem__, key="allocate:order",
        persist_state="session", disabled="greedy" not in methods,
        help="Which target is cut next: the one that loses least for what it saves, or one after the other in rounds of "
        "rising tolerance.",
    )  # fmt: skip
    return tuple(name for name in METHODS if name in methods), order
