"""Proposals: a goal, whether it can be met, and what several methods make of it, before and after recovery."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import streamlit as st

from analysis.allocation.goals import in_words
from analysis.allocation.registry import METHODS
from analysis.allocation.repaired_curves import usual_repair
from analysis.importance import CRITERIA
from analysis.pruning.plan import Plan, targets
from analysis.units import Message, recovered_proposals
from analysis.units import proposals as unit
from analysis.units.proposals import Measured
from analysis.units.recovered_proposals import Recovery
from ui import computed, figures, plans, studies, theme, workspace
from ui.allocate import asking, proposal_figures
from ui.allocate.asking import Asked

_EPOCHS = 3
_START_SECONDS = 6.0  # a worker takes until its first measurement
_MEASURED = 3  # passes that quality and cost of a proposal take, about
_PASSES = 4  # forward passes of a compiled network that an example costs in training, about


def proposals() -> None:
    """Draw the view."""
    asked = asking.ask()
    if not asked.methods:
        st.info("Choose at least one method.")
        return
    criterion = CRITERIA[asked.criterion]
    workspace.run_with_progress(
        f"Scoring by {criterion.label}…", lambda report: workspace.scores(criterion.name, report)
    )
    with st.spinner("Looking how far one can get…"):
        judged = asking.judged(asked)
        sentence = _sentence(asked) if judged.is_met else ""
    if not judged.is_met:
        st.warning(theme.plain(judged.sentence))
        return
    st.caption(f"**Can be met.** {theme.plain(judged.sentence)}")
    study = _study(asked)
    studies.panel(
        study, lambda parts: _found(parts, asked), button="Propose", sentence=sentence, name="proposals",
    )  # fmt: skip
    if studies.is_complete(study):
        _recovery(asked, _made(studies.parts(study)))


def _study(asked: Asked) -> studies.Study:
    return studies.Study(
        "proposals",
        f"Proposals for {workspace.title()}: {asked.goal.words()}",
        parameters=unit.parameters(
            asked.goal, asked.granularity, asked.criterion, asked.methods,
            order=asked.order, cap=asked.cap, held=asked.held, repaired=asked.repaired,
        ),
        hints=unit.hints(asking.known_points(asked)),
    )  # fmt: skip


def _sentence(asked: Asked) -> str:
    points, methods = asking.missing_points(asked), len(asked.methods)
    images = workspace.image_count()
    each = computed.pass_seconds(workspace.network_name(), images)
    repair = computed.repair_seconds(workspace.network_name()) if asked.repaired else 0.0
    first = (
        f"First measures the sensitivity of every target, up to {points:,} measurements. " if points else ""
    )
    seconds = _START_SECONDS + (points + _MEASURED * methods) * (each + repair)
    return (
        f"{first}Makes a plan by each of {methods} methods and measures it on {images:,} "
        f"{workspace.opened().dataset.noun}: {theme.duration(seconds)}."
    )


def _made(parts: Sequence[Message]) -> list[Measured]:
    """The proposals that were made, without those that were refused."""
    return [made for made in unit.proposals_of(parts) if made.appraisal is not None]


def _found(parts: Sequence[Message], asked: Asked) -> None:
    """The proposals so far: chart, table, what each cuts, and the way to the console."""
    made, dense = _made(parts), unit.dense_of(parts)
    for refused in (found for found in unit.proposals_of(parts) if found.refused):
        st.caption(f"{METHODS[refused.method].label}: {theme.plain(refused.refused)}")
    if not made or dense is None:
        points = len(unit.points_of(parts))
        st.caption(f"{points:,} sensitivity points measured so far; proposals follow." if points else "")
        return
    with st.container(border=True):
        after = f"after {usual_repair(workspace.network())}" if asked.repaired else "as cut"
        st.subheader(f"What each keeps and costs, {after}", anchor=False)
        _chart(made, dense.quality.value, asked, {})
        st.caption(
            f"One row a method. Left: what each keeps, with its 95% interval; the short line is what the sensitivity curves "
            f"had estimated, dotted is the dense network. Right: what is left of the cost. Dashed is what was asked for. "
            f"{_best_words(made, asked)}"
        )
        st.dataframe([_row(found) for found in made], hide_index=True)
    with st.container(border=True):
        st.subheader("What each cuts where", anchor=False)
        shown = {METHODS[m.method].label: m.proposal.plan.ratios for m in made if m.proposal}
        figure = proposal_figures.ratios(
            shown, targets(workspace.network(), asked.granularity), theme.palette()
        )
        st.plotly_chart(figure, config=figures.CONFIG)
        st.caption(
            f"Share of each target's {asked.granularity}s that goes, in percent, targets from the input on. Rows in which "
            "the columns differ are what the methods disagree about."
        )
        best = _best(made, asked)
        ordered = [best, *(found for found in made if found is not best)]
        _to_console({found.name: found.proposal.plan for found in ordered if found.proposal}, "proposed")


def _best_words(made: Sequence[Measured], asked: Asked) -> str:
    """Which proposal answers the goal best, and how sure that is."""
    metric = workspace.opened().dataset.task.headline
    best, cost = _best(made, asked), _cost(asked)
    name = METHODS[best.method].label
    assert best.appraisal is not None
    if not asked.goal.about.is_cost:
        return (
            f"{name} costs least: {100 * best.appraisal.shares[cost]:.1f}% of the {in_words(cost)} are left."
        )
    quality = best.appraisal.quality
    return (
        f"{name} keeps most: {theme.number(quality.value, metric)} (95% interval {theme.interval(quality, metric)}). "
        "Rows whose intervals overlap may be in another order on other examples."
    )


def _best(made: Sequence[Measured], asked: Asked) -> Measured:
    """The proposal that keeps most, or, for a quality to keep, that costs least."""
    if asked.goal.about.is_cost:
        return max(made, key=lambda found: found.appraisal.quality.value if found.appraisal else -math.inf)
    cost = _cost(asked)
    return min(made, key=lambda found: found.appraisal.shares[cost] if found.appraisal else math.inf)


def _cost(asked: Asked) -> str:
    """The cost that is shown beside the quality."""
    if asked.goal.about.is_cost:
        return asked.goal.kind
    return "macs" if asked.granularity == "channel" else "connections"


def _chart(made: Sequence[Measured], dense: float, asked: Asked, after: Mapping[str, Recovery]) -> None:
    goal, cost = asked.goal, _cost(asked)
    rows = [
        proposal_figures.Row(
            METHODS[found.method].label,
            found.appraisal.quality,
            (found.proposal.share if goal.about.is_cost else None) or found.appraisal.shares[cost],
            found.proposal.predicted,
            after[found.name].quality if found.name in after else None,
        )
        for found in made
        if found.appraisal is not None and found.proposal is not None
    ]
    figure = proposal_figures.quality_and_cost(
        rows, dense, theme.palette(), workspace.opened().dataset.task.headline,
        cost=in_words(cost), limit=goal.value if goal.about.is_cost else None,
        floor=None if goal.about.is_cost else goal.value,
    )  # fmt: skip
    st.plotly_chart(figure, config=figures.CONFIG, key=f"proposals:{bool(after)}")


def _row(found: Measured) -> dict[str, Any]:
    assert found.appraisal is not None and found.proposal is not None
    metric, measured, made = workspace.opened().dataset.task.headline, found.appraisal, found.proposal
    estimate = "no curves" if made.predicted is None else theme.number(made.predicted, metric)
    return {
        "method": METHODS[found.method].label,
        metric.label: theme.number(measured.quality.value, metric),
        "change (95% interval)": f"{theme.delta(measured.change.value, metric)} "
        f"({theme.change_interval(measured.change, metric)})",
        "estimate": estimate,
        "MACs": theme.count(measured.costs["macs"]),
        "parameters": theme.count(measured.costs["parameters"]),
        "nonzero connections": theme.count(measured.costs["connections"]),
        "best encoding": theme.bytes_text(measured.costs["best-bytes"]),
        "latency": f"{measured.costs['latency']:.2f} ms ({measured.shares['latency']:.0%})",
    }


def _to_console(plans_of: Mapping[str, Plan], what: str) -> None:
    """Proposals by name, the best one first, and the way to the console with one of them."""
    left, right = st.columns([2, 3], vertical_alignment="bottom")
    name = left.selectbox(
        "Proposal", list(plans_of), format_func=_label, key=f"allocate:{what}:{next(iter(plans_of))}"
    )
    with right:
        plans.console_button(plans_of[name], f"allocate:open:{what}")
    st.caption(
        "It becomes the plan in force on the Prune page, to be tuned by hand; undo there brings the one before back."
    )


def _label(name: str) -> str:
    """A proposal's name, for people: its method."""
    return METHODS[name.split()[0]].label


