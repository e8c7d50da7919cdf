"""Why a plan keeps or removes a channel: facts first, then one sentence made of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from analysis.importance.registry import find_criterion
from analysis.importance.scores import Scores
from analysis.inside.channel import Effect, Rank, rank
from analysis.inside.channel_activity import Twin, entries_of
from analysis.network import Group, Network, by_output
from analysis.pruning.plan import Plan, check_plan
from analysis.pruning.selection import (
    Selection,
    removal_count,
    removed_weights,
    select,
    target_scores,
)
from analysis.tasks import Metric

ALIKE = 0.9  # a correlation of this size is worth a word
_SHOWN = 4

Cause = Literal["refused", "hand", "cut", "last", "no cut", "dense"]


@dataclass(frozen=True)
class Decision:
    """What a plan does with a channel, and what it follows from.

    Parameters
    ----------
    removed : bool
        True if it goes.
    cause : str
        ``refused`` (its group keeps its channels), ``hand`` (picked), ``cut`` (its rank decides), ``last`` (it
        would go by its rank, but one must stay), ``no cut`` (the plan cuts no channel of the group by rank), or
        ``dense`` (the plan removes nothing at all).
    rank : Rank or None
        Under the plan's criterion; None if that does not rank the group.
    taken : int
        How many of the group's least important channels the plan's cut takes.
    by_cut : bool
        What the cut alone would do with it.
    zeros, weights : int
        How many of the weights that write it, and are left by the channels cut before it, the plan sets to
        zero.
    part : tuple of int
        The channels of which one must stay, if it is the last of them.
    reason : str
        Why a refused group keeps its channels.
    unit : str
        What one channel of the group is called.
    """

    removed: bool
    cause: Cause
    rank: Rank | None
    taken: int = 0
    by_cut: bool = False
    zeros: int = 0
    weights: int = 0
    part: tuple[int, ...] = ()
    reason: str = ""
    unit: str = "channel"


def decide(network: Network, plan: Plan, scores: Scores | None, group: str, channel: int) -> Decision:
    """What `plan` does with a channel.

    Parameters
    ----------
    scores : Scores or None
        Of the dense network under the plan's criterion; None will do for a plan without cuts.

    Raises
    ------
    PlanError, CriterionError
        If the plan cannot be carried out.
    """
    check_plan(plan, network)
    target = network.group(group)
    if not target.is_prunable:
        return Decision(False, "refused", None, reason=target.reason, unit=target.unit)
    selection = select(network, plan, scores)
    found = rank(scores, network, group, channel) if scores is not None else None
    where = found if found is not None and found.rank is not None else None
    ratio = plan.ratios_of("channel").get(group, 0.0)
    taken = removal_count(target.size, ratio, "channel", target.floor)
    by_cut = where is not None and where.rank is not None and where.rank > target.size - taken
    pick = plan.pick_of(group, channel)
    removed = channel in selection.channels.get(group, ())
    part = () if pick or by_cut or ratio == 0 else _last_of(network, scores, target, channel, ratio)
    cause: Cause = "cut"
    if pick is not None:
        cause = "hand"
    elif ratio == 0:
        cause = "dense" if plan.is_dense else "no cut"
    elif part:
        cause = "last"
    zeros, weights = (0, 0) if removed else _zeros(network, selection, target, channel)
    return Decision(removed, cause, where, taken, by_cut, zeros, weights, part, unit=target.unit)


def _last_of(
    network: Network, scores: Scores | None, group: Group, channel: int, ratio: float
) -> tuple[int, ...]:
    """The set of channels of which this one stays as the last, if its score alone would remove it."""
    assert scores is not None
    values = target_scores(scores, network, group.name, "channel")
    lowest = torch.argsort(values, stable=True)[: int(ratio * group.size + 0.5)]
    if channel not in lowest.tolist():
        return ()
    return next((part for part in group.parts if channel in part), tuple(range(group.size)))


def _zeros(network: Network, selection: Selection, group: Group, channel: int) -> tuple[int, int]:
    """Of the weights that write a channel and no removed channel takes along: set to zero, and all."""
    if not selection.weights:
        return 0, 0
    gone = removed_weights(network, Selection(selection.channels))
    zeros = weights = 0
    for layer in group.members:
        module = network.module.get_submodule(layer)
        outputs = list(entries_of(network, group, layer)[channel])
        left = ~by_output(module, gone[layer])[outputs]
        weights += int(left.sum())
        if layer in selection.weights:
            zeros += int(by_output(module, selection.weights[layer])[outputs].sum())
    return zeros, weights


def sentence(
    decision: Decision,
    metric: Metric,
    *,
    effect: Effect | None = None,
    twin: Twin | None = None,
    twin_goes: bool = False,
    silent: bool = False,
) -> str:
    """The decision in one sentence, with what is known of the channel.

    Parameters
    ----------
    metric : Metric
        The headline metric that `effect` is about.
    effect : Effect, optional
        Of removing the channel alone.
    twin, twin_goes : optional
        The channel it is most like, and whether the plan removes that one; named if they are much alike.
    silent : bool
        True if it never varies on the examples looked at.
    """
    clauses = [_lead(decision)]
    if decision.zeros:
        clauses.append(f"the plan sets {decision.zeros:,} of its {decision.weights:,} weights to zero")
    if silent:
        clauses.append("it says the same on every example looked at")
    if effect is not None:
        clauses.append(_effect_words(effect, metric))
    if twin is not None and abs(twin.correlation) >= ALIKE:
        goes = ", which goes too," if twin_goes else ""
        says = "nearly the same" if twin.correlation > 0 else "nearly the opposite"
        clauses.append(f"{decision.unit} {twin.channel}{goes} says {says} ({twin.correlation:.2f})")
    return "; ".join(clauses) + "."


def _lead(decision: Decision) -> str:
    unit, plural, ranks = decision.unit, f"{decision.unit}s", _rank_words(decision.rank)
    if decision.cause == "refused":
        return f"Kept: this group keeps its {plural}, as {decision.reason}"
    if decision.cause == "hand":
        return _by_hand(decision)
    if decision.cause == "dense":
        return "Kept: the plan removes nothing yet" + (f"; it {ranks}" if ranks else "")
    if decision.cause == "no cut":
        return f"Kept: the plan cuts no {plural} of this group by rank" + (f"; it {ranks}" if ranks else "")
    if decision.cause == "last":
        some = ", ".join(map(str, decision.part[:_SHOWN])) + ("…" if len(decision.part) > _SHOWN else "")
        whole = decision.rank is not None and len(decision.part) == decision.rank.size
        of = "this group" if whole else f"{plural} {some}, which some layer reads alone"
        return (
            f"Kept: its score would not save it, but it is the best {unit} of {of}, and one of them must stay"
        )
    takes = f"the {decision.taken:,} least important" if decision.taken > 1 else "the least important one"
    if decision.removed:
        return f"Removed: it {ranks}, and the plan takes {takes}"
    if decision.taken == 0:
        return f"Kept: it {ranks}, and the plan's cut of this group is less than one {unit}"
    return f"Kept: it {ranks}, and the plan takes only {takes}"


def _by_hand(decision: Decision) -> str:
    way = "Removed" if decision.removed else "Kept"
    if decision.rank is None:
        return f"{way} by hand"
    ranks = _rank_words(decision.rank)
    if decision.by_cut == decision.removed:
        would = "take" if decision.removed else "keep"
        return f"{way} by hand, and without that the plan would {would} it too: it {ranks}"
    would = "keep" if decision.removed else "take"
    return f"{way} by hand: it {ranks}, and without that the plan would {would} it"


def _rank_words(found: Rank | None) -> str:
    if found is None:
        return ""
    return f"ranks {found.rank} of {found.size} by {find_criterion(found.criterion).label}"


def _effect_words(effect: Effect, metric: Metric) -> str:
    if effect.changed == 0:
        return "removing it alone changes no answer"
    if not math.isfinite(effect.change.value):
        return f"what removing it alone costs cannot be told in {metric.label}"
    change = effect.change
    unit = f" points of {metric.label.lower()}" if metric.percent else f" of {metric.label}"
    if change.low <= 0 <= change.high:
        ends = f"{_signed(change.low, metric)} to {_signed(change.high, metric)}"
        return f"removing it alone changes nothing that can be measured ({ends}{unit} at 95%)"
    verb = "costs" if (change.value < 0) == metric.higher_is_better else "gains"
    low, high = sorted((abs(change.low), abs(change.high)))
    return (
        f"removing it alone {verb} {_size(abs(change.value), metric)}{unit} "
        f"(95% interval {_size(low, metric)} to {_size(high, metric)})"
    )


def _size(value: float, metric: Metric) -> str:
    """0.2 (points) or 0.013."""
    return f"{100 * value:.1f}" if metric.percent else f"{value:.3f}"


def _signed(value: float, metric: Metric) -> str:
    text = _size(abs(value), metric)
    return text if float(text) == 0 else ("-" if value < 0 else "+") + text
