"""Bytes: the file as saved, and the smallest lossless encoding, by name. Each is really encoded.

Zeros saved densely save nothing; only an encoding that skips them does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import zstandard
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from analysis.network import Network

_LEVEL = 9
Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Size:
    """Bytes of the safetensors file, and of the best lossless encoding with its name."""

    saved: int
    best: int
    best_encoding: str


@dataclass(frozen=True)
class Encoding:
    """A lossless way to write a network's tensors."""

    label: str
    encode: Callable[[Arrays], bytes]
    decode: Callable[[bytes], Arrays]


def size(network: Network) -> Size:
    """Encode the network's tensors in every known way and count the bytes."""
    arrays = state_arrays(network)
    lengths = {entry.label: len(entry.encode(arrays)) for entry in ENCODINGS}
    best = min(lengths, key=lengths.__getitem__)
    return Size(lengths[ENCODINGS[0].label], lengths[best], best)


def state_arrays(network: Network) -> Arrays:
    """The network's parameters and buffers as NumPy arrays, by name."""
    return {name: value.detach().contiguous().numpy() for name, value in network.module.state_dict().items()}


def _compress(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=_LEVEL).compress(data)


def _decompress(data: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(data)


def _encode_bitmask(arrays: Arrays) -> bytes:
    """One bit per value says whether it is zero; only the others are written."""
    parts: Arrays = {}
    for name, values in arrays.items():
        flat = values.reshape(-1)
        kept = flat.view(_bits(flat)) != 0  # the bits, so that -0.0 and NaN survive
        parts[f"{name}/shape"] = np.array(values.shape, dtype=np.int64)
        parts[f"{name}/mask"] = np.packbits(kept)
        parts[f"{name}/values"] = flat[kept]
    return save_arrays(parts)


def _decode_bitmask(data: bytes) -> Arrays:
    parts = load_arrays(data)
    arrays: Arrays = {}
    for key, kept_values in parts.items():
        if not key.endswith("/values"):
            continue
        name = key.removesuffix("/values")
        shape = parts[f"{name}/shape"]
        count = int(np.prod(shape))
        flat = np.zeros(count, dtype=kept_values.dtype)
        flat[np.unpackbits(parts[f"{name}/mask"], count=count).astype(bool)] = kept_values
        arrays[name] = flat.reshape(shape)
    return arrays


def _bits(values: np.ndarray) -> np.dtype:
    return np.dtype(f"u{values.dtype.itemsize}")


def _encode_csr(arrays: Arrays) -> bytes:
    """Compressed sparse rows with 32-bit indices for matrices and kernels, dense for the rest."""
    parts: Arrays = {}
    for name, values in arrays.items():
        if values.ndim < 2 or values.size == 0:
            parts[f"{name}/dense"] = values
            continue
        rows = values.reshape(len(values), -1)
        row, column = np.nonzero(rows.view(_bits(rows)))
        ends = np.cumsum(np.bincount(row, minlength=len(rows)))
        parts[f"{name}/shape"] = np.array(values.shape, dtype=np.int64)
        parts[f"{name}/ends"] = ends.astype(np.int32)
        parts[f"{name}/columns"] = column.astype(np.int32)
        parts[f"{name}/values"] = rows[row, column]
    return save_arrays(parts)


def _decode_csr(data: bytes) -> Arrays:
    parts = load_arrays(data)
    arrays: Arrays = {}
    for key, content in parts.items():
        name, _, kind = key.rpartition("/")
        if kind == "dense":
            arrays[name] = content
        elif kind == "values":
            shape = parts[f"{name}/shape"]
            rows = np.zeros((int(shape[0]), int(np.prod(shape[1:]))), dtype=content.dtype)
            counts = np.diff(parts[f"{name}/ends"], prepend=0)
            rows[np.repeat(np.arange(len(rows)), counts), parts[f"{name}/columns"]] = content
            arrays[name] = rows.reshape(shape)
    return arrays


ENCODINGS: tuple[Encoding, ...] = (
    Encoding("safetensors", save_arrays, load_arrays),
    Encoding(
        "safetensors + zstd",
        lambda arrays: _compress(save_arrays(arrays)),
        lambda data: load_arrays(_decompress(data)),
    ),
    Encoding("CSR, 32-bit indices", _encode_csr, _decode_csr),
    Encoding("bitmask + values", _encode_bitmask, _decode_bitmask),
    Encoding(
        "bitmask + values + zstd",
        lambda arrays: _compress(_encode_bitmask(arrays)),
        lambda data: _decode_bitmask(_decompress(data)),
    ),
)
