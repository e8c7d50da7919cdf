"""Data from a NumPy archive: arrays `x` and `y`, nothing else is read and nothing is executed."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import torch

from analysis.datasets import Dataset, Split, check_split
from analysis.errors import DataError
from analysis.tasks import Task

MAX_BYTES = 1 << 30  # of the unpacked arrays
CALIBRATION_SHARE = 0.2
MIN_EXAMPLES = 10


def load_npz(path: Path | str, task: Task, *, classes: int | None = None) -> Dataset:
    """A dataset from `x` (N, ...) inputs, normalised as the network expects, and `y` (N,) targets.

    A seeded fifth becomes the calibration split, the rest is evaluated on.

    Raises
    ------
    DataError
        If the file is not such an archive, is too large, or its data do not fit the task.
    """
    path = Path(path)
    if not path.exists():
        raise DataError(f"There is no file {path}.")
    try:
        inputs, targets = _read(path)
    except DataError:
        raise
    except Exception as error:  # a damaged archive fails in many ways, none of them ours
        raise DataError(
            f"{path.name} cannot be read as .npz ({error}). Save it with np.savez(path, x=inputs, y=targets)."
        ) from error
    if inputs.ndim < 2 or targets.ndim == 0 or len(inputs) < MIN_EXAMPLES:
        raise DataError(
            f"{path.name} needs at least {MIN_EXAMPLES} examples: x of shape (N, ...) and y of shape (N,)."
        )
    if targets.ndim > 1 and targets.size != len(targets):
        raise DataError(
            f"y in {path.name} has shape {targets.shape}: give one target an example, shape (N,); "
            "for classes their index (y.argmax(axis=1) of one-hot rows)."
        )
    targets = targets.reshape(-1)
    if not np.isfinite(targets).all():
        raise DataError(f"{int((~np.isfinite(targets)).sum()):,} of the targets are NaN or infinite.")
    if task.is_classification and (targets != np.floor(targets)).any():
        raise DataError(
            f"y in {path.name} holds labels between two classes; labels are whole numbers from 0."
        )
    with np.errstate(over="ignore"):  # what becomes infinite is refused below
        x = torch.from_numpy(inputs.astype(np.float32))
    y = torch.from_numpy(targets.astype(np.int64 if task.is_classification else np.float32))
    whole = Split(x, y, f"{len(x):,} examples of {path.name}")
    check_split(whole, task, classes=classes)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    held = max(1, int(CALIBRATION_SHARE * len(x)))
    return Dataset(
        name=path.name,
        task=task,
        evaluation=Split(x[order[held:]], y[order[held:]], f"{len(x) - held:,} of {whole.origin}"),
        calibration=Split(x[order[:held]], y[order[:held]], f"{held:,} other of {whole.origin}"),
    )


def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The arrays x and y, after checking what the file claims before any memory is given to it."""
    with zipfile.ZipFile(path) as archive:
        claimed = sum(entry.file_size for entry in archive.infolist())
        if claimed > MAX_BYTES:
            raise DataError(
                f"{path.name} unpacks to {claimed:,} bytes; at most {MAX_BYTES:,} are read. "
                "Use fewer examples."
            )
        missing = [key for key in ("x", "y") if f"{key}.npy" not in archive.namelist()]
        if missing:
            raise DataError(
                f"{path.name} has no array {' and '.join(missing)}. "
                "Save it with np.savez(path, x=inputs, y=targets)."
            )
        for key in ("x", "y"):
            _check_header(archive, f"{key}.npy", path.name)
    with np.load(path, allow_pickle=False) as arrays:
        inputs, targets = arrays["x"], arrays["y"]
    for name, array in (("x", inputs), ("y", targets)):
        if array.dtype.kind not in "iufb":
            raise DataError(f"{name} in {path.name} holds {array.dtype}, not numbers.")
    return inputs, targets


def _check_header(archive: zipfile.ZipFile, member: str, name: str) -> None:
    """Refuse an array whose header claims more values than its member holds."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = (
            np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        )
        shape, _, kind = read(file)
    size = kind.itemsize
    for side in shape:
        size *= side
    if size < 0 or size > archive.getinfo(member).file_size:
        raise DataError(f"{name} claims an array of shape {shape} in {member}, which the file does not hold.")
