"""``python -m analysis.worker``: a process that serves one job and ends with whoever asked for it.

It watches from its first moment, because the imports alone take seconds: they come when the watch has begun.
"""

from __future__ import annotations

import os
import select
import sys
from threading import Thread

from analysis.ending import end_with_parent


def main() -> int:
    """Serve the request on the standard input; returns the exit code.

    To be started by a thread that stays until this process has ended.
    """
    end_with_parent()
    Thread(target=leave_with, args=(sys.stdin.fileno(),), daemon=True).start()
    from analysis.__main__ import open_source
    from analysis.work import serve

    return serve(open_source)


def leave_with(descriptor: int) -> None:
    """End this process at once when nobody holds the other end of a pipe any more.

    Nothing is read, and no event but the end wakes it.
    """
    watch = select.poll()
    watch.register(descriptor, 0)  # that the other end is gone is always told
    watch.poll()
    os._exit(1)


if __name__ == "__main__":
    raise SystemExit(main())
