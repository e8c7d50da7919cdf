"""Weights alone, from .safetensors, .pt or .pth: a dict of tensors, and nothing of the file is executed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from analysis.errors import NetworkError
from analysis.loading.archive import Limits, open_archive
from analysis.loading.inert_pickle import SAVE_WEIGHTS, TensorClaim
from analysis.loading.safetensors_file import read_safetensors
from analysis.loading.saved_state import read_tensors, read_tree

SUFFIXES = (".safetensors", ".pt", ".pth")
MAX_FILE_BYTES = 1 << 30
MAX_TENSORS = 20_000
MAX_ELEMENTS = 200_000_000  # 0.8 GB as float32

WRAPPERS = ("module.", "_orig_mod.")  # added by DataParallel and by torch.compile
NESTS = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights")
MAX_NESTING = 4


class _RefusedError(NetworkError):
    """A refusal of the archive, which does not know the file's name."""


@dataclass(frozen=True)
class WeightsFile:
    """Weights by name. `notes` are sentences on what was left out or renamed, for the user."""

    weights: dict[str, Tensor]
    notes: tuple[str, ...] = ()


def read_weights(data: bytes | Path, file_name: str) -> dict[str, Tensor]:
    """The weights of a file: :func:`read_weights_file` without its notes."""
    return read_weights_file(data, file_name).weights


def read_weights_file(data: bytes | Path, file_name: str) -> WeightsFile:
    """Read a state dict without executing anything.

    Parameters
    ----------
    data : bytes or Path
        The file's content, or where it lies.
    file_name : str
        Decides the format by its ending; messages name it.

    Returns
    -------
    WeightsFile
        Contiguous tensors in memory of their own, floating ones as float32, on the CPU. The state dict
        inside a checkpoint is found under its usual keys; prefixes of wrappers are removed.

    Raises
    ------
    NetworkError
        If the file is of another format, damaged or too large, or holds anything but weights.
    """
    suffix = Path(file_name).suffix.lower()
    if suffix not in SUFFIXES:
        raise NetworkError(f"{file_name} has not one of the endings {', '.join(SUFFIXES)}. {SAVE_WEIGHTS}")
    if suffix == ".safetensors":
        content = _content(data, file_name)
        weights = read_safetensors(content, file_name, tensors=MAX_TENSORS, elements=MAX_ELEMENTS)
        notes: tuple[str, ...] = ()
    else:
        weights, notes = _read_saved(data, file_name)
    if not weights:
        raise NetworkError(f"{file_name} holds no weights. {SAVE_WEIGHTS}")
    weights, renamed = _without_wrappers(weights)
    return WeightsFile(weights, notes + renamed)


def _content(data: bytes | Path, name: str) -> bytes:
    """The bytes of the file, if they are not too many."""
    try:
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        if size > MAX_FILE_BYTES:
            raise NetworkError(f"{name} has {size:,} bytes; at most {MAX_FILE_BYTES:,} are read.")
        return data if isinstance(data, bytes) else data.read_bytes()
    except OSError as error:
        raise NetworkError(f"There is no readable file {name}.") from error


def _read_saved(data: bytes | Path, name: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The state dict of a ``torch.save`` archive, and what was left of the checkpoint around it."""
    if _start(data, name) != b"PK\x03\x04":
        raise NetworkError(
            f"{name} is not an archive of torch.save (PyTorch 1.6 or later); older files are pickles as a "
            f"whole and are not read. {SAVE_WEIGHTS}"
        )
    limits = Limits(file_bytes=MAX_FILE_BYTES, unpacked_bytes=MAX_FILE_BYTES)
    try:
        with open_archive(data, limits, refuse=_RefusedError, what="an archive of torch.save") as archive:
            tree, folder = read_tree(archive, name)
            claims, notes = _state_dict(tree, name)
            _check_size(claims, name)
            return read_tensors(archive, folder, claims), notes
    except _RefusedError as error:
        raise NetworkError(f"{name} is refused. {error}") from error


def _start(data: bytes | Path, name: str) -> bytes:
    """The first four bytes."""
    if isinstance(data, bytes):
        return data[:4]
    try:
        with data.open("rb") as file:
            return file.read(4)
    except OSError as error:
        raise NetworkError(f"There is no readable file {name}.") from error


def _state_dict(tree: Any, name: str) -> tuple[dict[str, TensorClaim], tuple[str, ...]]:
    """The tensors by name, searched under the usual keys of checkpoints, and a note on the rest."""
    path: list[str] = []
    left: list[str] = []
    for _ in range(MAX_NESTING):
        if not isinstance(tree, dict):
            break
        key = next((k for k in NESTS if isinstance(tree.get(k), dict)), None)
        if key is None:
            break
        path.append(key)
        left += [k for k in tree if k != key]
        tree = tree[key]
    if not isinstance(tree, dict) or not any(isinstance(v, TensorClaim) for v in tree.values()):
        found = f" It holds {_some(list(tree))}." if isinstance(tree, dict) and tree else ""
        raise NetworkError(f"{name} holds no state dict: no tensors by name.{found} {SAVE_WEIGHTS}")
    left += [k for k, v in tree.items() if not isinstance(v, TensorClaim)]
    claims = {key: value for key, value in tree.items() if isinstance(value, TensorClaim)}
    notes = [f"The weights under {'.'.join(path)} of the checkpoint were read."] if path else []
    notes += [f"Left out: {_some(left)}."] if left else []
    return claims, tuple(notes)


def _check_size(claims: Mapping[str, TensorClaim], name: str) -> None:
    """Refuse what would take too much memory; a stride of zero makes many values of few bytes."""
    if len(claims) > MAX_TENSORS:
        raise NetworkError(f"{name} holds {len(claims):,} tensors; at most {MAX_TENSORS:,} are read.")
    elements = sum(claim.elements for claim in claims.values())
    if elements > MAX_ELEMENTS:
        raise NetworkError(
            f"{name} claims {elements:,} values; at most {MAX_ELEMENTS:,} are read. Load a smaller network."
        )


def _without_wrappers(weights: dict[str, Tensor]) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Names as in the bare module, and a note on the prefixes removed."""
    notes: tuple[str, ...] = ()
    prefix = _wrapper(weights)
    while prefix:
        weights = {key.removeprefix(prefix): value for key, value in weights.items()}
        notes = (*notes, f"The prefix {prefix} that a wrapper had put before every name was removed.")
        prefix = _wrapper(weights)
    return weights, notes


def _wrapper(weights: Mapping[str, Tensor]) -> str | None:
    """The wrapper's prefix that all names share, if there is one."""
    return next((p for p in WRAPPERS if all(k.startswith(p) and k != p for k in weights)), None)


def _some(names: list[str], most: int = 5) -> str:
    """The first of `names`, each cut to what a sentence holds, and how many more there are."""
    shown = ", ".join(n[:60] for n in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"
