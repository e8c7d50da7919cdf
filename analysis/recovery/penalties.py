"""Penalties: what training pays for each weight or channel that is not zero. A new one is an entry in the list.

A penalty measures *sizes*, of weights or of whole channels; training adds its value, a sum over them, to the loss.
Before a cut it makes sizes fall apart: into some near zero, which can go, and the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

from analysis.network import BATCH_NORM_TYPES, Group, Network, by_output, called_modules, weight_of
from analysis.pruning.plan import Granularity

NEAR_ZERO = 0.01  # of a target's largest size
ELASTIC_SHARE = 0.5  # of L1 in the elastic net

Measured = Mapping[str, Tensor]


@dataclass(frozen=True)
class Penalty:
    """A way to penalise size.

    Parameters
    ----------
    name, label, sentence : str
    unit : {"weight", "channel"}
        What it makes small as a whole.
    criterion : str
        The criterion that ranks by the same sizes.
    sizes : callable
        Of a network, and its module or a copy of that in training: sizes by target (layer, group or BatchNorm),
        differentiable, each (k,). Empty if the network has nothing to penalise.
    value : callable
        Of the network and its sizes: the penalty at strength 1, a scalar.
    """

    name: str
    label: str
    sentence: str
    unit: Granularity
    criterion: str
    sizes: Callable[[Network, nn.Module], Measured]
    value: Callable[[Network, Measured], Tensor]


def weight_sizes(network: Network, module: nn.Module) -> dict[str, Tensor]:
    """|w| of each layer, flat."""
    return {
        layer.name: weight_of(module.get_submodule(layer.name)).flatten().abs() for layer in network.layers
    }


def channel_norms(network: Network, module: nn.Module) -> dict[str, Tensor]:
    """‖w‖₂ of each channel of each group that can be pruned: all weights by which its members write the channel."""
    return {group.name: _norms(network, module, group) for group in network.groups if group.is_prunable}


def batch_norm_scales(network: Network, module: nn.Module) -> dict[str, Tensor]:
    """|γ| of each BatchNorm."""
    return {
        name: weight.abs()
        for name, _ in called_modules(network.module)
        if isinstance(norm := module.get_submodule(name), BATCH_NORM_TYPES)
        and isinstance(weight := norm.weight, Tensor)
    }


def l1(sizes: Measured) -> Tensor:
    """Σ |w| (Tibshirani 1996; for networks Han et al. 2015)."""
    return torch.stack([values.sum() for values in sizes.values()]).sum()


def l2(sizes: Measured) -> Tensor:
    """Σ w²: weight decay with the factor 2 that its gradient has."""
    return torch.stack([values.square().sum() for values in sizes.values()]).sum()


def elastic_net(sizes: Measured, share: float = ELASTIC_SHARE) -> Tensor:
    """share Σ |w| + (1 - share) / 2 Σ w² (Zou & Hastie 2005)."""
    return share * l1(sizes) + (1 - share) / 2 * l2(sizes)


def group_lasso(network: Network, norms: Measured) -> Tensor:
    """Σ over channels of √n ‖w‖₂, n the number of weights that write the channel.

    Wen et al. 2016, "Learning structured sparsity in deep neural networks", with the √n of Yuan & Lin 2006, by which
    channels of many weights and of few are treated alike.
    """
    roots = weight_roots(network)
    return torch.stack(
        [(roots[name].to(values.dtype) * values).sum() for name, values in norms.items()]
    ).sum()


@lru_cache(maxsize=4)
def weight_roots(network: Network) -> Mapping[str, Tensor]:
    """√n of each channel, by group, n the number of weights that write it."""
    with torch.no_grad():
        return {
            group.name: _per_channel(network, network.module, group, torch.ones_like).sqrt()
            for group in network.groups
            if group.is_prunable
        }


def share_near_zero(sizes: Measured) -> float:
    """The share of all sizes that are at most `NEAR_ZERO` of their target's largest; 1 if there is no other."""
    near = [values <= NEAR_ZERO * values.max() for values in sizes.values()]
    return sum(int(here.sum()) for here in near) / sum(here.numel() for here in near)


