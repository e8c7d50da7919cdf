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


def load_npz(path: Path | str, task: Task, *, classes: int | None = None) -> Dataset:
    """A dataset from `x` (N, ...) inputs, normalised as the network expects, and `y` (N,) targets.

    A seeded fifth becomes the calibration split, the rest is evaluated on.

    Raises
    ------
    DataError
        If the file is not such an archive, is too large, or its data do not fit the task.
    """
    path = Path(path)
    try:
        with zipfile.ZipFile(path) as archive:
            claimed = sum(entry.file_size for entry in archive.infolist())
        if claimed > MAX_BYTES:
            raise DataError(
                f"{path.name} unpacks to {claimed:,} bytes; at most {MAX_BYTES:,} are read. "
                "Use fewer examples."
            )
        with np.load(path, allow_pickle=False) as arrays:
            missing = [key for key in ("x", "y") if key not in arrays]
            if missing:
                raise DataError(
                    f"{path.name} has no array {' and '.join(missing)}. "
                    "Save it with np.savez(path, x=inputs, y=targets)."
                )
            inputs, targets = arrays["x"], arrays["y"]
    except FileNotFoundError as error:
        raise DataError(f"There is no file {path}.") from error
    except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(
            f"{path.name} cannot be read as .npz ({error}). Save it with np.savez(path, x=inputs, y=targets)."
        ) from error
    for name, array in (("x", inputs), ("y", targets)):
        if array.dtype.kind not in "iufb":
            raise DataError(f"{name} in {path.name} holds {array.dtype}, not numbers.")
    x = torch.from_numpy(inputs.astype(np.float32))
    kind = np.int64 if task.is_classification else np.float32
    y = torch.from_numpy(targets.astype(kind)).reshape(len(targets), -1)[:, 0] if targets.ndim else None
    if y is None or x.dim() < 2 or len(x) < 10:
        raise DataError(f"{path.name} needs at least 10 examples: x of shape (N, ...) and y of shape (N,).")
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
