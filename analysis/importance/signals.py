"""Where a layer's channels are heard: the graph nodes that carry its signal after activation."""

from __future__ import annotations

import operator

import torch
from torch import Tensor, fx, nn

from analysis.modules import Recurrent
from analysis.network import LAYER_TYPES, Network

_CARRIERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.Dropout, nn.Dropout2d, nn.Identity)
_ADDITIONS = (operator.add, operator.iadd, torch.add)


def signal_node(network: Network, layer: str) -> fx.Node:
    """The node after the first activation that follows `layer`, or the last that still is its signal.

    The walk passes BatchNorm, dropout and residual additions, which keep the channels in their order.
    """
    node = calls(network, layer)[0]
    while True:
        users = list(node.users)
        if len(users) != 1:
            return node
        following = users[0]
        if following.op == "call_module":
            module = network.module.get_submodule(str(following.target))
            if isinstance(module, _CARRIERS):
                node = following
                continue
            return following if is_activation(module) else node
        if following.op == "call_function" and following.target in _ADDITIONS:
            node = following
            continue
        return node


def calls(network: Network, module: str) -> list[fx.Node]:
    """The nodes that call `module`, in order."""
    return [n for n in network.module.graph.nodes if n.op == "call_module" and n.target == module]


def is_activation(module: nn.Module) -> bool:
    """True for element-wise nonlinearities."""
    return type(module).__module__ == "torch.nn.modules.activation" and not list(module.parameters())


def batch_norm_after(network: Network, layer: str) -> nn.Module | None:
    """The BatchNorm that directly follows `layer`, if there is one."""
    users = list(calls(network, layer)[0].users)
    if len(users) == 1 and users[0].op == "call_module":
        module = network.module.get_submodule(str(users[0].target))
        if isinstance(module, _CARRIERS[:3]):
            return module
    return None


def output_channels(module: nn.Module) -> int:
    """Number of output channels of a layer."""
    if isinstance(module, nn.Linear):
        return module.out_features
    if isinstance(module, Recurrent):
        return module.hidden_size
    return module.embedding_dim if isinstance(module, nn.Embedding) else int(module.out_channels)  # type: ignore[arg-type]


def channels_last(values: Tensor, channels: int, module: nn.Module) -> Tensor:
    """Activations as (positions, channels): convolutions have channels in dim 1, all others last."""
    assert isinstance(module, LAYER_TYPES)
    if not isinstance(module, (nn.Linear, nn.Embedding, Recurrent)):
        values = values.movedim(1, -1)
    return values.reshape(-1, channels)
