"""Operators without weights as public torch functions: arithmetic, shapes, reductions, creation, resizing."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import fx

from analysis.loading.pt2_json import MAX_INT
from analysis.loading.pt2_schema import MAX_RANK, Ref
from analysis.loading.pt2_step import Result, Step

Handler = Callable[[Step], Result]


def _pair(
    function: Callable[..., Any], full: Callable[..., Any] | None = None, *, swap: bool = False
) -> Handler:
    """A binary operator; with `alpha` other than 1 the `full` function."""

    def emit(step: Step) -> fx.Node:
        left, right = step["self"], step["other"]
        if step.arguments.get("alpha", 1) != 1 and full is not None:
            return step.emit(full, left, right, alpha=step["alpha"])
        return step.emit(function, right, left) if swap else step.emit(function, left, right)

    return emit


def _same(name: str) -> Handler:
    """The argument itself: a copy or an alias of it, which fx does not need."""

    def emit(step: Step) -> fx.Node:
        return step.node(name)

    return emit


def _dropout(step: Step) -> Result:
    kept = step.node("input")
    return kept if len(step.call.outputs) == 1 else (kept, kept)


def _to(step: Step) -> fx.Node:
    dtype = step.meta("other").dtype if "other" in step.arguments else step.arguments.get("dtype")
    if dtype is None or dtype == step.meta("self").dtype:
        return step.node("self")
    return step.method("to", step["self"], dtype)


def _slice(step: Step) -> fx.Node:
    start, end, stride = step["start"], step["end"], step["step"]
    start = None if isinstance(start, int) and start == 0 else start
    end = None if isinstance(end, int) and end >= MAX_INT else end
    if start is None and end is None and stride == 1:
        return step.node("self")
    dim = step["dim"]
    dim += len(step.meta("self").shape) if dim < 0 else 0
    if not 0 <= dim < MAX_RANK:
        raise step.refuse("slices an axis that is not there. Save the model again.")
    resolve = step.builder.argument
    cut = slice(resolve(start), resolve(end), None if stride == 1 else resolve(stride))
    return step.builder.graph.call_function(
        operator.getitem, (step.node("self"), (slice(None),) * dim + (cut,))
    )


def _index(step: Step) -> fx.Node:
    places = tuple(slice(None) if i is None else step.builder.argument(i) for i in step["indices"])
    return step.builder.graph.call_function(operator.getitem, (step.node("self"), places))


def _swap_axes(step: Step) -> fx.Node:
    """A transpose; of a weight it is remembered, for the linear layer it belongs to."""
    for name in step.call.outputs:
        is_matrix = step.state("self") is not None and len(step.meta("self").shape) == 2
        if is_matrix and isinstance(name, str) and _swaps(step):
            step.builder.transpose_of(name, step["self"])
    if step.operator == "numpy_T.default":
        axes = range(len(step.meta("self").shape))
        return step.emit(torch.permute, step["self"], tuple(reversed(axes)))
    if step.operator in ("t.default", "mT.default"):
        return step.emit(
            torch.transpose, step["self"], *((0, 1) if step.operator == "t.default" else (-2, -1))
        )
    args, _ = step.given()
    function = torch.permute if step.operator == "permute.default" else torch.transpose
    return step.emit(function, *args)


def _swaps(step: Step) -> bool:
    if step.operator == "permute.default":
        return step["dims"] in ((1, 0), (-1, -2), (1, -2), (-1, 0))
    return step.operator in ("t.default", "mT.default", "numpy_T.default") or step["dim0"] != step["dim1"]


def _resize(mode: str, *, antialias: bool = False) -> Handler:
    def emit(step: Step) -> fx.Node:
        size = step["output_size"]
        scale = step.arguments.get("scale_factors")
        if "scale_factors" not in step.arguments:
            scales = tuple(
                step[n] for n in ("scales", "scales_d", "scales_h", "scales_w") if n in step.arguments
            )
            scale = scales if scales and None not in scales else None
        settings: dict[str, Any] = {"scale_factor": scale} if scale is not None else {"size": size}
        settings["mode"] = mode
        if step.arguments.get("align_corners"):
            settings["align_corners"] = True
        if antialias:
            settings["antialias"] = True
        return step.emit(F.interpolate, step.arguments.get("input", step.arguments.get("self")), **settings)

    return emit


def _pad(mode: str | None) -> Handler:
    def emit(step: Step) -> fx.Node:
        amount = step.arguments.get("pad", step.arguments.get("padding"))
        chosen = mode or step["mode"]
        value = step.arguments.get("value")
        if chosen != "constant":
            return step.emit(F.pad, step["self"], amount, mode=chosen)
        return step.emit(F.pad, step["self"], amount, value=value or 0.0)

    return emit


def _attention(step: Step) -> fx.Node:
    extra = {"is_causal": True} if step["is_causal"] else {}
    for name in ("scale", "enable_gqa"):
        if step[name] not in (None, False):
            extra[name] = step[name]
    if step["attn_mask"] is not None:
        extra["attn_mask"] = step["attn_mask"]
    return step.emit(F.scaled_dot_product_attention, step["query"], step["key"], step["value"], **extra)


def _einsum(step: Step) -> fx.Node:
    return step.emit(torch.einsum, step["equation"], *step["tensors"])


def _one_hot(step: Step) -> fx.Node:
    if not isinstance(step["num_classes"], int) or step["num_classes"] < 1:
        raise step.refuse("counts its classes while it runs. Give F.one_hot the number of classes.")
    return step.emit(F.one_hot, step["self"], step["num_classes"])


def _weight_norm(step: Step) -> fx.Node:
    """v * (g / |v|) of a weight-normalised layer."""
    size = step.emit(torch.norm_except_dim, step["v"], 2, step["dim"])
    return step.emit(operator.mul, step["v"], step.emit(operator.truediv, step["g"], size))


def _copy(step: Step) -> fx.Node:
    spread = step.builder.graph.call_method("expand_as", (step.node("src"), step.node("self")))
    if isinstance(step["src"], Ref) and step.meta("src").dtype == step.meta("self").dtype:
        return spread
    return step.builder.graph.call_method("to", (spread, step.meta("self").dtype))


def _fill(step: Step) -> fx.Node:
    if not isinstance(step["value"], Ref):
        return step.emit(torch.full_like, step["self"], step["value"])
    everywhere = step.emit(torch.ones_like, step["self"], dtype=torch.bool)
    return step.emit(torch.masked_fill, step["self"], everywhere, step["value"])


def _expand(step: Step) -> fx.Node:
    return step.method("expand", step["self"], step["size"])


def _flat(step: Step) -> fx.Node:
    return step.emit(torch.reshape, step["self"], (-1,))


def _spread(step: Step) -> fx.Node:
    """A variance or deviation with an explicit correction."""
    function = torch.var if step.operator.startswith("var") else torch.std
    correction = 1 if step["correction"] is None else step["correction"]
    extra = {"keepdim": True} if step["keepdim"] else {}
    return step.emit(function, step["self"], dim=step["dim"], correction=correction, **extra)


def _zeros(step: Step) -> fx.Node:
    """Memory that is not written to yet: its content means nothing, so zeros do as well."""
    return step.emit(torch.zeros, step["size"], **({} if step["dtype"] is None else {"dtype": step["dtype"]}))


def _affine_grid(step: Step) -> fx.Node:
    return step.emit(F.affine_grid, step["theta"], step["size"], align_corners=step["align_corners"])


HANDLERS: dict[str, Handler] = {
    "add.Tensor": _pair(operator.add, torch.add),
    "add.Scalar": _pair(operator.add, torch.add),
    "sub.Tensor": _pair(operator.sub, torch.sub),
    "sub.Scalar": _pair(operator.sub, torch.sub),
    "rsub.Scalar": _pair(operator.sub, torch.rsub, swap=True),
    "rsub.Tensor": _pair(operator.sub, torch.rsub, swap=True),
    "mul.Tensor": _pair(operator.mul),
    "mul.Scalar": _pair(operator.mul),
    "div.Tensor": _pair(operator.truediv),
    "div.Scalar": _pair(operator.truediv),
    "dropout.default": _dropout,
    "native_dropout.default": _dropout,
    "feature_dropout.default": _dropout,
    "alpha_dropout.default": _dropout,
    "feature_alpha_dropout.default": _dropout,
    **{
        f"{name}.default": _same("self")
        for name in ("alias", "clone", "contiguous", "detach", "lift", "lift_fresh", "lift_fresh_copy")
    },
    "to.dtype": _to,
    "to.device": _to,
    "to.dtype_layout": _to,
    "to.other": _to,
    "type_as.default": _to,
    "_to_copy.default": _to,
    "slice.Tensor": _slice,
    "index.Tensor": _index,
    "_unsafe_index.Tensor": _index,
    "t.default": _swap_axes,
    "mT.default": _swap_axes,
    "numpy_T.default": _swap_axes,
    "transpose.int": _swap_axes,
    "permute.default": _swap_axes,
    "expand.default": _expand,
    "ravel.default": _flat,
    "var.correction": _spread,
    "std.correction": _spread,
    "empty.memory_format": _zeros,
    "new_empty.default": _zeros,
    "copy.default": _copy,
    "fill.Scalar": _fill,
    "fill.Tensor": _fill,
    "pad.default": _pad(None),
    "constant_pad_nd.default": _pad("constant"),
    **{f"reflection_pad{n}d.default": _pad("reflect") for n in (1, 2, 3)},
    **{f"replication_pad{n}d.default": _pad("replicate") for n in (1, 2, 3)},
    **{
        f"{operation}.{overload}": _resize(mode, antialias=operation.endswith("_aa"))
        for operation, mode in (
            ("upsample_nearest1d", "nearest"),
            ("upsample_nearest2d", "nearest"),
            ("upsample_nearest3d", "nearest"),
            ("_upsample_nearest_exact1d", "nearest-exact"),
            ("_upsample_nearest_exact2d", "nearest-exact"),
            ("_upsample_nearest_exact3d", "nearest-exact"),
            ("upsample_linear1d", "linear"),
            ("upsample_bilinear2d", "bilinear"),
            ("_upsample_bilinear2d_aa", "bilinear"),
            ("upsample_bicubic2d", "bicubic"),
            ("_upsample_bicubic2d_aa", "bicubic"),
            ("upsample_trilinear3d", "trilinear"),
        )
        for overload in ("vec", "default")
    },
    "scaled_dot_product_attention.default": _attention,
    "einsum.default": _einsum,
    "one_hot.default": _one_hot,
    "_weight_norm.default": _weight_norm,
    "affine_grid_generator.default": _affine_grid,
}
