"""Do maps of importance tell the truth about the network they explain? Four measures, before and after pruning.

The curves are in :mod:`analysis.explain.removal`, the other two measures in :mod:`analysis.explain.fidelity`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from analysis.datasets import Split
from analysis.errors import DataError
from analysis.explain.explainer import Explain
from analysis.explain.fidelity import SENSITIVITY_EXAMPLES, Subject, infidelity, sensitivity
from analysis.explain.removal import STEPS, Curves, Way, curves, of_ratios, order, random_order, worth
from analysis.explain.stages import Progress, Stages
from analysis.inference import answers, compile_network
from analysis.measure.quality import Interval, mean_interval
from analysis.network import Network
from analysis.tasks import Task, settled

Name = Literal["deletion", "insertion", "infidelity", "max-sensitivity"]

EXAMPLES = 200  # judged unless told otherwise
_LEAST = 1e-9  # a smaller change of the answers is rounding
_NO_NUDGE = "Tokens cannot be nudged: there is nothing between one token and another."
_NO_CHANGE = "The answers do not change when inputs are removed, so there is nothing to foresee."


@dataclass(frozen=True)
class Measure:
    """How one measure is named and read."""

    name: Name
    label: str
    sentence: str
    higher_is_better: bool


MEASURES: tuple[Measure, ...] = (
    Measure(
        "deletion", "Deletion",
        "The most important inputs are emptied first: the faster the answer falls, the truer the map.", False,
    ),
    Measure(
        "insertion", "Insertion",
        "The most important inputs are filled in first: the faster the answer comes, the truer the map.", True,
    ),
    Measure(
        "infidelity", "Infidelity",
        "Share of what random removals do to the answer that the map does not foresee: 0 foresees all, "
        "1 nothing.", False,
    ),
    Measure(
        "max-sensitivity", "Max-sensitivity",
        "How far the map moves, as a share of its size, when the input is nudged too little to notice.", False,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class MeanCurve:
    """The mean of all examples' curves, with its interval after each share of the inputs."""

    shares: tuple[float, ...]
    values: tuple[Interval, ...]


@dataclass(frozen=True)
class Side:
    """What a measure says of one network's maps.

    `value` is the mean over examples: an area for insertion and deletion. These have a mean `curve`, too,
    and that of a `random` order, with its area `chance`. How much better than chance the map is (`margin`,
    paired example by example, positive for a map that knows something) is a share of what emptying the
    whole input changes, so that a network that is less sure can be compared with one that is surer; None if
    nothing changes.
    """

    value: Interval
    curve: MeanCurve | None = None
    random: MeanCurve | None = None
    chance: Interval | None = None
    margin: Interval | None = None


@dataclass(frozen=True)
class Finding:
    """One measure before and after, with the paired change (after minus before) over `examples`.

    `margin_change` is that of the margins over a random order. Where a measure does not apply, `note` says
    why and all else is None.
    """

    measure: Name
    examples: int
    before: Side | None = None
    after: Side | None = None
    change: Interval | None = None
    margin_change: Interval | None = None
    note: str = ""


def faithfulness(
    before: Network,
    after: Network,
    task: Task,
    split: Split,
    explain: Explain,
    *,
    empty: float | Tensor,
    signed: bool,
    local: bool,
    steps: int = STEPS,
    sensitivity_examples: int = SENSITIVITY_EXAMPLES,
    known: Collection[str] = (),
    seed: int = 0,
    progress: Progress = lambda share: None,
) -> Iterator[Finding]:
    """Judge each network by its own maps on the same examples, measure by measure.

    Parameters
    ----------
    explain : callable
        Gives the maps of a network; asked for both, and again for nudged inputs.
    empty : float or Tensor
        The input that means "nothing"; broadcasts over one example.
    signed, local : bool
        What the maps mean, as in :class:`Subject`.
    known : collection of str
        Measures that are left out.

    Raises
    ------
    DataError
        If there are fewer than two examples, of which no interval can be given.
    """
    if len(split) < 2:
        raise DataError(
            "Faithfulness needs at least two examples to say how sure its numbers are. Choose more."
        )
    wanted = [m.name for m in MEASURES if m.name not in known]
    stage = Stages(progress, 2 * (1 + len(wanted)))
    targets = split.targets if task.is_classification else None
    nothing = torch.as_tensor(empty, dtype=split.inputs.dtype)
    task = settled(task, answers(compile_network(before), split.inputs))
    both = []
    for network in (before, after):
        maps = explain(network, split.inputs, targets, stage.report)
        both.append(Subject(network, task, split, maps, nothing, signed, local))
        stage.finish()
    for name in wanted:
        if name == "deletion" or name == "insertion":
            yield _moved(name, both, steps, seed, stage)
        elif name == "max-sensitivity" and not split.inputs.is_floating_point():
            stage.finish(2)
            yield Finding(name, 0, note=_NO_NUDGE)
        else:
            values = []
            for subject in both:
                if name == "infidelity":
                    values.append(infidelity(subject, seed=seed, progress=stage.report))
                else:
                    values.append(sensitivity(subject, explain, examples=sensitivity_examples, seed=seed))
                stage.finish()
            yield _compared(name, *values)


