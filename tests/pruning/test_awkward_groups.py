"""Networks that are hard to follow: a group may be refused, but never called exact and be wrong.

Each prunable group is tried with single channels and random sets, against hooks on the original module.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from analysis.network import Group
from analysis.pruning.channels import mask_channels, remove_channels
from analysis.pruning.groups import with_groups
from analysis.tracing import trace
from tests.networks import load, randomise, silenced


class Halves(nn.Module):
    """Channels in natural order are cut in two, by chunk or split; each half is read on its own."""

    def __init__(self, channels: int, how: str = "chunk", scale: float = 1.0) -> None:
        super().__init__()
        self.how, self.scale = how, scale
        self.first = nn.Conv2d(1, channels, 3)
        self.relu = nn.ReLU()
        self.left = nn.Conv2d(channels // 2, 3, 3)
        self.right = nn.Conv2d(channels // 2, 3, 3)
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        if self.how == "chunk":
            a, b = torch.chunk(x, 2, dim=1)
        elif self.how == "split":
            a, b = torch.split(x, x.shape[1] // 2, dim=1)
        else:
            a, b = x[:, ::2], x[:, 1::2]
        return self.head((self.left(a) + self.right(b)).mean((2, 3))) * self.scale


class Gated(Halves):
    """One half of the channels multiplies the other."""

    def forward(self, x: Tensor) -> Tensor:
        a, b = self.relu(self.first(x)).chunk(2, dim=1)
        return self.head(self.left(a * b).mean((2, 3))) * self.scale


class Joined(nn.Module):
    """Two convolutions side by side, read together."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 6, 3)
        self.relu = nn.ReLU()
        self.reader = nn.Conv2d(10, 3, 1)
        self.relu2 = nn.ReLU()
        self.head = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu2(self.reader(self.relu(torch.cat([self.first(x), self.second(x)], dim=1))))
        return self.head(x.mean((2, 3)))


class Dense(nn.Module):
    """What a layer reads is handed on beside what it says."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(5, 4), nn.Linear(4, 6)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.head = nn.Linear(10, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu1(self.first(x))
        return self.head(torch.cat([x, self.relu2(self.second(x))], dim=1))


class Shared(nn.Module):
    """The same layer twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.middle, self.head = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 2)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        return self.head(self.relu(self.middle(self.relu(self.middle(x)))))


class Attention(nn.Module):
    """Squeeze and excitation: channels scale themselves."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 6, 3)
        self.relu = nn.ReLU()
        self.squeeze, self.excite = nn.Conv2d(6, 4, 1), nn.Conv2d(4, 6, 1)
        self.relu2, self.gate = nn.ReLU(), nn.Sigmoid()
        self.product = nn.Identity()
        self.head = nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.first(x))
        weights = self.gate(self.excite(self.relu2(self.squeeze(x.mean((2, 3), keepdim=True)))))
        return self.head(self.product(x * weights).mean((2, 3)))


class Decoder(nn.Module):
    """A transposed convolution after a strided one."""

    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(1, 6, 3, stride=2), nn.ConvTranspose2d(6, 4, 3)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu2(self.up(self.relu1(self.down(x))))).flatten(1)


class AveragedOverChannels(nn.Module):
    """A mean over channels: without one of them its denominator changes."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.head = nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Linear(16, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.relu(self.first(x)).mean(1).flatten(1))


IMAGE = (1, 6, 6)
# network, input shape, {group: modules whose output, channel by channel, is all that is heard of it}
CASES = {
    **{f"chunk {n}": (lambda n=n: Halves(n), IMAGE, {"first": ["relu"]}) for n in (4, 6, 8, 12, 16)},
    **{f"split {n}": (lambda n=n: Halves(n, "split"), IMAGE, {"first": ["relu"]}) for n in (4, 8, 16)},
    **{f"gated {n}": (lambda n=n: Gated(n), IMAGE, {"first": ["relu"]}) for n in (4, 8, 16)},
    "interleaved": (lambda: Halves(8, "slices"), IMAGE, {"first": ["relu"]}),
    "tiny outputs": (lambda: Halves(12, scale=1e-6), IMAGE, {"first": ["relu"]}),
    "averaged": (AveragedOverChannels, IMAGE, {"first": ["relu"]}),
    "shared": (Shared, (5,), {"first": ["first", "middle"]}),
    "joined": (Joined, IMAGE, {"first": ["first"], "second": ["second"], "reader": ["relu2"]}),
    "dense": (Dense, (5,), {"first": ["relu1"], "second": ["relu2"]}),
    "attention": (Attention, IMAGE, {"first": ["relu", "product"], "squeeze": ["relu2"]}),
    "decoder": (Decoder, (1, 7, 7), {"down": ["relu1"], "up": ["relu2"]}),
}
MUST_BE_OFFERED = {"joined": 3, "dense": 2, "attention": 2, "decoder": 2}


