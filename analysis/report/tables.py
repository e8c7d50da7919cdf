"""The tables that reports are made of, from plans and measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from analysis.forgetting.classes import ClassChange
from analysis.history.trial import Summary
from analysis.importance.registry import CRITERIA, criterion_label
from analysis.look import bytes_text, channel_list, counted
from analysis.measure.measurement import Numbers
from analysis.measure.quality import Interval
from analysis.network import Network
from analysis.pruning.plan import GRANULARITIES, Pick, Plan
from analysis.report.cells import (
    NOTHING,
    UNKNOWN,
    Card,
    Cell,
    Table,
    change_cell,
    cost_card,
    count_cell,
    latency_card,
    latency_cell,
    metric_cell,
    share,
    value_cell,
)
from analysis.report.subject import Reported, Subject
from analysis.tasks import Metric

BESIDE = "Dense network, timed beside it"
COUNTS: tuple[tuple[str, str, Callable[[Numbers], int]], ...] = (
    ("Parameters", "All trainable values.", lambda m: m.cost.parameters),
    ("Nonzero connections", "Weights that still carry a signal.", lambda m: m.cost.nonzero_connections),
    ("MACs", "Multiply-accumulates for one example.", lambda m: m.cost.macs),
    ("Bytes as saved", "The safetensors file.", lambda m: m.size.saved),
    (
        "Bytes, best lossless",
        "The smallest of several encodings that were really made.",
        lambda m: m.size.best,
    ),
)


def metrics(subject: Subject, trials: Sequence[tuple[str, Numbers]], *, changes: bool) -> Table:
    """Every metric of the dense network and of each trial, with what changed against the dense one."""
    head, rows = ["metric", "dense"], []
    for name, _ in trials:
        head += [name, "change"] if changes else [name]
    for metric in _metrics(subject):
        row = [metric_cell(metric), value_cell(subject.dense.quality[metric.key], metric)]
        for _, numbers in trials:
            row.append(_found(numbers.quality, metric, value_cell))
            row += [_found(numbers.change, metric, change_cell)] if changes else []
        rows.append(tuple(row))
    return Table(tuple(head), tuple(rows))


def costs(subject: Subject, trials: Sequence[tuple[str, Numbers]]) -> Table:
    """Counts, bytes and latency of the dense network and of each trial."""
    rows = []
    for label, sentence, of in COUNTS:
        whole = of(subject.dense)
        cells = [count_cell(of(numbers), whole) for _, numbers in trials]
        rows.append((Cell(label, tip=sentence), count_cell(whole), *cells))
    encodings = [Cell(numbers.size.best_encoding) for numbers in (subject.dense, *(n for _, n in trials))]
    rows.append((Cell("Best lossless encoding"), *encodings))
    rows += _latencies(subject, [numbers for _, numbers in trials])
    return Table(("cost", "dense", *(name for name, _ in trials)), tuple(rows))


def _latencies(subject: Subject, trials: Sequence[Numbers]) -> list[tuple[Cell, ...]]:
    """Each trial's latency beside the dense network's of the same moments: a machine is not always as fast.

    With one trial that is the one dense latency; with several each has its own, and their shares compare.
    """
    name = Cell("Latency", tip="Median and middle half.")
    timed = [latency_cell(numbers.latency, numbers.dense_latency) for numbers in trials]
    if len(trials) < 2:
        dense = trials[0].dense_latency if trials else subject.dense.latency
        return [(name, latency_cell(dense), *timed)]
    shares = [share(numbers.latency.median, numbers.dense_latency.median) for numbers in trials]
    return [
        (name, Cell(NOTHING), *timed),
        (Cell(BESIDE), Cell(NOTHING), *(latency_cell(numbers.dense_latency) for numbers in trials)),
        (Cell("Latency, % of the dense network's"), Cell(NOTHING), *map(Cell, shares)),
    ]


def cards(subject: Subject, numbers: Numbers) -> list[Card]:
    """The headline figures."""
    found, is_dense = [], not numbers.change
    for metric in (subject.dense.evaluation.task.headline, subject.dense.evaluation.task.companion):
        value = _found(numbers.quality, metric, value_cell, UNKNOWN)
        change = _found(numbers.change, metric, change_cell, "")
        found.append(Card(metric.label, value.text, change.text, change.look, change.small or value.small))
    for label, _, of in COUNTS:
        whole = None if is_dense else of(subject.dense)
        found.append(cost_card(label, of(numbers), whole, is_bytes=label.startswith("Bytes")))
    found.append(latency_card(numbers.latency, None if is_dense else numbers.dense_latency))
    return found


def layers(dense: Numbers, numbers: Numbers) -> Table:
    """The connections and MACs of each layer, before and after."""
    rows = []
    for layer, before in dense.cost.layer_nonzero.items():
        macs = dense.cost.layer_macs[layer]
        rows.append(
            (
                Cell(layer),
                Cell(f"{before:,}"),
                *_left_of(before, numbers.cost.layer_nonzero.get(layer)),
                Cell(f"{macs:,}"),
                *_left_of(macs, numbers.cost.layer_macs.get(layer)),
            )
        )
    head = ("layer", "connections", "after", "kept", "MACs", "MACs after", "left")
    return Table(head, tuple(rows))


def kept_layers(dense: Numbers, trials: Sequence[tuple[str, Numbers]]) -> Table:
    """How many connections each layer has, and the share of them that each trial keeps."""
    rows = [
        (
            Cell(layer),
            Cell(f"{before:,}"),
            *(_left_of(before, numbers.cost.layer_nonzero.get(layer))[1] for _, numbers in trials),
        )
        for layer, before in dense.cost.layer_nonzero.items()
    ]
    return Table(("layer", "connections", *(f"kept, {name}" for name, _ in trials)), tuple(rows))


def classes(changes: Sequence[ClassChange], names: Sequence[str], accuracy: Metric) -> Table:
    """Each class before and after."""
    rows = []
    for one in changes:
        change = change_cell(one.change, accuracy)
        look = change.look if one.is_real else ""
        rows.append(
            (
                Cell(names[one.label]),
                Cell(f"{one.examples:,}"),
                value_cell(one.before, accuracy),
                value_cell(one.after, accuracy),
                Cell(change.text, change.small, look),
                Cell(f"{one.lost:,}"),
                Cell(f"{one.gained:,}"),
            )
        )
    return Table(("class", "examples", "before", "after", "change", "lost", "gained"), tuple(rows))


def targets(plan: Plan, network: Network) -> Table:
    """What goes of each target, by ratio and by hand."""
    groups = {group.name: group for group in network.groups}
    rows = []
    for granularity in reversed(GRANULARITIES):  # channels go first
        ratios = plan.ratios_of(granularity)
        picked = [pick.target for pick in plan.picks] if granularity == "channel" else []
        for target in dict.fromkeys([*ratios, *picked]):
            group = groups.get(target) if granularity == "channel" else None
            of = f"{group.unit if group else granularity}s"
            rows.append(
                (
                    Cell(target),
                    Cell(of),
                    Cell(f"{ratios.get(target, 0.0):.1%}"),
                    Cell(picks_words(plan.picks_of(target)) if granularity == "channel" else NOTHING),
                    Cell(", ".join(group.members) if group else target),
                )
            )
    return Table(("target", "removes", "ratio", "by hand", "layers"), tuple(rows))


def picks_words(picks: Sequence[Pick]) -> str:
    """Channels removed and kept by hand."""
    ways = {
        way: [pick.channel for pick in picks if pick.removed is removed]
        for way, removed in (("removed", True), ("kept", False))
    }
    return "; ".join(f"{way} {channel_list(found)}" for way, found in ways.items() if found) or NOTHING


def lineage(summaries: Sequence[Summary], metric: Metric) -> Table:
    """The trials on the way, the first one first."""
    rows = []
    for one in summaries:
        what = "dense" if one.is_dense else _what_goes(one)
        what += ", recovered" if one.is_recovered else ""
        rows.append(
            (
                Cell(one.label.name or what, what if one.label.name else ""),
                Cell(date(one.measured_at)),
                value_cell(one.headline, metric),
                Cell(NOTHING) if one.change is None else change_cell(one.change, metric),
                Cell(f"{one.nonzero_connections:,}"),
                Cell(f"{one.macs:,}"),
                Cell(bytes_text(one.best)),
            )
        )
    head = (
        "trial",
        "measured",
        metric.label,
        "change",
        "nonzero connections",
        "MACs",
        "best lossless",
    )
    return Table(head, tuple(rows))


def conditions(subject: Subject, trials: Sequence[Reported]) -> list[tuple[str, str]]:
    """What has to be known to read the numbers, or to find them again."""
    split, data, time = subject.dense.evaluation.split, subject.dataset, subject.dense.latency
    scored = [
        criterion_label(name)
        for name in dict.fromkeys(trial.plan.criterion for trial in trials if trial.plan.cuts)
        if name in CRITERIA and CRITERIA[name].needs_data
    ]
    all_measured = all(trial.evaluation is not None for trial in trials)
    found = [
        ("Network", subject.dense.network.name),
        ("Data", data.name),
        ("Measured on", split.origin),
        ("Examples", f"{len(split):,}"),
        ("Inputs", data.normalisation),
        ("Outputs", subject.dense.evaluation.task.remark),
        ("Scores", f"{', '.join(scored)}: computed on {data.calibration.origin}" if scored else ""),
        (
            "Intervals",
            "95%. Changes are paired: both networks on the same examples. Green or red where the interval leaves out "
            "zero.",
        ),
        (
            "Latency",
            f"Median of timed passes after warm-up, batch {time.batch}, {counted(time.threads, 'thread')}; the small line below "
            "it is the middle half. A pruned network and the dense one are timed in turn.",
        ),
        ("MACs", "Of convolutions, linear layers and attention, for one example; zeros are multiplied too."),
        (
            "Made with",
            ", ".join(f"{name} {version}" for name, version in subject.versions.items())
            + ("" if all_measured else ". What was not measured again may be of other versions."),
        ),
        ("Made", date(subject.made_at)),
    ]
    return [(term, text) for term, text in found if text]


def date(seconds: float) -> str:
    """A moment in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _metrics(subject: Subject) -> Sequence[Metric]:
    return [subject.dense.evaluation.task.by_key[key] for key in subject.dense.quality]


def _found(
    values: Mapping[str, Interval],
    metric: Metric,
    cell: Callable[[Interval, Metric], Cell],
    otherwise: str = NOTHING,
) -> Cell:
    """A cell for a metric, or what stands there without one: kept numbers may lack it."""
    return cell(values[metric.key], metric) if metric.key in values else Cell(otherwise)


def _left_of(before: int, after: int | None) -> tuple[Cell, Cell]:
    """What is left of a layer, as a count and as a share; kept numbers may be of other layers."""
    if after is None:
        return Cell(UNKNOWN), Cell(UNKNOWN)
    return Cell(f"{after:,}"), Cell(share(after, before))


def _what_goes(trial: Summary) -> str:
    """Channel cuts by L1 magnitude, or channels picked by hand: a plan without cuts ranks nothing."""
    if not trial.criterion:
        return f"{trial.granularity}s picked by hand"
    return f"{trial.granularity} cuts by {criterion_label(trial.criterion)}"
