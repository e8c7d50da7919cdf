"""Files that users bring, on disk: each history has a folder of its own, and nobody sees another's.

A source is a folder ``<root>/<history>/<name>/`` that :func:`analysis.sources.open_folder` reads. It
appears and goes as a whole: it is written beside its place and renamed.
"""

from __future__ import annotations

import re
import secrets
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import RLock

from analysis.durable import settle
from analysis.errors import PrunescopeError
from analysis.sources import Files, write_folder

_HISTORY = re.compile("[0-9a-f]{12,32}")
_NAME = re.compile("[A-Za-z0-9_][A-Za-z0-9_.-]*-[0-9a-f]{16}")
_UNFINISHED = ".new-"
_HOUR = 3600.0


class ShelfError(PrunescopeError):
    """Files that cannot be kept."""


@dataclass(frozen=True)
class Limits:
    """How much is kept: networks and bytes of one history, and bytes of all together."""

    networks: int
    history_bytes: int
    all_bytes: int


@dataclass(frozen=True)
class _Source:
    folder: Path
    size: int
    used: float


class Shelf:
    """The sources under one folder; safe to share between threads.

    Parameters
    ----------
    root : Path
        Made when the first source comes, for the eyes of this user account alone.
    limits : Limits
        What is over them goes, the longest unused first; of other histories only what nobody has used
        for an hour.
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        self.root, self.limits = root, limits
        self._lock = RLock()

    def names(self, history: str) -> tuple[str, ...]:
        """The sources of a history, the latest used first."""
        mine = sorted(self._of(history), key=lambda source: source.used, reverse=True)
        return tuple(source.folder.name for source in mine)

    def find(self, name: str) -> Path | None:
        """The folder of a source, whosever it is: equal names hold equal files."""
        if not _NAME.fullmatch(name):
            return None
        return next((source.folder for source in self._all() if source.folder.name == name), None)

    def check_room(self, size: int) -> None:
        """Refuse what could never be kept.

        Raises
        ------
        ShelfError
            If `size` bytes are more than one history may keep.
        """
        most = min(self.limits.history_bytes, self.limits.all_bytes)
        if size > most:
            raise ShelfError(
                f"The two files hold {size:,} bytes; at most {most:,} are kept. Bring fewer examples."
            )

    def put(self, history: str, files: Files) -> tuple[str, ...]:
        """Keep files under their name; returns the names of the history that had to go for them.

        Raises
        ------
        ShelfError
            If there is no room, or the folder cannot be written.
        """
        self.check_room(files.size)
        with self._lock:
            try:
                place = self.root / _checked(history) / files.name
                if place.is_dir():
                    self.note_use(history, files.name)
                    return ()
                gone = self._make_room(history, files.size)
                self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
                place.parent.mkdir(mode=0o700, exist_ok=True)
                fresh = place.parent / f"{_UNFINISHED}{secrets.token_hex(8)}"
                fresh.mkdir(mode=0o700)
                try:
                    write_folder(fresh, files)
                    fresh.rename(place)
                    settle(place.parent)
                except OSError:
                    shutil.rmtree(fresh, ignore_errors=True)
                    if not place.is_dir():  # another server may have been faster
                        raise
            except OSError as error:
                raise ShelfError(
                    f"Your files cannot be kept ({error.strerror or error}). Whoever runs this server can "
                    "name another folder with PRUNESCOPE_UPLOADS."
                ) from error
        return gone

    def remove(self, history: str, name: str) -> None:
        """Delete a source of a history; nothing happens if it has none of that name."""
        with self._lock:
            if name in self.names(history):
                _discard(self.root / history / name)

    def note_use(self, history: str, name: str) -> None:
        """Remember that a source is in use now."""
        with suppress(OSError):
            (self.root / _checked(history) / name).touch()

    def _make_room(self, history: str, size: int) -> tuple[str, ...]:
        self._clear_unfinished()
        mine = sorted(self._of(history), key=lambda source: source.used)
        held = sum(source.size for source in mine)
        gone = []
        while mine and (len(mine) >= self.limits.networks or held + size > self.limits.history_bytes):
            oldest = mine.pop(0)
            held -= oldest.size
            gone.append(oldest.folder.name)
            _discard(oldest.folder)
        self._make_room_among_all(size)
        return tuple(gone)

    def _make_room_among_all(self, size: int) -> None:
        every = sorted(self._all(), key=lambda source: source.used)
        held = sum(source.size for source in every)
        for source in every:
            if held + size <= self.limits.all_bytes:
                return
            if time.time() - source.used < _HOUR:
                break
            held -= source.size
            _discard(source.folder)
        if held + size > self.limits.all_bytes:
            raise ShelfError(
                f"The networks in use on this server fill the {self.limits.all_bytes:,} bytes it keeps. "
                "Remove one of yours, or come back in an hour."
            )

    def _clear_unfinished(self) -> None:
        """Writing that a crash cut short."""
        for folder in self.root.glob(f"*/{_UNFINISHED}*"):
            with suppress(FileNotFoundError):  # another server may have been faster
                if time.time() - folder.stat().st_mtime > _HOUR:
                    shutil.rmtree(folder, ignore_errors=True)

    def _of(self, history: str) -> list[_Source]:
        return _sources((self.root / _checked(history)).glob("*"))

    def _all(self) -> list[_Source]:
        return _sources(self.root.glob("*/*"))


def _discard(folder: Path) -> None:
    """Delete a source, whole or not at all: a crash midway leaves nothing that goes by its name."""
    gone = folder.parent / f"{_UNFINISHED}{secrets.token_hex(8)}"
    with suppress(OSError):
        folder.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _checked(history: str) -> str:
    """A history is part of a path: it must not be anything else."""
    if not _HISTORY.fullmatch(history):
        raise ShelfError(f"{history!r} is no history's name.")
    return history


def _sources(folders: Iterable[Path]) -> list[_Source]:
    found = []
    for folder in folders:
        with suppress(OSError):  # removed meanwhile
            if _NAME.fullmatch(folder.name) and folder.is_dir():
                size = sum(file.stat().st_size for file in folder.iterdir())
                found.append(_Source(folder, size, folder.stat().st_mtime))
    return found
