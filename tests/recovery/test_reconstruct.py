"""Reconstruction against planted redundancy, numpy's least squares and the formula solved row by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from analysis.recovery.meeting import by_row
from analysis.recovery.patches import fan_in, inputs_at
from analysis.recovery.reconstruct import MOST_INPUTS, Reconstruction, reconstruct
from tests.networks import load, randomise
from tests.recovery.mending import group_of, heard, noise, on_its_way

EXACT = Reconstruction(ridge=1e-10)


@torch.no_grad()
def combine(layer: nn.Module, channel: int, mix: dict[int, float]) -> None:
    """Make a channel of a layer an exact linear combination of others."""
    layer.weight[channel] = sum(share * layer.weight[other] for other, share in mix.items())
    if layer.bias is not None:
        layer.bias[channel] = sum(share * layer.bias[other] for other, share in mix.items())


def restored(module: nn.Module, shape: tuple[int, ...], layer: str, channel: int, settings: Reconstruction):
    network = load(module.eval(), shape)
    inputs = noise(256, *shape)
    pruned = on_its_way(network, inputs, channels={group_of(network, layer): (channel,)})
    found = reconstruct(pruned, settings).network
    fresh = noise(40, *shape, seed=9)
    with torch.no_grad():
        wanted, before, after = (n.module(fresh) for n in (network, pruned.network, found))
    assert float((before - wanted).abs().max()) > 0.01, "there was something to restore"
    return float((after - wanted).abs().max())


@pytest.mark.parametrize("settings", [EXACT, Reconstruction()])
def test_a_redundant_channel_of_a_linear_network_is_restored_exactly(settings):
    module = randomise(nn.Sequential(nn.Linear(5, 6), nn.Linear(6, 4), nn.Linear(4, 3)))
    combine(module[0], 2, {0: 0.5, 4: -1.5})
    assert restored(module, (5,), "0", 2, settings) < (1e-4 if settings is EXACT else 1e-2)


@pytest.mark.parametrize("second", [
    lambda: nn.Conv2d(6, 4, 3, padding=1),
    lambda: nn.Conv2d(6, 4, 3, stride=2, dilation=2, padding=2, bias=False),
    lambda: nn.Conv2d(6, 4, (1, 3), padding="same", padding_mode="reflect"),
])  # fmt: skip
def test_a_redundant_map_is_restored_exactly_at_the_borders_too(second):
    first, head = nn.Conv2d(2, 6, 3, padding=1), nn.Linear(16, 3)
    module = randomise(nn.Sequential(first, second(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), head))
    combine(module[0], 1, {0: 0.7, 5: 0.9})
    assert restored(module, (2, 8, 8), "0", 1, EXACT) < 1e-4


def test_a_network_of_linear_layers_over_tokens_is_restored_exactly():
    module = randomise(nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 5), nn.Flatten(), nn.Linear(15, 2)))
    combine(module[0], 3, {1: 1.2, 2: -0.4})
    assert restored(module, (3, 4), "0", 3, EXACT) < 1e-4


@pytest.mark.parametrize(("layer", "shape"), [
    (nn.Linear(4, 3), (6, 4)),
    (nn.Linear(4, 3), (6, 5, 4)),
    (nn.Conv1d(4, 6, 3, stride=2, padding=1), (6, 4, 9)),
    (nn.Conv2d(4, 6, (3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), (6, 4, 9, 8)),
    (nn.Conv2d(4, 6, 3, padding=1, groups=2), (6, 4, 5, 5)),
    (nn.Conv2d(4, 4, 3, groups=4, padding="same", dilation=2), (6, 4, 7, 6)),
    (nn.Conv2d(4, 6, 3, padding=2, padding_mode="circular"), (6, 4, 5, 5)),
    (nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"), (6, 4, 5, 5)),
    (nn.Conv3d(2, 3, 2, stride=2), (3, 2, 4, 5, 4)),
    (nn.Conv1d(4, 6, 3, padding=1), (4, 9)),
])  # fmt: skip
@torch.no_grad()
def test_a_layer_is_its_weights_times_what_it_reads(layer, shape):
    """Unfolded inputs against the layer itself."""
    inputs = noise(*shape)
    answers = by_row(layer, layer(inputs))
    rows = torch.randperm(len(answers))[:20]
    read = inputs_at(layer, inputs, rows)
    groups = getattr(layer, "groups", 1)
    assert read.shape == (len(rows), groups, fan_in(layer))
    weight = layer.weight.reshape(groups, -1, fan_in(layer))
    said = torch.einsum("rgi,goi->rgo", read, weight).flatten(1) + layer.bias
    assert torch.allclose(said, answers[rows], atol=1e-5)


def test_it_equals_least_squares_of_numpy_layer_after_layer():
    """Each layer on what it reads behind the layers solved before, with a column of ones for the bias."""
    network = load(
        randomise(nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 6), nn.Tanh(), nn.Linear(6, 3))),
        (5,),
    )
    inputs = noise(300, 5)
    channels = {group_of(network, "0"): (1, 6), group_of(network, "2"): (0, 4)}
    pruned = on_its_way(network, inputs, channels=channels)
    found = reconstruct(pruned, EXACT)
    dense, here = (heard(n, pruned.fit.inputs) for n in (network, found.network))
    assert found.layers == ("2", "4")
    for name, kept in (("2", [1, 2, 3, 5]), ("4", [0, 1, 2])):
        read = np.c_[here[name][0].double().numpy(), np.ones(len(pruned.fit))]
        solution = np.linalg.lstsq(read, dense[name][1][:, kept].double().numpy(), rcond=None)[0]
        layer = found.network.module.get_submodule(name)
        assert np.allclose(layer.weight.detach().numpy(), solution[:-1].T, atol=1e-4)
        assert np.allclose(layer.bias.detach().numpy(), solution[-1], atol=1e-4)


@pytest.mark.parametrize("bias", [True, False])
def test_weights_left_are_the_solution_of_the_formula_output_by_output(bias):
    """Ridge about the weights as they are, on the support of each output alone; removed weights stay zero."""
    network = load(randomise(nn.Sequential(nn.Linear(6, 4, bias=bias))), (6,))
    mask = noise(4, 6, seed=3) > 0.3
    mask[3] = True
    pruned = on_its_way(network, noise(80, 6), weights={"0": mask})
    ridge = 0.2
    layer = reconstruct(pruned, Reconstruction(ridge=ridge)).network.module.get_submodule("0")
    before = pruned.network.module.get_submodule("0")
    read, wanted = (values.double() for values in heard(network, pruned.fit.inputs)["0"])
    if bias:
        wanted = wanted - wanted.mean(0)
        read = read - read.mean(0)
    damping = ridge * float((read**2).sum(0).mean())
    for output in range(4):
        free = (~mask[output]).nonzero()[:, 0]
        x, old = read[:, free].numpy(), before.weight[output, free].detach().double().numpy()
        matrix = x.T @ x + damping * np.eye(len(free))
        solution = np.linalg.solve(matrix, x.T @ wanted[:, output].numpy() + damping * old)
        assert np.allclose(layer.weight[output, free].detach().numpy(), solution, atol=1e-5)
        assert not bool(layer.weight[output, mask[output]].any())
    if bias:
        said = heard(load_same(pruned, layer), pruned.fit.inputs)["0"][1]
        assert torch.allclose(said.mean(0), heard(network, pruned.fit.inputs)["0"][1].mean(0), atol=1e-5)


def load_same(pruned, layer):
    return load(nn.Sequential(layer), tuple(pruned.fit.inputs.shape[1:]))


def test_grouped_convolutions_are_solved_group_by_group():
    """Against numpy, with torch's own unfold for each filter group."""
    network = load(
        randomise(nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, groups=2), nn.Flatten(), nn.Linear(96, 2))),
        (4, 4, 4),
    )
    mask = torch.zeros(6, 2, 3, 3, dtype=torch.bool)
    mask[:, :, 0] = True
    pruned = on_its_way(network, noise(100, 4, 4, 4), weights={"0": mask})
    layer = reconstruct(pruned, EXACT).network.module.get_submodule("0")
    read, wanted = heard(network, pruned.fit.inputs)["0"]
    for group in range(2):
        columns = (
            nn.functional.unfold(read[:, 2 * group : 2 * group + 2], 3, padding=1).movedim(1, 2).flatten(0, 1)
        )
        free = (~mask[0].flatten()).nonzero()[:, 0]
        x = np.c_[columns[:, free].double().numpy(), np.ones(len(columns))]
        y = wanted[:, 3 * group : 3 * group + 3].movedim(1, -1).flatten(0, -2).double().numpy()
        solution = np.linalg.lstsq(x, y, rcond=None)[0]
        weights = layer.weight[3 * group : 3 * group + 3].detach().flatten(1)
        assert np.allclose(weights[:, free].numpy(), solution[:-1].T, atol=1e-4)
        assert np.allclose(layer.bias[3 * group : 3 * group + 3].detach().numpy(), solution[-1], atol=1e-4)


