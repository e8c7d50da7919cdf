"""The session: chosen network, data, plan, trials. Every session key lives here."""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from analysis.errors import PrunescopeError
from analysis.explain.attribution import Attribution
from analysis.explain.question import Question
from analysis.history.tree import lineage
from analysis.importance import Scores
from analysis.importance.registry import find_criterion
from analysis.measure import Measurement
from analysis.network import Network
from analysis.pruning.plan import Plan, check_plan
from analysis.pruning.plan_json import key_of
from analysis.recovery.keep import keep_here
from analysis.sources import Opened
from analysis.store import StoreError
from ui import computed, library, services, theme
from ui.bench import Bench, canonical, dense_plan
from ui.computed import Progress, silent
from ui.navigation import enter
from ui.ways import WAYS

NETWORK = "network"
IMAGES = "images"
WAY = "way"
MULTIPLE = "multiple"
COST = "cost"
PLAN_FILE = "plan_file"
HISTORY_PARAMETER = "history"
_HISTORY = "history"
_BENCHES = "benches"
_NOTICE = "notice"
_UNKEPT = "unkept"
_WISH = "page_wish"
_CHANNELS = "channels"
_TRIALS = "chosen_trials"
_CHANNEL_WISH = "channel_wish"
_DRAWN = "drawn_plan"
_LOADED = "loaded_plan_file"
_RESULT = "result:"
_NEXT = "next_network"
_BROUGHT = "brought_network"

Found = TypeVar("Found")

MULTIPLES = (1, 8, 16)  # of channels that are kept
_UNDO_KEPT = 50  # moves that a refreshed page can take back
IMAGE_CHOICES = (1000, 2000)  # and all; the first is the default, which answers within a second


def choice_key(name: str, value: str) -> str:
    """The key of a widget that chooses part of a plan: it carries the choice in force.

    So the widget is drawn anew when something else changes the choice, and a callback that Streamlit
    calls late, for a widget that is gone, is told apart.
    """
    return ":".join((name, network_name(), value))


def keep(key: str) -> None:
    """Carry a widget's value over a page switch, which would drop it."""
    if key in st.session_state:
        st.session_state[key] = st.session_state[key]


def network_name() -> str:
    """The chosen network."""
    if NETWORK not in st.session_state:
        enter()
    return st.session_state[NETWORK]


def choose_among(names: Sequence[str]) -> None:
    """Let the chosen network be one of `names`: the one of the page's address, or else the first.

    The choice comes from a browser, so it is looked up each time.
    """
    asked = st.session_state.pop(_NEXT, None) or st.session_state.get(NETWORK) or st.query_params.get(NETWORK)
    if asked not in names:
        st.session_state[NETWORK] = names[0]
        if asked:
            notice(
                f"There is no network called {asked!r} here, so {names[0]} is shown. Choose another in the "
                "sidebar."
            )
    else:
        st.session_state[NETWORK] = asked  # also carries it over a page switch


def note_brought(name: str, gone: tuple[str, ...], *, grown: bool = False) -> None:
    """Choose a network that was just brought, or grown here, from the next run on; `gone` had to make room for it."""
    st.session_state[_NEXT] = name
    st.session_state[_BROUGHT] = (name, gone, grown)


def just_brought(*, grown: bool = False) -> tuple[str, ...] | None:
    """If the chosen network is the one brought (or grown here) last: the names of those that made room for it."""
    name, gone, was_grown = st.session_state.get(_BROUGHT, (None, (), False))
    return gone if (name, was_grown) == (network_name(), grown) else None


def title() -> str:
    """The chosen network's name, for people."""
    return library.title(network_name())


def opened() -> Opened:
    """The chosen network with its data and card."""
    return library.load(network_name())


def network() -> Network:
    """The chosen network, dense."""
    return opened().network


def bench() -> Bench:
    """This session's state for the chosen network; what the store knows of it is brought back once."""
    benches = st.session_state.setdefault(_BENCHES, {})
    name = network_name()
    if name not in benches:
        benches[name] = _restored(name)
    return benches[name]


