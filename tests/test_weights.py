"""Statistics and histograms of weights against SciPy, NumPy and slow loops."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

from analysis.tracing import trace
from analysis.weights import NEAR_ZERO, channel_norms, histogram, statistics


def _normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def _heavy(count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).standard_t(5, count).astype(np.float32))


@pytest.mark.parametrize(
    "weight", [_normal(40, 30), _heavy(5000), 3 + 0.01 * _normal(8, 4, 3, 3), torch.tensor([1.0, -1, 0, 0])]
)
def test_moments_are_scipys(weight):
    values = weight.double().numpy().ravel()
    found = statistics(weight)
    assert found.count == values.size
    assert found.mean == pytest.approx(np.mean(values), rel=1e-12, abs=1e-12)
    assert found.deviation == pytest.approx(np.std(values), rel=1e-9)
    assert found.kurtosis == pytest.approx(stats.kurtosis(values, fisher=True), rel=1e-6)
    assert found.largest == np.abs(values).max()


def test_shares_are_those_of_a_loop():
    weight = torch.tensor([[100.0, -0.5, 0.999], [0, -0.0, 1.001], [-2, 4, 3]])
    found = statistics(weight)
    small = [v for v in weight.flatten().tolist() if abs(v) < NEAR_ZERO * 100]
    assert found.near_zero == pytest.approx(len(small) / 9)
    assert len(small) == 4
    assert found.zero == pytest.approx(2 / 9)


@pytest.mark.parametrize("value", [0.1, -3.7, 1e-20])
def test_constant_weights_have_no_kurtosis(value):
    found = statistics(torch.full((13, 7), value))
    assert found.deviation == 0
    assert math.isnan(found.kurtosis)
    assert found.mean == pytest.approx(value, rel=1e-6)
    assert (found.near_zero, found.zero) == (0, 0)


def test_zero_weights_are_all_near_zero():
    found = statistics(torch.zeros(6, 6))
    assert (found.mean, found.deviation, found.largest) == (0, 0, 0)
    assert (found.near_zero, found.zero) == (1, 1)
    assert math.isnan(found.kurtosis)


@pytest.mark.parametrize("bins", [1, 2, 10, 81])
def test_counts_are_numpys(bins):
    weight = _normal(50, 60)
    limit = float(weight.abs().max())
    expected, edges = np.histogram(weight.double().numpy(), bins=bins, range=(-limit, limit))
    found = histogram(weight, bins=bins)
    assert found.kept.tolist() == expected.tolist()
    assert found.removed.tolist() == [0] * bins
    assert found.edges.tolist() == pytest.approx(edges.tolist())


def test_kept_and_removed_share_out_all_weights():
    weight = _normal(50, 60)
    removed = weight.abs() < 0.5
    found, whole = histogram(weight, removed=removed), histogram(weight)
    assert int(found.kept.sum()) == int((~removed).sum())
    assert int(found.removed.sum()) == int(removed.sum())
    assert torch.equal(found.kept + found.removed, whole.kept)
    limit = float(weight.abs().max())
    gone, _ = np.histogram(weight.double()[removed].numpy(), bins=81, range=(-limit, limit))
    assert found.removed.tolist() == gone.tolist()


def test_outliers_fall_into_the_outer_bins():
    weight = torch.tensor([-50.0, -9, -0.9, -0.1, 0.1, 0.2, 0.9, 1.5, 7, 80])
    found = histogram(weight, bins=4, limit=1)
    assert found.edges.tolist() == [-1, -0.5, 0, 0.5, 1]
    assert found.kept.tolist() == [3, 1, 2, 4]


def test_the_largest_weight_on_either_side_is_counted():
    found = histogram(torch.tensor([-2.0, 2.0]), bins=81)
    assert (int(found.kept[0]), int(found.kept[-1]), int(found.kept.sum())) == (1, 1, 2)


def test_zero_weights_fall_into_the_middle_bin():
    found = histogram(torch.zeros(5, 5))
    assert int(found.kept[40]) == int(found.kept.sum()) == 25
    assert found.edges[0] < 0 < found.edges[-1]


def _norms_by_loop(weight: torch.Tensor, dim: int) -> list[float]:
    return [
        math.sqrt(sum(v * v for v in weight.select(dim, channel).flatten().tolist()))
        for channel in range(weight.shape[dim])
    ]


@pytest.mark.parametrize(
    ("layer", "shape", "dim"),
    [
        (nn.Linear(6, 4), (6,), 0),
        (nn.Conv1d(3, 5, 2), (3, 6), 0),
        (nn.Conv2d(4, 6, 3, groups=2), (4, 5, 5), 0),
        (nn.ConvTranspose1d(3, 5, 2), (3, 6), 1),
        (nn.ConvTranspose2d(3, 5, 2), (3, 4, 4), 1),
        (nn.ConvTranspose3d(2, 3, 2), (2, 3, 3, 3), 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else None,
)
def test_channel_norms_are_those_of_a_loop_over_output_channels(layer, shape, dim):
    network = trace(nn.Sequential(layer), torch.zeros(1, *shape), "one layer")
    found = channel_norms(network, "0")
    assert found.tolist() == pytest.approx(_norms_by_loop(layer.weight.detach(), dim), rel=1e-5)
    assert len(found) == network.layer("0").output_shape[0]


def test_channel_norms_of_a_grouped_transposed_convolution_cover_every_output_channel():
    """Its weight is (inputs, outputs / groups, ...): each group of inputs writes outputs of its own."""
    layer = nn.ConvTranspose2d(4, 6, 3, groups=2)
    network = trace(nn.Sequential(layer), torch.zeros(1, 4, 5, 5), "grouped")
    weight = layer.weight.detach()
    expected = _norms_by_loop(weight[:2], 1) + _norms_by_loop(weight[2:], 1)
    assert channel_norms(network, "0").tolist() == pytest.approx(expected, rel=1e-5)


def test_channel_norms_of_an_embedding_are_those_of_its_columns():
    layer = nn.Embedding(9, 4)
    network = trace(nn.Sequential(layer, nn.Linear(4, 2)), torch.tensor([[3, 1]]), "words")
    expected = _norms_by_loop(layer.weight.detach(), 1)
    assert channel_norms(network, "0").tolist() == pytest.approx(expected, rel=1e-5)
