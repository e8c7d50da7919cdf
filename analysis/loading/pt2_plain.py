"""Operators that a public torch function or tensor method takes over with the same arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from analysis.loading.pt2_step import Result, Step

Handler = Callable[[Step], Result]


def _function(function: Callable[..., Any]) -> Handler:
    def emit(step: Step) -> fx.Node:
        args, kwargs = step.given()
        return step.emit(function, *args, **kwargs)

    return emit


def _method(name: str) -> Handler:
    def emit(step: Step) -> fx.Node:
        args, kwargs = step.given()
        return step.method(name, *args, **kwargs)

    return emit


def _named(names: str, *overloads: str) -> dict[str, Handler]:
    """Functions of ``torch`` that are called as their operator."""
    return {f"{name}.{end}": _function(getattr(torch, name)) for name in names.split() for end in overloads}


HANDLERS: dict[str, Handler] = {
    **_named(
        "abs acos acosh asin asinh atan atan2 atanh ceil clamp clamp_max clamp_min cos cosh erf erfc exp exp2 "
        "expm1 floor floor_divide frac isfinite isinf isnan log log10 log1p log2 logaddexp logical_and logical_not "
        "logical_or logical_xor logit maximum minimum neg reciprocal round rsqrt sgn sign sin sinh sqrt square "
        "tan trunc bitwise_not addcdiv addcmul",
        "default",
    ),
    **_named("amax amin argmax argmin argsort count_nonzero cumprod cumsum logsumexp sort topk", "default"),
    **_named("any all max mean min prod std sum var median", "default"),
    **_named("any all max min median var std mean", "dim"),
    **_named("bmm baddbmm cdist cosine_similarity dot matmul mv outer", "default"),
    **_named("cat flip gather index_select narrow roll squeeze stack swapaxes swapdims", "default"),
    **_named("take_along_dim tile tril triu unsqueeze chunk diagonal rot90 pixel_shuffle", "default"),
    **_named("pixel_unshuffle channel_shuffle grid_sampler", "default"),
    **_named("arange eye full linspace ones zeros full_like ones_like zeros_like", "default"),
    **_named("eq ge gt le lt ne fmod remainder bitwise_and bitwise_or", "Tensor", "Scalar"),
    **_named("masked_fill lerp", "Scalar", "Tensor"),
    **_named("where", "self", "ScalarSelf", "ScalarOther", "Scalar"),
    **_named("movedim moveaxis", "int", "intlist"),
    **_named("select unbind", "int"),
    **_named("arange", "start", "start_step"),
    "clamp.Tensor": _function(torch.clamp),
    "clamp_min.Tensor": _function(torch.clamp_min),
    "clamp_max.Tensor": _function(torch.clamp_max),
    "pow.Tensor_Tensor": _function(torch.pow),
    "pow.Tensor_Scalar": _function(torch.pow),
    "pow.Scalar": _function(torch.pow),
    "div.Tensor_mode": _function(torch.div),
    "div.Scalar_mode": _function(torch.div),
    "max.other": _function(torch.maximum),
    "min.other": _function(torch.minimum),
    "any.dims": _function(torch.any),
    "all.dims": _function(torch.all),
    "sum.dim_IntList": _function(torch.sum),
    "prod.dim_int": _function(torch.prod),
    "squeeze.dim": _function(torch.squeeze),
    "squeeze.dims": _function(torch.squeeze),
    "flatten.using_ints": _function(torch.flatten),
    "unflatten.int": _function(torch.unflatten),
    "reshape.default": _function(torch.reshape),
    "view.default": _function(torch.reshape),  # also right where the emitted value has other strides
    "_unsafe_view.default": _function(torch.reshape),
    "split.Tensor": _function(torch.split),
    "split.sizes": _function(torch.split),
    "split_with_sizes.default": _function(torch.split),
    "tensor_split.sections": _function(torch.tensor_split),
    "tensor_split.indices": _function(torch.tensor_split),
    "repeat_interleave.self_int": _function(torch.repeat_interleave),
    "eye.m": _function(torch.eye),
    "scalar_tensor.default": _function(torch.scalar_tensor),
    "norm.ScalarOpt_dim": _function(torch.norm),
    "linalg_vector_norm.default": _function(torch.linalg.vector_norm),
    "im2col.default": _function(F.unfold),
    "col2im.default": _function(F.fold),
    "bilinear.default": _function(F.bilinear),
    "zero.default": _function(torch.zeros_like),
    "empty_like.default": _function(torch.zeros_like),  # what is not written yet means nothing
    "grid_sampler_2d.default": _function(torch.grid_sampler),
    "grid_sampler_3d.default": _function(torch.grid_sampler),
    "expand_as.default": _method("expand_as"),
    "view_as.default": _method("view_as"),
    "reshape_as.default": _method("reshape_as"),
    "repeat.default": _method("repeat"),
    "unfold.default": _method("unfold"),
    "new_zeros.default": _method("new_zeros"),
    "new_ones.default": _method("new_ones"),
    "new_full.default": _method("new_full"),
    "sym_size.int": _method("size"),
    "sym_numel.default": _method("numel"),
}
