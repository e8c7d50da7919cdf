"""The headless twin of the app: inspect, measure and prune on the command line."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch

from analysis.errors import PlanError, PrunescopeError
from analysis.export import save_pt2
from analysis.importance.registry import CRITERIA, find_criterion, score
from analysis.loading.data import read_data
from analysis.loading.evaluation_set import to_dataset
from analysis.measure.measurement import Measurement, measure
from analysis.measure.quality import Interval
from analysis.network import Network
from analysis.pruning.plan import GRANULARITIES, Plan, check_plan, uniform_plan
from analysis.pruning.plan_json import from_json
from analysis.pruning.prune import prune
from analysis.units import Open
from analysis.work import serve


@dataclass(frozen=True, eq=False)
class _Run:
    """What a command works on and what it found."""

    network: Network
    plan: Plan
    pruned: Network
    dense: Measurement
    measurement: Measurement


def main(open_source: Open, arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 2 for refused input."""
    options = _parser().parse_args(arguments)
    if options.command == "work":
        return serve(open_source)
    torch.set_num_threads(options.threads)
    try:
        run = _run(open_source, options)
        report = _report(run)
        if options.command == "prune":
            _progress(f"writing {options.output}")
            report["file"] = str(options.output)
            report["file_bytes"] = _save(run.pruned, options.output)
    except PrunescopeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(json.dumps(report, indent=2, allow_nan=False) if options.json else _text(report, run))
    return 0


