"""The model card: what the network is, how it is used, what was removed, what it costs and gains, where that was measured."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Protocol

import torch

from analysis.export import changes, figures, usage
from analysis.export.markdown import bullets, plain, table
from analysis.export.registry import FORMATS
from analysis.export.shipment import Shipment
from analysis.look import bytes_text, counted, number
from analysis.measure.measurement import Numbers
from analysis.measure.quality import Interval

_PROJECT = Path(__file__).parents[2] / "pyproject.toml"
_LIMITS = (
    "Quality was measured on the examples named above, and says nothing of data that differ from them.",
    "An overall metric can hide that single classes or kinds of examples do worse.",
    "Latency is of the machine, batch and threads named above, in PyTorch, and differs elsewhere.",
)
_CHOSEN = "A plan that was chosen among many by these examples is a little flattered by them."


class Shown(Protocol):
    """What the card says of an export: its format's name, bytes by file name, and what its check found."""

    @property
    def name(self) -> str: ...
    @property
    def sizes(self) -> Mapping[str, int]: ...
    @property
    def difference(self) -> float: ...
    @property
    def allowed(self) -> float: ...
    @property
    def quality(self) -> Mapping[str, Interval]: ...
    @property
    def examples(self) -> int: ...


def model_card(shipment: Shipment, exports: Sequence[Shown], on: date) -> str:
    """The card as Markdown, made on a day; tables hold a row for each target, metric, cost and export."""
    parts = [
        f"# {changes.title(shipment)}",
        changes.what_it_is(shipment),
        *usage.input_and_output(shipment),
        *usage.how_to_load(shipment, [export.name for export in exports]),
        *changes.removed(shipment),
        *changes.recovery(shipment),
        "## What was measured" if shipment.plan.is_dense else "## Before and after",
        _quality(shipment),
        _costs(shipment),
        _measuring(shipment),
        *_files(shipment, exports),
        "## Conditions",
        _conditions(shipment, on),
        "## Limits",
        bullets([*_LIMITS[:1], *([] if shipment.plan.is_dense else [_CHOSEN]), *_LIMITS[1:]]),
    ]
    return "\n\n".join(parts) + "\n"


def _quality(shipment: Shipment) -> str:
    """A row for each metric: of the dense network alone, or before and after."""
    task, now, before = shipment.task, shipment.numbers.quality, shipment.dense_numbers.quality
    if shipment.plan.is_dense:
        rows = [
            (
                task.by_key[key].label,
                figures.measured(value, task.by_key[key], figures.metric_decimals([value.value])),
            )
            for key, value in now.items()
        ]
        return table(("metric (95% interval)", "measured"), rows)
    return table(
        ("metric (95% interval)", "before", "after", "change, paired"),
        [_compared(shipment, key, before[key], now[key]) for key in now],
    )


def _compared(shipment: Shipment, key: str, before: Interval, after: Interval) -> tuple[str, ...]:
    metric, change = shipment.task.by_key[key], shipment.numbers.change.get(key)
    decimals = figures.metric_decimals([before.value, after.value])
    return (
        metric.label,
        *(figures.measured(value, metric, decimals) for value in (before, after)),
        figures.changed(change, metric, decimals) if change else "none",
    )


def _costs(shipment: Shipment) -> str:
    before, after = shipment.dense_numbers, shipment.numbers
    times = (after.latency,) if shipment.plan.is_dense else (after.dense_latency, after.latency)
    decimals = figures.time_decimals([latency.median for latency in times])
    latency = ("latency, median (middle half)", *(figures.time(each, decimals) for each in times))
    if shipment.plan.is_dense:
        return table(("cost", "measured"), [*_counts(after), latency])
    counts = [
        (name, then, now) for (name, then), (_, now) in zip(_counts(before), _counts(after), strict=True)
    ]
    return table(("cost", "before", "after"), [*counts, latency])


def _counts(numbers: Numbers) -> list[tuple[str, str]]:
    """What was counted of one network, by name."""
    cost, size = numbers.cost, numbers.size
    return [
        ("parameters", f"{cost.parameters:,}"),
        ("nonzero connections", f"{cost.nonzero_connections:,}"),
        ("MACs of one example", f"{cost.macs:,}"),
        ("bytes as saved", f"{size.saved:,}"),
        ("bytes, best lossless encoding", f"{size.best:,} ({size.best_encoding})"),
    ]


def _measuring(shipment: Shipment) -> str:
    """How the figures of the tables came about."""
    latency, is_dense = shipment.numbers.latency, shipment.plan.is_dense
    turns = "" if is_dense else ", both networks in turn"
    changed = (
        ""
        if is_dense
        else " Changes are those of the unrounded values, so that their last digit may differ from the difference of the "
        "figures shown."
    )
    return (
        f"Latency is the time of one pass with a batch of {latency.batch:,}, on {counted(latency.threads, 'thread')}: "
        f"{latency.runs:,} runs after warm-up{turns}. MACs are the multiply-accumulates of convolutions, linear layers "
        f"and attention.{changed}"
    )


def _files(shipment: Shipment, exports: Sequence[Shown]) -> list[str]:
    if not exports:
        return []
    metric = shipment.task.headline
    rows = [
        (
            FORMATS[export.name].label,
            ", ".join(f"{name} ({bytes_text(size)})" for name, size in export.sizes.items()),
            f"{export.difference:.2g}",
            f"{export.allowed:.2g}",
            number(export.quality[metric.key].value, metric),
            f"{export.examples:,}",
        )
        for export in exports
    ]
    said = (
        "Each was loaded back and compared with the network that was measured, example by example. Differences are absolute, "
        "of any output."
    )
    head = (
        "format",
        "files",
        "largest difference",
        "allowed",
        f"{metric.label} of the reloaded file",
        "examples compared",
    )
    return ["## Files", said, table(head, rows)]


def _conditions(shipment: Shipment, on: date) -> str:
    dataset = shipment.dataset
    paired = "" if shipment.plan.is_dense else "; changes are paired, example by example"
    facts = (
        f"Data: {plain(dataset.name)}, {len(shipment.split):,} {dataset.noun}: {plain(shipment.split.origin)}",
        f"Exported on {on.isoformat()} by Prunescope {_version()} with PyTorch {torch.__version__}, Python "
        f"{platform.python_version()}, on {platform.machine()}",
        f"Intervals are 95% confidence intervals{paired}",
    )
    return bullets(f"{fact}." for fact in facts)


def _version() -> str:
    return str(tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]["version"])
