"""Channels followed through a network: what every module must lose when a channel goes.

The network runs once on its example while labels (:mod:`analysis.pruning.labels`) run beside its values:
by the rule of its type through each layer, and by the rules of :mod:`analysis.pruning.operators` through
everything else. A replacement for tracing dependencies by autograd nodes (Fang et al. 2023, "DepGraph")
that also sees heads, gates, shuffles and fixed sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode

from analysis.modules import Pad, Recurrent, Reshape, Split, Take, Values
from analysis.network import (
    BATCH_NORM_TYPES,
    CONVOLUTION_TYPES,
    LAYER_TYPES,
    TRANSPOSED_TYPES,
    Network,
    Side,
    by_output,
    out_dim,
)
from analysis.pruning.labels import Labels, varies, varying
from analysis.pruning.operators import Call, MaybeLabels, Rules, bound_arguments

INSTANCE_NORM_TYPES = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)
_PASSING = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.Identity)

Slot = tuple[str, Side, int]


@dataclass(frozen=True)
class Flow:
    """What was found: for each slot of a module, the label at each position; -1 where none can go.

    `products` are the MACs outside of layers by label, `heads` the labels that are attention heads.
    """

    slots: dict[Slot, list[int]]
    reasons: dict[int, str]
    products: dict[int, int]
    heads: frozenset[int]


def follow(network: Network) -> Flow:
    """Follow the channels of every layer of a network to its answer."""
    follower = _Follower(network.module)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), follower.mode:
        answer = follower.run(network.example_input.clone())
    for layer in network.layers:
        if (layer.name, "out", 0) not in follower.slots:
            channels = by_output(network.module.get_submodule(layer.name), network.weight(layer.name)).shape[
                0
            ]
            follower.labels.pin(
                follower.outputs(layer.name, channels), f"{layer.name} is called in an unusual way"
            )
    return follower.result(answer)


class _Operators(TorchDispatchMode):
    """Sees every operator that runs, and lets labels follow it."""

    def __init__(self, follower: _Follower) -> None:
        super().__init__()
        self.follower, self.is_paused = follower, False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        output = func(*args, **(kwargs or {}))
        if not self.is_paused:
            with self.paused():
                self.follower.operator(func, args, kwargs or {}, output)
        return output

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let what runs now go unseen."""
        before, self.is_paused = self.is_paused, True
        try:
            yield
        finally:
            self.is_paused = before


