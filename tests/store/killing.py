"""Processes that use a history and are killed at a random moment: ``python -m tests.store.killing WORK ROUNDS SEED URL...``.

WORK is ``write`` (as :mod:`tests.store.writing` does) or ``open`` (make the history, or bring it up to date); there is a
round for each URL in turn. What the killed were told comes on the standard output. They are forks of one process, which
has imported everything, so that a kill falls into the work and not into the imports.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence

from analysis.store import Store
from tests.store import writing

_WRITING = 0.5  # seconds, at most, from the first trial until the kill


def kill_often(work: str, urls: Sequence[str], rounds: int, seed: int) -> list[writing.Told]:
    """What killed processes were told, all rounds together; they must have begun well."""
    command = [sys.executable, "-m", "tests.store.killing", work, str(rounds), str(seed), *urls]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and not done.stderr, done.stderr
    return writing.told(done.stdout.splitlines(keepends=True))


def main(work: str, rounds: int, seed: int, urls: Sequence[str]) -> int:
    """Fork and kill; returns the exit code."""
    draw, opening = random.Random(seed), _seconds_to_open()
    for turn in range(rounds):
        url = urls[turn % len(urls)]
        reading, writing_end = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(writing_end, sys.stdout.fileno())
            Store(url) if work == "open" else writing.write(url, 60.0, [f"turn{turn}", "always the same"])
            os._exit(0)
        os.close(writing_end)
        with os.fdopen(reading) as lines:
            if work == "write":
                print(lines.readline(), end="", flush=True)
            time.sleep(draw.uniform(0, _WRITING if work == "write" else 1.2 * opening))
            os.kill(child, signal.SIGKILL)
            rest = lines.read()
            print(rest, end="" if rest.endswith("\n") else "\n", flush=True)  # a line may have been cut short
        os.waitpid(child, 0)
    return 0


def _seconds_to_open() -> float:
    """How long it takes here and now to make a history."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.monotonic()
        Store(f"sqlite:///{folder}/history.sqlite").close()
        return time.monotonic() - start


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]))
