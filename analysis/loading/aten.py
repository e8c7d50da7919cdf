"""The allow-list: every ATen operator that a .pt2 file may call, and how it becomes a module or a public function.

A new operator is one line in the table of its family: weights (`pt2_layers`), recurrent (`pt2_recurrent`),
activations and pooling (`pt2_leaves`), functions with the same arguments (`pt2_plain`) or others (`pt2_functions`).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from analysis.errors import NetworkError
from analysis.loading import pt2_functions, pt2_layers, pt2_leaves, pt2_plain, pt2_recurrent
from analysis.loading.pt2_build import Builder
from analysis.loading.pt2_json import shown
from analysis.loading.pt2_schema import Call, Ref
from analysis.loading.pt2_step import Result, Step, bind, schema, shares_memory, where

HANDLERS: dict[str, Callable[[Step], Result]] = {
    **pt2_plain.HANDLERS,
    **pt2_functions.HANDLERS,
    **pt2_leaves.HANDLERS,
    **pt2_layers.HANDLERS,
    **pt2_recurrent.HANDLERS,
}

# Arithmetic on sizes: plain Python numbers at run time, never expressions to be parsed.
SYMBOLIC: dict[str, Callable[..., Any]] = {
    **{
        f"_operator.{name}": getattr(operator, name)
        for name in (
            "add",
            "sub",
            "mul",
            "floordiv",
            "mod",
            "neg",
            "truediv",
            "eq",
            "ne",
            "le",
            "ge",
            "lt",
            "gt",
        )
    },
    "math.trunc": math.trunc,
    "torch.sym_int": torch.sym_int,
    "torch.sym_float": torch.sym_float,
    "torch.sym_max": torch.sym_max,
    "torch.sym_min": torch.sym_min,
    "torch.sym_not": torch.sym_not,
}
_BINARY_ARGUMENTS = 2

# Checks of the exported program's own assumptions: they compute nothing.
DROPPED = {
    f"torch.ops.aten.{name}"
    for name in (
        "_assert_async.default",
        "_assert_async.msg",
        "_assert_scalar.default",
        "_assert_tensor_metadata.default",
        "sym_constrain_range.default",
        "sym_constrain_range_for_size.default",
    )
}

_ATEN = "torch.ops.aten."
_DROPOUTS = (
    "dropout.default",
    "feature_dropout.default",
    "alpha_dropout.default",
    "feature_alpha_dropout.default",
)


def emit(builder: Builder, call: Call, position: int) -> None:
    """Add one call to the graph under construction.

    Raises
    ------
    NetworkError
        If its operator is not on the list, its arguments do not fit the operator's schema, or it writes
        in place where other values look on.
    """
    if call.target in DROPPED:
        return
    if call.target in SYMBOLIC:
        _define(builder, call, _symbolic(builder, call), None)
        return
    name = call.target.removeprefix(_ATEN)
    in_place = _in_place(name)
    plain = name.replace("_.", ".", 1) if in_place else name
    if not call.target.startswith(_ATEN) or plain not in HANDLERS:
        raise _unknown(call)
    step = bind(builder, call, plain)
    result = HANDLERS[plain](step)
    first = next(iter(step.arguments.values()), None)
    if in_place and isinstance(first, Ref) and isinstance(result, fx.Node) and not plain.startswith("detach"):
        builder.overwrite(first.name, result, position)
    shares = in_place or shares_memory(plain) or plain in _DROPOUTS
    _define(builder, call, result, first.name if shares and isinstance(first, Ref) else None)


def _in_place(name: str) -> bool:
    """True for "relu_.default": the operator that writes its result over its first argument."""
    base = name.partition(".")[0]
    return base.endswith("_") and name.replace("_.", ".", 1) in HANDLERS


def _symbolic(builder: Builder, call: Call) -> fx.Node:
    values = [argument.value for argument in call.arguments]
    if not 1 <= len(values) <= _BINARY_ARGUMENTS or not all(isinstance(v, int | float | Ref) for v in values):
        raise NetworkError(f"{shown(call.target)} should compute with two numbers. Save the model again.")
    return builder.graph.call_function(SYMBOLIC[call.target], tuple(builder.argument(v) for v in values))


def _define(builder: Builder, call: Call, result: Result, shares_with: str | None) -> None:
    """Give the results of a call the names that the file has for them."""
    if isinstance(result, tuple):
        if len(call.outputs) > len(result):
            raise NetworkError(
                f"{shown(call.target)} returns fewer values than the file names. Save the model again."
            )
        for name, value in zip(call.outputs, result, strict=False):
            if isinstance(name, str):
                builder.define(name, value, shares_with)
        return
    outputs = call.outputs
    if len(outputs) == 1 and isinstance(outputs[0], str) and _returns(call) == 1:
        builder.define(outputs[0], result, shares_with)
        return
    names = outputs[0] if len(outputs) == 1 and isinstance(outputs[0], tuple) else outputs
    for place, name in enumerate(names):
        if isinstance(name, str):
            item = builder.graph.call_function(operator.getitem, (result, place))
            builder.define(name, item, shares_with)


def _returns(call: Call) -> int:
    """How many values the operator itself returns; a list counts as many."""
    if call.target in SYMBOLIC:
        return 1
    returns = schema(call.target.removeprefix(_ATEN)).returns
    return 1 if len(returns) == 1 and not str(returns[0].type).startswith("List") else 2


def _unknown(call: Call) -> NetworkError:
    if call.target.startswith("torch.ops.higher_order"):
        remedy = "Call the model without torch.no_grad(), autocast, cond or map inside its forward"
    else:
        remedy = "Express it with the usual torch functions"
    return NetworkError(
        f"The operator {shown(call.target, 80)}{where(call)} is not on the list of operators that are read from "
        f"files. {remedy}, or open the module from the command line with --model."
    )
