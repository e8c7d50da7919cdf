"""The session: chosen network, data, plan, trials. Every session key lives here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import streamlit as st
from torch import Tensor

import sample_models
from analysis.errors import PrunescopeError
from analysis.history import Trial
from analysis.importance import Scores
from analysis.measure import Measurement
from analysis.network import Network
from analysis.pruning.plan import Plan, check_plan, make_plan, uniform_plan
from sample_models import Sample
from ui import computed, theme
from ui.bench import Bench, Control, dense_plan
from ui.computed import Progress, silent
from ui.navigation import enter

NETWORK = "network"
IMAGES = "images"
WAY = "way"
COST = "cost"
PLAN_FILE = "plan_file"
_BENCHES = "benches"
_NOTICE = "notice"
_LOADED = "loaded_plan_file"
_SIBLINGS = "sibling_curves"

IMAGE_CHOICES = (1000, 2000)  # and all; the first is the default, which answers within a second


def control_key(control: Control, *parts: str) -> str:
    """The widget key of a control of the plan: new whenever something else changed the plan."""
    return ":".join((control, network_name(), str(bench().revision(control)), *parts))


def is_current(control: Control, key: str) -> bool:
    """True if `key` belongs to the control as drawn last.

    When a run is interrupted Streamlit may call callbacks of widgets that did not change, and of widgets
    that are gone. Callbacks check this, and do nothing if the plan already says what the widget says.
    """
    return key.split(":")[:3] == control_key(control).split(":")


def keep(key: str) -> None:
    """Carry a widget's value over a page switch, which would drop it."""
    if key in st.session_state:
        st.session_state[key] = st.session_state[key]


def network_name() -> str:
    """The chosen sample network."""
    if NETWORK not in st.session_state:
        enter()
    return st.session_state[NETWORK]


def sample() -> Sample:
    """The chosen network with its data and card."""
    return sample_models.load(network_name())


def network() -> Network:
    """The chosen network, dense."""
    return sample().network


def bench() -> Bench:
    """This session's state for the chosen network."""
    benches = st.session_state.setdefault(_BENCHES, {})
    name = network_name()
    if name not in benches:
        benches[name] = Bench(dense_plan(name))
    return benches[name]


def image_count() -> int:
    """How many evaluation examples are used."""
    available = len(sample().dataset.evaluation)
    return min(available, st.session_state.get(IMAGES) or IMAGE_CHOICES[0])


def dense() -> Measurement:
    """The dense network's measurement."""
    return computed.measurement(dense_plan(network_name()), image_count())


def measured(plan: Plan) -> Measurement:
    """The measurement of a plan on the chosen examples; kept as a trial of this session."""
    plan = _canonical(plan)
    state = bench()
    measurement = computed.measurement(plan, image_count())
    trial = Trial(plan, measurement, state.done[-1] if state.done else None)
    state.trials.setdefault((plan, image_count()), trial)
    return measurement


def trials() -> list[Trial]:
    """This session's trials that were measured on the examples chosen now, oldest first."""
    return [trial for (_, images), trial in bench().trials.items() if images == image_count()]


def current_trial(known: list[Trial]) -> int | None:
    """The position of the plan in force among `known`."""
    plan = _canonical(bench().plan)
    return next((i for i, trial in enumerate(known) if trial.plan == plan), None)


def scores(criterion: str, progress: Progress = silent) -> Scores:
    """Scores of the chosen network."""
    return computed.scores(network_name(), criterion, progress)


def set_ratios(ratios: dict[str, float], *, by: Control) -> None:
    """Put new ratios in force, with the criterion and granularity in hand."""
    state = bench()
    state.move(make_plan(network(), state.criterion, state.granularity, ratios), by=by)


def prune_everything(ratio: float) -> None:
    """Cut every target of the granularity in hand alike."""
    state = bench()
    state.move(uniform_plan(network(), state.criterion, state.granularity, ratio))


def check_plan_fits(plan: Plan) -> None:
    """Refuse a plan that the chosen network cannot carry out.

    Raises
    ------
    PrunescopeError
        If it is for another network, or its criterion cannot rank a target.
    """
    check_plan(plan, network())
    computed.pruned(plan)


def is_new_upload(file_id: str) -> bool:
    """True the first time an uploaded file is met: the uploader keeps it over reruns."""
    seen = st.session_state.get(_LOADED) == file_id
    st.session_state[_LOADED] = file_id
    return not seen


def attributions(
    method: str, layer: str | None, indices: tuple[int, ...], progress: Progress = silent
) -> tuple[Tensor, Tensor]:
    """Attributions of evaluation examples by the dense network and by the plan in force."""
    plans = (dense_plan(network_name()), bench().plan)
    before, after = (
        computed.attributions(
            plan, method, layer, indices, image_count(), lambda share, i=i: progress((i + share) / 2)
        )
        for i, plan in enumerate(plans)
    )
    return before, after


def sibling_curves(key: object) -> Any:
    """The curves kept for `key`, or None."""
    stored = st.session_state.get(_SIBLINGS)
    return stored[1] if stored and stored[0] == key else None


def keep_sibling_curves(key: object, curves: object) -> None:
    """Keep curves until others are measured."""
    st.session_state[_SIBLINGS] = (key, curves)


def notice(message: str) -> None:
    """Keep a message for the next run of the page (callbacks cannot draw)."""
    st.session_state[_NOTICE] = message


def show_notice() -> None:
    """Draw the kept message once."""
    message = st.session_state.pop(_NOTICE, None)
    if message:
        st.error(theme.plain(message))


def run_with_progress(label: str, compute: Callable[[Progress], object]) -> None:
    """Run a computation under a progress bar that leaves no trace; a refusal becomes a sentence."""
    place = st.empty()

    def report(share: float) -> None:
        place.progress(min(1.0, share), text=label)

    try:
        compute(report)
    except PrunescopeError as error:
        place.empty()
        st.error(theme.plain(str(error)))
        st.stop()
    place.empty()


def _canonical(plan: Plan) -> Plan:
    """There is one dense network, whatever the criterion in hand."""
    return dense_plan(plan.network) if plan.is_dense else plan
