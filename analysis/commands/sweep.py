"""sweep: the sensitivity of every target, cut alone and further and further."""

from __future__ import annotations

import argparse
import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from analysis.commands.measured import interval_data, number
from analysis.commands.options import (
    add_cut,
    add_source,
    file_to_write,
    opened,
    progress,
    share,
    written,
)
from analysis.errors import CriterionError
from analysis.importance.registry import find_criterion, score
from analysis.importance.scores import Scores
from analysis.live import Gauge
from analysis.look import counted
from analysis.measure.quality import headline
from analysis.pruning.plan import Granularity, targets
from analysis.sensitivity import MARGIN, Sensitivity, measure_point, rankable, sweep
from analysis.units import Open

COMMANDS = {"sweep": "measure how quality falls as each target alone is cut further and further"}
COLUMNS = ("target", "ratio", "value", "low", "high", "examples")


def add_arguments(command: argparse.ArgumentParser, name: str) -> None:
    """The arguments of the command."""
    add_source(command)
    add_cut(command)
    command.add_argument(
        "--ratios", type=share, nargs="+", metavar="RATIO",
        help="shares removed (default 0.3, 0.5, 0.7, 0.9, and between them where quality bends)",
    )  # fmt: skip
    command.add_argument(
        "-o", "--output", type=file_to_write(".csv", ".json"), metavar="CURVES.csv", help="save the points, as .csv or .json"
    )  # fmt: skip


def run(open_source: Open, options: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Carry the command out; its report as data and as text."""
    criterion = find_criterion(options.criterion or "l1")
    granularity: Granularity = options.granularity or "channel"
    source = opened(open_source, options)
    network, dataset = source.network, source.dataset
    progress(f"scoring by {criterion.name}")
    scores = score(network, criterion.name, dataset)
    chosen = rankable(network, scores, granularity)
    if not chosen:
        raise CriterionError(
            f"{criterion.label} ranks no {granularity}s of {network.name}. Choose another criterion or granularity."
        )
    progress(f"measuring {counted(len(chosen), 'target')} on {dataset.evaluation.origin}")
    gauge = Gauge(network, dataset.evaluation, dataset.task)
    points = list(_points(gauge, scores, granularity, chosen, options.ratios))
    report: dict[str, Any] = {
        "network": network.name,
        "metric": gauge.task.headline.key,
        "criterion": criterion.name,
        "granularity": granularity,
        "images": len(dataset.evaluation),
        "dense": interval_data(headline(gauge.dense)),
        "left_out": [target for target in targets(network, granularity) if target not in chosen],
        "points": [_entry(point) for point in points],
    }
    if options.output:
        report |= {"file": str(options.output), "file_bytes": _saved(options.output, report)}
    return report, _text(report)


def _points(
    gauge: Gauge,
    scores: Scores,
    granularity: Granularity,
    chosen: Sequence[str],
    ratios: Sequence[float] | None,
) -> Iterator[Sensitivity]:
    """Points at the given ratios, or at those that the curves ask for."""
    if ratios is None:
        yield from sweep(gauge, scores, granularity)
        return
    for target in chosen:
        for ratio in sorted(set(ratios)):
            yield measure_point(gauge, scores, granularity, target, ratio)


def _entry(point: Sensitivity) -> dict[str, Any]:
    return {
        "target": point.target,
        "ratio": point.ratio,
        **interval_data(point.quality),
        "examples": point.examples,
    }


def _saved(path: Path, report: Mapping[str, Any]) -> int:
    """Write the points, as the file's suffix says; returns the bytes written."""
    if path.suffix == ".json":
        text = json.dumps(report, indent=2, allow_nan=False) + "\n"
    else:
        buffer = io.StringIO()
        table = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(report["points"])
        text = buffer.getvalue()
    return written(path, lambda: path.write_bytes(text.encode()))


def _text(report: Mapping[str, Any]) -> str:
    """The report for a person."""
    lines = [
        f"{report['network']}: {report['metric']} when one target alone loses {report['granularity']}s by "
        f"{report['criterion']}, of {report['images']:,} examples as many as leave +-{MARGIN:g}",
        f"  {'dense':24} {number(report['dense'])}",
    ]
    lines += [
        f"  {point['target']:24} {point['ratio']:>4.0%} removed   {number(point)}   {point['examples']:,} examples"
        for point in sorted(report["points"], key=lambda point: (point["target"], point["ratio"]))
    ]
    lines += [f"  {target:24} left out: the criterion cannot rank it" for target in report["left_out"]]
    if "file" in report:
        lines.append(f"saved {report['file']} ({report['file_bytes']:,} bytes)")
    return "\n".join(lines)
