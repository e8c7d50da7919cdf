"""What is written is on the disk, also when the power goes at once afterwards."""

from __future__ import annotations

import os
from pathlib import Path


def settle(*paths: Path) -> None:
    """Wait until files are on the disk; a folder, until its entries are: what was renamed into it stays there.

    A name may reach the disk before the content it names, so: settle a new file, rename it, settle its folder.
    """
    for path in paths:
        if path.is_dir() and os.name != "posix":
            continue  # elsewhere a folder cannot be opened
        descriptor = os.open(path, os.O_RDONLY if os.name == "posix" else os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
