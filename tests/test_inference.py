"""A compiled network answers as the network does: folded, laid out, with modules replaced, and cut in two."""

import copy
import itertools
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from analysis.datasets import Split
from analysis.importance import score
from analysis.inference import Layout, answers, calibrate, compile_network
from analysis.live import Gauge
from analysis.network import replace_modules
from analysis.pruning.channels import cut_modules
from analysis.pruning.plan import make_plan
from analysis.pruning.prune import prune
from analysis.pruning.weights import zeroed_modules
from analysis.tasks import CLASSIFICATION
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
    sample_module,
    snapshot,
)


class Chain(nn.Module):
    """One layer, its BatchNorm, and a head over what is flattened."""

    def __init__(self, layer, norm, features):
        super().__init__()
        self.layer, self.norm, self.act = layer, norm, nn.ReLU()
        self.head = nn.Linear(features, 3)

    def forward(self, x):
        return self.head(self.act(self.norm(self.layer(x))).flatten(1))


class ReadTwice(nn.Module):
    """The convolution is read by its BatchNorm and beside it."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x):
        y = self.conv(x)
        return self.head((self.norm(y) * torch.sigmoid(y)).mean((2, 3)))


class NormAfterAdd(nn.Module):
    """A BatchNorm reads a sum, another one the input itself."""

    def __init__(self):
        super().__init__()
        self.first = nn.BatchNorm2d(2)
        self.left, self.right = nn.Conv2d(2, 4, 3), nn.Conv2d(2, 4, 3)
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4, 3)

    def forward(self, x):
        x = self.first(x)
        return self.head(self.norm(self.left(x) + self.right(x)).mean((2, 3)))


class CalledTwice(nn.Module):
    """A layer with its BatchNorm is called twice, and another layer twice with two BatchNorms."""

    def __init__(self):
        super().__init__()
        self.first, self.middle, self.other = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.norm, self.one, self.two = nn.BatchNorm1d(6), nn.BatchNorm1d(6), nn.BatchNorm1d(6)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        x = torch.relu(self.first(x))
        for _ in range(2):
            x = torch.relu(self.norm(self.middle(x)))
        x = self.two(self.other(torch.relu(self.one(self.other(x)))))
        return self.head(x)


class SharedNorm(nn.Module):
    """Two convolutions share one BatchNorm."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.norm = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(self.norm(self.b(self.norm(self.a(x)))).mean((2, 3)))


