"""Sensitivity sweeps of the chosen network: started, followed, and read from the store."""

from __future__ import annotations

from analysis.importance import CRITERIA
from analysis.jobs import JobStatus
from analysis.sensitivity import COARSE, FINE, Sensitivity, curves_of, missing_ratios, rankable
from analysis.store import Subject
from analysis.units import sweep, with_known
from ui import computed, library, services, workspace


def points() -> list[Sensitivity]:
    """What is known of the targets' sensitivity under the criterion in hand, from any session."""
    return services.store().sensitivities(_subject())


def current() -> JobStatus | None:
    """This session's live sweep of what is in hand."""
    label = _label()
    return next((j for j in services.jobs().of(workspace.history()) if j.is_live and j.label == label), None)


def missing() -> int:
    """How many points a sweep of what is in hand has left to measure, at most."""
    state = workspace.bench()
    network, scores = workspace.network(), workspace.scores(state.criterion)
    dense = computed.gauge(network.name, workspace.image_count()).dense_headline
    curves = curves_of(points())
    unfinished = [
        curves.get(target, {})
        for target in rankable(network, scores, state.granularity)
        if missing_ratios(curves.get(target, {}), dense)
    ]
    return sum(len(COARSE + FINE) - len(curve) for curve in unfinished)


def seconds(points: int) -> float:
    """How long measuring so many points takes, at most: most of them are settled before the last example."""
    return points * computed.pass_seconds(workspace.network_name(), workspace.image_count())


def start() -> None:
    """Measure what is missing, in a job; each point is kept the moment it is known."""
    state, about, store = workspace.bench(), _subject(), services.store()
    network = library.source(workspace.network_name())
    request = sweep.request(network, workspace.image_count(), state.criterion, state.granularity)
    services.jobs().submit(
        workspace.history(),
        _label(),
        request,
        lambda result: store.add_sensitivity(about, sweep.from_data(result)),
        lambda request: with_known(request, [sweep.to_data(point) for point in store.sensitivities(about)]),
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
        f"Sensitivity of {workspace.title()}: {state.granularity}s by "
        f"{CRITERIA[state.criterion].label}, {workspace.image_count():,} examples"
    )
