"""Weights saved by ``torch.save``: the archive's object tree and its tensors, without unpickling."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from analysis.errors import NetworkError
from analysis.loading.archive import Archive
from analysis.loading.inert_pickle import SAVE_WEIGHTS, TensorClaim, follow

MAX_PICKLE_BYTES = 8 << 20  # names and shapes; the weights themselves lie beside


def read_tree(archive: Archive, name: str) -> tuple[Any, str]:
    """What the archive says it holds: see :func:`~analysis.loading.inert_pickle.follow`.

    Returns
    -------
    tree : object
        Dicts, lists, plain values and :class:`TensorClaim`.
    folder : str
        Where the archive keeps the values, for :func:`read_tensors`.

    Raises
    ------
    NetworkError
        If the archive is not one of ``torch.save``, names anything but tensors, or claims what it does
        not hold.
    """
    names = archive.names
    roots = [key.removesuffix("data.pkl") for key in names if key.endswith("/data.pkl")]
    if len(roots) != 1 or f"{roots[0]}constants.pkl" in names:
        raise NetworkError(_what_else(names, name))
    root = roots[0]
    order = f"{root}byteorder"
    if order in names and archive.read_member(order, 16) != b"little":
        raise NetworkError(f"{name} was saved on a big-endian machine, which is not read. {SAVE_WEIGHTS}")
    pickled = archive.read_member(f"{root}data.pkl", MAX_PICKLE_BYTES)
    folder = f"{root}data/"
    records = {key.removeprefix(folder): archive.size(key) for key in names if key.startswith(folder)}
    return follow(pickled, records, name), folder


def read_tensors(archive: Archive, folder: str, claims: Mapping[str, TensorClaim]) -> dict[str, Tensor]:
    """The claimed tensors, each a contiguous copy of its own; floating ones become float32."""
    by_storage: dict[str, list[str]] = {}
    for key, claim in claims.items():
        by_storage.setdefault(claim.storage.key, []).append(key)
    result: dict[str, Tensor] = dict.fromkeys(claims, torch.empty(0))  # keeps the file's order
    for storage, keys in by_storage.items():
        member = f"{folder}{storage}"
        content = bytearray(archive.read_member(member, archive.size(member)))
        for key in keys:
            claim = claims[key]
            dtype = claim.storage.dtype
            flat = torch.frombuffer(content, dtype=dtype) if content else torch.empty(0, dtype=dtype)
            view = flat.as_strided(claim.shape, claim.strides, claim.offset)
            kept = torch.float32 if dtype.is_floating_point else dtype
            result[key] = view.to(kept, copy=True, memory_format=torch.contiguous_format)
    return result


def _what_else(names: tuple[str, ...], name: str) -> str:
    """What an archive is that holds no single state dict, and the remedy."""
    if any(key.endswith("models/model.json") for key in names):
        return f"{name} is an exported program: give it the ending .pt2 and load it again."
    if any(key.endswith("/constants.pkl") for key in names):
        return (
            f"{name} is a TorchScript program, which cannot be read without running it. Export the original "
            "with torch.export.save, or save its weights: torch.save(model.state_dict(), path)."
        )
    return f"{name} is a zip archive, but not one of torch.save. {SAVE_WEIGHTS}"
