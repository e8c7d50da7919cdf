"""What each tensor operation does to channels: one rule for a family of ATen operators.

The rules see what PyTorch really runs, below every function, method and module, so that one table holds
for all of them. An operator without a rule pins what it reads: its channels stay, and are never wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch

from analysis.pruning.labels import varies, varying
from analysis.pruning.operators import Call, MaybeLabels, Rules

_Rule = Callable[[Rules, Call], Any]
_RULES: dict[str, _Rule] = {}
# Element-wise operators that torch does not tag as such.
_POINTWISE = (
    "hardswish",
    "hardsigmoid",
    "hardtanh",
    "log_sigmoid_forward",
    "prelu",
    "rrelu_with_noise",
    "mish",
)
_SPATIAL = re.compile(
    r"(?:max_pool|avg_pool|_?adaptive_\w+_pool|upsample_\w+|reflection_pad|replication_pad)(\d)d"
)


def labels_after(rules: Rules, function: Any, call: Call) -> Any:
    """Labels of what a call gave (a list for several, None where there are none).

    Parameters
    ----------
    function : torch._ops.OpOverload
        The ATen operator that ran; its tags say whether it is element-wise.
    """
    labelled = [found for t in call.tensors() if (found := call.labels_of(t)) is not None]
    if not labelled:
        return None
    rule = _RULES.get(call.name)
    if rule is not None:
        return rule(rules, call)
    if torch.Tag.pointwise in function.tags or call.name in _POINTWISE:
        return rules.meet([(t, call.labels_of(t)) for t in call.tensors()], call.output.shape)
    if spatial := _SPATIAL.match(call.name):
        return rules.spatial(call, int(spatial.group(1)))
    for found in labelled:
        rules.labels.pin(found, f"they pass through the operation {call.name}, which cannot be followed")
    return None


def bound_arguments(function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of an operator call by their names in its schema, defaults filled in."""
    bound = {}
    for i, argument in enumerate(function._schema.arguments):
        if i < len(args):
            bound[argument.name] = args[i]
        else:
            bound[argument.name] = kwargs.get(argument.name, argument.default_value)
    return bound


def _rule(*names: str) -> Callable[[_Rule], _Rule]:
    def register(rule: _Rule) -> _Rule:
        _RULES.update(dict.fromkeys(names, rule))
        return rule

    return register


@_rule(
    "clone", "contiguous", "detach", "alias", "lift_fresh", "_to_copy", "zeros_like", "ones_like", "full_like"
)
def _same(rules: Rules, call: Call) -> MaybeLabels:
    return call.labels()


@_rule("view", "_unsafe_view", "reshape", "_reshape_alias")
def _view(rules: Rules, call: Call) -> MaybeLabels:
    labels = call.labels()
    assert labels is not None
    found = labels.reshape(call.output.shape)
    rules.rectangles.append(found)
    return found


@_rule("permute", "transpose", "t", "unsqueeze", "squeeze", "expand", "flip", "movedim", "diagonal")
def _moved(rules: Rules, call: Call) -> MaybeLabels:
    labels, arguments = call.labels(), dict(call.arguments)
    assert labels is not None
    del arguments["self"]
    match call.name:
        case "permute":
            return labels.permute(arguments["dims"])
        case "transpose":
            return labels.transpose(arguments["dim0"], arguments["dim1"])
        case "t":
            return labels.t()
        case "unsqueeze":
            return labels.unsqueeze(arguments["dim"])
        case "squeeze":
            return labels.reshape(call.output.shape)
        case "expand":
            return labels.expand(call.output.shape)
        case "flip":
            return labels.flip(arguments["dims"])
    rules.labels.pin(labels, f"they pass through the operation {call.name}, which cannot be followed")
    return None


@_rule("repeat")
def _repeat(rules: Rules, call: Call) -> MaybeLabels:
    labels = call.labels()
    assert labels is not None
    return labels.repeat(call.arguments["repeats"])


@_rule("select", "slice", "index_select", "unbind", "split", "split_with_sizes", "chunk", "roll")
def _picked(rules: Rules, call: Call) -> Any:
    """Positions that the graph names by number: right only as long as nothing goes along that dimension."""
    labels, arguments = call.labels(), call.arguments
    assert labels is not None
    dims = arguments["dims"] if call.name == "roll" else [arguments.get("dim", 0)]
    whole = call.name == "slice" and tuple(call.output.shape) == tuple(labels.shape)
    for dim in [] if whole else dims or range(labels.dim()):
        rules.fixed.append((labels, dim % labels.dim(), "some of them are picked by their position"))
    match call.name:
        case "select":
            return labels.select(arguments["dim"], arguments["index"])
        case "slice":
            parts = (arguments["start"], arguments["end"], arguments["step"])
            index = [slice(None)] * labels.dim()
            index[arguments["dim"]] = slice(*parts)
            return labels[tuple(index)]
        case "index_select":
            return labels.index_select(arguments["dim"], arguments["index"])
        case "unbind":
            return list(labels.unbind(arguments["dim"]))
        case "roll":
            return labels.roll(arguments["shifts"], arguments["dims"])
    pieces = [piece.shape[arguments["dim"]] for piece in call.output]
    return list(labels.split(pieces, arguments["dim"]))