def test_a_layer_without_bias_has_its_constant_in_the_batch_norm_behind_it():
    module = randomise(nn.Sequential(
        nn.Conv2d(1, 5, 3), nn.ReLU(), nn.Conv2d(5, 4, 3, bias=False), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2)
    ))  # fmt: skip
    network = load(module, (1, 6, 6))
    pruned = on_its_way(network, noise(200, 1, 6, 6), channels={group_of(network, "0"): (0, 3)})
    found = reconstruct(pruned)
    assert found.layers[:2] == ("2", "3")
    dense, here = (heard(n, pruned.fit.inputs)["3"][1] for n in (network, found.network))
    assert torch.allclose(dense.mean((0, 2, 3)), here.mean((0, 2, 3)), atol=1e-4)


def test_a_layer_that_reads_nothing_but_zeros_keeps_its_weights():
    module = randomise(nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)))
    with torch.no_grad():
        module[0].bias.fill_(-100)
        module[0].bias[4] = 3
    network = load(module, (4,))
    pruned = on_its_way(network, noise(60, 4), channels={group_of(network, "0"): (4,)})
    layer = reconstruct(pruned).network.module.get_submodule("2")
    assert torch.equal(layer.weight, pruned.network.module.get_submodule("2").weight)


def test_what_is_not_solved_says_so():
    module = randomise(
        nn.Sequential(
            nn.ConvTranspose2d(1, 4, 2), nn.ConvTranspose2d(4, 2, 2), nn.Flatten(), nn.Linear(50, 2)
        )
    )
    network = load(module, (1, 3, 3))
    found = reconstruct(on_its_way(network, noise(50, 1, 3, 3), channels={group_of(network, "0"): (1,)}))
    assert list(found.left) == ["1"] and "transposed" in found.left["1"] and "3" in found.layers


def test_layers_with_very_many_inputs_stay_as_they_are_and_say_why():
    network = load(
        randomise(nn.Sequential(nn.Linear(2, MOST_INPUTS + 2), nn.ReLU(), nn.Linear(MOST_INPUTS + 2, 2))),
        (2,),
    )
    found = reconstruct(on_its_way(network, noise(20, 2), channels={group_of(network, "0"): (0,)}))
    assert found.layers == () and f"{MOST_INPUTS + 1:,} inputs" in found.left["2"]


def test_fewer_positions_are_drawn_by_the_seed():
    module = randomise(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1), nn.Flatten(), nn.Linear(18, 2))
    )
    network = load(module, (1, 5, 5))
    pruned = on_its_way(network, noise(100, 1, 5, 5), channels={group_of(network, "0"): (1,)})
    weights: list[Tensor] = [
        reconstruct(pruned, Reconstruction(positions=50, seed=seed)).network.weight("2") for seed in (0, 0, 1)
    ]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
