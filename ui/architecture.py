"""The architecture as a Graphviz drawing: one box a module, coupled layers in the same colour."""

from __future__ import annotations

import json
import operator

import torch
from torch import Tensor, fx

from analysis.network import LAYER_TYPES, Network, node_values
from ui.theme import Palette

_COUPLED = ("#0f766e", "#b45309", "#4338ca", "#be123c", "#4d7c0f", "#0369a1")
_SIGNS: dict[object, str] = {
    operator.add: "+",
    operator.iadd: "+",
    torch.add: "+",
    operator.mul: "×",
    torch.mul: "×",
}


def dot(network: Network, palette: Palette) -> str:
    """The graph in the DOT language, top to bottom; quiet modules are folded into short labels."""
    with torch.no_grad():
        values = node_values(network.module, network.example_input)
    colours = coupled_colours(network)
    lines = [
        "digraph {",
        'rankdir=TB; bgcolor="transparent"; nodesep=0.25; ranksep=0.22;',
        f'node [shape=box, style="rounded,filled", fontname="sans-serif", fontsize=11, height=0.3, '
        f'margin="0.12,0.05", color="{palette.grid}", fillcolor="{palette.zero}", fontcolor="{palette.text}"];',
        f'edge [color="{palette.muted}", arrowsize=0.6, fontname="sans-serif", fontsize=9, fontcolor="{palette.muted}"];',
    ]
    for node in network.module.graph.nodes:
        lines.append(f"{_id(node)} [{_attributes(network, node, values.get(node), colours)}];")
        for source in node.all_input_nodes:
            label = _shape(values.get(source))
            lines.append(f"{_id(source)} -> {_id(node)} [label={_text(' ' + label)}];")
    lines.append("}")
    return "\n".join(lines)


def coupled_colours(network: Network) -> dict[str, str]:
    """A colour for each layer of a group of several, the same within a group."""
    coupled = [g for g in network.groups if len(g.members) > 1]
    return {m: _COUPLED[i % len(_COUPLED)] for i, group in enumerate(coupled) for m in group.members}


def _attributes(network: Network, node: fx.Node, value: object, colours: dict[str, str]) -> str:
    if node.op == "placeholder":
        return f'label={_text("input " + _shape(value))}, shape=plaintext, style=""'
    if node.op == "output":
        return 'label="answer", shape=plaintext, style=""'
    if node.op != "call_module":
        sign = _SIGNS.get(node.target)
        label = sign or str(getattr(node.target, "__name__", node.target))
        return f"label={_text(label)}" + (", shape=circle, margin=0.02" if sign else "")
    target = str(node.target)
    module = network.module.get_submodule(target)
    kind = type(module).__name__
    if not isinstance(module, LAYER_TYPES):
        return f"label={_text(kind)}, fontsize=10"
    shape = " × ".join(str(side) for side in network.layer(target).shape)
    text = _text(f"{target}\n{kind}  {shape}")
    colour = colours.get(target)
    look = f', color="{colour}", penwidth=3' if colour else ", penwidth=1.5"
    return f'label={text}, tooltip="{target}"{look}'


def _id(node: fx.Node) -> str:
    return json.dumps(node.name)


def _text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _shape(value: object) -> str:
    return " × ".join(str(side) for side in value.shape[1:]) if isinstance(value, Tensor) else ""
