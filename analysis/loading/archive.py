"""Zip archives from strangers: what an entry claims is checked before any memory is given to it.

Nothing is unpacked to disk and nothing inside is executed. Readers of .pt2, .npz and image archives share it.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from analysis.errors import PrunescopeError

MAX_FILE_BYTES = 1 << 30
MAX_UNPACKED_BYTES = 1 << 30
MAX_MEMBERS = 20_000
MAX_DIRECTORY_BYTES = 4 << 20  # of the list of members; zipfile builds an object of about 600 bytes for each
MAX_RATIO = 200  # unpacked bytes for each packed one; weights and photographs stay under 5
FREE_BYTES = 1 << 20  # members up to this size may be packed at any ratio
MAX_NAME = 400

_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # the others can need much memory to unpack
_ENCRYPTED = 0x1


@dataclass(frozen=True)
class Limits:
    """How much an archive may hold; each limit is named in the message of the refusal it causes."""

    file_bytes: int = MAX_FILE_BYTES
    unpacked_bytes: int = MAX_UNPACKED_BYTES
    members: int = MAX_MEMBERS
    ratio: int = MAX_RATIO


@dataclass(frozen=True)
class Archive:
    """An open archive whose entries have passed every check of :func:`open_archive`."""

    archive: zipfile.ZipFile
    refuse: type[PrunescopeError]

    @property
    def names(self) -> tuple[str, ...]:
        """The members in the order of the archive, folders left out."""
        return tuple(entry.filename for entry in self.archive.infolist() if not entry.is_dir())

    def size(self, member: str) -> int:
        """Unpacked bytes that `member` claims, bounded by the limits of the archive."""
        return self._entry(member).file_size

    def read_member(self, member: str, cap: int) -> bytes:
        """The content of one member.

        Raises
        ------
        PrunescopeError
            Of the archive's own kind: if there is no such member, it is larger than `cap` bytes, or damaged.
        """
        entry = self._entry(member)
        if entry.file_size > cap:
            raise self.refuse(f"{member} holds {entry.file_size:,} bytes; at most {cap:,} are read of it.")
        try:
            with self.archive.open(entry) as file:
                content = file.read(cap + 1)
                if len(content) == entry.file_size:
                    content += file.read(1)  # reaching the end compares the checksum
        except Exception as error:  # zlib, struct and zipfile fail in many ways, none of them ours
            raise self.refuse(
                f"{member} is damaged ({_brief(error)}). Save or download the file again."
            ) from error
        if len(content) != entry.file_size:
            raise self.refuse(
                f"{member} claims {entry.file_size:,} bytes and holds others. Save or download the file again."
            )
        return content

    def _entry(self, member: str) -> zipfile.ZipInfo:
        try:
            return self.archive.getinfo(member)
        except KeyError:
            raise self.refuse(f"The archive has no member {_shown(member)}.") from None


@contextmanager
def open_archive(
    source: bytes | Path,
    limits: Limits | None = None,
    *,
    refuse: type[PrunescopeError],
    what: str = "a zip archive",
) -> Iterator[Archive]:
    """Open a zip archive and check all that its directory claims.

    Parameters
    ----------
    source : bytes or Path
        The file, or its content.
    limits : Limits, optional
        How much it may hold.
    refuse : type of PrunescopeError
        What to raise, here and while members are read.
    what : str
        What the file should have been, for the message: "a .pt2 archive".

    Raises
    ------
    PrunescopeError
        As `refuse`: no such file, no archive, or one that claims too much, holds a member twice, names one
        outside itself, is encrypted, or uses a compression other than deflate.
    """
    limits = limits or Limits()
    with _opened(source, refuse) as file:
        length = file.seek(0, io.SEEK_END)
        if length > limits.file_bytes:
            raise refuse(f"The file has {length:,} bytes; at most {limits.file_bytes:,} are read.")
        guarded = _Guarded(file)
        try:
            archive = zipfile.ZipFile(guarded)
        except _TooLargeError:
            raise refuse(
                f"Its list of members is longer than {MAX_DIRECTORY_BYTES:,} bytes. Use fewer members."
            ) from None
        except Exception as error:
            raise refuse(f"It is not {what} ({_brief(error)}).") from error
        with archive:
            _check(archive, length, limits, refuse)
            guarded.limit = None
            yield Archive(archive, refuse)


def _check(archive: zipfile.ZipFile, length: int, limits: Limits, refuse: type[PrunescopeError]) -> None:
    entries = archive.infolist()
    if len(entries) > limits.members:
        raise refuse(f"It has {len(entries):,} members; at most {limits.members:,} are read.")
    seen: set[str] = set()
    for entry in entries:
        name = entry.filename
        if name in seen:
            raise refuse(f"It holds {_shown(name)} twice. Save the file again.")
        seen.add(name)
        if len(name) > MAX_NAME or "\\" in name or name.startswith("/") or ".." in name.split("/"):
            raise refuse(f"It names a member {_shown(name)}, which lies outside the archive or is no name.")
        if entry.flag_bits & _ENCRYPTED:
            raise refuse(f"{_shown(name)} is encrypted. Save the file without a password.")
        if entry.compress_type not in _METHODS:
            raise refuse(
                f"{_shown(name)} is packed in a rare way. Pack the file with deflate, or not at all."
            )
        if entry.compress_size > length or entry.header_offset > length:
            raise refuse(f"{_shown(name)} claims {entry.compress_size:,} bytes in a file of {length:,}.")
        if entry.compress_type == zipfile.ZIP_STORED and entry.file_size != entry.compress_size:
            raise refuse(
                f"{_shown(name)} claims {entry.file_size:,} bytes of {entry.compress_size:,} stored."
            )
        if entry.file_size > max(FREE_BYTES, limits.ratio * entry.compress_size):
            raise refuse(
                f"{_shown(name)} claims to unpack {entry.compress_size:,} bytes to {entry.file_size:,}; "
                f"at most {limits.ratio} times as many are believed. Save the file without compression."
            )
    claimed = sum(entry.file_size for entry in entries)
    if claimed > limits.unpacked_bytes:
        raise refuse(f"It unpacks to {claimed:,} bytes; at most {limits.unpacked_bytes:,} are read.")


@contextmanager
def _opened(source: bytes | Path, refuse: type[PrunescopeError]) -> Iterator[BinaryIO]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    try:
        file = Path(source).open("rb")  # noqa: SIM115 - closed below, errors of its user are not ours
    except (OSError, ValueError) as error:
        raise refuse(f"There is no readable file at {source}.") from error
    with file:
        yield file


def _brief(error: Exception) -> str:
    """An error's text as a message may show it; zipfile repeats names of any length in it."""
    text = ascii(str(error))[1:-1]
    return text if len(text) <= 160 else f"{text[:157]}..."


def _shown(name: str) -> str:
    """A member's name as a message may show it."""
    return repr(name if len(name) <= 80 else f"{name[:77]}...")


class _TooLargeError(Exception):
    """The directory is larger than may be read."""


class _Guarded(io.RawIOBase):
    """A file whose reads are bounded while zipfile loads the directory, which it does in one piece."""

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self.file = file
        self.limit: int | None = MAX_DIRECTORY_BYTES

    def read(self, size: int = -1, /) -> bytes:
        if self.limit is not None and size > self.limit:
            raise _TooLargeError
        return self.file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True
