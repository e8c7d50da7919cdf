"""The graph of a network as the source of a forward pass."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx

from analysis.errors import ExportError
from analysis.export.literals import REMEDY, bracketed, is_name, literal, path

_INFIX: dict[Any, str] = {
    operator.add: "+",
    operator.sub: "-",
    operator.mul: "*",
    operator.truediv: "/",
    operator.floordiv: "//",
    operator.mod: "%",
    operator.pow: "**",
    operator.matmul: "@",
}
_NAMESPACES = {
    "torch": torch,
    "F": F,
    "operator": operator,
    "math": math,
    "torch.linalg": torch.linalg,
    "torch.special": torch.special,
    "torch.fft": torch.fft,
}
_BUILTINS: dict[Any, str] = {
    kind: kind.__name__ for kind in (abs, bool, float, int, len, max, min, round, sum, tuple, list)
}
_RESERVED = {"self", "nn", "torch", "Tensor", "json", "Part", "Network", *_NAMESPACES, *_BUILTINS.values()}


def _names_of_functions() -> dict[Any, str]:
    """What public functions are called, by themselves."""
    found = dict(_BUILTINS)
    for space, module in _NAMESPACES.items():
        for name, value in vars(module).items():
            if callable(value) and not isinstance(value, type) and is_name(name) and not name.startswith("_"):
                found.setdefault(value, f"{space}.{name}")
    return found


_FUNCTIONS = _names_of_functions()


@dataclass(eq=False)
class Forward:
    """The lines of a forward pass while they are written; `lines` begins with its head."""

    module: fx.GraphModule
    lines: list[str] = field(default_factory=list)
    names: dict[fx.Node, str] = field(default_factory=dict)

    def value(self, argument: Any) -> str:
        """Source of an argument: the names of other values, or what is fixed."""
        if isinstance(argument, fx.Node):
            return self.names[argument]
        if isinstance(argument, slice):
            return f"slice({', '.join(map(self.value, (argument.start, argument.stop, argument.step)))})"
        if isinstance(argument, tuple):
            return bracketed([self.value(part) for part in argument])
        if isinstance(argument, list):
            return f"[{', '.join(map(self.value, argument))}]"
        return literal(argument)

    def call(self, node: fx.Node) -> str:
        """Source of one call of the graph."""
        target: Any = node.target
        if node.op == "get_attr":
            return path(str(target))
        if node.op == "call_module":
            return f"{path(str(target))}({self._arguments(node.args, node)})"
        if node.op == "call_method":
            if not is_name(target) or target.startswith("_") or not hasattr(Tensor, target):
                raise ExportError(f"The network calls the method {target!r}, which no tensor has. {REMEDY}")
            return f"{self._atom(node.args[0])}.{target}({self._arguments(node.args[1:], node)})"
        return self._function(target, node)

    def _function(self, target: Any, node: fx.Node) -> str:
        if target in _INFIX and len(node.args) == 2 and not node.kwargs:
            left, right = map(self._atom, node.args)
            return f"{left} {_INFIX[target]} {right}"
        if target is operator.getitem:
            return f"{self._atom(node.args[0])}[{self._index(node.args[1])}]"
        if target is getattr and len(node.args) == 2 and isinstance(node.args[1], str):
            if is_name(node.args[1]) and not node.args[1].startswith("_") and hasattr(Tensor, node.args[1]):
                return f"{self._atom(node.args[0])}.{node.args[1]}"
        elif target in _FUNCTIONS:
            return f"{_FUNCTIONS[target]}({self._arguments(node.args, node)})"
        name = getattr(target, "__name__", type(target).__name__)
        raise ExportError(f"The network calls {name!r}, which is no public function of torch. {REMEDY}")

    def _arguments(self, given: tuple[Any, ...], node: fx.Node) -> str:
        if not all(map(is_name, node.kwargs)):
            raise ExportError(f"A call of the network names its arguments {list(node.kwargs)}. {REMEDY}")
        named = (f"{name}={self.value(argument)}" for name, argument in node.kwargs.items())
        return ", ".join([*map(self.value, given), *named])

    def _atom(self, argument: Any) -> str:
        written = self.value(argument)
        return written if isinstance(argument, fx.Node) else f"({written})"

    def _index(self, index: Any) -> str:
        if isinstance(index, tuple) and index:
            return ", ".join(map(self._range, index)) + ("," if len(index) == 1 else "")
        return self._range(index)

    def _range(self, part: Any) -> str:
        if not isinstance(part, slice):
            return self.value(part)
        ends = ["" if end is None else self.value(end) for end in (part.start, part.stop, part.step)]
        return ":".join(ends if part.step is not None else ends[:2])


def forward_source(module: fx.GraphModule) -> list[str]:
    """The lines of a method ``forward`` that does what the graph does.

    Raises
    ------
    ExportError
        If it calls what is neither a module, a method of tensors nor a public function of torch.
    """
    forward = Forward(module)
    fresh = _fresh_names()
    for node in module.graph.nodes:
        if node.op == "output":
            forward.lines.append(f"    return {forward.value(node.args[0])}")
            continue
        forward.names[node] = fresh(node.name)
        if node.op == "placeholder":
            if forward.lines:
                raise ExportError(f"The network reads several inputs. {REMEDY}")
            forward.lines.append(f"def forward(self, {forward.names[node]}):")
        else:
            forward.lines.append(f"    {forward.names[node]} = {forward.call(node)}")
    return forward.lines


def _fresh_names() -> Callable[[str], str]:
    taken = set(_RESERVED)

    def fresh(wanted: str) -> str:
        base = name = wanted if is_name(wanted) else "value"
        for count in _counting():
            if name not in taken:
                break
            name = f"{base}_{count}"
        taken.add(name)
        return name

    return fresh


def _counting() -> Iterator[int]:
    count = 1
    while True:
        yield count
        count += 1
