"""A plan of one network carried over to another: by name where both are built alike, else by relative depth.

What one network can do without says something of its kin: layers at the same depth of networks of one family
tend to be about as redundant. How well a plan carries over is for a measurement to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from analysis.errors import CriterionError, PlanError
from analysis.importance.scores import Scores
from analysis.network import Group, Network
from analysis.pruning.plan import Cut, Granularity, Pick, Plan, targets
from analysis.pruning.selection import removal_count, select, target_scores

Way = Literal["name", "depth"]
_WORDS: Mapping[Way, str] = {
    "name": "Both networks have the same targets, so every ratio goes along as it is.",
    "depth": "The networks differ, so ratios are read at each target's relative depth.",
}


@dataclass(frozen=True)
class Taken:
    """What a target of the receiving network takes, and where from.

    Parameters
    ----------
    sources : tuple of str
        The targets of the other network it was read from: one if it stands at the same depth, else the two
        around it. Empty if the target takes no part.
    depth : float
        Where the target stands in its network, from 0 (the first layer) to 1 (the last).
    wanted, ratio : float
        The ratio that was read, and what a cut of this target makes of it: channels go whole, and some stay.
    picks : int
        How many of its channels are removed or kept by hand, as in the other network.
    reason : str
        Why it takes no part, or which picks were left behind; empty if all went along.
    """

    target: str
    granularity: Granularity
    sources: tuple[str, ...]
    depth: float
    wanted: float
    ratio: float
    picks: int = 0
    reason: str = ""


@dataclass(frozen=True)
class Transfer:
    """A plan for the receiving network, and where every target of it came from."""

    plan: Plan
    way: Way
    taken: tuple[Taken, ...]

    @property
    def sentence(self) -> str:
        """How ratios were carried over, in words."""
        return _WORDS[self.way]

    @property
    def left_out(self) -> tuple[Taken, ...]:
        """Targets that would have been cut, or picked in, and were not."""
        return tuple(entry for entry in self.taken if entry.reason)


def transfer(plan: Plan, source: Network, network: Network, scores: Scores | None) -> Transfer:
    """Carry a plan of `source` over to `network`; what recovery made of it stays behind.

    Two networks are alike to a plan if they have the same targets, of the same sizes, at the granularities that it
    cuts. Then each ratio is taken by name. Else the targets of both stand at their relative depth, the place of
    their first layer among all layers in the order of the graph, from 0 to 1, and the ratio is read off the
    other network's by linear interpolation; beyond its first and last target the nearest counts. A target that
    the plan leaves whole counts with ratio 0, one that cannot be cut does not count. Of networks of
    equal depth both ways agree.

    Picks are of single channels, and go along only to a group of the same name, members and size.

    Parameters
    ----------
    scores : Scores or None
        Of `network` under the plan's criterion: a target that it cannot rank takes no part. None will do for
        a plan without cuts.

    Raises
    ------
    PlanError
        If nothing of the plan can go along.
    """
    wanted: dict[Granularity, list[Taken]] = {}
    granularities: tuple[Granularity, ...] = ("channel", "weight")
    cut = [g for g in granularities if plan.ratios_of(g)]
    way: Way = "name" if all(_kinds(source, g) == _kinds(network, g) for g in cut) else "depth"
    for granularity in cut:
        read = _by_name if way == "name" else _by_depth
        wanted[granularity] = [
            _judged(entry, network, scores) for entry in read(plan, source, network, granularity)
        ]
    cuts = tuple(
        Cut(entry.target, entry.granularity, entry.ratio) for part in wanted.values() for entry in part
    )
    carried = Plan(network.name, plan.criterion, cuts)
    taken = [entry for part in wanted.values() for entry in part]
    carried, taken = _with_picks(plan, carried, taken, source, network, scores)
    if carried.is_dense:
        raise PlanError(
            f"Nothing of this plan of {source.name} can go along to {network.name}"
            + (f": {taken[0].reason}" if taken and taken[0].reason else "")
            + ". Choose another plan, or another criterion for it."
        )
    return Transfer(carried, way, tuple(taken))


def depth_of(network: Network, target: str, granularity: Granularity) -> float:
    """Where a target stands: the place of its first layer among all layers, from 0 (first) to 1 (last)."""
    names = [layer.name for layer in network.layers]
    members = (target,) if granularity == "weight" else network.group(target).members
    return min(names.index(member) for member in members) / max(1, len(names) - 1)


def _kinds(network: Network, granularity: Granularity) -> list[tuple[object, ...]]:
    """What two networks must agree in for a plan to go along by name."""
    if granularity == "weight":
        return [(layer.name, layer.shape) for layer in network.layers]
    return [(group.name, *_build(group)) for group in network.groups if group.is_prunable]


def _build(group: Group) -> tuple[object, ...]:
    return (group.size, group.members, group.unit, group.parts)


def _by_name(plan: Plan, source: Network, network: Network, granularity: Granularity) -> list[Taken]:
    ratios = plan.ratios_of(granularity)
    return [
        Taken(target, granularity, (target,), depth_of(network, target, granularity), ratios.get(target, 0.0), 0.0)
        for target in targets(source, granularity)
    ]  # fmt: skip


def _by_depth(plan: Plan, source: Network, network: Network, granularity: Granularity) -> list[Taken]:
    ratios = plan.ratios_of(granularity)
    standing = {depth_of(source, t, granularity): t for t in targets(source, granularity)}  # each its own
    depths = sorted(standing)
    values = [ratios.get(standing[depth], 0.0) for depth in depths]
    closed = {group.name: group.reason for group in network.groups if not group.is_prunable}
    names = (
        [layer.name for layer in network.layers]
        if granularity == "weight"
        else [g.name for g in network.groups]
    )
    found = []
    for target in names:
        depth = depth_of(network, target, granularity)
        wanted = float(np.interp(depth, depths, values))
        if granularity == "channel" and target in closed:
            reason = f"it keeps its channels: {closed[target]}"
            found.append(Taken(target, granularity, (), depth, wanted, 0.0, reason=reason))
        else:
            sources = tuple(standing[d] for d in _around(depths, depth))
            found.append(Taken(target, granularity, sources, depth, wanted, 0.0))
    return found


def _around(depths: list[float], depth: float) -> list[float]:
    """The depths that are read for one: itself, or the nearest on each side."""
    if depth in depths:
        return [depth]
    below, above = [d for d in depths if d < depth], [d for d in depths if d > depth]
    return [*below[-1:], *above[:1]]


def _judged(entry: Taken, network: Network, scores: Scores | None) -> Taken:
    """What a cut of the target makes of the ratio that it wants."""
    if entry.reason or entry.wanted == 0:
        return entry
    if scores is None:
        raise PlanError(f"The plan cuts, and needs scores of {network.name} under its criterion.")
    try:
        target_scores(scores, network, entry.target, entry.granularity)
    except CriterionError as error:
        return replace(entry, sources=(), reason=str(error))
    if entry.granularity == "weight":
        return replace(entry, ratio=entry.wanted)
    group = network.group(entry.target)
    count = removal_count(group.size, entry.wanted, "channel", group.floor)
    if count == removal_count(group.size, entry.wanted, "weight"):
        return replace(entry, ratio=entry.wanted)  # the slider shows the number that was read
    return replace(entry, ratio=count / group.size)


def _with_picks(
    plan: Plan,
    carried: Plan,
    taken: list[Taken],
    source: Network,
    network: Network,
    scores: Scores | None,
) -> tuple[Plan, list[Taken]]:
    """The plan and its account with the picks of those groups that are the same in both networks."""
    theirs = {group.name: group for group in source.groups}
    mine = {group.name: group for group in network.groups if group.is_prunable}
    account = {entry.target: entry for entry in taken if entry.granularity == "channel"}
    rest = [entry for entry in taken if entry.granularity != "channel"]
    for target in dict.fromkeys(pick.target for pick in plan.picks):
        picks = plan.picks_of(target)
        if target not in mine:
            continue
        entry = account.get(target) or Taken(
            target, "channel", (), depth_of(network, target, "channel"), 0.0, 0.0
        )
        reason = f"{len(picks):,} channels picked by hand stay behind: the group is another"
        if target in theirs and _build(theirs[target]) == _build(mine[target]):
            reason = _refusal(carried, target, picks, network, scores)
        if reason:
            account[target] = replace(entry, reason=entry.reason or reason)
        else:
            carried = replace(carried, picks=(*carried.picks, *picks))
            account[target] = replace(entry, picks=len(picks), sources=entry.sources or (target,))
    return carried, [*account.values(), *rest]


def _refusal(
    plan: Plan, target: str, picks: tuple[Pick, ...], network: Network, scores: Scores | None
) -> str:
    """Why picks cannot go along with a target's cut; empty if they can."""
    alone = tuple(cut for cut in plan.cuts if (cut.target, cut.granularity) == (target, "channel"))
    try:
        select(network, Plan(network.name, plan.criterion, alone, picks), scores)
    except PlanError as error:
        return str(error)
    return ""
