"""From a plan to what exactly goes: the channels of each group, the weights of each layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import torch
from torch import Tensor

from analysis.errors import CriterionError, PlanError
from analysis.importance.registry import find_criterion
from analysis.importance.scores import Scores, group_scores, per_weight
from analysis.network import Network
from analysis.pruning.channels import weights_of
from analysis.pruning.plan import Granularity, Plan, check_plan


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


def select(network: Network, plan: Plan, scores: Scores) -> Selection:
    """The least important channels of each group, then the least important weights of what they leave.

    Ties go by position.

    Raises
    ------
    PlanError
        If the plan or the scores belong to another network or criterion.
    """
    check_plan(plan, network)
    if plan.is_dense:
        return Selection()
    if scores.network != network.name or scores.criterion != plan.criterion:
        raise PlanError(
            f"The plan wants {plan.criterion} scores of {plan.network}; these are {scores.criterion} "
            f"scores of {scores.network}."
        )
    channels: dict[str, tuple[int, ...]] = {}
    for target, ratio in plan.ratios_of("channel").items():
        order = ranking(scores, network, target, "channel")
        count = removal_count(len(order), ratio, "channel", network.group(target).floor)
        channels[target] = tuple(sorted(order[:count].tolist()))
    gone = removed_weights(network, Selection(channels)) if channels else {}
    weights: dict[str, Tensor] = {}
    for target, ratio in plan.ratios_of("weight").items():
        order = left_order(ranking(scores, network, target, "weight"), gone.get(target))
        mask = torch.zeros(network.weight(target).numel(), dtype=torch.bool)
        mask[order[: removal_count(len(order), ratio, "weight")].long()] = True
        weights[target] = mask.reshape(network.layer(target).shape)
    return Selection(channels, weights)


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
