"""Fine-tuning and distillation: choose, watch the curves, take over the best weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import streamlit as st

from analysis.errors import PrunescopeError
from analysis.measure import Measurement
from analysis.measure.quality import headline_change
from analysis.recovery.keep import keep_here
from analysis.units import Message
from analysis.units import fine_tune as unit
from analysis.units.fine_tune import Curves
from ui import comparison, computed, figures, studies, theme, workspace
from ui.recover import taking, tune_choices, tune_figures
from ui.recover.tune_choices import Choices


def tune() -> None:
    """Train the plan's network, with curves as they come and the best weights to take over."""
    comparison.needs_plan("there is nothing to recover")
    try:
        with st.spinner("Looking at the network…"):
            choices = tune_choices.choose()
            sentence = _sentence(choices)
    except PrunescopeError as error:
        st.info(theme.plain(str(error)))
        return
    study = studies.Study(
        "fine-tune",
        f"{'Distilling' if choices.distillation else 'Fine-tuning'} {workspace.title()}",
        plan=choices.base,
        parameters=unit.parameters(choices.recipe, choices.distillation),
    )
    studies.panel(
        study, lambda parts: _draw(study, choices, parts), button="Train", sentence=sentence,
    )  # fmt: skip


def _sentence(choices: Choices) -> str:
    begun = computed.beginning(choices.base)
    seconds = computed.epoch_seconds(choices.base, replace(choices.recipe, epochs=1), choices.distillation)
    noun = workspace.opened().dataset.noun
    gone = " What was pruned stays gone." if begun.selection.weights or begun.selection.channels else ""
    return (
        f"Trains on {len(begun.fit):,} {noun} of the calibration set, {choices.recipe.epochs} times over: "
        f"{theme.duration(seconds * choices.recipe.epochs)} of one processor. After each epoch "
        f"{len(begun.validation):,} held-out {noun} say how good it is; the best weights are kept.{gone} A training "
        "that was cancelled goes on from its best weights, with fresh momentum."
    )


def _draw(study: studies.Study, choices: Choices, parts: Sequence[Message]) -> None:
    curves, metric = unit.curves(parts), workspace.opened().dataset.task.headline
    job = studies.last(study)
    live = job is not None and job.is_live
    if not live:
        _outcome(choices, curves, complete=studies.is_complete(study))
    elif curves.kept:
        with st.container(horizontal=True, vertical_alignment="center"):
            taking.use_button(
                taking.recovered(choices.base, curves.kept),
                "tune:best",  # the same while better ones come: a click must not miss because one just came
                label="Use the best so far",
            )
            st.caption(f"Weights of epoch {curves.kept_epoch} are kept, also if you cancel.")
    palette, epochs = theme.palette(), choices.recipe.epochs
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True):
        st.subheader(f"{metric.label} on held-out examples", anchor=False)
        st.plotly_chart(
            tune_figures.progress(curves, epochs, metric, palette), config=figures.CONFIG, key="tune:progress"
        )
        st.caption(
            "Look how near the line comes to the dashed one, and whether it still rises at the end. These examples are "
            "of the calibration set: if the dense network was trained on them, too, its line is higher here than on "
            "new ones."
        )
    with right, st.container(border=True):
        st.subheader("Loss", anchor=False)
        task = workspace.opened().dataset.task
        minimised = "distance to both answers" if choices.distillation else task.loss_name
        figure = tune_figures.losses(curves, epochs, palette, minimised=minimised, judged=task.loss_name)
        st.plotly_chart(figure, config=figures.CONFIG, key="tune:losses")
        st.caption(
            "If the training loss falls on and the validation loss rises, the network learns its examples by heart: "
            "stop earlier, or change the examples more."
            + (" The two are different losses here: compare how they move." if choices.distillation else "")
        )


def _outcome(choices: Choices, curves: Curves, *, complete: bool) -> None:
    """What the kept weights are worth on the evaluation examples, and the way to take them over."""
    if not curves.kept:
        if complete:
            st.info(
                "No epoch did better on the held-out examples than the network that training began from, so there is "
                "nothing to take over. Try a smaller learning rate, or more epochs."
            )
        return
    if not keep_here().holds(curves.kept):
        st.warning(
            "The weights that training found are not kept here any more. Train again with another seed."
        )
        return
    plan, images = taking.recovered(choices.base, curves.kept), workspace.image_count()
    try:
        with st.spinner("Measuring on the evaluation examples…"):
            before, after = (computed.measurement(each, images) for each in (choices.base, plan))
    except PrunescopeError as error:
        st.error(theme.plain(str(error)))
        return
    _cards(before, after, curves)
    with st.container(horizontal=True, vertical_alignment="center"):
        taking.use_button(plan, f"tune:use:{curves.kept}")
        st.caption(f"The weights of epoch {curves.kept_epoch}, the best on the held-out examples.")


def _cards(before: Measurement, after: Measurement, curves: Curves) -> None:
    metric = workspace.opened().dataset.task.headline
    gained, gap = headline_change(after.evaluation, before.evaluation), after.change[metric.key]
    columns = st.columns(4)
    columns[0].metric(
        f"{metric.label} before training",
        theme.number(before.headline.value, metric),
        border=True,
        height="stretch",
    )
    columns[1].metric(
        f"{metric.label} after", theme.number(after.headline.value, metric), border=True, height="stretch",
        help=f"On the {after.evaluation.split.origin}, which training never saw. 95% interval: "
        f"{theme.interval(after.headline, metric)}.",
        **theme.delta_look(gained, metric),
    )  # fmt: skip
    columns[2].metric(
        "Against the dense network", theme.delta(gap.value, metric), border=True, height="stretch",
        help=f"95% interval: {theme.change_interval(gap, metric)}.",
    )  # fmt: skip
    columns[3].metric("Training", f"{curves.seconds:,.1f} s", border=True, height="stretch")
    rate = gained.value * (100 if metric.percent else 1) / curves.seconds
    per_second = f"{rate:+.2g} {'points' if metric.percent else metric.label}"
    st.caption(
        f"Training brought {theme.delta(gained.value, metric)} (95% interval {theme.change_interval(gained, metric)}, "
        f"paired on the same {len(after.evaluation.split):,} examples), {per_second} a second until the best epoch."
    )
