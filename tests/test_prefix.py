"""What is kept stays within its budget, and taking hold of a program midway changes no answer."""

import random
import threading

import pytest
import torch
from torch import nn

from analysis.inference import Layout, compile_network
from analysis.network import replace_modules
from analysis.prefix import Grip, PrefixCache, group_grip, layer_grip
from analysis.pruning.channels import cut_modules, remove_channels
from analysis.pruning.weights import zeroed_modules
from tests.networks import (
    ARCHITECTURES,
    ConvNet,
    DepthwiseNet,
    FlatNet,
    Mlp,
    architecture,
    load,
    randomise,
    same,
    snapshot,
)


def kept(size, *rest):
    """Values of `size` bytes in all, with things beside them that are no tensors."""
    return (torch.zeros(size, dtype=torch.uint8), *rest)


def held(cache):
    """The bytes in a cache, counted anew."""
    tensors = [t for chunks in cache._entries.values() for values in chunks.values() for t in values]
    return sum(t.numel() * t.element_size() for t in tensors if isinstance(t, torch.Tensor))


def test_what_is_put_is_got_as_it_is():
    cache = PrefixCache(100)
    assert cache.get("a", 0) is None and cache.used == 0
    first, second = kept(10, 3, None), (torch.zeros(5), torch.zeros(2, dtype=torch.float64))
    cache.put("a", 0, first)
    cache.put("a", 1, second)
    assert cache.get("a", 0) is first and cache.get("a", 1) is second
    assert cache.get("a", 2) is None and cache.get("b", 0) is None
    assert cache.used == 10 + 20 + 16


def test_a_chunk_is_kept_once():
    cache, first = PrefixCache(100), kept(10)
    cache.put("a", 0, first)
    cache.put("a", 0, kept(20))
    assert cache.get("a", 0) is first and cache.used == 10


def test_what_was_not_used_for_longest_goes_first_and_whole():
    cache = PrefixCache(100)
    for key in "abc":
        cache.put(key, 0, kept(15))
        cache.put(key, 1, kept(15))
    cache.get("a", 0)
    cache.put("d", 0, kept(20))
    assert [key for key in "abcd" if cache.get(key, 0)] == ["a", "c", "d"]
    assert cache.get("b", 1) is None and cache.used == 80
    cache.put("e", 0, kept(60))  # a and c are the oldest now
    assert [key for key in "acde" if cache.get(key, 0)] == ["d", "e"] and cache.used == 80


def test_the_chunks_of_one_key_do_not_drive_each_other_out():
    cache = PrefixCache(100)
    for chunk in range(5):
        cache.put("a", chunk, kept(30))
    assert [chunk for chunk in range(5) if cache.get("a", chunk)] == [0, 1, 2] and cache.used == 90
    cache.put("a", 5, kept(10))
    assert cache.get("a", 5) and cache.used == 100


def test_a_chunk_too_big_for_the_budget_is_not_kept():
    cache = PrefixCache(100)
    cache.put("a", 0, kept(101))
    assert cache.get("a", 0) is None and cache.used == 0
    cache.put("a", 1, kept(100))
    assert cache.get("a", 1) and cache.used == 100
    none = PrefixCache(0)
    none.put("a", 0, kept(1))
    assert none.get("a", 0) is None and none.used == 0


def test_a_chunk_too_big_for_the_budget_drives_nothing_out():
    cache = PrefixCache(100)
    cache.put("a", 0, kept(50))
    cache.put("b", 0, kept(101))
    assert cache.get("a", 0)


def test_tensors_within_a_value_count():
    cache = PrefixCache(100)
    cache.put("a", 0, (torch.zeros(40, dtype=torch.uint8).chunk(2),))
    assert cache.used == 40
    cache.put("b", 0, (torch.zeros(400, dtype=torch.uint8).chunk(2),))
    assert cache.get("b", 0) is None


@pytest.mark.parametrize("seed", range(20))
def test_the_budget_is_never_exceeded(seed):
    draw = random.Random(seed)
    budget = draw.choice([0, 1, 50, 300, 2000])
    cache, given = PrefixCache(budget), {}
    for _ in range(300):
        key, chunk = draw.randrange(8), draw.randrange(6)
        if draw.random() < 0.7:
            values = kept(draw.choice([0, 1, 10, 60, draw.randrange(400)]))
            had = cache.get(key, chunk)
            cache.put(key, chunk, values)
            given[key, chunk] = had if had is not None else values
        found = cache.get(key, chunk)
        assert found is None or found is given[key, chunk]
        assert cache.used == held(cache) <= budget


