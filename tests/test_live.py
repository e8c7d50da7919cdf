"""The number behind a slider: it ends at what pruning by hand measures, whatever was kept on the way."""

import random
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

import analysis.live
from analysis.datasets import Split
from analysis.errors import NetworkError, PlanError
from analysis.importance.registry import score
from analysis.importance.scores import Scores
from analysis.inference import Layout, Program
from analysis.live import Gauge
from analysis.measure.anytime import looks
from analysis.measure.quality import evaluate, quality
from analysis.prefix import PrefixCache
from analysis.pruning.plan import Pick, Plan, make_plan, repick, targets
from analysis.pruning.prune import prune
from analysis.pruning.selection import select
from analysis.tasks import CLASSIFICATION, REGRESSION
from tests.networks import ARCHITECTURES, ConvNet, DepthwiseNet, FlatNet, Mlp, load, randomise, same, snapshot

COUNT = 300


class Joined(nn.Module):
    """Two convolutions are concatenated, read together, and one of them is read alone too."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.relu = nn.Conv2d(1, 4, 3), nn.Conv2d(1, 6, 3), nn.ReLU()
        self.reader, self.other, self.relu2 = nn.Conv2d(10, 5, 1), nn.Conv2d(6, 5, 1), nn.ReLU()
        self.head = nn.Linear(5, 3)

    def forward(self, x):
        a, b = self.relu(self.a(x)), self.b(x)
        return self.head(self.relu2(self.reader(torch.cat([a, b], 1)) + self.other(b)).mean((2, 3)))


class Dense(nn.Module):
    """What a layer reads is handed on beside what it says."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.third = nn.Linear(5, 6), nn.Linear(6, 8), nn.Linear(14, 6)
        self.relu1, self.relu2, self.relu3, self.head = nn.ReLU(), nn.ReLU(), nn.ReLU(), nn.Linear(6, 3)

    def forward(self, x):
        x = self.relu1(self.first(x))
        x = self.relu3(self.third(torch.cat([x, self.relu2(self.second(x))], 1)))
        return self.head(x)


CASES = {
    "conv": (ConvNet, (2, 5, 5)),
    "two layers": (Mlp, (5,)),
    "flat": (FlatNet, (1, 7, 7)),
    "depthwise": (DepthwiseNet, (1, 6, 6)),
    "joined": (Joined, (1, 6, 6)),
    "beside": (Dense, (5,)),
    "one number": (lambda: Mlp(outputs=1), (5,)),
}
ALL = [*CASES, "resnet", "small resnet", "deep resnet", "cnn"]


