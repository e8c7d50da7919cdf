"""What each type of module does to channels, and what it must lose with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from analysis.modules import Pad, Recurrent, Reshape, Split, Take, Values
from analysis.network import BATCH_NORM_TYPES, CONVOLUTION_TYPES, LAYER_TYPES, TRANSPOSED_TYPES
from analysis.pruning.labels import varies, varying
from analysis.pruning.operators import MaybeLabels
from analysis.pruning.slots import Slots

# Reads the slots, the module's name and itself, the labels it is given and its result; gives its labels.
ModuleRule = Callable[[Slots, str, nn.Module, MaybeLabels, Any], Any]
_INSTANCE_NORM_TYPES = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_PASSING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.Identity)


def rule_of(module: nn.Module) -> ModuleRule | None:
    """The rule for a module's type; None if its operators say it all."""
    return next((rule for types, rule in _BY_TYPE if isinstance(module, types)), None)


def _layer(slots: Slots, name: str, module: nn.Module, given: MaybeLabels, output: Tensor) -> MaybeLabels:
    """Linear and convolution layers: channels in, channels of their own out; block by block if grouped."""
    assert isinstance(module, LAYER_TYPES)
    linear = isinstance(module, nn.Linear)
    dim = output.dim() - 1 if linear else output.dim() + 1 - module.weight.dim()
    outputs = slots.outputs(name, output.shape[dim])
    count = module.in_features if isinstance(module, nn.Linear) else int(module.in_channels)  # type: ignore[arg-type]
    if given is not None and slots.passes_by(given, dim, f"{name} mixes them with positions"):
        slots.labels.pin(outputs, f"{name} works along positions, not along channels")
        slots.fix_inputs(name, count, f"{name} works along positions, not along channels")
        seen = given.narrow(dim, 0, 1)
        slots.rules.products.append((seen, output.numel() * count * _kernel(module) // seen.numel()))
        return None if varies(given, dim) else given.narrow(dim, 0, 1).expand(output.shape)
    read = torch.full((count,), -1) if given is None else slots.vector(given, dim)
    assert read is not None
    groups = int(getattr(module, "groups", 1))
    if groups > 1:
        blocks = (read.reshape(groups, -1), outputs.reshape(groups, -1))
        for block in blocks:
            slots.labels.unite_along(block, 1)
        slots.labels.unite(blocks[1][:, 0], blocks[0][:, 0])
    else:
        slots.hold(name, "in", read)
    return _along(outputs, output, dim)


def _kernel(module: nn.Module) -> int:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight[0, 0].numel()


def _embedding(slots: Slots, name: str, module: nn.Module, given: MaybeLabels, output: Tensor) -> Tensor:
    return _along(slots.outputs(name, output.shape[-1]), output, -1)


def _recurrent(slots: Slots, name: str, module: nn.Module, given: MaybeLabels, output: Tensor) -> Tensor:
    assert isinstance(module, Recurrent)
    read = torch.full((module.input_size,), -1)
    if given is not None:
        found = slots.vector(given, -1)
        if found is None:
            slots.labels.pin(given, f"{name} mixes them with positions")
        else:
            read = found
    slots.hold(name, "in", read)
    return _along(slots.outputs(name, module.hidden_size), output, -1)


def _norm(slots: Slots, name: str, module: nn.Module, given: MaybeLabels, output: Tensor) -> MaybeLabels:
    """BatchNorm, InstanceNorm, GroupNorm: one scale for each channel, in dimension 1."""
    if given is None or slots.passes_by(given, 1, f"{name} mixes them with positions"):
        return None if given is None or varies(given, 1) else given
    vector = slots.vector(given, 1)
    assert vector is not None
    if isinstance(module, nn.GroupNorm) and module.num_groups > 1:
        slots.labels.unite_along(vector.reshape(module.num_groups, -1), 1)
    slots.hold(name, "out", vector)
    return given


def _layer_norm(
    slots: Slots, name: str, module: nn.Module, given: MaybeLabels, output: Tensor
) -> MaybeLabels:
    assert isinstance(module, nn.LayerNorm)
    if given is None:
        return None
    along = [d for d in varying(given) if d >= given.dim() - len(module.normalized_shape)]
    if not along:
        return given
    if len(module.normalized_shape) > 1 or slots.vector(given, -1) is None:
        slots.labels.pin(given, f"{name} normalises them together with positions")
        return None
    vector = slots.vector(given, -1)
    assert vector is not None
    slots.hold(name, "out", vector)
    return given


def _prelu(slots: Slots, name: str, module: nn.Module, given: MaybeLabels, output: Tensor) -> MaybeLabels:
    assert isinstance(module, nn.PReLU)
    if module.num_parameters == 1:
        return given
    return _norm(slots, name, module, given, output)


def _values(slots: Slots, name: str, module: nn.Module, given: MaybeLabels, output: Tensor) -> Tensor:
    labels = slots.labels.fresh(output.numel()).reshape(output.shape)
    slots.values(name, labels)
    return labels


def _reshape(slots: Slots, name: str, module: nn.Module, given: MaybeLabels, output: Tensor) -> MaybeLabels:
    if given is None:
        return None
    labels = given.reshape(output.shape)
    slots.shaped(name, labels)
    return labels


def _split(slots: Slots, name: str, module: nn.Module, given: MaybeLabels, output: Any) -> Any:
    assert isinstance(module, (Split, Take))
    if given is None:
        return None
    if varies(given, module.dim):
        vector = slots.vector(given, module.dim)
        if vector is None:
            slots.labels.pin(given, f"{name} cuts across two dimensions")
            return None
        slots.hold(name, "in", vector)
    if isinstance(module, Split):
        return list(given.split(list(module.sizes), module.dim))
    return given.index_select(module.dim, torch.tensor(module.positions))


def _pad(slots: Slots, name: str, module: nn.Module, given: MaybeLabels, output: Tensor) -> MaybeLabels:
    assert isinstance(module, Pad)
    if given is None:
        return None
    if not varies(given, module.dim):
        return given.narrow(module.dim, 0, 1).expand(output.shape)
    vector = slots.vector(given, module.dim)
    if vector is None:
        slots.labels.pin(given, f"{name} pads across two dimensions")
        return None
    whole = torch.cat([slots.labels.fresh(module.before), vector, slots.labels.fresh(module.after)])
    slots.hold(name, "out", whole)
    return _along(whole, output, module.dim)


def _same(slots: Slots, name: str, module: nn.Module, given: MaybeLabels, output: Tensor) -> MaybeLabels:
    return given


def _along(vector: Tensor, output: Tensor, dim: int) -> Tensor:
    shape = [1] * output.dim()
    shape[dim] = -1
    return vector.reshape(shape).expand(output.shape)


_BY_TYPE: list[tuple[tuple[type[nn.Module], ...], ModuleRule]] = [
    ((nn.Linear, *CONVOLUTION_TYPES, *TRANSPOSED_TYPES), _layer),
    ((nn.Embedding,), _embedding),
    ((Recurrent,), _recurrent),
    ((*BATCH_NORM_TYPES, *_INSTANCE_NORM_TYPES, nn.GroupNorm), _norm),
    ((nn.LayerNorm,), _layer_norm),
    ((nn.PReLU,), _prelu),
    ((Values,), _values),
    ((Reshape,), _reshape),
    ((Split, Take), _split),
    ((Pad,), _pad),
    (_PASSING, _same),
]