def history() -> str:
    """The name under which this session's trials are kept; the page's address carries it."""
    if _HISTORY not in st.session_state:
        asked = st.query_params.get(HISTORY_PARAMETER, "")
        fresh = secrets.token_hex(16)
        st.session_state[_HISTORY] = asked if re.fullmatch("[0-9a-f]{12,32}", asked) else fresh
    return st.session_state[_HISTORY]


def note_presence() -> None:
    """Tell the job runner that somebody is here."""
    context = get_script_run_ctx()
    if context is not None:
        services.note_presence(history(), context.session_id)


def remember_plan() -> None:
    """Keep the plan in force for a refreshed page."""
    state = bench()
    if state.plan != state.kept_plan and is_kept(lambda: services.store().put_plan(history(), state.plan)):
        state.kept_plan = state.plan


def is_kept(write: Callable[[], object]) -> bool:
    """False, with a word for the sidebar, if the store cannot be written: what was measured is shown all the same."""
    try:
        write()
    except StoreError as error:
        st.session_state[_UNKEPT] = str(error)
        return False
    st.session_state.pop(_UNKEPT, None)
    return True


def store_problem() -> str:
    """Why what this session does is not kept; empty if it is."""
    return services.store_problem() or st.session_state.get(_UNKEPT, "")


def image_count() -> int:
    """How many evaluation examples are used."""
    available = len(opened().dataset.evaluation)
    if available <= IMAGE_CHOICES[-1]:
        return available  # the sidebar offers no choice
    return min(available, st.session_state.get(IMAGES) or IMAGE_CHOICES[0])


def dense() -> Measurement:
    """The dense network's measurement."""
    return computed.measurement(dense_plan(network_name()), image_count())


def removes_nothing() -> bool:
    """True if the plan in force leaves every weight, be it dense or too small to remove anything."""
    return not any(bool(mask.any()) for mask in computed.removed(bench().plan).values())


def chosen_trials() -> tuple[int, ...]:
    """The ids of the trials that the History page is about."""
    return st.session_state.get(_TRIALS, {}).get(network_name(), ())


def choose_trials(numbers: Sequence[int]) -> None:
    """Let the History page be about these trials."""
    st.session_state.setdefault(_TRIALS, {})[network_name()] = tuple(numbers)


def scores(criterion: str, progress: Progress = silent) -> Scores:
    """Scores of the chosen network."""
    return computed.scores(network_name(), criterion, progress)


def way() -> str:
    """How cuts are typed: a label of :data:`ui.ways.WAYS`."""
    return st.session_state.get(WAY) or next(iter(WAYS))


def chosen_channel() -> tuple[str, int, str]:
    """The group, channel and member layer that the Channel page is about; at first the largest group's."""
    default = max(network().groups, key=lambda g: (g.is_prunable, g.size))
    known = st.session_state.get(_CHANNELS, {}).get(network_name())
    return known or (default.name, 0, default.members[0])


def choose_channel(group: str, channel: int, layer: str | None = None) -> None:
    """Let the Channel page be about a channel, heard behind a member layer (default: the first)."""
    layer = layer or network().group(group).members[0]
    st.session_state.setdefault(_CHANNELS, {})[network_name()] = (group, channel, layer)


def wish_for_channel() -> None:
    """Ask, from a fragment's callback, for the Channel page."""
    st.session_state[_CHANNEL_WISH] = True


def take_channel_wish() -> bool:
    """True once after the Channel page was wished for."""
    return bool(st.session_state.pop(_CHANNEL_WISH, False))


def is_new_upload(file_id: str) -> bool:
    """True the first time an uploaded file is met: the uploader keeps it over reruns."""
    seen = st.session_state.get(_LOADED) == file_id
    st.session_state[_LOADED] = file_id
    return not seen


def attributions(question: Question, progress: Progress = silent) -> tuple[Attribution, Attribution]:
    """Attributions of evaluation examples by the dense network and by the plan in force."""
    before, after = (
        computed.attributions(plan, question, image_count(), lambda share, i=i: progress((i + share) / 2))
        for i, plan in enumerate((dense_plan(network_name()), bench().plan))
    )
    return before, after


