"""Raw weight blobs to tensors: every claimed size and stride must lie inside the bytes that are there."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from analysis.errors import NetworkError
from analysis.loading.pt2_json import get, get_bool, get_dict, get_list, get_text, get_union, shown
from analysis.loading.pt2_schema import DTYPES, MAX_ELEMENTS, MAX_RANK, STRIDED, get_size, parse_meta

MAX_WEIGHTS = 1 << 30  # values of all weights together
MAX_REPEATED = 1 << 20  # elements a tensor may have beyond its bytes, by strides of 0

ReadBlob = Callable[[str], bytes]

# How the bytes are read; DTYPES says what they become.
_STORED = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.uint8,  # any byte but 0 is true
    13: torch.bfloat16,
}


@dataclass(frozen=True)
class _Claim:
    """What the file says of one tensor, checked by type."""

    path: str
    stored: torch.dtype
    becomes: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int


class Weights:
    """The tensors of one folder of the archive, each read when asked for, each blob checked once.

    Parameters
    ----------
    config : object
        The parsed ``*_config.json``: for every tensor its blob, dtype, shape, strides and offset.
    read : function
        From a blob's name in the config to its bytes; NetworkError if there is none.
    """

    def __init__(self, config: Any, read: ReadBlob) -> None:
        self._entries: Mapping[str, Any] = get_dict(
            get(get_dict(config, "The list of weights"), "config", "The list of weights"), "config"
        )
        self._read = read
        self._blobs: dict[str, bytearray] = {}
        self._claims: dict[str, _Claim] = {}
        self._spent = 0

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def identity(self, name: str) -> Hashable:
        """Equal for tensors of equal place, shape and type: those are tied."""
        claim = self._claim(name)
        return claim if 0 not in claim.shape else name

    def load(self, name: str) -> Tensor:
        """The tensor `name` in memory of its own, floats as float32; NetworkError if it claims too much."""
        claim = self._claim(name)
        if claim.path not in self._blobs:
            self._blobs[claim.path] = bytearray(self._read(claim.path))
        blob = self._blobs[claim.path]
        held = len(blob) // claim.stored.itemsize
        count = _check(f"weight {shown(name)}", claim, held)
        self._spent += count
        if self._spent > MAX_WEIGHTS:
            raise NetworkError(f"Its weights have more than {MAX_WEIGHTS:,} values. Use a smaller model.")
        tensor = torch.empty(claim.shape, dtype=claim.becomes)
        if count:
            flat = torch.frombuffer(blob, dtype=claim.stored, count=held)
            tensor.copy_(torch.as_strided(flat, claim.shape, claim.strides, claim.offset))
        return tensor

    def _claim(self, name: str) -> _Claim:
        if name not in self._claims:
            self._claims[name] = self._parsed(name)
        return self._claims[name]

    def _parsed(self, name: str) -> _Claim:
        what = f"weight {shown(name)}"
        entry = get_dict(get(self._entries, name, "The list of weights"), what)
        if get_bool(get(entry, "use_pickle", what), f"use_pickle of {what}"):
            raise NetworkError(
                f"{what} is stored as a pickle, which could run code. Use plain tensors: convert tensor subclasses "
                "(quantised, distributed) before export."
            )
        path = get_text(get(entry, "path_name", what), f"The blob of {what}")
        described = get_dict(get(entry, "tensor_meta", what), what)
        meta = parse_meta(described, what)
        if meta.symbolic or get(described, "layout", what) != STRIDED:
            raise NetworkError(
                f"{what} has no fixed dense layout. Convert it to a plain dense tensor before export."
            )
        steps = get_list(get(described, "strides", what), f"The strides of {what}", MAX_RANK)
        return _Claim(
            path=path,
            stored=_STORED[described["dtype"]],
            becomes=meta.dtype,
            shape=meta.shape,
            strides=tuple(_whole(step, what) for step in steps),
            offset=_whole(get(described, "storage_offset", what), what),
        )


def _check(what: str, claim: _Claim, held: int) -> int:
    """The number of elements, after every one of them was found to lie inside the blob."""
    shape, strides = claim.shape, claim.strides
    if len(strides) != len(shape):
        raise NetworkError(f"{what} has {len(shape)} axes but {len(strides)} strides. Save the model again.")
    count, last = 1, claim.offset
    for size, stride in zip(shape, strides, strict=True):
        count *= size
        last += (size - 1) * stride
    if 0 in shape:
        return 0
    if count > MAX_ELEMENTS or last >= held or count > held + MAX_REPEATED:
        raise NetworkError(
            f"{what} claims {count:,} values of shape {shape}; its bytes hold {held:,} "
            f"(at most {MAX_ELEMENTS:,} are read). Save the model again."
        )
    return count


def _whole(value: Any, what: str) -> int:
    kind, content = get_union(value, f"A stride of {what}")
    if kind != "as_int":
        raise NetworkError(f"{what} has a stride given as {shown(kind)}. Save the model again.")
    return get_size(content, f"A stride of {what}")


assert _STORED.keys() == DTYPES.keys()
