"""What plans of one network say differently: how much goes where, what was picked by hand, by which criterion."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.pruning.plan import GRANULARITIES, Pick, Plan

Aspect = Literal["criterion", "recovery", "weight", "channel", "by hand"]


@dataclass(frozen=True)
class Difference:
    """One thing that not all plans say alike; every field has an entry for each plan, or none.

    Parameters
    ----------
    aspect : str
        What it is about: the criterion or the recovery of the whole plan, how much a target loses of its weights or
        its channels, or which of its channels were picked by hand.
    target : str
        The layer or the group; empty if it is about the whole plan.
    names : tuple of str
        The criterion (empty where a plan cuts nothing), or the digest of recovered weights (empty where there are none).
    ratios : tuple of float
        The share of the target's weights or channels that goes; 0 where it is not cut.
    picks : tuple of tuple of Pick
        The channels of the target that a plan picks, without those that all plans pick alike.
    """

    aspect: Aspect
    target: str = ""
    names: tuple[str, ...] = ()
    ratios: tuple[float, ...] = ()
    picks: tuple[tuple[Pick, ...], ...] = ()


def plan_differences(plans: Sequence[Plan]) -> tuple[Difference, ...]:
    """What not all plans say alike: criterion, recovery, then cuts and picks by granularity and name of their target."""
    return (*_of_the_whole(plans), *_cuts(plans), *_picks(plans))


def _of_the_whole(plans: Sequence[Plan]) -> list[Difference]:
    """A plan without cuts ranks nothing, so that its criterion differs from none."""
    found = []
    if len({plan.criterion for plan in plans if plan.cuts}) > 1:
        found.append(
            Difference("criterion", names=tuple(plan.criterion if plan.cuts else "" for plan in plans))
        )
    if len({plan.recovered for plan in plans}) > 1:
        found.append(Difference("recovery", names=tuple(plan.recovered for plan in plans)))
    return found


def _cuts(plans: Sequence[Plan]) -> list[Difference]:
    found = []
    for granularity in GRANULARITIES:
        cut = [plan.ratios_of(granularity) for plan in plans]
        for target in sorted({name for ratios in cut for name in ratios}):
            ratios = tuple(own.get(target, 0.0) for own in cut)
            if len(set(ratios)) > 1:
                found.append(Difference(granularity, target, ratios=ratios))
    return found


def _picks(plans: Sequence[Plan]) -> list[Difference]:
    picked = [frozenset(plan.picks) for plan in plans]
    common = frozenset.intersection(*picked) if picked else frozenset()
    differing = [sorted(own - common) for own in picked]
    targets = sorted({pick.target for own in differing for pick in own})
    return [
        Difference(
            "by hand",
            target,
            picks=tuple(tuple(pick for pick in own if pick.target == target) for own in differing),
        )
        for target in targets
    ]
