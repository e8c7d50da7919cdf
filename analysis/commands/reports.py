"""report, compare: a trial, or several plans of one network side by side, for somebody to read."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.commands.measured import LABELS, Measured, identical, intervals, number, report_of, text_of
from analysis.commands.measuring import add_plan, plan_of, read_plan
from analysis.commands.options import add_source, file_to_write, opened, progress, written
from analysis.errors import PlanError
from analysis.history.trial import Label
from analysis.measure.measurement import Measurement, measure
from analysis.measure.quality import change
from analysis.pruning.plan import Plan
from analysis.sources import Opened, stem_of
from analysis.units import Case, Open

if TYPE_CHECKING:  # what draws figures is imported when a page is written: no other command waits for it
    from analysis.report import Reported, Subject

COMMANDS = {
    "report": "measure a plan, and write an HTML report that stands by itself",
    "compare": "measure several plans, and compare them with each other",
}


def add_arguments(command: argparse.ArgumentParser, name: str) -> None:
    """The arguments of one of :data:`COMMANDS`."""
    add_source(command)
    if name == "report":
        add_plan(command, required=True)
        command.add_argument("--name", default="", help="what the trial is called in the report")
        command.add_argument("--note", default="", help="what its head says")
    else:
        command.add_argument(
            "plans", nargs="+", type=Path, metavar="PLAN.json", help="two or more plans saved as JSON"
        )
    command.add_argument(
        "-o", "--output", type=file_to_write(".html"), required=name == "report", metavar="REPORT.html",
        help="the report" if name == "report" else "write an HTML report, too",
    )  # fmt: skip


def run(open_source: Open, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Carry the command out; its report as data and as text."""
    return (_report if options.command == "report" else _compare)(open_source, options)


