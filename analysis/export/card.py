"""The model card: what the network is, what was removed, what it costs and gains, and where that was measured."""

from __future__ import annotations

import platform
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol

import torch

from analysis.export.registry import FORMATS
from analysis.export.shipment import Shipment
from analysis.importance.registry import find_criterion
from analysis.look import bytes_text, change_interval, channel_list, delta, interval, number, threads
from analysis.measure.latency import Latency
from analysis.measure.quality import Interval
from analysis.pruning.plan import Pick, Plan

_LIVE = r"\`*_{}[]()<>|#!$~:&"  # has a meaning in Markdown, as GitHub or Streamlit read it, or in HTML
_PROJECT = Path(__file__).parents[2] / "pyproject.toml"
_LIMITS = (
    "Quality was measured on the examples named above, and says nothing of data that differ from them.",
    "A plan that was chosen among many by these examples is a little flattered by them.",
    "An overall metric can hide that single classes or kinds of examples lost more.",
    "Latency is of the machine, batch and threads named above, in PyTorch, and differs elsewhere.",
)


class Shown(Protocol):
    """What the card says of an export: its format's name, bytes by file name, and what its check found."""

    @property
    def name(self) -> str: ...
    @property
    def sizes(self) -> Mapping[str, int]: ...
    @property
    def difference(self) -> float: ...
    @property
    def quality(self) -> Mapping[str, Interval]: ...
    @property
    def examples(self) -> int: ...


def model_card(shipment: Shipment, exports: Sequence[Shown], on: date) -> str:
    """The card as Markdown, made on a day; tables hold a row for each target, metric, cost and export."""
    parts = [
        f"# {_text(shipment.dense.name)}{_how(shipment)}",
        _what(shipment),
        *_removed(shipment),
        *_recovery(shipment),
        "## Before and after",
        _quality(shipment),
        _costs(shipment),
        _latency_words(shipment.numbers.latency),
        *_files(shipment, exports),
        "## Conditions",
        _conditions(shipment, on),
        "## Limits",
        "\n".join(f"- {limit}" for limit in _LIMITS),
    ]
    return "\n\n".join(parts) + "\n"


def _how(shipment: Shipment) -> str:
    if shipment.plan.is_dense:
        return ""
    return ", pruned" if shipment.recovered is None else ", pruned and recovered"


def _what(shipment: Shipment) -> str:
    task, dense, pruned = shipment.task, shipment.dense, shipment.pruned
    shape = " x ".join(map(str, dense.example_input.shape[1:])) or "single numbers"
    kind = str(dense.example_input.dtype).removeprefix("torch.")
    what = "as it was loaded; nothing was removed" if shipment.plan.is_dense else "a smaller version of it"
    return (
        f"A network for {task.name} with {len(dense.layers)} layers that reads examples of shape {shape} ({kind}): "
        f"{what}. It holds {pruned.parameters():,} of {dense.parameters():,} parameters."
    )


def _removed(shipment: Shipment) -> list[str]:
    plan, selection, network = shipment.plan, shipment.selection, shipment.dense
    if plan.is_dense:
        return []
    rows = []
    for target, channels in sorted(selection.channels.items()):
        group, ratio = network.group(target), plan.ratios_of("channel").get(target)
        unit = f"{group.unit}s"
        rows.append((_text(target), unit, _share(ratio), f"{len(channels):,} of {group.size:,}"))
    for target, mask in sorted(selection.weights.items()):
        ratio = plan.ratios_of("weight").get(target)
        gone = f"{int(mask.sum()):,} of {mask.numel():,}"
        rows.append((_text(target), "single weights", _share(ratio), gone))
    found = [
        "## What was removed",
        _reason(plan),
        _table(("target", "what", "share asked for", "gone"), rows),
    ]
    if plan.picks:
        head = ("target", "removed by hand", "kept by hand")
        found += ["Decided by hand, channels counted from 0:", _table(head, _by_hand(plan.picks))]
    return found


def _reason(plan: Plan) -> str:
    """Why these went and not others, and what their removal means."""
    channels = "Channels are removed with all coupled layers that share them"
    if not plan.cuts:
        return f"What is gone was picked by hand, and nothing was ranked. {channels}."
    criterion = find_criterion(plan.criterion)
    return (
        f"By the criterion **{_text(criterion.label)}**: {criterion.sentence} {channels}; single weights are set to "
        "zero, of those that the channels left."
    )


def _by_hand(picks: Sequence[Pick]) -> Iterator[tuple[str, str, str]]:
    """A row for each target; `picks` are sorted."""
    for target, found in groupby(picks, key=lambda pick: pick.target):
        here = list(found)
        removed, kept = ([pick.channel for pick in here if pick.removed is way] for way in (True, False))
        yield _text(target), channel_list(removed) or "none", channel_list(kept) or "none"