def network(name):
    """Random weights; the head's biases are such that each class is answered now and then."""
    build, shape = CASES[name] if name in CASES else ARCHITECTURES[name]
    module = randomise(build(), seed=4)
    inputs = torch.randn((200, *shape), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        module.head.bias -= module(inputs).mean(0)
    return load(module, shape, name)


def examples(net, count=COUNT):
    """Random inputs with what the network answers to them; a fifth of the answers are changed."""
    generator = torch.Generator().manual_seed(count)
    inputs = torch.randn((count, *net.example_input.shape[1:]), generator=generator)
    with torch.no_grad():
        outputs = net.module(inputs)
    other = torch.rand(count, generator=generator) < 0.2
    if outputs.shape[1] == 1:
        return Split(inputs, outputs[:, 0] + other * torch.randn(count, generator=generator), "drawn")
    return Split(inputs, (outputs.argmax(1) + other.long()) % outputs.shape[1], "drawn")


def gauge_of(name, **options):
    net = options.pop("net", None) or network(name)
    task = REGRESSION if name == "one number" else CLASSIFICATION
    return Gauge(net, examples(net, options.pop("count", COUNT)), task, **options)


def by_hand(gauge, plan, scores):
    evaluation = evaluate(prune(gauge.network, plan, scores), gauge.split, gauge.task)
    return evaluation, quality(evaluation)[gauge.task.headline.key].value


def assert_is(gauge, reading, expected):
    tolerance = 0 if gauge.task.is_classification else 1e-5
    assert reading.is_exact and reading.examples == reading.total == len(gauge.split)
    assert reading.value.low == reading.value.value == reading.value.high
    assert abs(reading.value.value - expected) <= tolerance + 1e-12
    assert reading.change.low == reading.change.value == reading.change.high
    assert reading.change.value == pytest.approx(expected - gauge.dense_headline, abs=tolerance + 1e-12)


def readings(run):
    found = [run.advance()]
    while not found[-1].is_exact:
        found.append(run.advance())
    return found


@pytest.fixture(autouse=True)
def _layout(monkeypatch):
    """No timing: what is fastest must not decide what is tested."""
    monkeypatch.setattr(analysis.live, "calibrate", lambda *_: Layout(32, channels_last=True))


@contextmanager
def counted(method):
    """How often a method of Program is called."""
    calls, original = [], getattr(Program, method)
    patch = pytest.MonkeyPatch()
    patch.setattr(Program, method, lambda *a: (calls.append(a[1]), original(*a))[1])
    yield calls
    patch.undo()


class Counting(PrefixCache):
    """Counts what it could give back."""

    hits = 0

    def get(self, key, chunk):
        found = super().get(key, chunk)
        self.hits += found is not None
        return found


@pytest.mark.parametrize("granularity", ["channel", "weight"])
@pytest.mark.parametrize("name", ALL)
def test_the_last_reading_is_what_pruning_by_hand_measures(name, granularity):
    gauge = gauge_of(name)
    before, scores = snapshot(gauge.network.module), score(gauge.network, "l1")
    offered, values = targets(gauge.network, granularity), set()
    some = dict(zip(offered, (0.3, 0.6, 0.45, 0.2, 0.7, 0.5) * 3, strict=False))
    for ratios in ({}, some, *({t: r} for t, r in some.items())):
        plan = make_plan(gauge.network, "l1", granularity, ratios)
        evaluation, expected = by_hand(gauge, plan, scores)
        values.add(expected)
        for hand in (None, *ratios):
            run = gauge.run(plan, scores, hand=hand)
            assert_is(gauge, run.finish(), expected)
            found = run.evaluation()
            assert torch.allclose(found.outputs, evaluation.outputs, rtol=1e-4, atol=1e-5)
            assert found.split is gauge.split and found.task is gauge.task
            if gauge.task.is_classification:
                assert torch.equal(found.answers, evaluation.answers)
            assert torch.allclose(found.losses, evaluation.losses, rtol=1e-3, atol=1e-5)
    assert len(values) > 1
    assert same(before, snapshot(gauge.network.module))


@pytest.mark.parametrize("budget", [None, 0, 20_000])
@pytest.mark.parametrize("name", ["conv", "joined", "beside", "flat", "small resnet", "one number"])
def test_any_moves_in_any_order_end_at_what_pruning_by_hand_measures(name, budget):
    kept = Counting() if budget is None else Counting(budget)
    gauge, draw = gauge_of(name, kept=kept, count=150), random.Random(name)
    all_scores = {criterion: score(gauge.network, criterion) for criterion in ("l1", "random")}
    ratios = {granularity: {} for granularity in ("channel", "weight")}
    for _ in range(40):
        granularity = draw.choice(("channel", "channel", "weight"))
        hand = draw.choice(targets(gauge.network, granularity))
        criterion = draw.choice(("l1", "l1", "random"))
        ratios[granularity][hand] = draw.choice((0.0, 0.2, 0.4, 0.6, 0.9, 1.0))
        plan = make_plan(gauge.network, criterion, granularity, ratios[granularity])
        run = gauge.run(plan, all_scores[criterion], hand=hand)
        assert_is(gauge, run.finish(), by_hand(gauge, plan, all_scores[criterion])[1])
        assert kept.used <= kept.budget
    assert (kept.hits == 0) == (budget == 0)


@pytest.mark.parametrize(
    ("name", "hand", "other"),
    [("conv", "conv2", "conv1"), ("two layers", "fc2", "fc1"), ("flat", "fc", "conv")],
)
def test_moving_a_slider_again_runs_only_what_comes_after_it(name, hand, other):
    kept = Counting()
    gauge = gauge_of(name, kept=kept)
    scores, chunks = score(gauge.network, "l1"), 10  # 300 in batches of 32

    def move(ratio, elsewhere):
        plan = make_plan(gauge.network, "l1", "channel", {hand: ratio, other: elsewhere})
        run = gauge.run(plan, scores, hand=hand)
        with counted("run_until") as started, counted("run_from") as resumed, counted("__call__") as whole:
            reading = run.finish()
        assert_is(gauge, reading, by_hand(gauge, plan, scores)[1])
        assert len(resumed) == chunks and not whole
        return len(started)

    assert move(0.3, 0.5) == chunks and kept.hits == 0
    assert move(0.6, 0.5) == move(0.9, 0.5) == 0 and kept.hits == 2 * chunks
    assert move(0.6, 0.2) == chunks  # another cut before it
    assert move(0.1, 0.5) == 0


@pytest.mark.parametrize("name", ["conv", "joined", "beside", "flat", "small resnet", "cnn", "one number"])
def test_plans_with_picks_end_at_what_pruning_by_hand_measures(name):
    kept = Counting()
    gauge, draw = gauge_of(name, kept=kept, count=150), random.Random(name)
    net, scores = gauge.network, score(gauge.network, "l1")
    offered = targets(net, "channel")
    plan, resumed = Plan(net.name, "l1"), 0
    for step in range(40):
        target = draw.choice(offered)
        if draw.random() < 0.5:  # toggle a channel, or let its score decide again
            channel = draw.randrange(net.group(target).size)
            moved = repick(plan, net, target, channel, draw.choice((True, True, False, None)))
        else:
            ratios = {**plan.ratios_of("channel"), target: draw.choice((0.0, 0.0, 0.2, 0.4, 0.6))}
            moved = replace(make_plan(net, "l1", "channel", ratios), picks=plan.picks)
        try:
            select(net, moved, scores)
        except PlanError:
            continue
        plan = moved
        hand = target if step % 3 else draw.choice(offered)
        expected = by_hand(gauge, plan, scores)[1]
        run = gauge.run(plan, scores, hand=hand)
        resumed += run._path is not None
        assert_is(gauge, run.finish(), expected)
    assert resumed > 5 and kept.hits > 0 and len(plan.picks) > 1


def test_picks_alone_need_no_scores_and_are_not_confused():
    gauge, values = gauge_of("conv"), {}
    for hand in (None, "conv1", "conv2"):
        for channel in (*range(6), *range(6)):
            plan = Plan("conv", "l1", (), (Pick("conv1", channel, True), Pick("conv2", channel, True)))
            reading = gauge.run(plan, None, hand=hand).finish()
            assert_is(gauge, reading, by_hand(gauge, plan, None)[1])
            values[channel] = reading.value.value
    assert len(set(values.values())) > 1


def test_a_picked_group_is_resumed_where_its_channels_are_read():
    kept = Counting()
    gauge = gauge_of("conv", kept=kept)
    before = (Pick("conv1", 2, True),)

    def toggle(*picks):
        run = gauge.run(Plan("conv", "l1", (), picks), None, hand="conv2")
        with counted("run_until") as started, counted("__call__") as whole:
            run.finish()
        assert not whole
        return len(started)

    assert toggle(*before, Pick("conv2", 0, True)) == 10  # 300 in batches of 32
    assert toggle(*before, Pick("conv2", 1, True)) == 0
    assert toggle(*before, Pick("conv2", 1, True), Pick("conv2", 0, False)) == 0
    assert toggle(Pick("conv1", 3, True), Pick("conv2", 1, True)) == 10  # another pick before it
    assert toggle(*before, Pick("conv1", 4, False), Pick("conv2", 5, True)) == 0  # kept by hand: nothing new


def test_a_channel_kept_by_hand_measures_as_the_dense_network():
    gauge = gauge_of("conv")
    plan = Plan("conv", "l1", (), (Pick("conv1", 2, False),))
    assert gauge.run(plan, None, hand="conv1").finish() == gauge.dense_reading()


def test_two_gauges_share_a_cache_without_mixing():
    kept = PrefixCache()
    gauges = [gauge_of("conv", kept=kept), gauge_of("conv", kept=kept, seed=1)]
    for gauge in gauges:
        scores = score(gauge.network, "l1")
        for ratio in (0.3, 0.6):
            plan = make_plan(gauge.network, "l1", "channel", {"conv1": 0.5, "conv2": ratio})
            reading = gauge.run(plan, scores, hand="conv2").finish()
            assert_is(gauge, reading, by_hand(gauge, plan, scores)[1])


def test_other_scores_of_the_same_criterion_are_told_apart():
    gauge = gauge_of("conv")
    for seed in range(4):
        torch.manual_seed(seed)
        values = {layer.name: torch.rand(layer.shape) for layer in gauge.network.layers}
        scores = Scores("random", gauge.network.name, values)
        plan = make_plan(gauge.network, "random", "channel", {"conv1": 0.5, "conv2": 0.3})
        reading = gauge.run(plan, scores, hand="conv2").finish()
        assert_is(gauge, reading, by_hand(gauge, plan, scores)[1])


@pytest.mark.parametrize("name", ["conv", "one number"])
def test_readings_come_at_the_looks_and_only_narrow(name):
    gauge = gauge_of(name, count=900)
    scores = score(gauge.network, "random")
    for i, target in enumerate(targets(gauge.network, "channel")):
        plan = make_plan(gauge.network, "random", "channel", {target: 0.3 + 0.2 * i})
        run = gauge.run(plan, scores)
        found = [run.finish(lambda reading: reading.examples > 0), *readings(run)]
        assert run.finish() is run.advance() is run.reading is found[-1]
        assert [r.examples for r in found] == list(looks(900)) == list(gauge.looks)
        for r in found:
            assert r.value.low <= r.value.value <= r.value.high and r.total == 900
            assert r.change.low == pytest.approx(r.value.low - gauge.dense_headline)
            assert r.change.high == pytest.approx(r.value.high - gauge.dense_headline)
        for a, b in pairwise(found[:-1]):
            assert b.value.low >= a.value.low and b.value.high <= a.value.high
        assert found[0].value.high - found[0].value.low > found[-2].value.high - found[-2].value.low > 0
        half = (found[0].value.high - found[0].value.low) / 2
        assert found[0].is_within(half + 1e-9) and not found[0].is_within(half - 1e-9)


def test_the_dense_plan_is_the_dense_network():
    gauge = gauge_of("conv")
    run = gauge.run(Plan(gauge.network.name, "l1"), None, hand="conv1")
    assert all(r.change.low <= 0 <= r.change.high for r in readings(run))
    expected = evaluate(gauge.network, gauge.split, gauge.task)
    assert_is(gauge, run.advance(), quality(expected)["accuracy"].value)
    assert torch.equal(run.evaluation().answers, gauge.dense.answers)


@pytest.mark.parametrize("single_look", [False, True])
@pytest.mark.parametrize("count", [1, 2, 40, 127, 128])
def test_a_small_split_is_exact_at_once(count, single_look):
    gauge = gauge_of("conv", count=count)
    plan, scores = make_plan(gauge.network, "l1", "channel", {"conv1": 0.5}), score(gauge.network, "l1")
    run = gauge.run(plan, scores, hand="conv1", single_look=single_look)
    evaluation, expected = by_hand(gauge, plan, scores)
    assert_is(gauge, run.advance(), expected)
    assert torch.equal(run.evaluation().answers, evaluation.answers)


def test_a_single_look_may_come_after_every_batch():
    gauge = gauge_of("conv", count=500)
    plan, scores = make_plan(gauge.network, "l1", "channel", {"conv1": 0.5}), score(gauge.network, "l1")
    found = readings(gauge.run(plan, scores, single_look=True))
    assert [r.examples for r in found] == [*range(128, 500, 32), 500]
    every = {r.examples: r for r in readings(gauge.run(plan, scores))}
    assert found[0].value.high - found[0].value.low < every[128].value.high - every[128].value.low


class Divided(nn.Module):
    """Nothing divided by nothing where all that the first layer says is zero."""

    def __init__(self):
        super().__init__()
        self.first, self.head = nn.Linear(5, 6, bias=False), nn.Linear(6, 3)

    def forward(self, x):
        x = self.first(x)
        return self.head(x / x.abs().sum(1, keepdim=True))


@pytest.mark.parametrize("hand", [None, "first", "head"])
def test_answers_that_are_no_numbers_are_an_error(hand):
    gauge = gauge_of("divided", net=load(randomise(Divided()), (5,), "divided"))
    scores = score(gauge.network, "l1")
    plan = make_plan(gauge.network, "l1", "weight", {"first": 1.0, "head": 0.2})
    run = gauge.run(plan, scores, hand=hand)
    for _ in range(2):
        with pytest.raises(NetworkError, match="divided answers NaN or infinity"):
            run.advance()
    assert run.reading is None
    mild = make_plan(gauge.network, "l1", "weight", {"first": 0.5, "head": 0.2})
    assert_is(gauge, gauge.run(mild, scores, hand=hand).finish(), by_hand(gauge, mild, scores)[1])


def together(*functions):
    """Run functions in threads that switch often; raises what they raised."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    with ThreadPoolExecutor(len(functions)) as pool:
        futures = [pool.submit(function) for function in functions]
    sys.setswitchinterval(interval)
    for future in futures:
        future.result()


def test_threads_that_advance_one_run_see_one_measurement():
    gauge = gauge_of("conv", count=900)
    plan, scores = make_plan(gauge.network, "l1", "channel", {"conv2": 0.6}), score(gauge.network, "l1")
    alone, shared, seen = readings(gauge.run(plan, scores)), gauge.run(plan, scores, hand="conv2"), []
    together(*[lambda: seen.extend(readings(shared))] * 3)
    assert sorted({r.examples for r in seen}) == list(looks(900))
    assert all(r == next(a for a in alone if a.examples == r.examples) for r in seen)
    assert_is(gauge, shared.advance(), by_hand(gauge, plan, scores)[1])


def test_threads_with_runs_of_their_own_do_not_disturb_each_other():
    gauge = gauge_of("deep resnet", count=130, kept=PrefixCache(200_000))
    scores, offered, wrong = score(gauge.network, "l1"), targets(gauge.network, "channel"), []
    plans = [
        make_plan(gauge.network, "l1", "channel", {a: 0.4, b: 0.7}) for a in offered for b in offered if a < b
    ]
    expected = {plan: by_hand(gauge, plan, scores)[1] for plan in plans}

    def work(seed):
        draw = random.Random(seed)
        for _ in range(12):
            plan = draw.choice(plans)
            reading = gauge.run(plan, scores, hand=draw.choice(list(plan.ratios))).finish()
            if reading.value.value != expected[plan]:
                wrong.append(plan)

    together(*(lambda seed=seed: work(seed) for seed in range(4)))
    assert not wrong


def test_a_similar_plan_narrows_the_interval_and_leaves_the_end_as_it_is():
    gauge = gauge_of("conv", count=900)
    scores = score(gauge.network, "l1")
    near = make_plan(gauge.network, "l1", "weight", {"conv1": 0.5, "conv2": 0.5})
    plan = make_plan(gauge.network, "l1", "weight", {"conv1": 0.5, "conv2": 0.52})
    before = gauge.run(near, scores)
    before.finish()
    plain = readings(gauge.run(plan, scores))
    helped = readings(gauge.run(plan, scores, near=before.evaluation()))
    assert plain[-1] == helped[-1]
    assert helped[0].value.high - helped[0].value.low < plain[0].value.high - plain[0].value.low


def test_the_seed_fixes_the_order():
    *same_order, other = (gauge_of("conv", seed=seed) for seed in (3, 3, 4))
    assert sorted(other.order.tolist()) == list(range(COUNT)) != other.order.tolist()
    plan, scores = make_plan(other.network, "l1", "channel", {"conv1": 0.5}), score(other.network, "l1")
    first, second, third = (readings(g.run(plan, scores)) for g in (*same_order, other))
    assert first == second
    assert first[-1] == third[-1] and first[0] != third[0]


def test_every_batch_waits_for_its_turn():
    turns = []

    @contextmanager
    def turn():
        turns.append("in")
        yield
        turns.append("out")

    gauge = gauge_of("conv", turn=turn)
    plan, scores = make_plan(gauge.network, "l1", "channel", {"conv1": 0.5}), score(gauge.network, "l1")
    for hand in (None, "conv1"):
        turns.clear()
        gauge.run(plan, scores, hand=hand).finish()
        assert turns == ["in", "out"] * len(gauge._chunks)
