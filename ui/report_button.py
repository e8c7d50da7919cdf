"""A button that makes a report when it is clicked: of the plan in force, of a trial, of several side by side."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import streamlit as st

from analysis.errors import PrunescopeError
from analysis.history import Label, Summary, Trial
from analysis.history.tree import lineage
from analysis.measure.measurement import Numbers
from analysis.pruning.plan import Plan
from analysis.recovery.keep import keep_here
from analysis.recovery.recovered import Step
from analysis.report import Reported, Subject, comparison_report, refusal_page, trial_report
from ui import computed, keeping, library, services, workspace
from ui.bench import dense_plan

_HELP = (
    "A page that stands by itself, figures included: open it anywhere, print it, or send it to a colleague."
)


def draw_in_force(*, key: str) -> None:
    """The report of the plan in force, with what is kept of its trial: its label, and the trials it grew from."""
    plan, images, own, history = (
        workspace.bench().plan,
        workspace.image_count(),
        keeping.current_key(),
        workspace.history(),
    )

    def make() -> str:
        kept = [
            trial for trial in services.store().summaries(history, plan.network) if trial.images == images
        ]
        label = next((trial.label for trial in kept if trial.key == own), Label())
        return trial_page(plan, images, label=label, way=lineage(kept, own))

    _button(make, plan.network, key)


def draw(
    plan: Plan,
    *,
    key: str,
    label: Label | None = None,
    lineage: Sequence[Summary] = (),
    kept: Numbers | None = None,
) -> None:
    """The report of a trial.

    Parameters
    ----------
    label : Label, optional
        What somebody said of it.
    lineage : sequence of Summary
        The trials it grew from, the first one first and itself last.
    kept : Numbers, optional
        What is shown if it cannot be measured any more.
    """
    images = workspace.image_count()
    _button(
        lambda: trial_page(plan, images, label=label or Label(), way=lineage, kept=kept), plan.network, key
    )


def draw_comparison(trials: Sequence[tuple[Trial, Label]], *, key: str) -> None:
    """The report of two or more trials of the chosen network, in this order."""
    name, images = workspace.network_name(), workspace.image_count()
    _button(lambda: comparison_page(name, trials, images), name, key)


def trial_page(
    plan: Plan, images: int, *, label: Label, way: Sequence[Summary] = (), kept: Numbers | None = None
) -> str:
    """The report of a plan on so many evaluation examples."""
    return trial_report(_subject(plan.network, images), _reported(plan, images, label, kept), way)


def comparison_page(name: str, trials: Sequence[tuple[Trial, Label]], images: int) -> str:
    """The report of several trials of a network on so many evaluation examples."""
    shown = [_reported(trial.plan, images, label, trial.measurement) for trial, label in trials]
    return comparison_report(_subject(name, images), shown)


def _button(make: Callable[[], str], network: str, key: str) -> None:
    def said() -> str:
        """The report, or why there is none: an error of a download never reaches the reader."""
        try:
            return make()
        except PrunescopeError as error:
            return refusal_page(library.title(network), str(error))

    st.download_button(
        "Report (.html)", said, f"{network}-report.html", "text/html", key=key, on_click="ignore", help=_HELP
    )


def _subject(name: str, images: int) -> Subject:
    dense = computed.measurement(dense_plan(name), images)
    return Subject(library.title(name), library.load(name).dataset, dense, time.time())


def _reported(plan: Plan, images: int, label: Label, kept: Numbers | None) -> Reported:
    """The trial, measured now; or with its kept numbers if it cannot be measured any more."""
    numbers: Numbers
    try:
        numbers = computed.measurement(plan, images)
    except PrunescopeError:
        if kept is None:
            raise
        numbers = kept
    return Reported(plan, numbers, _steps(plan), label)


def _steps(plan: Plan) -> tuple[Step, ...] | None:
    """How recovery went; None if that is not kept any more."""
    if not plan.recovered:
        return ()
    try:
        return keep_here().get(plan.recovered).steps
    except PrunescopeError:
        return None