def known_attributions(question: Question) -> tuple[Attribution, Attribution] | None:
    """The attributions of both networks if they were computed already; else None."""
    before, after = (
        computed.known_attributions(plan, question, image_count())
        for plan in (dense_plan(network_name()), bench().plan)
    )
    return (before, after) if before is not None and after is not None else None


def kept_result(name: str, key: object) -> Any:
    """What was computed on demand under `name` for `key`, or None."""
    stored = st.session_state.get(_RESULT + name)
    return stored[1] if stored and stored[0] == key else None


def keep_result(name: str, key: object, value: object) -> None:
    """Keep a result until one for another key takes its place."""
    st.session_state[_RESULT + name] = (key, value)


def notice(message: str) -> None:
    """Keep a message for the next run of the page (callbacks cannot draw)."""
    st.session_state[_NOTICE] = message


def take_notice() -> str:
    """The kept message, once; empty if there is none."""
    return st.session_state.pop(_NOTICE, "")


def show_notice() -> None:
    """Draw the kept message once."""
    if message := take_notice():
        st.error(theme.plain(message))


def wish_for_page() -> None:
    """Ask, from a fragment's callback, for the whole page to be drawn anew."""
    st.session_state[_WISH] = True


def take_page_wish() -> bool:
    """True once after the page was wished for."""
    return bool(st.session_state.pop(_WISH, False))


def note_drawn(plan: Plan) -> None:
    """Remember that the page shows the numbers of `plan`."""
    st.session_state[_DRAWN] = (plan, image_count())


def is_drawn(plan: Plan) -> bool:
    """True if the page shows the numbers of `plan`."""
    return st.session_state.get(_DRAWN) == (plan, image_count())


def run_with_progress(label: str, compute: Callable[[Progress], object]) -> None:
    """Run a computation under a progress bar that leaves no trace; a refusal becomes a sentence."""
    try:
        with_progress(label, compute)
    except PrunescopeError as error:
        st.error(theme.plain(str(error)))
        st.stop()


def with_progress(label: str, compute: Callable[[Progress], Found]) -> Found:
    """What is computed under a progress bar that leaves no trace."""
    place = st.empty()

    def report(share: float) -> None:
        place.progress(min(1.0, share), text=label)

    try:
        return compute(report)
    finally:
        place.empty()


def check_fits(plan: Plan) -> None:
    """Refuse a plan that the chosen network cannot carry out."""
    check_plan(plan, network())
    if not plan.is_dense:
        find_criterion(plan.criterion)  # recovered plans do not need it to be carried out, but to be named
    computed.pruned(plan)  # its criterion must be able to rank the targets


def with_kept_weights(plan: Plan) -> Plan:
    """The plan; without its recovery, and with a notice, if the recovered weights are not kept here."""
    if not plan.recovered or keep_here().holds(plan.recovered):
        return plan
    notice(
        "The weights that recovery found for this plan are not kept here (any more), so the network is as it was "
        "pruned. Recover again, on the Recover page."
    )
    return plan.as_pruned


def _restored(name: str) -> Bench:
    """A bench with the plan that the store keeps for this session; undo leads back the way that its trials came."""
    state, store = Bench(dense_plan(name)), services.store()
    try:
        known = store.summaries(history(), name)
        state.tried = {(trial.key, trial.images) for trial in known}
        plan = store.plan(history(), name)
        if plan is not None:
            plan = with_kept_weights(plan)
            check_fits(plan)
            state.move(plan)
            state.kept_plan = plan
            state.done.clear()
            way = [trial.id for trial in lineage(known, key_of(canonical(plan)))[:-1][-_UNDO_KEPT:]]
            found = store.trials(history(), way)
            state.done = [found[number].plan for number in way]
    except PrunescopeError as error:
        notice(f"What was tried before cannot be brought back: {error}")
    return state
