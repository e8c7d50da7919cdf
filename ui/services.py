"""What all sessions of a server share: the store, the job runner, kept values, turns. Settings, too.

Settings are environment variables, so that whoever starts the server decides.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from threading import BoundedSemaphore, Lock

from streamlit.runtime import Runtime

from analysis.jobs import Jobs
from analysis.prefix import DEFAULT_BUDGET, PrefixCache
from analysis.store import Store, StoreError
from ui.shelf import Limits, Shelf

DATABASE_URL = "PRUNESCOPE_DATABASE_URL"
WORKERS = "PRUNESCOPE_WORKERS"
CACHE_MIB = "PRUNESCOPE_CACHE_MIB"
SWEEP = "PRUNESCOPE_SWEEP"
UPLOADS = "PRUNESCOPE_UPLOADS"  # the folder
NETWORKS = "PRUNESCOPE_UPLOADS_NETWORKS"  # of one history
HISTORY_MIB = "PRUNESCOPE_UPLOADS_MIB"  # of one history
ALL_MIB = "PRUNESCOPE_UPLOADS_ALL_MIB"

_ROOT = Path(__file__).parents[1]
_DEFAULT_URL = f"sqlite:///{_ROOT / 'data' / 'history.sqlite'}"
_GRACE_SECONDS = 30.0  # how long jobs outlive their page: a refresh takes less

_seen: dict[str, tuple[set[str], float]] = {}
_lock = Lock()


def store() -> Store:
    """The database of trials and sensitivity points; a temporary one if the one named cannot be used."""
    return _opened()[0]


def store_problem() -> str:
    """Why history is not being kept; empty if it is."""
    return _opened()[1]


@cache
def _opened() -> tuple[Store, str]:
    try:
        return Store(os.environ.get(DATABASE_URL) or _DEFAULT_URL), ""
    except StoreError as error:
        return Store(f"sqlite:///{tempfile.mkdtemp(prefix='prunescope-')}/history.sqlite"), str(error)


@cache
def shelf() -> Shelf:
    """The files that users bring; where, how many and how large they may be is for the server to say."""
    limits = Limits(
        networks=_number(NETWORKS, 8),
        history_bytes=_number(HISTORY_MIB, 1000) * 2**20,
        all_bytes=_number(ALL_MIB, 10_000) * 2**20,
    )
    return Shelf(Path(os.environ.get(UPLOADS) or _ROOT / "data" / "uploads").resolve(), limits)


@cache
def jobs() -> Jobs:
    """The runner of everything long, as many at once as PRUNESCOPE_WORKERS says (default 1)."""
    command = [sys.executable, "-m", "analysis.worker"]
    return Jobs(command, limit=_number(WORKERS, 1), is_gone=_is_gone, folder=_ROOT)


@cache
def kept_values() -> PrefixCache:
    """Values kept between moves, by all sessions together, within PRUNESCOPE_CACHE_MIB."""
    return PrefixCache(_number(CACHE_MIB, DEFAULT_BUDGET // 2**20) * 2**20)


def sweeps_by_itself() -> bool:
    """False if PRUNESCOPE_SWEEP=ask: sensitivities are then measured on demand only."""
    return os.environ.get(SWEEP, "auto") != "ask"


@cache
def turn() -> BoundedSemaphore:
    """Held for one batch: as many sessions measure at once as there are processors, the others wait."""
    return BoundedSemaphore(max(1, os.cpu_count() or 1))


def note_presence(owner: str, connection: str) -> None:
    """Remember that a browser connection belongs to an owner of jobs."""
    with _lock:
        connections, _ = _seen.get(owner, (set(), 0.0))
        _seen[owner] = (connections | {connection}, time.monotonic())


def _is_gone(owner: str) -> bool:
    """True once no connection of an owner has been open for a while."""
    with _lock:
        connections, last = _seen.get(owner, (set(), 0.0))
        if not Runtime.exists() or any(Runtime.instance().is_active_session(c) for c in connections):
            _seen[owner] = (connections, time.monotonic())
            return False
        return time.monotonic() - last > _GRACE_SECONDS


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdigit() and int(text) > 0 else default
