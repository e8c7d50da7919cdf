"""Which channels must go together: labels that run through the network beside its values.

Every output channel of every layer gets a label of its own. A tensor of labels has the shape of the
values it belongs to; -1 stands where nothing can be removed. What the network adds must go together, so
its labels are united; a label that cannot be removed is pinned, with the reason in words.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


class Labels:
    """Disjoint sets of labels (Tarjan 1975), and which of them are pinned."""

    def __init__(self) -> None:
        self._parents = np.empty(0, dtype=np.int64)
        self._pinned: dict[int, str] = {}

    def fresh(self, count: int) -> Tensor:
        """New labels, shape (count,)."""
        start = len(self._parents)
        self._parents = np.concatenate([self._parents, np.arange(start, start + count)])
        return torch.arange(start, start + count)

    def current(self, labels: Tensor) -> Tensor:
        """The same labels, each replaced by the one that stands for its set; repeats stay free of cost."""
        small = compact(labels)
        flat = small.reshape(-1).numpy()
        known = flat >= 0
        roots = np.where(known, self._roots(np.where(known, flat, 0)), -1) if len(self._parents) else flat
        return torch.from_numpy(roots).reshape(small.shape).expand(labels.shape)

    def unite(self, first: Tensor, second: Tensor) -> None:
        """Let the labels at equal places go together; one that meets -1 is pinned."""
        both = [self.current(t) for t in (first, second)]
        for dim in range(first.dim()):
            if not any(varies(t, dim) for t in both):
                both = [t.narrow(dim, 0, 1) for t in both]
        pairs = np.unique(torch.stack([t.reshape(-1) for t in both], dim=1).numpy(), axis=0)
        for a, b in pairs.tolist():
            if a < 0 or b < 0:
                self.pin(torch.tensor([a, b]), "they are combined with values that keep all their channels")
            else:
                self._join(a, b)

    def unite_along(self, labels: Tensor, dim: int) -> None:
        """Let labels that differ only in their place along `dim` go together."""
        if varies(self.current(labels), dim):
            self.unite(labels, labels.narrow(dim, 0, 1).expand(labels.shape))

    def pin(self, labels: Tensor, reason: str) -> None:
        """Never remove these; the first reason given is kept."""
        for root in self.current(labels).unique().tolist():
            if root >= 0:
                self._pinned.setdefault(root, reason)

    def reason(self, label: int) -> str | None:
        """Why a label is pinned; None if it is free."""
        return self._pinned.get(int(self._roots(np.array([label]))[0]))

    def _join(self, a: int, b: int) -> None:
        low, high = sorted(int(r) for r in self._roots(np.array([a, b])))
        if low == high:
            return
        self._parents[high] = low
        if high in self._pinned:
            self._pinned.setdefault(low, self._pinned.pop(high))

    def _roots(self, labels: np.ndarray) -> np.ndarray:
        roots = self._parents[labels]
        while True:
            above = self._parents[roots]
            if np.array_equal(above, roots):
                self._parents[labels] = roots  # later searches are short
                return roots
            roots = above


def varies(labels: Tensor, dim: int) -> bool:
    """True if labels differ along `dim`."""
    if labels.shape[dim] < 2 or labels.stride(dim) == 0:
        return False
    return bool((labels != labels.narrow(dim, 0, 1)).any())


def varying(labels: Tensor) -> list[int]:
    """The dimensions along which labels differ."""
    return [dim for dim in range(labels.dim()) if varies(labels, dim)]


def compact(labels: Tensor) -> Tensor:
    """`labels` with the dimensions that only repeat them cut to size 1."""
    for dim in range(labels.dim()):
        if labels.shape[dim] > 1 and labels.stride(dim) == 0:
            labels = labels.narrow(dim, 0, 1)
    return labels
