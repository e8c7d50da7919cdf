"""Merging: duplicates are merged without loss, correlation and slope are numpy's, a fold by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from analysis.errors import PrunescopeError
from analysis.recovery.merge import likeness, merge
from tests.networks import FlatNet, Mlp, load, randomise
from tests.recovery.mending import group_of, heard, noise, on_its_way


@torch.no_grad()
def copied(layer: nn.Module, source: int, target: int, scale: float = 1.0) -> None:
    """Make a channel say what another one says, times `scale`."""
    layer.weight[target] = scale * layer.weight[source]
    layer.bias[target] = scale * layer.bias[source]


@pytest.mark.parametrize(("module", "shape"), [
    (lambda: nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 3)), (5,)),
    (
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 3, 3, padding=1), nn.Flatten(), nn.Linear(75, 3)
        ),
        (2, 5, 5),
    ),
    (
        lambda: nn.Sequential(
            nn.Conv2d(2, 6, 3), nn.ReLU(), nn.ConvTranspose2d(6, 3, 2), nn.Flatten(), nn.Linear(48, 3)
        ),
        (2, 5, 5),
    ),
    (lambda: nn.Sequential(nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(54, 3)), (2, 5, 5)),
    (
        lambda: nn.Sequential(
            nn.Conv1d(2, 6, 3), nn.ReLU(), nn.Conv1d(6, 4, 3, bias=False), nn.BatchNorm1d(4), nn.Flatten(), nn.Linear(16, 3)
        ),
        (2, 8),
    ),
])  # fmt: skip
@pytest.mark.parametrize("scale", [1.0, 2.5])
def test_a_duplicated_channel_is_merged_without_loss(module, shape, scale):
    """Also where it says a multiple: a ReLU lets positive factors through."""
    built = randomise(module())
    copied(built[0], 4, 1, scale)
    network = load(built, shape)
    pruned = on_its_way(network, noise(60, *shape), channels={group_of(network, "0"): (1,)})
    found = merge(pruned)
    fresh = noise(20, *shape, seed=5)
    with torch.no_grad():
        wanted, before, after = (n.module(fresh) for n in (network, pruned.network, found.network))
    assert not torch.allclose(before, wanted, atol=1e-2), "there was something to restore"
    assert torch.allclose(after, wanted, atol=1e-4)


def test_likeness_is_the_correlation_and_the_regression_slope_of_numpy():
    rows = noise(200, 7).double()
    removed, left = rows[:, :3] + rows[:, 3:6] * torch.tensor([0.2, -2.0, 1.0]), rows[:, 3:]
    found = likeness(removed, left)
    for channel in range(3):
        mine = removed[:, channel].numpy()
        correlations = [abs(np.corrcoef(mine, left[:, other].numpy())[0, 1]) for other in range(4)]
        best = int(np.argmax(correlations))
        assert int(found.best[channel]) == best
        assert np.isclose(float(found.slopes[channel]), np.polyfit(left[:, best].numpy(), mine, 1)[0])


def test_likeness_about_zero_is_the_line_through_zero():
    removed, left = noise(50, 1) + 3, noise(50, 3, seed=1) + torch.tensor([0.0, 3.0, -1.0])
    found = likeness(removed, left, centred=False)
    cosines = [float(torch.cosine_similarity(removed[:, 0], left[:, c], dim=0).abs()) for c in range(3)]
    best = left[:, int(np.argmax(cosines))]
    assert int(found.best[0]) == int(np.argmax(cosines))
    assert np.isclose(float(found.slopes[0]), float(removed[:, 0] @ best / (best @ best)), atol=1e-6)


def test_a_channel_that_never_varies_is_like_none():
    left = noise(50, 3)
    left[:, 1] = 4.0
    found = likeness(torch.stack([torch.full((50,), 2.0), left[:, 2] * -3], dim=1), left)
    assert found.slopes[0] == 0 and int(found.best[1]) == 2 and np.isclose(float(found.slopes[1]), -3)


def test_the_fold_by_hand():
    network = load(randomise(Mlp()), (5,))
    pruned = on_its_way(network, noise(100, 5), channels={group_of(network, "fc2"): (1, 4)})
    found = merge(pruned)
    read = heard(network, pruned.fit.inputs)["head"][0].double().numpy()
    weight, bias = network.weight("head").double().numpy(), network.module.get_submodule("head").bias
    kept = [0, 2, 3, 5]
    expected, constant = weight[:, kept].copy(), bias.detach().double().numpy().copy()
    for gone in (1, 4):
        sizes = [
            abs(np.corrcoef(read[:, gone], read[:, other])[0, 1]) if read[:, other].std() else 0
            for other in kept
        ]
        best = int(np.argmax(sizes))
        slope, start = np.polyfit(read[:, kept[best]], read[:, gone], 1)
        expected[:, best] += slope * weight[:, gone]
        constant += start * weight[:, gone]
    layer = found.network.module.get_submodule("head")
    assert found.layers == ("head",)
    assert np.allclose(layer.weight.detach().numpy(), expected, atol=1e-5)
    assert np.allclose(layer.bias.detach().numpy(), constant, atol=1e-5)


def test_flattened_maps_are_compared_map_by_map():
    """Each channel is 25 inputs of the next layer; the constant left is that of all of them."""
    network = load(randomise(FlatNet()), (1, 7, 7))
    pruned = on_its_way(network, noise(60, 1, 7, 7), channels={group_of(network, "conv"): (2,)})
    found = merge(pruned)
    maps = heard(network, pruned.fit.inputs)["act"][1].flatten(2).double()
    flat = maps.movedim(1, 2).flatten(0, 1).numpy()
    best = int(np.argmax([abs(np.corrcoef(flat[:, 2], flat[:, other])[0, 1]) for other in (0, 1, 3)]))
    slope = np.polyfit(flat[:, (0, 1, 3)[best]], flat[:, 2], 1)[0]
    weight = network.weight("fc").unflatten(1, (4, 25)).double()
    expected = weight[:, [0, 1, 3]].clone()
    expected[:, best] += slope * weight[:, 2]
    assert torch.allclose(found.network.weight("fc").double(), expected.flatten(1), atol=1e-5)
    dense, here = (heard(n, pruned.fit.inputs)["fc"][1] for n in (network, found.network))
    assert torch.allclose(dense.mean(0), here.mean(0), atol=1e-5)


def test_removed_weights_take_no_part_in_a_merger():
    network = load(randomise(Mlp()), (5,))
    mask = torch.zeros(3, 6, dtype=torch.bool)
    mask[0] = True
    group = group_of(network, "fc2")
    pruned = on_its_way(network, noise(60, 5), channels={group: (1,)}, weights={"head": mask})
    assert not bool(merge(pruned).network.weight("head")[0].any())


def test_without_removed_channels_there_is_nothing_to_merge():
    network = load(randomise(Mlp()), (5,))
    pruned = on_its_way(network, noise(60, 5), weights={"head": torch.ones(3, 6, dtype=torch.bool)})
    with pytest.raises(PrunescopeError, match="removes no channel"):
        merge(pruned)
