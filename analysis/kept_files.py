"""A folder of files that processes share, each named by the digest of its content, within a limit of bytes."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path

from analysis.durable import settle

_UNFINISHED = ".new-"
_DAY = 86_400.0


class KeptFiles:
    """Files on disk by their content; safe to share between processes.

    Parameters
    ----------
    folder : Path
        Made when the first file comes.
    suffix : str
        What all names end in: ``.safetensors``. Other files in the folder are left alone.
    limit : int
        Bytes of all files together; what is over them goes, the longest unused first.
    rest : float
        Seconds within which a file that was used stays all the same; a day by default.
    """

    def __init__(self, folder: Path, suffix: str, limit: int, *, rest: float = _DAY) -> None:
        self.folder, self.suffix, self.limit, self.rest = folder, suffix, limit, rest
        self._kept = re.compile("[0-9a-f]{64}" + re.escape(suffix))

    def put(self, data: bytes) -> str:
        """Keep a file, whole or not at all, and return the digest that it is found by.

        Raises
        ------
        OSError
            If the folder cannot be written.
        """
        digest = hashlib.sha256(data).hexdigest()
        place = self._place(digest)
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._make_room(len(data))
        fresh = self.folder / f"{_UNFINISHED}{secrets.token_hex(8)}"
        try:
            fresh.write_bytes(data)
            settle(fresh)
            fresh.replace(place)
            settle(self.folder)
        finally:
            fresh.unlink(missing_ok=True)
        return digest

    def get(self, digest: str) -> bytes:
        """The content of a digest, which counts as used from now on.

        Raises
        ------
        OSError
            If it is not kept here.
        ValueError
            If it is damaged (then it goes, to be made again), or `digest` is none.
        """
        place = self._place(digest)
        data = place.read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            place.unlink(missing_ok=True)
            raise ValueError(f"{place.name} has changed since it was written.")
        self.touch(digest)
        return data

    def touch(self, digest: str) -> bool:
        """Let a digest count as used from now on; False if it is not kept here. ValueError if it is none."""
        place = self._place(digest)
        with suppress(OSError):  # a drive that cannot be written has no room to make either
            os.utime(place)
        return place.is_file()

    def holds(self, digest: str) -> bool:
        """True if a digest is kept here; ValueError if it is none."""
        return self._place(digest).is_file()

    def _place(self, digest: str) -> Path:
        """A digest is part of a path: it must not be anything else."""
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise ValueError(f"{digest[:80]!r} is no digest.")
        return self.folder / (digest + self.suffix)

    def _make_room(self, size: int) -> None:
        """Delete what is over the limit, and writing that a crash cut short; other files are not ours."""
        files = []
        for file in self.folder.iterdir():
            with suppress(FileNotFoundError):  # another process may have renamed or deleted it
                known = file.stat()
                if self._kept.fullmatch(file.name):
                    files.append((known.st_mtime, known.st_size, file))
                elif file.name.startswith(_UNFINISHED) and time.time() - known.st_mtime > _DAY:
                    file.unlink()
        held = size + sum(bytes_ for _, bytes_, _ in files)
        for used, bytes_, file in sorted(files):
            if held <= self.limit or time.time() - used < self.rest:
                return
            file.unlink(missing_ok=True)
            held -= bytes_


def named_folder(folder: str, mib: str, usual: Path, usual_mib: int) -> tuple[Path, int]:
    """A folder and its limit in bytes as the environment variables `folder` and `mib` name them, or the usual ones."""
    text = os.environ.get(mib, "")
    size = int(text) if text.isdigit() and int(text) > 0 else usual_mib
    return Path(os.environ.get(folder) or usual).resolve(), size * 2**20
