"""The transfer view of the Allocate page: a plan of another network carried over to this one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import streamlit as st

from analysis.allocation.transfer import Taken, Transfer
from analysis.allocation.transfer import transfer as carry_over
from analysis.errors import PlanError, PrunescopeError
from analysis.importance import CRITERIA, suits
from analysis.network import Network
from analysis.pruning.plan import Granularity, Plan, targets
from analysis.pruning.plan_json import from_json
from analysis.sources import stem_of
from ui import figures, library, plans, services, theme, workspace
from ui.allocate import plan_figures
from ui.allocate.plan_words import plan_words, what_is_left

_FILE = "a plan file"
_OFFERED = 200  # plans of a network, the newest


@dataclass(frozen=True)
class Offer:
    """A plan that can be carried over, the name of its network and what it is called."""

    network: str
    plan: Plan
    label: str


def transfer() -> None:
    """Choose a plan of another network, see what it would remove of this one, and open that in the console."""
    st.caption(
        "What one network can do without says something of its kin. Take a plan of another network, or from a file, and "
        "see what it would remove here. How well it carries over is for the console to measure."
    )
    with st.container(border=True):
        offer = _choose()
        if offer is None:
            return
        criterion = _criterion(offer.plan)
    try:
        source = library.load(offer.network).network
        workspace.run_with_progress(
            f"Scoring by {CRITERIA[criterion].label}…", lambda report: workspace.scores(criterion, report)
        )
        plan = replace(offer.plan, criterion=criterion, recovered="")
        found = carry_over(plan, source, workspace.network(), workspace.scores(criterion))
        workspace.check_fits(found.plan)
    except PrunescopeError as error:
        st.error(theme.plain(str(error)))
        return
    _result(found, source)


def _choose() -> Offer | None:
    """The plan that is carried over; None, with a sentence, if there is none yet."""
    offers = _offers()
    sources = [*dict.fromkeys(offer.network for offer in offers), _FILE]
    left, right = st.columns([1, 2])
    source = left.selectbox(
        "From", sources, format_func=lambda name: name if name == _FILE else library.title(name),
        key=f"transfer:from:{workspace.network_name()}", persist_state="session",
    )  # fmt: skip
    if source == _FILE:
        file = right.file_uploader("A plan (.json)", type="json", key="transfer:file", max_upload_size=1)
        if file is None:
            _nothing(has_offers=bool(offers))
            return None
        return _read(file.name, file.getvalue())
    own = [offer for offer in offers if offer.network == source]
    number = right.selectbox(
        "Its plans, the one in force first", range(len(own)), format_func=lambda i: own[i].label,
        key=f"transfer:plan:{workspace.network_name()}:{source}:{len(own)}",
    )  # fmt: skip
    return own[number]


def _offers() -> list[Offer]:
    """The plans that this history has of other networks: the one in force, then those tried, newest first."""
    history, store, found = workspace.history(), services.store(), []
    for name in library.names(history):
        if name == workspace.network_name():
            continue
        try:
            in_force = store.plan(history, name)
            newest = [trial.id for trial in reversed(store.summaries(history, name))][:_OFFERED]
            trials = store.trials(history, newest)
        except PrunescopeError:  # kept by another version, or damaged: there are others
            continue
        labels = {} if in_force is None else {in_force: f"in force: {plan_words(in_force)}"}
        for number in newest:
            trial = trials[number]
            metric = library.load(name).dataset.task.headline
            labels.setdefault(trial.plan, plan_words(trial.plan, trial.measurement, metric))
        found += [Offer(name, plan, label) for plan, label in labels.items() if not plan.is_dense]
    return found


def _nothing(*, has_offers: bool) -> None:
    if not has_offers:
        st.info(
            "No other network has a plan in this history yet. Prune one (choose it in the sidebar, then move a slider on "
            "the Prune page), or bring a plan file here."
        )


def _read(name: str, text: bytes) -> Offer | None:
    """The plan of a file; None, with a sentence, if there is none in it."""
    try:
        plan = from_json(text)
        return Offer(_network_of(plan), plan, name)
    except PrunescopeError as error:
        st.error(theme.plain(str(error)))
        return None


def _network_of(plan: Plan) -> str:
    """The network that a plan from a file was made for; this one if that is not here, but has all targets."""
    names = library.names(workspace.history())
    stem = stem_of(plan.network)
    known = next(
        (n for n in names if n == plan.network), next((n for n in names if stem_of(n) == stem), None)
    )
    if known is not None:
        return known
    chosen = workspace.network()
    aims = [(cut.target, cut.granularity) for cut in plan.cuts]
    aims += [(pick.target, "channel") for pick in plan.picks]
    if all(target in targets(chosen, granularity) for target, granularity in aims):
        return chosen.name
    raise PlanError(
        f"The plan was made for {plan.network!r}, which is not here, and {workspace.title()} lacks some of its targets. "
        "Where they stand is read off their network: open that on the Open page first."
    )


def _criterion(plan: Plan) -> str:
    """What ranks the channels or weights of this network: the plan's own criterion if it can."""
    weights = bool(plan.ratios_of("weight"))
    fitting = [
        c.name
        for c in CRITERIA.values()
        if (c.unit == "weight" or not weights) and suits(c, workspace.network())
    ]
    first = plan.criterion if plan.criterion in fitting else "l1"
    return st.selectbox(
        "Criterion", fitting, index=fitting.index(first), format_func=lambda name: CRITERIA[name].label,
        key=f"transfer:criterion:{workspace.network_name()}:{plan.criterion}:{weights}",
        help="The plan says how much goes of each target. Which channels or weights that is, this says.",
    )  # fmt: skip


