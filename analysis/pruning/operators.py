"""What operations can do to channels: let them meet, mix them, multiply them, pin them.

A :class:`Call` is one operation that ran; :class:`Rules` holds what many operations have in common. Which
operation does what is the table in :mod:`analysis.pruning.operator_rules`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten

from analysis.pruning.labels import Labels, varies, varying

MaybeLabels = Tensor | None
# A silent channel adds nothing to these; whether it is silent there is for verification to tell.
_NEUTRAL = ("sum", "linalg_vector_norm", "norm")


@dataclass(frozen=True)
class Call:
    """One operator call: what it read and gave, with the labels of each tensor it read."""

    name: str
    arguments: dict[str, Any]
    output: Any
    labels_of: Callable[[Tensor], MaybeLabels]

    def labels(self, argument: str = "self") -> MaybeLabels:
        """Labels of a tensor argument."""
        value = self.arguments[argument]
        return self.labels_of(value) if isinstance(value, Tensor) else None

    def tensors(self) -> list[Tensor]:
        """All tensors it read."""
        return [leaf for leaf in tree_flatten(self.arguments)[0] if isinstance(leaf, Tensor)]


class Rules:
    """What rules are made of; keeps what can be decided only when all labels are known.

    Attributes
    ----------
    labels : Labels
        The sets that the rules unite and pin.
    rectangles : list of Tensor
        Labels after a reshape: in the end they may differ along one dimension only.
    fixed : list of (Tensor, int, str)
        Labels that may not differ along that dimension in the end, and why.
    products : list of (Tensor, int)
        Labels of the terms of a product of two tensors, and the MACs of each.
    heads : list of Tensor
        Labels that stand for one attention head each.
    """

    def __init__(self, labels: Labels) -> None:
        self.labels = labels
        self.rectangles: list[Tensor] = []
        self.fixed: list[tuple[Tensor, int, str]] = []
        self.products: list[tuple[Tensor, int]] = []
        self.heads: list[Tensor] = []

    def settle(self) -> None:
        """Decide what had to wait: what is not a rectangle goes together, what is fixed is pinned."""
        again = True
        while again:
            again = False
            for labels in self.rectangles:
                dims = varying(self.labels.current(labels))
                if len(dims) > 1:
                    self.labels.unite_along(labels, dims[0])
                    again = True
        for labels, dim, reason in self.fixed:
            if varies(self.labels.current(labels), dim):
                self.labels.pin(labels, reason)

    def meet(self, operands: Sequence[tuple[Tensor, MaybeLabels]], shape: Sequence[int]) -> MaybeLabels:
        """Element-wise with broadcasting: what meets goes together."""
        rank = len(shape)
        sizes = [(1,) * (rank - t.dim()) + tuple(t.shape) for t, _ in operands]
        known = [
            None if found is None else found.reshape(size)
            for (_, found), size in zip(operands, sizes, strict=True)
        ]
        for i, size in enumerate(sizes):
            for dim in range(rank):
                meets = [k for j, k in enumerate(known) if j != i and k is not None and varies(k, dim)]
                if not meets:
                    continue
                own = known[i]
                if size[dim] == 1 and shape[dim] > 1 and own is not None:
                    self.labels.pin(own, "each of them acts on all channels of another layer")
                    known[i] = None
                elif size[dim] > 1 and own is None:
                    for other in meets:
                        self.labels.pin(other, "they are combined with values that keep all their channels")
        left = [k.expand(tuple(shape)) for k in known if k is not None]
        for other in left[1:]:
            self.labels.unite(left[0], other)
        return left[0] if left else None

    def spatial(self, call: Call, count: int) -> Any:
        """Pooling, resizing, padding at the border: each channel on its own, over the last dimensions."""
        labels = call.labels("self" if "self" in call.arguments else "input")
        assert labels is not None
        outputs = call.output if isinstance(call.output, tuple) else (call.output,)
        found = labels
        for dim in range(labels.dim() - count, labels.dim()):
            if varies(labels, dim):
                self.labels.pin(labels, f"they lie along the rows or columns that {call.name} mixes")
                return None
            found = found.narrow(dim, 0, 1)
        results = [found.expand(output.shape) for output in outputs]
        return results if isinstance(call.output, tuple) else results[0]

    def without(self, labels: Tensor, dims: Sequence[int], keep: bool, name: str) -> Tensor:
        """Labels after a reduction of `dims`; channels that are taken together are pinned."""
        chosen = sorted({dim % labels.dim() for dim in dims}, reverse=True) if labels.dim() else []
        if any(varies(labels, dim) for dim in chosen):
            if name not in _NEUTRAL:
                self.labels.pin(labels, f"they are taken together by the operation {name}")
            labels = torch.full_like(labels, -1)
        for dim in chosen:
            labels = labels.narrow(dim, 0, 1) if keep else labels.select(dim, 0)
        return labels

    def product(self, first: MaybeLabels, second: MaybeLabels, shapes: tuple[Any, Any]) -> MaybeLabels:
        """Labels of A (b, m, k) times B (b, k, n): the head goes as a whole, or k by k without heads."""
        (batch, rows, inner), columns = shapes[0], shapes[1][2]
        a = torch.full(shapes[0], -1) if first is None else first
        b = torch.full(shapes[1], -1) if second is None else second
        shape = (batch, rows, columns)
        if varies(a, 2) or varies(b, 1):
            if varies(a, 1) or varies(b, 2):
                self._give_up(a, b)
                return None
            left, right = a[:, 0, :], b[:, :, 0]
            self.labels.unite(left, right)
            by_head = varies(self.labels.current(left), 0)
            if by_head:
                self.labels.unite_along(left, 1)
                self.products.append((left[:, 0], rows * inner * columns))
                self.heads.append(left[:, 0])
                return left[:, :1, None].expand(shape)
            self.products.append((left[:1], batch * rows * columns))
            return None
        along_rows, along_columns = varies(a, 1), varies(b, 2)
        if along_rows and along_columns:
            self._give_up(a, b)
            return None
        outer, other = (a[:, :, :1], b[:, :1, :1]) if along_rows else (b[:, :1, :], a[:, :1, :1])
        known, unknown = (first, second) if along_rows else (second, first)
        if known is None or not (varies(outer, 0) or along_rows or along_columns):
            known, outer, other = (unknown, other, outer)
            if known is None:
                return None
        if (self.labels.current(other) >= 0).any():
            if not varies(other, 0):
                self.labels.pin(other, "each of them acts on all channels of another layer")
            else:
                self.labels.unite(outer, other.expand(outer.shape))
        sizes = [rows if outer.shape[1] == 1 else 1, columns if outer.shape[2] == 1 else 1]
        self.products.append((outer, inner * sizes[0] * sizes[1]))
        return outer.expand(shape)

    def _give_up(self, *labels: Tensor) -> None:
        for found in labels:
            self.labels.pin(found, "a product of two tensors mixes them with positions")
