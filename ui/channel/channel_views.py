"""The Channel page: the choice of a channel, the decision, its numbers and ranks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from analysis.errors import PlanError, PrunescopeError
from analysis.importance import CRITERIA, suits
from analysis.importance.scores import Scores, group_scores
from analysis.inside.channel import Effect, rank
from analysis.inside.channel_activity import (
    Activity,
    entries_of,
    twin,
)
from analysis.inside.decision import decide, sentence
from analysis.measure.quality import Evaluation
from analysis.network import Group
from analysis.pruning.plan import Pick, Plan, repick
from analysis.pruning.selection import removal_count, select
from ui import computed, figures, plans, theme, workspace
from ui.bench import dense_plan
from ui.channel import channel_facts, channel_figures
from ui.computed import Progress
from ui.recover import taking

_WAYS: dict[str, bool | None] = {"As the plan says": None, "Keep by hand": False, "Remove by hand": True}

Found = TypeVar("Found")


@dataclass(frozen=True, eq=False)
class View:
    """The channel that the page is about, the plan that decides on it, and what was found out.

    `gone` are the channels of its group that the plan removes. `heard` and `alone` are None where they cannot
    be: the reasons say why.
    """

    group: Group
    channel: int
    layer: str
    plan: Plan
    scores: Scores
    gone: tuple[int, ...]
    heard: Activity | None
    not_heard: str
    alone: Effect | None
    not_alone: str

    @property
    def unit(self) -> str:
        """What a channel of this group is called."""
        return self.group.unit

    @property
    def goes(self) -> bool:
        """True if the plan removes it."""
        return self.channel in self.gone


def choices() -> tuple[Group, int, str]:
    """The controls that choose a group, one of its layers, and a channel."""
    network = workspace.network()
    name, channel, layer = workspace.chosen_channel()
    names = [group.name for group in network.groups]
    columns = st.columns([3, 2.4, 1.6, 0.9, 0.9], vertical_alignment="bottom")
    key = workspace.choice_key("channel_group", name)
    columns[0].selectbox(
        "Coupled layers", names, index=names.index(name), key=key,
        format_func=lambda n: " + ".join(network.group(n).members),
        on_change=_choose_group, args=(key,),
        help="Layers that lose channels together: a channel has a part in each of them.",
    )  # fmt: skip
    group = network.group(name)
    key = workspace.choice_key("channel_layer", f"{name}:{channel}:{layer}")
    columns[1].selectbox(
        "Heard behind", group.members, index=group.members.index(layer), key=key,
        on_change=_choose_layer, args=(key,), disabled=len(group.members) == 1,
        help="The layer whose weights and activations are shown.",
    )  # fmt: skip
    size = len(entries_of(network, group, layer))
    key = workspace.choice_key("channel_number", f"{name}:{layer}:{channel}")
    columns[2].number_input(
        f"{group.unit.capitalize()} (0 to {size - 1:,})", 0, max(size - 1, 0), channel, key=key,
        on_change=_choose_number, args=(key,), disabled=size == 1,
    )  # fmt: skip
    for column, label, step in ((columns[3], "Previous", -1), (columns[4], "Next", 1)):
        column.button(
            label, width="stretch", disabled=size == 1,
            on_click=workspace.choose_channel, args=(name, (channel + step) % size, layer),
        )  # fmt: skip
    return group, channel, layer


def look(group: Group, channel: int, layer: str) -> View:
    """Find out what the page shows, with progress where that takes time."""
    state, images, name = workspace.bench(), workspace.image_count(), workspace.network_name()
    plan = state.plan.as_pruned
    if not plan.cuts:
        plan = Plan(plan.network, state.criterion, (), plan.picks)
    label = CRITERIA[plan.criterion].label
    scores = workspace.with_progress(
        f"Scoring by {label}…", lambda report: workspace.scores(plan.criterion, report)
    )
    gone = select(workspace.network(), plan, scores).channels.get(group.name, ())
    heard, not_heard = _or_reason(
        "Listening to the channels…",
        lambda report: channel_facts.heard(name, group.name, layer, images, report),
    )
    alone, not_alone = _or_reason(
        f"Measuring without {group.unit} {channel}…",
        lambda report: channel_facts.alone(name, group.name, channel, images, report),
    )
    return View(group, channel, layer, plan, scores, gone, heard, not_heard, alone, not_alone)


def decision(view: View) -> None:
    """Why it stays or goes, in a sentence, with the choice to decide by hand."""
    network, state = workspace.network(), workspace.bench()
    verdict = decide(network, view.plan, view.scores, view.group.name, view.channel)
    like = twin(view.heard, view.channel) if view.heard is not None else None
    words = sentence(
        verdict,
        workspace.opened().dataset.task.headline,
        effect=view.alone,
        twin=like,
        twin_goes=like is not None and like.channel in view.gone,
        silent=view.heard is not None and not view.heard.varies(view.channel),
    )
    st.markdown(f"#### {theme.plain(words)}")
    columns = st.columns([4, 1, 2], vertical_alignment="center")
    if view.group.is_prunable:
        chosen = _label_of(view.plan.pick_of(view.group.name, view.channel))
        key = workspace.choice_key("pick", f"{view.group.name}:{view.channel}:{chosen}")
        st.session_state.setdefault(key, chosen)
        columns[0].segmented_control(
            "Decide", list(_WAYS), key=key, required=True, label_visibility="collapsed",
            on_change=_pick, args=(key, view.group.name, view.channel),
        )  # fmt: skip
        columns[1].button("Undo", on_click=state.undo, disabled=not state.done)
    if like is not None:
        columns[2].button(
            f"{'Most alike' if like.correlation >= 0 else 'Most opposite'}: {view.unit} {like.channel} "
            f"({like.correlation:+.2f})",
            on_click=workspace.choose_channel, args=(view.group.name, like.channel, view.layer),
            help=f"Goes there. Of all {view.unit}s of this layer its values correlate most with these, over "
            "examples and positions (Pearson): 1 says the same, -1 the opposite.",
        )  # fmt: skip


def numbers(view: View) -> None:
    """What removing it does, alone and in the plan in force, and what it costs."""
    if not view.group.is_prunable:
        return
    inside, reason = _in_plan(view)
    columns = iter(st.columns(2 + (view.alone is not None) + (inside is not None)))
    if view.alone is not None:
        _change_card(next(columns), view.alone, "Without it alone", "The dense network")
    if inside is not None:
        _change_card(next(columns), inside, f"Plan {_other_way(view)} it", "The plan in force")
    cost = channel_facts.cost(workspace.network_name(), view.group.name, view.channel)
    help_text = f"What goes with this {view.unit} from all the layers it touches, in the dense network."
    next(columns).metric(
        "Parameters with it", f"{cost.parameters:,}", border=True, height="stretch", help=help_text
    )
    next(columns).metric(
        "MACs with it", theme.count(cost.macs), border=True, height="stretch", help=help_text
    )
    for sentence_ in dict.fromkeys(
        filter(None, (view.not_alone, reason, taking.as_pruned_words("This page is")))
    ):
        st.caption(theme.plain(sentence_))


def _change_card(place: DeltaGenerator, effect: Effect, label: str, start: str) -> None:
    metric = workspace.opened().dataset.task.headline
    place.metric(
        label, theme.number(effect.after, metric), border=True, height="stretch",
        **theme.delta_look(effect.change, metric),
        help=f"{metric.label}. {start} has {theme.number(effect.before, metric)}. Measured on {effect.examples:,} "
        f"examples; paired change, 95% interval {theme.change_interval(effect.change, metric)}.",
    )  # fmt: skip


def _other_way(view: View) -> str:
    return "with" if view.goes else "without"


def _in_plan(view: View) -> tuple[Effect | None, str]:
    """The plan in force with this channel decided the other way; for the dense plan that is said already."""
    if view.plan.is_dense:
        return None, ""
    network, name = workspace.network(), view.group.name

    def measure(report: Progress) -> Effect:
        other = repick(view.plan, network, name, view.channel, not view.goes)
        select(network, other, view.scores)
        return channel_facts.between(view.plan, other, name, workspace.image_count(), report)

    return _or_reason("Measuring the plan with and without it…", measure)


def group_strip(view: View) -> None:
    """All channels of the group by rank, the one looked at marked; a click goes to another."""
    values = group_scores(view.scores, workspace.network(), view.group)
    if values is None or not view.group.is_prunable:
        return
    label = CRITERIA[view.plan.criterion].label
    key = workspace.choice_key("strip", f"{view.group.name}:{view.channel}:{len(view.gone)}")
    chart = st.plotly_chart(
        channel_figures.strip(values.numpy(), theme.palette(), y=label, removed=view.gone, current=view.channel),
        key=key, config=figures.CONFIG, on_select="rerun", selection_mode="points",
    )  # fmt: skip
    if points := chart.selection.points:
        workspace.choose_channel(view.group.name, int(points[0]["customdata"]), view.layer)
        st.rerun()
    going = f"{len(view.gone):,} of {view.group.size:,} go (grey)" if view.gone else "none of them goes"
    st.caption(
        f"All {view.unit}s of this group by {label}, the most important first: {going}. Click one to see it."
    )


def ranks(view: View) -> None:
    """Its rank under every criterion."""
    network, name = workspace.network(), workspace.network_name()
    st.subheader("Ranks", anchor=False)
    if not view.group.is_prunable:
        st.info(theme.plain(f"These {view.unit}s are not ranked: {view.group.reason}."))
        return
    known, missing = [], []
    for criterion in CRITERIA.values():
        scores = computed.known_scores(name, criterion.name)
        if scores is None and suits(criterion, network):
            if criterion.needs_data:
                missing.append(criterion)
                continue
            scores = workspace.scores(criterion.name)
        if scores is not None:
            known.append(scores)
    found = [rank(scores, network, view.group.name, view.channel) for scores in known]
    ranked = [entry for entry in found if entry.rank is not None]
    ratio = view.plan.ratios_of("channel").get(view.group.name, 0.0)
    taken = removal_count(view.group.size, ratio, "channel", view.group.floor)
    if ranked:
        figure = channel_figures.rank_strip(
            ranked, theme.palette(), current=view.plan.criterion,
            limit=view.group.size - taken if taken else None,
        )  # fmt: skip
        st.plotly_chart(figure, config=figures.CONFIG)
    st.caption(
        f"To the right is unimportant. The filled dot is {CRITERIA[view.plan.criterion].label}, which decides"
        + ("; the tinted part goes. " if taken else ". ")
        + "Dots far apart: the criteria disagree about it."
    )
    silent = [CRITERIA[entry.criterion].label for entry in found if entry.rank is None]
    if silent:
        st.caption(f"{', '.join(silent)} cannot rank this group.")
    if missing and st.button(
        f"Rank by {len(missing)} more", help="These look at examples: " + ", ".join(c.label for c in missing)
    ):
        for criterion in missing:
            _or_reason(f"Scoring by {criterion.label}…", partial(workspace.scores, criterion.name))
        st.rerun()


def dense_evaluation() -> Evaluation:
    """What the dense network answers to the examples."""
    return computed.measurement(dense_plan(workspace.network_name()), workspace.image_count()).evaluation


def _or_reason(label: str, compute: Callable[[Progress], Found]) -> tuple[Found | None, str]:
    """What was computed, or why it cannot be."""
    try:
        return workspace.with_progress(label, compute), ""
    except PrunescopeError as error:
        return None, str(error)


def _choose_group(key: str) -> None:
    if st.session_state.get(key):
        workspace.choose_channel(st.session_state[key], 0)


def _choose_layer(key: str) -> None:
    name, channel, _ = workspace.chosen_channel()
    if st.session_state.get(key):
        workspace.choose_channel(name, channel, st.session_state[key])


def _choose_number(key: str) -> None:
    name, _, layer = workspace.chosen_channel()
    if st.session_state.get(key) is not None:
        workspace.choose_channel(name, int(st.session_state[key]), layer)


def _label_of(pick: Pick | None) -> str:
    return next(label for label, way in _WAYS.items() if way == (pick.removed if pick else None))


def _pick(key: str, group: str, channel: int) -> None:
    try:
        plans.pick(group, channel, _WAYS[st.session_state[key]])
    except PlanError as error:
        workspace.notice(str(error))
        pick = workspace.bench().plan.pick_of(group, channel)
        st.session_state[key] = _label_of(pick)
