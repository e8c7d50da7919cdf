"""The report of a measured network: as plain data, and for a person."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch

from analysis.look import counted
from analysis.measure.measurement import Measurement
from analysis.measure.quality import Evaluation, Interval
from analysis.network import Network
from analysis.pruning.plan import GRANULARITIES, Plan


@dataclass(frozen=True, eq=False)
class Measured:
    """What a command works on and what it found; ``gone[group]`` are the channels that are removed."""

    network: Network
    plan: Plan
    pruned: Network
    dense: Measurement
    measurement: Measurement
    gone: Mapping[str, tuple[int, ...]]


LABELS = {
    "parameters": "parameters",
    "connections": "connections",
    "nonzero_connections": "nonzero connections",
    "macs": "MACs",
    "bytes": "bytes as saved",
    "best_bytes": "bytes at best",
    "latency_ms": "latency (ms)",
    "dense_latency_ms": "dense latency (ms)",
}  # what is said to a person of a report's keys


def report_of(run: Measured) -> dict[str, Any]:
    """What was found, as plain data."""
    measurement, cost = run.measurement, run.measurement.cost
    evaluation = measurement.evaluation
    report: dict[str, Any] = {
        "network": run.network.name,
        "task": evaluation.task.name,
        "images": len(evaluation.split),
        "quality": intervals(measurement.quality),
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
                "left": group.size - len(run.gone.get(group.name, ())),
                "unit": group.unit,
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
        report["change"] = intervals(measurement.change)
        report["dense"] = {
            "quality": intervals(run.dense.quality),
            "parameters": run.dense.cost.parameters,
            "macs": run.dense.cost.macs,
            "bytes": run.dense.size.saved,
            "latency_ms": asdict(measurement.dense_latency),
        }
    return report


def text_of(report: dict[str, Any], run: Measured, *, parts: bool = False) -> str:
    """The report for a person; with `parts` it lists layers and groups."""
    lines = [f"{report['network']}: {report['task']}, {report['images']:,} examples"]
    for name, interval in report["quality"].items():
        line = f"  {name:20} {number(interval)}"
        if "change" in report:
            line += f"   change {number(report['change'][name], signed=True)}"
        lines.append(line)
    for name in ("parameters", "connections", "nonzero_connections", "macs", "bytes"):
        dense = report.get("dense", {}).get(name)
        share = f"   {report[name] / dense:.1%} of {dense:,}" if dense else ""
        lines.append(f"  {LABELS[name]:20} {report[name]:,}{share}")
    best = report["best_encoding"]
    lines.append(f"  {LABELS['best_bytes']:20} {best['bytes']:,} ({best['name']})")
    time = report["latency_ms"]
    lines.append(
        f"  {'latency':20} {time['median']:.3f} ms ({time['low']:.3f} to {time['high']:.3f}), "
        f"batch {time['batch']}, {counted(time['threads'], 'thread')}"
    )
    lines += _parts(report) if parts else []
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


def _parts(report: Mapping[str, Any]) -> list[str]:
    """The layers as they are now, and what is left of each group."""
    lines = ["layers"]
    for layer in report["layers"]:
        shape = "x".join(map(str, layer["shape"]))
        lines.append(f"  {layer['name']:24} {layer['type']:10} {shape:14} {layer['macs']:>12,} MACs")
    lines.append("groups")
    for group in report["groups"]:
        reason = f": {group['reason']}" if group["reason"] else ""
        members = " + ".join(group["members"])
        left, size = group["left"], group["size"]
        count = f"{size}" if left == size else f"{left} of {size}"
        lines.append(f"  {members:44} {count:>10} {group['unit']}s  {group['verdict']}{reason}")
    return lines


def identical(after: Evaluation, before: Evaluation) -> bool:
    """True if both answered every example with the very same outputs: there is no difference to be unsure of."""
    return torch.equal(after.outputs, before.outputs)


def no_better(epochs: int) -> str:
    """What is said of a training that gave back what it began with."""
    tried = f"none of {epochs} epochs" if epochs > 1 else "the one epoch"
    was = "was" if epochs > 1 else "was not"
    return f"{tried} {was} better on the held-out examples than the start: the weights are unchanged"


def _picks(plan: Plan) -> dict[str, dict[str, list[int]]]:
    """The channels of each group that are removed and kept by hand."""
    return {
        target: {
            "removed": [pick.channel for pick in plan.picks_of(target) if pick.removed],
            "kept": [pick.channel for pick in plan.picks_of(target) if not pick.removed],
        }
        for target in dict.fromkeys(pick.target for pick in plan.picks)
    }


def number(interval: dict[str, float | None], *, signed: bool = False) -> str:
    """An interval for a person."""
    sign = "+" if signed else ""
    parts = [interval["value"], interval["low"], interval["high"]]
    value, low, high = ("unknown" if p is None else f"{p:{sign}.4f}" for p in parts)
    return f"{value} ({low} to {high})"


def intervals(intervals: Any) -> dict[str, dict[str, float | None]]:
    """Intervals by name as plain data."""
    return {name: interval_data(interval) for name, interval in intervals.items()}


def interval_data(interval: Interval) -> dict[str, float | None]:
    """An interval as plain data; None where it has no value."""
    values = {"value": interval.value, "low": interval.low, "high": interval.high}
    return {key: value if math.isfinite(value) else None for key, value in values.items()}