def _recovery(asked: Asked, made: Sequence[Measured]) -> None:
    """The same recovery for several proposals: which is best afterwards?"""
    if not made:
        return
    st.subheader("After the same recovery", anchor=False)
    labels = {found.name: METHODS[found.method].label for found in made}
    left, right = st.columns([3, 1], gap="large", vertical_alignment="bottom")
    chosen = left.pills(
        "Recover", list(labels), selection_mode="multi", default=list(labels), format_func=labels.__getitem__,
        key=f"allocate:recover:{':'.join(labels)}", wrap=True,
    )  # fmt: skip
    epochs = right.slider("Epochs for each", 1, 20, _EPOCHS, key="allocate:epochs", persist_state="session")
    if not chosen:
        st.caption("Choose at least one proposal to recover.")
        return
    wanted: dict[str, Plan] = {
        found.name: found.proposal.plan
        for found in made
        if found.name in chosen and found.proposal is not None
    }
    recipe = recovered_proposals.recipe_for(epochs)
    study = studies.Study(
        "recovered-proposals",
        f"Recovery of {len(wanted)} proposals for {workspace.title()}: {asked.goal.words()}",
        parameters=recovered_proposals.parameters(wanted, recipe),
    )
    dataset = workspace.opened().dataset
    each = computed.pass_seconds(workspace.network_name(), workspace.image_count()) / workspace.image_count()
    seconds = len(wanted) * epochs * len(dataset.calibration) * _PASSES * each
    studies.panel(
        study, lambda parts: _recovered(parts, asked, made), button="Recover them all", name="recovered",
        sentence=f"Fine-tunes each proposal for {epochs} epochs on {dataset.calibration.origin} (Adam, learning "
        f"rate {recipe.learning_rate:g}; held-out examples choose the epoch, or the start if none is better) and measures it "
        f"again: {theme.duration(seconds)}. "
        "To tune one further, open it in the console and go to Recover.",
    )  # fmt: skip


