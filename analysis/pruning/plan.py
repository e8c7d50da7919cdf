"""A plan: a criterion, its cuts and what was picked by hand; immutable, hashable."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, get_args

from analysis.errors import PlanError
from analysis.network import Group, Network

Granularity = Literal["weight", "channel"]
GRANULARITIES: tuple[Granularity, ...] = get_args(Granularity)
MAX_PICKS = 5000
MAX_CHANNEL = 999_999
_SHOWN = 5


@dataclass(frozen=True, order=True)
class Cut:
    """Remove the share `ratio` (0 to 1) of a target: the least important weights or channels.

    The target is a layer's name for weights, a group's name for channels.
    """

    target: str
    granularity: Granularity
    ratio: float

    def __post_init__(self) -> None:
        if self.granularity not in GRANULARITIES:
            raise PlanError(
                f"{self.target}: granularity {short(self.granularity)} is unknown; use weight or channel."
            )
        if not (math.isfinite(self.ratio) and 0 <= self.ratio <= 1):
            raise PlanError(f"{self.target}: the ratio removed is {self.ratio}; it must lie between 0 and 1.")
        object.__setattr__(self, "ratio", float(self.ratio))


@dataclass(frozen=True, order=True)
class Pick:
    """A channel of a group that is removed, or kept, by hand, whatever its score.

    Channels are counted from 0.
    """

    target: str
    channel: int
    removed: bool

    def __post_init__(self) -> None:
        if type(self.channel) is not int or not 0 <= self.channel <= MAX_CHANNEL:
            raise PlanError(
                f"{_some([self.target])}: {short(self.channel)} is no channel; give a whole number from 0 to "
                f"{MAX_CHANNEL:,}."
            )
        if type(self.removed) is not bool:
            raise PlanError(
                f"{_some([self.target])}, channel {self.channel}: removed is {short(self.removed)}; it must be "
                "true (removed by hand) or false (kept by hand)."
            )


@dataclass(frozen=True)
class Plan:
    """A criterion, its cuts and picks for one network.

    Cuts are kept sorted and without zeros, picks sorted, so that equal plans are equal objects. From a group
    go the least important channels at its ratio and those removed by hand, but none that is kept by hand: a
    pick changes what becomes of its channel, and of no other. Channels go first; cuts of weights then remove a
    share of what the channels have left.

    `recovered` names what recovery made of the pruned network: the digest of kept weights (see
    :mod:`analysis.recovery.recovered`); empty for the network as it was pruned. Any change of what is removed
    gives a plan without it.

    Raises
    ------
    PlanError
        If a target is cut twice at one granularity, a channel is picked twice, or `recovered` is no digest or
        names weights of a plan that removes nothing.
    """

    network: str
    criterion: str
    cuts: tuple[Cut, ...] = ()
    picks: tuple[Pick, ...] = ()
    recovered: str = ""

    def __post_init__(self) -> None:
        counts = Counter((cut.target, cut.granularity) for cut in self.cuts)
        twice = sorted({target for (target, _), count in counts.items() if count > 1})
        if twice:
            raise PlanError(f"The plan cuts {_some(twice)} twice; give each target one cut.")
        object.__setattr__(self, "cuts", tuple(sorted(cut for cut in self.cuts if cut.ratio > 0)))
        if len(self.picks) > MAX_PICKS:
            raise PlanError(
                f"The plan picks {len(self.picks):,} channels by hand; at most {MAX_PICKS:,} are kept. Let a "
                "slider take them."
            )
        picks = tuple(sorted(self.picks))
        for one, other in pairwise(picks):
            if (one.target, one.channel) == (other.target, other.channel):
                raise PlanError(
                    f"The plan picks channel {one.channel} of {_some([one.target])} twice; a channel is either "
                    "removed or kept by hand."
                )
        object.__setattr__(self, "picks", picks)
        if self.recovered and not re.fullmatch("[0-9a-f]{64}", self.recovered):
            raise PlanError(f"The plan names recovered weights {short(self.recovered)}, which is no digest.")
        if self.recovered and self.is_dense:
            raise PlanError(
                "The plan names recovered weights, and removes nothing that there was to recover from."
            )

    @property
    def as_pruned(self) -> Plan:
        """The plan without what recovery made of it."""
        return replace(self, recovered="")

    @property
    def is_dense(self) -> bool:
        """True if nothing is removed; channels may be kept by hand."""
        return not self.cuts and not any(pick.removed for pick in self.picks)

    @property
    def granularity(self) -> Granularity | None:
        """What it removes; None if nothing, or both weights and channels."""
        found = {cut.granularity for cut in self.cuts}
        if any(pick.removed for pick in self.picks):
            found.add("channel")
        return found.pop() if len(found) == 1 else None

    @property
    def ratios(self) -> dict[str, float]:
        """Ratio removed of each target of a plan of one granularity."""
        return {cut.target: cut.ratio for cut in self.cuts}

    def ratios_of(self, granularity: Granularity) -> dict[str, float]:
        """Ratio removed of each target that is cut at a granularity."""
        return {cut.target: cut.ratio for cut in self.cuts if cut.granularity == granularity}

    def only(self, granularity: Granularity) -> Plan:
        """The plan with its cuts of one granularity alone; picks are of channels."""
        cuts = tuple(cut for cut in self.cuts if cut.granularity == granularity)
        picks = self.picks if granularity == "channel" else ()
        return replace(self, cuts=cuts, picks=picks, recovered="")

    def picks_of(self, target: str) -> tuple[Pick, ...]:
        """What was picked by hand in a group."""
        return tuple(pick for pick in self.picks if pick.target == target)

    def pick_of(self, target: str, channel: int) -> Pick | None:
        """What was decided by hand of a channel."""
        return next((pick for pick in self.picks_of(target) if pick.channel == channel), None)


def make_plan(
    network: Network, criterion: str, granularity: Granularity, ratios: Mapping[str, float]
) -> Plan:
    """The plan of `ratios` ({target: ratio}), checked against `network`."""
    plan = Plan(
        network.name,
        criterion,
        tuple(Cut(target, granularity, ratio) for target, ratio in ratios.items()),
    )
    check_plan(plan, network)
    return plan


def recut(
    plan: Plan, network: Network, criterion: str, granularity: Granularity, ratios: Mapping[str, float]
) -> Plan:
    """`plan` with its cuts of one granularity replaced by `ratios`, under a criterion; all else stays."""
    kept = tuple(cut for cut in plan.cuts if cut.granularity != granularity)
    fresh = make_plan(network, criterion, granularity, ratios)
    return replace(fresh, cuts=(*kept, *fresh.cuts), picks=plan.picks)


def repick(plan: Plan, network: Network, target: str, channel: int, removed: bool | None) -> Plan:
    """`plan` with a channel removed by hand (True), kept by hand (False), or as its score says (None).

    Raises
    ------
    PlanError
        If `network` has no such channel, or it cannot go.
    """
    others = tuple(pick for pick in plan.picks if (pick.target, pick.channel) != (target, channel))
    mine = () if removed is None else (Pick(target, channel, removed),)
    fresh = replace(plan, picks=(*others, *mine), recovered="")
    check_plan(fresh, network)
    return fresh


def rounded(
    network: Network,
    ratios: Mapping[str, float],
    multiple: int,
    gone: Mapping[str, Sequence[int]] | None = None,
) -> dict[str, float]:
    """Ratios of groups changed to the nearest at which a multiple of `multiple` channels is kept.

    Processors work in such steps: 33 channels may cost as much as 40. Heads and filter groups are counted
    as they are, and a group without so many channels is left whole.

    Parameters
    ----------
    gone : mapping, optional
        For groups with picks, ``gone[target][k]``: how many channels go where the cut alone would remove k
        (see :func:`analysis.pruning.selection.by_hand`).
    """
    tables = gone or {}
    return {
        target: _rounded(network.group(target), ratio, multiple, tables.get(target))
        for target, ratio in ratios.items()
    }


def _rounded(group: Group, ratio: float, multiple: int, gone: Sequence[int] | None) -> float:
    if multiple <= 1 or group.unit != "channel" or ratio == 0:
        return ratio
    if gone is None:
        steps = max(1, round((1 - ratio) * group.size / multiple))
        return 1 - min(group.size, steps * multiple) / group.size
    left = [group.size - taken for taken in gone[: group.size - group.floor + 1]]
    fitting = [count for count, kept in enumerate(left) if kept > 0 and kept % multiple == 0]
    return min(fitting, key=lambda count: abs(count - ratio * group.size), default=0) / group.size


def uniform_plan(network: Network, criterion: str, granularity: Granularity, ratio: float) -> Plan:
    """The plan that cuts every target of `network` alike."""
    return make_plan(network, criterion, granularity, dict.fromkeys(targets(network, granularity), ratio))


def targets(network: Network, granularity: Granularity) -> tuple[str, ...]:
    """What a slider can be offered for: layers for weights, prunable groups for channels."""
    if granularity == "weight":
        return tuple(layer.name for layer in network.layers)
    return tuple(group.name for group in network.groups if group.is_prunable)


def check_plan(plan: Plan, network: Network) -> None:
    """Refuse a plan that was made for another network.

    Raises
    ------
    PlanError
        Naming the targets that `network` does not have, or why they cannot be pruned.
    """
    if plan.network != network.name:
        raise PlanError(
            f"This plan is for the network {plan.network!r}, not for {network.name!r}"
            + _differences(plan, network)
            + ". Use it with that network, or make a plan for this one."
        )
    aims = _aims(plan)
    if not aims:
        return
    refused = {group.name: group for group in network.groups if not group.is_prunable}
    for target, granularity in aims:
        group = refused.get(target)
        if granularity == "channel" and group is not None:
            raise PlanError(f"{target} keeps its channels: {group.reason}.")
    unknown = _unknown(plan, network)
    if unknown:
        granularity = next(granularity for target, granularity in aims if target in unknown)
        kind = "layer" if granularity == "weight" else "group of coupled layers"
        raise PlanError(
            f"{network.name} has no {kind} called {_some(unknown)}. It has: "
            f"{', '.join(targets(network, granularity)) or 'none'}."
        )
    for target in dict.fromkeys(pick.target for pick in plan.picks):
        _check_picks(network.group(target), plan.picks_of(target))


def _check_picks(group: Group, picks: Sequence[Pick]) -> None:
    for pick in picks:
        if pick.channel >= group.size:
            raise PlanError(
                f"{group.name} has {group.size:,} channels, counted from 0, and no channel {pick.channel:,}. "
                "Pick one that it has."
            )
    check_left(group, {pick.channel for pick in picks if pick.removed})


def check_left(group: Group, gone: Collection[int]) -> None:
    """Refuse to remove the channels `gone` if too little of the group would be left.

    Raises
    ------
    PlanError
        If none of the group would stay, or none of a part of it that some module reads alone.
    """
    taken = set(gone)
    if len(taken) >= group.size:
        raise PlanError(
            f"All {group.size:,} channels of {group.name} would go, by hand and by its cut, and one must stay. Cut "
            "less of it, or pick fewer of its channels by hand."
        )
    for part in group.parts:
        if taken.issuperset(part):
            raise PlanError(
                f"The channels {_few(part)} of {group.name} would all go, by hand and by its cut, and one of "
                "them must stay, because some layer reads these alone. Cut less of it, or pick fewer of them by "
                "hand."
            )


def _unknown(plan: Plan, network: Network) -> list[str]:
    known = {granularity: set(targets(network, granularity)) for granularity in GRANULARITIES}
    return [target for target, granularity in _aims(plan) if target not in known[granularity]]


def _aims(plan: Plan) -> list[tuple[str, Granularity]]:
    """What the plan speaks of, each once."""
    cuts: list[tuple[str, Granularity]] = [(cut.target, cut.granularity) for cut in plan.cuts]
    return list(dict.fromkeys([*cuts, *((pick.target, "channel") for pick in plan.picks)]))


def _some(names: list[str]) -> str:
    """The first names, quoted where they could be mistaken, and how many more there are."""
    shown = [name if name.isprintable() and len(name) <= 80 else repr(name[:80]) for name in names[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else "")


def _few(channels: Sequence[int]) -> str:
    more = f" and {len(channels) - _SHOWN:,} more" if len(channels) > _SHOWN else ""
    return ", ".join(map(str, channels[:_SHOWN])) + more


def short(value: object) -> str:
    """A value from a file, so that it fits into a sentence."""
    text = repr(value)
    return text if len(text) <= 80 else text[:80] + "…"


def _differences(plan: Plan, network: Network) -> str:
    unknown = _unknown(plan, network)
    return f", which has no {_some(unknown)}" if unknown else ""