def _result(found: Transfer, source: Network) -> None:
    left, right = st.columns([3, 1], vertical_alignment="center")
    left.markdown(f"**{found.sentence}** {_left_out_words(found)}")
    with right:
        plans.console_button(found.plan, "transfer:open")
    what_is_left(found.plan)
    for granularity in ("channel", "weight"):
        entries = [entry for entry in found.taken if entry.granularity == granularity]
        if entries:
            _removed(granularity, entries, library.title(source.name))


def _left_out_words(found: Transfer) -> str:
    count = len(found.left_out)
    if not count:
        return "All of it goes along."
    return (
        f"{count} target{'s take' if count > 1 else ' takes'} no part, or not with all: the table says why."
    )


def _removed(granularity: Granularity, entries: list[Taken], source: str) -> None:
    with st.container(border=True):
        st.subheader(f"{granularity.capitalize()}s that go", anchor=False)
        rows = [
            plan_figures.Row(
                entry.target,
                {f"read off {source}": entry.wanted},
                entry.ratio,
                entry.reason or (f"from {' and '.join(entry.sources)}" if entry.sources else ""),
                lost=bool(entry.reason) and entry.ratio == 0 and not entry.picks,
            )
            for entry in entries
        ]
        st.plotly_chart(
            plan_figures.removed(rows, theme.palette(), after="what goes here"), config=figures.CONFIG
        )
        st.caption(
            "Open marks: the ratio that was read off the other plan. Filled: what goes here of the same target. They part "
            "where a target takes no part, or where channels must stay."
        )
        with st.expander("Target by target"):
            st.dataframe(
                [
                    {
                        "target": entry.target,
                        "depth": f"{entry.depth:.2f}",
                        "from": ", ".join(entry.sources) or "–",
                        "read": f"{entry.wanted:.1%}",
                        "goes": f"{entry.ratio:.1%}",
                        "picked by hand": entry.picks or "–",
                        "why not": entry.reason,
                    }
                    for entry in entries
                ],
                hide_index=True,
                column_config={"why not": st.column_config.TextColumn(width="large")},
            )
