"""A state dict's pickle, followed without unpickling: nothing that it names is called or imported.

``torch.load(weights_only=True)`` runs no code of a file, but a small file can still make it allocate
gigabytes (``UntypedStorage`` may be called with any size; one zip member is read once for every
upper/lower-case spelling of its name) or end the process (hashing a deeply nested key). So the
pickle's opcodes drive a stack of plain values here, where a tensor is a claim that is compared with
the file before any memory is given to it.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from analysis.errors import NetworkError

MAX_OPCODES = 1_000_000  # about 40 a tensor; read in under a second
MAX_DIMENSIONS = 16

SAVE_WEIGHTS = 'Save the weights alone: torch.save(model.state_dict(), "weights.pt").'

STORAGES = {
    "torch DoubleStorage": torch.float64,
    "torch FloatStorage": torch.float32,
    "torch HalfStorage": torch.float16,
    "torch BFloat16Storage": torch.bfloat16,
    "torch LongStorage": torch.int64,
    "torch IntStorage": torch.int32,
    "torch ShortStorage": torch.int16,
    "torch CharStorage": torch.int8,
    "torch ByteStorage": torch.uint8,
    "torch BoolStorage": torch.bool,
}
MAPPING = "collections OrderedDict"
TENSOR = "torch._utils _rebuild_tensor_v2"
PARAMETER = "torch._utils _rebuild_parameter"
ALLOWED = frozenset({*STORAGES, MAPPING, TENSOR, PARAMETER})


@dataclass(frozen=True)
class Name:
    """A global that the pickle names, as pickletools spells it: module, space, name."""

    text: str


@dataclass(frozen=True)
class Storage:
    """`count` values of `dtype` in the archive's member ``data/<key>``."""

    key: str
    dtype: torch.dtype
    count: int


