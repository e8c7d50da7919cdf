"""Where each value of a pruned network comes from in its dense one."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from analysis.modules import Values
from analysis.network import Network, called_modules
from analysis.pruning.prune import changed_modules
from analysis.pruning.selection import Selection

Keep = tuple[tuple[int, ...] | None, ...]


@dataclass(frozen=True, eq=False)
class Origin:
    """A tensor of the pruned network as the part of a dense one.

    Parameters
    ----------
    keep : tuple
        For each dimension the positions that are kept, or None for all.
    zeroed : Tensor or None
        True, in the shape of the pruned tensor, where a weight was removed; None if none was.
    """

    keep: Keep
    zeroed: Tensor | None

    def of(self, values: Tensor) -> Tensor:
        """What is left of the dense tensor."""
        for dim, keep in enumerate(self.keep):
            if keep is not None:
                values = values.index_select(dim, torch.tensor(keep))
        return values if self.zeroed is None else values.masked_fill(self.zeroed, 0)


def origins(dense: Network, selection: Selection) -> dict[str, Origin]:
    """The origin of every weight of ``remove(dense, selection)``, by its name in the state dict.

    Found by removing the same from a network that holds, in the place of each value, the value's number; so
    that it is what pruning did, not what it should have done. Tensors that are no kept rows of a dense one are
    left out, and so are whole numbers and values that belong to no layer and are not learned: there may be
    no file that they are in.
    """
    numbered = _numbered(dense)
    kept = _states(numbered, changed_modules(numbered, Selection(selection.channels)))
    zeroed = _states(numbered, changed_modules(numbered, selection))
    before = dense.module.state_dict()
    constants = _constants(dense)
    found = {}
    for name, numbers in kept.items():
        keep = _keep(numbers, before[name].shape)
        if keep is None or name in constants or not before[name].is_floating_point():
            continue
        gone = zeroed[name] == 0
        found[name] = Origin(keep, gone if bool(gone.any()) else None)
    return found


def _constants(network: Network) -> set[str]:
    return {
        f"{name}.value"
        for name, module in called_modules(network.module)
        if isinstance(module, Values) and not isinstance(module.value, nn.Parameter)
    }


def _numbered(dense: Network) -> Network:
    """A copy whose tensors hold 1, 2, 3, ... instead of values; it is never run."""
    module = copy.deepcopy(dense.module)
    for owner in module.modules():
        for name, parameter in owner._parameters.items():
            if parameter is not None:
                owner._parameters[name] = nn.Parameter(_count(parameter), requires_grad=False)
        for name, buffer in owner._buffers.items():
            if buffer is not None:
                owner._buffers[name] = _count(buffer)
    return replace(dense, module=module)


def _count(value: Tensor) -> Tensor:
    return torch.arange(1, value.numel() + 1, dtype=torch.float64).reshape(value.shape)


def _states(network: Network, changed: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    """The state dict that the network would have with some modules replaced."""
    return {
        f"{name}.{key}": value
        for name, module in called_modules(network.module)
        for key, value in changed.get(name, module).state_dict().items()
    }


def _keep(numbers: Tensor, shape: torch.Size) -> Keep | None:
    """The positions of a tensor of `shape` that are left, by their numbers; None if they form no grid."""
    if numbers.dim() != len(shape) or numbers.numel() == 0:
        return None
    flat, places, step = numbers.long() - 1, [], math.prod(shape)
    for dim, size in enumerate(shape):
        step //= size
        along = flat.movedim(dim, 0).reshape(numbers.shape[dim], -1)[:, 0]
        places.append(along // step % size)
    grid = torch.zeros((), dtype=torch.long)
    for size, place in zip(shape, places, strict=True):
        grid = grid[..., None] * size + place
    if not torch.equal(grid, flat):
        return None
    return tuple(
        None if place.tolist() == list(range(size)) else tuple(place.tolist())
        for size, place in zip(shape, places, strict=True)
    )
