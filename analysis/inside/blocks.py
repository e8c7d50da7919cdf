"""Blocks that could be skipped: stretches of the graph after which the values have the shape they had before.

Two kinds. A *residual* block is what an addition adds to a shortcut: without it the shortcut is kept alone. A
*stretch* is one layer, or the fewest in a row, with what follows it up to its activation: without it what it
reads is handed on as it is.
"""

from __future__ import annotations

import operator
from collections import Counter
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, Literal

import torch
from torch import Tensor, fx

from analysis.importance.signals import is_activation
from analysis.network import BATCH_NORM_TYPES, LAYER_TYPES, Network, from_graph, node_values

_ADDITIONS: tuple[Any, ...] = (operator.add, operator.iadd, torch.add)
_ADDING_METHODS = ("add", "add_")
_NAMED = 3  # layers that are named one by one


@dataclass(frozen=True)
class Block:
    """A part of the graph that can be skipped.

    Parameters
    ----------
    layers : tuple of str
        The layers that nothing needs any more without it, in their order.
    replaced, kept : str
        Graph nodes: without the block, what reads `replaced` reads `kept`.
    exit : str
        The node at which it hands on: `replaced`, or the activation that follows an addition.
    connections : int
        Weights of its layers.
    """

    name: str
    kind: Literal["residual", "stretch"]
    layers: tuple[str, ...]
    replaced: str
    kept: str
    exit: str
    connections: int


def find_blocks(network: Network) -> tuple[Block, ...]:
    """Every block of a network that can be skipped, in the order of the graph; empty if there is none.

    A block that holds all layers is none.
    """
    flow = _Flow(network)
    found = [*_residuals(flow), *_stretches(flow)]
    place = {node.name: i for i, node in enumerate(network.module.graph.nodes)}
    found.sort(key=lambda entry: place[entry[1].name])
    blocks = []
    for kind, replaced, kept, exit_ in found:
        calls = flow.needless(replaced, kept)
        layers = tuple(dict.fromkeys(str(node.target) for node in calls if flow.is_layer(node)))
        if not layers or not flow.remaining(calls):
            continue
        connections = sum(network.layer(name).connections for name in layers)
        name = _name(layers, [layer.name for layer in network.layers])
        blocks.append(Block(name, kind, layers, replaced.name, kept.name, exit_.name, connections))
    return _told_apart(blocks)


def without(network: Network, block: Block) -> Network:
    """The network with a block skipped; all modules are shared with `network`, which is not modified."""
    source = network.module
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    answer: Any = graph.graph_copy(source.graph, copies)
    graph.output(answer)
    replaced, kept = (_node(network, name) for name in (block.replaced, block.kept))
    copies[replaced].replace_all_uses_with(copies[kept])
    skipped = fx.GraphModule(source, graph)
    skipped.graph.eliminate_dead_code()
    return from_graph(network.name, fx.GraphModule(skipped, skipped.graph), network.example_input)


