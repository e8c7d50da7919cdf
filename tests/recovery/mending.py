"""Pruned networks on their way to recovery, and what each layer of a network says, by hooks."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from analysis.datasets import Dataset, Split
from analysis.network import Network
from analysis.pruning.prune import remove
from analysis.pruning.selection import Selection
from analysis.recovery.pruned import Pruned, begin
from analysis.tasks import REGRESSION


def on_its_way(
    network: Network,
    inputs: Tensor,
    *,
    channels: Mapping[str, tuple[int, ...]] | None = None,
    weights: Mapping[str, Tensor] | None = None,
    pruned: Network | None = None,
) -> Pruned:
    """A network without these channels and weights, and `inputs` to learn from; what they should say is noise."""
    targets = torch.randn(len(inputs), generator=torch.Generator().manual_seed(1))
    split = Split(inputs, targets, "noise")
    selection = Selection(channels or {}, weights or {})
    data = Dataset("noise", REGRESSION, split, split)
    return begin(network, pruned or remove(network, selection), selection, data)


def heard(network: Network, inputs: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
    """What each module reads and says, by name, from a copy with hooks; in the order of their first calls."""
    module, found = copy.deepcopy(network.module).eval(), {}
    for name, child in module.named_modules():
        if not list(child.children()):

            def hook(_: nn.Module, given: tuple[Tensor, ...], said: Tensor, name: str = name) -> None:
                if given and isinstance(given[0], Tensor) and isinstance(said, Tensor):
                    found.setdefault(name, (given[0].clone(), said.clone()))

            child.register_forward_hook(hook)
    with torch.no_grad():
        module(inputs.clone())
    return found


def group_of(network: Network, layer: str) -> str:
    """The name of the group that a layer writes."""
    return next(group.name for group in network.groups if layer in group.members)


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Normal values."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))
