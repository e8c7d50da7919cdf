"""What a network says with channels masked: the slow second opinion on what removing them must give.

Nothing here is shared with ``analysis.pruning``. A group's slices say which positions of which modules go
with a channel; the dense graph runs as it stands, and those positions are zero in what each writer says
(before anything reads it) and in what each reader hears (just before its call, because what lies between
may answer something else than 0 to 0). A recurrent module hears itself: it runs step by step here, and its
masked hidden units are zero after every step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from analysis.modules import MOVEMENTS, Recurrent, Values
from analysis.network import Group, Network

Removal = Sequence[tuple[Group, tuple[int, ...]]]
_CHANNELS_FIRST = (
    nn.modules.conv._ConvNd,
    nn.modules.batchnorm._NormBase,  # InstanceNorm too
    nn.GroupNorm,
    nn.PReLU,
)
_CHANNELS_LAST = (nn.Linear, nn.LayerNorm, nn.RMSNorm, nn.Embedding, nn.MultiheadAttention)


@torch.no_grad()
def masked_answer(network: Network, removal: Removal, inputs: Tensor) -> Tensor:
    """What the dense network answers with the channels of each group masked.

    Raises
    ------
    NotImplementedError
        If a reader is of a type whose channels have no known place.
    """
    return _Masking(network.module, removal).run(inputs)


class _Masking(fx.Interpreter):
    def __init__(self, module: fx.GraphModule, removal: Removal) -> None:
        super().__init__(module)
        self.heard, self.said = _positions(removal, "in"), _positions(removal, "out")
        self.value_dims = {part.module: part.dim for group, _ in removal for part in group.slices}

    def call_module(self, target: Any, args: Any, kwargs: Any) -> Any:
        module = self.fetch_attr(target)
        if isinstance(module, MOVEMENTS):
            return module(*args, **kwargs)
        heard, said = self.heard.get(target, set()), self.said.get(target, set())
        dim = self.value_dims.get(target) if isinstance(module, Values) else _dim(module)
        if heard:
            if dim is None:
                raise NotImplementedError(
                    f"{target} ({type(module).__name__}) reads channels at no known place"
                )
            args = [_zeroed(value, dim, heard) for value in args]
        if isinstance(module, Recurrent):
            return step_by_step(module, *args, silent=said)
        answer = module(*args, **kwargs)
        return _zeroed(answer, dim, said) if said and dim is not None else answer


def _positions(removal: Removal, side: str) -> Mapping[str, set[int]]:
    found: dict[str, set[int]] = {}
    for group, channels in removal:
        for part in group.slices:
            if part.side == side:
                for channel in channels:
                    found.setdefault(part.module, set()).update(part.entries[channel])
    return found


def _dim(module: nn.Module) -> int | None:
    """The dimension of a module's inputs and outputs that counts its channels; None if that is not known."""
    if isinstance(module, _CHANNELS_FIRST):
        return 1
    return -1 if isinstance(module, (*_CHANNELS_LAST, Recurrent)) else None


def _zeroed(values: Tensor, dim: int, positions: set[int]) -> Tensor:
    keep = torch.ones(values.shape[dim])
    keep[sorted(positions)] = 0
    return values * keep.reshape(-1, *[1] * (values.dim() - 1 - dim % values.dim()))


def step_by_step(module: Recurrent, values: Tensor, *, silent: set[int]) -> Tensor:
    """What a recurrent module says if its hidden units `silent` say 0 at every step.

    The equations are those in the documentation of :class:`torch.nn.GRU`, ``LSTM`` and ``RNN``.
    """
    time = 1 if module.batch_first else 0
    size = module.weight_hh.shape[1]
    keep = torch.ones(size)
    keep[sorted(silent)] = 0
    zero = torch.zeros(1)
    bias_ih = zero if module.bias_ih is None else module.bias_ih
    bias_hh = zero if module.bias_hh is None else module.bias_hh
    state = cell = torch.zeros(values.shape[1 - time], size)
    steps = list(values.unbind(time))
    said = []
    for heard in reversed(steps) if module.reverse else steps:
        outside = (heard @ module.weight_ih.T + bias_ih).split(size, dim=1)
        inside = (state @ module.weight_hh.T + bias_hh).split(size, dim=1)
        if module.kind == "gru":
            reset = torch.sigmoid(outside[0] + inside[0])
            update = torch.sigmoid(outside[1] + inside[1])
            new = torch.tanh(outside[2] + reset * inside[2])
            state = (1 - update) * new + update * state
        elif module.kind == "lstm":
            entry, forget, fresh, out = (a + b for a, b in zip(outside, inside, strict=True))
            cell = torch.sigmoid(forget) * cell + torch.sigmoid(entry) * torch.tanh(fresh)
            state = torch.sigmoid(out) * torch.tanh(cell)
        else:
            total = outside[0] + inside[0]
            state = torch.tanh(total) if module.kind == "rnn_tanh" else torch.relu(total)
        state = state * keep
        said.append(state)
    if module.reverse:
        said.reverse()
    return torch.stack(said, dim=time)
