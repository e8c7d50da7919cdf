"""Gradually: prune a little, recover a little, until the plan is reached."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from analysis.errors import PrunescopeError
from analysis.pruning.plan import Plan
from analysis.recovery.gradual import Course
from analysis.recovery.levels import SCHEDULES, levels
from analysis.tasks import Metric
from analysis.units import Message
from analysis.units import gradual as unit
from analysis.units.gradual import Point
from ui import comparison, computed, figures, studies, theme, workspace
from ui.bench import dense_plan
from ui.recover import gradual_choices, gradual_figures, taking
from ui.recover.gradual_choices import Ground, widget_key

_START_SECONDS = 6.0  # until a worker is up
_KEPT = "gradual"


def gradually() -> None:
    """The goal, the course to it, and quality over sparsity while it is taken."""
    comparison.needs_plan("there is nothing to reach step by step")
    goal = _goal()
    try:
        with st.spinner("Looking at the network…"):
            ground = gradual_choices.look()
        course = gradual_choices.choose(ground)
        steps = levels(course.schedule, workspace.network(), goal, course.steps)
    except PrunescopeError as error:
        st.info(theme.plain(str(error)))
        return
    study = studies.Study("gradual", f"Gradual pruning of {workspace.title()}", goal, unit.parameters(course))
    job = studies.last(study)
    if not studies.parts(study) and (job is None or not job.is_live):
        with st.container(border=True):
            figure = gradual_figures.schedule_levels(steps, goal.cuts, theme.palette())
            st.plotly_chart(figure, config=figures.CONFIG, key="levels")
            st.caption(
                f"{SCHEDULES[course.schedule].sentence} The last step is the plan in force. Look for large steps near "
                "the end: these are hard to recover from."
            )
    studies.panel(
        study,
        lambda parts: _draw(parts, course, len(steps)),
        button="Prune and recover",
        sentence=_sentence(course, ground, len(steps)),
    )
    job = studies.last(study)
    if job is None or not job.is_live:
        _take([unit.from_data(part) for part in studies.parts(study)], goal, course, len(steps))


def _goal() -> Plan:
    """The plan to reach: the one in force, or the one whose step is in force."""
    plan = workspace.bench().plan
    kept = workspace.kept_result(_KEPT, workspace.network_name())
    if plan.recovered and kept is not None:
        goal, digests = kept
        if plan.recovered in digests:
            return goal
    return plan.as_pruned


def _sentence(course: Course, ground: Ground, steps: int) -> str:
    """What is going to be done, and how long that takes."""
    assert course.last_epochs is not None
    epochs = course.recipe.epochs * (steps - 1) + course.last_epochs + (course.rewind or 0)
    plan, one = dense_plan(workspace.network_name()), replace(ground.recipe, epochs=1)
    seconds = _START_SECONDS + epochs * computed.epoch_seconds(plan, one, course.distillation)
    noun = workspace.opened().dataset.noun
    return (
        f"Prunes in {steps} {'step' if steps == 1 else 'steps'} and trains {epochs:,} "
        f"{'epoch' if epochs == 1 else 'epochs'} in all on {ground.learned:,} calibration {noun}: "
        f"{theme.duration(seconds)}. {ground.judging:,} others decide which epoch is kept and when to stop; the "
        f"evaluation {noun} decide nothing. Every step's weights are kept: after Cancel it goes on behind the last."
    )


def _draw(parts: Sequence[Message], course: Course, steps: int) -> None:
    """Quality over sparsity, with the last step in figures."""
    points = sorted(map(unit.from_data, parts), key=lambda point: point.step)
    metric, before = workspace.opened().dataset.task.headline, workspace.dense()
    last = points[-1]
    columns = st.columns(4)
    columns[0].metric("Step", f"{last.step} of {steps}", border=True, height="stretch")
    columns[1].metric("Connections removed", f"{last.removed:.1%}", border=True, height="stretch")
    columns[2].metric(
        "If it were cut now" if last.soft else "Right after the cut",
        theme.number(last.cut.value, metric),
        border=True,
        height="stretch",
    )
    columns[3].metric(
        "Recovered", theme.number(last.after.value, metric), border=True, height="stretch",
        **theme.delta_look(last.change, metric),
    )  # fmt: skip
    with st.container(border=True):
        figure = gradual_figures.saw_tooth(
            points, before.headline, metric, theme.palette(), floor=course.floor
        )
        st.plotly_chart(figure, config=figures.CONFIG, key="saw-tooth")
        st.caption(_reading(points, course, metric))
        with st.expander("Numbers"):
            st.dataframe([_row(point, metric) for point in points], hide_index=True)


def _reading(points: Sequence[Point], course: Course, metric: Metric) -> str:
    examples = workspace.dense().evaluation.split.origin
    said = (
        f"{metric.label} on {examples}, with 95% intervals. Each step falls with its cut and climbs with its recovery; "
        "look for the step from which it no longer climbs back to the dotted line of the dense network. A step whose "
        "training did not help on the validation examples keeps the network as it was cut."
    )
    if course.soft:
        said += (
            " Until the last step nothing is gone for good: filled points are the whole network after training, and "
            "what is needed grows back."
        )
    if course.floor is not None:
        said += (
            " Crosses are what the stop rule looks at: the validation examples, which are no part of these."
        )
    broken = next((point for point in points if not point.holds), None)
    if broken is not None:
        said += (
            f" Stopped: step {broken.step} came to {theme.number(broken.validation, metric)} on the validation "
            "examples."
        )
    return said


def _row(point: Point, metric: Metric) -> dict[str, str]:
    row = {
        "step": f"{point.step}",
        "removed": f"{point.removed:.1%}",
        "right after the cut": theme.number(point.cut.value, metric),
        "recovered": theme.number(point.after.value, metric),
        "95% interval": theme.interval(point.after, metric),
        "change": theme.delta(point.change.value, metric),
        "of the change": theme.change_interval(point.change, metric),
        "validation": theme.number(point.validation, metric),
        "nonzero connections": theme.count(point.connections),
        "parameters": theme.count(point.parameters),
        "MACs": theme.count(point.macs),
        "seconds": f"{point.seconds:.1f}",
    }
    return row if point.back is None else {**row, "grown back": f"{point.back:.0%}"}


def _take(points: Sequence[Point], goal: Plan, course: Course, steps: int) -> None:
    """Which step's network is put in force."""
    if not points:
        return
    metric = workspace.opened().dataset.task.headline
    usable = sorted((p for p in points if p.is_usable), key=lambda point: point.step)
    if not usable:
        if course.soft:
            st.caption(
                "Soft pruning makes nothing smaller before its last step, so there is no network to use yet."
            )
        else:
            st.info(
                f"Even the first step falls below {theme.number(course.floor or 0.0, metric)}, so there is no "
                "network to use. Take smaller steps, train longer, or set a lower limit."
            )
        return
    workspace.keep_result(
        _KEPT, workspace.network_name(), (goal, frozenset(point.recovered for point in usable))
    )
    by_step = {point.step: point for point in usable}
    columns = st.columns([3, 1], vertical_alignment="bottom")
    step = columns[0].selectbox(
        "Network of step", list(by_step), index=len(by_step) - 1, key=widget_key(f"use:{usable[-1].recovered}"),
        format_func=lambda n: f"{n} of {steps}: {by_step[n].removed:.1%} of the connections removed, {metric.label} "
        f"{theme.number(by_step[n].after.value, metric)} ({theme.delta(by_step[n].change.value, metric)})",
    )  # fmt: skip
    with columns[1]:
        taking.use_button(by_step[step].result, f"use:gradual:{by_step[step].recovered}")
    if step != steps:
        st.caption(
            "The cuts of this step become the plan in force; this view still shows the way to the whole plan."
        )
