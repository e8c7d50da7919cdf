"""Modules that a network's graph needs and torch does not have: movements with sizes, values, recurrence.

A slider that removes channels replaces modules. What a graph would hold as a constant (the size in a
``view``, where a tensor is split, a position embedding) is therefore a module here, and can be cut.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

RecurrentKind = Literal["gru", "lstm", "rnn_tanh", "rnn_relu"]
GATES = {"gru": 3, "lstm": 4, "rnn_tanh": 1, "rnn_relu": 1}
_PASS = {"gru": torch.gru, "lstm": torch.lstm, "rnn_tanh": torch.rnn_tanh, "rnn_relu": torch.rnn_relu}


class Reshape(nn.Module):
    """(N, ...) to `sizes`; the size that depends on the number of examples is -1."""

    def __init__(self, sizes: tuple[int, ...]) -> None:
        super().__init__()
        self.sizes = sizes

    def forward(self, values: Tensor) -> Tensor:
        return values.reshape(self.sizes)

    def extra_repr(self) -> str:
        return ", ".join(map(str, self.sizes))


class Split(nn.Module):
    """Pieces of the given sizes along one dimension, as a tuple."""

    def __init__(self, sizes: tuple[int, ...], dim: int) -> None:
        super().__init__()
        self.sizes, self.dim = sizes, dim

    def forward(self, values: Tensor) -> tuple[Tensor, ...]:
        return torch.split(values, list(self.sizes), dim=self.dim)

    def extra_repr(self) -> str:
        return f"{', '.join(map(str, self.sizes))}, dim={self.dim}"


class Take(nn.Module):
    """The given positions along one dimension, in that order."""

    def __init__(self, positions: tuple[int, ...], dim: int) -> None:
        super().__init__()
        self.positions, self.dim = positions, dim

    def forward(self, values: Tensor) -> Tensor:
        first, count = self.positions[0], len(self.positions)
        if self.positions == tuple(range(first, first + count)):
            return values.narrow(self.dim, first, count)
        return values.index_select(self.dim, torch.tensor(self.positions))

    def extra_repr(self) -> str:
        return f"{len(self.positions)} positions, dim={self.dim}"


class Pad(nn.Module):
    """`before` and `after` constant entries along one dimension, `size` in all."""

    def __init__(self, before: int, after: int, size: int, dim: int, value: float = 0.0) -> None:
        super().__init__()
        self.before, self.after, self.size = before, after, size
        self.dim, self.value = dim, value

    def forward(self, values: Tensor) -> Tensor:
        behind = values.dim() - 1 - self.dim
        return F.pad(values, [0, 0] * behind + [self.before, self.after], value=self.value)

    def extra_repr(self) -> str:
        return f"{self.before}, {self.after}, dim={self.dim}"


class Values(nn.Module):
    """Values that belong to no layer: a position embedding, a class token, a scale for each channel."""

    value: Tensor

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        if isinstance(value, nn.Parameter):
            self.value = value
        else:
            self.register_buffer("value", value)

    def forward(self) -> Tensor:
        return self.value

    def extra_repr(self) -> str:
        return "x".join(map(str, self.value.shape))


class Recurrent(nn.Module):
    """One direction of one layer of a GRU, LSTM or plain RNN, from a zero state; all steps' outputs.

    Reads (N, T, features), or (T, N, features) if not `batch_first`, and answers with (..., hidden).
    The rows of `weight_ih` (gates * hidden, features) and `weight_hh` (gates * hidden, hidden) stand gate
    by gate, as in :class:`torch.nn.GRU`. A `reverse` one reads from the last step to the first.
    """

    def __init__(
        self,
        kind: RecurrentKind,
        weight_ih: Tensor,
        weight_hh: Tensor,
        bias_ih: Tensor | None = None,
        bias_hh: Tensor | None = None,
        *,
        batch_first: bool = True,
        reverse: bool = False,
    ) -> None:
        super().__init__()
        self.kind: RecurrentKind = kind
        self.batch_first, self.reverse = batch_first, reverse
        self.weight_ih, self.weight_hh = nn.Parameter(weight_ih), nn.Parameter(weight_hh)
        self.bias_ih = None if bias_ih is None else nn.Parameter(bias_ih)
        self.bias_hh = None if bias_hh is None else nn.Parameter(bias_hh)

    @property
    def gates(self) -> int:
        """How many rows of the weights each hidden unit has."""
        return GATES[self.kind]

    @property
    def hidden_size(self) -> int:
        """Number of hidden units."""
        return self.weight_hh.shape[1]

    @property
    def input_size(self) -> int:
        """Number of features it reads."""
        return self.weight_ih.shape[1]

    @property
    def weight(self) -> Tensor:
        """All its connections, (gates * hidden, features + hidden): a copy; :meth:`parts` says where it comes from."""
        return torch.cat([self.weight_ih, self.weight_hh], dim=1)

    def parts(self, weight: Tensor) -> dict[str, Tensor]:
        """The parameters, by name, that together are `weight` (as :attr:`weight`)."""
        return {"weight_ih": weight[:, : self.input_size], "weight_hh": weight[:, self.input_size :]}

    def forward(self, values: Tensor) -> Tensor:
        time = 1 if self.batch_first else 0
        if self.reverse:
            values = values.flip(time)
        examples = values.shape[1 - time]
        state = values.new_zeros(1, examples, self.hidden_size)
        weights = [self.weight_ih, self.weight_hh]
        if self.bias_ih is not None and self.bias_hh is not None:
            weights += [self.bias_ih, self.bias_hh]
        start = (state, state) if self.kind == "lstm" else state
        passed = _PASS[self.kind](  # type: ignore[operator]
            values, start, weights, len(weights) == 4, 1, 0.0, False, False, self.batch_first
        )
        outputs = passed[0]
        return outputs.flip(time) if self.reverse else outputs

    def extra_repr(self) -> str:
        direction = ", reverse" if self.reverse else ""
        return f"{self.kind}, {self.input_size}, {self.hidden_size}{direction}"


MOVEMENTS = (Reshape, Split, Take, Pad)
