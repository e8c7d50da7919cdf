"""A network as a ``torch.export`` archive (.pt2): one file with weights and graph."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from analysis.errors import ExportError
from analysis.export.shipment import Shipment, in_batches
from analysis.network import Network, first_line

FILE = "network.pt2"
CODE = """\
import torch
network = torch.export.load("network.pt2").module()
outputs = network(inputs)
"""


def program_of(network: Network) -> torch.export.ExportedProgram:
    """The network as ``torch.export`` draws it, with a free batch dimension.

    Raises
    ------
    ExportError
        If torch cannot follow it.
    """
    example = network.example_input.repeat(2, *[1] * (network.example_input.dim() - 1))
    shapes = ({0: torch.export.Dim("batch")},)
    try:
        return torch.export.export(network.module, (example,), dynamic_shapes=shapes)
    except Exception as error:
        raise ExportError(
            f"torch.export cannot follow {network.name} at any batch size: {first_line(error).rstrip('.')}. Take its weights "
            "and source instead."
        ) from error


def to_pt2(network: Network) -> bytes:
    """The network as a ``torch.export`` archive (.pt2), with a free batch dimension.

    Load it anywhere with ``torch.export.load(path).module()``; no Prunescope needed.
    """
    buffer = io.BytesIO()
    torch.export.save(program_of(network), buffer)
    return buffer.getvalue()


def save_pt2(network: Network, path: Path | str) -> int:
    """Write :func:`to_pt2` to `path`; returns the bytes written."""
    data = to_pt2(network)
    Path(path).write_bytes(data)
    return len(data)


def write(shipment: Shipment) -> dict[str, bytes]:
    """The pruned network's .pt2 file."""
    return {FILE: to_pt2(shipment.pruned)}


def answers(files: Mapping[str, bytes], inputs: Tensor, _dense: Network) -> Tensor:
    """What the file's program answers; ``torch.export.load`` runs pickles, and this file is our own."""
    program = torch.export.load(io.BytesIO(files[FILE]))
    return in_batches(program.module(), inputs)
