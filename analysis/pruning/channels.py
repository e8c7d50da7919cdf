"""Removing channels physically, and the masked twin that keeps its shape.

Both work on copies of the modules they change; everything else is shared with the loaded network.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from analysis.errors import NetworkError
from analysis.modules import MOVEMENTS, Pad, Recurrent, Reshape, Split, Take, Values
from analysis.network import (
    BATCH_NORM_TYPES,
    CONVOLUTION_TYPES,
    TRANSPOSED_TYPES,
    Group,
    Network,
    Side,
    out_dim,
    replace_modules,
    weight_parameters,
)

_INSTANCE_NORMS = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_NORMS = (*BATCH_NORM_TYPES, *_INSTANCE_NORMS)

Channels = Sequence[tuple[Group, tuple[int, ...]]]
_Place = tuple[str, Side, int]


def remove_channels(network: Network, channels: Channels) -> Network:
    """A physically smaller network without the given channels of each group.

    Raises
    ------
    NetworkError
        If a module of a group cannot be cut, or nothing of it would be left.
    """
    return replace_modules(network, cut_modules(network, channels))


def mask_channels(network: Network, channels: Channels) -> Network:
    """The masked twin: same shapes, the given channels silent (see :func:`silent_modules`)."""
    return replace_modules(network, silent_modules(network, channels))


def cut_modules(
    network: Network, channels: Channels, changed: Mapping[str, nn.Module] | None = None
) -> dict[str, nn.Module]:
    """Smaller copies of the modules that lose channels, by name; errors as :func:`remove_channels`.

    Modules that are `changed` already (weights set to zero) are taken from there.
    """
    modules: dict[str, nn.Module] = {}
    for (name, side, dim), gone in _positions(channels).items():
        if name not in modules:
            modules[name] = private(_current(network, changed, name))
        _cut_module(name, modules[name], side, dim, gone)
    return modules


def silent_modules(
    network: Network, channels: Channels, changed: Mapping[str, nn.Module] | None = None
) -> dict[str, nn.Module]:
    """Copies, in full shape, of the modules that write or read the channels, with these silenced.

    Weights, biases and scales that produce the channels are zero, and so are the weights that read them:
    where f(0) is not 0 (sigmoid) a silent producer alone would not do. `changed` as in
    :func:`cut_modules`.
    """
    modules: dict[str, nn.Module] = {}
    for (name, side, dim), gone in _positions(channels).items():
        module = modules.get(name, _current(network, changed, name))
        if isinstance(module, MOVEMENTS):
            continue
        if name not in modules:
            modules[name] = module = private(module)
        _silence(module, side, dim, sorted(gone))
    return modules


def _current(network: Network, changed: Mapping[str, nn.Module] | None, name: str) -> nn.Module:
    return changed[name] if changed and name in changed else network.module.get_submodule(name)


def weights_of(module: nn.Module, side: Side, positions: set[int]) -> Tensor:
    """A mask of the shape of a layer's weight: True where it writes or reads `positions`."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    mask = torch.zeros(weight.shape, dtype=torch.bool)
    for dim, rows in _rows(module, side, positions).items():
        mask.index_fill_(dim, rows, True)
    return mask


def _positions(channels: Channels) -> dict[_Place, set[int]]:
    """Union over groups of what each module loses on each side."""
    gone: dict[_Place, set[int]] = {}
    for group, indices in channels:
        for part in group.slices:
            gone.setdefault((part.module, part.side, part.dim), set()).update(part.positions(indices))
    return {key: positions for key, positions in gone.items() if positions}