class Tied(nn.Module):
    """The weight of a layer with a BatchNorm is read as a tensor, and by another layer; and a plain parameter."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.head = nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(5, 3)
        self.norm_a, self.norm_b = nn.BatchNorm1d(5), nn.BatchNorm1d(5)
        self.b.weight = self.a.weight
        self.scale = nn.Parameter(torch.ones(5))

    def forward(self, x):
        y = self.norm_a(self.a(x))
        z = self.norm_b(self.b(y)) * self.scale
        return self.head(F.linear(z, self.a.weight) + y)


class TwoNorms(nn.Module):
    """A BatchNorm after a BatchNorm, one without statistics of its own scale, and keyword calls."""

    def __init__(self):
        super().__init__()
        self.conv, self.one, self.two = nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        self.conv2, self.plain = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = self.two(self.one(self.conv(input=x)))
        return self.head(self.plain(self.conv2(torch.relu(x))).mean((2, 3)))


class NormIsTheAnswer(nn.Module):
    """The last step is a folded BatchNorm."""

    def __init__(self):
        super().__init__()
        self.fc, self.norm = nn.Linear(5, 4), nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(self.fc(x))


def chain(layer, norm, features):
    return lambda: Chain(layer(), norm(), features)


IMAGE = (2, 6, 6)
# network, input shape, the layers into which a BatchNorm is folded
CASES = {
    "conv": (ConvNet, (2, 5, 5), {"conv1", "conv2"}),
    "two layers": (Mlp, (5,), set()),
    "flat": (FlatNet, (1, 7, 7), set()),
    "depthwise": (DepthwiseNet, (1, 6, 6), {"depthwise"}),
    "linear": (chain(lambda: nn.Linear(5, 6), lambda: nn.BatchNorm1d(6), 6), (5,), {"layer"}),
    "linear on rows": (chain(lambda: nn.Linear(5, 6), lambda: nn.BatchNorm1d(4), 24), (4, 5), set()),
    "square linear": (chain(lambda: nn.Linear(5, 4), lambda: nn.BatchNorm1d(4), 16), (4, 5), set()),
    "conv1d": (chain(lambda: nn.Conv1d(2, 4, 3), lambda: nn.BatchNorm1d(4), 16), (2, 6), {"layer"}),
    "conv3d": (chain(lambda: nn.Conv3d(2, 4, 3), lambda: nn.BatchNorm3d(4), 32), (2, 4, 4, 4), {"layer"}),
    "grouped": (chain(lambda: nn.Conv2d(2, 4, 3, groups=2), lambda: nn.BatchNorm2d(4), 64), IMAGE, {"layer"}),
    "transposed": (
        chain(lambda: nn.ConvTranspose2d(2, 5, 3, bias=False), lambda: nn.BatchNorm2d(5), 320),
        IMAGE,
        {"layer"},
    ),
    "grouped transposed": (
        chain(lambda: nn.ConvTranspose2d(2, 4, 3, groups=2), lambda: nn.BatchNorm2d(4), 256),
        IMAGE,
        set(),
    ),
    "read twice": (ReadTwice, IMAGE, set()),
    "after add": (NormAfterAdd, IMAGE, set()),
    "called twice": (CalledTwice, (5,), set()),
    "shared norm": (SharedNorm, IMAGE, set()),
    "tied": (Tied, (5,), set()),
    "two norms": (TwoNorms, IMAGE, {"conv", "conv2"}),
    "norm is the answer": (NormIsTheAnswer, (5,), {"fc"}),
}
LAYOUTS = {"first": Layout(), "last": Layout(channels_last=True)}
ALL = [*CASES, *ARCHITECTURES]


@cache
def network(name):
    if name in ARCHITECTURES:
        return architecture(name)[1]
    build, shape, _ = CASES[name]
    module = randomise(build(), seed=4)
    if name == "conv3d":  # randomise takes its BatchNorm for a layer
        module.norm.running_mean += 0.3 * torch.arange(4)
        module.norm.running_var *= 2
    if name == "two norms":
        module.plain.weight = module.plain.bias = None
    return load(module, shape, name)


def examples(net, count=7):
    return torch.randn((count, *net.example_input.shape[1:]), generator=torch.Generator().manual_seed(8))


def dense(net, inputs):
    with torch.no_grad():
        return net.module(inputs)


def assert_close(found, expected, tolerance=1e-5):
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= tolerance * float(expected.abs().max())


def changes(net):
    """Replacements of modules: all prunable groups cut, single ones, all layers thinned, one BatchNorm scaled."""
    groups = [group for group in net.groups if group.is_prunable]
    yield {}
    for some in (groups, *([group] for group in groups)):
        yield cut_modules(net, [(g, tuple(range(0, g.size - 1, 2))) for g in some])
    yield zeroed_modules(net, {layer.name: torch.rand(layer.shape) < 0.5 for layer in net.layers})
    for layer in net.layers[:2]:
        yield zeroed_modules(net, {layer.name: torch.rand(layer.shape) < 0.5})
    for name, module in net.module.named_modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.affine:
            twin = copy.deepcopy(module)
            twin.weight.data.mul_(-2)
            yield {name: twin}
            break


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ALL)
def test_a_compiled_network_answers_as_the_network(name, layout):
    net = network(name)
    inputs, before = examples(net), snapshot(net.module)
    program = compile_network(net, LAYOUTS[layout])
    assert_close(program(program.layout.prepare(inputs)), dense(net, inputs))
    assert_close(program(inputs), dense(net, inputs))
    assert same(before, snapshot(net.module))


@pytest.mark.parametrize("name", ["digits-cnn", "digits-mlp"])
def test_a_trained_sample_keeps_its_answers(name):
    net = load(sample_module(name), (1, 8, 8), name)
    inputs = examples(net, 40)
    assert_close(answers(compile_network(net, Layout(16, True)), inputs), dense(net, inputs))


@pytest.mark.parametrize("name", CASES)
def test_a_batchnorm_is_folded_exactly_where_nothing_else_sees_its_layer(name):
    net, folded = network(name), CASES[name][2]
    program = compile_network(net)
    calls = [str(n.target) for n in net.module.graph.nodes if n.op == "call_module"]
    norms = [n for n in calls if isinstance(net.module.get_submodule(n), nn.modules.batchnorm._BatchNorm)]
    steps = [n for n in net.module.graph.nodes if n.op not in ("placeholder", "output")]
    assert program.length == len(steps) - len(folded)
    changed = {n for n in set(calls) if program._modules.get(n) is not net.module.get_submodule(n)}
    assert changed - set(norms) == folded


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ALL)
def test_replaced_modules_give_the_program_of_the_replaced_network(name, layout):
    net = network(name)
    inputs, program = examples(net), compile_network(net, LAYOUTS[layout])
    first, before = program(inputs), snapshot(net.module)
    kept = {n: (module, snapshot(module)) for n, module in program._modules.items()}
    torch.manual_seed(0)
    for changed in changes(net):
        replaced = replace_modules(net, changed)
        again = program.with_modules(changed)
        assert torch.equal(again(inputs), compile_network(replaced, LAYOUTS[layout])(inputs))
        assert_close(again(inputs), dense(replaced, inputs))
        for n, module in program._modules.items():
            norm = program._route.folded.get(n)
            assert (again._modules[n] is module) == (n not in changed and norm not in changed), n
    assert torch.equal(program(inputs), first)
    assert all(program._modules[n] is module and same(s, snapshot(module)) for n, (module, s) in kept.items())
    assert same(before, snapshot(net.module))


def test_modules_replaced_one_after_the_other_start_from_the_dense_network():
    net = network("conv")
    inputs, program = examples(net), compile_network(net)
    masks = {layer.name: torch.rand(layer.shape) < 0.5 for layer in net.layers}
    both = zeroed_modules(net, masks)
    chained = program.with_modules({"conv1": both["conv1"]}).with_modules({"head": both["head"]})
    expected = program.with_modules({"conv1": both["conv1"], "head": both["head"]})
    assert torch.equal(chained(inputs), expected(inputs))


@pytest.mark.parametrize("name", ALL)
def test_a_run_cut_anywhere_and_twice_answers_as_a_whole_one(name):
    net = network(name)
    program, inputs = compile_network(net), examples(net)
    expected, given = program(inputs), inputs.clone()
    states = [program.run_until(cut, inputs) for cut in range(program.length + 1)]
    assert states[0][0] is inputs and len(states[0]) == 1
    assert torch.equal(states[-1][0], expected) and len(states[-1]) == 1
    for cut, values in enumerate(states):
        assert len(values) == len(program.live(cut))
        for _ in range(2):  # kept values are used again and again
            assert torch.equal(program.run_from(cut, values), expected), cut
    for early, late in itertools.combinations_with_replacement(range(program.length + 1), 2):
        between = program.run_between(early, states[early], late)
        assert len(between) == len(states[late])
        for found, value in zip(between, states[late], strict=True):
            assert torch.equal(found, value) if isinstance(value, torch.Tensor) else found == value
    assert torch.equal(inputs, given)


class InPlace(nn.Module):
    """Values are overwritten by methods that have no plain twin."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(5, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x):
        x = torch.relu(self.first(x))
        y = self.second(x)
        y.copy_(y + x)
        return self.head(y)


