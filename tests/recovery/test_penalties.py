"""Penalties against slow loops, their slopes, and how strong they must be to take a size to zero."""

import math

import pytest
import torch
from torch import nn

from analysis.network import by_output
from analysis.recovery.penalties import (
    PENALTIES,
    batch_norm_scales,
    channel_norms,
    elastic_net,
    l1,
    l2,
    relative,
    share_near_zero,
    strength_for,
    suits,
    weight_sizes,
    weighted,
)
from tests.networks import ConvNet, DepthwiseNet, FlatNet, Mlp, architecture, load, randomise, same, snapshot
from tests.zoo.opened import from_module


@pytest.fixture(scope="module")
def conv():
    return load(randomise(ConvNet()), (2, 5, 5))


def value(name, network, module=None):
    penalty = PENALTIES[name]
    return penalty.value(network, penalty.sizes(network, module or network.module))


def all_weights(network):
    return [float(w) for layer in network.layers for w in network.weight(layer.name).flatten()]


@pytest.mark.parametrize(
    ("name", "paid"),
    [("l1", abs), ("l2", lambda w: w * w), ("elastic-net", lambda w: 0.5 * abs(w) + 0.25 * w * w)],
)
def test_weights_pay_one_by_one(conv, name, paid):
    expected = math.fsum(paid(w) for w in all_weights(conv))
    assert float(value(name, conv).detach()) == pytest.approx(expected, rel=1e-5)


def test_the_elastic_net_has_l1_and_ridge_at_its_ends(conv):
    sizes = weight_sizes(conv, conv.module)
    torch.testing.assert_close(elastic_net(sizes, 1.0), l1(sizes))
    torch.testing.assert_close(elastic_net(sizes, 0.0), l2(sizes) / 2)


def slow_group_lasso(network):
    """Channel by channel, member by member, position by position, weight by weight."""
    total = 0.0
    for group in network.groups:
        if not group.is_prunable:
            continue
        for channel in range(group.size):
            squares, count = 0.0, 0
            for part in group.slices:
                if part.side != "out" or part.module not in group.members:
                    continue
                rows = by_output(network.module.get_submodule(part.module), network.weight(part.module))
                for position in part.entries[channel]:
                    for w in rows[position].flatten().tolist():
                        squares, count = squares + w * w, count + 1
            total += math.sqrt(count) * math.sqrt(squares)
    return total


@pytest.mark.parametrize(
    "make",
    [
        lambda: load(randomise(ConvNet()), (2, 5, 5)),
        lambda: load(randomise(DepthwiseNet()), (1, 6, 6)),
        lambda: load(randomise(FlatNet()), (1, 7, 7)),
        lambda: load(randomise(Mlp()), (5,)),
        lambda: architecture("resnet")[1],
        lambda: from_module("vit-fused"),
        lambda: from_module("gru-tokens"),
    ],
    ids=["conv", "depthwise", "flat", "mlp", "resnet", "attention", "recurrent"],
)
def test_group_lasso_against_a_loop(make):
    network = make()
    assert float(value("group-lasso", network).detach()) == pytest.approx(slow_group_lasso(network), rel=1e-5)


