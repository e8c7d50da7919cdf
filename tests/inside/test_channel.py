"""One channel: ranks, kernels, cost, effect and activity against slow counts, planted and permuted channels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import rankdata
from torch import nn

import analysis.inside.channel_activity as listening
from analysis.errors import NetworkError, PlanError
from analysis.importance.registry import CRITERIA, score
from analysis.importance.scores import Scores, group_scores
from analysis.inside.channel import (
    channel_cost,
    effect,
    effect_alone,
    find,
    kernels,
    places,
    rank,
    without,
)
from analysis.inside.channel_activity import (
    activation_maps,
    activity,
    class_means,
    entries_of,
    top_examples,
    twin,
    upsampled,
)
from analysis.live import Gauge
from analysis.measure.cost import cost
from analysis.measure.quality import change, evaluate, quality
from analysis.network import Layer
from analysis.pruning.plan import Pick, Plan, targets
from analysis.pruning.prune import prune
from analysis.tasks import CLASSIFICATION, REGRESSION
from tests.networks import (
    ARCHITECTURES,
    ConvNet,
    FlatNet,
    Mlp,
    architecture,
    dataset,
    load,
    plant_dead,
    randomise,
    same,
    snapshot,
    split,
)
from tests.zoo.networks import BY_NAME
from tests.zoo.opened import from_module

DEAD, ORIGINAL, COPY = 4, 1, 6


def conv(plant=True):
    """ConvNet; in conv2 channel 4 is dead and channel 6 a copy of channel 1."""
    module = randomise(ConvNet())
    if plant:
        plant_dead(module, ("conv2", "bn2"), (DEAD,))
        with torch.no_grad():
            module.conv2.weight[COPY] = module.conv2.weight[ORIGINAL]
            for values in (
                module.bn2.weight,
                module.bn2.bias,
                module.bn2.running_mean,
                module.bn2.running_var,
            ):
                values[COPY] = values[ORIGINAL]
    return load(module, (2, 5, 5), "conv")


def heard(net, layer, inputs):
    """What a layer of ConvNet, Mlp or FlatNet says after its activation, with forward hooks: (N, P, C)."""
    after = {
        "conv1": "relu1",
        "conv2": "relu2",
        "fc1": "act1",
        "fc2": "act2",
        "conv": "act",
        "fc": "act2",
        "head": "head",
    }
    said = []
    handle = net.get_submodule(after[layer]).register_forward_hook(lambda *a: said.append(a[2].detach()))
    with torch.no_grad():
        net(inputs)
    handle.remove()
    values = said[0].double()
    return values.flatten(2).transpose(1, 2) if values.dim() > 2 else values[:, None]


def found_in(net, layer, examples, **options):
    group = next(group for group in net.groups if layer in group.members)
    return activity(net, group, layer, examples, **options)


# ---- ranks


@pytest.mark.parametrize("criterion", ["l1", "l2", "random", "taylor", "activation-mean", "apoz"])
def test_ranks_are_those_of_scipy(criterion):
    net = architecture("cnn")[1]
    scores = score(net, criterion, dataset((1, 8, 8), 10))
    for target in targets(net, "channel"):
        values = group_scores(scores, net, net.group(target)).numpy()
        ordinal = rankdata(values, method="ordinal")  # of equals the first is the least important
        found = [rank(scores, net, target, c) for c in range(len(values))]
        assert [r.rank for r in found] == (len(values) + 1 - ordinal).tolist()
        assert {(r.criterion, r.size) for r in found} == {(criterion, len(values))}


def test_a_criterion_that_does_not_tell_channels_apart_gives_no_rank():
    net = architecture("small resnet")[1]
    scores = Scores("bn-scale", net.name, {"conv1": torch.ones(3)})  # not of the other member
    assert rank(scores, net, "conv1", 0).rank is None


def test_a_dead_channel_ranks_last_under_every_sound_criterion():
    net = conv()
    data = dataset((2, 5, 5), 4, 40)
    for name, criterion in CRITERIA.items():
        if (
            name in ("random", "bn-scale") or criterion.signed
        ):  # signed: what does nothing has 0, in the midst
            continue
        found = rank(score(net, name, data), net, "conv2", DEAD)
        assert found.rank == found.size == 8, criterion.label


def test_permuted_channels_keep_their_ranks():
    module, order = randomise(ConvNet()), [3, 0, 5, 1, 4, 2]
    net = load(module, (2, 5, 5), "conv")
    with torch.no_grad():
        other = randomise(ConvNet())
        other.load_state_dict(module.state_dict())
        for part in (other.conv1, other.bn1):
            for value in part.state_dict().values():
                if value.dim():
                    value.copy_(value[order])
        other.conv2.weight.copy_(other.conv2.weight[:, order])
    turned = load(other, (2, 5, 5), "conv")
    for new, old in enumerate(order):
        assert rank(score(turned, "l1"), turned, "conv1", new) == rank(score(net, "l1"), net, "conv1", old)
        assert torch.equal(
            kernels(turned, turned.group("conv1"), "conv1", new)[0].weights,
            kernels(net, net.group("conv1"), "conv1", old)[0].weights,
        )
        examples = split((2, 5, 5), 4, 10)
        a, b = found_in(turned, "conv1", examples), found_in(net, "conv1", examples)
        assert torch.allclose(a.means[:, new], b.means[:, old])


# ---- what writes it, where it sits, what it costs


@pytest.mark.parametrize("name", ["cnn", "mlp", "lenet", "resnet"])
def test_kernels_are_rows_of_the_weight(name):
    net = architecture(name)[1]
    for group in net.groups:
        for layer in group.members:
            owner = net.module.get_submodule(layer)
            for channel in range(0, group.size, 3):
                (kernel,) = kernels(net, group, layer, channel)
                assert torch.equal(kernel.weights, owner.weight[channel]) and kernel.output == channel
                assert kernel.bias == (None if owner.bias is None else float(owner.bias.detach()[channel]))


def test_kernels_of_a_head_and_of_a_layer_that_does_not_write_the_channel():
    net = from_module("vit-separate")
    group = next(group for group in net.groups if group.unit == "head")
    weight = net.module.get_submodule(group.members[1]).weight
    found = kernels(net, group, group.members[1], 1)
    assert torch.equal(torch.stack([k.weights for k in found]), weight[4:8])
    padded = from_module("resnet-padded")
    group = next(g for g in padded.groups if g.name == "stem.0")
    without_rows = [c for c in range(group.size) if not entries_of(padded, group, "stem.0")[c]]
    assert without_rows and kernels(padded, group, "stem.0", without_rows[0]) == ()


def test_places_and_find():
    net = load(randomise(FlatNet()), (1, 7, 7), "flat")
    found = places(net, net.group("conv"), 2)
    assert [(p.module, p.side, p.positions) for p in found] == [
        ("conv", "out", (2,)),
        ("fc", "in", tuple(range(50, 75))),
    ]
    assert [p.type for p in found] == ["Conv2d", "Linear"]
    assert places(net, net.group("head"), 0) == ()
    assert find(net, "fc", 3) == ("fc", 3) and find(net, "head", 1) == ("head", 1)
    heads = from_module("vit-separate")
    group = next(group for group in heads.groups if group.unit == "head")
    assert find(heads, group.members[2], 9) == (group.name, 2)
    with pytest.raises(KeyError):
        find(net, "fc", 100)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_costs_are_counted_on_the_pruned_network(name):
    net = architecture(name)[1]
    dense = cost(net)
    for target in targets(net, "channel"):
        group = net.group(target)
        for channel in {0, group.size - 1}:
            smaller = cost(prune(net, Plan(net.name, "l1", (), (Pick(target, channel, True),))))
            found = channel_cost(net, group, channel)
            assert (found.parameters, found.macs) == (
                dense.parameters - smaller.parameters,
                dense.macs - smaller.macs,
            )


# ---- what it does


@pytest.mark.parametrize("name", ["conv", "one number"])
def test_the_effect_alone_is_that_of_pruning_by_hand(name):
    regression = name == "one number"
    net = load(randomise(Mlp(outputs=1)), (5,), name) if regression else conv(plant=False)
    task = REGRESSION if regression else CLASSIFICATION
    examples = split(tuple(net.example_input.shape[1:]), 4, 150, task=task)
    gauge, before = Gauge(net, examples, task), snapshot(net.module)
    target = targets(net, "channel")[-1]
    dense, values = evaluate(net, examples, task), set()
    for channel in range(net.group(target).size):
        shares = []
        found = effect_alone(gauge, target, channel, shares.append)
        after = evaluate(prune(net, without(net, target, channel)), examples, task)
        key = task.headline.key
        expected = change(after, dense)[key]
        assert found.before == pytest.approx(quality(dense)[key].value)
        assert found.after == pytest.approx(quality(after)[key].value, abs=1e-6)
        for end in ("value", "low", "high"):
            assert getattr(found.change, end) == pytest.approx(getattr(expected, end), abs=1e-5)
        assert found.change.low <= found.change.value <= found.change.high
        changed = None if regression else int((after.answers != dense.answers).sum())
        assert found.changed == changed and found.examples == 150
        assert shares == sorted(shares) and shares[-1] == 1
        values.add(found.change.value)
    assert len(values) > 1 and same(before, snapshot(net.module))


def test_a_dead_channel_changes_exactly_nothing_and_a_twin_is_found():
    net, examples = conv(), split((2, 5, 5), 4, 150)
    gauge = Gauge(net, examples, CLASSIFICATION)
    found = effect_alone(gauge, "conv2", DEAD)
    assert (found.change.value, found.changed, found.after) == (0.0, 0, found.before)
    heard_of = found_in(net, "conv2", examples)
    assert not heard_of.varies(DEAD) and heard_of.zeros[DEAD] == 1 and top_examples(heard_of, DEAD, 5) == ()
    assert int(heard_of.counts[DEAD].sum()) == 0 and twin(heard_of, DEAD) is None
    for one, other in ((ORIGINAL, COPY), (COPY, ORIGINAL)):
        assert twin(heard_of, one).channel == other
        assert twin(heard_of, one).correlation == pytest.approx(1, abs=1e-6)


def test_an_effect_can_be_cancelled():
    gauge = Gauge(conv(), split((2, 5, 5), 4, 600), CLASSIFICATION)

    def stop(share):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        effect_alone(gauge, "conv1", 0, stop)


def test_what_must_stay_is_refused_by_name():
    net = conv()
    with pytest.raises(PlanError, match="head keeps its channels"):
        without(net, "head", 0)
    parts = replace(net, groups=(replace(net.group("conv1"), parts=((0,), (1, 2))), *net.groups[1:]))
    with pytest.raises(PlanError, match="one of them must stay, because some layer reads these alone"):
        without(parts, "conv1", 0)
    assert without(parts, "conv1", 1).picks == (Pick("conv1", 1, True),)


def test_an_effect_between_two_plans():
    net, examples = conv(), split((2, 5, 5), 4, 150)
    plans = [Plan("conv", "l1", (), (Pick("conv1", c, True),)) for c in (0, 1)]
    first, second = (evaluate(prune(net, plan), examples, CLASSIFICATION) for plan in plans)
    found = effect(first, second)
    assert found.change == change(second, first)["accuracy"]
    assert found.after - found.before == pytest.approx(found.change.value)


# ---- what it says


CASES = {
    "conv1": (ConvNet, (2, 5, 5)),
    "conv2": (ConvNet, (2, 5, 5)),
    "fc1": (Mlp, (5,)),
    "conv": (FlatNet, (1, 7, 7)),
    "head": (Mlp, (5,)),
}


@pytest.mark.parametrize("few", [True, False], ids=["two passes", "one pass"])
@pytest.mark.parametrize("layer", CASES)
def test_activity_is_what_hooks_hear(layer, few, monkeypatch):
    monkeypatch.setattr(listening, "_KEPT_VALUES", 100 if few else 10**9)
    monkeypatch.setattr(listening, "_BATCH", 7)
    build, shape = CASES[layer]
    module = randomise(build())
    net, examples = load(module, shape, "net"), split(shape, 3, 40)
    before, shares = snapshot(net.module), []
    found = found_in(net, layer, examples, bins=10, progress=shares.append)
    values = heard(module, layer, examples.inputs).numpy()
    count, _, size = values.shape
    assert found.positions == {"conv1": (5, 5), "conv2": (5, 5), "conv": (5, 5)}.get(layer, ())
    assert found.outputs == 1 and bool(found.written.all())
    assert found.peaks.numpy() == pytest.approx(values.max(1), abs=1e-6)
    assert found.means.numpy() == pytest.approx(values.mean(1), abs=1e-6)
    for channel in range(size):
        flat = values[:, :, channel].ravel()
        at = found.places[:, channel].numpy()
        assert values[np.arange(count), at, channel] == pytest.approx(values[:, :, channel].max(1), abs=1e-6)
        assert float(found.zeros[channel]) == pytest.approx((flat == 0).mean())
        edges = found.edges[channel].numpy()
        assert edges[[0, -1]] == pytest.approx([flat.min(), flat.max()], abs=1e-6)
        expected = np.histogram(flat[flat != 0], bins=10, range=(flat.min(), flat.max()))[0]
        assert found.counts[channel].tolist() == expected.tolist()
        assert int(found.counts[channel].sum()) == (flat != 0).sum()
    known = found.correlations.numpy()
    with np.errstate(invalid="ignore", divide="ignore"):
        expected = np.corrcoef(values.reshape(-1, size).T)
    assert np.isnan(known).tolist() == np.isnan(expected).tolist()
    assert np.nan_to_num(known) == pytest.approx(np.nan_to_num(expected), abs=1e-6)
    assert shares == sorted(shares) and shares[-1] == 1
    assert same(before, snapshot(net.module))


def test_correlations_survive_values_far_from_zero():
    module = nn.Sequential(nn.Linear(3, 4), nn.Identity(), nn.Linear(4, 2))
    randomise(module)
    with torch.no_grad():
        module[0].bias.add_(3000)
    net, examples = load(module, (3,), "far"), split((3,), 2, 200)
    with torch.no_grad():
        values = module[0](examples.inputs).double().numpy()
    found = found_in(net, net.groups[0].members[0], examples)
    assert found.correlations.numpy() == pytest.approx(np.corrcoef(values.T), abs=1e-6)


def test_the_nearest_twin_is_the_one_of_numpy():
    module = randomise(Mlp())
    net, examples = load(module, (5,), "mlp"), split((5,), 3, 100)
    found = found_in(net, "fc1", examples)
    table = np.corrcoef(heard(module, "fc1", examples.inputs)[:, 0].numpy().T)
    np.fill_diagonal(table, np.nan)
    signs = set()
    for channel in range(7):
        if np.isnan(table[channel]).all():
            continue
        other = int(np.nanargmax(np.abs(table[channel])))
        assert twin(found, channel).channel == other
        assert twin(found, channel).correlation == pytest.approx(table[channel, other], abs=1e-6)
        signs.add(table[channel, other] > 0)
    assert signs == {True, False}


def test_the_most_exciting_examples_by_hand():
    module = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.ReLU(), nn.Flatten(), nn.Linear(18, 2))
    with torch.no_grad():
        module[0].weight[:, 0, 0, 0] = torch.tensor([1.0, -2.0])
    net = load(module.eval(), (1, 3, 3), "by hand")
    inputs = torch.zeros(5, 1, 3, 3)
    inputs[0, 0, 1, 2], inputs[1, 0, 0, 0], inputs[2, 0, 2, 1], inputs[3, 0, 2, 2] = 2.0, 5.0, -3.0, 2.0
    examples = replace(split((1, 3, 3), 2, 5), inputs=inputs)
    group, layer = net.groups[0], net.groups[0].members[0]
    found = activity(net, group, layer, examples)
    assert [(p.example, p.value, p.place) for p in top_examples(found, 0, 3)] == [
        (1, 5, 0),
        (0, 2, 5),
        (3, 2, 8),
    ]
    assert [(p.example, p.value, p.place) for p in top_examples(found, 1, 1)] == [(2, 6, 7)]
    assert len(top_examples(found, 0, 99)) == 5
    maps = activation_maps(net, group, layer, 1, inputs[[2, 1]])
    assert maps[0].tolist() == [[0, 0, 0], [0, 0, 0], [0, 6, 0]] and not bool(maps[1].any())


def test_maps_are_stretched_over_the_picture():
    maps = torch.rand(3, 4, 5)
    assert torch.allclose(upsampled(maps, (4, 5)), maps)
    constant = upsampled(torch.full((1, 2, 2), 7.0), (9, 6))
    assert constant.shape == (1, 9, 6) and torch.allclose(constant, torch.tensor(7.0))
    corner = torch.zeros(1, 2, 2)
    corner[0, 1, 0] = 1
    tall = upsampled(corner, (8, 8))[0]
    assert bool((tall[4:, :4] >= tall[:4, 4:].max()).all())  # it stays in its quarter


def test_class_means_by_a_slow_loop():
    module = randomise(Mlp())
    net = load(module, (5,), "mlp")
    inputs = split((5,), 3, 60).inputs
    targets_ = torch.tensor([0, 1, 1, 3, 3, 3] * 10)
    targets_[0], targets_[targets_ == 0] = 2, 1  # class 2 once, class 0 never
    examples = replace(split((5,), 3, 60), inputs=inputs, targets=targets_)
    found, values = found_in(net, "fc2", examples), heard(module, "fc2", inputs)[:, 0]
    for channel in range(6):
        means = class_means(found, channel, targets_, 4)
        assert means[0] is None
        assert means[2].value == pytest.approx(float(values[0, channel]), abs=1e-6)
        assert (means[2].low, means[2].high) == (-np.inf, np.inf)
        for label in (1, 3):
            mine = [float(v) for v, t in zip(values[:, channel], targets_, strict=True) if t == label]
            mean = sum(mine) / len(mine)
            deviation = (sum((v - mean) ** 2 for v in mine) / (len(mine) - 1)) ** 0.5
            half = 1.959964 * deviation / len(mine) ** 0.5
            assert means[label].value == pytest.approx(mean, abs=1e-6)
            assert means[label].high == pytest.approx(mean + half, abs=1e-6)
            assert means[label].low == pytest.approx(mean - half, abs=1e-6)


def test_batches_shrink_with_the_network(monkeypatch):
    net = conv()
    wide = replace(net, layers=(*net.layers, Layer("x", "Conv2d", (1,), (500_000,), 1)))
    monkeypatch.setattr(listening, "_BATCH_VALUES", 1_000_000)
    sizes = []
    monkeypatch.setattr(
        listening,
        "node_values",
        lambda m, i, w, real=listening.node_values: (sizes.append(len(i)), real(m, i, w))[1],
    )
    activation_maps(wide, net.group("conv1"), "conv1", 0, split((2, 5, 5), 4, 5).inputs)
    assert sizes[2:] == [2, 2, 1]  # after two probes


# ---- every kind of network


@pytest.mark.parametrize("name", BY_NAME)
def test_every_layer_of_the_zoo_is_heard_or_refused_in_words(name):
    net, inputs = from_module(name), BY_NAME[name].inputs(9)
    examples = replace(split((1,), 3, 9), inputs=inputs)
    for group in net.groups:
        for layer in group.members:
            try:
                found = activity(net, group, layer, examples)
            except NetworkError as error:
                assert f"{layer} joins examples and positions" in str(error)
                continue
            size = len(entries_of(net, group, layer))
            assert found.peaks.shape == found.means.shape == (9, size)
            assert found.places.max() < max(1, int(np.prod(found.positions)))
            assert torch.isfinite(found.peaks).all()
            assert bool((found.means <= found.peaks + 1e-6).all())
            maps = activation_maps(net, group, layer, 0, inputs[:2])
            assert maps.shape == (2, *found.positions)
            if found.outputs == 1:
                assert torch.allclose(
                    maps.flatten(1).amax(1) if found.positions else maps, found.peaks[:2, 0]
                )


@pytest.mark.parametrize("name", ["transformer-encoder", "vit-separate", "gru-tokens"])
def test_examples_are_told_apart_wherever_their_dimension_is(name):
    net, inputs = from_module(name), BY_NAME[name].inputs(6)
    checked = 0
    for group in net.groups:
        for layer in group.members:
            try:
                every = activity(net, group, layer, replace(split((1,), 3, 6), inputs=inputs))
            except NetworkError:
                continue
            for i in range(6):
                alone = activity(net, group, layer, replace(split((1,), 3, 1), inputs=inputs[i : i + 1]))
                assert torch.allclose(alone.peaks[0], every.peaks[i], atol=1e-5)
            checked += 1
    assert checked > 2


def test_channels_that_a_layer_does_not_write():
    net = from_module("resnet-padded")
    group = next(g for g in net.groups if g.name == "stem.0")
    examples = replace(split((1,), 3, 5), inputs=BY_NAME["resnet-padded"].inputs(5))
    found = activity(net, group, "stem.0", examples)
    expected = [bool(entry) for entry in entries_of(net, group, "stem.0")]
    assert found.written.tolist() == expected and not all(expected)
    silent = expected.index(False)
    assert not found.varies(silent) and twin(found, silent) is None
