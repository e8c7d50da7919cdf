"""The views of the Forgotten page on all examples together: classes and confidence, predictions and errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from analysis.explain.examples import choose
from analysis.forgetting.calibration import (
    Shift,
    confidence_shift,
    overconfidence,
    overconfidence_change,
    reliability,
)
from analysis.forgetting.classes import ClassChange, Disparity, class_changes, disparity
from analysis.forgetting.margins import errors, margins
from analysis.measure import Measurement
from analysis.measure.quality import Evaluation, Interval, confusion
from analysis.tasks import ACCURACY, CALIBRATION_ERROR
from ui import figures, metric_table, theme, workspace
from ui.forgotten import forgotten_figures

MAX_CLASSES = 30  # drawn beside each other
MAX_POINTS = 2000  # of a scatter, beside those that changed


def classes(before: Measurement, after: Measurement) -> None:
    """Every metric, which classes paid, and the difference of the confusion matrices."""
    was, now = before.evaluation, after.evaluation
    names = workspace.opened().dataset.names_of(was.classes)
    palette = theme.palette()
    found = [change for change in class_changes(was, now) if change is not None]
    _class_cards(found, disparity(was, now), names)
    shown = sorted(found, key=lambda change: abs(change.change.value), reverse=True)[:MAX_CLASSES]
    shown.sort(key=lambda change: change.change.value)
    labels = [names[change.label] for change in shown]
    which = (
        f" The {MAX_CLASSES} of {len(found)} classes that changed most." if len(shown) < len(found) else ""
    )
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True):
        st.subheader("Change per class", anchor=False)
        st.plotly_chart(forgotten_figures.class_change(labels, shown, palette), config=figures.CONFIG)
        st.caption(
            "Most lost on top, with paired 95% intervals. Filled points are more than noise when all "
            f"{len(found)} classes are looked at together (McNemar's exact test, Holm's correction).{which}"
        )
    with right, st.container(border=True):
        st.subheader("Accuracy per class", anchor=False)
        figure = forgotten_figures.class_accuracy(
            labels, [c.before for c in shown], [c.after for c in shown], palette
        )
        st.plotly_chart(figure, config=figures.CONFIG)
        st.caption(
            f"With 95% intervals. Classes whose filled point moved to the left paid for the cut.{which}"
        )
    with st.container(border=True):
        st.subheader("Confusions, after minus before", anchor=False)
        difference = (confusion(now, len(names)) - confusion(was, len(names))).numpy()
        kept = sorted(c.label for c in shown) if len(names) > MAX_CLASSES else range(len(names))
        st.plotly_chart(
            forgotten_figures.confusion_difference(
                difference[np.ix_(kept, kept)], [names[label] for label in kept], palette
            ),
            config=figures.CONFIG,
        )
        st.caption(
            "Orange: fewer right answers (on the diagonal) or more of a confusion (elsewhere). "
            f"Green: more right, or a confusion that went away.{which}"
        )
    _all_metrics(before, after)


def predictions(before: Measurement, after: Measurement) -> None:
    """Every metric, and predicted against true values of both networks."""
    unit = workspace.opened().dataset.target_unit
    _all_metrics(before, after)
    was, now = before.evaluation, after.evaluation
    with st.container(border=True):
        figure = forgotten_figures.predicted_against_true(
            was.split.targets.numpy(), was.answers.numpy(), now.answers.numpy(), unit, theme.palette()
        )
        st.plotly_chart(figure, config=figures.CONFIG)
        st.caption(
            "Each example once before and once after. The further from the dotted line, the larger the error."
        )


def confidence(before: Measurement, after: Measurement) -> None:
    """How sure both networks are, whether they may be, and how clearly each example is decided."""
    was, now = before.evaluation, after.evaluation
    shift, palette = confidence_shift(was, now), theme.palette()
    _confidence_cards(before, after, shift)
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True):
        st.subheader("Is it as sure as it may be?", anchor=False)
        figure = forgotten_figures.reliability(reliability(was), reliability(now), palette)
        st.plotly_chart(figure, config=figures.CONFIG)
        st.caption(
            "Examples in 15 bins of confidence, with 95% intervals; a larger point holds more. Points below the dotted "
            "line: surer than right. Their mean distance from it is the calibration error."
        )
    with right, st.container(border=True):
        st.subheader("How sure is it?", anchor=False)
        kinds = {
            "the true class": (shift.truth_before, shift.truth_after, shift.truth_change),
            "the answer": (shift.answer_before, shift.answer_after, shift.answer_change),
        }
        of = st.segmented_control("Probability of", list(kinds), default="the true class", required=True)
        assert of is not None
        one, two, change = kinds[of]
        figure = forgotten_figures.cumulative(one.numpy(), two.numpy(), palette, of=of)
        st.plotly_chart(figure, config=figures.CONFIG)
        st.caption(
            f"Where the solid line runs above the dotted one, more examples are that unsure after. Mean change: "
            f"{_points(change)}."
        )
    _margin_card(was, now)


def value_errors(before: Measurement, after: Measurement) -> None:
    """The size of each example's error, before and after."""
    unit = workspace.opened().dataset.target_unit or "in the target's unit"
    found = errors(before.evaluation, after.evaluation)
    with st.container(border=True):
        st.plotly_chart(forgotten_figures.error_scatter(found, unit, theme.palette()), config=figures.CONFIG)
        st.caption(
            f"Each point is an example; above the dotted line its error grew. Mean change of the error: "
            f"{found.change.value:+.3g} {unit} (95% interval {found.change.low:+.3g} to {found.change.high:+.3g}). "
            "A network that predicts values does not say how sure it is, so there is no confidence to compare."
        )


