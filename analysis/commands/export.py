"""export: prune, and write the network in one format or several, each loaded back and checked."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from analysis.commands.measured import Measured, intervals, number, report_of, text_of
from analysis.commands.measuring import add_plan, plan_of
from analysis.commands.options import add_source, folder_to_write, opened, progress, written
from analysis.errors import ExportError, PrunescopeError
from analysis.export.bundle import CARD, PLAN, notes
from analysis.export.checked import Checked, checked
from analysis.export.parcel import parcel
from analysis.export.registry import FORMATS
from analysis.export.shipment import Shipment
from analysis.units import Case, Open
from analysis.units.export import measured, pack

COMMANDS = {
    "export": "write a network, pruned or whole, in files that were loaded back and checked, with the plan and a model card"
}


def add_arguments(command: argparse.ArgumentParser, name: str) -> None:
    """The arguments of the command."""
    add_source(command)
    add_plan(command, required=False)
    command.add_argument(
        "--format", nargs="+", metavar="NAME", choices=tuple(FORMATS), default=(),
        help=f"(default: every one that the network can be written in) {', '.join(FORMATS)}",
    )  # fmt: skip
    command.add_argument(
        "-o", "--output", type=folder_to_write, required=True, metavar="FOLDER",
        help="made if it is not there; each format gets a folder of its own in it",
    )  # fmt: skip


def run(open_source: Open, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Carry the command out; its report as data and as text."""
    source = opened(open_source, options)
    plan = plan_of(source.network, options)
    case = Case(source.network, source.dataset, source.dataset.evaluation, plan)
    progress(f"measuring on {case.split.origin}")
    dense, now = measured(case)
    shipment = pack(case, dense, now)
    checks, refusals = _made(shipment, tuple(dict.fromkeys(options.format)) or tuple(FORMATS))
    if checks:
        _write(options.output, shipment, checks)
    wanting = [
        f"{name}: {reason}" for name, reason in refusals.items() if name in options.format or not checks
    ]
    if wanting:
        others = f" Written to {options.output}: {', '.join(checks)}." if checks else ""
        raise ExportError(" ".join(wanting) + others)
    found = Measured(case.network, plan, case.pruned, dense, now, case.selection.channels)
    report = report_of(found)
    report["exports"] = [_entry(check) for check in checks.values()]
    report["refused"] = refusals
    report["folder"] = str(options.output)
    return report, "\n".join([text_of(report, found), *_lines(report)])


def _made(shipment: Shipment, names: tuple[str, ...]) -> tuple[dict[str, Checked], dict[str, str]]:
    """What could be written and answers as the network does, and why the rest could not; by format.

    Raises
    ------
    UnfinishedError
        If the machine did not bring one to its end, which says nothing of the format.
    """
    checks, refusals = {}, {}
    for name in names:
        progress(f"writing and checking {name}")
        try:
            checks[name] = checked(FORMATS[name], shipment)
        except ExportError as refusal:
            refusals[name] = str(refusal)
    return checks, refusals


def _write(folder: Path, shipment: Shipment, checks: Mapping[str, Checked]) -> None:
    """Write the files, the plan and the card; errors as :func:`analysis.commands.options.written`.

    What an earlier export into the same folder has left of these formats goes, as it belongs to another plan.
    """
    papers = notes(shipment, list(checks.values()), date.today())
    formats = {name: check.files for name, check in checks.items()}
    for path, content in parcel(formats, papers).items():
        written(folder / path, partial(_put, folder / path, content), "folder with -o")
    for name, check in checks.items():
        for file in sorted({*FORMATS[name].names} - {*check.files}):
            _drop(folder / name / file)


def _put(path: Path, data: bytes) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.write_bytes(data)


def _drop(path: Path) -> None:
    """Delete a file of an earlier export, if there is one."""
    if not (path.is_file() or path.is_symlink()):
        return
    try:
        path.unlink()
    except OSError as error:
        raise PrunescopeError(
            f"{path} is of an earlier export and cannot be deleted ({error.strerror}). Name another folder with -o."
        ) from error


def _entry(check: Checked) -> dict[str, Any]:
    return {
        "format": check.name,
        "files": {f"{check.name}/{file}": len(content) for file, content in check.files.items()},
        "difference": check.difference,
        "tolerance": FORMATS[check.name].tolerance,
        "examples": check.examples,
        "quality": intervals(check.quality),
    }


def _lines(report: Mapping[str, Any]) -> list[str]:
    """What was written and how it was checked, for a person."""
    what = "" if "plan" in report else " the network whole"
    lines = [f"exported{what} to {report['folder']}, with {PLAN} and {CARD}"]
    for entry in report["exports"]:
        headline, interval = next(iter(entry["quality"].items()))
        lines.append(
            f"  {entry['format']:20} {sum(entry['files'].values()):>12,} bytes   largest difference "
            f"{entry['difference']:.1e} on {entry['examples']:,} examples   {headline} {number(interval)}"
        )
        lines += [f"    {file} ({size:,} bytes)" for file, size in entry["files"].items()]
    lines += [f"  {name:20} not written: {reason}" for name, reason in report["refused"].items()]
    return lines
