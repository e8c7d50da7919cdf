"""Scores of a network's layers under one criterion, and their reductions to channels and groups."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.network import Group, Network, by_output


@dataclass(frozen=True, eq=False)
class Scores:
    """What one criterion says of one network; larger means more important.

    ``values[layer]`` has the shape of the layer's weight, or (channels,) for a criterion that scores
    whole channels. `examples` says how many calibration examples were used (0: none needed).
    Layers that the criterion cannot score are absent.
    """

    criterion: str
    network: str
    values: Mapping[str, Tensor]
    examples: int = 0
    origin: str = ""


def per_weight(scores: Scores, network: Network, layer: str) -> bool:
    """True if each weight of `layer` has a score of its own."""
    return scores.values[layer].shape == network.weight(layer).shape


def channel_scores(scores: Scores, network: Network, layer: str) -> Tensor:
    """One score per output channel, shape (channels,): the sum over the channel's weights.

    With L1 this is the filter norm of Li et al. 2017, "Pruning filters for efficient ConvNets".
    """
    values = scores.values[layer]
    if not per_weight(scores, network, layer):
        return values
    return by_output(network.module.get_submodule(layer), values).flatten(1).sum(dim=1)


def group_scores(scores: Scores, network: Network, group: Group) -> Tensor | None:
    """One score per channel of a group, shape (size,): the sum over its members' channels.

    Aggregation as in Fang et al. 2023, "DepGraph". None if a member has no score.
    """
    if any(member not in scores.values for member in group.members):
        return None
    total = torch.zeros(group.size, dtype=torch.float64)
    for part in group.slices:
        if part.module not in group.members or part.side != "out":
            continue
        values = channel_scores(scores, network, part.module).double()
        for channel, positions in enumerate(part.entries):
            total[channel] += values[list(positions)].sum()
    return total


def layer_score(scores: Scores, layer: str) -> float:
    """The mean score of a layer: how important its average weight or channel is."""
    return float(scores.values[layer].double().mean())


def matrix(scores: Scores, network: Network, layer: str) -> Tensor:
    """Scores as output channel x input channel, kernels summed; (channels, 1) for channel scores."""
    values = scores.values[layer]
    if not per_weight(scores, network, layer):
        return values[:, None]
    values = by_output(network.module.get_submodule(layer), values)
    return values.reshape(values.shape[0], values.shape[1], -1).sum(dim=2)
