"""Sensitivity sweeps of the chosen network: started, followed, and read from the store."""

from __future__ import annotations

from analysis.importance import CRITERIA
from analysis.jobs import JobStatus
from analysis.sensitivity import Sensitivity, curves_of, missing_ratios, rankable
from analysis.store import Subject
from analysis.work import point_from_data, sensitivity_request, with_known
from ui import computed, services, workspace


def points() -> list[Sensitivity]:
    """What is known of the targets' sensitivity under the criterion in hand, from any session."""
    return services.store().sensitivities(_subject())


def current() -> JobStatus | None:
    """This session's live sweep of what is in hand."""
    label = _label()
    return next((j for j in services.jobs().of(workspace.history()) if j.is_live and j.label == label), None)


def missing() -> bool:
    """True if a sweep of what is in hand has something left to measure."""
    state = workspace.bench()
    network, scores = workspace.network(), workspace.scores(state.criterion)
    dense = computed.gauge(network.name, workspace.image_count()).dense_headline
    curves = curves_of(points())
    return any(missing_ratios(curves.get(t, {}), dense) for t in rankable(network, scores, state.granularity))


def start() -> None:
    """Measure what is missing, in a job; each point is kept the moment it is known."""
    state, about, store = workspace.bench(), _subject(), services.store()
    request = sensitivity_request(
        workspace.network_name(), workspace.image_count(), state.criterion, state.granularity
    )
    services.jobs().submit(
        workspace.history(),
        _label(),
        request,
        lambda result: store.add_sensitivity(about, point_from_data(result)),
        lambda request: with_known(request, store.sensitivities(about)),
    )


def was_refused() -> bool:
    """True if the last sweep of what is in hand was cancelled or failed: it is not begun again by itself."""
    label = _label()
    mine = [job for job in services.jobs().of(workspace.history()) if job.label == label]
    return bool(mine) and mine[-1].state in ("cancelled", "failed")


def _subject() -> Subject:
    state = workspace.bench()
    return computed.sweep_subject(
        workspace.network_name(), workspace.image_count(), state.criterion, state.granularity
    )


def _label() -> str:
    state = workspace.bench()
    return (
        f"Sensitivity of {workspace.network_name()}: {state.granularity}s by "
        f"{CRITERIA[state.criterion].label}, {workspace.image_count():,} examples"
    )
