"""The command line of the server: ``streamlit run app.py -- --model package.module:function --data ...``.

It is the only way in for code. What it names goes into the environment, for the worker processes too.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from analysis import from_code
from analysis.errors import PrunescopeError

_FORM = "package.module:function"


class _Parser(argparse.ArgumentParser):
    """Refuses in a sentence: a server does not end for it."""

    def error(self, message: str) -> NoReturn:
        raise PrunescopeError(
            f"The server was started with something it does not know: {message}. Start it with "
            f"streamlit run app.py -- --model {_FORM} --data {_FORM}."
        )


def note(arguments: Sequence[str]) -> None:
    """Note what the command line of this process names; `arguments` as in ``sys.argv``.

    Raises
    ------
    PrunescopeError
        If they are not understood.
    """
    if Path(arguments[0]).name != "app.py":
        return  # some other program that runs the app, with arguments of its own
    parser = _Parser(prog="streamlit run app.py --", allow_abbrev=False, add_help=False)
    parser.add_argument("--model", metavar=_FORM)
    parser.add_argument("--data", metavar=_FORM)
    options = parser.parse_args(arguments[1:])
    for name, value in ((from_code.MODEL, options.model), (from_code.DATA, options.data)):
        if value:
            os.environ[name] = value
    os.environ.setdefault(from_code.FOLDER, str(Path.cwd()))
