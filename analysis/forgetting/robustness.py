"""Quality against the strength of a corruption, before and after: is the smaller network more fragile?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from analysis.datasets import Dataset, Split
from analysis.forgetting.corruption import corrupt, corruptions_for, ground_of, strengths_of
from analysis.measure.quality import Evaluation, Interval, evaluate, headline, headline_change
from analysis.network import Network

Progress = Callable[[float], None]


@dataclass(frozen=True)
class Point:
    """The headline metric of both networks on examples with one corruption at one strength.

    `change` is after minus before on the same corrupted examples, with its paired interval.
    """

    corruption: str
    strength: float
    before: Interval
    after: Interval
    change: Interval


def robustness(
    before: Network,
    after: Network,
    dataset: Dataset,
    split: Split,
    *,
    seed: int = 0,
    known: Collection[tuple[str, float]] = (),
    progress: Progress = lambda share: None,
) -> Iterator[Point]:
    """Measure both networks under every corruption that suits the data, from strength 0 upwards.

    Both see the same corrupted examples. Strength 0 is the evaluation split as it is.

    Parameters
    ----------
    dataset : Dataset
        Its scale is that of the strengths, its task that of the networks.
    known : collection of (corruption, strength)
        Left out.
    progress : callable
        Called with the share done; what it raises ends the work.

    Raises
    ------
    NetworkError
        If an answer is NaN or infinite.
    """
    ground = ground_of(dataset, before)
    wanted = [
        (entry.name, strength)
        for entry in corruptions_for(ground.kind)
        for strength in strengths_of(entry, split.inputs.shape)
        if (entry.name, strength) not in known
    ]
    clean = evaluate(before, split, dataset.task)
    unchanged: tuple[Interval, Interval, Interval] | None = None
    for done, (corruption, strength) in enumerate(wanted):
        if strength == 0:
            unchanged = unchanged or _judge(clean, evaluate(after, split, clean.task))
            found = unchanged
        else:
            changed = corrupt(split.inputs, corruption, strength, ground, seed=seed)
            given = Split(changed, split.targets, split.origin)
            found = _judge(evaluate(before, given, clean.task), evaluate(after, given, clean.task))
        yield Point(corruption, strength, *found)
        progress((done + 1) / len(wanted))


def _judge(before: Evaluation, after: Evaluation) -> tuple[Interval, Interval, Interval]:
    """The headline metric of both and its change."""
    return headline(before), headline(after), headline_change(after, before)