def _rows(module: nn.Module, side: Side, positions: set[int]) -> dict[int, Tensor]:
    """What of a layer's weight goes with positions of one side: {dimension: indices}."""
    index = torch.tensor(sorted(positions), dtype=torch.long)
    if isinstance(module, Recurrent):
        if side == "in":
            return {1: index}
        units = torch.arange(module.gates)[:, None] * module.hidden_size + index
        return {0: units.flatten(), 1: module.input_size + index}
    if isinstance(module, TRANSPOSED_TYPES) and module.groups > 1:  # output blocks are rows of input blocks
        block = module.out_channels // module.groups
        groups = torch.unique(index // block)
        size = module.in_channels // module.groups
        return {0: (groups[:, None] * size + torch.arange(size)).flatten()}
    dim = out_dim(module)
    return {dim if side == "out" else 1 - dim: index}


def _cut_module(name: str, module: nn.Module, side: Side, dim: int, gone: set[int]) -> None:
    """Cut positions `gone` from one side of `module` (a private copy)."""
    match module:
        case Recurrent():
            _cut_recurrent(name, module, side, gone)
        case nn.Linear() | nn.Embedding():
            _cut_linear(name, module, side, gone)
        case nn.GroupNorm() if module.num_groups > 1:
            block = module.num_channels // module.num_groups
            _cut_norm(name, module, "num_channels", gone)
            module.num_groups = module.num_channels // block
        case nn.GroupNorm():
            _cut_norm(name, module, "num_channels", gone)
        case nn.LayerNorm() | nn.RMSNorm():
            keep = _keep(name, module.normalized_shape[0], gone)
            _cut(module, ("weight", "bias"), 0, keep)
            module.normalized_shape = (len(keep),)
        case nn.PReLU():
            _cut_norm(name, module, "num_parameters", gone)
        case Values():
            _cut(module, ("value",), dim, _keep(name, module.value.shape[dim], gone))
        case Reshape() | Split() | Take() | Pad():
            _cut_movement(name, module, dim, gone)
        case _ if isinstance(module, _NORMS):
            _cut_norm(name, module, "num_features", gone)
        case _ if isinstance(module, (*CONVOLUTION_TYPES, *TRANSPOSED_TYPES)):
            _cut_convolution(name, module, side, gone)
        case _:
            raise NetworkError(f"{name} ({type(module).__name__}) cannot be cut")


def _cut_norm(name: str, module: nn.Module, count: str, gone: set[int]) -> None:
    keep = _keep(name, getattr(module, count), gone)
    _cut(module, ("weight", "bias", "running_mean", "running_var"), 0, keep)
    setattr(module, count, len(keep))


def _cut_linear(name: str, module: nn.Linear | nn.Embedding, side: Side, gone: set[int]) -> None:
    if isinstance(module, nn.Embedding):
        keep = _keep(name, module.embedding_dim, gone)
        _cut(module, ("weight",), 1, keep)
        module.embedding_dim = len(keep)
    elif side == "out":
        keep = _keep(name, module.out_features, gone)
        _cut(module, ("weight", "bias"), 0, keep)
        module.out_features = len(keep)
    else:
        keep = _keep(name, module.in_features, gone)
        _cut(module, ("weight",), 1, keep)
        module.in_features = len(keep)


def _cut_convolution(name: str, module: Any, side: Side, gone: set[int]) -> None:
    keep = _keep(name, module.out_channels if side == "out" else module.in_channels, gone)
    if module.groups > 1:
        _cut_blocks(name, module, keep)
        return
    dim = out_dim(module)
    if side == "out":
        _cut(module, ("weight",), dim, keep)
        _cut(module, ("bias",), 0, keep)
        module.out_channels = len(keep)
    else:
        _cut(module, ("weight",), 1 - dim, keep)
        module.in_channels = len(keep)


def _cut_blocks(name: str, module: Any, keep: Tensor) -> None:
    """Keep whole filter groups of a grouped convolution: their outputs and the inputs they read."""
    block, size = module.out_channels // module.groups, module.in_channels // module.groups
    groups = torch.unique(keep // block)
    if len(keep) != block * len(groups):
        raise NetworkError(f"{name} is a grouped convolution, which loses whole filter groups only")
    rows = keep
    if isinstance(module, TRANSPOSED_TYPES):
        rows = (groups[:, None] * size + torch.arange(size)).flatten()
    _cut(module, ("weight",), 0, rows)
    _cut(module, ("bias",), 0, keep)
    module.groups = len(groups)
    module.out_channels, module.in_channels = len(keep), size * len(groups)


def _cut_recurrent(name: str, module: Recurrent, side: Side, gone: set[int]) -> None:
    if side == "in":
        _cut(module, ("weight_ih",), 1, _keep(name, module.input_size, gone))
        return
    keep = _keep(name, module.hidden_size, gone)
    rows = (torch.arange(module.gates)[:, None] * module.hidden_size + keep).flatten()
    _cut(module, ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), 0, rows)
    _cut(module, ("weight_hh",), 1, keep)


def _cut_movement(name: str, module: nn.Module, dim: int, gone: set[int]) -> None:
    """Sizes that count channels count those that are left."""
    match module:
        case Reshape():
            sizes = list(module.sizes)
            if sizes[dim] >= 0:
                sizes[dim] = len(_keep(name, sizes[dim], gone))
            module.sizes = tuple(sizes)
        case Split():
            ends = torch.tensor(module.sizes).cumsum(0).tolist()
            starts = [0, *ends[:-1]]
            module.sizes = tuple(
                len(_keep(name, end - start, {g - start for g in gone if start <= g < end}))
                for start, end in zip(starts, ends, strict=True)
            )
        case Take():
            left = [position for position in module.positions if position not in gone]
            if not left:
                raise NetworkError(f"nothing would be left of {name}; keep at least one of its channels")
            module.positions = tuple(position - sum(g < position for g in gone) for position in left)
        case Pad():
            last = module.size - module.after
            module.before -= sum(g < module.before for g in gone)
            module.after -= sum(g >= last for g in gone)
            module.size -= len(gone)


def _keep(name: str, count: int, gone: set[int]) -> Tensor:
    keep = [i for i in range(count) if i not in gone]
    if not keep:
        raise NetworkError(f"nothing would be left of {name}; keep at least one of its {count} channels")
    return torch.tensor(keep)


def _cut(module: nn.Module, attributes: Sequence[str], dim: int, keep: Tensor) -> None:
    for attribute in attributes:
        value = getattr(module, attribute, None)
        if value is None:
            continue
        put(module, attribute, value.detach().index_select(dim, keep))


def _silence(module: nn.Module, side: Side, dim: int, positions: list[int]) -> None:
    """Zero what `module` (a private copy) writes to, or reads from, `positions`."""
    index = torch.tensor(positions)
    match module:
        case nn.PReLU():
            return  # what it reads is zero, and so is what it says
        case Values():
            put(module, "value", module.value.detach().index_fill(dim, index, 0))
            return
        case nn.GroupNorm() | nn.LayerNorm() | nn.RMSNorm():
            _zero(module, ("weight", "bias"), index)
            return
        case _ if isinstance(module, _NORMS):
            _zero(module, ("weight", "bias", "running_mean"), index)
            return
    weight = module.weight
    assert isinstance(weight, Tensor)
    write_weight(module, weight.detach().masked_fill(weights_of(module, side, set(positions)), 0))
    if side == "out":
        biases = _rows(module, side, set(positions))[0] if isinstance(module, Recurrent) else index
        _zero(module, ("bias", "bias_ih", "bias_hh"), biases)


def _zero(module: nn.Module, attributes: Sequence[str], index: Tensor) -> None:
    for attribute in attributes:
        value = getattr(module, attribute, None)
        if value is not None:
            put(module, attribute, value.detach().index_fill(0, index, 0))


def write_weight(module: nn.Module, weight: Tensor) -> None:
    """Set the connections of a layer (made by :func:`private`)."""
    for name, values in weight_parameters(module, weight).items():
        put(module, name, values)


def private(module: nn.Module) -> nn.Module:
    """A copy of a module that may be given other parameters; until then they are shared, not copied."""
    twin = copy.copy(module)
    twin._parameters, twin._buffers = dict(module._parameters), dict(module._buffers)
    return twin


def put(module: nn.Module, attribute: str, values: Tensor) -> None:
    """Give a private module other values; the shared ones are not written to."""
    old = getattr(module, attribute)
    if isinstance(old, nn.Parameter):
        values = nn.Parameter(values.contiguous(), requires_grad=old.requires_grad)
    setattr(module, attribute, values)
