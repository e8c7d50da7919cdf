"""What goes with a channel, against expectations written by hand for each way that networks are built."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from analysis.pruning.flow import Flow, follow
from analysis.tracing import trace
from tests.written import IMAGE, Written


def flow(module: nn.Module, *shape: int, tokens: int = 0) -> Flow:
    example = torch.randint(0, tokens, (1, *shape)) if tokens else torch.randn(1, *shape)
    return follow(trace(module, example, "net"))


def written(way: Callable[..., Tensor], *shape: int, **parts: nn.Module | Tensor) -> Flow:
    return flow(Written(way, **parts), *shape)


def outs(found: Flow, name: str, dim: int = 0) -> list[int]:
    return found.slots[name, "out", dim]


def ins(found: Flow, name: str) -> list[int]:
    return found.slots[name, "in", 0]


def free(found: Flow, *names: str) -> bool:
    """True if the output channels of these layers are all different and none must stay."""
    labels = [label for name in names for label in outs(found, name)]
    return len(set(labels)) == len(labels) and not any(label in found.reasons for label in labels)


def reason(found: Flow, name: str) -> str:
    """Why all channels of a layer must stay."""
    reasons = {found.reasons.get(label, "") for label in outs(found, name)}
    assert len(reasons) == 1
    return reasons.pop()


def conv(inputs: int, outputs: int, kernel: int = 1, **more: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, kernel, **more)


def test_a_chain_of_layers():
    found = flow(nn.Sequential(conv(3, 4), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), conv(4, 5)), *IMAGE)
    assert free(found, "0")
    assert outs(found, "1") == ins(found, "4") == outs(found, "0")
    assert ins(found, "0") == [-1] * 3
    assert reason(found, "4") == "they reach the network's answer"


def test_residual_addition():
    found = written(
        lambda s, x: s.head(F.relu(s.a(x) + s.b(F.relu(s.inner(x))))).mean((2, 3)),
        *IMAGE, a=conv(3, 4), inner=conv(3, 6), b=conv(6, 4), head=conv(4, 2),
    )  # fmt: skip
    assert outs(found, "a") == outs(found, "b") == ins(found, "head")
    assert free(found, "a", "inner")
    assert ins(found, "b") == outs(found, "inner")


def test_concatenation():
    found = written(
        lambda s, x: s.head(torch.cat([s.a(x), s.b(x), s.a(x)], 1)),
        *IMAGE, a=conv(3, 2), b=conv(3, 3), head=conv(7, 2),
    )  # fmt: skip
    assert free(found, "a", "b")
    assert ins(found, "head") == outs(found, "a") + outs(found, "b") + outs(found, "a")


def test_concatenation_with_the_input():
    found = written(lambda s, x: s.head(torch.cat([x, s.a(x)], 1)), *IMAGE, a=conv(3, 2), head=conv(5, 2))
    assert ins(found, "head") == [-1, -1, -1, *outs(found, "a")]
    assert free(found, "a")


def test_flattening_repeats_each_channel():
    found = flow(nn.Sequential(conv(3, 4, 7), nn.Flatten(), nn.Linear(16, 2)), *IMAGE)
    assert ins(found, "2") == [label for label in outs(found, "0") for _ in range(4)]
    assert free(found, "0")


def test_flattening_with_channels_last():
    found = written(
        lambda s, x: s.head(s.a(x).permute(0, 2, 3, 1).flatten(1)),
        *IMAGE,
        a=conv(3, 4, 7),
        head=nn.Linear(16, 2),
    )
    assert ins(found, "head") == outs(found, "a") * 4
    assert free(found, "a")


class Heads(nn.Module):
    """Self-attention with two heads of three numbers each."""

    def __init__(self, joined: bool) -> None:
        super().__init__()
        self.joined = joined
        if joined:
            self.qkv = nn.Linear(6, 18)
        else:
            self.q, self.k, self.v = (nn.Linear(6, 6) for _ in range(3))
        self.out = nn.Linear(6, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        n, t, _ = x.shape
        if self.joined:
            parts = self.qkv(x).reshape(n, t, 3, 2, 3).permute(2, 0, 3, 1, 4).unbind(0)
        else:
            parts = tuple(part(x).view(n, t, 2, 3).transpose(1, 2) for part in (self.q, self.k, self.v))
        q, k, v = parts
        mixed = torch.softmax(q @ k.transpose(-2, -1) / 3**0.5, dim=-1) @ v
        return self.head(self.out(mixed.transpose(1, 2).reshape(n, t, 6)).mean(1))


def test_heads_go_as_a_whole():
    found = flow(Heads(joined=False), 5, 6)
    assert outs(found, "q") == outs(found, "k") == outs(found, "v") == ins(found, "out")
    first, second = outs(found, "q")[0], outs(found, "q")[3]
    assert outs(found, "q") == [first] * 3 + [second] * 3
    assert first != second
    assert found.heads == {first, second}
    assert not {first, second} & set(found.reasons)
    assert free(found, "out")
    # scores 5 x 5 of 3 numbers each, and 5 x 3 of 5 numbers each
    assert found.products == {first: 5 * 5 * 3 + 5 * 3 * 5, second: 5 * 5 * 3 + 5 * 3 * 5}


def test_heads_of_one_joined_layer():
    found = flow(Heads(joined=True), 5, 6)
    labels = outs(found, "qkv")
    assert labels[:6] == labels[6:12] == labels[12:] == ins(found, "out")
    assert len(set(labels)) == 2
    assert found.heads == set(labels)


@pytest.mark.parametrize("named", [False, True])
def test_gated_linear_unit(named):
    def way(s: Written, x: Tensor) -> Tensor:
        if named:
            return s.head(F.glu(s.a(x), dim=1))
        values, gates = s.a(x).chunk(2, 1)
        return s.head(values * torch.sigmoid(gates))

    found = written(way, *IMAGE, a=conv(3, 8), head=conv(4, 2))
    labels = outs(found, "a")
    assert labels[:4] == labels[4:] == ins(found, "head")
    assert len(set(labels)) == 4
    assert not set(labels) & set(found.reasons)


def test_grouped_convolution_loses_whole_blocks():
    found = flow(nn.Sequential(conv(3, 6), conv(6, 4, groups=2), conv(4, 2)), *IMAGE)
    first, second = outs(found, "0")[0], outs(found, "0")[3]
    assert outs(found, "0") == [first] * 3 + [second] * 3
    assert outs(found, "1") == [first] * 2 + [second] * 2 == ins(found, "2")
    assert first != second


def test_depthwise_convolution():
    found = flow(nn.Sequential(conv(3, 4), conv(4, 4, 3, groups=4), nn.ReLU(), conv(4, 2)), *IMAGE)
    assert free(found, "0")
    assert outs(found, "1") == ins(found, "3") == outs(found, "0")


def test_depthwise_convolution_of_the_input_stays():
    found = flow(nn.Sequential(conv(3, 6, 3, groups=3), conv(6, 2)), *IMAGE)
    assert reason(found, "0") == "they are combined with values that keep all their channels"


def test_shortcut_padded_with_zeros():
    """ResNet's option A: the shortcut is subsampled and gets channels of zeros before and after."""
    found = written(
        lambda s, x: s.head(F.pad(s.a(x)[:, :, ::2, ::2], (0, 0, 0, 0, 1, 2)) + s.b(s.a(x))),
        *IMAGE, a=conv(3, 4), b=conv(4, 7, 1, stride=2), head=conv(7, 2),
    )  # fmt: skip
    wide, narrow = outs(found, "b"), outs(found, "a")
    assert free(found, "b")
    assert wide[1:5] == narrow
    assert ins(found, "b") == narrow
    assert ins(found, "head") == wide
    (padding,) = [slot for slot in found.slots if slot[0] not in ("a", "b", "head")]
    assert found.slots[padding] == wide