def relative(sizes: Measured) -> Tensor:
    """All sizes as shares of their target's largest, (k,); 0 where that is 0."""
    return torch.cat(
        [values / values.max().clamp_min(torch.finfo(values.dtype).tiny) for values in sizes.values()]
    )


def weighted(penalty: Penalty, network: Network, strength: float) -> Callable[[nn.Module], Tensor]:
    """`strength` times the penalty, as a function of a copy of the network's module."""
    return lambda module: strength * penalty.value(network, penalty.sizes(network, module))


def strength_for(penalty: Penalty, network: Network, way: float, pull: float) -> float:
    """The strength at which the penalty alone takes the median size `pull` times its length towards zero.

    A penalty of slope p moves a size by strength * p * `way`, so that strength 1 / (p * way) times the size takes it
    to zero. The slope of L2 falls with the size: what is left of it is exp(-pull).

    Parameters
    ----------
    way : float
        How far a gradient of 1 would move a weight in the whole training: the sum of its steps.
    """
    with torch.enable_grad():
        sizes = {
            name: values.detach().clone().requires_grad_(True)
            for name, values in penalty.sizes(network, network.module).items()
        }
        slopes = torch.autograd.grad(penalty.value(network, sizes), list(sizes.values()))
    pairs = zip(sizes.values(), slopes, strict=True)
    needed = torch.cat([(values.detach() / slope)[values.detach() > 0] for values, slope in pairs])
    return pull * float(needed.median()) / way if len(needed) else pull / way


def suits(penalty: Penalty, network: Network) -> bool:
    """False if the network has nothing that it penalises (no BatchNorm, no group that can be pruned)."""
    return bool(penalty.sizes(network, network.module))


PENALTIES: Mapping[str, Penalty] = {
    penalty.name: penalty
    for penalty in (
        Penalty(
            "l1", "L1", "The same price for every unit of size: drives single weights to zero.",
            "weight", "l1", weight_sizes, lambda network, sizes: l1(sizes),
        ),
        Penalty(
            "l2", "L2", "The more a weight has the more it pays: shrinks all weights, zeroes none.",
            "weight", "l1", weight_sizes, lambda network, sizes: l2(sizes),
        ),
        Penalty(
            "elastic-net", "Elastic net", "L1 and L2 by halves: weights go to zero, and alike ones stay together.",
            "weight", "l1", weight_sizes, lambda network, sizes: elastic_net(sizes),
        ),
        Penalty(
            "group-lasso", "Group lasso", "A price for each channel by its norm: drives whole channels to zero.",
            "channel", "l2", channel_norms, group_lasso,
        ),
        Penalty(
            "bn-scale", "BatchNorm scale", "L1 on BatchNorm's scales: a channel that is not passed on can go.",
            "channel", "bn-scale", batch_norm_scales, lambda network, sizes: l1(sizes),
        ),
    )
}  # fmt: skip


def _norms(network: Network, module: nn.Module, group: Group) -> Tensor:
    squares = _per_channel(network, module, group, torch.square)
    # The root has no slope at 0; there the norm's subgradient is 0.
    positive = squares > 0
    return torch.where(positive, torch.where(positive, squares, 1.0).sqrt(), 0.0)


def _per_channel(
    network: Network, module: nn.Module, group: Group, measure: Callable[[Tensor], Tensor]
) -> Tensor:
    """The sum of `measure` over all weights that write each of a group's channels, (size,)."""
    total = torch.zeros(group.size)
    for part in group.slices:
        if part.module not in group.members or part.side != "out":
            continue
        layer = module.get_submodule(part.module)
        written = measure(by_output(layer, weight_of(layer))).flatten(1).sum(dim=1)
        channels = torch.tensor([c for c, entries in enumerate(part.entries) for _ in entries])
        positions = torch.tensor([position for entries in part.entries for position in entries])
        total = total.to(written.dtype).index_add(0, channels, written[positions])
    return total
