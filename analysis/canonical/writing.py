"""Calls in one style: by position, without writing into tensors, without chance."""

from __future__ import annotations

import operator
from typing import Any

import torch.nn.functional as F
from torch import Tensor, fx

from analysis.canonical.edits import hand_on, hand_over

DROPOUTS = (F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout)
_WRITING: dict[Any, Any] = {
    operator.iadd: operator.add,
    operator.isub: operator.sub,
    operator.imul: operator.mul,
    operator.itruediv: operator.truediv,
    operator.ifloordiv: operator.floordiv,
    operator.imod: operator.mod,
    operator.ipow: operator.pow,
}


def clean(module: fx.GraphModule) -> None:
    """Leave out what nothing reads, but for calls that change a tensor."""
    module.graph.eliminate_dead_code(lambda node: node.is_impure() or _writes(node))
    module.recompile()


def positional_calls(module: fx.GraphModule) -> None:
    """``layer(input=x)`` becomes ``layer(x)``."""
    for node in module.graph.nodes:
        if node.op == "call_module" and not node.args and len(node.kwargs) == 1:
            node.args, node.kwargs = tuple(node.kwargs.values()), {}


def without_writing(module: fx.GraphModule) -> None:
    """``y.add_(x)`` and ``y += x`` become ``y.add(x)`` and ``y + x``, and later readers read the result."""
    for node in list(module.graph.nodes):
        if not _writes(node) or not isinstance(node.args[0], fx.Node):
            continue
        plain = _plain(node)
        if plain is not None:
            hand_on(node.args[0], node)
            node.target = plain


def without_dropout_calls(module: fx.GraphModule) -> None:
    """A functional dropout is on unless told otherwise, even in eval mode: answers would be random."""
    for node in list(module.graph.nodes):
        if node.op == "call_function" and node.target in DROPOUTS:
            hand_over(node, node.args[0] if node.args else node.kwargs["input"])
    module.recompile()


def _writes(node: fx.Node) -> bool:
    """True if a call changes a tensor that others may read."""
    if node.op == "call_method":
        return str(node.target).endswith("_")
    return node.op == "call_function" and (node.target is operator.setitem or node.target in _WRITING)


def _plain(node: fx.Node) -> Any:
    """What computes the same without writing; None if nothing does."""
    if node.op == "call_function":
        return _WRITING.get(node.target)
    name = str(node.target).removesuffix("_")
    return name if hasattr(Tensor, name) else None
