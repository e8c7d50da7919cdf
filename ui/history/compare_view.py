"""The compare view of the History page: chosen trials in every measure, and what their plans say differently."""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from analysis.errors import PrunescopeError
from analysis.history import Summary, Trial, pareto_front
from analysis.history.differences import plan_differences
from analysis.measure.quality import Interval, headline_change
from ui import computed, figures, keeping, plans, report_button, theme, workspace
from ui.history import choosing, compare_figures, difference_table, measure_table, words
from ui.history.compare_figures import MOST, Spot
from ui.prune_results import COSTS

_NAME = 34  # characters in a legend


@dataclass(frozen=True, eq=False)
class Side:
    """A chosen trial with the letter that it goes by."""

    letter: str
    summary: Summary
    trial: Trial

    @property
    def name(self) -> str:
        """Its letter and title, short enough for a legend."""
        title = words.title(self.summary)
        return f"{self.letter} · {title if len(title) <= _NAME else title[: _NAME - 1] + '…'}"


def compare(trials: Sequence[Summary]) -> None:
    """Draw the view."""
    chosen = choosing.chosen_of(trials)
    if len(chosen) < 2:
        st.info("Choose two or more trials first: tick them in the table, or click their dots in the tree.")
        st.button("Go to the table", on_click=choosing.show, args=(choosing.TABLE,))
        return
    if len(chosen) > MOST:
        st.caption(f"{len(chosen):,} trials are chosen; compared are the {MOST} that were kept first.")
    try:
        sides = [
            Side(letter, summary, keeping.trial(summary.id))
            for letter, summary in zip(string.ascii_uppercase, chosen[:MOST], strict=False)
        ]
    except PrunescopeError as error:
        st.error(theme.plain(str(error)))
        return
    _measures(sides)
    left, right = st.columns(2, gap="medium")
    with left, st.container(border=True, height="stretch"):
        _against_cost(sides, trials)
    with right, st.container(border=True, height="stretch"):
        _paired(sides)
    _plans(sides)


def _measures(sides: Sequence[Side]) -> None:
    with st.container(border=True):
        places = st.columns([5, 1.6], vertical_alignment="center")
        places[0].subheader("In every measure", anchor=False)
        with places[1]:
            key = "history:report:" + ":".join(str(side.summary.id) for side in sides)
            report_button.draw_comparison([(side.trial, side.summary.label) for side in sides], key=key)
        heads = [
            (
                f"{side.letter} · {words.title(side.summary)}",
                f"measured {words.when(side.summary.measured_at)}",
            )
            for side in sides
        ]
        known = set().union(*(side.trial.measurement.quality for side in sides))
        metrics = [metric for metric in workspace.opened().dataset.task.metrics if metric.key in known]
        st.html(measure_table.table([side.trial for side in sides], heads, metrics, theme.palette()))
        st.caption(
            f"As they were measured, on {sides[0].summary.images:,} {workspace.opened().dataset.noun}; the small numbers are "
            f"against {sides[0].letter}. Point at a metric's number for its 95% interval. A machine is not always equally fast: "
            "compare latencies in percent of the dense network's, which was timed beside each trial."
        )
        columns = st.columns(MOST)
        for side, column in zip(sides, columns, strict=False):
            in_force = side.summary.key == keeping.current_key()
            column.button(
                f"{side.letter} is in force" if in_force else f"Bring back {side.letter}", disabled=in_force,
                key=f"history:back:{side.summary.id}", on_click=_bring_back, args=(side.summary.id,),
            )  # fmt: skip


def _bring_back(number: int) -> None:
    plans.bring_back(number)


def _against_cost(sides: Sequence[Side], trials: Sequence[Summary]) -> None:
    st.subheader("Quality against cost", anchor=False)
    workspace.keep(workspace.COST)
    label = st.selectbox("Against", list(COSTS), key=workspace.COST, label_visibility="collapsed")
    cost, metric = COSTS[label], workspace.opened().dataset.task.headline
    spots = [
        Spot(side.name, cost(side.summary), f"{cost(side.summary):,.4g}", side.summary.headline)
        for side in sides
    ]
    front = [
        (cost(best), best.headline.value) for best in pareto_front(trials, cost, lambda t: t.headline.value)
    ]
    figure = compare_figures.quality_and_cost(spots, front, theme.palette(), metric=metric, cost=label)
    st.plotly_chart(figure, config=figures.CONFIG, key="history:cost")
    st.caption(
        "Up and to the left is better; bars are 95% intervals. The dotted line joins the best trials of this history: for "
        "a trial below it, some other trial is at least as good in both."
    )


def _paired(sides: Sequence[Side]) -> None:
    """The difference of the headline against the first trial, both answering the same examples."""
    st.subheader(f"Difference against {sides[0].letter}, example by example", anchor=False)
    images = workspace.image_count()
    key = (images, tuple(side.trial.plan for side in sides))
    st.caption(
        "Intervals of two networks may overlap although one is better. Here both answer the same examples, so that smaller "
        "differences show."
    )
    if st.button("Measure the differences now", key="history:paired"):
        with st.spinner("Measuring…"):
            workspace.keep_result("paired", key, _differences(sides, images))
    found: dict[str, Interval | str] | None = workspace.kept_result("paired", key)
    if found is None:
        return
    metric = workspace.opened().dataset.task.headline
    for side in sides[1:]:
        difference = found[side.letter]
        if isinstance(difference, str):
            st.warning(theme.plain(f"{side.name}: {difference}"))
            continue
        st.metric(
            theme.plain(side.name), theme.delta(difference.value, metric),
            help=f"95% interval {theme.change_interval(difference, metric)}", border=True,
        )  # fmt: skip
        verdict = theme.verdict(difference, metric)
        st.caption(
            f"95% interval {theme.change_interval(difference, metric)}: "
            + (
                f"{verdict} than {sides[0].letter}."
                if verdict
                else f"no difference beyond noise from {sides[0].letter}."
            )
        )


def _differences(sides: Sequence[Side], images: int) -> dict[str, Interval | str]:
    """By letter the paired change of the headline against the first trial, or why there is none."""
    measured, refused = {}, {}
    for side in sides:
        try:
            measured[side.letter] = computed.measurement(side.trial.plan, images).evaluation
        except PrunescopeError as error:
            refused[side.letter] = str(error)
    first = sides[0].letter
    found: dict[str, Interval | str] = {}
    for side in sides[1:]:
        reason = refused.get(side.letter) or refused.get(first)
        found[side.letter] = reason or headline_change(measured[side.letter], measured[first])
    return found


def _plans(sides: Sequence[Side]) -> None:
    """What the plans say differently: a chart for each granularity, and all of it as a table."""
    own = [side.trial.plan for side in sides]
    found = difference_table.in_order(plan_differences(own))
    with st.container(border=True):
        st.subheader("What the plans say differently", anchor=False)
        if not found:
            st.caption("Nothing: they remove the same.")
            return
        for granularity in ("channel", "weight"):
            rows = [difference for difference in found if difference.aspect == granularity]
            if rows:
                st.markdown(f"**{granularity.capitalize()}s removed**")
                figure = compare_figures.dumbbells(rows, [side.name for side in sides], theme.palette())
                st.plotly_chart(figure, config=figures.CONFIG, key=f"history:dumbbells:{granularity}")
                st.caption(
                    f"A row for each target from the input on, and a mark for the share of its {granularity}s that each plan "
                    "removes: look for long bars, where the plans disagree. Targets that all cut alike are left out."
                )
        difference_table.draw(own, [side.letter for side in sides], key="history:differences")
