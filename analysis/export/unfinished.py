"""What the machine did not finish, told from what a format cannot hold: only the latter is a finding."""

from __future__ import annotations

import re

from analysis.errors import PrunescopeError

# A full disk or memory, also as torch says it. An OSError without a number is no such thing: "could not get source code".
_SIGNS = re.compile(
    r"\bMemoryError\b|\[Errno \d+\]|allocate memory|not enough memory|bad_alloc|file write failed",
    re.IGNORECASE,
)


class UnfinishedError(PrunescopeError):
    """An export that the machine did not bring to its end; it may be made again."""


def machine_words(error: BaseException) -> str:
    """What an error, or what caused it, says of a full disk or memory; empty if it is about something else."""
    cause: BaseException | None = error
    while cause is not None:
        said = f"{type(cause).__name__}: {cause}".strip()
        if is_of_the_machine(said):
            return said.splitlines()[0].rstrip(".: ")
        cause = cause.__cause__
    return ""


def is_of_the_machine(said: str) -> bool:
    """True if the words of an error speak of a full disk or memory."""
    return _SIGNS.search(said) is not None
