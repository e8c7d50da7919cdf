"""The measured number behind a slider: a first answer after 128 examples, refined until it is exact.

A gauge measures plans of one network on one split. It answers each plan on the same examples in the same
random order, compares with what the dense network answered, and keeps what a move does not change.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Hashable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Lock, RLock

import torch
from torch import Tensor

from analysis.datasets import Split
from analysis.errors import NetworkError
from analysis.importance.scores import Scores
from analysis.inference import Program, Values, calibrate, compile_network
from analysis.measure.anytime import (
    FIRST_LOOK,
    SINGLE_LOOK,
    critical_value,
    intersection,
    looks,
    regression_mean,
    standardised,
)
from analysis.measure.quality import Evaluation, Interval, assess, evaluate
from analysis.network import Network
from analysis.prefix import Grip, PrefixCache, group_grip, group_start, layer_grip
from analysis.pruning.plan import Granularity, Plan
from analysis.pruning.prune import changed_modules
from analysis.pruning.selection import Selection, select
from analysis.tasks import Task, confidences

_EXAMPLES_PER_CLASS = 6  # fewer in the first look would not tell the classes apart

Turn = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Reading:
    """The headline metric after some of the examples.

    `value` and `change` (against the dense network) hold what all `total` examples will say, with 95%
    confidence over all readings of a run together; at the last they are points. `examples` were seen.
    """

    value: Interval
    change: Interval
    examples: int
    total: int

    @property
    def is_exact(self) -> bool:
        """True if every example was seen."""
        return self.examples == self.total

    def is_within(self, margin: float) -> bool:
        """True if the value is known to plus or minus `margin`."""
        return self.value.high - self.value.low <= 2 * margin


class Gauge:
    """Measures plans of one network on one split; safe to share between sessions.

    Parameters
    ----------
    network, split, task
        What is measured, and on what.
    dense : Evaluation, optional
        Of the dense network on `split`; evaluated at once if not given.
    kept : PrefixCache, optional
        Where values at the cut are kept; share one to bound the memory of a process.
    turn : callable, optional
        Entered around every batch, so that sessions take turns.
    seed : int
        Decides the order of the examples.

    Raises
    ------
    DataError, NetworkError
        As :func:`analysis.measure.quality.evaluate`.
    """

    def __init__(
        self,
        network: Network,
        split: Split,
        task: Task,
        *,
        dense: Evaluation | None = None,
        kept: PrefixCache | None = None,
        turn: Turn = nullcontext,
        seed: int = 0,
    ) -> None:
        self.network, self.split = network, split
        self.dense = dense or evaluate(network, split, task)
        self.task = task = self.dense.task  # it knows by now what the outputs mean
        layout = calibrate(network, split.inputs)
        self.program = compile_network(network, layout)
        self.order = torch.randperm(len(split), generator=torch.Generator().manual_seed(seed))
        self.targets = split.targets[self.order]
        merits = task.merits(self.dense.outputs, split.targets)
        self.dense_headline = task.headline_of(float(merits.mean()), split.targets)
        self.covariates = standardised([c[self.order] for c in _known_columns(self.dense, merits)])
        self.looks = looks(len(split))
        self._chunks = _chunks(self.looks, layout.batch)
        inputs = split.inputs[self.order]
        self._inputs = [layout.prepare(inputs[start:stop]) for start, stop in self._chunks]
        self._kept = kept or PrefixCache()
        self._turn = turn
        self._name = object()  # tells the values of this gauge apart in a shared cache
        self._cuts: set[int] = set()
        self._grips: dict[tuple[str, Granularity], Grip] = {}
        self._lock = RLock()

    def run(
        self,
        plan: Plan,
        scores: Scores | None,
        *,
        hand: str | None = None,
        near: Evaluation | None = None,
        single_look: bool = False,
    ) -> Run:
        """Begin to measure a plan.

        Parameters
        ----------
        scores : Scores, optional
            Scores of the dense network under the plan's criterion; None for a plan without cuts.
        hand : str, optional
            The target that is being moved: values before it are kept for the next move.
        near : Evaluation, optional
            A similar plan on the same split; the more alike its answers, the narrower the interval.
        single_look : bool
            True if the interval is looked at only once, when it has become narrow enough (Chow & Robbins
            1965): it is narrower, but those before it do not count.
        """
        selection = select(self.network, plan, scores)
        program = self.program.with_modules(changed_modules(self.network, selection))
        path = self._path(selection, program, hand) if hand else None
        covariates = self.covariates
        if near is not None:
            merits = self.task.merits(near.outputs, self.split.targets)[self.order]
            covariates = torch.cat([covariates, standardised([merits])], dim=1)
        return Run(self, program, path, covariates, single_look=single_look)

    @property
    def floor(self) -> float:
        """What guessing gets: an even share of the classes, or the R² of always saying the mean."""
        return 1 / self.dense.classes if self.task.is_classification else 0.0

    def dense_reading(self) -> Reading:
        """The dense network's, exact."""
        return self.exact_reading(self.dense_headline)

    def exact_reading(self, value: float) -> Reading:
        """The reading of a network that was measured on every example elsewhere."""
        change, count = value - self.dense_headline, len(self.order)
        return Reading(Interval(value, value, value), Interval(change, change, change), count, count)

    def stops(self, *, single_look: bool) -> tuple[int, ...]:
        """After how many examples a run gives a reading."""
        if not single_look:
            return self.looks
        return tuple(stop for _, stop in self._chunks if stop >= self.looks[0])

    def chunks(self, seen: int, until: int) -> range:
        """The chunks of examples from `seen` up to `until`, which are looks."""
        starts = [start for start, _ in self._chunks]
        return range(starts.index(seen), starts.index(until) if until in starts else len(starts))

    def answer(self, chunk: int, program: Program, path: Path | None) -> Tensor:
        """The answers to one chunk of examples, from the kept values of `path` if there is one."""
        with self._turn():
            if path is None:
                return program(self._inputs[chunk])
            values = path.grip.apply(self._values(chunk, path), path.channels)
            return program.run_from(path.grip.cut, values)

    def _grip(self, target: str, granularity: Granularity) -> Grip:
        """Where a target takes hold of the program; found once."""
        key = (target, granularity)
        with self._lock:
            if key not in self._grips:
                self._grips[key] = (
                    layer_grip(self.program, target)
                    if granularity == "weight"
                    else group_grip(self.network, self.program, self.network.group(target))
                )
            return self._grips[key]

    def _first_step(self, target: str, granularity: Granularity) -> int:
        """The first step that cutting a target changes."""
        if granularity == "weight":
            return self.program.first_step(target)
        return group_start(self.program, self.network.group(target))

    def _path(self, selection: Selection, program: Program, hand: str) -> Path | None:
        if selection.channels and selection.weights:
            return None  # with both weights and channels cut, a layer is changed at two granularities
        granularity: Granularity = "weight" if selection.weights else "channel"
        marks = _marks(selection)
        if hand not in marks or not self.program.can_resume:
            return None
        others = [target for target in marks if target != hand]
        grip = self._grip(hand, granularity)
        if grip.drops_channels and any(grip.is_shared_with(self.network.group(t)) for t in others):
            grip = Grip(self._first_step(hand, granularity))
        if grip.cut == 0:
            return None
        steps = {target: self._first_step(target, granularity) for target in others}
        before = {target: (step, marks[target]) for target, step in steps.items() if step < grip.cut}
        if grip.drops_channels:
            channels = {target: selection.channels[target] for target in before}
            program = self.program.with_modules(changed_modules(self.network, Selection(channels)))
        else:
            grip = dataclasses.replace(grip, drops=(None,) * len(program.live(grip.cut)))
        with self._lock:
            self._cuts.add(grip.cut)
        return Path(grip, selection.channels.get(hand, ()), before, program)

    def _values(self, chunk: int, path: Path) -> Values:
        """The values at the path's cut: kept, or computed from those kept at an earlier cut."""
        key = self._key(path, path.grip.cut)
        values = self._kept.get(key, chunk)
        if values is None:
            values = self._compute(chunk, path)
            self._kept.put(key, chunk, values)
        return values

    def _compute(self, chunk: int, path: Path) -> Values:
        cut = path.grip.cut
        with self._lock:
            known = sorted((c for c in self._cuts if c < cut), reverse=True)
        for earlier in known:
            values = self._kept.get(self._key(path, earlier), chunk)
            if values is not None:
                return path.program.run_between(earlier, values, cut)
        return path.program.run_until(cut, self._inputs[chunk])

    def _key(self, path: Path, cut: int) -> Hashable:
        earlier = [(target, mark) for target, (step, mark) in path.before.items() if step < cut]
        return (self._name, cut, frozenset(earlier))


