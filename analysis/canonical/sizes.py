"""Sizes that are fixed become numbers, and the movements they belong to become modules."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from analysis.canonical import movements
from analysis.canonical.seen import Seen, observe

_MOVEMENTS: dict[Any, Callable[[fx.GraphModule, fx.Node, Seen], None]] = {
    **dict.fromkeys(("view", "reshape", "unflatten", torch.reshape, torch.unflatten), movements.reshape),
    **dict.fromkeys(
        ("chunk", "split", "tensor_split", torch.chunk, torch.split, torch.tensor_split), movements.split
    ),
    operator.getitem: movements.take,
    "narrow": movements.narrow,
    torch.narrow: movements.narrow,
    F.pad: movements.pad,
    "expand": movements.expand,
}
_ASKING = ("size", "dim", "ndimension", "numel", "nelement")
_ATTRIBUTES = ("shape", "ndim")


def sizes_as_modules(module: fx.GraphModule, example_input: Tensor) -> None:
    """Reshapes, splits, ranges and paddings become modules wherever their sizes are fixed."""
    seen = observe(module, example_input)
    _fixed_numbers(module, seen)
    for node in list(module.graph.nodes):
        if node.op == "call_module" and isinstance(module.get_submodule(node.target), nn.Unflatten):
            movements.reshape(module, node, seen)
        elif node.op in ("call_function", "call_method") and node.target in _MOVEMENTS:
            _MOVEMENTS[node.target](module, node, seen)


def _fixed_numbers(module: fx.GraphModule, seen: Seen) -> None:
    """``x.shape[1]`` becomes the number it is: it must stay what it was when channels go."""
    for node in list(module.graph.nodes):
        value = seen.two[node]
        numbers = value if isinstance(value, torch.Size) else (value,)
        if node.op in ("placeholder", "output") or not all(isinstance(n, (int, float)) for n in numbers):
            continue
        if node.users and seen.stays(node) and _is_of_sizes(node, seen):
            fixed = tuple(value) if isinstance(value, torch.Size) else value
            for user in list(node.users):
                _put(user, node, fixed)


def _is_of_sizes(node: fx.Node, seen: Seen) -> bool:
    """True for a number of fixed sizes; one of values or of the number of examples can differ next time."""
    if any(seen.shape(read) is not None for read in node.all_input_nodes):
        attribute = node.args[1] if node.target is getattr else ""
        return (node.op == "call_method" and node.target in _ASKING) or attribute in _ATTRIBUTES
    return node.target is operator.getitem or not node.all_input_nodes  # fixed numbers are no nodes any more


def _put(user: fx.Node, node: fx.Node, value: Any) -> None:
    """Let `user` read a number instead of a node."""

    def swap(argument: Any) -> Any:
        if argument is node:
            return value
        if isinstance(argument, slice):
            return slice(swap(argument.start), swap(argument.stop), swap(argument.step))
        if isinstance(argument, (tuple, list)):
            return type(argument)(swap(part) for part in argument)
        return {k: swap(v) for k, v in argument.items()} if isinstance(argument, dict) else argument

    user.args, user.kwargs = swap(tuple(user.args)), swap(dict(user.kwargs))
