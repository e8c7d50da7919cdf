"""What each type of module, and each family of ATen operators, does to who is heard where."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from analysis.importance.signals import is_activation
from analysis.inside.hearing import Hearing
from analysis.inside.sets import NOBODY
from analysis.modules import Recurrent
from analysis.network import BATCH_NORM_TYPES, LAYER_TYPES
from analysis.pruning.labels import varies

# Reads who is heard so far, the module's name and itself, its input and its result; gives the result's numbers.
ModuleRule = Callable[[Hearing, str, nn.Module, Tensor, Tensor], Tensor | None]

_DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.Identity)
_NOT_BY_ELEMENT = (
    nn.Softmax,
    nn.Softmax2d,
    nn.LogSoftmax,
    nn.Softmin,
    nn.GLU,
    nn.MultiheadAttention,
)
_CHANNEL_NORMS = (*BATCH_NORM_TYPES, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_SHARED_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm)

_SAME = frozenset({"clone", "contiguous", "detach", "alias", "lift_fresh", "_to_copy"})
_RESHAPED = frozenset({"view", "_unsafe_view", "reshape", "_reshape_alias"})
_MOVED = frozenset(
    {
        "permute", "transpose", "t", "unsqueeze", "squeeze", "expand", "flip", "select", "slice", "index_select",
        "unbind", "split", "split_with_sizes", "chunk", "roll", "repeat", "diagonal", "pixel_shuffle",
        "pixel_unshuffle", "native_channel_shuffle", "channel_shuffle",
    }
)  # fmt: skip
_JOINED = frozenset({"cat", "stack"})
_INDEPENDENT = frozenset(
    {"zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full"}
)
_REDUCED = frozenset(
    {
        "mean", "sum", "amax", "amin", "max", "min", "var", "std", "prod", "logsumexp", "linalg_vector_norm",
        "norm", "argmax", "argmin", "any", "all", "var_mean", "std_mean",
    }
)  # fmt: skip
_ALONG = frozenset({"_softmax", "_safe_softmax", "_log_softmax", "cumsum", "cumprod", "logcumsumexp"})
_PRODUCTS = {
    "bmm": ("self", "mat2"),
    "mm": ("self", "mat2"),
    "addmm": ("mat1", "mat2"),
    "baddbmm": ("batch1", "batch2"),
}
_SPATIAL = re.compile(
    r"(?:max_pool|avg_pool|_?adaptive_\w+_pool|upsample_\w+|reflection_pad|replication_pad)(\d)d"
)
_POINTWISE = ("hardswish", "hardsigmoid", "hardtanh", "log_sigmoid_forward", "rrelu_with_noise", "mish")


def is_by_element(module: nn.Module) -> bool:
    """True if a module changes each value on its own."""
    passes = is_activation(module) and not isinstance(module, _NOT_BY_ELEMENT)
    return passes or isinstance(module, (*_DROPOUTS, nn.PReLU))


def module_rule(module: nn.Module) -> ModuleRule | None:
    """The rule for a module's type; None if its operators say it all."""
    if isinstance(module, Recurrent):
        return _recurrent
    if isinstance(module, nn.Embedding):
        return _embedding
    if isinstance(module, LAYER_TYPES):
        return _layer
    if isinstance(module, _CHANNEL_NORMS):
        return _channel_norm
    if isinstance(module, _SHARED_NORMS):
        return _shared_norm
    return _by_element if is_by_element(module) else None


def _layer(hearing: Hearing, name: str, module: nn.Module, value: Tensor, output: Tensor) -> Tensor:
    linear = isinstance(module, nn.Linear)
    weight = module.weight
    assert isinstance(weight, Tensor)
    dim = value.dim() - 1 if linear else value.dim() + 1 - weight.dim()
    hearing.reads(name, value, dim)
    return hearing.units(name, output, dim)