def removal_curves(
    subject: Subject, way: Way, *, steps: int = STEPS, seed: int = 0, progress: Progress = lambda share: None
) -> tuple[Curves, Curves]:
    """The curves of a subject's maps, and those of a random order of each example's inputs."""
    inputs, stage = subject.split.inputs, Stages(progress, 2)
    judged = worth(subject.network, subject.task, inputs, subject.split.targets, subject.empty)
    maps = subject.maps.double()
    if subject.signed:
        maps = maps * judged.direction.reshape(-1, *[1] * (maps.dim() - 1))
    ranked = order(maps, seed=seed)
    by_map = curves(way, judged, inputs, subject.empty, ranked, steps=steps, progress=stage.report)
    stage.finish()
    shuffled = random_order(*ranked.shape, seed=seed + 1)
    return by_map, curves(way, judged, inputs, subject.empty, shuffled, steps=steps, progress=stage.report)


def _moved(name: Way, both: list[Subject], steps: int, seed: int, stage: Stages) -> Finding:
    """The finding of insertion or deletion."""
    areas, margins, sides = [], [], []
    for subject in both:
        by_map, by_chance = removal_curves(subject, name, steps=steps, seed=seed, progress=stage.report)
        area, chance = (of_ratios(found.areas, found.weights) for found in (by_map, by_chance))
        gain = _gain(name, by_map, by_chance)
        areas.append(area)
        margins.append(gain)
        sides.append(
            Side(
                mean_interval(area),
                _mean_curve(by_map),
                _mean_curve(by_chance),
                mean_interval(chance),
                None if gain is None else mean_interval(gain),
            )
        )
        stage.finish()
    was, now = margins
    margin_change = None if was is None or now is None else mean_interval(now - was)
    return Finding(name, len(areas[0]), sides[0], sides[1], mean_interval(areas[1] - areas[0]), margin_change)


def _gain(name: Way, by_map: Curves, by_chance: Curves) -> Tensor | None:
    """How much better than chance each example's map is, (N,), as a share of the mean change there is to gain.

    None if no answer changes when everything is taken away.
    """
    change = (by_map.values[:, 0] - by_map.values[:, -1]).abs()
    size = change.mean()
    if size < _LEAST:
        return None
    better = by_map.areas - by_chance.areas if name == "insertion" else by_chance.areas - by_map.areas
    return of_ratios(better / size, change / size)


def _compared(name: Name, before: Tensor, after: Tensor) -> Finding:
    """The finding of (N,) values of each network; examples that have none in both are left out."""
    usable = torch.isfinite(before) & torch.isfinite(after)
    count = int(usable.sum())
    if count < 2:
        return Finding(name, count, note=_NO_CHANGE)
    before, after = before[usable], after[usable]
    return Finding(
        name, count, Side(mean_interval(before)), Side(mean_interval(after)), mean_interval(after - before)
    )


def _mean_curve(found: Curves) -> MeanCurve:
    values = of_ratios(found.values, found.weights)
    return MeanCurve(tuple(found.shares.tolist()), tuple(mean_interval(column) for column in values.T))
