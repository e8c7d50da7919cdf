"""What a network costs: parameters, connections, multiply-accumulates.

Convention: MACs are the multiply-accumulates of convolutions, linear layers and attention for one
example; BatchNorm, activations and pooling are not counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from analysis.modules import Recurrent
from analysis.network import Network


@dataclass(frozen=True)
class Cost:
    """Counts of one network; `layer_macs` and `layer_nonzero` are by layer name."""

    parameters: int
    connections: int
    nonzero_connections: int
    macs: int
    layer_macs: Mapping[str, int]
    layer_nonzero: Mapping[str, int]


def cost(network: Network) -> Cost:
    """Count parameters, connections and MACs of a network as it stands.

    Connections are weights (biases excluded); the nonzero ones are those that still carry a signal.
    """
    by_layer = layer_macs(network)
    nonzero = {layer.name: int(network.weight(layer.name).count_nonzero()) for layer in network.layers}
    return Cost(
        parameters=network.parameters(),
        connections=network.connections(),
        nonzero_connections=sum(nonzero.values()),
        macs=by_layer.pop("", 0),
        layer_macs=by_layer,
        layer_nonzero=nonzero,
    )


def layer_macs(network: Network) -> dict[str, int]:
    """MACs of each layer for one example, and of the whole network under the key ``""``.

    Counted by torch's FlopCounterMode, which knows neither fused attention nor fused LSTMs: gradients keep
    transformer layers on their plain path, the math kernel splits attention into products that are
    counted, and without oneDNN an LSTM is run step by step.
    """
    counter = FlopCounterMode(display=False)
    recurrent = any(layer.type == Recurrent.__name__ for layer in network.layers)
    with (
        torch.enable_grad(),
        sdpa_kernel(SDPBackend.MATH),
        torch.backends.mkldnn.flags(enabled=torch.backends.mkldnn.enabled and not recurrent),
        counter,
    ):
        network.module(network.example_input)
    prefix = type(network.module).__name__ + "."
    counts = counter.get_flop_counts()
    result = {layer.name: sum(counts.get(prefix + layer.name, {}).values()) // 2 for layer in network.layers}
    result[""] = counter.get_total_flops() // 2
    return result
