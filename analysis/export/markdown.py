"""Pieces of Markdown, as GitHub and Streamlit read it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

_LIVE = r"\`*_{}[]()<>|#!$~:&"  # has a meaning in Markdown, as GitHub or Streamlit read it, or in HTML


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its cells are Markdown already."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def bullets(lines: Iterable[str]) -> str:
    """A list with a line for each; empty lines are left out."""
    return "\n".join(f"- {line}" for line in lines if line)


def plain(value: Any) -> str:
    """Text that may have come with a stranger's file, as Markdown that says just that, on one line."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in str(value)).split())
    return "".join(f"\\{letter}" if letter in _LIVE else letter for letter in line)
