"""Criteria that need no data: random, L1, L2, BatchNorm scale."""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.importance.signals import batch_norm_after
from analysis.network import Network


def random(network: Network, *, seed: int = 0) -> dict[str, Tensor]:
    """Uniform random scores in [0, 1): the baseline every criterion must beat."""
    generator = torch.Generator().manual_seed(seed)
    return {layer.name: torch.rand(layer.shape, generator=generator) for layer in network.layers}


def l1(network: Network) -> dict[str, Tensor]:
    """|w| (Han et al. 2015); summed over a filter it is its L1 norm (Li et al. 2017)."""
    return {layer.name: network.weight(layer.name).abs() for layer in network.layers}


def l2(network: Network) -> dict[str, Tensor]:
    """w²; summed over a filter it is its squared L2 norm (He et al. 2018, "Soft filter pruning")."""
    return {layer.name: network.weight(layer.name).square() for layer in network.layers}


def batch_norm_scale(network: Network) -> dict[str, Tensor]:
    """|γ| of the BatchNorm that follows a layer, one score a channel (Liu et al. 2017, "Network slimming").

    Layers without BatchNorm have no score.
    """
    scores = {}
    for layer in network.layers:
        norm = batch_norm_after(network, layer.name)
        if norm is not None and isinstance(norm.weight, Tensor):
            scores[layer.name] = norm.weight.detach().abs()
    return scores
