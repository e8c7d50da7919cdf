"""Where recovered weights are kept: a folder of files, each named by the digest of its content.

The server and its workers share it. It is made of what plans name, and of the best weights so far of work in
progress.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import time
from contextlib import suppress
from pathlib import Path

from analysis.errors import PlanError, PrunescopeError
from analysis.recovery.recovered import Recovered, from_bytes, to_bytes

FOLDER = "PRUNESCOPE_RECOVERED"
MIB = "PRUNESCOPE_RECOVERED_MIB"

_DEFAULT_FOLDER = Path(__file__).parents[2] / "data" / "recovered"
_DEFAULT_MIB = 4000
_SUFFIX = ".safetensors"
_KEPT = re.compile("[0-9a-f]{64}" + re.escape(_SUFFIX))
_UNFINISHED = ".new-"
_DAY = 86_400.0


class KeepError(PrunescopeError):
    """Recovered weights that cannot be kept."""


class Keep:
    """Recovered weights on disk; safe to share between processes.

    Parameters
    ----------
    folder : Path
        Made when the first file comes.
    limit : int
        Bytes of all files together; what is over them goes, the longest unused first, but nothing that was used
        within a day.
    """

    def __init__(self, folder: Path, limit: int = _DEFAULT_MIB * 2**20) -> None:
        self.folder, self.limit = folder, limit

    def put(self, recovered: Recovered) -> str:
        """Keep recovered weights and return the digest that they are found by.

        Raises
        ------
        KeepError
            If the folder cannot be written.
        """
        data = to_bytes(recovered)
        digest = hashlib.sha256(data).hexdigest()
        place = self._place(digest)
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._make_room(len(data))
            fresh = self.folder / f"{_UNFINISHED}{secrets.token_hex(8)}"
            try:
                fresh.write_bytes(data)
                fresh.replace(place)
            finally:
                fresh.unlink(missing_ok=True)
        except OSError as error:
            raise KeepError(
                f"The recovered weights cannot be kept ({error.strerror or error}). Whoever runs this server can "
                f"name another folder with {FOLDER}."
            ) from error
        return digest

    def get(self, digest: str) -> Recovered:
        """The recovered weights of a digest.

        Raises
        ------
        PlanError
            If they are not kept here, or damaged.
        """
        place = self._place(digest)
        try:
            data = place.read_bytes()
        except OSError as error:
            raise PlanError(
                "The weights that recovery found for this plan are not kept here (any more). Go back to the plan "
                "as it was pruned, and recover again."
            ) from error
        if hashlib.sha256(data).hexdigest() != digest:
            raise PlanError("The recovered weights of this plan are damaged. Recover again.")
        with suppress(OSError):
            os.utime(place)  # in use now
        return from_bytes(data)

    def holds(self, digest: str) -> bool:
        """True if the weights of a digest are kept here."""
        return self._place(digest).is_file()

    def _place(self, digest: str) -> Path:
        """A digest is part of a path: it must not be anything else."""
        if not re.fullmatch("[0-9a-f]{64}", digest):
            raise PlanError(f"{digest[:80]!r} is no digest of recovered weights.")
        return self.folder / (digest + _SUFFIX)

    def _make_room(self, size: int) -> None:
        """Delete what is over the limit, and writing that a crash cut short; other files are not ours."""
        files = []
        for file in self.folder.iterdir():
            with suppress(FileNotFoundError):  # another process may have renamed or deleted it
                known = file.stat()
                if _KEPT.fullmatch(file.name):
                    files.append((known.st_mtime, known.st_size, file))
                elif file.name.startswith(_UNFINISHED) and time.time() - known.st_mtime > _DAY:
                    file.unlink()
        held = size + sum(bytes_ for _, bytes_, _ in files)
        for used, bytes_, file in sorted(files):
            if held <= self.limit or time.time() - used < _DAY:
                return
            file.unlink(missing_ok=True)
            held -= bytes_


def keep_here() -> Keep:
    """The folder that the environment names (PRUNESCOPE_RECOVERED, PRUNESCOPE_RECOVERED_MIB)."""
    mib = os.environ.get(MIB, "")
    folder = Path(os.environ.get(FOLDER) or _DEFAULT_FOLDER).resolve()
    return Keep(folder, (int(mib) if mib.isdigit() and int(mib) > 0 else _DEFAULT_MIB) * 2**20)
