"""Activations and pooling: each call becomes a module of its own, under the name it had."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import fx, nn

from analysis.loading.pt2_build import Missing
from analysis.loading.pt2_step import Result, Step

Handler = Callable[[Step], Result]

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805


def _activation(kind: type[nn.Module], *settings: str, **renamed: str) -> Handler:
    """A module of `kind` whose settings are arguments of the operator, by the same or another name."""
    names = {**{name: name for name in settings}, **renamed}

    def emit(step: Step) -> fx.Node:
        return step.leaf(kind(**{ours: _fixed(step, theirs) for ours, theirs in names.items()}), step["self"])

    return emit


def _hardtanh(step: Step) -> fx.Node:
    low, high = _fixed(step, "min_val"), _fixed(step, "max_val")
    is_relu6 = (low, high) == (0, 6) and step.call.kind != "Hardtanh"
    return step.leaf(nn.ReLU6() if is_relu6 else nn.Hardtanh(low, high), step["self"])


def _elu(step: Step) -> fx.Node:
    alpha, scale, inner = (_fixed(step, name) for name in ("alpha", "scale", "input_scale"))
    if inner == 1 and math.isclose(alpha, SELU_ALPHA) and math.isclose(scale, SELU_SCALE):
        return step.leaf(nn.SELU(), step["self"])
    if scale == 1 and inner == 1:
        return step.leaf(nn.ELU(alpha), step["self"])
    if scale == 1 and math.isclose(alpha * inner, 1):
        return step.leaf(nn.CELU(alpha), step["self"])
    raise step.refuse("scales its input or output in an unusual way. Use nn.ELU, nn.SELU or nn.CELU.")


def _softmax(kind: type[nn.Module], function: Callable[..., Any]) -> Handler:
    def emit(step: Step) -> fx.Node:
        dim, dtype = _fixed(step, "dim"), step.arguments.get("dtype")
        if dtype is None or dtype == step.meta("self").dtype:
            return step.leaf(kind(dim=dim), step["self"])
        return step.emit(function, step["self"], dim, dtype=dtype)

    return emit


def _log_sigmoid_forward(step: Step) -> Result:
    return step.leaf(nn.LogSigmoid(), step["self"]), Missing(
        "the buffer of log_sigmoid is read. Use nn.LogSigmoid."
    )


def _pool(kind: type[nn.Module], *settings: str) -> Handler:
    def emit(step: Step) -> Result:
        given = {name: _fixed(step, name) for name in settings}
        if given.get("stride") == ():
            given["stride"] = None  # the kernel's size
        pooled = step.leaf(kind(**given), step["self"])
        if len(step.call.outputs) == 1:
            return pooled
        indices = Missing(f"the indices of {kind.__name__}{step.call.path and ' ' + step.call.path} are read. "
                          "Compute them without pooling, or open the module from the command line with --model.")  # fmt: skip
        return pooled, indices

    return emit


def _adaptive(kind: type[nn.Module]) -> Handler:
    return _pool(kind, "output_size")


def _fixed(step: Step, name: str) -> Any:
    """A setting that is a number or numbers of the file, not one computed in the graph."""
    value = step[name]
    values = value if isinstance(value, tuple) else (value,)
    if not all(v is None or isinstance(v, int | float | str) for v in values):
        raise step.refuse(f"gets its {name} from a computation. Give the module a fixed number.")
    return value


_MAX = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
_AVERAGE = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")

HANDLERS: dict[str, Handler] = {
    "relu.default": _activation(nn.ReLU),
    "relu6.default": _activation(nn.ReLU6),
    "hardtanh.default": _hardtanh,
    "leaky_relu.default": _activation(nn.LeakyReLU, "negative_slope"),
    "elu.default": _elu,
    "selu.default": _activation(nn.SELU),
    "celu.default": _activation(nn.CELU, "alpha"),
    "gelu.default": _activation(nn.GELU, "approximate"),
    "silu.default": _activation(nn.SiLU),
    "mish.default": _activation(nn.Mish),
    "hardswish.default": _activation(nn.Hardswish),
    "hardsigmoid.default": _activation(nn.Hardsigmoid),
    "sigmoid.default": _activation(nn.Sigmoid),
    "tanh.default": _activation(nn.Tanh),
    "softplus.default": _activation(nn.Softplus, "beta", "threshold"),
    "threshold.default": _activation(nn.Threshold, "threshold", "value"),
    "hardshrink.default": _activation(nn.Hardshrink, "lambd"),
    "softshrink.default": _activation(nn.Softshrink, "lambd"),
    "rrelu.default": _activation(nn.RReLU, "lower", "upper"),
    "glu.default": _activation(nn.GLU, "dim"),
    "log_sigmoid.default": _activation(nn.LogSigmoid),
    "log_sigmoid_forward.default": _log_sigmoid_forward,
    "softmax.int": _softmax(nn.Softmax, F.softmax),
    "_softmax.default": _softmax(nn.Softmax, F.softmax),
    "log_softmax.int": _softmax(nn.LogSoftmax, F.log_softmax),
    "_log_softmax.default": _softmax(nn.LogSoftmax, F.log_softmax),
    "max_pool1d.default": _pool(nn.MaxPool1d, *_MAX),
    "max_pool2d.default": _pool(nn.MaxPool2d, *_MAX),
    "max_pool3d.default": _pool(nn.MaxPool3d, *_MAX),
    "max_pool1d_with_indices.default": _pool(nn.MaxPool1d, *_MAX),
    "max_pool2d_with_indices.default": _pool(nn.MaxPool2d, *_MAX),
    "max_pool3d_with_indices.default": _pool(nn.MaxPool3d, *_MAX),
    "avg_pool1d.default": _pool(nn.AvgPool1d, *_AVERAGE),
    "avg_pool2d.default": _pool(nn.AvgPool2d, *_AVERAGE, "divisor_override"),
    "avg_pool3d.default": _pool(nn.AvgPool3d, *_AVERAGE, "divisor_override"),
    "adaptive_avg_pool1d.default": _adaptive(nn.AdaptiveAvgPool1d),
    "adaptive_avg_pool2d.default": _adaptive(nn.AdaptiveAvgPool2d),
    "adaptive_avg_pool3d.default": _adaptive(nn.AdaptiveAvgPool3d),
    "_adaptive_avg_pool2d.default": _adaptive(nn.AdaptiveAvgPool2d),
    "_adaptive_avg_pool3d.default": _adaptive(nn.AdaptiveAvgPool3d),
    "adaptive_max_pool1d.default": _adaptive(nn.AdaptiveMaxPool1d),
    "adaptive_max_pool2d.default": _adaptive(nn.AdaptiveMaxPool2d),
    "adaptive_max_pool3d.default": _adaptive(nn.AdaptiveMaxPool3d),
}
