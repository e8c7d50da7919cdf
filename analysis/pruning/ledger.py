"""Parameters and MACs of any channel plan by arithmetic: what a slider shows in every frame.

Each module costs so much for each pair of an output and an input channel and so much for each output
channel. A group's cut takes channels from some sides of some modules; the rest is multiplication.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from analysis.network import TRANSPOSED_TYPES, Group, Network, Side
from analysis.pruning.selection import removal_count

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True)
class Taking:
    """What a group takes from one side of a module: ``positions[k]`` when its first k channels go."""

    group: str
    side: Side
    positions: tuple[int, ...]


@dataclass(frozen=True)
class Entry:
    """One module that groups cut: its channels and what they cost.

    It has ``pair_parameters * outputs * inputs + output_parameters * outputs`` parameters, and MACs alike.
    """

    module: str
    outputs: int
    inputs: int
    pair_parameters: int
    output_parameters: int
    pair_macs: int
    output_macs: int
    takings: tuple[Taking, ...]


@dataclass(frozen=True)
class Ledger:
    """Counts of a network: of the modules that groups cut, and of everything else."""

    entries: tuple[Entry, ...]
    sizes: Mapping[str, int]
    other_parameters: int
    other_macs: int

    def count(self, ratios: Mapping[str, float]) -> tuple[int, int]:
        """Parameters and MACs when each group is cut by its ratio ({group: ratio})."""
        gone = {g: removal_count(size, ratios.get(g, 0.0), "channel") for g, size in self.sizes.items()}
        parameters, macs = self.other_parameters, self.other_macs
        for entry in self.entries:
            left = {"out": entry.outputs, "in": entry.inputs}
            for taking in entry.takings:
                left[taking.side] -= taking.positions[gone[taking.group]]
            pairs = left["out"] * left["in"]
            parameters += entry.pair_parameters * pairs + entry.output_parameters * left["out"]
            macs += entry.pair_macs * pairs + entry.output_macs * left["out"]
        return parameters, macs


def make_ledger(
    network: Network, orders: Mapping[str, tuple[int, ...]], layer_macs: Mapping[str, int]
) -> Ledger:
    """The ledger of a network.

    Parameters
    ----------
    orders : mapping
        For each group that can be cut, its channels from the least important on.
    layer_macs : mapping
        MACs by layer, and of the whole network under ``""``, as
        :func:`analysis.measure.cost.layer_macs` counts them.
    """
    groups = [network.group(name) for name in orders]
    cut = sorted({part.module for group in groups for part in group.slices})
    entries = tuple(_entry(network, name, groups, orders, layer_macs.get(name, 0)) for name in cut)
    dense = Ledger(entries, {group.name: group.size for group in groups}, 0, 0)
    parameters, macs = dense.count({})
    return Ledger(entries, dense.sizes, network.parameters() - parameters, layer_macs[""] - macs)


def _entry(
    network: Network,
    name: str,
    groups: list[Group],
    orders: Mapping[str, tuple[int, ...]],
    macs: int,
) -> Entry:
    module = network.module.get_submodule(name)
    takings = tuple(
        Taking(group.name, part.side, _cumulative(part.entries, orders[group.name]))
        for group in groups
        for part in group.slices
        if part.module == name
    )
    weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
    biases = 0 if bias is None else 1
    if isinstance(module, _BATCH_NORMS):
        return Entry(name, module.num_features, 1, 0, biases + (weight is not None), 0, 0, takings)
    assert weight is not None
    rows, columns = weight.shape[:2]
    if getattr(module, "groups", 1) > 1:  # depthwise: every channel has a kernel of its own
        kernel = weight[0].numel()
        return Entry(name, rows, 1, 0, kernel + biases, 0, macs // rows, takings)
    outputs, inputs = (columns, rows) if isinstance(module, TRANSPOSED_TYPES) else (rows, columns)
    pairs = outputs * inputs
    return Entry(name, outputs, inputs, weight.numel() // pairs, biases, macs // pairs, 0, takings)


def _cumulative(entries: tuple[tuple[int, ...], ...], order: tuple[int, ...]) -> tuple[int, ...]:
    """How many different positions the first 0, 1, 2, ... channels of `order` hold."""
    seen: set[int] = set()
    counts = [0]
    for channel in order:
        seen.update(entries[channel])
        counts.append(len(seen))
    return tuple(counts)
