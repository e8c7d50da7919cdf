"""What a plan costs and saves: metric cards, trade-off helpers, classes, siblings."""

from __future__ import annotations

import html
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from analysis.history import Summary, pareto_front
from analysis.history.trial import MIXED
from analysis.importance import CRITERIA
from analysis.measure import Measurement
from analysis.measure.measurement import Numbers
from analysis.measure.quality import per_class
from analysis.sensitivity import Point, quality_against_ratio
from analysis.tasks import Metric
from ui import computed, figures, keeping, library, metric_table, plans, theme, workspace
from ui.bench import Bench
from ui.forgotten import forgotten_figures
from ui.theme import Palette

COSTS: dict[str, Callable[[Summary], float]] = {
    "Parameters": lambda t: t.parameters,
    "Nonzero connections": lambda t: t.nonzero_connections,
    "MACs": lambda t: t.macs,
    "Bytes as saved": lambda t: t.saved,
    "Bytes, best lossless encoding": lambda t: t.best,
    "Latency, % of the dense network's": lambda t: 100 * t.latency / t.dense_latency,
}
_DRAWN = 200  # trials of the chart: the newest, and those that stand out
_NAMED = 8  # layers of a hover text
_COST_CARDS: tuple[tuple[str, Callable[[float], str], Callable[[Numbers], float], str | None], ...] = (
    ("Nonzero connections", theme.count, lambda m: m.cost.nonzero_connections, None),
    (
        "Bytes as saved",
        theme.bytes_text,
        lambda m: m.size.saved,
        "The safetensors file. Zeros saved densely save nothing.",
    ),
    (
        "Bytes, best lossless",
        theme.bytes_text,
        lambda m: m.size.best,
        "The smallest of several encodings that were really made; its name is below.",
    ),
)
SIBLING_RATIOS = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


def metric_cards(now: Measurement, dense: Measurement) -> None:
    """Two metrics, size and latency, each against the dense network; conditions and all metrics below.

    Parameters and MACs stand in the prune console.
    """
    task = now.evaluation.task
    is_dense = not now.change
    cards = itertools.chain.from_iterable(st.columns(2) for _ in itertools.count())
    for metric in (task.headline, task.companion):
        next(cards).metric(
            metric.label,
            theme.number(now.quality[metric.key].value, metric),
            **({} if is_dense else theme.delta_look(now.change[metric.key], metric)),
            border=True,
            help=f"95% interval {theme.interval(now.quality[metric.key], metric)}"
            + ("" if is_dense else f"; change {_change(now, metric)} (paired)"),
        )
    next(cards).metric(
        "Latency",
        f"{now.latency.median:.2f} ms",
        **({} if is_dense else _latency_look(now)),
        border=True,
        help="Median of timed passes after warm-up. The dense network is timed in turn with this one; "
        "a change is coloured only if the middle halves of the two do not overlap.",
    )
    for label, text, cost, help_text in _COST_CARDS:
        next(cards).metric(
            label,
            text(cost(now)),
            **({} if is_dense else theme.saving_look(cost(now), cost(dense))),
            border=True,
            help=help_text,
        )
    headline = task.headline
    st.caption(
        f"{headline.label}: 95% interval **{theme.interval(now.headline, headline)}**"
        + ("" if is_dense else f", change **{_change(now, headline)}**")
        + f", on {now.evaluation.split.origin}. Best lossless encoding: {now.size.best_encoding}"
        + ("" if is_dense else f" (dense: {dense.size.best_encoding})")
        + f". Latency: middle half {now.latency.low:.2f} to {now.latency.high:.2f} ms, batch "
        f"{now.latency.batch}, {theme.counted(now.latency.threads, 'thread')}, {now.latency.runs} runs"
        + ("." if is_dense else f"; dense {now.dense_latency.median:.2f} ms in the same moments.")
    )
    with st.expander("All metrics"):
        metric_table.draw(now, dense)


def trade_off(palette: Palette) -> None:
    """The plans tried, quality against a cost of choice; a click brings a plan back."""
    every, current = keeping.summaries(), keeping.current_key()
    metric = workspace.opened().dataset.task.headline
    with st.container(border=True):
        head = st.columns([3, 3], vertical_alignment="center")
        head[0].subheader("Trade-off", anchor=False)
        workspace.keep(workspace.COST)
        label = head[1].selectbox("Against", list(COSTS), key=workspace.COST, label_visibility="collapsed")
        cost = COSTS[label]
        front = {trial.id for trial in pareto_front(every, cost, lambda t: t.headline.value)}
        trials = [t for t in every[:-_DRAWN] if t.id in front or t.label.star or t.key == current] + every[
            -_DRAWN:
        ]
        here = next((i for i, trial in enumerate(trials) if trial.key == current), None)
        figure = figures.trade_off(
            [(cost(t), t.headline, _describe(t)) for t in trials],
            [i for i, trial in enumerate(trials) if trial.id in front],
            here,
            palette,
            metric=metric,
            cost_label=label,
        )
        key = workspace.choice_key("chart", f"{len(every)}:{here}")
        st.plotly_chart(
            figure, key=key, config=figures.CONFIG, selection_mode="points",
            on_select=lambda: _bring_back(key, trials),
        )  # fmt: skip
        which = "Every plan tried" if len(trials) == len(every) else f"{len(trials)} of the plans tried"
        st.caption(
            f"{which} in this history ({len(every):,}), with its 95% interval. Up and to the left is "
            "better; the dotted front joins the plans that no other beats. Click a point to bring its plan back; "
            "History has them all."
        )