class _Parser(argparse.ArgumentParser):
    """Refuses a bad call in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m analysis", description="Inspect, measure and prune a network without a browser."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("work", help="serve one job of the app: a request on stdin, replies on stdout")
    for name, help_text in (
        ("inspect", "describe a network: layers, coupled groups, quality and cost"),
        ("measure", "measure a network, pruned by a plan or by one ratio everywhere"),
        ("prune", "as measure, and save the pruned network as .pt2"),
    ):
        command = commands.add_parser(name, help=help_text, description=help_text.capitalize() + ".")
        command.add_argument("source", metavar="SOURCE", help="the name of a sample network")
        command.add_argument(
            "--data", type=Path, metavar="FILE", help=".npz with x (normalised inputs) and y (targets)"
        )
        command.add_argument("--json", action="store_true", help="print JSON")
        command.add_argument("--threads", type=_threads, default=1, help="CPU threads (default 1)")
        if name == "inspect":
            continue
        what = command.add_mutually_exclusive_group(required=name == "prune")
        what.add_argument("--plan", type=Path, metavar="FILE", help="a plan saved as JSON")
        what.add_argument("--all", type=_ratio, metavar="RATIO", help="remove this share of every target")
        command.add_argument("--granularity", choices=GRANULARITIES, help="with --all (default channel)")
        command.add_argument(
            "--criterion", metavar="NAME", help=f"with --all (default l1): {', '.join(CRITERIA)}"
        )
        if name == "prune":
            command.add_argument("-o", "--output", type=_output, required=True, metavar="OUT.pt2")
    return parser


def _run(open_source: Open, options: argparse.Namespace) -> _Run:
    _progress(f"loading {options.source}")
    opened = open_source(options.source)
    network, dataset = opened.network, opened.dataset
    if options.data:
        classes = len(dataset.class_names) or None
        shape = tuple(network.example_input.shape[1:])
        dataset = to_dataset(read_data(options.data), dataset.task, input_shape=shape, classes=classes)
    plan = _plan(network, options)
    pruned = network
    if not plan.is_dense:
        _progress(f"scoring by {plan.criterion}")
        pruned = prune(network, plan, score(network, plan.criterion, dataset))
    _progress(f"measuring the dense network on {dataset.evaluation.origin}")
    dense = measure(network, dataset.evaluation, dataset.task)
    if plan.is_dense:
        return _Run(network, plan, network, dense, dense)
    _progress("measuring the pruned network")
    measurement = measure(pruned, dataset.evaluation, dataset.task, dense=dense)
    return _Run(network, plan, pruned, dense, measurement)


def _plan(network: Network, options: argparse.Namespace) -> Plan:
    ratio, path = getattr(options, "all", None), getattr(options, "plan", None)
    if path is not None and (options.criterion or options.granularity):
        raise PlanError("A plan file names its own criterion and granularity; leave those options out.")
    if path is not None:
        try:
            plan = from_json(path.read_bytes())
        except OSError as error:
            raise PlanError(f"The plan {path} cannot be read ({error.strerror}).") from error
        check_plan(plan, network)
        return plan
    if ratio is None and (getattr(options, "criterion", None) or getattr(options, "granularity", None)):
        raise PlanError("--criterion and --granularity go with --all RATIO; give it, or leave them out.")
    if ratio is None:
        return Plan(network.name, "l1")
    criterion = find_criterion(options.criterion or "l1").name
    return uniform_plan(network, criterion, options.granularity or "channel", ratio)


def _report(run: _Run) -> dict[str, Any]:
    measurement, cost = run.measurement, run.measurement.cost
    evaluation = measurement.evaluation
    report: dict[str, Any] = {
        "network": run.network.name,
        "task": evaluation.task.name,
        "images": len(evaluation.split),
        "quality": _intervals(measurement.quality),
        "parameters": cost.parameters,
        "connections": cost.connections,
        "nonzero_connections": cost.nonzero_connections,
        "macs": cost.macs,
        "bytes": measurement.size.saved,
        "best_encoding": {"name": measurement.size.best_encoding, "bytes": measurement.size.best},
        "latency_ms": asdict(measurement.latency),
        "layers": [
            {
                "name": layer.name,
                "type": layer.type,
                "shape": list(layer.shape),
                "parameters": layer.parameters,
                "connections": layer.connections,
                "macs": cost.layer_macs[layer.name],
            }
            for layer in run.pruned.layers
        ],
        "groups": [
            {
                "name": group.name,
                "members": list(group.members),
                "size": group.size,
                "verdict": group.verdict,
                "reason": group.reason,
            }
            for group in run.network.groups
        ],
    }
    if not run.plan.is_dense:
        report["plan"] = {
            "criterion": run.plan.criterion,
            "ratios": {g: ratios for g in GRANULARITIES if (ratios := run.plan.ratios_of(g))},
        }
        if run.plan.picks:
            report["plan"]["picks"] = _picks(run.plan)
        report["change"] = _intervals(measurement.change)
        report["dense"] = {
            "quality": _intervals(run.dense.quality),
            "parameters": run.dense.cost.parameters,
            "macs": run.dense.cost.macs,
            "bytes": run.dense.size.saved,
            "latency_ms": asdict(measurement.dense_latency),
        }
    return report


def _text(report: dict[str, Any], run: _Run) -> str:
    """The report for a person."""
    lines = [f"{report['network']}: {report['task']}, {report['images']:,} examples"]
    for name, interval in report["quality"].items():
        line = f"  {name:20} {_number(interval)}"
        if "change" in report:
            line += f"   change {_number(report['change'][name], signed=True)}"
        lines.append(line)
    for name in ("parameters", "connections", "nonzero_connections", "macs", "bytes"):
        dense = report.get("dense", {}).get(name)
        share = f"   {report[name] / dense:.1%} of {dense:,}" if dense else ""
        lines.append(f"  {name:20} {report[name]:,}{share}")
    best = report["best_encoding"]
    lines.append(f"  {'best encoding':20} {best['bytes']:,} ({best['name']})")
    time = report["latency_ms"]
    lines.append(
        f"  {'latency':20} {time['median']:.3f} ms ({time['low']:.3f} to {time['high']:.3f}), "
        f"batch {time['batch']}, {time['threads']} thread(s)"
    )
    lines.append("layers")
    for layer in report["layers"]:
        shape = "x".join(map(str, layer["shape"]))
        lines.append(f"  {layer['name']:24} {layer['type']:10} {shape:14} {layer['macs']:>12,} MACs")
    lines.append("groups")
    for group in report["groups"]:
        reason = f": {group['reason']}" if group["reason"] else ""
        members = " + ".join(group["members"])
        lines.append(f"  {members:44} {group['size']:>4} channels  {group['verdict']}{reason}")
    picks = report.get("plan", {}).get("picks", {})
    lines += ["picked by hand"] if picks else []
    lines += [
        f"  {target:24} channels {way}: {', '.join(map(str, channels))}"
        for target, ways in picks.items()
        for way, channels in ways.items()
        if channels
    ]
    if "file" in report:
        lines.append(f"saved {report['file']} ({report['file_bytes']:,} bytes)")
    return "\n".join(lines)


def _picks(plan: Plan) -> dict[str, dict[str, list[int]]]:
    """The channels of each group that are removed and kept by hand."""
    return {
        target: {
            "removed": [pick.channel for pick in plan.picks_of(target) if pick.removed],
            "kept": [pick.channel for pick in plan.picks_of(target) if not pick.removed],
        }
        for target in dict.fromkeys(pick.target for pick in plan.picks)
    }


def _number(interval: dict[str, float | None], *, signed: bool = False) -> str:
    sign = "+" if signed else ""
    parts = [interval["value"], interval["low"], interval["high"]]
    value, low, high = ("unknown" if p is None else f"{p:{sign}.4f}" for p in parts)
    return f"{value} ({low} to {high})"


def _intervals(intervals: Any) -> dict[str, dict[str, float | None]]:
    return {name: _interval(interval) for name, interval in intervals.items()}


def _interval(interval: Interval) -> dict[str, float | None]:
    values = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {key: value if math.isfinite(value) else None for key, value in values.items()}


def _save(network: Network, path: Path) -> int:
    try:
        return save_pt2(network, path)
    except OSError as error:
        raise PrunescopeError(
            f"{path} cannot be written ({error.strerror}). Name another file with -o."
        ) from error


def _ratio(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value


def _threads(text: str) -> int:
    most = os.cpu_count() or 1
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= most and len(text) <= 6):
        raise argparse.ArgumentTypeError(
            f"{text[:20]!r} is not a whole number from 1 to {most}, the processors here"
        )
    return int(text)


def _output(text: str) -> Path:
    path = Path(text)
    if path.suffix != ".pt2":
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .pt2")
    if path.is_dir() or not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a file in an existing folder")
    return path


def _progress(message: str) -> None:
    print(message, file=sys.stderr)
