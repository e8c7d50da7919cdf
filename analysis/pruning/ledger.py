"""Parameters and MACs of any channel plan by arithmetic: what a slider shows in every frame.

Each module costs so much for each pair of an output and an input channel and so much for each output
channel. A group's cut takes channels from some sides of some modules; the rest is multiplication.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate

from torch import Tensor, nn

from analysis.modules import Recurrent, Values
from analysis.network import LAYER_TYPES, TRANSPOSED_TYPES, Group, Network, Side
from analysis.pruning.plan import Pick
from analysis.pruning.selection import by_hand, removal_count


@dataclass(frozen=True)
class Taking:
    """What a group takes from one side of a module: ``positions[k]`` when k of its channels go."""

    group: str
    side: Side
    positions: tuple[int, ...]
    dim: int = 0


@dataclass(frozen=True)
class Entry:
    """One module that groups cut: its channels and what they cost.

    It has ``pair_parameters * outputs * inputs + output_parameters * outputs + square_parameters *
    outputs²`` parameters (a recurrent layer reads its own outputs), and MACs alike.
    """

    module: str
    outputs: int
    inputs: int
    pair_parameters: int
    output_parameters: int
    pair_macs: int
    output_macs: int
    takings: tuple[Taking, ...]
    square_parameters: int = 0
    square_macs: int = 0


@dataclass(frozen=True)
class Ledger:
    """Counts of a network: of the modules that groups cut, and of everything else.

    ``products[group][k]`` are the MACs outside of layers that go when k of a group's channels go. Of a group
    with picks, ``gone[group][k]`` channels go where its cut alone would remove k.
    """

    entries: tuple[Entry, ...]
    sizes: Mapping[str, int]
    floors: Mapping[str, int]
    products: Mapping[str, tuple[int, ...]]
    other_parameters: int
    other_macs: int
    gone: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def count(self, ratios: Mapping[str, float]) -> tuple[int, int]:
        """Parameters and MACs when each group is cut by its ratio ({group: ratio})."""
        gone = {group: self._gone(group, ratios.get(group, 0.0)) for group in self.sizes}
        parameters = self.other_parameters
        macs = self.other_macs - sum(taken[gone[group]] for group, taken in self.products.items())
        for entry in self.entries:
            left = {"out": entry.outputs, "in": entry.inputs}
            for taking in entry.takings:
                left[taking.side] -= taking.positions[gone[taking.group]]
            pairs, squares = left["out"] * left["in"], left["out"] ** 2
            parameters += entry.pair_parameters * pairs + entry.output_parameters * left["out"]
            parameters += entry.square_parameters * squares
            macs += entry.pair_macs * pairs + entry.output_macs * left["out"] + entry.square_macs * squares
        return parameters, macs

    def _gone(self, group: str, ratio: float) -> int:
        count = removal_count(self.sizes[group], ratio, "channel", self.floors[group])
        return self.gone[group][count] if group in self.gone else count


def make_ledger(
    network: Network,
    orders: Mapping[str, tuple[int, ...]],
    layer_macs: Mapping[str, int],
    picks: Sequence[Pick] = (),
) -> Ledger:
    """The ledger of a network.

    Parameters
    ----------
    orders : mapping
        For each group that can be cut, its channels from the least important on.
    layer_macs : mapping
        MACs by layer, and of the whole network under ``""``, as
        :func:`analysis.measure.cost.layer_macs` counts them.
    picks : sequence of Pick, optional
        Channels of these groups that are removed or kept by hand.
    """
    chosen = {name: [pick for pick in picks if pick.target == name] for name in orders}
    really = {name: by_hand(order, chosen[name]) for name, order in orders.items()}
    orders = {name: order for name, (order, _) in really.items()}
    gone = {name: table for name, (_, table) in really.items() if chosen[name]}
    groups = [network.group(name) for name in orders]
    cut = sorted({part.module for group in groups for part in group.slices})
    entries = tuple(
        _entry(
            network.module.get_submodule(name), name, _takings(name, groups, orders), layer_macs.get(name, 0)
        )
        for name in cut
        if any(True for _ in network.module.get_submodule(name).parameters())  # else it costs nothing
    )
    products = {
        group.name: tuple(accumulate((group.product_macs[c] for c in orders[group.name]), initial=0))
        for group in groups
        if group.product_macs
    }
    sizes = {group.name: group.size for group in groups}
    dense = Ledger(entries, sizes, {group.name: group.floor for group in groups}, products, 0, 0)
    parameters, macs = dense.count({})  # without picks: of the whole network
    return replace(
        dense, other_parameters=network.parameters() - parameters, other_macs=layer_macs[""] - macs, gone=gone
    )


def _takings(name: str, groups: list[Group], orders: Mapping[str, tuple[int, ...]]) -> tuple[Taking, ...]:
    return tuple(
        Taking(group.name, part.side, _cumulative(part.entries, orders[group.name]), part.dim)
        for group in groups
        for part in group.slices
        if part.module == name
    )


def _entry(module: nn.Module, name: str, takings: tuple[Taking, ...], macs: int) -> Entry:
    if not isinstance(module, LAYER_TYPES):  # a normalisation, or values of their own: so much a channel
        sizes = [parameter.numel() for parameter in module.parameters()]
        outputs = module.value.shape[takings[0].dim] if isinstance(module, Values) else sizes[0]
        return Entry(name, outputs, 1, 0, sum(sizes) // outputs, 0, 0, takings)
    weight = module.weight
    assert isinstance(weight, Tensor)
    biases = 0 if getattr(module, "bias", None) is None else 1
    if isinstance(module, Recurrent):
        units, gates = module.hidden_size, module.gates
        each = macs // (units * (module.input_size + units))
        biases = 0 if module.bias_ih is None else 2 * gates
        return Entry(name, units, module.input_size, gates, biases, each, 0, takings, gates, each)
    if isinstance(module, nn.Embedding):
        return Entry(name, module.embedding_dim, 1, 0, module.num_embeddings, 0, 0, takings)
    if getattr(module, "groups", 1) > 1:  # each output has a kernel of its own over its block's inputs
        outputs = int(module.out_channels)  # type: ignore[arg-type]
        return Entry(name, outputs, 1, 0, weight.numel() // outputs + biases, 0, macs // outputs, takings)
    rows, columns = weight.shape[:2]
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