def _describe(trial: Summary) -> str:
    """A trial in a hover text."""
    metric = workspace.opened().dataset.task.headline
    quality = f"{metric.label} {theme.number(trial.headline.value, metric)}"
    counts = (
        f"{theme.count(trial.parameters)} parameters, {theme.count(trial.macs)} MACs, {trial.latency:.2f} ms"
    )
    if trial.is_dense:
        return f"<b>dense</b><br>{quality}<br>{counts}"
    what = "channels and weights" if trial.granularity == MIXED else f"{trial.granularity}s"
    what += f" by {trial.criterion}" if trial.criterion else " picked by hand"
    title = html.escape(trial.label.name) or what + (", recovered" if trial.is_recovered else "")
    layers = workspace.network().layers
    known = len(layers) == len(trial.layers)  # another version may have seen other layers in the same file
    lost = [
        f"{layer.name} −{1 - left / layer.connections:.0%}"
        for layer, left in zip(layers, trial.layers if known else (), strict=known)
        if left < layer.connections
    ]
    more = [f"and {len(lost) - _NAMED} more layers"] if len(lost) > _NAMED else []
    return "<br>".join([f"<b>{title}</b>", quality, counts, *lost[:_NAMED], *more])


def _bring_back(key: str, trials: Sequence[Summary]) -> None:
    """Put the plan of the clicked point in force."""
    points = st.session_state[key].selection.points
    if points and "customdata" in points[0]:
        plans.bring_back(trials[int(points[0]["customdata"][0])].id)


def class_change(now: Measurement, dense: Measurement, names: Sequence[str], palette: Palette) -> None:
    """Accuracy of each class before and after."""
    before, after = (per_class(m.evaluation, len(names)) for m in (dense, now))
    st.plotly_chart(forgotten_figures.class_accuracy(names, before, after, palette), config=figures.CONFIG)
    st.caption(
        "Accuracy of each class with its 95% interval. Classes that moved to the left paid for the cut."
    )


def sibling_curves(palette: Palette) -> None:
    """How far networks of the same architecture, trained differently, can be pruned."""
    names = workspace.opened().siblings
    if not names:
        return
    with st.expander("Regularise, then prune: how far do the siblings go?"):
        state = workspace.bench()
        st.caption(
            f"Prunes {', '.join(map(library.title, names))} further and further, every target alike, by "
            f"{CRITERIA[state.criterion].label} on {state.granularity}s, and measures each."
        )
        key = (names, state.criterion, state.granularity, workspace.image_count())
        if st.button("Measure the siblings"):
            workspace.keep_result("siblings", key, _measure_siblings(names, state))
        stored = workspace.kept_result("siblings", key)
        if stored:
            metric = workspace.opened().dataset.task.headline
            curves = {
                library.title(name): [(p.ratio, p.quality) for p in points] for name, points in stored.items()
            }
            st.plotly_chart(figures.quality_curves(curves, palette, metric), config=figures.CONFIG)
            st.caption(
                "The later a curve falls, the more of that network was redundant. Bands are 95% intervals."
            )


def _measure_siblings(names: Sequence[str], state: Bench) -> dict[str, tuple[Point, ...]]:
    curves: dict[str, tuple[Point, ...]] = {}

    def run(report: computed.Progress) -> None:
        for i, name in enumerate(names):
            sample = library.load(name)
            curves[name] = quality_against_ratio(
                sample.network,
                sample.dataset,
                computed.evaluation_split(name, workspace.image_count()),
                state.criterion,
                state.granularity,
                SIBLING_RATIOS,
                progress=lambda share, done=i: report((done + share) / len(names)),  # type: ignore[misc]
            )

    workspace.run_with_progress("Measuring…", run)
    return curves


def _latency_look(now: Measurement) -> dict[str, Any]:
    look = theme.saving_look(now.latency.median, now.dense_latency.median)
    if now.latency.overlaps(now.dense_latency):
        look["delta_color"] = "off"
    return look


def _change(now: Measurement, metric: Metric) -> str:
    return theme.change_interval(now.change[metric.key], metric)
