"""The architecture as a Graphviz drawing: one box a layer, coupled layers in the same colour."""

from __future__ import annotations

import json
import operator

import torch
from torch import Tensor, fx

from analysis.network import LAYER_TYPES, Network, node_values
from ui.theme import Palette

_COUPLED = ("#0f9488", "#d97706", "#6366f1", "#e11d48", "#65a30d", "#0284c7")
_SIGNS: dict[object, str] = {
    operator.add: "+",
    operator.iadd: "+",
    torch.add: "+",
    operator.mul: "×",
    torch.mul: "×",
}


def dot(network: Network, palette: Palette) -> str:
    """The graph in the DOT language, top to bottom.

    Chains of modules without prunable weights (BatchNorm, activation, pooling) share one small box.
    """
    with torch.no_grad():
        values = node_values(network.module, network.example_input)
    colours = coupled_colours(network)
    chains = _chains(network)
    first_of = {node: chain[0] for chain in chains for node in chain}
    lines = [
        "digraph {",
        'rankdir=TB; bgcolor="transparent"; nodesep=0.25; ranksep=0.2;',
        'node [shape=box, style="rounded,filled", fontname="sans-serif", fontsize=11, height=0.25, '
        f'margin="0.1,0.04", color="{palette.grid}", fillcolor="{palette.zero}", fontcolor="{palette.text}"];',
        f'edge [color="{palette.muted}", arrowsize=0.5, fontname="sans-serif", fontsize=9, '
        f'fontcolor="{palette.muted}"];',
    ]
    for chain in chains:
        lines.append(f"{_id(chain[0])} [{_attributes(network, chain, values.get(chain[0]), colours)}];")
        for source in chain[0].all_input_nodes:
            label = " " + _shape(values.get(source)) if source.op != "placeholder" else ""
            lines.append(f"{_id(first_of[source])} -> {_id(chain[0])} [label={_text(label)}];")
    lines.append("}")
    return "\n".join(lines)


def coupled_colours(network: Network) -> dict[str, str]:
    """A colour for each layer of a group of several, the same within a group."""
    coupled = [g for g in network.groups if len(g.members) > 1]
    return {m: _COUPLED[i % len(_COUPLED)] for i, group in enumerate(coupled) for m in group.members}


def _chains(network: Network) -> list[list[fx.Node]]:
    """The nodes in order, consecutive quiet modules gathered."""
    chains: list[list[fx.Node]] = []
    chain_of: dict[fx.Node, list[fx.Node]] = {}
    for node in network.module.graph.nodes:
        sources = node.all_input_nodes
        if (
            _is_quiet(network, node)
            and len(sources) == 1
            and len(sources[0].users) == 1
            and _is_quiet(network, sources[0])
        ):
            chain = chain_of[sources[0]]
        else:
            chain = []
            chains.append(chain)
        chain.append(node)
        chain_of[node] = chain
    return chains


def _is_quiet(network: Network, node: fx.Node) -> bool:
    if node.op == "call_module":
        return not isinstance(network.module.get_submodule(str(node.target)), LAYER_TYPES)
    return node.op in ("call_function", "call_method") and len(node.all_input_nodes) == 1


def _attributes(network: Network, chain: list[fx.Node], value: object, colours: dict[str, str]) -> str:
    node = chain[0]
    if node.op == "placeholder":
        return f'label={_text("input " + _shape(value))}, shape=plaintext, style=""'
    if node.op == "output":
        return 'label="answer", shape=plaintext, style=""'
    if node.op == "call_module" and not _is_quiet(network, node):
        target = str(node.target)
        shape = " × ".join(str(side) for side in network.layer(target).shape)
        colour = colours.get(target)
        look = f', color="{colour}", penwidth=3' if colour else ", penwidth=1.5"
        text = f"{target}\n{network.layer(target).type}  {shape}"
        return f"label={_text(text)}, tooltip={_text(target)}{look}"
    if len(node.all_input_nodes) > 1:
        return f"label={_text(_name(network, node))}, shape=circle, margin=0.02"
    return f"label={_text(' · '.join(_name(network, n) for n in chain))}, fontsize=9"


def _name(network: Network, node: fx.Node) -> str:
    if node.op == "call_module":
        return type(network.module.get_submodule(str(node.target))).__name__
    return _SIGNS.get(node.target) or str(getattr(node.target, "__name__", node.target))


def _id(node: fx.Node) -> str:
    return json.dumps(node.name)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _shape(value: object) -> str:
    return " × ".join(str(side) for side in value.shape[1:]) if isinstance(value, Tensor) else ""
