"""The session's trials: whatever is measured is kept, and the store's are read here."""

from __future__ import annotations

from analysis.history import Label, Summary, Trial
from analysis.measure import Measurement
from analysis.pruning.plan import Plan
from analysis.pruning.plan_json import key_of
from ui import computed, services
from ui.bench import canonical, dense_plan
from ui.workspace import bench, history, image_count, is_kept, network_name


def measured(plan: Plan) -> Measurement:
    """The measurement of a plan on the chosen examples; kept as a trial of this session."""
    plan = canonical(plan)
    state, images = bench(), image_count()
    measurement = computed.measurement(plan, images)
    place = (key_of(plan), images)
    if place not in state.tried:
        trial = Trial(plan, measurement.numbers(), _parent(plan))
        if is_kept(lambda: services.store().add_trial(history(), images, trial)):
            state.tried.add(place)
    return measurement


def _parent(plan: Plan) -> Plan | None:
    """The trial that a plan grew from: the last one before it that was measured, or else the dense network."""
    state, images = bench(), image_count()
    before = (canonical(earlier) for earlier in reversed(state.done))
    found = next((p for p in before if p != plan and (key_of(p), images) in state.tried), None)
    return found or (None if plan.is_dense else dense_plan(plan.network))


def all_summaries() -> list[Summary]:
    """The trials of this history and the chosen network, oldest first, whatever examples they were measured on."""
    return services.store().summaries(history(), network_name())


def summaries() -> list[Summary]:
    """Those that were measured on the examples chosen now."""
    return [trial for trial in all_summaries() if trial.images == image_count()]


def trial(number: int) -> Trial:
    """The trial of a summary's id, in full; PrunescopeError if it is damaged or gone."""
    return services.store().trial(history(), number)


def trials(newest: int) -> list[Trial]:
    """The newest trials that prune something and were measured on the examples chosen now, oldest first."""
    some = [summary.id for summary in summaries() if not summary.is_dense][-newest:]
    found = services.store().trials(history(), some)
    return [found[number] for number in some]


def label_trial(number: int, label: Label) -> None:
    """Keep what somebody says of a trial."""
    services.store().put_label(history(), number, label)


def current_key() -> str:
    """What tells the plan in force from all others, as a summary has it."""
    return key_of(canonical(bench().plan))