def _embedding(hearing: Hearing, name: str, module: nn.Module, value: Tensor, output: Tensor) -> Tensor:
    assert isinstance(module, nn.Embedding)
    count = module.num_embeddings
    heard = torch.tensor(float(hearing.sets.whole(hearing.read(value))), dtype=torch.float64)
    hearing.hears(name, heard.expand(count), torch.ones(count, dtype=torch.bool))
    return hearing.units(name, output, output.dim() - 1)


def _recurrent(hearing: Hearing, name: str, module: nn.Module, value: Tensor, output: Tensor) -> Tensor:
    """Reads its features, and its own hidden units at the step before."""
    numbers = hearing.read(value)
    for dim in range(value.dim() - 1):
        numbers = hearing.sets.along(numbers, dim)
    units = hearing.units(name, output, output.dim() - 1)
    heard = torch.cat([numbers.reshape(-1), units.reshape(-1, output.shape[-1])[0]])
    loud = [(side != 0).reshape(-1, side.shape[-1]).any(dim=0) for side in (value, output)]
    hearing.hears(name, heard, torch.cat(loud))
    return units


def _channel_norm(
    hearing: Hearing, name: str, module: nn.Module, value: Tensor, output: Tensor
) -> Tensor | None:
    """Each channel for itself; one whose scale is zero says a constant."""
    numbers, scale = hearing.of(value), module.weight
    if numbers is None or scale is None:
        return numbers
    assert isinstance(scale, Tensor)
    shape = [1] * value.dim()
    shape[1] = -1
    return numbers * (scale != 0).double().reshape(shape)


def _shared_norm(
    hearing: Hearing, name: str, module: nn.Module, value: Tensor, output: Tensor
) -> Tensor | None:
    """All that is normalised together is heard through the statistics; a scale of zero says a constant."""
    numbers, scale = hearing.of(value), module.weight
    if numbers is None:
        return None
    heard = numbers
    if isinstance(module, nn.GroupNorm):
        blocks = numbers.unflatten(1, (module.num_groups, -1))
        for dim in range(2, blocks.dim()):
            blocks = hearing.sets.along(blocks, dim)
        heard = blocks.expand(value.unflatten(1, (module.num_groups, -1)).shape).reshape(value.shape)
        shape = [1, -1, *[1] * (value.dim() - 2)]
    else:
        assert isinstance(module, (nn.LayerNorm, nn.RMSNorm))
        for dim in range(value.dim() - len(module.normalized_shape), value.dim()):
            heard = hearing.sets.along(heard, dim)
        heard = heard.expand(value.shape)
        shape = list(module.normalized_shape)
    if not torch.equal(heard, numbers):
        hearing.mixes(numbers, f"{name} ({type(module).__name__}), whose statistics they share")
    heard = heard if hearing.statistics else numbers
    if scale is None:
        return heard
    assert isinstance(scale, Tensor)
    return heard * (scale != 0).double().reshape(shape)


def _by_element(
    hearing: Hearing, name: str, module: nn.Module, value: Tensor, output: Tensor
) -> Tensor | None:
    return hearing.of(value)


