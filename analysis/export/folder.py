"""Where exported files lie until they are taken: a folder of archives, each named by the digest of its content.

Workers put in what they have made and checked, the server hands it out. Whatever goes can be made again.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

from analysis.errors import PrunescopeError
from analysis.export.bundle import bundle
from analysis.kept_files import KeptFiles, named_folder

FOLDER = "PRUNESCOPE_EXPORTS"
MIB = "PRUNESCOPE_EXPORTS_MIB"

_DEFAULT_FOLDER = Path(__file__).parents[2] / "data" / "exports"
_DEFAULT_MIB = 2000
_SUFFIX = ".zip"
_REST = 3600.0  # seconds; somebody may be about to download it
_GONE = "These exported files are not kept here any more. Export again."


class ExportsError(PrunescopeError):
    """Exported files that cannot be kept, or are not here any more."""


class Exports:
    """Exported files on disk; safe to share between processes.

    Parameters
    ----------
    folder : Path
        Made when the first export comes.
    limit : int
        Bytes of all archives together; what is over them goes, the longest unused first, but nothing that was
        used within an hour.
    """

    def __init__(self, folder: Path, limit: int = _DEFAULT_MIB * 2**20) -> None:
        self.folder, self.limit = folder, limit
        self._files = KeptFiles(folder, _SUFFIX, limit, rest=_REST)

    def put(self, files: Mapping[str, bytes]) -> str:
        """Keep files by name, all of them or none, and return the digest that they are found by.

        Raises
        ------
        ExportsError
            If the folder cannot be written.
        """
        try:
            return self._files.put(bundle(files))
        except OSError as error:
            raise ExportsError(
                f"The exported files cannot be kept ({error.strerror or error}). Whoever runs this server can name "
                f"another folder with {FOLDER}."
            ) from error

    def get(self, digest: str) -> dict[str, bytes]:
        """The files of a digest, by name; errors as :meth:`archive`."""
        with zipfile.ZipFile(io.BytesIO(self.archive(digest))) as opened:
            return {name: opened.read(name) for name in opened.namelist()}

    def archive(self, digest: str) -> bytes:
        """The files of a digest as one zip.

        Raises
        ------
        ExportsError
            If they are not kept here, or damaged.
        """
        try:
            return self._files.get(digest)
        except OSError as error:
            raise ExportsError(_GONE) from error
        except ValueError as error:
            raise ExportsError(f"{error} Export again.") from error

    def holds(self, digest: str) -> bool:
        """True if the files of a digest are kept here."""
        try:
            return self._files.holds(digest)
        except ValueError as error:
            raise ExportsError(str(error)) from None

    def offer(self, digest: str) -> bool:
        """True if the files of a digest are kept here; they count as used now, so that they stay for an hour."""
        try:
            return self._files.touch(digest)
        except ValueError as error:
            raise ExportsError(str(error)) from None


def exports_here() -> Exports:
    """The folder that the environment names (PRUNESCOPE_EXPORTS, PRUNESCOPE_EXPORTS_MIB)."""
    return Exports(*named_folder(FOLDER, MIB, _DEFAULT_FOLDER, _DEFAULT_MIB))