def test_group_lasso_of_a_linear_network_by_hand():
    """Two hidden units read two inputs: √2 times the norms of their rows; the answer's own layer pays nothing."""
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        module[0].weight.copy_(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    assert float(value("group-lasso", load(module, (2,))).detach()) == pytest.approx(math.sqrt(2) * 5)


def test_batch_norm_scales_are_those_of_every_batch_norm():
    module, network = architecture("small resnet")
    norms = {name: child for name, child in module.named_modules() if isinstance(child, nn.BatchNorm2d)}
    assert {name: v.tolist() for name, v in batch_norm_scales(network, network.module).items()} == {
        name: child.weight.abs().tolist() for name, child in norms.items()
    }
    expected = math.fsum(abs(g) for child in norms.values() for g in child.weight.tolist())
    assert float(value("bn-scale", network).detach()) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", PENALTIES)
def test_slopes_agree_with_finite_differences(conv, name):
    penalty = PENALTIES[name]
    module = conv.module
    generator = torch.Generator().manual_seed(0)
    copies = {k: v.detach().double() for k, v in module.named_parameters()}
    leaves = {k: v.clone().requires_grad_(True) for k, v in copies.items()}

    def paid(values):
        twin = ConvNet()
        twin.load_state_dict(module.state_dict())
        for key, v in values.items():
            owner, _, attribute = key.rpartition(".")
            holder = twin.get_submodule(owner)
            delattr(holder, attribute)
            setattr(holder, attribute, v)
        return penalty.value(conv, penalty.sizes(conv, twin))

    gradients = torch.autograd.grad(paid(leaves), list(leaves.values()), allow_unused=True)
    for (key, start), gradient in zip(copies.items(), gradients, strict=True):
        step = 1e-7 * torch.randn(start.shape, generator=generator, dtype=torch.float64)
        up, down = (float(paid({**copies, key: start + sign * step})) for sign in (1, -1))
        slope = 0.0 if gradient is None else float((gradient * step).sum())
        assert (up - down) / 2 == pytest.approx(slope, rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("name", PENALTIES)
def test_a_size_of_zero_has_a_slope_that_is_a_number(name):
    module = randomise(ConvNet())
    with torch.no_grad():
        module.conv1.weight[2] = 0
        module.bn1.weight[2] = 0
    network = load(module, (2, 5, 5))
    twin = ConvNet()
    twin.load_state_dict(module.state_dict())
    value(name, network, twin).backward()
    found = [p.grad for p in twin.parameters() if p.grad is not None]
    assert found and all(bool(torch.isfinite(gradient).all()) for gradient in found)
    if name in ("group-lasso", "l1", "l2", "elastic-net"):
        assert float(twin.conv1.weight.grad[2].abs().max()) == 0


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_is_weighted_and_leaves_the_network_as_it_is(conv, name):
    before = snapshot(conv.module)
    paid = weighted(PENALTIES[name], conv, 0.25)(conv.module)
    assert float(paid.detach()) == pytest.approx(0.25 * float(value(name, conv).detach()))
    assert same(before, snapshot(conv.module))


def test_sizes_near_zero_are_counted_against_the_largest_beside_them():
    sizes = {
        "a": torch.tensor([100.0, 1.0, 1.1, 0.0]),
        "b": torch.tensor([0.02, 0.01]),
        "dead": torch.zeros(2),
    }
    assert share_near_zero(sizes) == 4 / 8  # 1.0 and 0.0 of a, none of b, both of the dead
    expected = [1, 0.01, 0.011, 0, 1, 0.5, 0, 0]
    torch.testing.assert_close(relative(sizes), torch.tensor(expected))


def test_what_a_network_lacks_cannot_be_penalised():
    mlp = load(randomise(Mlp()), (5,))
    assert [name for name, penalty in PENALTIES.items() if not suits(penalty, mlp)] == ["bn-scale"]
    bare = load(nn.Sequential(nn.Linear(3, 2)), (3,))  # its outputs are the answer: no group can go
    assert [name for name, p in PENALTIES.items() if suits(p, bare)] == ["l1", "l2", "elastic-net"]


@pytest.mark.parametrize("name", ["l1", "bn-scale"])
def test_at_pull_1_plain_descent_takes_the_median_size_just_to_zero(conv, name):
    rates = [0.01, 0.03, 0.02, 0.04]
    strength = strength_for(PENALTIES[name], conv, sum(rates), 1.0)
    sizes = torch.cat(list(PENALTIES[name].sizes(conv, conv.module).values())).detach()
    median = float(sizes.median())
    for rate in rates:
        median -= rate * strength  # the slope of |w| is 1
    assert median == pytest.approx(0, abs=1e-6)
    assert strength_for(PENALTIES[name], conv, sum(rates), 3.0) == pytest.approx(3 * strength)


def test_at_pull_1_plain_descent_takes_the_median_channel_just_to_zero():
    """The slope of √n ‖w‖ is √n: here each hidden unit has 4 weights."""
    network = load(randomise(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2))), (4,))
    norms = channel_norms(network, network.module)["0"].detach()
    strength = strength_for(PENALTIES["group-lasso"], network, 0.5, 1.0)
    assert strength == pytest.approx(float(norms.median()) / (math.sqrt(4) * 0.5))


def test_at_pull_1_l2_leaves_a_weight_one_part_in_e(conv):
    """Gradient flow of λ w² for a way t ends at w exp(-2 λ t)."""
    assert math.exp(-2 * strength_for(PENALTIES["l2"], conv, 0.7, 1.0) * 0.7) == pytest.approx(math.exp(-1))


def test_a_network_of_zeros_has_a_strength_too():
    module = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    for name in ("l1", "l2", "elastic-net", "group-lasso"):
        assert math.isfinite(strength_for(PENALTIES[name], load(module, (2,)), 1.0, 2.0))
