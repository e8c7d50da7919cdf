"""The search view of the Allocate page: a front of plans that grows while one watches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from analysis.allocation.goals import GOALS, Goal, in_words
from analysis.allocation.registry import METHODS
from analysis.allocation.search import (
    MOST_KNOBS,
    SAMPLERS,
    SEARCHED,
    TRIED,
    Tried,
    front,
    searchable,
)
from analysis.importance import CRITERIA
from analysis.pruning.plan import make_plan, targets
from analysis.sensitivity import rankable
from analysis.units import Message
from analysis.units.search import hints, parameters, trials_of
from ui import computed, figures, keeping, plans, studies, theme, workspace
from ui.allocate import asking, plan_figures, search_figures
from ui.allocate.asking import Asked

LABELS: Mapping[str, str] = {
    SEARCHED: "found by the search",
    TRIED: "tried by hand",
    **{name: method.label for name, method in METHODS.items()},
}
_TRIALS = (60, 120, 240, 480)
_BATCH = 10  # trials that come into the chart together
_SEEDS = 100  # plans tried before that a search begins with, the newest
_SAMPLER_SECONDS = 0.1  # that proposing a trial takes


def search() -> None:
    """What is searched for, the search, and what it found."""
    with st.container(border=True):
        left, right = st.columns([3, 2], gap="large")
        with right:
            granularity, criterion, cap = asking.cuts()
        with left:
            kind = st.selectbox(
                "Cost to bring down", searchable(granularity), format_func=lambda k: GOALS[k].label,
                key=f"search:cost:{granularity}", persist_state="session", help=_cost_help(),
            )  # fmt: skip
            first, second, third = st.columns(3)
            trials = first.selectbox(
                "Trials", _TRIALS, index=1, key="search:trials", persist_state="session",
                help="Proposals of the other methods and plans of this session are tried first, and count.",
            )  # fmt: skip
            sampler = second.selectbox(
                "Sampler", list(SAMPLERS), index=list(SAMPLERS).index("tpe"), key="search:sampler",
                format_func=lambda name: SAMPLERS[name].label, persist_state="session",
                help="  \n".join(f"{entry.label}: {entry.sentence}" for entry in SAMPLERS.values()),
            )  # fmt: skip
            seed = third.number_input(
                "Seed", 0, 9999, 0, key="search:seed", persist_state="session",
                help="The same seed gives the same search.",
            )  # fmt: skip
    label = CRITERIA[criterion].label
    workspace.run_with_progress(f"Scoring by {label}…", lambda report: workspace.scores(criterion, report))
    held = asking.locked(granularity)
    asked = Asked(Goal(kind, 1.0), granularity, criterion, tuple(METHODS), "smallest-loss", cap, held)
    free = set(rankable(workspace.network(), workspace.scores(criterion), granularity)) - set(held)
    if not free:
        st.info(
            f"There is nothing to search: no target's {granularity}s can be cut by {label}, or all are locked on the Prune "
            "page. Choose the other granularity or another criterion, or unlock one."
        )
        return
    asking.show_locked(held)
    st.caption(_knob_words(len(free)))
    tried = [trial.plan for trial in keeping.trials(_SEEDS)]
    study = studies.Study(
        "search",
        f"Search for plans of {workspace.title()}",
        parameters=parameters(
            kind, granularity, criterion, trials=trials, sampler=sampler, seed=int(seed), held=held, cap=cap
        ),
        hints=hints(asking.known_points(asked), tried),
    )
    studies.panel(
        study, lambda parts: _found(parts, asked, study), button="Search", sentence=_sentence(asked, trials),
    )  # fmt: skip


def _cost_help() -> str:
    return (
        "Quality and this cost are weighed against each other, and neither is estimated. Latency is left out: timings "
        "are noisy, and of many a search would pick the lucky ones."
    )


def _knob_words(count: int) -> str:
    if count <= MOST_KNOBS:
        return f"Searches over {count} ratio{'s' if count > 1 else ''}, one for each target that can be cut."
    return (
        f"Searches over {MOST_KNOBS} ratios, each for a run of neighbours among the {count} targets: more would need far "
        "more trials."
    )


def _sentence(asked: Asked, trials: int) -> str:
    missing = asking.missing_points(asked)
    each = computed.pass_seconds(workspace.network_name(), workspace.image_count())
    seconds = (trials + missing) * each + trials * _SAMPLER_SECONDS
    first = (
        f"Measures {missing} missing sensitivity points for the other methods, then tries"
        if missing
        else "Tries"
    )
    return (
        f"{first} {trials} plans by {CRITERIA[asked.criterion].label}, each pruned and measured: at most "
        f"{theme.duration(seconds)} on a free processor. Plans that are surely beaten are left early."
    )


def _found(parts: Sequence[Message], asked: Asked, study: studies.Study) -> None:
    """The trials so far, how much their front covers, and one of them looked at.

    While the search goes on they are drawn a few at a time: a chart that changes is blank for a moment.
    """
    tried, job, about = trials_of(parts), studies.last(study), study.about
    if job is not None and job.is_live and len(tried) > _BATCH:
        tried = tried[: len(tried) // _BATCH * _BATCH]
    if not tried:
        st.caption(f"{len(parts)} sensitivity points are measured, for the methods that begin the search.")
        return
    metric = workspace.opened().dataset.task.headline
    gauge = computed.gauge(workspace.network_name(), workspace.image_count())
    cost, palette = in_words(asked.goal.kind), theme.palette()
    key = f"search:looked:{about}"
    best = front(tried)
    with st.container(border=True):
        st.subheader(f"{metric.label} against {cost}", anchor=False)
        figure = search_figures.trials(
            tried, LABELS, gauge.dense_headline, palette, metric, cost=cost, chosen=_looked_at(best, key)
        )
        chart = f"search:chart:{about}:{len(tried)}"
        st.plotly_chart(
            figure,
            key=chart,
            config=figures.CONFIG,
            selection_mode="points",
            on_select=lambda: _look_at(chart, key),
        )
        early = sum(not trial.is_exact for trial in tried)
        st.caption(
            "Up and to the left is better. All plans are measured right after the cut, without the repair that proposals may "
            "have had: what is lost here may come back. The line joins the plans that no other beats: its points were measured "
            "on all "
            f"{workspace.image_count():,} {workspace.opened().dataset.noun}. {_early_words(early, len(tried))}"
            "The front is the best of many on these same examples, so on others expect a little less. Click a point to "
            "look at its plan."
        )
        _coverage(tried, gauge.dense_headline, gauge.floor)
    number = _looked_at(best, key)
    if number is not None:
        _plan(tried, best, asked, number, key)


def _coverage(tried: Sequence[Tried], dense: float, guess: float) -> None:
    if dense <= guess:
        st.caption(
            "The dense network is no better than guessing on these examples, so there is no quality to keep."
        )
        return
    st.plotly_chart(
        search_figures.coverage(tried, LABELS, dense, guess, theme.palette()), config=figures.CONFIG
    )
    st.caption(
        "How much of the area between guessing and the dense network, and between no cost and all of it, the front covers. "
        "Where the line is flat, the search finds nothing new."
    )


def _early_words(early: int, tried: int) -> str:
    if not early:
        return ""
    return f"Of {tried} plans, {early} were left as soon as their 95% interval lay below it. "


def _look_at(chart: str, key: str) -> None:
    """Look at the plan of the clicked point."""
    points = st.session_state[chart].selection.points
    if points and "customdata" in points[0]:
        st.session_state[key] = int(points[0]["customdata"][0])


def _choose(choice: str, shown: int, key: str) -> None:
    """Look at the plan that was chosen from the list, if it is another than the one shown."""
    chosen = st.session_state.get(choice)
    if chosen is not None and chosen != shown:
        st.session_state[key] = chosen


def _looked_at(best: Sequence[Tried], key: str) -> int | None:
    """The number of the trial that is looked at: what the user chose, or of the front the one nearest to half the cost."""
    if key in st.session_state:
        return st.session_state[key]
    return min(best, key=lambda trial: abs(trial.share - 0.5)).number if best else None


def _plan(tried: Sequence[Tried], best: Sequence[Tried], asked: Asked, number: int, key: str) -> None:
    """One plan: its ratios, and the way to the console."""
    metric = workspace.opened().dataset.task.headline
    by_number = {trial.number: trial for trial in tried}
    offered = sorted({number, *(trial.number for trial in best)}, key=lambda n: by_number[n].share)

    def words(number: int) -> str:
        trial = by_number[number]
        return (
            f"{trial.share:.1%} of the {in_words(asked.goal.kind)}: {metric.label} "
            f"{theme.number(trial.quality.value, metric)} ({LABELS[trial.origin]}, trial {number + 1})"
        )

    with st.container(border=True):
        left, right = st.columns([3, 1], vertical_alignment="bottom")
        choice = f"{key}:{number}:{len(tried)}"  # of these trials alone: a late callback is for no other
        left.selectbox(
            "A plan of the front, or the point that was clicked", offered, index=offered.index(number),
            format_func=words, key=choice,
            on_change=lambda: _choose(choice, number, key),
        )  # fmt: skip
        trial = by_number[number]
        network = workspace.network()
        plan = make_plan(network, asked.criterion, asked.granularity, trial.ratios)
        with right:
            plans.console_button(plan, "search:open")
        names = targets(network, asked.granularity)
        rows = [plan_figures.Row(target, {}, trial.ratios.get(target, 0.0)) for target in names]
        st.plotly_chart(
            plan_figures.removed(rows, theme.palette(), after="removed by this plan"), config=figures.CONFIG
        )
        st.caption(
            "What this plan removes of each target, from the input on. It can be tuned by hand in the console."
        )
