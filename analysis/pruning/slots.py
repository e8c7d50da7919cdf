"""Which labels each module holds, and at which of its positions."""

from __future__ import annotations

from torch import Tensor

from analysis.network import Side
from analysis.pruning.labels import Labels, varies, varying
from analysis.pruning.operators import Rules

Slot = tuple[str, Side, int]


class Slots:
    """Filled by the rules of modules while the network runs.

    Attributes
    ----------
    held : dict
        For each slot (module, side, dimension) the labels at its positions.
    """

    def __init__(self) -> None:
        self.labels = Labels()
        self.rules = Rules(self.labels)
        self.held: dict[Slot, Tensor] = {}
        self._shaped: list[tuple[str, Tensor]] = []

    def hold(self, name: str, side: Side, labels: Tensor, dim: int = 0) -> None:
        """A module holds these labels, in this order; at a second call the two go together."""
        key = (name, side, dim)
        if key in self.held:
            self.labels.unite(self.held[key], labels)
        self.held[key] = labels

    def outputs(self, name: str, count: int) -> Tensor:
        """The labels of a layer's own output channels; the same at every call."""
        key: Slot = (name, "out", 0)
        if key not in self.held:
            self.held[key] = self.labels.fresh(count)
        return self.held[key]

    def fix_inputs(self, name: str, count: int, reason: str) -> None:
        """What a layer reads must stay."""
        vector = self.labels.fresh(count)
        self.labels.pin(vector, reason)
        self.hold(name, "in", vector)

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

    def values(self, name: str, labels: Tensor) -> None:
        """The values of a module that belongs to no layer: along which dimension they go is known at the end."""
        self._shaped.append((name, labels))

    def settle(self) -> None:
        """Decide what had to wait until all labels are known."""
        self.rules.settle()
        for name, labels in self._shaped:
            dims = varying(self.labels.current(labels))
            if len(dims) > 1:
                self.labels.pin(labels, f"they lie along several dimensions of {name}")
            elif dims:
                self.hold(name, "out", _first_elsewhere(labels, dims[0]), dims[0])


def _first_elsewhere(labels: Tensor, dim: int) -> Tensor:
    """Labels along `dim`, at the first place of every other dimension."""
    for other in range(labels.dim()):
        if other != dim:
            labels = labels.narrow(other, 0, 1)
    return labels.reshape(-1)
