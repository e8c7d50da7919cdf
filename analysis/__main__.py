"""``python -m analysis``: the commands, wired to the networks there are."""

from __future__ import annotations

import warnings
from pathlib import Path

import sample_models
from analysis import from_code, sources
from analysis.errors import NetworkError
from analysis.sources import Opened

# Torch says so on every machine without an Intel GPU; workers import this module, too.
warnings.filterwarnings("ignore", message="TF32 acceleration", category=UserWarning)


def open_source(source: str) -> Opened:
    """The network and data of a sample's name, of a folder of files, or of the code that was named.

    Raises
    ------
    PrunescopeError
        If there is none, or it cannot be opened.
    """
    if Path(source).is_dir():
        return sources.open_folder(Path(source), sample_models.ARCHITECTURES, here=open_here)
    return open_here(source)


def open_here(name: str) -> Opened:
    """The sample, or the network of the code that was named, of that name; errors as :func:`open_source`."""
    if name in sample_models.names() or not from_code.is_named():
        return sample_models.load(name)
    opened = from_code.open_code()
    if opened.network.name != name:
        raise NetworkError(
            f"The code of --model and --data gave {opened.network.name!r}, not {name!r}: it must return "
            "the same weights and examples each time. Load saved weights, or set a seed."
        )
    return opened


if __name__ == "__main__":
    from analysis.commands import main  # workers take the networks from here, and need no command

    raise SystemExit(main(open_source))
