"""What a move does not change is kept: the values at the first step that a target's cut reaches.

Removing channels from the layer that writes them only drops those channels from its output. So a channel
cut needs no step before the first layer that *reads* the channels, once its removed channels are dropped
from the kept values.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass
from threading import Lock
from typing import Any

import torch
from torch import Tensor, nn

from analysis.inference import Program, Values
from analysis.modules import Recurrent, Split, Take
from analysis.network import Group, Network, Slice
from analysis.pruning.channels import cut_modules
from analysis.pruning.groups import random_inputs

DEFAULT_BUDGET = 256 * 2**20
_TOLERANCE = 1e-4


class PrefixCache:
    """Kept values by key and chunk of examples, least recently used out, within `budget` bytes.

    Safe to share between threads; values must not be written to.
    """

    def __init__(self, budget: int = DEFAULT_BUDGET) -> None:
        self.budget = budget
        self.used = 0
        self._entries: OrderedDict[Hashable, dict[int, Values]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable, chunk: int) -> Values | None:
        """The values kept for a chunk, or None."""
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key].get(chunk)

    def put(self, key: Hashable, chunk: int, values: Values) -> None:
        """Keep values if they fit, dropping what was not used for longest."""
        size = _bytes(values)
        with self._lock:
            own = self._entries.setdefault(key, {})
            self._entries.move_to_end(key)
            if chunk in own or size > self.budget:
                return
            while self.used + size > self.budget and next(iter(self._entries)) != key:
                _, dropped = self._entries.popitem(last=False)
                self.used -= sum(_bytes(v) for v in dropped.values())
            if self.used + size <= self.budget:
                own[chunk] = values
                self.used += size


@dataclass(frozen=True)
class Grip:
    """Where a target takes hold of a program.

    Steps before `cut` do not depend on the target's ratio. ``drops[i]`` says where the i-th value that is
    live at the cut carries the group's channels: (dimension, the reader's slice), or None.
    """

    cut: int
    drops: tuple[tuple[int, Slice] | None, ...] = ()

    @property
    def drops_channels(self) -> bool:
        """True if the kept values are those of the uncut target."""
        return any(self.drops)

    def apply(self, values: Values, channels: tuple[int, ...]) -> Values:
        """`values` without the removed channels."""
        return tuple(
            _without(value, drop[0], drop[1].positions(channels)) if drop else value
            for value, drop in zip(values, self.drops, strict=True)
        )

    def is_shared_with(self, group: Group) -> bool:
        """True if `group` cuts a value that this grip drops channels from: positions would move."""
        mine = {drop[1].module for drop in self.drops if drop}
        return any(part.module in mine and part.side == "in" for part in group.slices)


def layer_grip(program: Program, layer: str) -> Grip:
    """Where cutting single weights of a layer takes hold."""
    return Grip(program.first_step(layer))


def group_start(program: Program, group: Group) -> int:
    """The first step that cutting a group's channels changes."""
    return min(program.first_step(part.module) for part in group.slices)


def group_grip(network: Network, program: Program, group: Group) -> Grip:
    """Where cutting a group's channels takes hold, at its first reader if that is found to be exact.

    Half of the channels are removed, and the answers to random inputs compared with a full run; if they
    differ, the grip is at the first module that changes at all.
    """
    first = group_start(program, group)
    readers = [part for part in group.slices if part.side == "in"]
    if not readers:
        return Grip(first)
    cut = min(program.first_step(part.module) for part in readers)
    by_module = {part.module: part for part in readers}
    drops: list[tuple[int, Slice] | None] = []
    for node in program.live(cut):
        part = next((by_module[name] for name in program.readers(node, cut) if name in by_module), None)
        drops.append((_channel_dim(network, part.module), part) if part else None)
    grip = Grip(cut, tuple(drops))
    return grip if any(drops) and _is_exact(network, program, group, grip) else Grip(first)


def _is_exact(network: Network, program: Program, group: Group, grip: Grip) -> bool:
    channels = tuple(range(0, group.size, 2))[: group.size - 1]
    inputs = program.layout.prepare(random_inputs(network))
    pruned = program.with_modules(cut_modules(network, [(group, channels)]))
    values = program.run_until(grip.cut, inputs)
    expected = pruned(inputs)
    try:
        found = pruned.run_from(grip.cut, grip.apply(values, channels))
    except (RuntimeError, IndexError, ValueError):
        return False  # shapes do not fit: a value carries the channels in another way
    return bool((found - expected).abs().max() <= _TOLERANCE * expected.abs().max())


def _channel_dim(network: Network, module: str) -> int:
    """The dimension of what a module reads that counts its channels."""
    reader = network.module.get_submodule(module)
    if isinstance(reader, (Split, Take)):
        return reader.dim
    return -1 if isinstance(reader, (nn.Linear, Recurrent)) else 1


def _without(value: Tensor, dim: int, positions: set[int]) -> Tensor:
    keep = torch.tensor([i for i in range(value.shape[dim]) if i not in positions])
    return value.index_select(dim, keep)


def _bytes(value: Any) -> int:
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    return sum(_bytes(part) for part in value) if isinstance(value, (tuple, list)) else 0
