"""Criteria from activations: mean, variance, average percentage of zeros, and Wanda."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, fx, nn

from analysis.datasets import Split
from analysis.importance.signals import calls, channels_last, output_channels, signal_node
from analysis.modules import Recurrent
from analysis.network import TRANSPOSED_TYPES, Network, node_values

Progress = Callable[[float], None]
CHUNK = 64


def mean_activation(network: Network, split: Split, progress: Progress) -> dict[str, Tensor]:
    """Mean |activation| of each channel over examples and positions (Molchanov et al. 2017)."""
    return _channel_means(network, split, progress, lambda values, _: values.abs())


def activation_variance(network: Network, split: Split, progress: Progress) -> dict[str, Tensor]:
    """Variance of each channel's activation over examples and positions (Polyak & Wolf 2015).

    A channel that always says the same can be replaced by a constant.
    """
    # Two passes: E[a²] - E[a]² would lose the digits of a channel that hardly varies.
    means = _channel_means(network, split, lambda share: progress(share / 2), lambda values, _: values)
    return _channel_means(
        network,
        split,
        lambda share: progress((1 + share) / 2),
        lambda values, layer: (values - means[layer]).square(),
    )


def nonzero_activation(network: Network, split: Split, progress: Progress) -> dict[str, Tensor]:
    """1 - APoZ: the share of a channel's activations that are not zero (Hu et al. 2016)."""
    return _channel_means(network, split, progress, lambda values, _: (values != 0).double())


def wanda(network: Network, split: Split, progress: Progress) -> dict[str, Tensor]:
    """|w| ‖x‖₂, x the layer's input feature or channel over the examples (Sun et al. 2024, "Wanda").

    An embedding reads one-hot tokens, so that its norm is the root of how often a token occurs. Recurrent
    layers, which also read themselves, have no score.
    """
    read = {
        layer.name: calls(network, layer.name)[0].all_input_nodes[0]
        for layer in network.layers
        if not isinstance(network.module.get_submodule(layer.name), Recurrent)
    }
    squares: dict[str, Tensor] = {}
    for values in _batches(network, split, set(read.values()), progress):
        for name, node in read.items():
            total = _squared_inputs(network.module.get_submodule(name), values[node])
            squares[name] = squares[name] + total if name in squares else total
    return {
        name: network.weight(name).double().abs()
        * _per_weight(network.module.get_submodule(name), network.weight(name), total.sqrt())
        for name, total in squares.items()
    }


def _squared_inputs(module: nn.Module, values: Tensor) -> Tensor:
    """Sum over examples and positions of each squared input channel, (channels,)."""
    if isinstance(module, nn.Embedding):
        return torch.bincount(values.flatten(), minlength=module.num_embeddings).double()
    channels = module.in_features if isinstance(module, nn.Linear) else int(module.in_channels)  # type: ignore[arg-type]
    return channels_last(values.double(), channels, module).square().sum(dim=0)


def _per_weight(module: nn.Module, weight: Tensor, norm: Tensor) -> Tensor:
    """`norm` (input channels,) shaped so that it meets each weight that reads the channel."""
    if isinstance(module, (*TRANSPOSED_TYPES, nn.Embedding)):
        return norm.reshape(-1, *[1] * (weight.dim() - 1))
    groups = getattr(module, "groups", 1)  # output block b reads input block b
    blocks = norm.reshape(groups, -1).repeat_interleave(weight.shape[0] // groups, dim=0)
    return blocks.reshape(*blocks.shape, *[1] * (weight.dim() - 2))


def _channel_means(
    network: Network,
    split: Split,
    progress: Progress,
    transform: Callable[[Tensor, str], Tensor],
) -> dict[str, Tensor]:
    """Mean over examples and positions of a transformed activation, (channels,) per layer."""
    nodes = {layer.name: signal_node(network, layer.name) for layer in network.layers}
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    for values in _batches(network, split, set(nodes.values()), progress):
        for name, node in nodes.items():
            module = network.module.get_submodule(name)
            channels = output_channels(module)
            activation = channels_last(values[node].double(), channels, module)
            total = transform(activation, name).sum(dim=0)
            sums[name] = sums[name] + total if name in sums else total
            counts[name] = counts.get(name, 0) + len(activation)
    return {name: total / counts[name] for name, total in sums.items()}


def _batches(
    network: Network, split: Split, wanted: set[fx.Node], progress: Progress
) -> Iterator[dict[fx.Node, Tensor]]:
    """Values of the wanted nodes, batch by batch."""
    with torch.no_grad():
        for start in range(0, len(split), CHUNK):
            yield node_values(network.module, split.inputs[start : start + CHUNK], wanted)
            progress(min(1.0, (start + CHUNK) / len(split)))