class _Follower(fx.Interpreter):
    """Runs the graph; layers by the rule of their type, everything else operator by operator."""

    def __init__(self, module: fx.GraphModule) -> None:
        super().__init__(module)
        self.labels = Labels()
        self.rules = Rules(self.labels)
        self.mode = _Operators(self)
        self.slots: dict[Slot, Tensor] = {}
        self._known: dict[int, tuple[Tensor, Tensor]] = {}
        self._shaped: list[tuple[str, Tensor]] = []

    def of(self, value: Tensor) -> MaybeLabels:
        """The labels of a tensor that the network has computed."""
        found = self._known.get(id(value))
        return None if found is None else self.labels.current(found[1])

    def note(self, value: Any, labels: Any) -> None:
        """Remember labels; the tensor is kept, so that its id stays its own."""
        if isinstance(value, (tuple, list)):
            for one, found in zip(value, labels or [None] * len(value), strict=True):
                self.note(one, found)
        elif isinstance(value, Tensor):
            self._known.pop(id(value), None)
            if labels is not None:
                self._known[id(value)] = (value, labels)

    def operator(self, function: Any, args: Any, kwargs: Any, output: Any) -> None:
        """One operator that ran."""
        name = function._schema.name.partition("::")[2]
        name = name.removesuffix("_") if not name.startswith("_") else name
        self.note(
            output,
            self.rules.apply(function, Call(name, bound_arguments(function, args, kwargs), output, self.of)),
        )

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        module = self.fetch_attr(str(target))
        rule = _rule_of(module)
        if rule is None or kwargs or len(args) > 1:
            return super().call_module(target, args, kwargs)
        with self.mode.paused():
            output = module(*args)
            given = self.of(args[0]) if args else None
            self.note(output, rule(self, str(target), module, given, output))
        return output

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        """A tied weight: its rows or columns go with the channels of the layer that owns it."""
        value = super().get_attr(target, args, kwargs)
        owner, _, attribute = str(target).rpartition(".")
        module = self.fetch_attr(owner) if owner else None
        if isinstance(module, (nn.Linear, nn.Embedding)):
            with self.mode.paused():
                channels = module.out_features if isinstance(module, nn.Linear) else module.embedding_dim
                labels = self.outputs(owner, channels)
                if attribute == "weight":
                    dim = out_dim(module)
                    labels = (labels[:, None] if dim == 0 else labels[None]).expand(value.shape)
                    if isinstance(module, nn.Linear):
                        self.fix_inputs(owner, module.in_features, f"the weights of {owner} are used twice")
                self.note(value, labels)
        return value

    def slot(self, name: str, side: Side, labels: Tensor, dim: int = 0) -> None:
        """A module holds these labels, in this order; at a second call the two go together."""
        key = (name, side, dim)
        if key in self.slots:
            self.labels.unite(self.slots[key], labels)
        self.slots[key] = labels

    def outputs(self, name: str, count: int) -> Tensor:
        """The labels of a layer's own output channels; the same at every call."""
        key: Slot = (name, "out", 0)
        if key not in self.slots:
            self.slots[key] = self.labels.fresh(count)
        return self.slots[key]

    def fix_inputs(self, name: str, count: int, reason: str) -> None:
        """What a layer reads must stay."""
        vector = self.labels.fresh(count)
        self.labels.pin(vector, reason)
        self.slot(name, "in", vector)

    def result(self, answer: Any) -> Flow:
        """All labels as they stand at the end."""
        for value in answer if isinstance(answer, (tuple, list)) else [answer]:
            found = self.of(value) if isinstance(value, Tensor) else None
            if found is not None:
                self.labels.pin(found, "they reach the network's answer")
        self.rules.settle()
        for name, found in self._shaped:
            dims = varying(self.labels.current(found))
            if len(dims) == 1:
                dim = dims[0]
                for other in range(found.dim()):
                    if other != dim:
                        found = found.narrow(other, 0, 1)
                self.slot(name, "out", found.reshape(-1), dim)
            elif dims:
                self.labels.pin(found, f"they lie along several dimensions of {name}")
        slots = {key: self.labels.current(vector).tolist() for key, vector in self.slots.items()}
        every = {label for vector in slots.values() for label in vector if label >= 0}
        products: dict[int, int] = {}
        for found, macs in self.rules.products:
            for label in self.labels.current(found).reshape(-1).tolist():
                products[label] = products.get(label, 0) + macs
        heads = [self.labels.current(found).reshape(-1).tolist() for found in self.rules.heads]
        return Flow(
            slots,
            {label: reason for label in every if (reason := self.labels.reason(label)) is not None},
            products,
            frozenset(label for found in heads for label in found),
        )

    def vector(self, labels: Tensor, dim: int) -> Tensor | None:
        """Labels along `dim` if they differ along no other dimension, else None."""
        if any(varies(labels, other) for other in range(labels.dim()) if other != dim % labels.dim()):
            return None
        return labels.movedim(dim, 0).reshape(labels.shape[dim], -1)[:, 0]

    def passes_by(self, labels: Tensor, dim: int, reason: str) -> bool:
        """True if channels run along another dimension than `dim`; if along both, they are pinned."""
        if self.vector(labels, dim) is not None:
            return False
        if varies(labels, dim):
            self.labels.pin(labels, reason)
        return True

    def shaped(self, name: str, labels: Tensor) -> None:
        """The result of a module with fixed sizes: which of them follow is known at the end."""
        self.rules.rectangles.append(labels)
        self._shaped.append((name, labels))