@_rule("cat", "stack")
def _cat(rules: Rules, call: Call) -> MaybeLabels:
    tensors, dim = call.arguments["tensors"], call.arguments["dim"]
    pieces = [(t, call.labels_of(t)) for t in tensors]
    if call.name == "stack":
        dim %= call.output.dim()
        shapes = [tuple(t.unsqueeze(dim).shape) for t in tensors]
        found = [None if k is None else k.unsqueeze(dim) for _, k in pieces]
    else:
        dim %= call.output.dim()
        kept = [(t, k) for t, k in pieces if t.dim() == call.output.dim()]  # torch accepts an empty (0,)
        shapes, found = [tuple(t.shape) for t, _ in kept], [k for _, k in kept]
    whole = [
        torch.full((1,) * len(s), -1).expand(s) if k is None else k
        for s, k in zip(shapes, found, strict=True)
    ]
    elsewhere = [set(varying(k)) - {dim} for k in whole]
    if not any(elsewhere):
        return torch.cat(list(whole), dim)
    if any(varies(k, dim) for k in whole):
        for k in whole:
            rules.labels.pin(k, "they are joined along two dimensions")
        return None
    first = whole[0].narrow(dim, 0, 1)
    for other in whole[1:]:
        rules.labels.unite(first, other.narrow(dim, 0, 1))
    return rules.labels.current(first).expand(call.output.shape)


@_rule("constant_pad_nd")
def _padded(rules: Rules, call: Call) -> MaybeLabels:
    labels = call.labels()
    assert labels is not None
    found = labels
    for dim, (before, after) in enumerate(zip(labels.shape, call.output.shape, strict=True)):
        if before == after:
            continue
        if varies(labels, dim):
            rules.labels.pin(labels, "they are padded by a fixed number")
            return None
        found = found.narrow(dim, 0, 1)
    return found.expand(call.output.shape)


@_rule("pixel_shuffle")
def _pixel_shuffle(rules: Rules, call: Call) -> MaybeLabels:
    """Each r² channels become one: they go together."""
    labels, factor = call.labels(), call.arguments["upscale_factor"]
    assert labels is not None
    if any(varies(labels, dim) for dim in (-1, -2)):
        rules.labels.pin(labels, "they lie along the rows or columns that pixel_shuffle mixes")
        return None
    blocks = labels.unflatten(-3, (-1, factor**2))
    rules.labels.unite_along(blocks, blocks.dim() - 3)
    return blocks.select(-3, 0)[..., :1, :1].expand(call.output.shape)


@_rule("pixel_unshuffle")
def _pixel_unshuffle(rules: Rules, call: Call) -> MaybeLabels:
    labels = call.labels()
    assert labels is not None
    return torch.pixel_unshuffle(labels.contiguous(), call.arguments["downscale_factor"])


@_rule("channel_shuffle", "native_channel_shuffle")
def _channel_shuffle(rules: Rules, call: Call) -> MaybeLabels:
    labels, groups = call.labels(), call.arguments["groups"]
    assert labels is not None
    blocks = labels.unflatten(1, (groups, -1))
    rules.rectangles.append(blocks)
    return blocks.transpose(1, 2).reshape(labels.shape)


@_rule("glu")
def _glu(rules: Rules, call: Call) -> MaybeLabels:
    labels = call.labels()
    assert labels is not None
    left, right = labels.chunk(2, call.arguments.get("dim", -1))
    rules.labels.unite(left, right)
    return left


@_rule("_softmax", "_safe_softmax", "_log_softmax", "cumsum", "cumprod", "logcumsumexp")
def _along(rules: Rules, call: Call) -> MaybeLabels:
    labels = call.labels()
    assert labels is not None
    if varies(labels, call.arguments["dim"]):
        rules.labels.pin(labels, f"they are taken together by the operation {call.name.strip('_')}")
        return None
    return labels


@_rule("native_layer_norm")
def _layer_norm(rules: Rules, call: Call) -> Any:
    labels = call.labels("input")
    if labels is None:
        return None
    dims = range(labels.dim() - len(call.arguments["normalized_shape"]), labels.dim())
    if any(varies(labels, dim) for dim in dims):
        rules.labels.pin(labels, "they are normalised together")
        return None
    return [labels, None, None]


@_rule(
    "mean", "sum", "amax", "amin", "max", "min", "var", "std", "prod", "logsumexp", "linalg_vector_norm", "norm",
    "argmax", "argmin", "any", "all", "var_mean", "std_mean",
)  # fmt: skip
def _reduced(rules: Rules, call: Call) -> Any:
    labels = call.labels()
    if labels is None:
        return None
    dims = call.arguments.get("dim")
    if "other" in call.arguments:  # max(a, b)
        return rules.meet([(t, call.labels_of(t)) for t in call.tensors()], call.output.shape)
    dims = range(labels.dim()) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    found = rules.without(labels, list(dims), bool(call.arguments.get("keepdim", False)), call.name)
    return [found] * len(call.output) if isinstance(call.output, (tuple, list)) else found


@_rule("bmm")
def _bmm(rules: Rules, call: Call) -> MaybeLabels:
    shapes = (tuple(call.arguments["self"].shape), tuple(call.arguments["mat2"].shape))
    return rules.product(call.labels(), call.labels("mat2"), shapes)


@_rule("mm", "addmm")
def _mm(rules: Rules, call: Call) -> MaybeLabels:
    names = ("self", "mat2") if call.name == "mm" else ("mat1", "mat2")
    first, second = (call.arguments[name] for name in names)
    labels = [None if (k := call.labels(name)) is None else k[None] for name in names]
    found = rules.product(labels[0], labels[1], ((1, *first.shape), (1, *second.shape)))
    found = None if found is None else found[0]
    if call.name == "mm":
        return found
    bias = call.arguments["self"]
    return rules.meet([(call.output, found), (bias, call.labels())], call.output.shape)
