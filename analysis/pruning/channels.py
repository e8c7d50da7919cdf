"""Removing channels physically, and the masked twin that keeps its shape.

Both work on copies of the modules they change; everything else is shared with the loaded network.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from analysis.errors import NetworkError
from analysis.network import TRANSPOSED_TYPES, Group, Network, Side, out_dim, replace_modules

_BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
SLICEABLE_TYPES = (*_BATCH_NORMS, *_CONVOLUTIONS, *TRANSPOSED_TYPES, nn.Linear)

Channels = Sequence[tuple[Group, tuple[int, ...]]]
_Positions = dict[tuple[str, Side], set[int]]


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


def cut_modules(network: Network, channels: Channels) -> dict[str, nn.Module]:
    """Smaller copies of the modules that lose channels, by name; errors as :func:`remove_channels`."""
    modules: dict[str, nn.Module] = {}
    for (name, side), gone in _positions(channels).items():
        module = modules.get(name)
        if module is None:
            module = copy.deepcopy(network.module.get_submodule(name))
        modules[name] = _without(name, module, side, gone)
    return modules


def silent_modules(network: Network, channels: Channels) -> dict[str, nn.Module]:
    """Copies, in full shape, of the modules that write or read the channels, with these silenced.

    Weights, biases and BatchNorm parameters that produce the channels are zero, and so are the
    weights that read them: where f(0) is not 0 (sigmoid) a silent producer alone would not do.
    """
    modules: dict[str, nn.Module] = {}
    for (name, side), gone in _positions(channels).items():
        if name not in modules:
            modules[name] = copy.deepcopy(network.module.get_submodule(name))
        _silence(modules[name], side, sorted(gone))
    return modules


def _positions(channels: Channels) -> _Positions:
    """Union over groups of what each module loses on each side."""
    gone: _Positions = {}
    for group, indices in channels:
        for part in group.slices:
            gone.setdefault((part.module, part.side), set()).update(part.positions(indices))
    return {key: positions for key, positions in gone.items() if positions}


def _is_depthwise(module: nn.Module) -> bool:
    return (
        isinstance(module, _CONVOLUTIONS)
        and module.groups == module.in_channels == module.out_channels
        and module.groups > 1
    )


def _without(name: str, module: nn.Module, side: Side, gone: set[int]) -> nn.Module:
    """`module` (a private copy) with positions `gone` cut from its output or input side."""
    match module:
        case nn.BatchNorm1d() | nn.BatchNorm2d() | nn.BatchNorm3d():
            keep = _keep(name, module.num_features, gone)
            for attribute in ("weight", "bias", "running_mean", "running_var"):
                _cut(module, attribute, 0, keep)
            module.num_features = len(keep)
        case nn.Linear():
            keep = _keep(name, module.out_features if side == "out" else module.in_features, gone)
            if side == "out":
                _cut(module, "weight", 0, keep)
                _cut(module, "bias", 0, keep)
                module.out_features = len(keep)
            else:
                _cut(module, "weight", 1, keep)
                module.in_features = len(keep)
        case nn.Conv1d() | nn.Conv2d() | nn.Conv3d() if _is_depthwise(module):
            keep = _keep(name, module.out_channels, gone)
            _cut(module, "weight", 0, keep)
            _cut(module, "bias", 0, keep)
            module.in_channels = module.out_channels = module.groups = len(keep)
        case _ if isinstance(module, (*_CONVOLUTIONS, *TRANSPOSED_TYPES)):
            if module.groups > 1:
                raise NetworkError(f"{name} is a grouped convolution, which cannot be cut evenly yet")
            keep = _keep(name, module.out_channels if side == "out" else module.in_channels, gone)
            dim = out_dim(module)
            if side == "out":
                _cut(module, "weight", dim, keep)
                _cut(module, "bias", 0, keep)
                module.out_channels = len(keep)
            else:
                _cut(module, "weight", 1 - dim, keep)
                module.in_channels = len(keep)
        case _:
            raise NetworkError(f"{name} ({type(module).__name__}) cannot be cut")
    return module


def _keep(name: str, count: int, gone: set[int]) -> Tensor:
    keep = [i for i in range(count) if i not in gone]
    if not keep:
        raise NetworkError(f"nothing would be left of {name}; keep at least one of its {count} channels")
    return torch.tensor(keep)


def _cut(module: nn.Module, attribute: str, dim: int, keep: Tensor) -> None:
    value = getattr(module, attribute, None)
    if value is None:
        return
    smaller = value.detach().index_select(dim, keep)
    if isinstance(value, nn.Parameter):
        setattr(module, attribute, nn.Parameter(smaller, requires_grad=value.requires_grad))
    else:
        setattr(module, attribute, smaller)


@torch.no_grad()
def _silence(module: nn.Module, side: Side, positions: list[int]) -> None:
    """Zero what `module` (a private copy) writes to, or reads from, `positions`."""
    assert isinstance(module, SLICEABLE_TYPES)
    if isinstance(module, _BATCH_NORMS):
        for value in (module.weight, module.bias, module.running_mean):
            if value is not None:
                value[positions] = 0
        return
    depthwise = _is_depthwise(module)
    dim = out_dim(module) if side == "out" or depthwise else 1 - out_dim(module)
    index = torch.tensor(positions)
    module.weight.index_fill_(dim, index, 0)
    if (side == "out" or depthwise) and module.bias is not None:
        module.bias[positions] = 0
