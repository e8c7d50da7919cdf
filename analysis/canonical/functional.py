"""Calls of torch.nn.functional and the modules that do the same."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

ACTIVATIONS: dict[Any, tuple[Callable[..., nn.Module], tuple[str, ...]]] = {
    F.relu: (nn.ReLU, ()),
    torch.relu: (nn.ReLU, ()),
    "relu": (nn.ReLU, ()),
    F.relu_: (nn.ReLU, ()),
    torch.relu_: (nn.ReLU, ()),
    "relu_": (nn.ReLU, ()),
    F.relu6: (nn.ReLU6, ()),
    F.leaky_relu: (nn.LeakyReLU, ("negative_slope",)),
    F.elu: (nn.ELU, ("alpha",)),
    F.silu: (nn.SiLU, ()),
    F.hardswish: (nn.Hardswish, ()),
    F.hardsigmoid: (nn.Hardsigmoid, ()),
    F.hardtanh: (nn.Hardtanh, ("min_val", "max_val")),
    F.selu: (nn.SELU, ()),
    F.celu: (nn.CELU, ("alpha",)),
    F.mish: (nn.Mish, ()),
    F.softplus: (nn.Softplus, ("beta", "threshold")),
    F.gelu: (nn.GELU, ("approximate",)),
    F.sigmoid: (nn.Sigmoid, ()),
    torch.sigmoid: (nn.Sigmoid, ()),
    "sigmoid": (nn.Sigmoid, ()),
    F.tanh: (nn.Tanh, ()),
    torch.tanh: (nn.Tanh, ()),
    "tanh": (nn.Tanh, ()),
}

_CONVOLUTIONS: dict[Any, type[nn.Module]] = {
    F.conv1d: nn.Conv1d,
    F.conv2d: nn.Conv2d,
    F.conv3d: nn.Conv3d,
}
_TRANSPOSED: dict[Any, type[nn.Module]] = {
    F.conv_transpose1d: nn.ConvTranspose1d,
    F.conv_transpose2d: nn.ConvTranspose2d,
    F.conv_transpose3d: nn.ConvTranspose3d,
}
_CONVOLUTION_NAMES = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED_NAMES = (
    "input",
    "weight",
    "bias",
    "stride",
    "padding",
    "output_padding",
    "groups",
    "dilation",
)

Own = Callable[[Any], Any]


def layer_of_call(
    function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], own: Own
) -> tuple[fx.Node, nn.Module] | None:
    """The layer that does what a functional call does, and the node it reads; None if there is none.

    Parameters
    ----------
    own : callable
        Gives the tensor of an argument, or raises LookupError if it is no parameter of this call alone.

    Raises
    ------
    LookupError
        If a weight is computed, or shared with something else.
    """
    if function in _CONVOLUTIONS:
        given = dict(zip(_CONVOLUTION_NAMES, args, strict=False)) | kwargs
        return _convolution(_CONVOLUTIONS[function], given, own, transposed=False)
    if function in _TRANSPOSED:
        given = dict(zip(_TRANSPOSED_NAMES, args, strict=False)) | kwargs
        return _convolution(_TRANSPOSED[function], given, own, transposed=True)
    if function not in _OTHERS:
        return None
    build, names = _OTHERS[function]
    given = dict(zip(names, args, strict=False)) | kwargs
    source = given.pop("input")
    return source, build({name: own(value) for name, value in given.items()})


def _convolution(
    kind: type[nn.Module], given: dict[str, Any], own: Own, *, transposed: bool
) -> tuple[fx.Node, nn.Module]:
    source = given.pop("input")
    weight, bias = own(given.pop("weight")), own(given.pop("bias", None))
    groups = given.get("groups", 1)
    first, second = weight.shape[0], weight.shape[1] * groups
    channels = (first, second) if transposed else (second, first)
    layer = kind(*channels, tuple(weight.shape[2:]), bias=bias is not None, **given)
    return source, _filled(layer, weight=weight, bias=bias)


def _linear(given: dict[str, Any]) -> nn.Module:
    weight, bias = given["weight"], given.get("bias")
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    return _filled(layer, weight=weight, bias=bias)


def _batch_norm(given: dict[str, Any]) -> nn.Module:
    mean = given["running_mean"]
    if mean is None or given.get("training", False):
        raise LookupError
    weight, bias = given.get("weight"), given.get("bias")
    layer = _AnyBatchNorm(len(mean), eps=given.get("eps", 1e-5), affine=weight is not None)
    return _filled(layer, weight=weight, bias=bias, running_mean=mean, running_var=given["running_var"])


class _AnyBatchNorm(nn.BatchNorm1d):
    """BatchNorm of any number of dimensions: a functional call does not say which it is."""

    def _check_input_dim(self, input: Tensor) -> None:
        """Accept all."""


def _layer_norm(given: dict[str, Any]) -> nn.Module:
    weight, bias = given.get("weight"), given.get("bias")
    layer = nn.LayerNorm(
        list(given["normalized_shape"]),
        eps=given.get("eps", 1e-5),
        elementwise_affine=weight is not None,
        bias=bias is not None,
    )
    return _filled(layer, weight=weight, bias=bias)


def _group_norm(given: dict[str, Any]) -> nn.Module:
    weight, bias = given.get("weight"), given.get("bias")
    if weight is None:
        raise LookupError
    layer = nn.GroupNorm(given["num_groups"], len(weight), eps=given.get("eps", 1e-5))
    return _filled(layer, weight=weight, bias=bias)


def _embedding(given: dict[str, Any]) -> nn.Module:
    weight = given["weight"]
    if given.get("max_norm") is not None:
        raise LookupError
    return _filled(nn.Embedding(*weight.shape), weight=weight)


def _prelu(given: dict[str, Any]) -> nn.Module:
    weight = given["weight"]
    return _filled(nn.PReLU(weight.numel()), weight=weight)


def _filled(layer: nn.Module, **values: Tensor | None) -> nn.Module:
    """`layer` with its parameters and buffers set."""
    for name, value in values.items():
        if value is None:
            continue
        if name in layer._buffers:
            layer._buffers[name] = value.detach().clone()
        else:
            layer._parameters[name] = nn.Parameter(value.detach().clone())
    return layer


def _names(function: Any) -> tuple[str, ...]:
    return tuple(inspect.signature(function).parameters)


_OTHERS: dict[Any, tuple[Callable[[dict[str, Any]], nn.Module], tuple[str, ...]]] = {
    F.linear: (_linear, ("input", "weight", "bias")),
    F.batch_norm: (_batch_norm, _names(F.batch_norm)),
    F.layer_norm: (_layer_norm, _names(F.layer_norm)),
    F.group_norm: (_group_norm, _names(F.group_norm)),
    F.embedding: (_embedding, _names(F.embedding)),
    F.prelu: (_prelu, ("input", "weight")),
}
