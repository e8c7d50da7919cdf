"""Values inside a network looked at as they are computed, so that never all of them are held at once."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, fx

from analysis.network import Network, node_values
from analysis.pruning.groups import random_inputs

Look = Callable[[fx.Node, Any], None]
_SAME = 1e-3  # of the largest value: rows computed together and alone


def visit(module: fx.GraphModule, inputs: Tensor, wanted: Collection[fx.Node], look: Look) -> None:
    """Run the graph without hooks; `look` is given each wanted node with what it computed, in the graph's order."""
    with torch.no_grad():
        _Visitor(module, wanted, look).run(inputs)


class _Visitor(fx.Interpreter):
    """Drops each value after its last use, as an ordinary run does."""

    def __init__(self, module: fx.GraphModule, wanted: Collection[fx.Node], look: Look) -> None:
        super().__init__(module)
        self.wanted, self.look = wanted, look

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        if n in self.wanted:
            self.look(n, value)
        return value


@torch.no_grad()
def example_dims(network: Network, nodes: set[fx.Node]) -> dict[fx.Node, int]:
    """The dimension of each node's value that counts the examples, found by running two together and alone.

    Examples may have been folded into it with positions (N * T): they stand one after the other. Nodes
    whose values do not come example by example (a position embedding) are left out.
    """
    inputs = random_inputs(network, 2)
    together = node_values(network.module, inputs, nodes)
    alone = [node_values(network.module, inputs[i : i + 1], nodes) for i in range(2)]
    found = {}
    for node in nodes:
        both, (first, second) = together[node], (values[node] for values in alone)
        if not isinstance(both, Tensor) or both.dim() != first.dim():
            continue
        grown = [dim for dim in range(both.dim()) if both.shape[dim] != first.shape[dim]]
        if len(grown) != 1 or both.shape[grown[0]] != 2 * first.shape[grown[0]]:
            continue
        expected = torch.cat([rows(first, grown[0], 1), rows(second, grown[0], 1)])
        scale = float(expected.abs().max()) if expected.numel() else 0.0
        if torch.allclose(rows(both, grown[0], 2), expected, rtol=_SAME, atol=_SAME * scale):
            found[node] = grown[0]
    return found


def rows(values: Tensor, dim: int, examples: int) -> Tensor:
    """Values as (examples, features), where dimension `dim` counts the examples."""
    return values.movedim(dim, 0).reshape(examples, -1)
