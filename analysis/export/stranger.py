"""Loading files back as a stranger would: from a folder, by the loaders that came with them."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

_PREFIX = "prunescope-export-"
_DAY = 86_400.0  # seconds; no check takes as long


@contextmanager
def unpacked(files: Mapping[str, bytes]) -> Iterator[Path]:
    """A folder with the files, for as long as it is needed.

    A worker that is killed leaves its folder behind: those of yesterday and before go now.
    """
    _clear()
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        yield folder


def _clear() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):  # another process may have deleted it
            if folder.is_dir() and time.time() - folder.lstat().st_mtime > _DAY:
                shutil.rmtree(folder, ignore_errors=True)  # follows no link, and leaves what others own


def imported(path: Path) -> ModuleType:
    """A Python file as a module of its own, which no other import sees."""
    specification = importlib.util.spec_from_file_location(f"shipped_{path.stem}", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
