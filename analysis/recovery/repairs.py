"""What each way to recover without training brings, in points with an interval and in seconds."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from analysis.datasets import Split
from analysis.errors import PrunescopeError
from analysis.measure.quality import Interval, evaluate, headline, headline_change
from analysis.network import Network
from analysis.recovery.lockstep import Mended, Progress
from analysis.recovery.pruned import Pruned
from analysis.recovery.registry import CHAINS, METHODS


@dataclass(frozen=True)
class Gain:
    """What a method, or several one after the other, brought.

    Parameters
    ----------
    methods : tuple of str
        Names of methods, in order.
    quality, change : Interval or None
        The headline metric afterwards, and its paired change against the pruned network; None if a method does
        not apply, for the `reason` given.
    times : tuple of float
        How many seconds each of the methods took, without the measuring.
    layers : int
        How many layers and BatchNorms were given other values.
    left : mapping
        Layers that would have needed it and stay as they are, with the reason.
    """

    methods: tuple[str, ...]
    quality: Interval | None = None
    change: Interval | None = None
    times: tuple[float, ...] = ()
    layers: int = 0
    left: Mapping[str, str] = field(default_factory=dict)
    reason: str = ""

    @property
    def seconds(self) -> float:
        """How long all of it took."""
        return sum(self.times)

    @property
    def per_second(self) -> float:
        """Gained for each second spent, in the metric's unit; 0 if the method does not apply."""
        return self.change.value / self.seconds if self.change is not None and self.seconds > 0 else 0.0


def repairs(
    pruned: Pruned,
    split: Split,
    *,
    chains: Sequence[tuple[str, ...]] = CHAINS,
    known: Collection[tuple[str, ...]] = (),
    progress: Progress = lambda share: None,
) -> Iterator[tuple[Gain, Network | None]]:
    """Carry out each chain of methods on the pruned network and measure it, one after the other.

    Parameters
    ----------
    split : Split
        The examples measured on; methods do not look at them.
    chains : sequence of tuple of str
        Names of methods, each chain's in order. Of a chain with a method that does not apply, nothing is said
        unless the method stands alone.
    known : collection of tuple of str
        Chains that are left out.

    Yields
    ------
    Gain, Network or None
        What it brought, and the network.
    """
    missing = [chain for chain in chains if chain not in known]
    before = evaluate(pruned.network, split, pruned.task)
    workshop = _Workshop(pruned)
    for number, chain in enumerate(missing):

        def say(share: float, number: int = number) -> None:
            progress((number + share) / len(missing))

        try:
            mended, times = workshop.carried_out(chain, say)
        except PrunescopeError as error:
            if len(chain) == 1:
                yield Gain(chain, reason=str(error)), None
            continue
        after = evaluate(mended.network, split, pruned.task)
        change = headline_change(after, before)
        found = Gain(chain, headline(after), change, times, len(mended.layers), mended.left)
        yield found, mended.network
    progress(1.0)


class _Workshop:
    """Carries out chains; what two of them begin with is done once, and what was refused is not tried again."""

    def __init__(self, pruned: Pruned) -> None:
        self.pruned = pruned
        self.done: dict[tuple[str, ...], tuple[Mended, tuple[float, ...]]] = {
            (): (Mended(pruned.network, ()), ())
        }
        self.refused: dict[str, PrunescopeError] = {}

    def carried_out(self, chain: tuple[str, ...], progress: Progress) -> tuple[Mended, tuple[float, ...]]:
        """The chain's network and the seconds of each method; PrunescopeError if one does not apply."""
        if chain in self.done:
            return self.done[chain]
        *earlier, name = chain
        before = len(earlier) / len(chain)
        mended, times = self.carried_out(tuple(earlier), lambda share: progress(before * share))
        if name in self.refused:
            raise self.refused[name]
        start = time.perf_counter()
        try:
            found = METHODS[name].run(
                replace(self.pruned, network=mended.network),
                lambda share: progress(before + (1 - before) * share),
            )
        except PrunescopeError as error:
            self.refused[name] = error
            raise
        seconds = time.perf_counter() - start
        layers = tuple(dict.fromkeys((*mended.layers, *found.layers)))
        self.done[chain] = Mended(found.network, layers, {**mended.left, **found.left}), (*times, seconds)
        return self.done[chain]