def _report(open_source: Open, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from analysis.report import trial_report

    source = opened(open_source, options)
    plan = plan_of(source.network, options)
    dense = _dense(source)
    trial, measurement, gone = _measured(source, plan, dense, Label(options.name, options.note))
    found = Measured(source.network, plan, measurement.network, dense, measurement, gone)
    report = report_of(found)
    _write(options.output, trial_report(_subject(source, dense), trial), report)
    return report, text_of(report, found)


def _compare(open_source: Open, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    from analysis.report import LETTERS, MOST, comparison_report

    paths = options.plans
    if not 2 <= len(paths) <= MOST:
        raise PlanError(
            f"compare takes 2 to {MOST} plans; given: {len(paths)}. A single one is for measure and report."
        )
    source = opened(open_source, options)
    plans = [read_plan(path, source.network) for path in paths]
    for one, other in combinations(range(len(plans)), 2):
        if plans[one] == plans[other]:
            progress(
                f"note: {LETTERS[one]} and {LETTERS[other]} are the same plan ({paths[one]}, {paths[other]})"
            )
    dense = _dense(source)
    trials, measured, _ = zip(
        *(_measured(source, plan, dense, Label(path.stem)) for path, plan in zip(paths, plans, strict=True)),
        strict=True,
    )
    report = _comparison(dense, [str(path) for path in paths], plans, measured)
    if options.output:
        _write(options.output, comparison_report(_subject(source, dense), trials), report)
    return report, _text(report)


def _dense(source: Opened) -> Measurement:
    evaluation = source.dataset.evaluation
    progress(f"measuring the dense network on {evaluation.origin}")
    return measure(source.network, evaluation, source.dataset.task)


def _measured(
    source: Opened, plan: Plan, dense: Measurement, label: Label
) -> tuple[Reported, Measurement, Mapping[str, tuple[int, ...]]]:
    """The trial of a plan, its measurement, and the channels that it removes."""
    from analysis.report import Reported

    progress(f"pruning and measuring {label.name or 'the plan'}")
    split, task = dense.evaluation.split, dense.evaluation.task
    case = Case(source.network, source.dataset, split, plan)
    found = dense if plan.is_dense else measure(case.pruned, split, task, dense=dense)
    steps = case.recovered.steps if case.recovered else ()
    return Reported(plan, found, steps, label), found, case.selection.channels


def _subject(source: Opened, dense: Measurement) -> Subject:
    from analysis.report import Subject

    return Subject(stem_of(source.network.name), source.dataset, dense, time.time())


def _write(path: Path, page: str, report: dict[str, Any]) -> None:
    report["file"] = str(path)
    report["file_bytes"] = written(path, lambda: path.write_bytes(page.encode()))


def _comparison(
    dense: Measurement, files: Sequence[str], plans: Sequence[Plan], measured: Sequence[Measurement]
) -> dict[str, Any]:
    """What was found, as plain data."""
    return {
        "network": dense.network.name,
        "task": dense.evaluation.task.name,
        "images": len(dense.evaluation.split),
        "dense": _numbers(dense),
        "plans": [
            {
                "file": file,
                "criterion": plan.criterion,
                **_numbers(found),
                "change": intervals(found.change),
                "identical": identical(found.evaluation, dense.evaluation),
            }
            for file, plan, found in zip(files, plans, measured, strict=True)
        ],
        "differences": [
            {
                "plan": files[after],
                "against": files[before],
                "change": intervals(change(measured[after].evaluation, measured[before].evaluation)),
                "identical": identical(measured[after].evaluation, measured[before].evaluation),
            }
            for before, after in combinations(range(len(files)), 2)
        ],
    }


def _numbers(found: Measurement) -> dict[str, Any]:
    return {
        "quality": intervals(found.quality),
        **{key: of(found) for key, of in _COUNTS.items()},
        "best_encoding": found.size.best_encoding,
        "latency_ms": asdict(found.latency),
        "dense_latency_ms": asdict(found.dense_latency),
    }


_COUNTS: Mapping[str, Callable[[Measurement], int]] = {
    "parameters": lambda found: found.cost.parameters,
    "connections": lambda found: found.cost.connections,
    "nonzero_connections": lambda found: found.cost.nonzero_connections,
    "macs": lambda found: found.cost.macs,
    "bytes": lambda found: found.size.saved,
    "best_bytes": lambda found: found.size.best,
}


def _text(report: Mapping[str, Any]) -> str:
    """The comparison for a person: the plans under letters, a column each."""
    from analysis.report import LETTERS

    named = dict(zip(LETTERS, report["plans"], strict=False))
    entries = {"dense": report["dense"], **named}
    lines = [f"{report['network']}: {report['task']}, {report['images']:,} examples"]
    lines += [f"  {letter} = {entry['file']}" for letter, entry in named.items()]
    lines.append(_row("", entries))
    for metric in report["dense"]["quality"]:
        lines.append(_row(metric, (_short(entry["quality"][metric]) for entry in entries.values())))
    for key in _COUNTS:
        lines.append(_row(LABELS[key], (f"{entry[key]:,}" for entry in entries.values())))
    for key in ("latency_ms", "dense_latency_ms"):
        lines.append(_row(LABELS[key], (f"{entry[key]['median']:.3f}" for entry in entries.values())))
    pairs = [(letter, "dense", entry) for letter, entry in named.items()]
    pairs += [
        (after, before, one)
        for (before, after), one in zip(combinations(named, 2), report["differences"], strict=True)
    ]
    for after, before, found in pairs:
        alike = ": identical answers" if found["identical"] else ""
        lines.append(f"{after} against {before}, on the same examples{alike}")
        if not alike:
            lines += [f"  {name:20} {number(value, signed=True)}" for name, value in found["change"].items()]
    if "file" in report:
        lines.append(f"saved {report['file']} ({report['file_bytes']:,} bytes)")
    return "\n".join(lines)


def _row(name: str, cells: Iterable[str]) -> str:
    return f"  {name:20}" + "".join(f" {cell:>12}" for cell in cells)


def _short(interval: Mapping[str, float | None]) -> str:
    value = interval["value"]
    return "unknown" if value is None else f"{value:.4f}"
