"""Soft pruning: what is to go is set to zero, trained on, and may grow back until the last step.

He et al. 2018, "Soft filter pruning for accelerating deep convolutional neural networks" (IJCAI). As there, the
weights that make a channel become zero, and nothing else: its bias, its BatchNorm and the weights that read it stay.
A silenced reader, too, would leave no gradient for either to grow back by.
"""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.network import Network
from analysis.pruning.selection import Selection
from analysis.pruning.weights import zero_weights
from analysis.recovery.lifting import output_positions, outputs_gone


def softly_zeroed(network: Network, selection: Selection) -> Network:
    """The network in its full shape, with the weights zero that go alone or that make a channel that goes."""
    masks: dict[str, Tensor] = {}
    for layer in network.layers:
        gone = sorted(outputs_gone(network, selection, layer.name))
        alone = selection.weights.get(layer.name)
        if not gone and alone is None:
            continue
        mask = torch.zeros(layer.connections, dtype=torch.bool)
        mask[output_positions(network, layer.name)[gone].flatten()] = True
        mask = mask.reshape(layer.shape)
        masks[layer.name] = mask if alone is None else mask | alone
    return zero_weights(network, masks)


def share_back(before: Selection, now: Selection) -> float:
    """The share of what was zero by `before` that `now` leaves: it has grown back. 0 if nothing was.

    Channels of groups and single weights are counted alike.
    """
    was = back = 0
    for group, channels in before.channels.items():
        was += len(channels)
        back += len(set(channels) - set(now.channels.get(group, ())))
    for layer, mask in before.weights.items():
        was += int(mask.sum())
        still = now.weights.get(layer)
        back += int(mask.sum() if still is None else (mask & ~still).sum())
    return back / was if was else 0.0
