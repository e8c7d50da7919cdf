"""The smallest lossless encoding of a network's weights, with the loader for it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

from torch import Tensor

from analysis.export import source
from analysis.export.shipment import Shipment, in_batches
from analysis.export.stranger import imported, unpacked
from analysis.measure import size
from analysis.measure.size import ENCODINGS, state_arrays
from analysis.network import Network

WEIGHTS, LOADER = "weights.packed", "unpack.py"
CODE = """\
from unpack import load
network = load("weights.packed")
outputs = network(inputs)
"""
_HEAD = '''\
"""Reads weights.packed ({label}). Needs torch, numpy{needs} and the network.py beside it.

    from unpack import load
    network = load("weights.packed")
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
{imports}from safetensors.numpy import load as load_arrays

Arrays = dict[str, np.ndarray]
'''
_TAIL = '''\
def unpack(path: str | Path) -> dict[str, torch.Tensor]:
    """The state dict in the file."""
    arrays = decode(Path(path).read_bytes())
    return {name: torch.from_numpy(np.array(values)) for name, values in arrays.items()}


def load(path: str | Path) -> torch.nn.Module:
    """The network with these weights."""
    from network import Network

    network = Network()
    network.load_state_dict(unpack(path))
    return network.eval()
'''
_ZSTD = " + zstd"


def write(shipment: Shipment) -> dict[str, bytes]:
    """The same bytes as the size on the screen counts, and how to read them back."""
    arrays = state_arrays(shipment.pruned)
    label = shipment.numbers.size.best_encoding
    encoding = next(entry for entry in ENCODINGS if entry.label == label)
    return {
        WEIGHTS: encoding.encode(arrays),
        LOADER: loader(label).encode(),
        source.FILE: source.source_of(shipment.pruned).encode(),
    }


def remark(shipment: Shipment) -> str:
    """What the loader needs."""
    return f"Needs torch, numpy{_needs(shipment.numbers.size.best_encoding)}."


def answers(files: Mapping[str, bytes], inputs: Tensor, _dense: Network) -> Tensor:
    """What the network of the source answers with the weights that the loader reads."""
    with unpacked(files) as folder:
        network = imported(folder / source.FILE).Network()
        network.load_state_dict(imported(folder / LOADER).unpack(folder / WEIGHTS))
        return in_batches(network.eval(), inputs)


def loader(label: str) -> str:
    """The source of a loader for one encoding of :data:`analysis.measure.size.ENCODINGS`."""
    is_compressed = label.endswith(_ZSTD)
    plain = next(entry.decode for entry in ENCODINGS if entry.label == label.removesuffix(_ZSTD))
    is_ours = plain.__module__ == size.__name__
    lines = [
        "def decode(data: bytes) -> Arrays:",
        '    """The arrays in the content of the file."""',
        *(["    data = zstandard.ZstdDecompressor().decompress(data)"] if is_compressed else []),
        f"    return {plain.__name__ if is_ours else 'load_arrays'}(data)",
    ]
    sections = [
        _HEAD.format(
            label=label,
            needs=_needs(label),
            imports="import zstandard\n" if is_compressed else "",
        ),
        *([inspect.getsource(plain)] if is_ours else []),
        "\n".join(lines),
        _TAIL,
    ]
    return "\n\n\n".join(section.strip("\n") for section in sections) + "\n"


def _needs(label: str) -> str:
    return ", safetensors, zstandard" if label.endswith(_ZSTD) else ", safetensors"
