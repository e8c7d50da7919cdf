"""Values as Python source. What a stranger's file may have brought is quoted, or refused; never pasted."""

from __future__ import annotations

import keyword
import math
from typing import Any

import torch
from torch import nn

from analysis.errors import ExportError

_TAKEN = {*dir(nn.Module), *vars(nn.Module())}
_NAMED = (torch.dtype, torch.memory_format, torch.layout)


def literal(value: Any) -> str:
    """Source that gives `value`: numbers, text, None, dtypes, and lists, tuples, dicts and slices of them.

    Raises
    ------
    ExportError
        If it is something else.
    """
    if value is None or value is ... or type(value) in (bool, int, str):
        return "..." if value is ... else repr(value)
    if type(value) is float:
        return repr(value) if math.isfinite(value) else f'float("{value}")'
    if isinstance(value, _NAMED):
        return str(value)  # torch.float32
    if isinstance(value, torch.device):
        return f"torch.device({str(value)!r})"
    if isinstance(value, slice):
        return f"slice({', '.join(map(literal, (value.start, value.stop, value.step)))})"
    if isinstance(value, tuple):
        return bracketed([literal(part) for part in value])
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(key)}: {literal(part)}" for key, part in value.items()) + "}"
    raise ExportError(f"The network holds a {type(value).__name__}, which source code cannot. {REMEDY}")


REMEDY = "Take the .pt2 file instead."


def bracketed(parts: list[str]) -> str:
    """Source of a tuple."""
    return f"({parts[0]},)" if len(parts) == 1 else f"({', '.join(parts)})"


def is_name(text: str) -> bool:
    """True for what may stand in source as a name, unquoted; one that begins with __ would be mangled."""
    return (
        text.isidentifier() and text.isascii() and not keyword.iskeyword(text) and not text.startswith("__")
    )


def path(target: str) -> str:
    """Source that reads a module by its dotted name: ``self.blocks["0"].conv``.

    Raises
    ------
    ExportError
        If a part of it is empty, or a name that every module has.
    """
    return "self" + "".join(map(_step, target.split(".")))


def _step(part: str) -> str:
    if not part or part in _TAKEN:
        raise ExportError(
            f"The network has a layer called {part!r}, a name that torch needs itself. {REMEDY}"
        )
    return f".{part}" if is_name(part) else f"[{part!r}]"
