"""What the nodes of a graph give, to tell sizes that are fixed from those that follow the examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from analysis.canonical.edits import replace


@dataclass(frozen=True)
class Seen:
    """What each node gave for two and for three examples: shapes of tensors, everything else as it is.

    Shapes are tuples; sizes that the network asked for stay a torch.Size, which tells the two apart.
    """

    two: dict[fx.Node, Any]
    three: dict[fx.Node, Any]

    def shape(self, node: Any) -> tuple[int, ...] | None:
        """The shape of a tensor for two examples; None if `node` gives no tensor."""
        value = self.two.get(node) if isinstance(node, fx.Node) else None
        return value if isinstance(value, tuple) and not isinstance(value, torch.Size) else None

    def stays(self, node: fx.Node) -> bool:
        """True if a node gives the same, whatever the number of examples."""
        return bool(self.two[node] == self.three[node])

    def is_fixed(self, node: fx.Node, dim: int) -> bool:
        """True if the size of a tensor along `dim` does not follow the number of examples."""
        return bool(self.two[node][dim] == self.three[node][dim])

    def copy(self, node: fx.Node, to: fx.Node) -> None:
        """`to` gives what `node` gives."""
        self.two[to], self.three[to] = self.two[node], self.three[node]

    def swap(self, module: fx.GraphModule, node: fx.Node, child: nn.Module, source: fx.Node) -> None:
        """Replace `node` by a module that reads `source`; what it gives stays known."""
        two, three = self.two[node], self.three[node]
        replacement = replace(module, node, child, source)
        self.two[replacement], self.three[replacement] = two, three


def observe(module: fx.GraphModule, example_input: Tensor) -> Seen:
    """Run the graph on two and on three times the example, shape (1, ...)."""
    return Seen(*(_Recorder(module).of(torch.cat([example_input] * n)) for n in (2, 3)))


class _Recorder(fx.Interpreter):
    @torch.no_grad()
    def of(self, inputs: Tensor) -> dict[fx.Node, Any]:
        self.seen: dict[fx.Node, Any] = {}
        self.run(inputs)
        return self.seen

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        self.seen[n] = _shapes(value)
        return value


def _shapes(value: Any) -> Any:
    if isinstance(value, Tensor):
        return tuple(value.shape)
    if isinstance(value, (tuple, list)) and not isinstance(value, torch.Size):
        return [_shapes(v) for v in value]
    return value
