"""Where recovered weights are kept: a folder of files, each named by the digest of its content.

The server and its workers share it. It is made of what plans name, and of the best weights so far of work in
progress.
"""

from __future__ import annotations

from pathlib import Path

from analysis.errors import PlanError, PrunescopeError
from analysis.kept_files import KeptFiles, named_folder
from analysis.recovery.recovered import Recovered, from_bytes, to_bytes

FOLDER = "PRUNESCOPE_RECOVERED"
MIB = "PRUNESCOPE_RECOVERED_MIB"

_DEFAULT_FOLDER = Path(__file__).parents[2] / "data" / "recovered"
_DEFAULT_MIB = 4000
_SUFFIX = ".safetensors"
_GONE = (
    "The weights that recovery found for this plan are not kept here (any more). Go back to the plan "
    "as it was pruned, and recover again."
)


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
        self._files = KeptFiles(folder, _SUFFIX, limit)

    def put(self, recovered: Recovered) -> str:
        """Keep recovered weights and return the digest that they are found by.

        Raises
        ------
        KeepError
            If the folder cannot be written.
        """
        try:
            return self._files.put(to_bytes(recovered))
        except OSError as error:
            raise KeepError(
                f"The recovered weights cannot be kept ({error.strerror or error}). Whoever runs this server can "
                f"name another folder with {FOLDER}."
            ) from error

    def get(self, digest: str) -> Recovered:
        """The recovered weights of a digest.

        Raises
        ------
        PlanError
            If they are not kept here, or damaged.
        """
        if not self.holds(digest):
            raise PlanError(_GONE)
        try:
            data = self._files.get(digest)
        except OSError as error:
            raise PlanError(_GONE) from error
        except ValueError as error:
            raise PlanError("The recovered weights of this plan are damaged. Recover again.") from error
        return from_bytes(data)

    def holds(self, digest: str) -> bool:
        """True if the weights of a digest are kept here; PlanError if it is no digest."""
        try:
            return self._files.holds(digest)
        except ValueError:
            raise PlanError(f"{digest[:80]!r} is no digest of recovered weights.") from None


def keep_here() -> Keep:
    """The folder that the environment names (PRUNESCOPE_RECOVERED, PRUNESCOPE_RECOVERED_MIB)."""
    return Keep(*named_folder(FOLDER, MIB, _DEFAULT_FOLDER, _DEFAULT_MIB))