class Tied(nn.Module):
    """The last layer holds the embedding's weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.inner = nn.Embedding(9, 4), nn.Linear(4, 5)
        self.back = nn.Linear(5, 4)
        self.last = nn.Linear(4, 9)
        self.last.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.back(F.relu(self.inner(self.embed(x)))))


def test_tied_embedding():
    found = flow(Tied(), 6, tokens=9)
    assert outs(found, "embed") == ins(found, "inner") == outs(found, "back")
    assert free(found, "embed", "inner")
    assert ("last", "out", 0) not in found.slots


def test_a_layer_along_positions():
    """The mixer: a linear layer over positions lets the channels pass, and its own units stay."""
    found = written(
        lambda s, x: s.head(s.mix(s.embed(x).transpose(1, 2)).transpose(1, 2).mean(1)),
        5, 6, embed=nn.Linear(6, 4), mix=nn.Linear(5, 5), head=nn.Linear(4, 2),
    )  # fmt: skip
    assert free(found, "embed")
    assert ins(found, "head") == outs(found, "embed")
    assert reason(found, "mix") == "mix works along positions, not along channels"
    assert {found.reasons.get(label) for label in ins(found, "mix")} == {reason(found, "mix")}
    assert found.products == dict.fromkeys(outs(found, "embed"), 5 * 5)


def test_an_unknown_operation_is_named():
    found = written(lambda s, x: s.head(torch.fft.fft(s.a(x)).real), *IMAGE, a=conv(3, 4), head=conv(4, 2))
    assert "_fft_c2c" in reason(found, "a") or "_fft_r2c" in reason(found, "a")
    assert "cannot be followed" in reason(found, "a")


@pytest.mark.parametrize(("reduce", "name"), [("mean", "mean"), ("amax", "amax"), ("std", "std")])
def test_a_reduction_over_channels_keeps_them(reduce, name):
    found = written(
        lambda s, x: s.head(getattr(s.a(x), reduce)(1, keepdim=True)), *IMAGE, a=conv(3, 4), head=conv(1, 2)
    )
    assert reason(found, "a") == f"they are taken together by the operation {name}"
    assert ins(found, "head") == [-1]


def test_a_softmax_over_channels_keeps_them():
    found = written(lambda s, x: s.head(torch.softmax(s.a(x), 1)), *IMAGE, a=conv(3, 4), head=conv(4, 2))
    assert "softmax" in reason(found, "a")


def test_a_reduction_over_pixels_lets_them_pass():
    found = written(lambda s, x: s.head(s.a(x).mean((2, 3))), *IMAGE, a=conv(3, 4), head=nn.Linear(4, 2))
    assert free(found, "a")
    assert ins(found, "head") == outs(found, "a")


def test_a_gate_for_each_pixel():
    """One channel multiplies all: it stays, and those it acts on are free."""
    found = written(
        lambda s, x: s.head(s.a(x) * torch.sigmoid(s.gate(F.relu(s.inner(x))))),
        *IMAGE, a=conv(3, 4), inner=conv(3, 5), gate=conv(5, 1), head=conv(4, 2),
    )  # fmt: skip
    assert free(found, "a", "inner")
    assert ins(found, "head") == outs(found, "a")
    assert reason(found, "gate") == "each of them acts on all channels of another layer"


def test_a_gate_for_each_channel():
    found = written(
        lambda s, x: s.head(s.a(x) * torch.sigmoid(s.gate(s.a(x).mean((2, 3), keepdim=True)))),
        *IMAGE, a=conv(3, 4), gate=conv(4, 4), head=conv(4, 2),
    )  # fmt: skip
    assert outs(found, "a") == outs(found, "gate") == ins(found, "gate") == ins(found, "head")
    assert free(found, "a")


def test_recurrence_in_both_directions():
    found = written(
        lambda s, x: s.head(s.rnn(s.a(x))[0].mean(1)),
        5, 6, a=nn.Linear(6, 4), rnn=nn.GRU(4, 3, 2, batch_first=True, bidirectional=True), head=nn.Linear(6, 2),
    )  # fmt: skip
    names = ("rnn.l0", "rnn.l0_reverse", "rnn.l1", "rnn.l1_reverse")
    assert free(found, "a", *names)
    assert ins(found, "rnn.l0") == ins(found, "rnn.l0_reverse") == outs(found, "a")
    lower = outs(found, "rnn.l0") + outs(found, "rnn.l0_reverse")
    assert ins(found, "rnn.l1") == ins(found, "rnn.l1_reverse") == lower
    assert ins(found, "head") == outs(found, "rnn.l1") + outs(found, "rnn.l1_reverse")


def test_shuffled_channels():
    """Two groups of two, read in turns: one of each goes, so that both stay equally large."""

    def way(s: Written, x: Tensor) -> Tensor:
        x = s.a(x)
        n, c, h, w = x.shape
        return s.head(x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w))

    found = written(way, *IMAGE, a=conv(3, 6), head=conv(6, 2))
    labels = outs(found, "a")
    assert labels[:3] == labels[3:]
    assert len(set(labels)) == 3
    assert ins(found, "head") == [label for label in labels[:3] for _ in range(2)]


def test_a_scale_for_each_channel_goes_with_it():
    found = written(
        lambda s, x: s.head(s.a(x) * s.scale), *IMAGE,
        a=conv(3, 4), head=conv(4, 2), scale=nn.Parameter(torch.ones(4, 1, 1)),
    )  # fmt: skip
    assert free(found, "a")
    assert outs(found, "scale") == outs(found, "a")


@pytest.mark.parametrize("seed", range(6))
def test_permuted_channels_permute_the_entries(seed):
    """Channels cut apart and joined in another order are read in that order, through all that follows."""
    order = torch.randperm(6, generator=torch.Generator().manual_seed(seed)).tolist()

    def way(s: Written, x: Tensor) -> Tensor:
        y = s.a(x)
        y = torch.cat([y[:, k : k + 1] for k in order], 1) if s.shuffled else y
        return s.head(torch.cat([s.depth(s.norm(y)), s.b(x)], 1).flatten(1))

    def built(shuffled: bool) -> Flow:
        parts = {
            "a": conv(3, 6, 7),
            "norm": nn.BatchNorm2d(6),
            "depth": conv(6, 6, groups=6),
            "b": conv(3, 2, 7),
        }
        module = Written(way, **parts, head=nn.Linear(32, 2))
        module.shuffled = shuffled
        return flow(module, *IMAGE)

    plain, turned = built(False), built(True)
    assert free(plain, "a", "b") and free(turned, "a", "b")
    channel = {label: k for k, label in enumerate(outs(plain, "a"))}
    same = {label: k for k, label in enumerate(outs(turned, "a"))}
    for slot in (("norm", "out", 0), ("depth", "out", 0)):
        assert [channel[label] for label in plain.slots[slot]] == list(range(6))
        assert [same[label] for label in turned.slots[slot]] == order
    assert [channel.get(label) for label in ins(plain, "head")[:24]] == [
        k for k in range(6) for _ in range(4)
    ]
    assert [same.get(label) for label in ins(turned, "head")[:24]] == [k for k in order for _ in range(4)]
    assert ins(turned, "head")[24:] == [label for label in outs(turned, "b") for _ in range(4)]
