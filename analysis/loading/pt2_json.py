"""JSON from strangers: bounded before it is parsed, and read by type, so that a wrong value is named."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from analysis.errors import NetworkError

MAX_JSON_BYTES = 32 << 20
MAX_JSON_VALUES = 4_000_000  # values and keys; each takes about 60 bytes once parsed
MAX_NESTING = 64
MAX_TEXT = 200  # characters of a name or a setting
MAX_INT = (1 << 63) - 1
MAX_LIST = 4096  # numbers or tensors in one argument

# Possessive, so that a string of many megabytes is passed without a stack.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?', re.DOTALL)
_FLOATS = {"Infinity": math.inf, "-Infinity": -math.inf, "NaN": math.nan}


def parse_json(content: bytes, member: str) -> Any:
    """Parse `content`, after counting what it would become."""
    bare = np.frombuffer(_STRINGS.sub(b"0", content), dtype=np.uint8)
    opening = (bare == ord("[")) | (bare == ord("{"))
    closing = (bare == ord("]")) | (bare == ord("}"))
    depth = np.cumsum(opening.astype(np.int32) - closing.astype(np.int32))
    if len(depth) and int(depth.max()) > MAX_NESTING:
        raise NetworkError(f"{member} nests deeper than {MAX_NESTING} levels. Save the model again.")
    values = int(opening.sum()) + int(((bare == ord(",")) | (bare == ord(":"))).sum())
    if values > MAX_JSON_VALUES:
        raise NetworkError(f"{member} holds {values:,} values; at most {MAX_JSON_VALUES:,} are read.")
    try:
        return json.loads(content.decode())  # as bytes it could be UTF-16, which was not counted above
    except (ValueError, RecursionError) as error:
        raise NetworkError(f"{member} is damaged ({error}). Save or download the file again.") from error


def get_dict(value: Any, what: str) -> dict[str, Any]:
    """`value` if it is an object."""
    if not isinstance(value, dict):
        raise _wrong(what, "an object", value)
    return value


def get_list(value: Any, what: str, most: int | None = None) -> list[Any]:
    """`value` if it is a list of at most `most` entries."""
    if not isinstance(value, list):
        raise _wrong(what, "a list", value)
    if most is not None and len(value) > most:
        raise NetworkError(f"{what} has {len(value):,} entries; at most {most:,} are read.")
    return value


def get_text(value: Any, what: str) -> str:
    """`value` if it is a string of at most ``MAX_TEXT`` characters."""
    if not isinstance(value, str):
        raise _wrong(what, "a text", value)
    if len(value) > MAX_TEXT:
        raise NetworkError(
            f"{what} is {len(value):,} characters long; at most {MAX_TEXT} are read: {shown(value)}."
        )
    return value


def get_int(value: Any, what: str) -> int:
    """`value` if it is a whole number of 64 bits."""
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > MAX_INT + 1:
        raise _wrong(what, "a whole number of 64 bits", value)
    return value


def get_bool(value: Any, what: str) -> bool:
    """`value` if it is true or false."""
    if not isinstance(value, bool):
        raise _wrong(what, "true or false", value)
    return value


def get_float(value: Any, what: str) -> float:
    """`value` if it is a number; infinities and NaN are written as words."""
    if isinstance(value, str) and value in _FLOATS:
        return _FLOATS[value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong(what, "a number", value)
    try:
        return float(value)
    except OverflowError:
        raise _wrong(what, "a number of 64 bits", value) from None


def get(owner: Mapping[str, Any], key: str, what: str) -> Any:
    """An entry that must be there."""
    if key not in owner:
        raise NetworkError(f"{what} has no entry {key!r}. Save the model again with torch.export.save.")
    return owner[key]


def get_union(value: Any, what: str) -> tuple[str, Any]:
    """The one (kind, value) of a tagged value ``{"as_int": 3}``."""
    tagged = get_dict(value, what)
    if len(tagged) != 1:
        raise _wrong(what, "one tagged value", value)
    return next(iter(tagged.items()))


def shown(value: Any, most: int = 60) -> str:
    """`value` as a message may show it: printable and short."""
    text = ascii(value[: most + 1] if isinstance(value, str | list) else value)
    return text if len(text) <= most else f"{text[: most - 3]}..."


def _wrong(what: str, wanted: str, value: Any) -> NetworkError:
    return NetworkError(f"{what} should be {wanted}, not {shown(_brief(value))}. Save the model again.")


def _brief(value: Any) -> Any:
    """Containers by their type alone: a message must not print a whole tree."""
    return f"a {type(value).__name__}" if isinstance(value, dict | list) else value
