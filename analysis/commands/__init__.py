"""The headless twin of the app, on the command line: a file a family of commands."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

import torch

from analysis.commands import allocate, export, measuring, recover, reports, sweep
from analysis.commands.options import Parser
from analysis.errors import PrunescopeError
from analysis.units import Open


def main(open_source: Open, arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 2 for refused input."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    try:
        report, text = options.run(open_source, options)
    except PrunescopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report, indent=2, allow_nan=False) if options.json else text)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m analysis",
        description="Inspect, measure, prune, allocate, recover and export without a browser.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for family in (measuring, allocate, recover, export, sweep, reports):
        for name, sentence in family.COMMANDS.items():
            command = commands.add_parser(name, help=sentence, description=sentence.capitalize() + ".")
            family.add_arguments(command, name)
            command.set_defaults(run=family.run)
    return parser
