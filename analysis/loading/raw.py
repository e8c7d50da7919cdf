"""What a data file holds, before anything is done to it, and how much of it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from analysis.errors import DataError

MAX_FILE_BYTES = 1 << 29
MAX_VALUES = 1 << 28  # of all inputs together: 1 GiB once they are float32
MAX_CLASSES = 10_000
MAX_NAME = 80  # characters of a class or feature name; the rest is not shown
MIN_EXAMPLES = 10
BYTE = 255  # the brightest pixel of a picture that holds whole numbers
_LOOKED_AT = 1000  # examples, evenly spread, that tell whether values are bytes

Kind = Literal["images", "table", "arrays"]


@dataclass(frozen=True, eq=False)
class RawData:
    """Examples as their file holds them.

    Parameters
    ----------
    name : str
        The file's name.
    inputs : Tensor
        (N, ...): uint8 (pixels), int64 (counts or token ids) or float32.
    targets : Tensor
        (N, ...), int64 or float32: class numbers, one-hot rows or values.
    class_names, feature_names : tuple of str
        Empty if the file names none.
    origin : str
        Which examples these are, in words.
    kind : {"images", "table", "arrays"}
        From an image folder, a table, or arrays of any meaning.
    """

    name: str
    inputs: Tensor
    targets: Tensor
    class_names: tuple[str, ...]
    feature_names: tuple[str, ...]
    origin: str
    kind: Kind

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def unit(self) -> int:
        """What a full pixel is in these inputs: 255 if they are pictures in whole numbers, else 1."""
        if self.inputs.dtype == torch.uint8:
            return BYTE
        if self.kind == "table" or self.inputs.dim() < 3:
            return 1
        some = self.inputs[:: max(1, len(self) // _LOOKED_AT)]
        whole = not some.is_floating_point() or bool((some == some.floor()).all())
        return BYTE if whole and float(some.min()) >= 0 and 1 < float(some.max()) <= BYTE else 1


def check_amount(name: str, shape: Sequence[int]) -> None:
    """Refuse inputs of `shape` (N, ...) that would not fit into memory as float32.

    Raises
    ------
    DataError
        If they hold more than `MAX_VALUES` values.
    """
    count = 1
    for side in shape:
        count *= side
    if count > MAX_VALUES:
        raise DataError(
            f"{name} holds {count:,} input values (shape {tuple(shape)}); at most {MAX_VALUES:,} are read. "
            "Use fewer examples or smaller images."
        )


def clean_names(names: Sequence[str], name: str, what: str) -> tuple[str, ...]:
    """Names fit to be shown: one line, no control characters, at most `MAX_NAME` characters.

    Raises
    ------
    DataError
        If there are more than `MAX_CLASSES`, or if two are the same.
    """
    if len(names) > MAX_CLASSES:
        raise DataError(f"{name} names {len(names):,} {what}; at most {MAX_CLASSES:,} are read.")
    cleaned = [
        "".join(c for c in " ".join(text.split()) if c.isprintable())[:MAX_NAME] or "(no name)"
        for text in names
    ]
    seen: set[str] = set()
    for text in cleaned:
        if text in seen:
            raise DataError(f"{name} names two {what} “{text}”. Give each a name of its own.")
        seen.add(text)
    return tuple(cleaned)
