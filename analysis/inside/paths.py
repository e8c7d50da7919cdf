"""Paths of links through a network: which units something varying reaches, and which reach the answer."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from analysis.importance.signals import output_channels
from analysis.inside.hearing import INPUT, Sources
from analysis.inside.sources import find_sources
from analysis.network import Network, by_output


def find_paths(network: Network) -> Paths:
    """Follow all paths from the input, then all paths back from the answer."""
    paths = Paths(network, find_sources(network))
    paths.spread()
    return paths


class Paths:
    """Which units vary and which are heard in a network; made by :func:`find_paths`."""

    def __init__(self, network: Network, sources: Sources) -> None:
        self.network, self.sources = network, sources
        self.sizes = {
            layer.name: output_channels(network.module.get_submodule(layer.name)) for layer in network.layers
        }
        count = INPUT + 1 + sum(self.sizes.values())
        self.varies = np.zeros(count, dtype=bool)
        self.heard = np.zeros(count, dtype=bool)
        self.varies[INPUT] = True
        self.heard[list(sources.sets.members(sources.answer))] = True
        self._links = {
            layer.name: links_of(network.module.get_submodule(layer.name), network.weight(layer.name) != 0)
            for layer in network.layers
        }

    def spread(self) -> None:
        """Follow all paths from the input, then all paths back from the answer, until nothing is added."""
        names = [layer.name for layer in self.network.layers]
        for step, order in ((self._forward, names), (self._backward, names[::-1])):
            grown = True
            while grown:
                grown = False
                for name in order:
                    grown |= step(name)

    def _forward(self, name: str) -> bool:
        found = self._links[name][:, self.inputs_vary(name)].any(dim=1).numpy()
        place = self._place(name)
        grown = bool((found & ~self.varies[place]).any())
        self.varies[place] |= found
        return grown

    def _backward(self, name: str) -> bool:
        used = self._links[name][self.heard_of(name)].any(dim=0)
        grown = False
        for number in self.sources.heard[name][used].unique().tolist():
            members = list(self.sources.sets.members(int(number)))
            grown |= not self.heard[members].all()
            self.heard[members] = True
        return grown

    def inputs_vary(self, name: str) -> Tensor:
        """(inputs,) bool: something that varies is heard there."""
        numbers, inverse = self.sources.heard[name].unique(return_inverse=True)
        members = [list(self.sources.sets.members(int(number))) for number in numbers.tolist()]
        return torch.tensor([bool(self.varies[some].any()) for some in members])[inverse]

    def varies_of(self, name: str) -> Tensor:
        """(units,) bool."""
        return torch.from_numpy(self.varies[self._place(name)])

    def heard_of(self, name: str) -> Tensor:
        """(units,) bool."""
        return torch.from_numpy(self.heard[self._place(name)])

    def live(self, name: str) -> Tensor:
        """(units, inputs) bool: a link there is on a path from the input to the answer."""
        if name in self.sources.tied:
            return torch.ones_like(self._links[name])
        return self.heard_of(name)[:, None] & self.inputs_vary(name)[None, :]

    def constant_links(self, name: str) -> Tensor:
        """(units, inputs) bool: a link there carries a constant other than zero to a unit that is heard."""
        constant = ~self.inputs_vary(name) & self.sources.speaks[name]
        return self.heard_of(name)[:, None] & constant[None, :] & ~self.live(name)

    def note(self, name: str) -> str:
        """Why paths from a layer are a bound."""
        if name in self.sources.tied:
            return "its weights are used elsewhere too, so that all of them count as live"
        mixed = self.sources.mixed.get(name)
        return f"its units meet in {mixed}" if mixed else ""

    def _place(self, name: str) -> slice:
        first = self.sources.first[name]
        return slice(first, first + self.sizes[name])


def link_counts(module: nn.Module, mask: Tensor) -> Tensor:
    """How many weights of a mask of a layer's weight join each unit and input channel, (units, inputs) int32."""
    rows = by_output(module, mask).flatten(2) if mask.dim() > 2 else by_output(module, mask)
    counts = rows if rows.dim() == 2 else rows.sum(dim=2, dtype=torch.int32)
    counts = counts.to(torch.int32)
    groups = int(getattr(module, "groups", 1))
    if groups == 1:
        return counts
    whole = torch.zeros(counts.shape[0], counts.shape[1] * groups, dtype=torch.int32)
    block = counts.shape[0] // groups
    for group in range(groups):
        rows_of, columns = slice(group * block, (group + 1) * block), counts.shape[1]
        whole[rows_of, group * columns : (group + 1) * columns] = counts[rows_of]
    return whole


def links_of(module: nn.Module, mask: Tensor) -> Tensor:
    """True where a weight of the mask joins a unit and an input channel, (units, inputs)."""
    return link_counts(module, mask) > 0


def weights_on(module: nn.Module, mask: Tensor, links: Tensor) -> int:
    """How many weights of a mask lie on the given links."""
    return int(link_counts(module, mask)[links].sum())
