"""Without training: what each quick repair brings back."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from analysis.measure.quality import Interval
from analysis.pruning.plan import Plan
from analysis.recovery.registry import CHAINS, METHODS
from analysis.recovery.repairs import Gain
from analysis.tasks import Metric
from analysis.units import Message
from analysis.units.quick import Repair, from_data
from ui import comparison, figures, keeping, studies, theme, workspace
from ui.recover import quick_figures, taking

_TELLING = 0.05  # seconds; what takes less is not worth dividing by
_WIDTHS = [3.6, 1.7, 3.5, 1.2, 1.9, 1.4]  # of the table's columns


def quick() -> None:
    """Every method on the plan's network as it was pruned, measured, to be taken over."""
    comparison.needs_plan("there is nothing to recover")
    dataset = workspace.opened().dataset
    st.markdown(
        "No training: statistics, biases and weights of the smaller network are computed from what the layers of the dense "
        "network say about calibration examples."
    )
    comparison.needs_calibration("Recovery")
    plan = workspace.bench().plan.as_pruned
    study = studies.Study("quick", f"Recovery of {workspace.title()} without training", plan=plan)
    studies.panel(
        study,
        lambda parts: _draw(parts, plan),
        button="Try every method",
        sentence=f"Tries {len(METHODS)} methods and {len(CHAINS) - len(METHODS)} pairs of them on {dataset.calibration.origin}, "
        "and measures each on the evaluation examples, which the methods never see.",
    )
    with st.expander("What the methods do"):
        for method in METHODS.values():
            st.markdown(f"**{method.label}.** {method.sentence}")


def _draw(parts: Sequence[Message], plan: Plan) -> None:
    metric = workspace.opened().dataset.task.headline
    found = [from_data(part) for part in parts]
    gains = [repair.gain for repair in found]
    dense, pruned = workspace.dense(), keeping.measured(plan)
    lost = dense.headline.value - pruned.headline.value
    ranked = quick_figures.by_gain(gains)
    if ranked:
        with st.container(border=True):
            st.subheader(f"{metric.label} brought back", anchor=False)
            st.plotly_chart(quick_figures.gains(gains, lost, metric, theme.palette()), config=figures.CONFIG)
            st.caption(
                'Look for what comes near the line "as dense": there the network is as good as the dense one again. '
                f"Bars are paired 95% intervals, on {pruned.evaluation.split.origin}. "
                f"{_best(ranked[0], lost, metric)}"
            )
        with st.container(border=True):
            _table(found, ranked, plan, metric)
    for gain in gains:
        if gain.reason:
            st.caption(theme.plain(f"{quick_figures.label(gain)} does not apply: {gain.reason}"))


def _best(best: Gain, lost: float, metric: Metric) -> str:
    """The method that brought most, against what pruning took."""
    assert best.change is not None
    name = quick_figures.label(best)
    if theme.verdict(best.change, metric) != "better":
        return "No method tried so far brings back anything beyond noise."
    gained = theme.delta(best.change.value, metric)
    return f"Most so far: {name.lower()}, {gained}; pruning changed it by {theme.delta(-lost, metric)}."


def _table(found: Sequence[Repair], ranked: Sequence[Gain], plan: Plan, metric: Metric) -> None:
    """A row for each method, the largest gain first, with a way to take it over."""
    digests = {repair.gain.methods: repair.recovered for repair in found}
    unit = "Points" if metric.percent else metric.label
    head = ("Method", f"{metric.label} after", "Gained", "Seconds", f"{unit} per second", "")
    for column, text in zip(st.columns(_WIDTHS), head, strict=True):
        column.caption(text)
    scale = 100 if metric.percent else 1
    for gain in ranked:
        assert gain.change is not None and gain.quality is not None
        columns = st.columns(_WIDTHS, vertical_alignment="center")
        columns[0].markdown(quick_figures.label(gain))
        columns[1].markdown(theme.number(gain.quality.value, metric))
        columns[2].markdown(
            f"{theme.delta(gain.change.value, metric)} :gray[({_interval(gain.change, metric)})]"
        )
        columns[3].markdown(f"{gain.seconds:.2f}")
        columns[4].markdown(f"{scale * gain.per_second:+.3g}" if gain.seconds >= _TELLING else "–")
        with columns[5]:
            recovered = taking.recovered(plan, digests[gain.methods])
            taking.use_button(
                recovered,
                f"repair:{'+'.join(gain.methods)}",
                is_best=gain is ranked[0] and gain.change.value > 0,
            )
    st.caption(
        "Seconds are those of the method alone, without the measuring. Using one puts the recovered network in force; "
        "the plan's cuts stay the same."
    )
    for gain in ranked:
        if gain.left and len(gain.methods) == 1:
            layers = "; ".join(f"{name} ({reason})" for name, reason in gain.left.items())
            st.caption(
                theme.plain(
                    f"{quick_figures.label(gain)} left {_layers(len(gain.left))} as they are: {layers}."
                )
            )


def _interval(change: Interval, metric: Metric) -> str:
    return theme.change_interval(change, metric).removesuffix(" points")


def _layers(count: int) -> str:
    return "1 layer" if count == 1 else f"{count} layers"