@dataclass(frozen=True, eq=False)
class Path:
    """How a plan with a target in hand is measured: from the values kept at the target's grip.

    `channels` are what the target loses, `before` the other targets that change the kept values, each with
    the first step it changes and a mark of what goes from it, and `program` computes those values.
    """

    grip: Grip
    channels: tuple[int, ...]
    before: Mapping[str, tuple[int, Hashable]]
    program: Program


class Run:
    """The measurement of one plan in progress; made by :meth:`Gauge.run`, safe to share."""

    def __init__(
        self, gauge: Gauge, program: Program, path: Path | None, covariates: Tensor, *, single_look: bool
    ) -> None:
        self._gauge = gauge
        self._program = program
        self._path = path
        self._covariates = covariates
        self._stops = gauge.stops(single_look=single_look)
        self._bound = SINGLE_LOOK if single_look else critical_value(len(gauge.order))
        self._single_look = single_look
        self._outputs: list[Tensor] = []
        self._seen = 0
        self._bounds: Interval | None = None
        self._lock = Lock()
        self.reading: Reading | None = None

    def advance(self) -> Reading:
        """Measure up to the next reading.

        Raises
        ------
        NetworkError
            If an answer is NaN or infinite.
        """
        gauge = self._gauge
        with self._lock:
            if self.reading is not None and self.reading.is_exact:
                return self.reading
            stop = next(n for n in self._stops if n > self._seen)
            for chunk in gauge.chunks(self._seen, stop):
                outputs = gauge.answer(chunk, self._program, self._path)
                if not torch.isfinite(outputs).all():
                    raise NetworkError(
                        f"{gauge.network.name} answers NaN or infinity when it is cut like this."
                    )
                self._outputs.append(outputs)
                self._seen += len(outputs)
            self.reading = self._read()
            return self.reading

    def finish(self, until: Callable[[Reading], bool] = lambda reading: reading.is_exact) -> Reading:
        """Measure until the reading satisfies `until`, at the latest until it is exact."""
        while True:
            reading = self.advance()
            if reading.is_exact or until(reading):
                return reading

    def evaluation(self) -> Evaluation:
        """What was answered, in the split's own order; only when exact."""
        assert self.reading is not None and self.reading.is_exact
        gauge = self._gauge
        shuffled = torch.cat(self._outputs)
        outputs = torch.empty_like(shuffled)
        outputs[gauge.order] = shuffled
        return assess(gauge.task, gauge.split, outputs)

    def _read(self) -> Reading:
        gauge = self._gauge
        merits = gauge.task.merits(torch.cat(self._outputs), gauge.targets[: self._seen])
        scale = 1.0 if gauge.task.is_classification else None
        bounds = regression_mean(merits, self._covariates, self._bound, scale=scale)
        if self._bounds is not None and self._seen < len(gauge.order) and not self._single_look:
            bounds = intersection(self._bounds, bounds)
        self._bounds = bounds
        ends = [gauge.task.headline_of(m, gauge.split.targets) for m in (bounds.low, bounds.high)]
        if gauge.task.is_classification:
            ends = [min(1.0, max(0.0, end)) for end in ends]
        value = Interval(gauge.task.headline_of(bounds.value, gauge.split.targets), min(ends), max(ends))
        dense = gauge.dense_headline
        change = Interval(value.value - dense, value.low - dense, value.high - dense)
        return Reading(value, change, self._seen, len(gauge.order))


def _marks(selection: Selection) -> dict[str, Hashable]:
    """For each target: equal if and only if the same goes from it, whoever or whichever scores said so."""
    weights = {
        target: hashlib.sha256(mask.numpy().tobytes()).digest() for target, mask in selection.weights.items()
    }
    return {**selection.channels, **weights}


def _chunks(at: tuple[int, ...], batch: int) -> list[tuple[int, int]]:
    """Consecutive ranges of at most `batch` examples that end at every look."""
    chunks = []
    start = 0
    for look in at:
        while start < look:
            stop = min(start + batch, look)
            chunks.append((start, stop))
            start = stop
    return chunks


def _known_columns(dense: Evaluation, merits: Tensor) -> list[Tensor]:
    """What the dense network tells of each example: right or wrong, how surely, and of which class."""
    if not dense.task.is_classification:
        return [merits, dense.answers]
    classes = dense.classes
    top = confidences(dense.task, dense.outputs.double()).topk(2, dim=1).values
    margin = top[:, 0] - top[:, 1]
    columns = [merits, margin, merits * margin]
    if classes <= FIRST_LOOK // _EXAMPLES_PER_CLASS:
        columns += [(dense.split.targets == label).double() for label in range(classes - 1)]
    return columns
