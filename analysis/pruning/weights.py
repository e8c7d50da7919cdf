"""Setting single weights to zero; shapes stay."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from analysis.network import Network, replace_modules
from analysis.pruning.channels import private, write_weight


def zero_weights(network: Network, masks: Mapping[str, Tensor]) -> Network:
    """A network whose weights are exactly zero where ``masks[layer]`` is True.

    Only the masked layers are copied; all other modules are shared with `network`.
    """
    return replace_modules(network, zeroed_modules(network, masks))


def zeroed_modules(network: Network, masks: Mapping[str, Tensor]) -> dict[str, nn.Module]:
    """Copies of the masked layers with their weights set to zero where the mask is True, by name."""
    changed: dict[str, nn.Module] = {}
    for name, mask in masks.items():
        layer = private(network.module.get_submodule(name))
        write_weight(layer, network.weight(name).masked_fill(mask, 0))
        changed[name] = layer
    return changed
