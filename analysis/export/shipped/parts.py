"""What the source of every network begins with; needs torch alone."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from torch import Tensor, nn

# --- from here on it leaves with every network


class Part(nn.Module):
    """What a dotted name leads through; ``part["0"]`` is the module called 0."""

    def __getitem__(self, name: str) -> nn.Module:
        return self.get_submodule(name)

    def __setitem__(self, name: str, module: nn.Module) -> None:
        self.add_module(name, module)


_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def read_safetensors(path: str | Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file: 8 bytes of length, a header in JSON, raw values."""
    data = Path(path).read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        first, last = entry["data_offsets"]
        raw = torch.frombuffer(
            bytearray(data[start + first : start + last]) or bytearray(8), dtype=torch.uint8
        )
        values = raw[: last - first].view(_DTYPES[entry["dtype"]])
        tensors[name] = values.reshape(entry["shape"])
    return tensors