def _recovered(parts: Sequence[Message], asked: Asked, made: Sequence[Measured]) -> None:
    found = [recovered_proposals.from_data(part) for part in parts]
    by_name = {one.name: one for one in made}
    for refused in (one for one in found if one.quality is None):
        st.caption(f"{METHODS[by_name[refused.name].method].label}: {theme.plain(refused.refused)}")
    after = {one.name: one for one in found if one.quality is not None}
    if not after:
        return
    with st.container(border=True):
        _chart([by_name[name] for name in after], workspace.dense().headline.value, asked, after)
        st.caption(
            f"Open: {_before(asked)}; filled: after recovery, each with its 95% interval on the evaluation examples, which "
            "recovery never saw. What was worse before may be better afterwards; only rows whose intervals part are told "
            "apart."
        )
        st.dataframe(
            [_recovered_row(by_name[name], one, asked) for name, one in after.items()], hide_index=True
        )
        _to_console(
            {
                name: _with_weights(by_name[name], one)
                for name, one in sorted(after.items(), key=lambda item: -_value(item[1]))
            },
            "recovered",
        )


def _recovered_row(found: Measured, after: Recovery, asked: Asked) -> dict[str, str]:
    metric = workspace.opened().dataset.task.headline
    assert found.appraisal is not None and after.quality is not None and after.change is not None
    return {
        "method": METHODS[found.method].label,
        _before(asked): theme.number(found.appraisal.quality.value, metric),
        "after recovery": theme.number(after.quality.value, metric),
        "change from dense (95% interval)": f"{theme.delta(after.change.value, metric)} "
        f"({theme.change_interval(after.change, metric)})",
        "best epoch": f"{after.epoch} of {after.epochs}" if after.epoch else "none: stays as it was",
        "trained": f"{after.seconds:.1f} s",
    }


def _value(found: Recovery) -> float:
    return found.quality.value if found.quality else -math.inf


def _with_weights(found: Measured, after: Recovery) -> Plan:
    """The proposal's plan with what recovery made of it."""
    assert found.proposal is not None
    return replace(found.proposal.plan, recovered=after.recovered)


def _before(asked: Asked) -> str:
    """What a proposal is before it is trained."""
    return "repaired" if asked.repaired else "as cut"