def trials(group: Group) -> list[tuple[int, ...]]:
    """Single channels, then random sets of every size that leaves a channel."""
    generator = torch.Generator().manual_seed(5)
    sets = [(c,) for c in range(group.size)]
    for count in range(2, group.size):
        order = torch.randperm(group.size, generator=generator)
        sets += [tuple(sorted(order[:count].tolist()))]
    spared = {max(part) for part in group.parts}  # some module reads these alone
    return [left for gone in sets if (left := tuple(c for c in gone if c not in spared))]


@pytest.mark.parametrize("name", CASES)
def test_exact_is_exact(name):
    build, shape, heard = CASES[name]
    module = randomise(build(), seed=1)
    net = load(module, shape)
    inputs = torch.randn((6, *shape), generator=torch.Generator().manual_seed(1))
    exact = [group for group in net.groups if group.verdict == "exact"]
    offered = [group for group in exact if group.name in heard]
    assert len(offered) >= MUST_BE_OFFERED.get(name, 0)
    for group in net.groups:
        assert group.verdict == "exact" or group.reason
    for group in offered:
        for gone in trials(group):
            with silenced(module, dict.fromkeys(heard[group.name], gone)) as masked:
                expected = masked(inputs)
            scale = float(expected.abs().max())
            with torch.no_grad():
                twin = mask_channels(net, [(group, gone)]).module(inputs)
                removed = remove_channels(net, [(group, gone)]).module(inputs)
            assert float((twin - expected).abs().max()) <= 1e-5 * scale, (group.name, gone)
            assert float((removed - expected).abs().max()) <= 1e-5 * scale, (group.name, gone)


class AcrossChannels(nn.Module):
    """Runs at any width, but what one channel says depends on how many others there are."""

    def __init__(self, across: Callable[[Tensor], Tensor], scale: float) -> None:
        super().__init__()
        self.across, self.scale = across, scale
        self.first, self.relu, self.reader = nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Conv2d(6, 3, 1)
        self.relu2, self.head = nn.ReLU(), nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu2(self.reader(self.across(self.relu(self.first(x)))))
        return self.head(x.mean((2, 3))) * self.scale


@pytest.mark.parametrize("scale", [1.0, 1e-6])
@pytest.mark.parametrize(
    "across",
    [
        lambda x: x - x.mean(1, keepdim=True),
        lambda x: torch.softmax(x, dim=1),
        lambda x: x / (x.var(1, correction=0, keepdim=True) + 0.1),
    ],
    ids=["mean", "softmax", "variance"],
)
def test_statistics_over_channels_are_refused(across, scale):
    group = load(randomise(AcrossChannels(across, scale), seed=1), IMAGE).group("first")
    assert group.verdict == "refused"
    assert "taken together by the operation" in group.reason


@pytest.mark.filterwarnings("ignore:.*degrees of freedom")
def test_not_a_number_is_not_exact():
    """The sample variance of the last channel alone is NaN, so cutting down to it ruins the answer."""
    group = load(randomise(AcrossChannels(lambda x: x + 0 * x.var(1, keepdim=True), 1.0)), IMAGE).group(
        "first"
    )
    assert group.verdict != "exact"


def test_an_embedding_loses_columns():
    module = nn.Sequential(nn.Embedding(9, 6), nn.Flatten(), nn.Linear(18, 8), nn.ReLU(), nn.Linear(8, 2))
    tokens = torch.randint(9, (5, 3), generator=torch.Generator().manual_seed(0))
    net = with_groups(trace(randomise(module), tokens, "tokens"))
    assert [g.verdict for g in net.groups] == ["exact", "exact", "refused"]
    gone = (0, 4)
    with torch.no_grad():
        removed = remove_channels(net, [(net.group("0"), gone)])
        assert removed.layer("0").shape == (9, 4) and removed.layer("2").shape == (8, 12)
        values = module[0](tokens)
        values[..., list(gone)] = 0
        torch.testing.assert_close(removed.module(tokens), module[1:](values))
