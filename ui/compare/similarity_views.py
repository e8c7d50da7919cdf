"""How alike attributions are: of the plan in force, example by example, and against the ratio removed."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from analysis.explain.attribution import Attribution, refusal
from analysis.explain.drift import (
    EXAMPLES,
    RATIOS,
    SEEDS,
    TOLERANCE,
    DriftPoint,
    Floor,
    Moved,
    moved_before_lost,
)
from analysis.explain.estimates import draw_seconds, estimated_seconds
from analysis.explain.explainer import usual_methods
from analysis.explain.methods import METHODS
from analysis.explain.question import Question
from analysis.explain.similarity import SIMILARITIES, similarities
from analysis.importance import CRITERIA
from analysis.measure.quality import Evaluation
from analysis.tasks import Metric
from analysis.units import Message
from analysis.units import drift as unit
from analysis.units.attribution import pair_from_parts
from ui import computed, figures, studies, theme, workspace
from ui.compare import similarity_figures
from ui.compare.attribution_choices import method_choice
from ui.recover import taking
from ui.studies import Study

SIMILARITY_EXAMPLES = 200
_WAITED_SECONDS = 10.0  # up to here maps are waited for
_MOST_METHODS = 3  # as many looks as lines have
_COUNTS = (32, EXAMPLES, 512)
_RATIOS = {6: (0.0, 0.1, 0.3, 0.5, 0.7, 0.9), len(RATIOS): RATIOS, 20: tuple(i / 20 for i in range(20))}
_ALIKE, _SCALED = "Every target alike", "The plan, scaled"
_START_SECONDS = 6.0  # until a worker is up
_LABELS = {entry.name: entry.label for entry in SIMILARITIES}


def explaining_seconds(method: str, examples: int) -> float:
    """About how long the maps of one network take."""
    shape = (examples, *workspace.network().example_input.shape[1:])
    pass_seconds = computed.explaining_pass_seconds(workspace.network_name())
    return estimated_seconds(method, None, shape, pass_seconds, draw_seconds())


def similarity(before: Evaluation, after: Evaluation) -> None:
    """How alike the attributions are over a few hundred examples."""
    columns = st.columns([1.4, 1.2, 2], vertical_alignment="bottom")
    method, layer = method_choice(columns[0], columns[1])
    count = min(SIMILARITY_EXAMPLES, len(before.split))
    question = Question(method, tuple(range(count)), layer)
    label = f"{METHODS[method].label} of {count} {workspace.opened().dataset.noun}, before and after"
    seconds = 2 * explaining_seconds(method, count)
    known = workspace.known_attributions(question)
    if known is None and seconds > _WAITED_SECONDS:
        plan = workspace.bench().plan
        studies.panel(
            Study("attribution", label, plan, question.to_data(), keep="memory"),
            lambda parts: _distributions(before, *pair_from_parts(parts)[1:]),
            button="Compare",
            sentence=f"{label}: {theme.duration(seconds)}.",
        )
        return
    if known is None:
        workspace.run_with_progress(label + "…", lambda report: workspace.attributions(question, report))
        known = workspace.attributions(question)
    _distributions(before, *known)


def _distributions(before: Evaluation, was: Attribution, now: Attribution) -> None:
    values = similarities(was.values, now.values)
    entries = {entry.name: entry for entry in SIMILARITIES}
    with st.container(border=True):
        figure = similarity_figures.similarity_distributions(values, _LABELS, theme.palette())
        st.plotly_chart(figure, config=figures.CONFIG)
        st.caption(
            f"Each dot is one of {len(was.values)} examples of {before.split.origin}; 1 means the same map before "
            "and after. Look for medians far from 1, and for single examples far from theirs. "
            + " ".join(f"{entries[name].label}: {entries[name].sentence.lower()}" for name in values)
        )


def over_ratios(before: Evaluation, after: Evaluation) -> None:
    """Similarity against ratio beside the headline metric: a study, drawn as it is measured."""
    methods = _methods()
    ways = (_ALIKE, _SCALED) if workspace.bench().plan.cuts else (_ALIKE,)  # picks alone cannot be scaled
    columns = st.columns([1.6, 1.2, 1.1, 1.1], vertical_alignment="bottom")
    way = columns[0].segmented_control(
        "Cut", ways, default=_ALIKE, required=True, key=_key("cut"), persist_state="session",
        help="Alike: the same ratio for every target, by the criterion and granularity in hand. Scaled: the cuts "
        "of the plan in force, all multiplied by one number, so that the largest is the ratio; what was picked "
        "by hand stays.",
    )  # fmt: skip
    fitting = [e.name for e in SIMILARITIES if before.split.inputs.dim() == 4 or not e.images_only]
    measure = columns[1].selectbox(
        "Similarity", fitting, format_func=_LABELS.__getitem__, key=_key("measure"), persist_state="session"
    )
    available = len(before.split)
    counts = tuple(dict.fromkeys(min(count, available) for count in _COUNTS))
    examples = columns[2].selectbox(
        f"Explained {workspace.opened().dataset.noun}", counts, index=min(1, len(counts) - 1),
        key=_key(f"examples:{available}"), persist_state="session",
    )  # fmt: skip
    ratios = _RATIOS[
        columns[3].selectbox("Ratios", tuple(_RATIOS), index=1, key=_key("ratios"), persist_state="session")
    ]
    study = _study(way, methods, examples, ratios)
    each = sum(explaining_seconds(method, examples) for method in methods)
    seconds = _START_SECONDS + len(ratios) * (
        each + computed.pass_seconds(workspace.network_name(), available)
    )
    if note := taking.as_pruned_words("This is"):
        st.caption(note)
    studies.panel(
        study,
        lambda parts: _draw_drift(before, parts, methods, measure, way),
        button=f"Measure {len(ratios)} ratios",
        sentence=f"Prunes at {len(ratios)} ratios, measures each on {available:,} "
        f"{workspace.opened().dataset.noun} and explains {examples} of them: "
        f"{theme.duration(seconds + SEEDS * each)}.",
    )


def _methods() -> tuple[str, ...]:
    """The methods in hand, at most as many as can be told apart; stops the page if none suits."""
    network = workspace.network()
    fitting = [name for name in METHODS if not refusal(name, network)]
    if not fitting:
        reason = refusal(next(iter(METHODS)), network)
        st.info(theme.plain(f"No attribution method suits this network. {reason}"))
        st.stop()
    chosen = st.multiselect(
        "Methods", fitting, default=usual_methods(network), format_func=lambda name: METHODS[name].label,
        max_selections=_MOST_METHODS, key=_key("methods"), persist_state="session",
    )  # fmt: skip
    if not chosen:
        st.info("Choose at least one method.")
        st.stop()
    return tuple(name for name in METHODS if name in chosen)


def _study(way: str, methods: Sequence[str], examples: int, ratios: Sequence[float]) -> Study:
    state = workspace.bench()
    title = f"Similarity against ratio of {workspace.title()}"
    if way == _SCALED:
        parameters = unit.parameters(methods, examples, ratios)
        return Study("drift", f"{title}: the plan scaled", state.plan.as_pruned, parameters)
    parameters = unit.parameters(
        methods, examples, ratios, criterion=state.criterion, granularity=state.granularity
    )
    return Study(
        "drift", f"{title}: {state.granularity}s by {CRITERIA[state.criterion].label}", None, parameters
    )


def _draw_drift(
    before: Evaluation, parts: Sequence[Message], methods: Sequence[str], measure: str, way: str
) -> None:
    found = [unit.from_data(part) for part in parts]
    points = sorted((p for p in found if isinstance(p, DriftPoint)), key=lambda point: point.ratio)
    floor = next((p for p in found if isinstance(p, Floor)), None)
    if not points:
        return
    metric = before.task.headline
    readings = {
        method: moved_before_lost(points, floor, method=method, measure=measure, metric=metric)
        for method in methods
    }
    marked = next((method for method in methods if readings[method].ratios), None)
    state = workspace.bench()
    of_what = f"removed from every target: {state.granularity}s (%)"
    with st.container(border=True):
        figure = similarity_figures.drift_chart(
            points, floor, theme.palette(),
            methods={method: METHODS[method].label for method in methods},
            measure=measure, measure_label=_LABELS[measure], metric=metric,
            x=of_what if way == _ALIKE else "largest ratio of the scaled plan (%)",
            marked=readings[marked].ratios if marked else (),
            mark=f"{METHODS[marked].label} moved, {metric.label} holds" if marked else "",
        )  # fmt: skip
        st.plotly_chart(figure, config=figures.CONFIG, key="drift")
        _say(readings)
        st.caption(
            "Above, how alike the maps are to the dense network's: medians, with the middle half of the examples "
            "as a band. The thin horizontal line of the same colour is what networks with random weights reach: there, "
            f"nothing of what the network learned to look at is left. Below, {metric.label} with its 95% interval. Look "
            f"for ratios where {metric.label} still holds (it lost at most {_tolerated(metric)}, or no more than its "
            "interval leaves open) and the maps have gone: the network is right for other reasons."
        )
        with st.expander("Numbers"):
            st.dataframe(_rows(points, floor, methods, measure, metric), hide_index=True)


def _tolerated(metric: Metric) -> str:
    return f"{100 * TOLERANCE:.0f} point" if metric.percent else f"{TOLERANCE:g}"


def _say(readings: dict[str, Moved]) -> None:
    """What each method's curve says, in words."""
    for method, reading in readings.items():
        if reading.sentence:
            st.markdown(f"**{METHODS[method].label}**: {theme.plain(reading.sentence)}")


def _rows(
    points: Sequence[DriftPoint], floor: Floor | None, methods: Sequence[str], measure: str, metric: Metric
) -> list[dict[str, str]]:
    rows = [
        {
            "removed": f"{point.ratio:.0%}",
            metric.label: theme.number(point.quality.value, metric),
            "95% interval": theme.interval(point.quality, metric),
            "change": theme.delta(point.change.value, metric),
            "of the change": theme.change_interval(point.change, metric),
            **{METHODS[m].label: _spread(point, m, measure) for m in methods},
        }
        for point in points
    ]
    if floor is not None:
        rows.append(
            {"removed": "random weights", **{METHODS[m].label: _spread(floor, m, measure) for m in methods}}
        )
    return rows


def _spread(part: DriftPoint | Floor, method: str, measure: str) -> str:
    spread = part.similarity[method][measure]
    return f"{spread.median:.3f} ({spread.low:.3f} to {spread.high:.3f})"


def _key(name: str) -> str:
    """The key of a widget whose choice belongs to the chosen network, and outlives a page switch."""
    return f"drift:{name}:{workspace.network_name()}"