def test_a_network_that_writes_in_place_is_never_resumed():
    net = load(randomise(InPlace()), (5,))
    program, inputs = compile_network(net), examples(net)
    assert_close(program(inputs), dense(net, inputs))
    assert not program.can_resume
    assert compile_network(network("conv")).can_resume
    split = Split(inputs, torch.zeros(len(inputs), dtype=torch.long), "some")
    gauge, scores = Gauge(net, split, CLASSIFICATION), score(net, "l1")
    for ratio in (0.3, 0.3, 0.5):
        plan = make_plan(net, "l1", "weight", {"second": ratio})
        run = gauge.run(plan, scores, hand="second")
        run.finish()
        assert_close(run.evaluation().outputs, prune(net, plan, scores).module(inputs).detach())


def test_the_first_step_of_a_module_is_where_its_values_begin_to_matter():
    net = network("called twice")
    program, inputs = compile_network(net), examples(net)
    for name in ("first", "middle", "other", "head"):
        changed = zeroed_modules(net, {name: torch.ones(net.layer(name).shape, dtype=torch.bool)})
        twin, cut = program.with_modules(changed), program.first_step(name)
        assert torch.equal(twin.run_from(cut, program.run_until(cut, inputs)), twin(inputs))
        before = twin.run_until(cut, inputs)
        assert all(torch.equal(a, b) for a, b in zip(before, program.run_until(cut, inputs), strict=True))
        after = twin.run_until(cut + 1, inputs), program.run_until(cut + 1, inputs)
        assert not all(torch.equal(a, b) for a, b in zip(*after, strict=True))
    assert program.first_step("first") == 0 and program.first_step("middle") < program.first_step("other")
    folded = compile_network(network("conv"))
    assert folded.first_step("bn1") == folded.first_step("conv1") == 0
    with pytest.raises(KeyError):
        folded.first_step("nothing")


