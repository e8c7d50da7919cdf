"""From a plan to what exactly goes: the channels of each group, the weights of each layer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate

import torch
from torch import Tensor

from analysis.errors import CriterionError, PlanError
from analysis.importance.registry import find_criterion
from analysis.importance.scores import Scores, group_scores, per_weight
from analysis.network import Group, Network, by_output
from analysis.pruning.channels import weights_of
from analysis.pruning.plan import Granularity, Pick, Plan, check_left, check_plan


@dataclass(frozen=True, eq=False)
class Selection:
    """What a plan removes.

    ``channels[group]`` are channel indices; ``weights[layer]`` is a mask of the dense weight's shape, True
    where a weight goes that no channel takes along.
    """

    channels: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    weights: Mapping[str, Tensor] = field(default_factory=dict)


def target_scores(scores: Scores, network: Network, target: str, granularity: Granularity) -> Tensor:
    """The scores that a cut of `target` ranks, one per weight or channel, flat.

    Raises
    ------
    CriterionError
        If the criterion does not tell the target's weights or channels apart.
    """
    label = find_criterion(scores.criterion).label
    if granularity == "channel":
        values = group_scores(scores, network, network.group(target))
        if values is None:
            missing = [m for m in network.group(target).members if m not in scores.values]
            raise CriterionError(
                f"{label} gives no score to {', '.join(missing)}. Choose another criterion for {target}."
            )
        return values
    if target not in scores.values:
        raise CriterionError(f"{label} gives no score to {target}. Choose another criterion for it.")
    if not per_weight(scores, network, target):
        raise CriterionError(
            f"{label} scores whole channels and cannot rank the weights of {target}. Prune channels, or "
            "choose a criterion that scores weights."
        )
    return scores.values[target].flatten()


@lru_cache(maxsize=32)
def ranking(scores: Scores, network: Network, target: str, granularity: Granularity) -> Tensor:
    """The target's weights or channels from the least important on, int32; ties go by position.

    The best channel of each of a group's parts stands at the end, as one of them must stay.

    Kept for the last targets asked for, because a slider asks again and again; do not write to it.
    Errors as :func:`target_scores`.
    """
    order = torch.argsort(target_scores(scores, network, target, granularity), stable=True).int()
    parts = network.group(target).parts if granularity == "channel" else ()
    if parts:
        place = {channel: i for i, channel in enumerate(order.tolist())}
        spared = torch.tensor(sorted({max(part, key=place.__getitem__) for part in parts}))
        last = torch.isin(order, spared)
        order = torch.cat([order[~last], order[last]])
    return order


def removal_count(size: int, ratio: float, granularity: Granularity, floor: int = 1) -> int:
    """How many of `size` go at `ratio`: rounded to the nearest, and never the last `floor` channels."""
    count = int(ratio * size + 0.5)
    return min(count, size - floor) if granularity == "channel" else min(count, size)


def by_hand(order: Sequence[int], picks: Iterable[Pick]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What picks make of a group's order of removal.

    Parameters
    ----------
    order : sequence of int
        The group's channels from the least important on.

    Returns
    -------
    order : tuple of int
        In which channels really go: first those removed by hand, then those that nobody picked; those kept
        by hand stand at the end.
    gone : tuple of int
        ``gone[k]`` channels of it go where the cut alone would remove k; size + 1 entries.
    """
    picked = {pick.channel: pick.removed for pick in picks}
    removed = [channel for channel in order if picked.get(channel) is True]
    kept = [channel for channel in order if picked.get(channel) is False]
    free = [channel for channel in order if channel not in picked]
    gone = accumulate((channel not in picked for channel in order), initial=len(removed))
    return (*removed, *free, *kept), tuple(gone)


