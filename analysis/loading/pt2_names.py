"""Names from a file as module paths: harmless to Python, no two in conflict, the original wherever it can be."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable

from torch import fx, nn

from analysis.loading.pt2_json import MAX_TEXT

MAX_DEPTH = 24  # modules inside modules

_TAKEN = {*dir(fx.GraphModule), *vars(nn.Module()), *keyword.kwlist, *keyword.softkwlist, "self"}


def safe_part(part: str) -> str:
    """One part of a path as digits or an ASCII identifier that shadows nothing of ``nn.Module``."""
    if part.isascii() and part.isdigit():
        return part
    part = re.sub(r"[^A-Za-z0-9_]", "_", part) or "_"
    if part.startswith("__"):
        part = part.strip("_") or "x"
    if part[0].isdigit():
        part = f"_{part}"
    return f"{part}_" if part in _TAKEN else part


def safe_path(path: str) -> str:
    """A dotted path of safe parts, at most ``MAX_DEPTH`` deep."""
    parts = [safe_part(part) for part in path[:MAX_TEXT].split(".")]
    return ".".join(
        [*parts[: MAX_DEPTH - 1], "_".join(parts[MAX_DEPTH - 1 :])] if len(parts) > MAX_DEPTH else parts
    )


class Names:
    """Gives out paths so that none lies inside another; `reserved` ones go to weights alone."""

    def __init__(self, reserved: Iterable[str]) -> None:
        self._reserved = {safe_path(path) for path in reserved}
        self._leaves: set[str] = set()
        self._folders: set[str] = set()
        self._counts: dict[str, int] = {}

    def claim(self, path: str, *, of_weight: bool = False) -> str:
        """`path` made safe, flattened below a leaf ("fc.act" to "fc_act") and numbered if it is taken."""

        def closed(name: str) -> bool:
            return name in self._leaves or (not of_weight and name in self._reserved)

        parts: list[str] = []
        for part in safe_path(path).split("."):
            if closed(".".join(parts)):
                parts[-1] = f"{parts[-1]}_{part}"
            else:
                parts.append(part)
        base = unique = ".".join(parts)
        while closed(unique) or unique in self._folders:
            self._counts[base] = self._counts.get(base, 1) + 1
            unique = f"{base}_{self._counts[base]}"
        self._leaves.add(unique)
        self._folders.update(unique[:i] for i, letter in enumerate(unique) if letter == ".")
        return unique
