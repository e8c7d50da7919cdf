"""Any data file to :class:`RawData`: arrays (.npz), an image folder (.zip), a table (.csv)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePath

from analysis.errors import DataError
from analysis.loading.archive import open_archive
from analysis.loading.images import read_images
from analysis.loading.npz import read_npz
from analysis.loading.raw import MAX_FILE_BYTES, RawData

TABLES = (".csv", ".tsv", ".txt")
SUFFIXES = (".npz", ".zip", ".csv", ".tsv", ".txt")  # what an upload field may offer
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_REMEDY = "Give a .npz (arrays x and y), a .zip of images with one folder per class, or a .csv table."
# How files start that people try, and what to do with them.
_FOREIGN = (
    (b"\x93NUMPY", "a single array, without targets. Save both with np.savez(path, x=inputs, y=targets)."),
    (b"\x89HDF", "an HDF5 file. Save its arrays with np.savez(path, x=inputs, y=targets)."),
    (b"PAR1", "a Parquet file. Save the table as .csv."),
    (b"\xd0\xcf\x11\xe0", "an old Excel file. Save the sheet as .csv."),
    (b"\x1f\x8b", "packed with gzip. Unpack it first; image folders are packed as .zip."),
    (b"7z\xbc\xaf", "packed with 7-Zip. Pack the folder as .zip."),
    (b"Rar!", "packed with RAR. Pack the folder as .zip."),
    (b"\x89PNG", "a single image. Pack a folder of images, one folder per class, as .zip."),
    (b"\xff\xd8\xff", "a single image. Pack a folder of images, one folder per class, as .zip."),
    (b"\x80", "a pickle, which is never loaded: it could run code. Save arrays with np.savez."),
)


def read_data(
    source: Path | str | bytes,
    file_name: str = "",
    *,
    target_column: str | None = None,
    image_size: tuple[int, int] | None = None,
    grayscale: bool | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> RawData:
    """Read a data file; nothing in it is executed, and nothing is written to disk.

    Parameters
    ----------
    source : path, or bytes
        The file, or its content.
    file_name : str
        What to call it, needed with bytes; its suffix tells tables apart.
    target_column : str, optional
        Of a table: the column with the answers; default the last.
    image_size : (height, width), optional
        Of an image folder: what every picture is resized to; needed if they differ in size.
    grayscale : bool, optional
        Of an image folder: one channel (True) or three (False); default as the pictures are.
    progress : callable
        Told the share that is done, from 0 to 1, of an image folder.

    Raises
    ------
    DataError
        If the file cannot be read, is of no known kind, damaged, or larger than is read.
    """
    content, name = (
        (source, file_name or "the data") if isinstance(source, bytes) else _file(source, file_name)
    )
    if len(content) > MAX_FILE_BYTES:
        raise _too_large(name, len(content))
    if not content.strip():
        raise DataError(f"{name} is empty. {_REMEDY}")
    try:
        if content.startswith(_ZIP):
            return _from_zip(content, name, image_size, grayscale, progress)
        if PurePath(name).suffix.lower() in (".npz", ".zip"):
            raise DataError("It is damaged, or no zip archive at all. Save or download it again.")
        for start, what in _FOREIGN:
            if content.startswith(start):
                raise DataError(f"It is {what}")
        if PurePath(name).suffix.lower() in TABLES:
            from analysis.loading.table import (
                read_table,
            )  # pandas is slow to import, and tables alone need it

            return read_table(content, name, target_column=target_column)
    except DataError as error:
        message = str(error)
        raise DataError(message if name in message else f"{name} cannot be read. {message}") from error
    raise DataError(f"{name} is of no kind that is read here. {_REMEDY}")


def _file(source: Path | str, file_name: str) -> tuple[bytes, str]:
    path = Path(source)
    try:
        if not path.is_file():
            raise DataError(f"There is no file {path}.")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise _too_large(file_name or path.name, size)
        return path.read_bytes(), file_name or path.name
    except (OSError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} cannot be read ({error}).") from error


def _too_large(name: str, size: int) -> DataError:
    return DataError(f"{name} has {size:,} bytes; at most {MAX_FILE_BYTES:,} are read. Use fewer examples.")


def _from_zip(
    content: bytes,
    name: str,
    image_size: tuple[int, int] | None,
    grayscale: bool | None,
    progress: Callable[[float], None],
) -> RawData:
    if PurePath(name).suffix.lower() == ".npz":
        return read_npz(content, name)
    with open_archive(content, refuse=DataError) as archive:
        members = archive.names
    if members and all(member.endswith(".npy") for member in members):
        return read_npz(content, name)
    if any(member.startswith("xl/") for member in members):
        raise DataError("It is an Excel file. Save the sheet as .csv.")
    if any(member.endswith("/data.pkl") for member in members):
        raise DataError("It was saved by PyTorch. Save the data with np.savez(path, x=inputs, y=targets).")
    return read_images(content, name, size=image_size, grayscale=grayscale, progress=progress)
