"""The prune console at work: what the browser says goes in, the next reading comes out."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

import streamlit as st

from analysis.errors import PrunescopeError
from analysis.live import Reading
from analysis.pruning.plan import Plan
from analysis.sensitivity import curves_of, predict
from ui import computed, console_data, moves, plans, sweeps, theme, workspace
from ui.bench import Bench, cut_words, dense_plan, other
from ui.prune_console import prune_console
from ui.ways import WAYS

_SLICE_SECONDS = 0.08  # how long one run of the page may refine, so that the next move is heard soon
_KEY = "prune_console"
_FEW = 3  # predictions, before their average error is worth a word


def draw() -> None:
    """The console, in a fragment of its own that ticks while sensitivities are being measured.

    To be called where the numbers of the plan in force are about to be drawn.
    """
    workspace.note_drawn(workspace.bench().plan)
    st.fragment(_draw, run_every=1.0 if sweeps.current() else None)()


def _draw() -> None:
    if workspace.take_channel_wish():
        st.switch_page("pages/channel.py")
    if workspace.take_page_wish():
        st.rerun()
    state = workspace.bench()
    try:
        reading = _reading(state)
    except PrunescopeError as error:
        workspace.notice(f"{error} Undo brings the last plan back.")
        reading = None
    if reading is not None and reading.is_exact:
        _learn(state, reading)
        workspace.remember_plan()
    prune_console(_data(state, reading), key=_KEY, on_events=_hear)


def _hear() -> None:
    events = st.session_state[_KEY].get("events")
    if moves.handle(events):
        workspace.wish_for_page()


def _reading(state: Bench) -> Reading | None:
    """The next reading of the plan in force: the first at once, then as many as fit into a slice of time."""
    images = workspace.image_count()
    gauge = computed.gauge(state.plan.network, images)
    if state.plan.is_dense:
        return gauge.dense_reading()
    if state.plan.recovered:
        return gauge.exact_reading(computed.measurement(state.plan, images).headline.value)
    near = state.done[-1] if state.done else None
    run = computed.run(state.plan, images, state.hand, near)
    if run.reading is None:
        return run.advance()
    start = time.perf_counter()
    reading = run.reading
    while not reading.is_exact and time.perf_counter() - start < _SLICE_SECONDS:
        reading = run.advance()
    return reading


def _learn(state: Bench, reading: Reading) -> None:
    """Compare an exact value with what had been predicted, once, and predict from it henceforth."""
    if state.plan.recovered or (state.anchor is not None and state.anchor[0] == state.plan):
        return  # the next move begins at the weights as loaded: recovered ones foretell nothing of it
    predicted = _prediction(state)
    if predicted is not None:
        state.misses.append(abs(predicted - reading.value.value))
    state.anchor = (state.plan, reading.value.value)


def _prediction(state: Bench) -> float | None:
    """What the curves foretell; nothing of channels picked since the last exact plan."""
    if state.plan.picks and _anchor(state) is None:
        return None
    gauge = computed.gauge(workspace.network_name(), workspace.image_count())
    return predict(
        curves_of(sweeps.points()),
        state.plan.ratios_of(state.granularity),
        dense=gauge.dense_headline,
        floor=gauge.floor,
        anchor=_anchor(state),
    )


def _anchor(state: Bench) -> tuple[dict[str, float], float] | None:
    """The last exact plan, if it was cut in the way that is in hand."""
    if state.anchor is None:
        return None
    plan, value = state.anchor
    rest = other(state.granularity)
    same_rest = plan.ratios_of(rest) == state.plan.ratios_of(rest) and plan.picks == state.plan.picks
    fits = same_rest and (plan.is_dense or plan.criterion == state.criterion)
    return (plan.ratios_of(state.granularity), value) if fits else None


def _data(state: Bench, reading: Reading | None) -> dict[str, Any]:
    name, images = workspace.network_name(), workspace.image_count()
    beneath = state.plan.only("channel") if state.granularity == "weight" else dense_plan(name)
    picks = state.plan.picks if state.granularity == "channel" else ()
    base = computed.console_base(name, state.criterion, state.granularity, beneath, picks)
    gauge = computed.gauge(name, images)
    dense = computed.measurement(dense_plan(name), images)
    way = WAYS[workspace.way()]
    metric = gauge.task.headline
    return {
        "id": f"{name}|{images}|{state.criterion}|{state.granularity}|{way.label}|{hash(beneath)}",
        "granularity": state.granularity,
        "metric": {"label": metric.label, "percent": metric.percent},
        "noun": f"test {workspace.opened().dataset.noun}",
        "way": {"label": way.label, "unit": way.unit},
        "rows": base.rows,
        "refused": base.refused,
        "ledger": base.ledger,
        "dense": {
            "value": gauge.dense_headline,
            "parameters": dense.cost.parameters,
            "macs": dense.cost.macs,
            "nonzero": dense.cost.nonzero_connections,
        },
        "floor": gauge.floor,
        "curves": console_data.curves(sweeps.points()),
        "state": _state_data(state, reading),
        "reading": _reading_data(reading),
        "prediction": _prediction_words(state),
        "message": workspace.take_notice(),
        "palette": {k: v for k, v in asdict(theme.palette()).items() if isinstance(v, str)},
    }


def _state_data(state: Bench, reading: Reading | None) -> dict[str, Any]:
    anchor = _anchor(state)
    return {
        "ack": state.handled,
        "ratios": state.plan.ratios_of(state.granularity),
        "picked": bool(state.plan.picks),
        "beside": cut_words(state.plan, other(state.granularity)),
        "locked": sorted(state.locked),
        "anchor": {"ratios": anchor[0], "value": anchor[1]} if anchor else None,
        "can_undo": bool(state.done),
        "can_redo": bool(state.undone),
        "unsettled": reading is not None and reading.is_exact and not workspace.is_drawn(state.plan),
        "typed": _typed(state),
        "nonzero": _nonzero(state.plan),
    }


def _typed(state: Bench) -> dict[str, float]:
    """The thresholds that the present ratios stand for; ratios need no help."""
    way = WAYS[workspace.way()]
    if "threshold" not in way.label:
        return {}
    return {
        target: way.from_ratio(plans.values_to_rank(target), ratio, state.granularity)
        for target, ratio in state.plan.ratios_of(state.granularity).items()
    }


def _nonzero(plan: Plan) -> int | None:
    """Nonzero connections if ratios of weights lie between whole percents."""
    if all(round(100 * r, 6).is_integer() for r in plan.ratios_of("weight").values()):
        return None
    network = computed.pruned(plan)
    return sum(int(network.weight(layer.name).count_nonzero()) for layer in network.layers)


def _reading_data(reading: Reading | None) -> dict[str, Any] | None:
    if reading is None:
        return None
    return {
        **asdict(reading.value),
        "examples": reading.examples,
        "total": reading.total,
        "exact": reading.is_exact,
    }


def _prediction_words(state: Bench) -> str:
    """How good past predictions were, in words."""
    if len(state.misses) < _FEW:
        return ""
    metric = workspace.opened().dataset.task.headline
    mean = sum(state.misses) / len(state.misses)
    size = f"{100 * mean:.1f} points" if metric.percent else f"{mean:.3f}"
    return f"off by {size} on average so far"
