"""What leaves the house: a pruned network as a file."""

from __future__ import annotations

import io
from pathlib import Path

import torch

from analysis.network import Network


def to_pt2(network: Network) -> bytes:
    """The network as a ``torch.export`` archive (.pt2), with a free batch dimension.

    Load it anywhere with ``torch.export.load(path).module()``; no Prunescope needed.
    """
    example = network.example_input.repeat(2, *[1] * (network.example_input.dim() - 1))
    batch = torch.export.Dim("batch")
    program = torch.export.export(network.module, (example,), dynamic_shapes=({0: batch},))
    buffer = io.BytesIO()
    torch.export.save(program, buffer)
    return buffer.getvalue()


def save_pt2(network: Network, path: Path | str) -> int:
    """Write :func:`to_pt2` to `path`; returns the bytes written."""
    data = to_pt2(network)
    Path(path).write_bytes(data)
    return len(data)
