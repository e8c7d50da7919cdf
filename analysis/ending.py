"""Processes that end with the one that started them, however that one ends.

As a program, which :func:`tied` starts, this file runs a script as ``python SCRIPT ARGUMENT...`` would.
"""

from __future__ import annotations

import ctypes
import runpy
import signal
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def end_with_parent() -> None:
    """Let the kernel kill this process when the thread that started it ends; on Linux only.

    It is at once, also while an import holds the interpreter.
    """
    with suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def tied(script: str, *arguments: str) -> list[str]:
    """The command that runs a Python script of the present folder, and ends it with whoever started it.

    Nothing but what the script's folder and the interpreter hold can be imported there.
    """
    program = Path(__file__).read_text(
        encoding="utf-8"
    )  # to start with a script: after a fork threads may hold locks
    return [sys.executable, "-c", program, script, *arguments]


if __name__ == "__main__":
    end_with_parent()
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
