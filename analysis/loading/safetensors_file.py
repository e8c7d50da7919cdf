"""Weights in a safetensors file: its header is checked before the library gives memory to what it claims."""

from __future__ import annotations

import json
import math
import struct
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from analysis.errors import NetworkError

MAX_HEADER_BYTES = 4 << 20  # about 100 bytes a tensor
MAX_DIMENSIONS = 16

DTYPES = {
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

_SAVE = "Save it again: safetensors.torch.save_file(model.state_dict(), path)."


def read_safetensors(data: bytes, name: str, *, tensors: int, elements: int) -> dict[str, Tensor]:
    """All tensors of the file; floating ones become float32.

    Parameters
    ----------
    data : bytes
        The file's content.
    name : str
        What messages call it.
    tensors, elements : int
        How many it may hold.

    Raises
    ------
    NetworkError
        If it is damaged, too large, or holds other types than those of `DTYPES`.
    """
    claims = _header(data, name)
    if len(claims) > tensors:
        raise NetworkError(f"{name} holds {len(claims):,} tensors; at most {tensors:,} are read.")
    held = sum(_elements(claim, key, name) for key, claim in claims.items())
    if held > elements:
        raise NetworkError(
            f"{name} holds {held:,} values; at most {elements:,} are read. Load a smaller network."
        )
    try:
        loaded = safetensors.torch.load(data)
    except Exception as error:  # the library names what does not fit: gaps, overlaps, lengths
        raise NetworkError(f"{name} is damaged ({error}). {_SAVE}") from error
    return {
        key: value.to(torch.float32) if value.is_floating_point() else value for key, value in loaded.items()
    }


def _header(data: bytes, name: str) -> dict[str, Any]:
    """The entry of each tensor; the file's free text is left out."""
    length = struct.unpack("<Q", data[:8])[0] if len(data) >= 8 else len(data)
    if length > len(data) - 8 or data[8:9] != b"{":
        raise NetworkError(f"{name} is not a safetensors file, or only a part of one. {_SAVE}")
    if length > MAX_HEADER_BYTES:
        raise NetworkError(
            f"The header of {name} takes {length:,} bytes; at most {MAX_HEADER_BYTES:,} are read. {_SAVE}"
        )
    try:
        header = json.loads(data[8 : 8 + length])
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"The header of {name} is damaged. {_SAVE}") from error
    return {key: entry for key, entry in header.items() if key != "__metadata__"}


def _elements(claim: Any, key: str, name: str) -> int:
    """How many values an entry of the header claims, if its bytes are as many."""
    if not isinstance(claim, dict) or set(claim) != {"dtype", "shape", "data_offsets"}:
        raise NetworkError(f"The header of {name} is damaged at {key[:80]}. {_SAVE}")
    dtype, shape, offsets = claim["dtype"], claim["shape"], claim["data_offsets"]
    if not isinstance(dtype, str) or dtype not in DTYPES:
        raise NetworkError(
            f"{key[:80]} in {name} has the type {str(dtype)[:20]}; weights are read as "
            f"{', '.join(DTYPES)}. Convert it first: model.float()."
        )
    numbers = [*shape, *offsets] if isinstance(shape, list) and isinstance(offsets, list) else [-1]
    if any(type(n) is not int or not 0 <= n < 1 << 48 for n in numbers) or len(shape) > MAX_DIMENSIONS:
        raise NetworkError(f"The header of {name} is damaged at {key[:80]}. {_SAVE}")
    count = math.prod(shape)
    if len(offsets) != 2 or offsets[1] - offsets[0] != count * DTYPES[dtype].itemsize:
        raise NetworkError(
            f"{key[:80]} in {name} claims the shape {tuple(shape)}, which does not fit its bytes. {_SAVE}"
        )
    return count
