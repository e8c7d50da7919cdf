"""What is found out about who is heard where, while a network runs."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

from analysis.importance.signals import output_channels
from analysis.inside.sets import NOBODY, Sets
from analysis.network import Network
from analysis.pruning.beside import Notes

INPUT = 0  # the unit that stands for the network's input


@dataclass
class Sources:
    """What was found.

    Attributes
    ----------
    sets : Sets
        What the numbers stand for.
    first : dict
        {layer: the number of its first unit}; its units are numbered on from there.
    heard : dict
        {layer: (inputs,) numbers}: who is heard at each input channel, over all calls.
    speaks : dict
        {layer: (inputs,) bool}: True where what is read on the example is not zero.
    says : dict
        {layer: (units,) bool}: True where a unit's own signal on the example is not zero, after the BatchNorm
        and the activation that follow it.
    answer : int
        Who is heard in the answer.
    mixed : dict
        {layer: what its units meet in which no channel is told apart}, in words.
    tied : set
        Layers whose weights the graph uses elsewhere, too.
    """

    sets: Sets = field(default_factory=Sets)
    first: dict[str, int] = field(default_factory=dict)
    heard: dict[str, Tensor] = field(default_factory=dict)
    speaks: dict[str, Tensor] = field(default_factory=dict)
    says: dict[str, Tensor] = field(default_factory=dict)
    answer: int = NOBODY
    mixed: dict[str, str] = field(default_factory=dict)
    tied: set[str] = field(default_factory=set)


class Hearing(Notes):
    """Which numbers belong to which tensor; filled by rules while the network runs.

    Parameters
    ----------
    statistics : bool
        As :func:`analysis.inside.sources.find_sources`.
    """

    def __init__(self, network: Network, statistics: bool) -> None:
        super().__init__()
        self.statistics = statistics
        self.sources = Sources()
        self.sets = self.sources.sets
        self._counts: dict[str, int] = {}
        units = INPUT + 1
        for layer in network.layers:
            self._counts[layer.name] = output_channels(network.module.get_submodule(layer.name))
            self.sources.first[layer.name] = units
            units += self._counts[layer.name]

    def numbers(self, value: Tensor) -> Tensor:
        """The numbers of a tensor, of its shape."""
        found = self.of(value)
        return self.all_alike(NOBODY, value) if found is None else found

    def all_alike(self, number: int, value: Tensor) -> Tensor:
        """One number at every place of a tensor."""
        return torch.tensor(float(number), dtype=torch.float64).expand(value.shape)

    def mixes(self, numbers: Tensor, what: str) -> None:
        """Note that the units heard here are not told apart any more."""
        members = self.sets.members(self.sets.whole(numbers))
        for layer, count in self._counts.items():
            if not members.isdisjoint(range(self.sources.first[layer], self.sources.first[layer] + count)):
                self.sources.mixed.setdefault(layer, what)

    def reads(self, name: str, value: Tensor, dim: int) -> None:
        """A layer reads channels along `dim`."""
        numbers = self.read(value)
        for other in range(value.dim()):
            if other != dim % value.dim():
                numbers = self.sets.along(numbers, other)
        loud = (value != 0).movedim(dim, 0).reshape(value.shape[dim], -1).any(dim=1)
        self.hears(name, numbers.reshape(-1), loud)

    def read(self, value: Tensor) -> Tensor:
        """The numbers of what a layer reads; a table of constants (positions) is an input of the network, too."""
        found = self.of(value)
        return self.all_alike(self.sets.number(frozenset({INPUT})), value) if found is None else found

    def hears(self, name: str, numbers: Tensor, loud: Tensor) -> None:
        """A layer hears these at its inputs; at a second call both count."""
        before = self.sources.heard.get(name)
        both = numbers if before is None else self.sets.meet([before, numbers], numbers.shape)
        self.sources.heard[name] = both
        _gather(self.sources.speaks, name, loud)

    def says(self, name: str, signal: Tensor) -> None:
        """A layer's own signal, (positions, units)."""
        _gather(self.sources.says, name, (signal != 0).any(dim=0))

    def units(self, name: str, output: Tensor, dim: int) -> Tensor:
        """The numbers of a layer's own units along a dimension of its output."""
        shape = [1] * output.dim()
        shape[dim] = output.shape[dim]
        return torch.tensor(self._own(name), dtype=torch.float64).reshape(shape).expand(output.shape)

    def uses_weights(self, name: str, value: Tensor) -> None:
        """The graph uses a layer's weights elsewhere: all its units are heard there."""
        self.sources.tied.add(name)
        self.note(value, self.all_alike(self.sets.united(self._own(name)), value))

    def _own(self, name: str) -> list[int]:
        first = self.sources.first[name]
        return [self.sets.number(frozenset({unit})) for unit in range(first, first + self._counts[name])]


def _gather(place: dict[str, Tensor], name: str, values: Tensor) -> None:
    place[name] = values | place[name] if name in place else values
