"""Operators that hold weights: convolutions, linear maps, norms and embeddings as ``nn`` modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx, nn

from analysis.errors import NetworkError
from analysis.loading.pt2_build import Missing, State
from analysis.loading.pt2_step import Result, Step

Handler = Callable[[Step], Result]

_CONVOLUTIONS: dict[tuple[int, bool], tuple[type[nn.Module], Callable[..., Any]]] = {
    (1, False): (nn.Conv1d, F.conv1d),
    (2, False): (nn.Conv2d, F.conv2d),
    (3, False): (nn.Conv3d, F.conv3d),
    (1, True): (nn.ConvTranspose1d, F.conv_transpose1d),
    (2, True): (nn.ConvTranspose2d, F.conv_transpose2d),
    (3, True): (nn.ConvTranspose3d, F.conv_transpose3d),
}
_BATCH_NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_INSTANCE_NORMS = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}
_STATISTICS = "the statistics of a norm are read. Recompute them, or open the module from the command line with --model."


def _convolution(step: Step) -> fx.Node:
    dims = step.meta("weight").shape[2:]
    transposed = step.arguments.get("transposed", "transpose" in step.operator)
    if (len(dims), transposed) not in _CONVOLUTIONS:
        raise step.refuse("has a weight of unusual rank. Use nn.Conv1d, nn.Conv2d or nn.Conv3d.")
    kind, function = _CONVOLUTIONS[len(dims), transposed]
    stride, dilation = (_spread(step[name], len(dims)) for name in ("stride", "dilation"))
    padding = step["padding"] if isinstance(step["padding"], str) else _spread(step["padding"], len(dims))
    groups = step["groups"]
    extra = {"output_padding": _spread(step["output_padding"], len(dims))} if transposed else {}

    def call() -> fx.Node:
        return step.emit(
            function, step["input"], step["weight"], step["bias"],
            stride=stride, padding=padding, dilation=dilation, groups=groups, **extra,
        )  # fmt: skip

    weight, bias = step.state("weight"), step.state("bias")
    fixed = all(isinstance(v, int | str) for v in (*stride, *dilation, *padding, groups))
    if not fixed or groups < 1 or weight is None or _is_computed(step, "bias"):
        return call()
    shape = _shape(weight)
    settings = {
        "in_channels": shape[0] if transposed else shape[1] * groups,
        "out_channels": shape[1] * groups if transposed else shape[0],
        "kernel_size": shape[2:],
        "stride": stride,
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
        "bias": bias is not None,
        **extra,
    }
    return step.layer(kind, settings, {"weight": weight, "bias": bias}, step["input"], otherwise=call)


def _spread(values: tuple[Any, ...], dims: int) -> tuple[Any, ...]:
    return values * dims if len(values) == 1 else values


def _linear(step: Step) -> fx.Node:
    return _linear_of(step, step["input"], step["weight"], step["bias"])


def _linear_of(step: Step, source: Any, weight: Any, bias: Any) -> fx.Node:
    def call() -> fx.Node:
        return step.emit(F.linear, source, weight, bias)

    held, offset = step.builder.state(weight), step.builder.state(bias)
    if held is None or len(_shape(held)) != 2 or (offset is None and bias is not None):
        return call()
    rows, columns = _shape(held)
    settings = {"in_features": columns, "out_features": rows, "bias": offset is not None}
    return step.layer(nn.Linear, settings, {"weight": held, "bias": offset}, source, otherwise=call)


def _addmm(step: Step) -> fx.Node:
    """x @ W.T + b of a decomposed linear layer."""
    weight = step.builder.transposed(step["mat2"])
    if weight is not None and step["beta"] == step["alpha"] == 1 and len(step.meta("self").shape) == 1:
        return _linear_of(step, step["mat1"], weight, step["self"])
    args, kwargs = step.given()
    return step.emit(torch.addmm, *args, **kwargs)


def _mm(step: Step) -> fx.Node:
    weight = step.builder.transposed(step["mat2"])
    if weight is not None:
        return _linear_of(step, step["self"], weight, None)
    return step.emit(torch.matmul, step["self"], step["mat2"])


def _batch_norm(step: Step) -> Result:
    mean, variance = step["running_mean"], step["running_var"]
    if mean is None or variance is None:
        raise _without_statistics(step)
    weight, bias = step["weight"], step["bias"]

    def call() -> fx.Node:
        return step.emit(
            F.batch_norm, step["input"], mean, variance, weight, bias, False, step["momentum"], step["eps"]
        )

    states = _states(step, "weight", "bias", "running_mean", "running_var")
    kind = _BATCH_NORMS.get(len(step.meta("input").shape))
    if states is None or kind is None or (weight is None) != (bias is None):
        return _first(step, call())
    average = states["running_mean"]
    assert average is not None
    settings = {
        "num_features": _shape(average)[0],
        "eps": step["eps"],
        "momentum": step["momentum"],
        "affine": weight is not None,
    }
    return _first(step, _counted(step, kind, settings, states, average, call))


def _normalised_alone(step: Step) -> Result:
    """An instance norm once decomposed: a batch norm over a batch of one, without statistics."""
    meta = step.meta("input")
    if 0 in meta.symbolic or meta.shape[:1] != (1,):
        raise _without_statistics(step)
    weight, bias = step["weight"], step["bias"]
    normalised = step.emit(
        F.batch_norm, step["input"], None, None, weight, bias, True, step["momentum"], step["eps"]
    )
    return _first(step, normalised)


def _without_statistics(step: Step) -> NetworkError:
    return step.refuse(
        "keeps no running statistics, so one example's output depends on the others. Use track_running_stats=True."
    )


def _instance_norm(step: Step) -> fx.Node:
    weight, bias = step["weight"], step["bias"]
    tracked = step["running_mean"] is not None and step["running_var"] is not None

    def call() -> fx.Node:
        return step.emit(
            F.instance_norm, step["input"], step["running_mean"], step["running_var"], weight, bias,
            not tracked, step["momentum"], step["eps"],
        )  # fmt: skip

    states = _states(step, "weight", "bias", "running_mean", "running_var")
    shape = step.meta("input").shape
    kind = _INSTANCE_NORMS.get(len(shape))
    if states is None or kind is None or (weight is None) != (bias is None):
        return call()
    settings = {
        "num_features": shape[1],
        "eps": step["eps"],
        "momentum": step["momentum"],
        "affine": weight is not None,
        "track_running_stats": tracked,
    }
    if all(state is None for state in states.values()):
        return step.leaf(kind(**settings), step["input"])
    average = states["running_mean"]
    if average is None:
        return step.layer(kind, settings, states, step["input"], otherwise=call)
    return _counted(step, kind, settings, states, average, call)


def _counted(
    step: Step,
    kind: type[nn.Module],
    settings: dict[str, Any],
    states: dict[str, State | None],
    average: State,
    call: Callable[[], fx.Node],
) -> fx.Node:
    """A norm with running statistics; its count of batches comes along, it stands in no call."""
    node = step.layer(kind, settings, states, step["input"], otherwise=call)
    if node.op == "call_module":
        step.builder.count_batches(str(node.target), average)
    return node


def _layer_norm(step: Step) -> Result:
    shape = step["normalized_shape"]

    def call() -> fx.Node:
        return step.emit(F.layer_norm, step["input"], shape, step["weight"], step["bias"], step["eps"])

    states = _states(step, "weight", "bias")
    if states is None or not shape or not all(isinstance(size, int) for size in shape):
        return _first(step, call())
    weight, bias = states["weight"], states["bias"]
    if weight is None and bias is None:
        return _first(
            step, step.leaf(nn.LayerNorm(shape, step["eps"], elementwise_affine=False), step["input"])
        )
    if weight is None:
        return _first(step, call())
    settings = {"normalized_shape": shape, "eps": step["eps"], "bias": bias is not None}
    return _first(step, step.layer(nn.LayerNorm, settings, states, step["input"], otherwise=call))


def _rms_norm(step: Step) -> fx.Node:
    def call() -> fx.Node:
        return step.emit(F.rms_norm, step["input"], step["normalized_shape"], step["weight"], step["eps"])

    weight, shape = step.state("weight"), step["normalized_shape"]
    if weight is None or not all(isinstance(size, int) for size in shape):
        return call()
    settings = {"normalized_shape": shape, "eps": step["eps"]}
    return step.layer(nn.RMSNorm, settings, {"weight": weight}, step["input"], otherwise=call)


def _group_norm(step: Step) -> Result:
    count = step.arguments.get("num_groups", step.arguments.get("group"))

    def call() -> fx.Node:
        return step.emit(F.group_norm, step["input"], count, step["weight"], step["bias"], step["eps"])

    states = _states(step, "weight", "bias")
    shape = step.meta("input").shape
    if states is None or not isinstance(count, int) or count < 1 or len(shape) < 2:
        return _first(step, call())
    weight = states["weight"]
    settings = {
        "num_groups": count,
        "num_channels": shape[1],
        "eps": step["eps"],
        "affine": weight is not None,
    }
    if weight is None:
        return _first(
            step, call() if step["bias"] is not None else step.leaf(nn.GroupNorm(**settings), step["input"])
        )
    if states["bias"] is None:
        return _first(step, call())
    return _first(step, step.layer(nn.GroupNorm, settings, states, step["input"], otherwise=call))


def _embedding(step: Step) -> fx.Node:
    padding = step["padding_idx"]

    def call() -> fx.Node:
        return step.emit(F.embedding, step["indices"], step["weight"])

    weight = step.state("weight")
    if weight is None or len(_shape(weight)) != 2:
        return call()
    rows, columns = _shape(weight)
    settings = {"num_embeddings": rows, "embedding_dim": columns}
    if isinstance(padding, int) and 0 <= padding < rows:
        settings["padding_idx"] = padding
    return step.layer(nn.Embedding, settings, {"weight": weight}, step["indices"], otherwise=call)


def _prelu(step: Step) -> fx.Node:
    def call() -> fx.Node:
        return step.emit(F.prelu, step["self"], step["weight"])

    weight = step.state("weight")
    if weight is None or len(_shape(weight)) != 1:
        return call()
    settings = {"num_parameters": _shape(weight)[0]}
    return step.layer(nn.PReLU, settings, {"weight": weight}, step["self"], otherwise=call)


def _states(step: Step, *names: str) -> dict[str, State | None] | None:
    """The weights by name, None where there is none; None altogether if one is computed."""
    if any(_is_computed(step, name) for name in names):
        return None
    return {name: step.state(name) for name in names}


def _is_computed(step: Step, name: str) -> bool:
    return step[name] is not None and step.state(name) is None


def _shape(state: State) -> tuple[int, ...]:
    assert state.tensor is not None
    return tuple(state.tensor.shape)


def _first(step: Step, node: fx.Node) -> Result:
    """The normalised tensor; the statistics that decomposed norms also return are not available."""
    count = len(step.call.outputs)
    return node if count == 1 else (node, *(Missing(_STATISTICS),) * (count - 1))


HANDLERS: dict[str, Handler] = {
    "conv1d.default": _convolution,
    "conv2d.default": _convolution,
    "conv3d.default": _convolution,
    "conv1d.padding": _convolution,
    "conv2d.padding": _convolution,
    "conv3d.padding": _convolution,
    "conv_transpose1d.default": _convolution,
    "conv_transpose2d.input": _convolution,
    "conv_transpose3d.input": _convolution,
    "convolution.default": _convolution,
    "linear.default": _linear,
    "addmm.default": _addmm,
    "mm.default": _mm,
    "batch_norm.default": _batch_norm,
    "_native_batch_norm_legit_no_training.default": _batch_norm,
    "_native_batch_norm_legit.default": _batch_norm,
    "native_batch_norm.default": _batch_norm,
    "_native_batch_norm_legit.no_stats": _normalised_alone,
    "instance_norm.default": _instance_norm,
    "layer_norm.default": _layer_norm,
    "native_layer_norm.default": _layer_norm,
    "rms_norm.default": _rms_norm,
    "group_norm.default": _group_norm,
    "native_group_norm.default": _group_norm,
    "embedding.default": _embedding,
    "prelu.default": _prelu,
}
