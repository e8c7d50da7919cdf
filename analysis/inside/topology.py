"""The network as a graph of units: how many connections each has, which are dead, what leads nowhere.

A unit is an output channel of a layer. A *link* joins an input channel of a layer to one of its units: it is
there if any weight between the two is not zero (a whole kernel, all gates of a recurrent unit). A unit *varies*
if a path of links leads to it from the network's input, and is *heard* if one leads from it to the answer;
between layers, values are followed by :mod:`analysis.inside.sources`. What is on no path from the input to the
answer does no work: Vysogorets & Kempe 2023, "Connectivity Matters: Neural Network Pruning Through the Lens of
Effective Sparsity", count it as removed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import torch
from torch import Tensor

from analysis.importance.signals import output_channels
from analysis.inside.hearing import INPUT
from analysis.inside.paths import find_paths, link_counts, links_of, weights_on
from analysis.inside.sets import NOBODY
from analysis.inside.sources import find_sources
from analysis.network import Network, output_layers
from analysis.pruning.prune import masked_twin
from analysis.pruning.selection import Selection, removed_weights


class State(IntEnum):
    """What became of a link."""

    ABSENT = 0  # never there: other blocks of a grouped convolution, or a weight that was zero
    REMOVED = 1
    STRANDED = 2  # left, but on no path from the input to the answer
    LIVE = 3


@dataclass(frozen=True, eq=False)
class LayerTopology:
    """One layer's units and connections, in the dense layer's shape.

    Parameters
    ----------
    links_in, weights_in : Tensor
        (units,) int64: links, and nonzero weights, into each unit.
    links_out : Tensor or None
        (units,) int64: links of other layers that read each unit; None for a layer that gives the answer.
    gone : Tensor
        (units,) bool: removed by the plan, as channels.
    deaf, unheard : Tensor
        (units,) bool, of those that are left: no path leads to it from the input, so that it says the same for
        every example; no path leads from it to the answer.
    constant : Tensor
        (units,) bool: deaf, heard, and what it always says is not zero.
    nonzero, stranded, constant_links : int
        Weights left; those of them on no path from the input to the answer; those of these that carry a
        constant other than zero to a unit that is heard. The others can be removed and nothing changes; these
        once their constant is added to the unit's bias.
    removed, removed_live, removed_alone : int
        Weights removed that were not zero; those of them that were on a path in the dense network; those that
        would be on a path again if each alone were put back.
    varies : Tensor
        (inputs,) bool: the input channel hears something that varies.
    heard : Tensor
        (units,) bool: a path leads to the answer.
    note : str
        What makes the layer's paths a bound rather than exact, in words; empty if nothing does.
    """

    name: str
    links_in: Tensor
    weights_in: Tensor
    links_out: Tensor | None
    gone: Tensor
    deaf: Tensor
    unheard: Tensor
    constant: Tensor
    nonzero: int
    stranded: int
    constant_links: int
    removed: int
    removed_live: int
    removed_alone: int
    varies: Tensor
    heard: Tensor
    note: str = ""

    @property
    def dead(self) -> Tensor:
        """(units,) bool: left, but deaf or unheard."""
        return self.deaf | self.unheard


@dataclass(frozen=True, eq=False)
class Topology:
    """All layers of a network, and their sums."""

    layers: tuple[LayerTopology, ...]

    def layer(self, name: str) -> LayerTopology:
        """The layer called `name`; KeyError if there is none."""
        return {layer.name: layer for layer in self.layers}[name]

    def total(self, field: str) -> int:
        """The sum over layers of a count, or of a mask of units."""
        return sum(int(torch.as_tensor(getattr(layer, field)).sum()) for layer in self.layers)

    @property
    def units(self) -> int:
        """Units that are left."""
        return sum(len(layer.gone) for layer in self.layers) - self.total("gone")


def topology(network: Network, selection: Selection | None = None) -> Topology:
    """The graph of units of a network, or of what is left of it without `selection`.

    Removed channels are seen in the masked twin, so that before and after have the same units. `network` is not
    modified.

    Parameters
    ----------
    selection : Selection, optional
        What is removed; nothing by default.
    """
    cut = selection or Selection()
    left = masked_twin(network, cut) if cut.channels or cut.weights else network
    before = find_paths(network)
    after = find_paths(left) if left is not network else before
    removed = removed_weights(network, cut)
    gone = _gone(network, cut)
    answers = output_layers(network.module)
    links_out = _links_out(left)
    layers = []
    for layer in network.layers:
        name = layer.name
        module = left.module.get_submodule(name)
        kept = left.weight(name) != 0
        links = links_of(module, kept)
        lost = removed[name] & (network.weight(name) != 0) & ~kept
        live, quiet = after.live(name), after.constant_links(name)
        deaf, unheard = ~after.varies_of(name) & ~gone[name], ~after.heard_of(name) & ~gone[name]
        layers.append(
            LayerTopology(
                name,
                links_in=links.sum(dim=1),
                weights_in=link_counts(module, kept).sum(dim=1),
                links_out=None if name in answers else links_out[name],
                gone=gone[name],
                deaf=deaf,
                unheard=unheard,
                constant=deaf & after.heard_of(name) & after.sources.says[name],
                nonzero=int(kept.sum()),
                stranded=int(kept.sum()) - weights_on(module, kept, live),
                constant_links=weights_on(module, kept, quiet),
                removed=int(lost.sum()),
                removed_live=weights_on(module, lost, before.live(name)),
                removed_alone=weights_on(module, lost, live),
                varies=after.inputs_vary(name) | (name in after.sources.tied),
                heard=after.heard_of(name),
                note=after.note(name),
            )
        )
    return Topology(tuple(layers))


def link_states(network: Network, selection: Selection | None, layer: LayerTopology) -> Tensor:
    """The :class:`State` of every link of a layer, (units, inputs) uint8, for a drawing."""
    cut = selection or Selection()
    module = network.module.get_submodule(layer.name)
    dense = network.weight(layer.name) != 0
    kept = dense & ~removed_weights(network, cut)[layer.name]
    states = torch.where(links_of(module, dense), int(State.REMOVED), int(State.ABSENT))
    live = layer.heard[:, None] & layer.varies[None, :]
    states = torch.where(links_of(module, kept), int(State.STRANDED), states)
    return torch.where(links_of(module, kept) & live, int(State.LIVE), states).to(torch.uint8)


def _links_out(network: Network) -> dict[str, Tensor]:
    """How many links of other layers read each unit, (units,) a layer; normalisations keep channels apart."""
    sources = find_sources(network, statistics=False)
    readers: dict[int, int] = {}
    for layer in network.layers:
        module = network.module.get_submodule(layer.name)
        reading = links_of(module, network.weight(layer.name) != 0).sum(dim=0)
        numbers, inverse = sources.heard[layer.name].unique(return_inverse=True)
        sums = torch.zeros(len(numbers), dtype=torch.int64).index_add(0, inverse, reading)
        for number, count in zip(numbers.tolist(), sums.tolist(), strict=True):
            if number != NOBODY:
                readers[int(number)] = readers.get(int(number), 0) + count
    count = np.zeros(INPUT + 1 + sum(_units(network, layer.name) for layer in network.layers), dtype=np.int64)
    for number, links in readers.items():
        count[list(sources.sets.members(number))] += links
    return {
        name: torch.from_numpy(count[first : first + _units(network, name)])
        for name, first in sources.first.items()
    }


def _units(network: Network, layer: str) -> int:
    return output_channels(network.module.get_submodule(layer))


def _gone(network: Network, selection: Selection) -> Mapping[str, Tensor]:
    """{layer: (units,) bool}, True for the channels that a selection removes."""
    gone = {
        layer.name: torch.zeros(_units(network, layer.name), dtype=torch.bool) for layer in network.layers
    }
    for name, channels in selection.channels.items():
        for part in network.group(name).slices:
            if part.side == "out" and part.module in gone:
                gone[part.module][sorted(part.positions(channels))] = True
    return gone