@pytest.mark.parametrize("batch", [1, 3, 7, 64])
def test_uneven_batches_answer_as_one(batch):
    net = network("resnet")
    inputs = examples(net, 17)
    found = answers(compile_network(net, Layout(batch, channels_last=True)), inputs)
    assert_close(found, answers(compile_network(net, Layout(17)), inputs))


IMAGES = [Layout(64, True), Layout(128, True), Layout(32, True)]
ROWS = [Layout(64), Layout(128), Layout(32)]


def clock(durations):
    """A clock by which the n-th timed call takes ``durations[n]`` hundredths of a second."""
    now = itertools.accumulate(itertools.chain.from_iterable((1.0, d / 100) for d in durations))
    return lambda: next(now)


@pytest.mark.parametrize(
    ("name", "rounds", "chosen"),
    [
        *(("conv", [[9.0] * i + [1.0] + [9.0] * (2 - i)] * 3, IMAGES[i]) for i in range(3)),
        *(("two layers", [[9.0] * i + [1.0] + [9.0] * (2 - i)] * 3, ROWS[i]) for i in range(3)),
        ("conv", [[2.0] * 3] * 3, IMAGES[0]),
        ("conv", [[9.0, 2.0, 2.0]] * 3, IMAGES[1]),
        ("two layers", [[2.08, 2.0, 2.0]] * 3, ROWS[0]),
        ("two layers", [[2.12, 2.0, 1.99]] * 3, ROWS[1]),
        ("two layers", [[5.0, 2.0, 3.0], [1.0, 2.0, 3.0], [5.0, 2.0, 3.0]], ROWS[0]),
        ("two layers", [[5.0, 2.0, 3.0], [5.0, 2.0, 3.0], [5.0, 2.0, 1.0]], ROWS[2]),
    ],
)
def test_the_layout_that_was_fastest_in_its_best_round_is_chosen(name, rounds, chosen):
    net = network(name)
    found = calibrate(net, examples(net, 5), clock=clock(itertools.chain.from_iterable(rounds)))
    assert found == chosen


def test_a_slow_network_is_not_timed_for_long():
    """The second batch size is a hundred times faster, and that is never found out."""
    net = network("conv")
    assert calibrate(net, examples(net, 5), clock=clock([200.0])) == IMAGES[0]


@pytest.mark.parametrize(
    ("layer", "norm", "features", "shape"),
    [(nn.Linear(5, 6), nn.BatchNorm1d(6, affine=False), 6, (5,)),
     (nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, affine=False), 36, (2, 5, 5)),
     (nn.ConvTranspose2d(2, 4, 3), nn.BatchNorm2d(4, affine=False), 196, (2, 5, 5))],
)  # fmt: skip
def test_a_norm_without_scale_and_shift_is_folded(layer, norm, features, shape):
    norm.running_mean, norm.running_var = torch.linspace(-1, 1, len(norm.running_mean)), norm.running_var * 3
    module = Chain(layer, norm, features).eval()
    network = load(module, shape)
    inputs = torch.randn((9, *shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = module(inputs)
    torch.testing.assert_close(answers(compile_network(network, Layout()), inputs), expected)