def _layer(
    follower: _Follower, name: str, module: nn.Module, given: MaybeLabels, output: Tensor
) -> MaybeLabels:
    """Linear and ungrouped convolution layers: channels in, channels of their own out."""
    assert isinstance(module, LAYER_TYPES)
    linear = isinstance(module, nn.Linear)
    dim = output.dim() - 1 if linear else output.dim() + 1 - module.weight.dim()
    outputs = follower.outputs(name, output.shape[dim])
    count = module.in_features if isinstance(module, nn.Linear) else int(module.in_channels)  # type: ignore[arg-type]
    if given is not None and follower.passes_by(given, dim, f"{name} mixes them with positions"):
        follower.labels.pin(outputs, f"{name} works along positions, not along channels")
        follower.fix_inputs(name, count, f"{name} works along positions, not along channels")
        seen = given.narrow(dim, 0, 1)
        follower.rules.products.append((seen, output.numel() * count * _kernel(module) // seen.numel()))
        return None if varies(given, dim) else given.narrow(dim, 0, 1).expand(output.shape)
    read = torch.full((count,), -1) if given is None else follower.vector(given, dim)
    assert read is not None
    if getattr(module, "groups", 1) > 1:
        blocks = (read.reshape(module.groups, -1), outputs.reshape(module.groups, -1))
        for block in blocks:
            follower.labels.unite_along(block, 1)
        follower.labels.unite(blocks[1][:, 0], blocks[0][:, 0])
    else:
        follower.slot(name, "in", read)
    return _along(outputs, output, dim)


def _kernel(module: nn.Module) -> int:
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight[0, 0].numel()


def _embedding(
    follower: _Follower, name: str, module: nn.Module, given: MaybeLabels, output: Tensor
) -> Tensor:
    return _along(follower.outputs(name, output.shape[-1]), output, -1)


def _recurrent(
    follower: _Follower, name: str, module: nn.Module, given: MaybeLabels, output: Tensor
) -> Tensor:
    assert isinstance(module, Recurrent)
    read = torch.full((module.input_size,), -1)
    if given is not None:
        found = follower.vector(given, -1)
        if found is None:
            follower.labels.pin(given, f"{name} mixes them with positions")
        else:
            read = found
    follower.slot(name, "in", read)
    return _along(follower.outputs(name, module.hidden_size), output, -1)


def _norm(
    follower: _Follower, name: str, module: nn.Module, given: MaybeLabels, output: Tensor
) -> MaybeLabels:
    """BatchNorm, InstanceNorm, GroupNorm: one scale for each channel, in dimension 1."""
    if given is None or follower.passes_by(given, 1, f"{name} mixes them with positions"):
        return None if given is None or varies(given, 1) else given
    vector = follower.vector(given, 1)
    assert vector is not None
    if isinstance(module, nn.GroupNorm) and module.num_groups > 1:
        follower.labels.unite_along(vector.reshape(module.num_groups, -1), 1)
    follower.slot(name, "out", vector)
    return given


def _layer_norm(
    follower: _Follower, name: str, module: nn.Module, given: MaybeLabels, output: Tensor
) -> MaybeLabels:
    assert isinstance(module, nn.LayerNorm)
    if given is None:
        return None
    along = [d for d in varying(given) if d >= given.dim() - len(module.normalized_shape)]
    if not along:
        return given
    if len(module.normalized_shape) > 1 or follower.vector(given, -1) is None:
        follower.labels.pin(given, f"{name} normalises them together with positions")
        return None
    vector = follower.vector(given, -1)
    assert vector is not None
    follower.slot(name, "out", vector)
    return given


def _prelu(
    follower: _Follower, name: str, module: nn.Module, given: MaybeLabels, output: Tensor
) -> MaybeLabels:
    assert isinstance(module, nn.PReLU)
    if module.num_parameters == 1:
        return given
    return _norm(follower, name, module, given, output)


def _values(follower: _Follower, name: str, module: nn.Module, given: MaybeLabels, output: Tensor) -> Tensor:
    labels = follower.labels.fresh(output.numel()).reshape(output.shape)
    follower._shaped.append((name, labels))
    return labels


def _reshape(
    follower: _Follower, name: str, module: nn.Module, given: MaybeLabels, output: Tensor
) -> MaybeLabels:
    if given is None:
        return None
    labels = given.reshape(output.shape)
    follower.shaped(name, labels)
    return labels


def _split(follower: _Follower, name: str, module: nn.Module, given: MaybeLabels, output: Any) -> Any:
    assert isinstance(module, (Split, Take))
    if given is None:
        return None
    if varies(given, module.dim):
        vector = follower.vector(given, module.dim)
        if vector is None:
            follower.labels.pin(given, f"{name} cuts across two dimensions")
            return None
        follower.slot(name, "in", vector)
    if isinstance(module, Split):
        return list(given.split(list(module.sizes), module.dim))
    return given.index_select(module.dim, torch.tensor(module.positions))


def _pad(
    follower: _Follower, name: str, module: nn.Module, given: MaybeLabels, output: Tensor
) -> MaybeLabels:
    assert isinstance(module, Pad)
    if given is None:
        return None
    if not varies(given, module.dim):
        return given.narrow(module.dim, 0, 1).expand(output.shape)
    vector = follower.vector(given, module.dim)
    if vector is None:
        follower.labels.pin(given, f"{name} pads across two dimensions")
        return None
    whole = torch.cat([follower.labels.fresh(module.before), vector, follower.labels.fresh(module.after)])
    follower.slot(name, "out", whole)
    return _along(whole, output, module.dim)


def _same(
    follower: _Follower, name: str, module: nn.Module, given: MaybeLabels, output: Tensor
) -> MaybeLabels:
    return given


def _along(vector: Tensor, output: Tensor, dim: int) -> Tensor:
    shape = [1] * output.dim()
    shape[dim] = -1
    return vector.reshape(shape).expand(output.shape)


_BY_TYPE: list[tuple[tuple[type[nn.Module], ...], Any]] = [
    ((nn.Linear, *CONVOLUTION_TYPES, *TRANSPOSED_TYPES), _layer),
    ((nn.Embedding,), _embedding),
    ((Recurrent,), _recurrent),
    ((*BATCH_NORM_TYPES, *INSTANCE_NORM_TYPES, nn.GroupNorm), _norm),
    ((nn.LayerNorm,), _layer_norm),
    ((nn.PReLU,), _prelu),
    ((Values,), _values),
    ((Reshape,), _reshape),
    ((Split, Take), _split),
    ((Pad,), _pad),
    (_PASSING, _same),
]


def _rule_of(module: nn.Module) -> Any:
    return next((rule for types, rule in _BY_TYPE if isinstance(module, types)), None)
