"""Sets of units that run through a network beside its values, each as a number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from analysis.pruning.labels import varies

NOBODY = 0  # the number of the empty set


class Sets:
    """Sets of units, each known by a number; tensors of such numbers (float64, exact) are united by place."""

    def __init__(self) -> None:
        self._members: list[frozenset[int]] = [frozenset()]
        self._numbers: dict[frozenset[int], int] = {frozenset(): NOBODY}
        self._unions: dict[tuple[int, ...], int] = {}

    def number(self, units: frozenset[int]) -> int:
        """The number of a set."""
        if units not in self._numbers:
            self._numbers[units] = len(self._members)
            self._members.append(units)
        return self._numbers[units]

    def members(self, number: int) -> frozenset[int]:
        """The set of a number."""
        return self._members[number]

    def united(self, numbers: Sequence[int]) -> int:
        """The number of the union of some sets."""
        key = tuple(sorted(set(numbers)))
        if key not in self._unions:
            self._unions[key] = self.number(frozenset().union(*(self._members[n] for n in key)))
        return self._unions[key]

    def along(self, numbers: Tensor, dim: int) -> Tensor:
        """Unions along a dimension, which has size 1 in the result."""
        if not varies(numbers, dim):
            return numbers.narrow(dim, 0, 1)
        shape = list(numbers.shape)
        for other in range(numbers.dim()):
            if other != dim % numbers.dim() and not varies(numbers, other):
                numbers = numbers.narrow(other, 0, 1)
        moved = numbers.movedim(dim, -1)
        lines, inverse = np.unique(moved.reshape(-1, moved.shape[-1]).numpy(), axis=0, return_inverse=True)
        found = np.array([self.united([int(n) for n in np.unique(line)]) for line in lines], dtype=np.float64)
        shape[dim] = 1
        result = torch.from_numpy(found[inverse.reshape(-1)]).reshape(moved.shape[:-1])
        return result.unsqueeze(dim % len(shape)).expand(shape)

    def meet(self, operands: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
        """Unions place by place, with broadcasting to `shape`."""
        spread = [operand.expand(tuple(shape)) for operand in operands]
        if all(torch.equal(spread[0], other) for other in spread[1:]):
            return spread[0]
        for dim in range(len(shape)):
            if not any(varies(operand, dim) for operand in spread):
                spread = [operand.narrow(dim, 0, 1) for operand in spread]
        return self.along(torch.stack(list(spread), dim=-1), -1).squeeze(-1).expand(tuple(shape))

    def whole(self, numbers: Tensor) -> int:
        """The union of all of them."""
        return self.united([int(n) for n in numbers.unique().tolist()])