@dataclass(frozen=True)
class TensorClaim:
    """A tensor the file claims: a strided view of a storage, proven to lie inside it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def elements(self) -> int:
        """Number of values; more than the storage holds where a stride is zero."""
        return math.prod(self.shape)


def follow(pickled: bytes, records: Mapping[str, int], name: str) -> Any:
    """The object tree of a pickle: dicts, lists, plain values and :class:`TensorClaim`.

    A dict keeps its entries with text keys only (weights have names; an optimiser's numbered state is
    of no use here). `records` says how many bytes each storage has in the file called `name`.

    Raises
    ------
    NetworkError
        If the pickle names anything but tensors, is damaged, or claims what the records do not hold.
    """
    return _Machine(records, name).run(pickled)


class _Machine:
    """Follows a pickle's opcodes over plain values. It calls nothing that the pickle names."""

    def __init__(self, records: Mapping[str, int], name: str) -> None:
        self.records = records
        self.name = name
        self.stack: list[Any] = []
        self.marks: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, pickled: bytes) -> Any:
        """The value left at the end of the pickle."""
        try:
            for count, (opcode, argument, _) in enumerate(pickletools.genops(pickled)):
                if count > MAX_OPCODES:
                    raise NetworkError(
                        f"The description of {self.name} takes more than {MAX_OPCODES:,} steps. "
                        + SAVE_WEIGHTS
                    )
                self.step(opcode.name, argument)
            return self.stack.pop()
        except NetworkError:
            raise
        except Exception as error:  # an empty stack, a wrong type, a cut string: all mean a broken pickle
            raise NetworkError(
                f"The description inside {self.name} is damaged ({type(error).__name__}). "
                "Copy or save it again."
            ) from error

    def step(self, opcode: str, argument: Any) -> None:
        """One opcode, named as in pickletools."""
        stack = self.stack
        match opcode:
            case "PROTO" | "STOP" | "FRAME":
                pass
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(opcode == "NEWTRUE")
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "BINFLOAT" | "BINUNICODE":
                stack.append(argument)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                size = int(opcode[-1])
                stack[-size:] = [tuple(stack[-size:])]
            case "MARK":
                self.marks.append(stack)
                self.stack = []
            case "TUPLE":
                items = self.pop_mark()
                self.stack.append(tuple(items))
            case "APPEND":
                item = stack.pop()
                _list(stack[-1]).append(item)
            case "APPENDS":
                items = self.pop_mark()
                _list(self.stack[-1]).extend(items)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                self.set_items([key, value])
            case "SETITEMS":
                self.set_items(self.pop_mark())
            case "BINPUT" | "LONG_BINPUT":
                self.memo[argument] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(self.memo[argument])
            case "GLOBAL":
                self.check_global(argument)
                stack.append(Name(argument))
            case "BINPERSID":
                stack.append(self.storage(stack.pop()))
            case "REDUCE":
                arguments = stack.pop()
                stack.append(self.rebuild(stack.pop(), arguments))
            case "BUILD":  # a state dict's _metadata: versions of its modules, of no use here
                stack.pop()
                _dict(stack[-1])
            case _:
                raise NetworkError(
                    f"{self.name} uses the pickle instruction {opcode}, which a state dict needs not. "
                    + SAVE_WEIGHTS
                )

    def pop_mark(self) -> list[Any]:
        """What was pushed since the last mark."""
        items = self.stack
        self.stack = self.marks.pop()
        return items

    def set_items(self, items: list[Any]) -> None:
        """Entries with text keys into the dict on top; other keys are never hashed."""
        target = _dict(self.stack[-1])
        for key, value in zip(items[::2], items[1::2], strict=True):
            if isinstance(key, str):
                target[key] = value

    def check_global(self, text: str) -> None:
        """Refuse every name but those a state dict needs."""
        if text in ALLOWED:
            return
        dotted = text.replace(" ", ".")[:200]
        if not self.stack and not self.marks:
            raise NetworkError(
                f"{self.name} is a whole pickled object ({dotted}): loading it would run its code, so it is "
                f"refused. {SAVE_WEIGHTS}"
            )
        raise NetworkError(
            f"{self.name} holds more than weights: it names {dotted}, and loading that could run code, so "
            f"the file is refused. {SAVE_WEIGHTS}"
        )

    def storage(self, identity: Any) -> Storage:
        """The storage a persistent id claims, compared with the archive."""
        kind, storage, key, _device, count = identity
        if kind != "storage" or not isinstance(storage, Name) or storage.text not in STORAGES:
            raise ValueError("not a storage")
        dtype = STORAGES[storage.text]
        key = str(key) if _is_count(key) else _text(key)
        if key not in self.records or not _is_count(count):
            raise NetworkError(f"{self.name} lacks the values of one of its tensors. Copy or save it again.")
        held = self.records[key]
        if count * dtype.itemsize != held:
            raise NetworkError(
                f"{self.name} claims {count:,} values of {str(dtype).removeprefix('torch.')} where it holds "
                f"{held:,} bytes. Copy or save it again."
            )
        return Storage(key, dtype, count)

    def rebuild(self, function: Any, arguments: Any) -> Any:
        """What calling one of the allowed functions would make, as a claim."""
        text = function.text
        if text == MAPPING and arguments == ():
            return {}
        if text == PARAMETER and isinstance(arguments[0], TensorClaim):
            return arguments[0]
        if text == TENSOR and isinstance(arguments[0], Storage) and not any(arguments[6:]):
            return self.tensor(*arguments[:4])
        raise ValueError("not a tensor")

    def tensor(self, storage: Storage, offset: Any, shape: Any, strides: Any) -> TensorClaim:
        """A view of `storage`, if it lies inside."""
        numbers = (offset, *shape, *strides)
        if len(shape) != len(strides) or len(shape) > MAX_DIMENSIONS or not all(map(_is_count, numbers)):
            raise ValueError("no shape")
        last = offset + sum((side - 1) * step for side, step in zip(shape, strides, strict=True))
        if 0 not in shape and last >= storage.count:
            raise NetworkError(
                f"{self.name} claims a tensor of shape {tuple(shape)} in a storage of {storage.count:,} "
                "values, which do not suffice. Copy or save it again."
            )
        return TensorClaim(storage, offset, tuple(shape), tuple(strides))


def _is_count(value: Any) -> bool:
    """True for a whole number that sizes can be."""
    return type(value) is int and 0 <= value < 1 << 48


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _list(value: Any) -> list[Any]:
    if type(value) is not list:
        raise TypeError("not a list")
    return value


def _dict(value: Any) -> dict[Any, Any]:
    if type(value) is not dict:
        raise TypeError("not a dict")
    return value
