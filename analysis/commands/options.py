"""Arguments that commands share: what they are read as, and how bad ones are refused."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from analysis.errors import PrunescopeError
from analysis.importance.registry import CRITERIA
from analysis.loading.data import read_data
from analysis.loading.evaluation_set import to_dataset
from analysis.pruning.plan import GRANULARITIES
from analysis.sources import Opened
from analysis.units import Open


class Parser(argparse.ArgumentParser):
    """Refuses a bad call in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def add_source(command: argparse.ArgumentParser) -> None:
    """What every command takes: the network, its data, and how it is worked on."""
    command.add_argument("source", metavar="SOURCE", help="the name of a sample network")
    command.add_argument(
        "--data", type=Path, metavar="FILE", help=".npz with x (normalised inputs) and y (targets)"
    )
    command.add_argument("--json", action="store_true", help="print JSON")
    command.add_argument("--threads", type=threads, default=1, help="CPU threads (default 1)")


def add_cut(command: argparse.ArgumentParser, what: str = "") -> None:
    """What is removed, and by which criterion; `what` says when these options count."""
    command.add_argument("--granularity", choices=GRANULARITIES, help=f"{what}(default channel)")
    command.add_argument("--criterion", metavar="NAME", help=f"{what}(default l1): {', '.join(CRITERIA)}")


def opened(open_source: Open, options: argparse.Namespace) -> Opened:
    """The network with its own data, or those of ``--data``.

    Raises
    ------
    PrunescopeError
        If there is none, or the data do not fit.
    """
    progress(f"loading {options.source}")
    found = open_source(options.source)
    if not options.data:
        return found
    network, dataset = found.network, found.dataset
    classes = len(dataset.class_names) or None
    shape = tuple(network.example_input.shape[1:])
    data = to_dataset(read_data(options.data), dataset.task, input_shape=shape, classes=classes)
    return replace(found, dataset=data)


def share(text: str) -> float:
    """A share from 0 to 1."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= value <= 1:
        remedy = f"{value / 100:g} for {value:g}%" if 1 < value <= 100 else "0.3 for 30%"
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1; write {remedy}")
    return value


def threads(text: str) -> int:
    """A number of threads that this machine has processors for."""
    most = os.cpu_count() or 1
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= most and len(text) <= 6):
        raise argparse.ArgumentTypeError(
            f"{text[:20]!r} is not a whole number from 1 to {most}, the processors here"
        )
    return int(text)


def epochs(text: str) -> int:
    """A number of epochs."""
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text[:20]!r} is not a whole number from 1 to 9999")
    return int(text)


def file_to_write(*suffixes: str) -> Callable[[str], Path]:
    """Reads the path of a file that can be written and has one of some suffixes."""

    def read(text: str) -> Path:
        path = Path(text)
        if path.suffix not in suffixes:
            raise argparse.ArgumentTypeError(f"{text!r} does not end in {' or '.join(suffixes)}")
        try:
            if path.is_dir():
                raise argparse.ArgumentTypeError(f"{text!r} is a folder; name a file")
            if path.exists():
                path.open("ab").close()  # adds nothing
            else:
                _try(path.parent)
        except OSError as error:
            raise _unwritable(text, error) from error
        return path

    return read


def folder_to_write(text: str) -> Path:
    """The path of a folder that can be written in, or made."""
    path = Path(text)
    try:
        if path.exists() and not path.is_dir():
            raise argparse.ArgumentTypeError(f"{text!r} is a file; name a folder")
        _try(path if path.exists() else path.resolve().parent)
    except OSError as error:
        raise _unwritable(text, error) from error
    return path


def _try(folder: Path) -> None:
    """Write into a folder and leave nothing there, so that it is refused before the work and not after it."""
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"the folder {folder} does not exist; make it first")
    tempfile.TemporaryFile(dir=folder).close()


def _unwritable(text: str, error: OSError) -> argparse.ArgumentTypeError:
    why = "no file can be made there" if isinstance(error, FileNotFoundError) else error.strerror
    return argparse.ArgumentTypeError(f"{text!r} cannot be written ({why})")


def written(path: Path, write: Callable[[], int], other: str = "file with -o") -> int:
    """Write a file, and return how many bytes it has; `other` says what is to be named if that fails.

    Raises
    ------
    PrunescopeError
        If it cannot be written.
    """
    progress(f"writing {path}")
    try:
        return write()
    except OSError as error:
        raise PrunescopeError(
            f"{path} cannot be written ({error.strerror}). Name another {other}."
        ) from error


def progress(message: str) -> None:
    """Say on stderr what is being done; stdout is for the report."""
    print(message, file=sys.stderr)