def operator_rule(
    hearing: Hearing,
    function: Any,
    name: str,
    arguments: dict[str, Any],
    tensors: Sequence[Tensor],
    output: Any,
) -> Any:
    """The numbers of what an operator gave; a list for several tensors, None where nothing is heard.

    Parameters
    ----------
    function : torch._ops.OpOverload
        The ATen operator that ran, with its `name`, its `arguments` by name and the `tensors` among them.
    """
    sets = hearing.sets
    if name in _INDEPENDENT:
        return None
    if name in _SAME:
        return hearing.of(tensors[0])
    if name in _RESHAPED:
        return hearing.numbers(tensors[0]).reshape(output.shape)
    if name in _MOVED or name in _JOINED or name == "constant_pad_nd":
        return _moved(hearing, function, name, arguments)
    if name in _PRODUCTS:
        return _product(hearing, name, arguments, output)
    if name in _ALONG:
        numbers = hearing.numbers(tensors[0])
        return _together(hearing, numbers, [arguments["dim"]], name).expand(output.shape)
    if name in _REDUCED and "other" not in arguments:
        return _reduced(hearing, arguments, tensors[0], output)
    if name == "glu":
        halves = hearing.numbers(tensors[0]).chunk(2, arguments["dim"])
        return sets.meet(halves, output.shape)
    if spatial := _SPATIAL.match(name):
        numbers = hearing.numbers(tensors[0])
        for dim in range(numbers.dim() - int(spatial.group(1)), numbers.dim()):
            numbers = sets.along(numbers, dim)
        outputs = output if isinstance(output, tuple) else (output,)
        found = [numbers.expand(one.shape) for one in outputs]
        return found if isinstance(output, tuple) else found[0]
    if (torch.Tag.pointwise in function.tags or name in _POINTWISE or name in _REDUCED) and isinstance(
        output, Tensor
    ):
        return sets.meet([hearing.numbers(tensor) for tensor in tensors], output.shape)
    return _everything(hearing, name, tensors, output)


def _moved(hearing: Hearing, function: Any, name: str, arguments: dict[str, Any]) -> Any:
    """What only moves values moves their numbers; joined or padded values that depend on nothing are 0."""

    def replaced(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor) or (hearing.of(leaf) is None and name not in _JOINED):
            return leaf
        return hearing.numbers(leaf)

    moved = {key: tree_map(replaced, value) for key, value in arguments.items()}
    if name == "constant_pad_nd":
        moved["value"] = NOBODY
    result = function(**moved)
    return list(result) if isinstance(result, (tuple, list)) else result


def _product(hearing: Hearing, name: str, arguments: dict[str, Any], output: Tensor) -> Tensor:
    """Rows of A times columns of B: each place hears a whole row and a whole column."""
    left, right = (arguments[key] for key in _PRODUCTS[name])
    rows = _together(hearing, hearing.numbers(left), [left.dim() - 1], "a product of two tensors")
    columns = _together(hearing, hearing.numbers(right), [right.dim() - 2], "a product of two tensors")
    found = hearing.sets.meet([rows, columns], output.shape)
    if name in ("addmm", "baddbmm"):
        found = hearing.sets.meet([found, hearing.numbers(arguments["self"])], output.shape)
    return found


def _together(hearing: Hearing, numbers: Tensor, dims: Sequence[int], what: str) -> Tensor:
    """Unions along dimensions, and a note if channels met there."""
    for dim in dims:
        if varies(numbers, dim):
            hearing.mixes(numbers, what.strip("_"))
        numbers = hearing.sets.along(numbers, dim)
    return numbers


def _reduced(hearing: Hearing, arguments: dict[str, Any], tensor: Tensor, output: Any) -> Any:
    dims = arguments.get("dim")
    if dims is None or dims == []:
        dims = range(tensor.dim())
    elif isinstance(dims, int):
        dims = [dims]
    numbers = hearing.numbers(tensor)
    chosen = sorted({dim % tensor.dim() for dim in dims}, reverse=True) if tensor.dim() else []
    for dim in chosen:
        numbers = hearing.sets.along(numbers, dim)
        if not arguments.get("keepdim", False):
            numbers = numbers.select(dim, 0)
    return [numbers] * len(output) if isinstance(output, (tuple, list)) else numbers


def _everything(hearing: Hearing, name: str, tensors: Sequence[Tensor], output: Any) -> Any:
    """An operator without a rule: all that it reads is heard in all that it gives."""
    numbers = [hearing.numbers(tensor) for tensor in tensors]
    whole = hearing.sets.united([hearing.sets.whole(number) for number in numbers])
    for number in numbers:
        hearing.mixes(number, f"the operation {name}, which is not followed")

    def filled(leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return None
        return hearing.all_alike(whole, leaf)

    if isinstance(output, (tuple, list)):
        return [filled(leaf) for leaf in output]
    return filled(output)
