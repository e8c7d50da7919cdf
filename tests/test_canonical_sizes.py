"""Recurrences in parts and sizes in modules: the network answers as the module it came from.

The oracle is the module itself, on batches of other sizes than those that the rewriting ran.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analysis.modules import Pad, Recurrent, Reshape, Split, Take
from analysis.network import LAYER_TYPES
from tests.written import IMAGE, SERIES, Written, brought, conv, holds


def outputs_of(self: Written, x: Tensor) -> Tensor:
    return self.a(self.rnn(x)[0])


def last_states_of(self: Written, x: Tensor) -> Tensor:
    _, states = self.rnn(x)
    states = states[0] if isinstance(self.rnn, nn.LSTM) else states
    return self.a(states.transpose(0, 1))


def top_state_of(self: Written, x: Tensor) -> Tensor:
    _, states = self.rnn(x)
    states = states[0] if isinstance(self.rnn, nn.LSTM) else states
    return self.a(states[-1]) + self.a(states[0])


def both_of(self: Written, x: Tensor) -> Tensor:
    outputs, states = self.rnn(x)
    states = states[0] if isinstance(self.rnn, nn.LSTM) else states
    return self.a(outputs).mean(1) + self.b(states[-1])


def cells_of(self: Written, x: Tensor) -> Tensor:
    _, states = self.rnn(x)
    return self.a(states[1][0])


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both_ways", [False, True], ids=["forward", "both-ways"])
@pytest.mark.parametrize("way", [outputs_of, last_states_of, top_state_of, both_of], ids=lambda w: w.__name__)
def test_recurrences_in_parts(kind, layers, both_ways, way):
    torch.manual_seed(0)
    rnn = kind(6, 4, layers, batch_first=True, bidirectional=both_ways, bias=layers == 1)
    width = 8 if both_ways and way in (outputs_of, both_of) else 4
    module = Written(way, rnn=rnn, a=nn.Linear(width, 3), b=nn.Linear(4, 3))
    network = brought(module, SERIES)
    parts = [layer for layer in network.layers if layer.type == "Recurrent"]
    if way in (outputs_of, both_of):
        assert len(parts) == layers * (1 + both_ways)
        assert sum(layer.parameters for layer in parts) == sum(p.numel() for p in rnn.parameters())
    assert parts and holds(network, nn.GRU, nn.LSTM, nn.RNN) == set()


def test_recurrence_over_the_first_dimension():
    def way(self, x):
        outputs, _ = self.rnn(x.transpose(0, 1))
        return self.a(outputs[-1])

    module = Written(way, rnn=nn.GRU(6, 4, 2, bidirectional=True), a=nn.Linear(8, 3))
    assert holds(brought(module, SERIES), Recurrent) == {Recurrent}


def test_a_recurrence_called_twice():
    def way(self, x):
        return self.a(self.rnn(torch.tanh(self.rnn(x)[0]))[0])

    network = brought(Written(way, rnn=nn.LSTM(6, 6, batch_first=True), a=nn.Linear(6, 3)), SERIES)
    assert [layer.name for layer in network.layers] == ["rnn", "a"]


def test_a_recurrence_whose_cells_are_read_stays_whole():
    module = Written(cells_of, rnn=nn.LSTM(6, 4, batch_first=True), a=nn.Linear(4, 3))
    assert holds(brought(module, SERIES), nn.LSTM, Recurrent) == {nn.LSTM}


SIZES: dict[str, tuple[Callable[[Written, Tensor], Tensor], set[type[nn.Module]]]] = {
    "view": (lambda s, y: y.view(y.size(0), 2, -1), {Reshape}),
    "view-of-shape": (lambda s, y: y.view(y.shape[0], y.shape[1] * y.shape[2], y.shape[3]), {Reshape}),
    "reshape-tuple": (lambda s, y: torch.reshape(y, (-1, 4 * 8 * 8)), {Reshape}),
    "unflatten": (lambda s, y: y.unflatten(1, (2, 2)), {Reshape}),
    "unpacked": (lambda s, y: _unpacked(y), {Reshape}),
    "batch-folded": (lambda s, y: y.view(y.shape[0] * 2, 2, 8, 8).mean(1).view(-1, 2, 8, 8), {Reshape}),
    "two-follow": (lambda s, y: y.view(y.shape[0], -1)[:, : y.shape[0]].sum(1), {Reshape}),
    "half-batch": (lambda s, y: y + y[: y.shape[0] // 2 + 1].mean(0), set()),
    "eighth-of-batch": (lambda s, y: y * (y.shape[0] // 4 + 1), set()),
    "slice": (lambda s, y: y[:, 1:3], {Take}),
    "strided": (lambda s, y: y[:, ::2] - y[:, 1::2], {Take}),
    "negative": (lambda s, y: y[:, -3:] + y[:, :-1], {Take}),
    "ellipsis": (lambda s, y: y[..., 1:3, :] + y[:, ..., :1, :], {Take}),
    "ellipsis-and-batch": (lambda s, y: y[..., 2:6][..., : y.shape[0]].sum(-1), {Take}),
    "one-channel": (lambda s, y: y[:, -1], set()),
    "new-axis": (lambda s, y: y[:, None, 1:3, 2], {Take}),
    "rows-in-steps": (lambda s, y: y[:, :, ::2, ::2], set()),
    "narrow": (lambda s, y: y.narrow(1, 1, 2) + torch.narrow(y, 1, -2, 2), {Take}),
    "narrow-named": (lambda s, y: torch.narrow(y, dim=1, start=1, length=2), {Take}),
    "chunk": (lambda s, y: _pair(y.chunk(2, 1)), {Split}),
    "split-sizes": (lambda s, y: torch.split(y, [1, 3], dim=1)[1], {Split}),
    "split-by": (lambda s, y: _pair(y.split(y.shape[1] // 2, dim=1)), {Split}),
    "split-named": (lambda s, y: _pair(torch.split(split_size_or_sections=2, tensor=y, dim=-3)), {Split}),
    "tensor-split": (lambda s, y: _pair(y.tensor_split(2, dim=1)), {Split}),
    "pad": (lambda s, y: F.pad(y, (0, 0, 0, 0, 1, 2)), {Pad}),
    "pad-all": (lambda s, y: F.pad(y, (1, 0, 0, 2, 1, 2), value=0.5), {Pad}),
    "pad-named": (lambda s, y: F.pad(input=y, pad=(0, 0, 0, 0, 2, 0), mode="constant"), {Pad}),
    "pad-series": (lambda s, y: F.pad(y.flatten(2), (1, 2)), {Pad}),
    "pad-reflect": (lambda s, y: F.pad(y, (1, 1, 1, 1), mode="reflect"), set()),
    "pad-batch": (lambda s, y: F.pad(y, (0, 0, 0, 0, 0, 0, 0, 1)).sum(0) + y, {Pad}),
    "expand": (lambda s, y: y + y.mean((2, 3), keepdim=True).expand(-1, 4, 8, 8), set()),
    "repeat": (lambda s, y: y[:, :1].repeat(1, y.shape[1], 1, 1), {Take}),
    "mean-by-count": (lambda s, y: y.sum((2, 3)) / (y.size(2) * y.size(-1)), set()),
    "sizes-only": (lambda s, y: y.view(*y.shape[:2], -1), {Reshape}),
    "first-sizes-of-turned": (lambda s, y: _turned(y), {Reshape}),
    "numel": (lambda s, y: y / y[0].numel(), set()),
    "by-largest": (lambda s, y: y / y.abs().max().item(), set()),
    "up-to-largest": (lambda s, y: y[:, : y.max().long().clamp(0, 3).item() + 1].sum(1), set()),
}  # fmt: skip


def _pair(pieces: tuple[Tensor, ...]) -> Tensor:
    first, second = pieces[0], pieces[1]
    return first * second


def _unpacked(y: Tensor) -> Tensor:
    n, c, h, w = y.shape
    return y.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h * w)


def _turned(y: Tensor) -> Tensor:
    z = y.transpose(0, 1)
    return z.reshape(*z.shape[:2], -1)


@pytest.mark.parametrize("name", SIZES)
def test_sizes_become_modules(name):
    way, expected = SIZES[name]
    module = Written(lambda s, x: way(s, s.a(x)), a=conv())
    network = brought(module, IMAGE)
    assert holds(network, Reshape, Split, Take, Pad) == expected
    assert all(isinstance(network.module.get_submodule(layer.name), LAYER_TYPES) for layer in network.layers)


def test_fixed_sizes_leave_no_questions_behind():
    network = brought(Written(lambda s, x: _unpacked(s.a(x)), a=conv()), IMAGE)
    assert all(
        n.op in ("placeholder", "call_module", "output") or n.target == "transpose"
        for n in network.module.graph.nodes
    )


def test_takes_hold_the_positions():
    network = brought(Written(lambda s, x: s.a(x)[:, -3::2], a=conv(6)), IMAGE)
    found = [m for m in network.module.modules() if isinstance(m, Take)]
    assert [(m.positions, m.dim) for m in found] == [((3, 5), 1)]
