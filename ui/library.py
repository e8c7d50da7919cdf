"""Every network there is to look at, under its name: samples, those that users bring, the server's own.

A name stands for the same weights and data wherever it is met, so that process-wide caches, plans and
the store never mix two of them.
"""

from __future__ import annotations

import logging
import sys
from functools import cache
from pathlib import Path
from threading import Lock, RLock

from cachetools import LRUCache

import sample_models
from analysis import from_code, sources
from analysis.errors import NetworkError, PrunescopeError
from analysis.export import to_pt2
from analysis.network import Network, first_line
from analysis.sources import Files, Opened
from ui import door, services

_OPENED: LRUCache[str, Opened] = LRUCache(8)  # of those that users bring
_LOCK = RLock()
_ONE_AT_A_TIME = Lock()  # opening takes memory and a processor
_OWN = Lock()


def names(history: str) -> tuple[str, ...]:
    """The networks that a history may look at, in the order they are offered."""
    own = own_network()
    mine = services.shelf().names(history)
    return (*((own.network.name,) if own else ()), *mine, *sample_models.names())


def is_brought(name: str) -> bool:
    """True if a user brought the network."""
    return services.shelf().find(name) is not None


def title(name: str) -> str:
    """The name in short, for people: of a digest the first digits."""
    if name in sample_models.names():
        return name
    stem, _, digest = name.rpartition("-")
    return f"{stem}-{digest[:4]}"


def load(name: str) -> Opened:
    """The network of a name with its data; who may see it is for :func:`names` to say.

    Raises
    ------
    PrunescopeError
        If there is none, or its files cannot be read.
    """
    if name in _here():
        return _open_here(name)
    with _LOCK:
        known = _OPENED.get(name)
    return (
        known
        if known is not None
        else _keep(name, sources.open_folder(_folder(name), sample_models.ARCHITECTURES, here=_open_here))
    )


def source(name: str) -> str:
    """What a worker process opens the same network by."""
    folder = services.shelf().find(name)
    return str(folder) if folder else name


def files(name: str) -> Files:
    """The files of a network that a user brought; errors as :func:`load`."""
    return sources.read_folder(_folder(name))


def bring(
    history: str, files: Files, say: sources.Say = sources.say_nothing
) -> tuple[Opened, tuple[str, ...]]:
    """Open files that a user brings and keep them for a history.

    Returns
    -------
    Opened, tuple of str
        The network with its data, and the names of the history's networks that had to go for it.

    Raises
    ------
    PrunescopeError
        If they are refused; nothing is kept then.
    """
    services.shelf().check_room(files.size)
    with _ONE_AT_A_TIME:
        opened = sources.open_files(files, sample_models.ARCHITECTURES, say, here=_open_here)
    gone = services.shelf().put(history, files)
    return _keep(files.name, opened), gone


def grow(
    history: str, parent: str, network: Network, how: str, say: sources.Say = sources.say_nothing
) -> tuple[Opened, tuple[str, ...]]:
    """Keep a network that was trained from another, beside it and with its data; as :func:`bring`.

    Parameters
    ----------
    parent : str
        The name of the one it grew from.
    how : str
        What was done to it, for its name.
    """
    try:
        with _ONE_AT_A_TIME:
            data = to_pt2(network)
    except Exception as error:  # whatever torch.export raises
        raise NetworkError(
            f"What was trained from {title(parent)} cannot be written as a file ({first_line(error)}), so that it cannot "
            "be kept. Its training can still be looked at here."
        ) from error
    lender = parent if parent in _here() else files(parent)
    return bring(history, sources.grown(lender, data, how, sources.stem_of(parent)), say)


def remove(history: str, name: str) -> None:
    """Forget a network that a history brought, and its files."""
    services.shelf().remove(history, name)
    if not is_brought(name):
        with _LOCK:
            _OPENED.pop(name, None)


def own_network() -> Opened | None:
    """The network of the server's command line, if one was named and could be opened."""
    return _own()[0]


def own_problem() -> str:
    """Why the network of the command line could not be opened; empty if it was, or none was named."""
    return _own()[1]


def _own() -> tuple[Opened | None, str]:
    with _OWN:
        return _opened_own()


@cache
def _opened_own() -> tuple[Opened | None, str]:
    try:
        door.note(sys.argv)
        return (from_code.open_code() if from_code.is_named() else None), ""
    except PrunescopeError as error:
        logging.getLogger("prunescope").error("%s", error)
        return None, str(error)


def _here() -> tuple[str, ...]:
    """The networks that are always here: the server's own and the samples."""
    own = own_network()
    return (*((own.network.name,) if own else ()), *sample_models.names())


def _open_here(name: str) -> Opened:
    own = own_network()
    if own is not None and name == own.network.name:
        return own
    return sample_models.load(name) if name in sample_models.names() else sources.none_here(name)


def _keep(name: str, opened: Opened) -> Opened:
    with _LOCK:
        return _OPENED.setdefault(name, opened)


def _folder(name: str) -> Path:
    folder = services.shelf().find(name)
    if folder is None:
        raise NetworkError(
            f"The network {title(name)!r} is not here any more. Choose another in the sidebar, or bring its "
            "files again: its plans and trials are kept."
        )
    return folder
