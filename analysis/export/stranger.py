"""Loading files back as a stranger would: from a folder, by the loaders that came with them."""

from __future__ import annotations

import importlib.util
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType


@contextmanager
def unpacked(files: Mapping[str, bytes]) -> Iterator[Path]:
    """A folder with the files, for as long as it is needed."""
    with tempfile.TemporaryDirectory(prefix="prunescope-") as name:
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        yield folder


def imported(path: Path) -> ModuleType:
    """A Python file as a module of its own, which no other import sees."""
    specification = importlib.util.spec_from_file_location(f"shipped_{path.stem}", path)
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module