def test_many_threads_keep_the_count_of_bytes():
    cache, wrong = PrefixCache(500), []

    def hammer(seed):
        draw = random.Random(seed)
        for _ in range(3000):
            key, chunk = draw.randrange(10), draw.randrange(4)
            cache.put(key, chunk, kept(10 * key + chunk))
            found = cache.get(key, chunk)
            if cache.used > 500 or (found is not None and len(found[0]) != 10 * key + chunk):
                wrong.append((key, chunk))

    threads = [threading.Thread(target=hammer, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert 0 < cache.used == held(cache) <= 500


class Between(nn.Module):
    """Something happens to the channels between the layer that writes them and the one that reads them."""

    def __init__(self, across):
        super().__init__()
        self.stem, self.writer = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 8, 3, padding=1)
        self.relu1, self.across, self.relu2 = nn.ReLU(), across, nn.ReLU()
        self.reader, self.head = nn.Conv2d(8, 5, 1), nn.Linear(5, 3)

    def forward(self, x):
        x = self.across(self.writer(self.relu1(self.stem(x))))
        return self.head(self.relu2(self.reader(x)).mean((2, 3)))


class Scaled(nn.Module):
    """Channels are divided by what all of them are on average: dropping some later is not the same."""

    def forward(self, x):
        return x / (1 + x.abs().sum(1, keepdim=True))


class Joined(nn.Module):
    """Two convolutions are concatenated, read together, and one of them is read alone too."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 6, 3)
        self.relu, self.relu2 = nn.ReLU(), nn.ReLU()
        self.reader, self.other, self.head = nn.Conv2d(10, 5, 1), nn.Conv2d(4, 5, 1), nn.Linear(5, 3)

    def forward(self, x):
        a = self.relu(self.a(x))
        x = self.relu2(self.reader(torch.cat([a, self.b(x)], 1)) + self.other(a))
        return self.head(x.mean((2, 3)))


class Gate(nn.Module):
    """Squeeze and excitation: channels are read beside being scaled."""

    def __init__(self):
        super().__init__()
        self.first, self.squeeze, self.excite = nn.Conv2d(1, 6, 3), nn.Linear(6, 4), nn.Linear(4, 6)
        self.relu, self.relu2, self.head = nn.ReLU(), nn.ReLU(), nn.Linear(6, 3)

    def forward(self, x):
        x = self.relu(self.first(x))
        gate = torch.sigmoid(self.excite(self.relu2(self.squeeze(x.mean((2, 3))))))
        return self.head((x * gate[:, :, None, None]).mean((2, 3)))


class Rows(nn.Module):
    """Linear layers on rows: their channels come last; sizes are read off before they are used."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(5, 6), nn.Linear(6, 4), nn.Linear(12, 3)
        self.act, self.act2 = nn.GELU(), nn.ReLU()

    def forward(self, x):
        count = x.shape[0]
        return self.head(self.act2(self.second(self.act(self.first(x)))).reshape(count, -1))


IMAGE = (1, 6, 6)
CASES = {
    "conv": (ConvNet, (2, 5, 5)),
    "two layers": (Mlp, (5,)),
    "sigmoid": (lambda: Mlp(nn.Sigmoid), (5,)),
    "flat": (FlatNet, (1, 7, 7)),
    "depthwise": (DepthwiseNet, IMAGE),
    "joined": (Joined, IMAGE),
    "gate": (Gate, IMAGE),
    "rows": (Rows, (3, 5)),
    "group norm": (lambda: Between(nn.GroupNorm(1, 8)), IMAGE),
    "groups of norms": (lambda: Between(nn.GroupNorm(4, 8)), IMAGE),
    "instance norm": (lambda: Between(nn.InstanceNorm2d(8, affine=True)), IMAGE),
    "softmax": (lambda: Between(nn.Softmax(1)), IMAGE),
    "scaled": (lambda: Between(Scaled()), IMAGE),
    "batch norm": (lambda: Between(nn.BatchNorm2d(8)), IMAGE),
    "pooled": (lambda: Between(nn.MaxPool2d(2)), IMAGE),
}
ALL = [*CASES, *ARCHITECTURES]


def network(name):
    if name in ARCHITECTURES:
        return architecture(name)[1]
    build, shape = CASES[name]
    return load(randomise(build(), seed=4), shape, name)


def examples(net):
    shape = (9, *net.example_input.shape[1:])
    return torch.randn(shape, generator=torch.Generator().manual_seed(8))


def offered(net):
    return [group for group in net.groups if group.is_prunable]


def assert_close(found, expected):
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 1e-5 * float(expected.abs().max())


@torch.no_grad()
def dense(net, inputs):
    return net.module(inputs)


@pytest.mark.parametrize("layout", [Layout(), Layout(channels_last=True)], ids=["first", "last"])
@pytest.mark.parametrize("name", ALL)
def test_from_a_groups_grip_on_it_is_the_pruned_network(name, layout):
    net = network(name)
    inputs, before = examples(net), snapshot(net.module)
    program = compile_network(net, layout)
    for group in offered(net):
        grip = group_grip(net, program, group)
        values = program.run_until(grip.cut, inputs)
        if not grip.drops:  # as the gauge does where nothing is to be dropped
            grip = Grip(grip.cut, (None,) * len(values))
        copies = [v.clone() if isinstance(v, torch.Tensor) else v for v in values]
        for ratio in (0.0, 0.1, 0.3, 0.5, 0.8, 1.0):
            count = min(int(ratio * group.size + 0.5), group.size - 1)
            order = torch.randperm(group.size, generator=torch.Generator().manual_seed(count))
            gone = tuple(sorted(order[:count].tolist()))
            pruned = program.with_modules(cut_modules(net, [(group, gone)]))
            found = pruned.run_from(grip.cut, grip.apply(values, gone))
            assert_close(found, dense(remove_channels(net, [(group, gone)]), inputs))
        for value, copied in zip(values, copies, strict=True):  # kept values are not written to
            assert torch.equal(value, copied) if isinstance(value, torch.Tensor) else value == copied
    assert same(before, snapshot(net.module))


@pytest.mark.parametrize("name", ALL)
def test_from_a_layers_grip_on_it_is_the_thinned_network(name):
    net = network(name)
    inputs, program = examples(net), compile_network(net)
    for layer in net.layers:
        grip = layer_grip(program, layer.name)
        assert not grip.drops_channels
        values = program.run_until(grip.cut, inputs)
        for share in (0.0, 0.5, 1.0):
            mask = torch.rand(layer.shape, generator=torch.Generator().manual_seed(1)) < share
            changed = zeroed_modules(net, {layer.name: mask})
            found = program.with_modules(changed).run_from(grip.cut, values)
            assert_close(found, dense(replace_modules(net, changed), inputs))


@pytest.mark.parametrize(
    ("name", "target", "reader"),
    [
        ("conv", "conv1", "conv2"),
        ("conv", "conv2", "head"),
        ("two layers", "fc2", "head"),
        ("flat", "conv", "fc"),
        ("rows", "first", "second"),
        ("depthwise", "point", "head"),
        ("batch norm", "writer", "reader"),
        ("pooled", "writer", "reader"),
        ("lenet", "conv2", "fc1"),
    ],
)
def test_a_plain_group_is_gripped_at_its_reader(name, target, reader):
    net = network(name)
    program = compile_network(net)
    grip = group_grip(net, program, net.group(target))
    assert grip.drops_channels and grip.cut == program.first_step(reader) > program.first_step(target)
    assert grip.is_shared_with(net.group(target))


ACROSS = {"softmax": nn.Softmax(1), "scaled": Scaled(), "group norm": nn.GroupNorm(1, 8, affine=False)}


@pytest.mark.parametrize("name", ACROSS)
def test_where_channels_mind_each_other_the_grip_is_at_the_writer(name):
    net = load(randomise(Between(ACROSS[name]), seed=4), IMAGE)
    group = load(randomise(Between(nn.Identity()), seed=4), IMAGE).group("writer")  # as if it could be pruned
    program, inputs, gone = compile_network(net), examples(net), (0, 3, 5)
    grip = group_grip(net, program, group)
    assert grip == Grip(program.first_step("writer"))
    expected = dense(remove_channels(net, [(group, gone)]), inputs)
    pruned = program.with_modules(cut_modules(net, [(group, gone)]))
    assert_close(pruned.run_from(grip.cut, program.run_until(grip.cut, inputs)), expected)
    part = next(part for part in group.slices if part.side == "in")
    later = Grip(program.first_step("reader"), ((1, part),))  # dropping them at the reader would be wrong
    wrong = pruned.run_from(later.cut, later.apply(program.run_until(later.cut, inputs), gone))
    assert float((wrong - expected).abs().max()) > 1e-3 * float(expected.abs().max())


def test_a_group_that_is_offered_though_its_channels_mind_each_other_is_gripped_at_its_writer():
    net = network("scaled")
    program, group = compile_network(net), net.group("writer")
    assert group.is_prunable and group_grip(net, program, group) == Grip(program.first_step("writer"))


def test_groups_that_share_a_concatenated_value_are_told():
    net = network("joined")
    program = compile_network(net)
    a, b = net.group("a"), net.group("b")
    grip = group_grip(net, program, b)
    assert grip.drops_channels and grip.is_shared_with(a) and grip.is_shared_with(b)
    assert not grip.is_shared_with(network("conv").group("conv1"))
    assert not group_grip(net, program, a).drops_channels or group_grip(net, program, a).is_shared_with(b)