def _recovery(shipment: Shipment) -> list[str]:
    if shipment.recovered is None:
        return []
    steps = [
        f"{number}. {_text(step.method)}, {step.seconds:.1f} s{_settings(step.settings)}"
        for number, step in enumerate(shipment.recovered.steps, 1)
    ]
    said = "After pruning its weights were changed by these steps; what was removed stayed removed."
    return ["## Recovery", said, *(["\n".join(steps)] if steps else [])]


def _settings(settings: Any) -> str:
    return f": {', '.join(f'{_text(k)} {_text(v)}' for k, v in settings.items())}" if settings else ""


def _quality(shipment: Shipment) -> str:
    before, after = shipment.dense_numbers, shipment.numbers
    rows = []
    for key, now in after.quality.items():
        metric, then = shipment.task.by_key[key], before.quality[key]
        cells = [
            metric.label,
            *(f"{number(m.value, metric)} ({interval(m, metric)})" for m in (then, now)),
        ]
        change = after.change.get(key)
        cells.append(
            f"{delta(change.value, metric)} ({change_interval(change, metric)})" if change else "none"
        )
        rows.append(tuple(cells))
    return _table(("metric (95% interval)", "before", "after", "change, paired"), rows)


def _costs(shipment: Shipment) -> str:
    before, after = shipment.dense_numbers, shipment.numbers
    rows = [
        ("parameters", f"{before.cost.parameters:,}", f"{after.cost.parameters:,}"),
        (
            "nonzero connections",
            f"{before.cost.nonzero_connections:,}",
            f"{after.cost.nonzero_connections:,}",
        ),
        ("MACs of one example", f"{before.cost.macs:,}", f"{after.cost.macs:,}"),
        ("bytes as saved", f"{before.size.saved:,}", f"{after.size.saved:,}"),
        (
            "bytes, best lossless encoding",
            f"{before.size.best:,} ({before.size.best_encoding})",
            f"{after.size.best:,} ({after.size.best_encoding})",
        ),
        ("latency, median (middle half)", _time(after.dense_latency), _time(after.latency)),
    ]
    return _table(("cost", "before", "after"), rows)


def _time(latency: Latency) -> str:
    return f"{latency.median:.3g} ms ({latency.low:.3g} to {latency.high:.3g})"


def _latency_words(latency: Latency) -> str:
    return (
        f"Latency is of one pass of {latency.batch:,} at once on {threads(latency.threads)}, {latency.runs:,} runs "
        "after warm-up, both networks in turn. MACs are the multiply-accumulates of convolutions, linear layers and "
        "attention."
    )


def _files(shipment: Shipment, exports: Sequence[Shown]) -> list[str]:
    metric = shipment.task.headline
    rows = [
        (
            FORMATS[export.name].label,
            ", ".join(f"{name} ({bytes_text(size)})" for name, size in export.sizes.items()),
            f"{export.difference:.2g}",
            number(export.quality[metric.key].value, metric),
            f"{export.examples:,}",
        )
        for export in exports
    ]
    if not rows:
        return []
    said = "Each was loaded back and compared with the network that was measured, example by example."
    head = ("format", "files", "largest difference", metric.label.lower(), "examples compared")
    return ["## Files", said, _table(head, rows)]


def _conditions(shipment: Shipment, on: date) -> str:
    dataset = shipment.dataset
    facts = [
        f"Data: {_text(dataset.name)}, {len(shipment.split):,} {dataset.noun}: {_text(shipment.split.origin)}",
        *([f"Normalisation: {_text(dataset.normalisation)}"] if dataset.normalisation else []),
        *([f"Target in {_text(dataset.target_unit)}"] if dataset.target_unit else []),
        f"Exported on {on.isoformat()} by Prunescope {_version()} with PyTorch {torch.__version__}, Python "
        f"{platform.python_version()}, on {platform.machine()}",
        "Intervals are 95% confidence intervals; changes are paired, example by example",
    ]
    return "\n".join(f"- {fact}." for fact in facts)


def _version() -> str:
    return str(tomllib.loads(_PROJECT.read_text(encoding="utf-8"))["project"]["version"])


def _share(ratio: float | None) -> str:
    return "by hand" if ratio is None else f"{ratio:.1%}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _text(value: Any) -> str:
    """Text that may have come with a stranger's file, as Markdown that says just that, on one line."""
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in str(value)).split())
    return "".join(f"\\{letter}" if letter in _LIVE else letter for letter in line)
