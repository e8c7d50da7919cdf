"""Data from a NumPy archive: its arrays of inputs and targets, nothing else is read or executed."""

from __future__ import annotations

import io
import math
import struct
import warnings

import numpy as np
import torch
from torch import Tensor

from analysis.errors import DataError
from analysis.loading.archive import MAX_UNPACKED_BYTES, Archive, Limits, open_archive
from analysis.loading.raw import MAX_FILE_BYTES, RawData, check_amount, clean_names

# Names that inputs and targets go by; the last two are those of Keras and of MedMNIST.
PAIRS = (
    ("x", "y"),
    ("X", "Y"),
    ("X", "y"),
    ("inputs", "targets"),
    ("images", "labels"),
    ("features", "labels"),
    ("x_test", "y_test"),
    ("test_images", "test_labels"),
)
CLASS_NAMES = "class_names"
MAX_HEADER = 10_000  # bytes that describe an array
_MAGIC = b"\x93NUMPY"
_HOW = "Save it with np.savez(path, x=inputs, y=targets)."


def read_npz(content: bytes, name: str) -> RawData:
    """The inputs (N, ...) and targets of an .npz file, and `class_names` if it holds them.

    They may be called x and y, or as in `PAIRS`. Integers stay integers, and bytes stay bytes.

    Raises
    ------
    DataError
        If the file is no such archive, is damaged or too large, or holds no numbers under these names.
    """
    limits = Limits(file_bytes=MAX_FILE_BYTES, unpacked_bytes=MAX_UNPACKED_BYTES)
    with open_archive(content, limits, refuse=DataError, what="an .npz archive") as archive:
        keys = {member.removesuffix(".npy") for member in archive.names if member.endswith(".npy")}
        first, second = _pair(keys, name)
        inputs, targets = (_numbers(archive, key, name) for key in (first, second))
        names = _names(archive, name) if CLASS_NAMES in keys else ()
    if inputs.ndim == 0 or targets.ndim == 0:
        key = first if inputs.ndim == 0 else second
        raise DataError(
            f"{key} in {name} is a single number: give {first} the shape (N, ...) and {second} (N,)."
        )
    if len(inputs) != len(targets):
        raise DataError(
            f"{name} holds {len(inputs):,} inputs but {len(targets):,} targets: each input needs one target."
        )
    check_amount(name, inputs.shape)
    which = "" if first.lower() == "x" else f" ({first})"
    return RawData(
        name=name,
        inputs=_tensor(inputs, first, name, keep_bytes=True),
        targets=_tensor(targets, second, name, keep_bytes=False),
        class_names=names,
        feature_names=(),
        origin=f"{len(inputs):,} examples of {name}{which}",
        kind="arrays",
    )


def _pair(keys: set[str], name: str) -> tuple[str, str]:
    for pair in PAIRS:
        if keys >= set(pair):
            return pair
    for pair in PAIRS:
        missing = [key for key in pair if key not in keys]
        if len(missing) == 1:
            raise DataError(f"{name} has no array {missing[0]}. {_HOW}")
    held = f" (it holds {', '.join(sorted(keys)[:8])})" if keys else ""
    raise DataError(f"{name} has no array x and y{held}. {_HOW}")


def _numbers(archive: Archive, key: str, name: str) -> np.ndarray:
    array = _array(archive, key, name)
    if array.dtype.kind not in "iufb":
        raise DataError(f"{key} in {name} holds {array.dtype}, not numbers.")
    return array


def _names(archive: Archive, name: str) -> tuple[str, ...]:
    array = _array(archive, CLASS_NAMES, name)
    if array.dtype.kind not in "US" or array.ndim != 1:
        raise DataError(
            f"{CLASS_NAMES} in {name} must be a row of texts: np.array(['cat', 'dog']); it has shape "
            f"{array.shape} and holds {array.dtype}."
        )
    texts = [t.decode("utf-8", "replace") if isinstance(t, bytes) else str(t) for t in array.tolist()]
    return clean_names(texts, name, "classes")


def _array(archive: Archive, key: str, name: str) -> np.ndarray:
    """The array in member `key`.npy: read-only, over the bytes of the archive."""
    content = archive.read_member(f"{key}.npy", MAX_UNPACKED_BYTES)
    try:
        shape, fortran, kind, start = _header(content)
    except DataError:
        raise
    except Exception as error:  # a damaged header fails in many ways, none of them ours
        raise DataError(f"{key} in {name} is damaged ({error}). {_HOW}") from error
    if kind.hasobject:
        raise DataError(
            f"{key} in {name} holds Python objects, which are never loaded: reading them could run code. "
            "Save an array of numbers (or of texts, for class_names)."
        )
    if min(shape, default=0) < 0 or start + math.prod(shape) * kind.itemsize > len(content):
        raise DataError(f"{key} in {name} claims an array of shape {shape}, which the file does not hold.")
    if kind.itemsize == 0 or math.prod(shape) == 0:
        raise DataError(f"{key} in {name} is empty (shape {shape}).")
    values = np.frombuffer(content, kind, count=math.prod(shape), offset=start)
    return values.reshape(shape, order="F" if fortran else "C")


def _header(content: bytes) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, Fortran order, type and first byte of the values of an .npy file.

    NumPy believes any length that a header claims for itself; it is bounded here first.
    """
    if content[:6] != _MAGIC:
        raise ValueError("it does not start as an array does")
    wide = content[6:8] != b"\x01\x00"
    length, start = struct.unpack_from("<I" if wide else "<H", content, 8)[0], 12 if wide else 10
    if length > MAX_HEADER:
        raise ValueError(f"its header claims {length:,} bytes")
    described = io.BytesIO(content[8 : start + length])
    read = np.lib.format.read_array_header_2_0 if wide else np.lib.format.read_array_header_1_0
    with warnings.catch_warnings():  # about files of Python 2, which are read all the same
        warnings.simplefilter("ignore", UserWarning)
        shape, fortran, kind = read(described)
    return shape, fortran, kind, start + length


def _tensor(array: np.ndarray, key: str, name: str, *, keep_bytes: bool) -> Tensor:
    """A tensor of its own: uint8 (if kept), int64 or float32."""
    if array.dtype == np.uint8 and keep_bytes:
        return torch.from_numpy(np.array(array, order="C"))
    if array.dtype.kind in "iu" or (array.dtype.kind == "b" and not keep_bytes):
        if array.dtype == np.uint64 and array.max() > np.iinfo(np.int64).max:
            raise DataError(f"{key} in {name} holds whole numbers above {np.iinfo(np.int64).max:,}.")
        return torch.from_numpy(np.array(array, dtype=np.int64, order="C"))
    with np.errstate(over="ignore"):  # what becomes infinite is refused when it meets a network
        return torch.from_numpy(np.array(array, dtype=np.float32, order="C"))
