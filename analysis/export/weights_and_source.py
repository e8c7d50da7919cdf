"""A network as its weights (safetensors) and its architecture (Python source)."""

from __future__ import annotations

from collections.abc import Mapping

from safetensors.numpy import save
from torch import Tensor

from analysis.export import source
from analysis.export.shipment import Shipment, in_batches
from analysis.export.stranger import imported, unpacked
from analysis.measure.size import state_arrays
from analysis.network import Network

WEIGHTS = "network.safetensors"
CODE = """\
from network import load
network = load("network.safetensors")
outputs = network(inputs)
"""


def write(shipment: Shipment) -> dict[str, bytes]:
    """The weights file, and the source that reads it; errors as :func:`analysis.export.source.source_of`."""
    network = shipment.pruned
    return {WEIGHTS: save(state_arrays(network)), source.FILE: source.source_of(network).encode()}


def answers(files: Mapping[str, bytes], inputs: Tensor, _dense: Network) -> Tensor:
    """What the network that ``load`` of the source gives answers."""
    with unpacked(files) as folder:
        return in_batches(imported(folder / source.FILE).load(folder / WEIGHTS), inputs)