class _Flow:
    """How data runs through a graph: which nodes depend on the input, their shapes and where paths meet."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.nodes = list(network.module.graph.nodes)
        self.output = next(node for node in self.nodes if node.op == "output")
        example = network.example_input
        with torch.no_grad():
            values = node_values(network.module, torch.cat([example, example]))
        self.shapes = {
            node: tuple(value.shape)
            for node, value in values.items()
            if isinstance(value, Tensor) and value.is_floating_point()
        }
        self.fed: set[fx.Node] = set()  # tensors that depend on the input
        self.depth: dict[fx.Node, int] = {}  # the fewest layers on a way from the input
        for node in self.nodes:
            sources = [source for source in node.all_input_nodes if source in self.fed]
            if node.op != "placeholder" and not sources:
                continue
            if node.op not in ("placeholder", "output") and not _holds_tensor(values[node]):
                continue
            self.fed.add(node)
            self.depth[node] = min((self.depth[s] for s in sources), default=0) + self.is_layer(node)

    def is_layer(self, node: fx.Node) -> bool:
        """True for a call of a layer."""
        return node.op == "call_module" and isinstance(self.module(node), LAYER_TYPES)

    def module(self, node: fx.Node) -> torch.nn.Module:
        """The module that a node calls."""
        return self.network.module.get_submodule(str(node.target))

    def same_shape(self, one: fx.Node, other: fx.Node) -> bool:
        """True if both are float tensors of one shape."""
        return one in self.shapes and self.shapes[one] == self.shapes.get(other)

    def needless(self, replaced: fx.Node, kept: fx.Node) -> list[fx.Node]:
        """The nodes that the answer does not need once `kept` stands in for `replaced`."""
        needed = {self.output}
        pending = [self.output]
        while pending:
            for source in pending.pop().all_input_nodes:
                standing_in = kept if source is replaced else source
                if standing_in not in needed:
                    needed.add(standing_in)
                    pending.append(standing_in)
        return [node for node in self.nodes if node not in needed]

    def remaining(self, gone: list[fx.Node]) -> bool:
        """True if a layer is called elsewhere too."""
        left = set(gone)
        return any(self.is_layer(node) and node not in left for node in self.nodes)

    def crossings(self) -> list[fx.Node]:
        """The nodes through which everything passes on its way from the input to the answer, in order."""
        last = {source: i for i, node in enumerate(self.nodes) for source in node.all_input_nodes}
        alive: set[fx.Node] = set()
        found = []
        for i, node in enumerate(self.nodes):
            if node in self.fed and node in last:
                alive.add(node)
            alive = {other for other in alive if last[other] > i}
            if alive == {node}:
                found.append(node)
        return found


_Found = tuple[Literal["residual", "stretch"], fx.Node, fx.Node, fx.Node]


def _residuals(flow: _Flow) -> list[_Found]:
    """Additions in which one side comes past fewer layers than the other: the shortcut."""
    found: list[_Found] = []
    for node in flow.nodes:
        if not _adds(node):
            continue
        operands = [source for source in node.args[:2] if isinstance(source, fx.Node)]
        if len(set(operands)) < 2 or not all(o in flow.fed and flow.same_shape(o, node) for o in operands):
            continue
        shortcut, other = sorted(operands, key=lambda o: flow.depth[o])
        if flow.depth[shortcut] < flow.depth[other]:
            found.append(("residual", node, shortcut, _exit(flow, node)))
    return found


def _adds(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in _ADDING_METHODS
    return node.op == "call_function" and node.target in _ADDITIONS


def _exit(flow: _Flow, addition: fx.Node) -> fx.Node:
    """The activation after an addition, if nothing else reads the sum."""
    users = list(addition.users)
    if len(users) == 1 and users[0].op == "call_module" and is_activation(flow.module(users[0])):
        return users[0]
    return addition


def _stretches(flow: _Flow) -> list[_Found]:
    """From each layer on the main road to the nearest place, from there on, where the shape is as before."""
    crossings = flow.crossings()
    on_road = set(crossings)
    units = []
    for node in crossings:
        if flow.is_layer(node):
            start = next(source for source in node.all_input_nodes if source in flow.fed)
            if start in on_road and flow.depth[start]:  # the data themselves are no layer's values
                units.append((start, _end(flow, node, on_road)))
    found: list[_Found] = []
    for i, (start, _) in enumerate(units):
        end = next((end for _, end in units[i:] if flow.same_shape(start, end)), None)
        if end is not None:
            found.append(("stretch", end, start, end))
    return found


def _end(flow: _Flow, layer: fx.Node, on_road: set[fx.Node]) -> fx.Node:
    """The last node that belongs to a layer: its BatchNorm, then its activation."""
    node = layer
    while True:
        users = [user for user in node.users if user in flow.fed]
        if len(users) != 1 or users[0] not in on_road or users[0].op != "call_module":
            return node
        module = flow.module(users[0])
        if is_activation(module):
            return users[0]
        if not isinstance(module, BATCH_NORM_TYPES):
            return node
        node = users[0]


def _name(layers: tuple[str, ...], every: list[str]) -> str:
    """The module that holds these layers and no others; or the layers, behind the module they share."""
    parts = zip(*(layer.split(".")[:-1] for layer in layers), strict=False)
    shared = takewhile(lambda names: len(set(names)) == 1, parts)
    prefix = "".join(names[0] + "." for names in shared)
    if prefix and len(layers) > 1 and sum(layer.startswith(prefix) for layer in every) == len(layers):
        return prefix[:-1]
    short = [layer.removeprefix(prefix) for layer in layers]
    listed = " + ".join(short) if len(short) <= _NAMED else f"{short[0]} … {short[-1]}"
    if len(layers) == 1:
        return layers[0]
    return f"{prefix[:-1]} ({listed})" if prefix else listed


def _told_apart(blocks: list[Block]) -> tuple[Block, ...]:
    """The blocks with a number behind a name that several have."""
    counts = Counter(block.name for block in blocks)
    seen: Counter[str] = Counter()
    named = []
    for block in blocks:
        seen[block.name] += 1
        several = counts[block.name] > 1
        named.append(replace(block, name=f"{block.name} ({seen[block.name]})") if several else block)
    return tuple(named)


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        return any(_holds_tensor(entry) for entry in value)
    return isinstance(value, Tensor)


def _node(network: Network, name: str) -> fx.Node:
    return next(node for node in network.module.graph.nodes if node.name == name)
