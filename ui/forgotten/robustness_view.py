"""Robustness: how both networks stand noise, blur and the like, and what that looks like."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from analysis.forgetting.corruption import (
    CORRUPTIONS,
    Ground,
    corrupt,
    corruptions_for,
    ground_of,
    strengths_of,
)
from analysis.forgetting.robustness import Point
from analysis.measure import Measurement
from analysis.tasks import Metric
from analysis.units import Message
from analysis.units.corruption import from_data
from ui import computed, figures, studies, theme, workspace
from ui.forgotten import exemplar_figures
from ui.forgotten.exemplar_gallery import picture_of, strip
from ui.forgotten.exemplar_view import contents, said_of

_SEED = 0
_COLUMNS = 3


def robustness(before: Measurement, _after: Measurement) -> None:
    """Quality against the strength of each corruption, and one example at each strength."""
    dataset = workspace.opened().dataset
    metric, ground = dataset.task.headline, ground_of(dataset, workspace.network())
    passes = 2 * sum(
        len(strengths_of(entry, before.evaluation.split.inputs.shape))
        for entry in corruptions_for(ground.kind)
    )
    seconds = passes * computed.pass_seconds(workspace.network_name(), workspace.image_count())
    study = studies.Study(
        "corruption",
        f"Robustness of {workspace.title()}",
        plan=workspace.bench().plan,
        parameters={"seed": _SEED},
    )
    studies.panel(
        study, lambda parts: _curves(parts, metric, ground), button="Measure robustness",
        sentence=f"Makes the {before.evaluation.split.origin} harder step by step and measures both networks at each "
        f"step, {passes} measurements: about {max(1, round(seconds)):,} s.",
    )  # fmt: skip
    _look(ground)


def _curves(parts: Sequence[Message], metric: Metric, ground: Ground) -> None:
    points = [from_data(part) for part in parts]
    curves: dict[str, list[Point]] = {}
    for point in points:
        curves.setdefault(point.corruption, []).append(point)
    for curve in curves.values():
        curve.sort(key=lambda point: point.strength)
    with st.container(border=True):
        st.subheader(f"{metric.label} under corruption", anchor=False)
        columns = min(_COLUMNS, len(corruptions_for(ground.kind)))
        figure = exemplar_figures.robustness(curves, metric, theme.palette(), columns=columns)
        st.plotly_chart(figure, config=figures.CONFIG)
        st.caption(
            "Both networks see the same corrupted examples; bands are 95% intervals. Where the lines part further than at "
            f"0, the smaller network is more fragile. {_widest(points, metric)}"
        )


def _widest(points: Sequence[Point], metric: Metric) -> str:
    """Where the pruned network falls behind most, against clean examples."""
    clean = next((p.change.value for p in points if p.strength == 0), None)
    worst = min(points, key=lambda point: point.change.value)
    if clean is None or worst.change.value >= clean:
        return ""
    name = CORRUPTIONS[worst.corruption].label.lower()
    return (
        f"The change is {theme.delta(clean, metric)} on clean examples and at worst "
        f"{theme.delta(worst.change.value, metric)}: {name} at {100 * worst.strength:.3g}% "
        f"(95% interval {theme.change_interval(worst.change, metric)})."
    )


def _look(ground: Ground) -> None:
    """One example at every strength of a corruption."""
    dataset = workspace.opened().dataset
    inputs = computed.evaluation_split(workspace.network_name(), workspace.image_count()).inputs
    entries = {entry.name: entry for entry in corruptions_for(ground.kind)}
    with st.container(border=True):
        st.subheader("What that looks like", anchor=False)
        left, right = st.columns([1, 2], vertical_alignment="bottom")
        name = left.selectbox("Corruption", list(entries), format_func=lambda n: entries[n].label)
        index = right.slider("Example", 0, len(inputs) - 1, 0) if len(inputs) > 1 else 0
        example = inputs[index : index + 1]
        steps = [
            (strength, corrupt(example, name, strength, ground, seed=_SEED)[0])
            for strength in strengths_of(entries[name], inputs.shape)
        ]
        if dataset.is_image:
            pictures = [
                (f"{100 * strength:.3g}%", picture_of(dataset.pixels(image))) for strength, image in steps
            ]
            st.html(strip(pictures, theme.palette()))
        else:
            st.dataframe(
                [{"strength": f"{100 * s:.3g}%", **contents(dataset, row)} for s, row in steps],
                hide_index=True,
            )
        st.caption(f"{entries[name].sentence} The strength: {entries[name].axis}.{said_of(dataset)}")