def _class_cards(found: Sequence[ClassChange], uneven: Disparity | None, names: Sequence[str]) -> None:
    columns = st.columns(4)
    lost = sum(change.is_real and change.change.value < 0 for change in found)
    gained = sum(change.is_real and change.change.value > 0 for change in found)
    columns[0].metric(
        "Classes that lost", f"{lost} of {len(found)}", border=True,
        help="By more than noise, when all classes are looked at together.",
    )  # fmt: skip
    columns[1].metric("Classes that gained", f"{gained} of {len(found)}", border=True)
    if uneven is None:
        columns[2].metric("Worst class", names[found[0].label], border=True)
        columns[3].metric("Paid unevenly?", "one class", border=True)
        return
    columns[2].metric(
        "Worst class", names[uneven.worst], border=True,
        delta=theme.delta(uneven.change, ACCURACY),
        delta_color="off" if uneven.change >= 0 else "normal",
        help=f"The average over all examples is {theme.delta(uneven.average, ACCURACY)}.",
    )  # fmt: skip
    chance = "under 0.1%" if uneven.p_value < 0.001 else f"{uneven.p_value:.1%}"
    columns[3].metric(
        "Paid unevenly?", "yes" if uneven.is_real else "not more than by chance", border=True,
        delta=f"chance alone: {chance}", delta_color="off", delta_arrow="off",
        help="How often some class would lose at least as much as the worst did, if what happened to each example "
        "were dealt out to the classes at random (permutation test, 4,999 deals). Some class is always the worst.",
    )  # fmt: skip


def _confidence_cards(before: Measurement, after: Measurement, shift: Shift) -> None:
    was, now = before.evaluation, after.evaluation
    columns, metric = st.columns(4), CALIBRATION_ERROR
    columns[0].metric(
        f"{metric.label} before", theme.number(before.quality[metric.key].value, metric), border=True,
        help=f"{metric.sentence} 95% interval {theme.interval(before.quality[metric.key], metric)}.",
    )  # fmt: skip
    columns[1].metric(
        f"{metric.label} after", theme.number(after.quality[metric.key].value, metric), border=True,
        **theme.delta_look(after.change[metric.key], metric),
        help=f"The change, on the same examples: {theme.change_interval(after.change[metric.key], metric)}.",
    )  # fmt: skip
    over = overconfidence(now)
    columns[2].metric(
        "Overconfidence after", theme.delta(over.value, metric), border=True,
        delta=_signed(overconfidence_change(was, now)), delta_color="off",
        help="Mean confidence minus accuracy: above 0 the network is surer than it may be. "
        f"95% interval {theme.change_interval(over, metric)}.",
    )  # fmt: skip
    changed = shift.truth_change
    columns[3].metric(
        "Sure of the true class", f"{float(shift.truth_after.mean()):.1%}", border=True,
        **theme.delta_look(changed, ACCURACY),
        help=f"Mean probability after. The change, on the same examples: {theme.change_interval(changed, ACCURACY)}.",
    )  # fmt: skip


def _margin_card(was: Evaluation, now: Evaluation) -> None:
    found = margins(was, now)
    names = workspace.opened().dataset.names_of(was.classes)
    shown = _shown_points(was, now)
    texts = [
        f"true {names[truth]}, before {names[one]}, after {names[two]}"
        for truth, one, two in zip(
            was.split.targets.tolist(), was.answers.tolist(), now.answers.tolist(), strict=True
        )
    ]
    left_out = (
        f" Drawn are all that changed and {MAX_POINTS:,} others." if len(shown) < len(was.split) else ""
    )
    with st.container(border=True):
        st.subheader("How clearly is each example decided?", anchor=False)
        figure = forgotten_figures.margin_scatter(found, shown, texts, theme.palette())
        st.plotly_chart(figure, config=figures.CONFIG)
        st.caption(
            "The margin is the log odds of the true class against the best other class: above 0 the answer is right. "
            f"Points at the lower right were forgotten.{left_out}"
        )


def _shown_points(was: Evaluation, now: Evaluation) -> np.ndarray:
    """All examples whose answer changed, and a seeded sample of the others."""
    changed = choose("changed", was, now).numpy()
    others = np.setdiff1d(np.arange(len(was.split)), changed)
    if len(others) > MAX_POINTS:
        others = np.random.default_rng(0).choice(others, MAX_POINTS, replace=False)
    return np.sort(np.concatenate([changed, others]))


def _all_metrics(before: Measurement, after: Measurement) -> None:
    with st.container(border=True):
        st.subheader("All metrics", anchor=False)
        metric_table.draw(after, before)


def _signed(change: Interval) -> str:
    return theme.delta(change.value, CALIBRATION_ERROR)


def _points(change: Interval) -> str:
    return f"{theme.delta(change.value, ACCURACY)} (95% interval {theme.change_interval(change, ACCURACY)})"