def select(network: Network, plan: Plan, scores: Scores | None) -> Selection:
    """The least important channels of each group and those picked, then the least important weights left.

    Ties go by position.

    Parameters
    ----------
    scores : Scores or None
        Of the dense network under the plan's criterion; None will do for a plan without cuts.

    Raises
    ------
    PlanError
        If the plan or the scores belong to another network or criterion, too little of a group would be
        left, or the plan names recovered weights: what is gone is then for their file to say (see
        :mod:`analysis.recovery.recovered`).
    """
    check_plan(plan, network)
    if plan.recovered:
        raise PlanError(
            "This plan's network was recovered after pruning: prune by plan.as_pruned, or restore it."
        )
    if plan.is_dense:
        return Selection()
    if plan.cuts and scores is None:
        raise PlanError(f"The plan cuts by {plan.criterion} and needs scores of {plan.network} under it.")
    if scores is not None and (scores.network != network.name or scores.criterion != plan.criterion):
        raise PlanError(
            f"The plan wants {plan.criterion} scores of {plan.network}; these are {scores.criterion} "
            f"scores of {scores.network}."
        )
    channels: dict[str, tuple[int, ...]] = {}
    ratios = plan.ratios_of("channel")
    for target in sorted({*ratios, *(pick.target for pick in plan.picks if pick.removed)}):
        group = network.group(target)
        channels[target] = _channels_gone(network, plan, scores, group, ratios.get(target, 0.0))
        check_left(group, channels[target])
    gone = removed_weights(network, Selection(channels)) if channels else {}
    weights: dict[str, Tensor] = {}
    for target, ratio in plan.ratios_of("weight").items():
        assert scores is not None
        order = left_order(ranking(scores, network, target, "weight"), gone.get(target))
        mask = torch.zeros(network.weight(target).numel(), dtype=torch.bool)
        mask[order[: removal_count(len(order), ratio, "weight")].long()] = True
        weights[target] = mask.reshape(network.layer(target).shape)
    return Selection(channels, weights)


def _channels_gone(
    network: Network, plan: Plan, scores: Scores | None, group: Group, ratio: float
) -> tuple[int, ...]:
    order: Sequence[int] = range(group.size)  # without a cut the order does not matter
    if ratio > 0:
        assert scores is not None
        order = ranking(scores, network, group.name, "channel").tolist()
    really, gone = by_hand(order, plan.picks_of(group.name))
    return tuple(sorted(really[: gone[removal_count(group.size, ratio, "channel", group.floor)]]))


def left_order(order: Tensor, gone: Tensor | None) -> Tensor:
    """The order of a layer's weights without those that have gone with channels (a mask of its shape)."""
    return order if gone is None else order[~gone.flatten()[order.long()]]


def removed_weights(network: Network, selection: Selection) -> dict[str, Tensor]:
    """A mask for each layer, True where a weight goes, be it alone or with a channel it writes or reads."""
    masks = {
        layer.name: selection.weights.get(layer.name, torch.zeros(layer.shape, dtype=torch.bool)).clone()
        for layer in network.layers
    }
    for name, channels in selection.channels.items():
        for part in network.group(name).slices:
            if part.module not in masks:
                continue
            module = network.module.get_submodule(part.module)
            masks[part.module] |= weights_of(module, part.side, part.positions(channels))
    return masks


def silent_outputs(network: Network, masks: Mapping[str, Tensor], layer: str) -> set[int]:
    """The outputs of a layer of which no weight is left, by the masks of :func:`removed_weights`."""
    if layer not in masks:
        return set()
    gone = by_output(network.module.get_submodule(layer), masks[layer]).flatten(1).all(dim=1)
    return set(gone.nonzero().flatten().tolist())


def ratio_below(values: Tensor, threshold: float) -> float:
    """The ratio that an absolute threshold removes: the share of scores below it."""
    return float((values < threshold).double().mean())


def ratio_below_relative(values: Tensor, share: float) -> float:
    """The ratio removed by a threshold given as a share (0 to 1) of the largest score."""
    return ratio_below(values, share * float(values.max()))


def threshold_at(values: Tensor, ratio: float, granularity: Granularity) -> float:
    """The smallest score that is kept at `ratio` (infinity if none is)."""
    count = removal_count(len(values), ratio, granularity)
    if count >= len(values):
        return float("inf")
    return float(values.sort().values[count])
